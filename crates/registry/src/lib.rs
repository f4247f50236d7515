//! The domain: every rule of the registry and no HTTP.
//!
//! Rows and bytes meet here and nowhere else, so the order in which they change (**Invariant 2**) is written once. This crate must not know
//! HTTP, accounts, or how it is configured.

mod actor;
mod backup;
mod browse;
mod clock;
mod delete;
mod discovery;
mod error;
mod history;
mod import;
mod kept;
mod lineage;
mod orphans;
pub mod policy;
pub mod promotion;
mod pull;
mod push;
mod read_back;
mod registry;
mod repositories;
pub mod rules;
mod scrub;
mod search;
mod session;
mod settings;
mod sweep;
pub mod testing;
mod trash;
mod upload;
mod usage;
mod verify;
pub mod webhooks;

pub use actor::{Actor, Judge, Rights, Verdict, Visible};
pub use backup::{Backup, BackupProgress, BackupReport, Damaged, RestoreReport};
pub use browse::{
    Arrival, COUNTED, FoundRepositories, ManifestFacts, ManifestView, RepositoryOutline, RepositorySearch,
    TaggedManifest,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use delete::TagMoved;
pub use error::{Error, Result};
pub use history::{RolledBack, point_in_time, rollback_to};
pub use import::{
    Broken, BrokenKind, Hashed, ImportOptions, ImportProgress, ImportReport, KeptTag, OldTree, Released, Told, Written,
};
pub use kept::{RepositoryUsage, UsageByReason};
pub use larder_blobs::BlobStream;
pub use larder_catalog::model::access::RepositoryChange;
pub use larder_catalog::model::{
    AffectedTag, Page, RepositorySummary, RollbackTo, TagEvent, TagListing, TagOrder, TagRow, TagRows, TrashRow,
    UsageTotals,
};
pub use larder_catalog::{LATENCY_CLASSES, Latency};
pub use larder_oci::{Action, Actions};
pub use pull::{BlobHead, Manifest, ManifestHead, OpenBlob};
pub use push::{Condition, ManifestPush, ManifestPushed};
pub use registry::{PageRequest, Readiness, Registry, Statistics};
pub use scrub::Scrub;
pub use search::{Field, Found, FoundImage, FoundPage};
pub use settings::{CreateOnPush, Reserve, Settings, Sparse};
pub use sweep::{SweepProgress, SweepReport};
pub use trash::{Purged, Undeleted};
pub use upload::{BodyStream, Mount, UploadBody, UploadStatus};
pub use usage::{Counted, Usage};
pub use verify::{Finding, FindingKind, VerifyOptions, VerifyProgress, VerifyReport};
