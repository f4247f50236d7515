//! How units of work reach a database: a queue, threads that own the connections, and one answer for each unit.
//!
//! Knows nothing of repositories or manifests.

mod ballast;
mod checkpoint;
mod health;
mod latency;
mod migrations;
#[cfg(test)]
pub(crate) mod plans;
pub(crate) mod postgres;
mod queue;
mod shares;
pub(crate) mod sqlite;
#[cfg(test)]
mod tests;
mod tx;
mod unit;
mod writer;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

pub(crate) use self::health::Health;
pub use self::health::Statistics;
use self::latency::LatencyCounter;
pub use self::latency::{LATENCY_CLASSES, Latency};
pub(crate) use self::migrations::{POSTGRES as MIGRATIONS_POSTGRES, SQLITE as MIGRATIONS_SQLITE};
use self::queue::Queue;
pub(crate) use self::shares::{Shares, everywhere, unseen, within};
pub(crate) use self::tx::{Row, Tx, Value, dialect, unreadable, values};
pub(crate) use self::unit::Kind;
use self::unit::Pending;
pub(crate) use self::unit::announce;
use crate::{Error, Result};

/// Why a unit of work did not come to its end.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Its own verdict.
    Error(Error),
    /// SQLite's answer.
    Sqlite(rusqlite::Error),
    /// PostgreSQL's answer.
    Postgres(::postgres::Error),
    /// Another process changed what this unit had already read: it is run again.
    Conflict(&'static str),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<::postgres::Error> for Fault {
    fn from(error: ::postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

/// What a unit of work answers before it is committed.
pub(crate) type Done<T> = Result<T, Fault>;

/// An open catalog's queues and threads.
#[derive(Debug)]
pub(crate) struct Engine {
    writes: Arc<Queue>,
    reads: Arc<Queue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    pub health: Arc<Health>,
    pub migration_copy: Option<PathBuf>,
    pub is_postgres: bool,
    read_only: bool,
    changes: Arc<AtomicU64>,
    pub shares: Arc<Shares>,
}

impl Engine {
    /// Runs `work` in a transaction of its own and answers once it is durable. A caller that goes away leaves it whole or not begun.
    pub async fn write<T, F>(&self, kind: Kind, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Done<T> + Send + 'static,
    {
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        self.submit(&self.writes, &self.health.writes, kind, work).await
    }

    /// Runs `work` on a connection for reading. No read transaction outlives it.
    pub async fn read<T, F>(&self, kind: Kind, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Done<T> + Send + 'static,
    {
        self.submit(&self.reads, &self.health.reads, kind, work).await
    }

    /// Whether it was opened for reading alone.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// How many units of this process that [announced](announce) their change were committed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    async fn submit<T, F>(&self, queue: &Queue, latency: &LatencyCounter, kind: Kind, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Done<T> + Send + 'static,
    {
        let begun = Instant::now();
        let (unit, answer) = Pending::new(kind, Arc::clone(&self.changes), work);
        queue.push(Box::new(unit)).await?;
        let answer = answer.await.unwrap_or(Err(Error::Closed));
        latency.took(begun.elapsed());
        answer
    }

    /// Takes nothing more, finishes what is queued and ends the threads.
    pub async fn close(&self) {
        self.writes.close();
        self.reads.close();
        let threads = std::mem::take(&mut *self.threads.lock().expect("no thread panics while it holds this list"));
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().try_for_each(JoinHandle::join));
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("a thread of the catalog ended by a panic");
        }
    }
}

impl Drop for Engine {
    /// The threads end by themselves once their queues are closed.
    fn drop(&mut self) {
        self.writes.close();
        self.reads.close();
    }
}
