//! What can go wrong with bytes.

use std::io;

use larder_oci::{Digest, UploadId};

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on the store failed. Messages may name keys, never absolute paths (they can reach a log, not a client).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object is not there.
    #[error("object {0} is absent")]
    Absent(String),
    /// The object is there with another length than the catalog says (**Invariant 12**).
    #[error("object {key} has {found} bytes, expected {expected}")]
    WrongLength {
        /// The object's key.
        key: String,
        /// What the caller expected, in bytes.
        expected: u64,
        /// What the store holds, in bytes.
        found: u64,
    },
    /// The bytes received do not hash to the digest that the client named.
    #[error("the bytes hash to {found}, not to {expected}")]
    DigestMismatch {
        /// The digest that was named.
        expected: Box<Digest>,
        /// The digest of the bytes.
        found: Box<Digest>,
    },
    /// The closing request names an algorithm that was not announced, and the upload is too long to be read again.
    #[error("{size} bytes were hashed with another algorithm; announce it with ?digest-algorithm=")]
    AlgorithmNotAnnounced {
        /// Length of the upload in bytes.
        size: u64,
    },
    /// The session's bytes are not (or not completely) there: the upload must start again.
    #[error("the bytes of upload {0} are lost")]
    UploadLost(UploadId),
    /// No space, no inodes or over a disk quota; what was durable before still is.
    #[error("the store is full")]
    Full(#[source] io::Error),
    /// A sync or a write-back failed, also for want of space: what it covered must be written again from the start (**Invariant 11**).
    #[error("a sync failed")]
    SyncFailed(#[source] io::Error),
    /// Any other fault of the device or the operating system. No verdict about the object.
    #[error("{context}")]
    Io {
        /// What was being done.
        context: String,
        /// The operating system's answer.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether the reason is that there is no space, whatever became of the bytes.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::SyncFailed(source) => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}
