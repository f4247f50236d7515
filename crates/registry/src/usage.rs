//! Where the bytes are.

use serde::{Deserialize, Serialize};

use crate::{Actor, OldTree, Registry, Result, UsageTotals};

/// Numbers and bytes by the reason they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Blobs that are served.
    pub live: Counted,
    /// Of these, blobs that no manifest names: kept by a lease, or waiting for the sweep.
    pub unreferenced: Counted,
    /// Of the live ones, blobs that only the trash holds.
    pub trash: Counted,
    /// Blobs that were replaced or condemned and still have bytes.
    pub leaving: Counted,
    /// Blobs set aside because they were found wrong.
    pub quarantined: Counted,
    /// Of the live ones, blobs that were taken over from another registry's tree and that nobody has hashed yet.
    pub unverified: Counted,
    /// Manifests; their bytes are in the catalog.
    pub manifests: Counted,
    /// Open upload sessions and their durable bytes.
    pub uploads: Counted,
    /// What waits for the sweep.
    pub queue: Queue,
    /// Trees of another registry that were taken over and are still there.
    pub old_trees: Vec<OldTree>,
    /// Free bytes of the store, where it has such a thing.
    pub available: Option<u64>,
    /// Its whole size in bytes.
    pub total: Option<u64>,
}

/// How many, and how many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Counted {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }

    pub(crate) fn subtract(&mut self, bytes: u64) {
        self.count -= 1;
        self.bytes -= bytes;
    }
}

/// The sweep queue's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// Rows that wait.
    pub waiting: u64,
    /// Of these, rows that are due.
    pub due: u64,
}

impl From<(u64, u64)> for Counted {
    fn from((count, bytes): (u64, u64)) -> Self {
        Self { count, bytes }
    }
}

impl Registry {
    /// Adds it all up. Walks tables: for people, not for a hot path.
    pub async fn usage(&self, actor: &Actor) -> Result<Usage> {
        self.operator(actor)?;
        let totals: UsageTotals = self.inner.catalog.usage(self.now()).await?;
        let space = self.inner.store.space().await?;
        Ok(Usage {
            live: totals.live.into(),
            unreferenced: totals.unreferenced.into(),
            trash: totals.trash.into(),
            leaving: totals.leaving.into(),
            quarantined: totals.quarantined.into(),
            unverified: self.inner.catalog.unverified_totals().await?.into(),
            manifests: totals.manifests.into(),
            uploads: totals.uploads.into(),
            queue: Queue { waiting: totals.queue.0, due: totals.queue.1 },
            old_trees: self.old_trees().await?,
            available: space.map(|space| space.available),
            total: space.map(|space| space.total),
        })
    }
}
