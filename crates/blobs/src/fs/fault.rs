//! From `errno` to this crate's errors.

use std::io;

use rustix::io::Errno;

use crate::{Error, Result};

/// Adds to a failed call what was being done, in words without absolute paths (**Invariant 13**).
pub(super) trait During<T> {
    fn during(self, context: impl FnOnce() -> String) -> Result<T>;
    /// The same for a sync: its failure is never an ordinary fault (**Invariant 11**).
    fn during_sync(self) -> Result<T>;
}

impl<T> During<T> for rustix::io::Result<T> {
    fn during(self, context: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| if is_full(errno) { Error::Full(errno.into()) } else { io_error(context(), errno) })
    }

    fn during_sync(self) -> Result<T> {
        self.map_err(|errno| Error::SyncFailed(errno.into()))
    }
}

pub(super) fn io_error(context: String, source: impl Into<io::Error>) -> Error {
    Error::Io { context, source: source.into() }
}

/// No blocks, no inodes or over a quota.
pub(super) fn is_full(errno: Errno) -> bool {
    matches!(errno, Errno::NOSPC | Errno::DQUOT)
}

/// Runs blocking calls off the runtime.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(stopped) => Err(io_error("run a blocking call".to_owned(), io::Error::other(stopped))),
    }
}
