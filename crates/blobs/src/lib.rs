//! Content-addressed bytes: the storage trait, its back ends and its test suite.
//!
//! This crate knows keys, upload sessions, lengths and digests. It must not know repository names, tags, users, SQL or HTTP:
//! which repository holds what is the catalog's fact.

pub mod fault;
pub mod fs;
pub mod hash;
pub mod memory;
pub mod suite;

mod adopt;
mod error;
mod key;
mod store;

pub use adopt::{Adopted, Adoption, Arrival, Foreign};
pub use error::{Error, Result};
pub use key::BlobKey;
pub use store::{
    BlobObject, BlobStore, BlobStream, BlobUpload, Checkpoint, Committed, PendingCheckpoint, Space, StoreMarker,
    Stored, StoredStream, UNANNOUNCED_LIMIT,
};
