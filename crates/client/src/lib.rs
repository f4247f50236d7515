//! A client of the distribution protocol: registries, the documents and blobs in them, and transfers between registries, OCI layouts,
//! `docker save` archives and model files.
//!
//! It knows nothing of Larder's server: whatever speaks the OCI distribution specification will do. A registry is treated as hostile
//! where that matters: what it sends is checked against its digest and length, and no answer of its can make the client send
//! credentials to another host, or write outside the destination.

pub mod backoff;
pub mod challenge;
pub mod credentials;
mod error;
pub mod graph;
mod hashing;
pub mod link_header;
pub mod model_pack;
mod model_path;
pub mod options;
pub mod pieces;
pub mod platform;
pub mod progress;
mod pump;
mod registry;
mod session_memory;
pub mod sink;
pub mod source;
pub mod target;
pub mod transfer;

pub use crate::error::{Error, Kind, Result};
pub use crate::hashing::Hasher;
pub use crate::options::Options;
pub use crate::platform::PlatformFilter;
pub use crate::progress::{Item, NoProgress, Progress};
pub use crate::registry::{
    Client, Download, FetchedManifest, ManifestHead, ManifestPut, MountOutcome, Page, Ranges, Registry, Repository,
    Upload,
};
pub use crate::transfer::{Arrived, Destination, Name, Outcome, Position, TransferOptions, destinations, transfer};
