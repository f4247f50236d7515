//! The vocabulary of the OCI specifications as validated values, without I/O.
//!
//! Server, client, registry and tests speak in these types, so that no handler parses a name, a
//! digest or a range a second time. The crate knows nothing of storage, SQL, HTTP frameworks or
//! tokio: values in, values out.

pub mod action;
pub mod descriptor;
pub mod digest;
pub mod error_code;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod operation;
pub mod parse_error;
pub mod pattern;
pub mod range;
pub mod reference;
pub mod scope;
pub mod tag;
mod text;
pub mod upload_id;
pub mod version;

mod document;

pub use self::action::{Action, Actions};
pub use self::descriptor::{Descriptor, Platform};
pub use self::digest::{Algorithm, Digest};
pub use self::error_code::ErrorCode;
pub use self::manifest::{Edge, EdgeKind, ManifestError, ManifestKind, ParsedManifest};
pub use self::name::RepositoryName;
pub use self::operation::{Catalog, ErrorBody, ErrorEntry, ReferrersIndex, TagList};
pub use self::parse_error::ParseError;
pub use self::pattern::RepositoryPattern;
pub use self::range::{ByteRanges, RangeOutcome, Span, UploadRange, upload_range};
pub use self::reference::{ImageReference, Reference};
pub use self::scope::{ResourceScope, Scopes};
pub use self::tag::{Tag, fallback_tag};
pub use self::upload_id::UploadId;
pub use self::version::{TagForm, TagKey, TagKind, Version, VersionRange, VersionScope};
