//! How the catalog is: its counters, and the message with which the process must end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::latency::{Latency, LatencyCounter};

/// Figures about the catalog since it was opened, for `/metrics`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Commits of write transactions.
    pub commits: u64,
    /// Units of work that were committed; on SQLite several share a commit.
    pub units: u64,
    /// Units of work that failed.
    pub failures: u64,
    /// Transactions that were run again because another process was in their way (PostgreSQL).
    pub retries: u64,
    /// Seconds spent in commits.
    pub commit_seconds_total: f64,
    /// How long units that write took, with the wait for their turn and for the disk.
    pub writes: Latency,
    /// How long units that read took, with the wait for a connection.
    pub reads: Latency,
    /// Bytes of the write-ahead log (SQLite).
    pub wal_bytes: u64,
    /// Checkpoints that were run (SQLite).
    pub checkpoints: u64,
    /// Whether the disk was full and the reserve is spent (SQLite).
    pub reserve_spent: bool,
}

/// Shared by all threads of a catalog.
#[derive(Debug)]
pub(crate) struct Health {
    fatal: watch::Sender<Option<String>>,
    commits: AtomicU64,
    units: AtomicU64,
    failures: AtomicU64,
    retries: AtomicU64,
    commit_nanos: AtomicU64,
    pub(super) writes: LatencyCounter,
    pub(super) reads: LatencyCounter,
    checkpoints: AtomicU64,
    reserve_spent: AtomicBool,
    wal: Option<PathBuf>,
}

impl Health {
    pub fn new(wal: Option<PathBuf>) -> Self {
        Self {
            fatal: watch::Sender::new(None),
            commits: AtomicU64::new(0),
            units: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            commit_nanos: AtomicU64::new(0),
            writes: LatencyCounter::default(),
            reads: LatencyCounter::default(),
            checkpoints: AtomicU64::new(0),
            reserve_spent: AtomicBool::new(false),
            wal,
        }
    }

    /// The first message stays.
    pub fn set_fatal(&self, message: &str) {
        let first = self.fatal.send_if_modified(|fatal| {
            let first = fatal.is_none();
            fatal.get_or_insert_with(|| message.to_owned());
            first
        });
        if first {
            tracing::error!(
                reason = message,
                "the catalog cannot be written: this process must end and recover at its next start"
            );
        }
    }

    pub fn fatal(&self) -> Option<String> {
        self.fatal.borrow().clone()
    }

    /// Resolves when the catalog cannot be written any more.
    pub async fn until_fatal(&self) -> String {
        let mut fatal = self.fatal.subscribe();
        match fatal.wait_for(Option::is_some).await {
            Ok(message) => message.clone().unwrap_or_default(),
            // Cannot happen while `self` holds the sender.
            Err(_) => std::future::pending().await,
        }
    }

    pub fn committed(&self, units: u64, took: Duration) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.units.fetch_add(units, Ordering::Relaxed);
        self.commit_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn failed(&self, units: u64) {
        self.failures.fetch_add(units, Ordering::Relaxed);
    }

    pub fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub fn checkpointed(&self) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
    }

    pub fn set_reserve_spent(&self, spent: bool) {
        self.reserve_spent.store(spent, Ordering::Relaxed);
    }

    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub fn wal_bytes(&self) -> u64 {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        self.wal.as_deref().map_or(0, length)
    }

    pub fn statistics(&self) -> Statistics {
        Statistics {
            commits: self.commits(),
            units: self.units.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            commit_seconds_total: Duration::from_nanos(self.commit_nanos.load(Ordering::Relaxed)).as_secs_f64(),
            writes: self.writes.latency(),
            reads: self.reads.latency(),
            wal_bytes: self.wal_bytes(),
            checkpoints: self.checkpoints.load(Ordering::Relaxed),
            reserve_spent: self.reserve_spent.load(Ordering::Relaxed),
        }
    }
}
