//! Moves SQLite's write-ahead log into the database on a connection of its own, so that no commit waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::Fault;
use super::health::Health;
use super::writer::write_error;
use crate::Error;

/// A log of so many pages is moved.
pub(super) const CHECKPOINT_PAGES: u64 = 8_000;
/// How often the log's length is looked at.
const TICK: Duration = Duration::from_secs(5);
/// Without a commit for so long, the log is cut to nothing.
const QUIET: Duration = Duration::from_secs(30);
/// A log of so many bytes is cut although the writer waits for it.
const LARGE: u64 = 128 << 20;
/// A log of so many bytes is an alarm: a reader holds it, or the disk is too slow.
const ALARM: u64 = 256 << 20;

/// The checkpoint's thread.
pub(super) struct Checkpoint {
    pub connection: Connection,
    pub health: Arc<Health>,
    pub wal_pages: Arc<AtomicU64>,
    pub wake: Receiver<()>,
}

impl Checkpoint {
    /// Works until the writer is gone.
    pub fn run(self) {
        let (mut commits, mut since, mut alarmed) = (self.health.commits(), Instant::now(), false);
        loop {
            match self.wake.recv_timeout(TICK) {
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            }
            if self.health.fatal().is_some() {
                continue;
            }
            if commits != self.health.commits() {
                (commits, since) = (self.health.commits(), Instant::now());
            }
            let bytes = self.health.wal_bytes();
            if bytes > LARGE || (bytes > 0 && since.elapsed() > QUIET) {
                self.checkpoint("PRAGMA wal_checkpoint(TRUNCATE)");
            } else if self.wal_pages.load(Ordering::Relaxed) >= CHECKPOINT_PAGES {
                self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
            }
            let still = self.health.wal_bytes();
            if still > ALARM && !alarmed {
                tracing::error!(
                    bytes = still,
                    "the catalog's log does not shrink: a read holds it, or the disk is too slow"
                );
            }
            alarmed = still > ALARM;
        }
    }

    fn checkpoint(&self, sql: &str) {
        // Answers (busy, pages in the log, pages moved).
        let outcome = self
            .connection
            .query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
        match outcome {
            Ok((busy, pages, moved)) => {
                tracing::debug!(busy, pages, moved, "checkpoint");
                if pages == moved {
                    // The next commit begins the log anew and counts again.
                    self.wal_pages.store(0, Ordering::Relaxed);
                }
                self.health.checkpointed();
            }
            Err(error) => match write_error(Fault::Sqlite(error)) {
                Error::Fatal(message) => self.health.set_fatal(&message),
                error => tracing::warn!(%error, "checkpoint of the catalog's log"),
            },
        }
    }
}
