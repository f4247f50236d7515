//! Collection: what nothing holds goes, without ever stopping a push.
//!
//! A look-up decides, never a mark phase: the queue names what may have lost its last holder; one transaction, of the kind that a manifest push takes,
//! re-checks edges and leases and condemns (**Invariant 6**); then the bytes go; then the row (**Invariant 2**). Every step may be done twice, so
//! several sweeps beside each other, and a verification beside them, need no lock (**Invariant 4**).

use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt, stream};
use larder_blobs::BlobKey;
use larder_catalog::model::Blob;
use serde::Serialize;

use crate::clock::before;
use crate::{Actor, Error, Registry, Result};

/// Queue rows looked at in one transaction: few enough that a push hardly waits for it.
const BATCH: usize = 200;
/// Objects removed at the same time.
const REMOVALS: usize = 4;
/// Idle sessions given up in one round.
const EXPIRED: usize = 200;

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Queue rows that were due.
    pub reviewed: u64,
    /// Kept, because a manifest or a lease holds them.
    pub kept: u64,
    /// Blobs that left a repository.
    pub memberships_removed: u64,
    /// Objects whose bytes were removed.
    pub blobs_removed: u64,
    /// Those bytes.
    pub bytes_removed: u64,
    /// Objects whose bytes stay until a backup under way has ended.
    pub held: u64,
    /// Manifests whose time in the trash was over.
    pub trash_emptied: u64,
    /// Upload sessions that had been idle too long.
    pub uploads_expired: u64,
    /// Leftovers of crashes: objects and upload files that no row knows.
    pub orphans_removed: u64,
    /// Their bytes.
    pub orphan_bytes: u64,
}

/// How far a sweep is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum SweepProgress {
    /// The queue.
    Queue(SweepReport),
    /// The walk over the store for what no row knows.
    Orphans(SweepReport),
}

impl Registry {
    /// Collects what is due now, gives up idle sessions and removes what crashes left over.
    pub async fn sweep(&self, actor: &Actor, progress: &(dyn Fn(SweepProgress) + Send + Sync)) -> Result<SweepReport> {
        self.operator(actor)?;
        let mut report = self.sweep_queue(progress).await?;
        self.remove_orphans(&mut report, progress).await?;
        Ok(report)
    }

    /// The part that runs in the background every few minutes: the queue and idle sessions, without a walk over the store.
    pub async fn sweep_queue(&self, progress: &(dyn Fn(SweepProgress) + Send + Sync)) -> Result<SweepReport> {
        self.writable()?;
        if self.is_behind() {
            return Err(Error::CatalogBehind);
        }
        let trash_emptied = self.inner.catalog.empty_trash(self.now()).await?;
        let mut report = SweepReport { trash_emptied, ..SweepReport::default() };
        self.finish_condemned(&mut report).await?;
        loop {
            let batch = self.inner.catalog.sweep(self.now(), BATCH).await?;
            report.reviewed += batch.reviewed;
            report.kept += batch.kept;
            report.memberships_removed += batch.memberships_removed;
            self.remove_bytes(batch.condemned, &mut report).await?;
            progress(SweepProgress::Queue(report.clone()));
            if batch.reviewed < BATCH as u64 {
                break;
            }
        }
        self.expire_uploads(&mut report).await?;
        Ok(report)
    }

    /// What a crash left condemned.
    async fn finish_condemned(&self, report: &mut SweepReport) -> Result<()> {
        while !self.holds_bytes() {
            let condemned = self.inner.catalog.condemned(BATCH).await?;
            let last = condemned.len() < BATCH;
            self.remove_bytes(condemned, report).await?;
            if last {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Bytes first, then the row: a crash in between leaves a row that says `deleting`, which nobody serves (**Invariant 2**).
    async fn remove_bytes(&self, condemned: Vec<Blob>, report: &mut SweepReport) -> Result<()> {
        // Looked at after they were condemned: a snapshot from before is held, one from after does not name them.
        if self.holds_bytes() {
            report.held += condemned.len() as u64;
            return Ok(());
        }
        let mut removals = stream::iter(condemned)
            .map(|blob| async move {
                self.inner.store.remove(&BlobKey::from_stored(blob.key.clone())).await?;
                self.inner.catalog.forget_blob(&blob.key).await?;
                Ok::<_, Error>(blob.size)
            })
            .buffer_unordered(REMOVALS);
        while let Some(size) = removals.try_next().await? {
            report.blobs_removed += 1;
            report.bytes_removed += size;
            self.inner.counters.swept_blobs.fetch_add(1, Ordering::Relaxed);
            self.inner.counters.swept_bytes.fetch_add(size, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Sessions that nobody came back to give their disk back. One that is being written to is not idle, whatever its row says.
    async fn expire_uploads(&self, report: &mut SweepReport) -> Result<()> {
        let limit = before(self.now(), self.inner.settings.uploads_idle);
        loop {
            let idle = self.inner.catalog.expired_uploads(limit, EXPIRED).await?;
            let mut given_up = 0;
            for upload in &idle {
                let Some(_claim) = self.inner.sessions.claim(&upload.id, None).await else { continue };
                // A writer may have come and gone between the list and the claim.
                let row = self.inner.catalog.upload(&upload.repository, &upload.id).await?;
                if row.is_some_and(|row| row.touched <= limit) {
                    self.give_up(upload).await?;
                    given_up += 1;
                }
            }
            report.uploads_expired += given_up;
            if idle.len() < EXPIRED || given_up == 0 {
                return Ok(());
            }
        }
    }
}
