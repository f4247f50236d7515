//! Backups: what the registry held at one moment, in a folder, taken while it works (behaviour §7).
//!
//! ```text
//! larder-backup.json       names the snapshot that is whole; replaced as the last step
//! catalog-<moment>.db      a copy of the catalog
//! store/                   a store of the same form as the registry's own, with the objects that the snapshot names
//! larder-backup.lock       held by whoever works in the folder
//! secret.key               only where it was asked for
//! ```
//!
//! Objects keep their keys, and a key is never reused (**Invariant 1**): what is in the folder already need not be copied again. Each object is hashed
//! while it is copied, and gets its name when it is durable. Until a backup has ended the sweep condemns and removes no bytes.

mod copy;
mod folder;
mod restore;
mod take;

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::usage::Counted;
use crate::{Error, FindingKind, Registry, Result};

pub use restore::{Backup, RestoreReport};

/// How far a backup or its restoration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackupProgress {
    /// Objects that were looked at, and their bytes.
    pub done: Counted,
    /// All objects, and their bytes.
    pub whole: Counted,
}

/// An object that is missing or wrong where it was to be copied from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damaged {
    /// Its digest.
    pub digest: String,
    /// What is wrong.
    pub kind: FindingKind,
    /// `repository:tag` or `repository@digest` of what needs it.
    pub affects: Vec<String>,
}

/// What a backup did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The moment whose state it holds.
    pub taken_at: String,
    /// Objects in the backup.
    pub blobs: Counted,
    /// Of these, what was copied now.
    pub copied: Counted,
    /// What an earlier backup needed and this one does not: removed.
    pub removed: Counted,
    /// Bytes of the catalog's copy.
    pub catalog_bytes: u64,
    /// Objects that are missing or wrong in the registry, and so in the backup.
    pub damaged: Vec<Damaged>,
}

impl Registry {
    /// Whether a backup under way needs bytes that the sweep would take.
    pub(crate) fn holds_bytes(&self) -> bool {
        self.inner.holds.load(Ordering::SeqCst) > 0
    }
}

/// Runs what waits for the disk on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|stopped| Err(Error::Internal(stopped.to_string())))
}
