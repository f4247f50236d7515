//! What crashes leave over: bytes that no row knows.
//!
//! **Invariant 2**: the session is asked first, then the row; a session stays registered until the transaction that makes its blob live, so one of the
//! two always knows an object that may yet be promised. Age plays no part.

use futures::StreamExt;
use larder_blobs::{BlobKey, Stored};
use larder_oci::UploadId;

use crate::sweep::{SweepProgress, SweepReport};
use crate::{Error, Registry, Result};

/// Objects looked up at once.
const BATCH: usize = 500;

/// Something in the store that no row knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Orphan {
    /// An object.
    Object(BlobKey, u64),
    /// An upload's bytes.
    Upload(UploadId, u64),
}

impl Registry {
    /// Walks the store and removes what no row knows.
    pub(crate) async fn remove_orphans(
        &self,
        report: &mut SweepReport,
        progress: &(dyn Fn(SweepProgress) + Send + Sync),
    ) -> Result<()> {
        self.writable()?;
        if self.is_behind() {
            return Err(Error::CatalogBehind);
        }
        let mut walk = self.inner.store.list().await?.chunks(BATCH);
        while let Some(batch) = walk.next().await {
            let batch: Vec<Stored> = batch.into_iter().collect::<larder_blobs::Result<_>>()?;
            for orphan in self.orphans_among(&batch).await? {
                let size = match &orphan {
                    Orphan::Object(key, size) => {
                        self.inner.store.remove(key).await?;
                        *size
                    }
                    Orphan::Upload(id, size) => {
                        self.inner.store.discard_upload(id).await?;
                        *size
                    }
                };
                tracing::info!(?orphan, "removed what no row knows");
                report.orphans_removed += 1;
                report.orphan_bytes += size;
            }
            progress(SweepProgress::Orphans(report.clone()));
        }
        Ok(())
    }

    /// Which of these nothing knows. Sessions first, then rows: the order is the proof.
    pub(crate) async fn orphans_among(&self, stored: &[Stored]) -> Result<Vec<Orphan>> {
        let suspects: Vec<&Stored> =
            stored.iter().filter(|stored| matches!(stored, Stored::Upload { .. } | Stored::Object { .. })).collect();
        let sessions: Vec<UploadId> = suspects.iter().filter_map(|stored| session_of(stored)).collect();
        let mut registered = self.inner.catalog.uploads_exist(&sessions).await?.into_iter();
        let mut unregistered = Vec::new();
        for stored in suspects {
            if session_of(stored).is_none_or(|_| !registered.next().unwrap_or(true)) {
                unregistered.push(stored);
            }
        }
        let keys: Vec<String> = unregistered.iter().filter_map(|stored| key_of(stored)).collect();
        let mut known = self.inner.catalog.keys_known(&keys).await?.into_iter();
        let mut orphans = Vec::new();
        for stored in unregistered {
            match stored {
                Stored::Upload { id, size } => orphans.push(Orphan::Upload(*id, *size)),
                Stored::Object { key, size, .. } if !known.next().unwrap_or(true) => {
                    orphans.push(Orphan::Object(key.clone(), *size));
                }
                Stored::Object { .. } | Stored::Quarantined { .. } | Stored::Foreign { .. } => {}
            }
        }
        Ok(orphans)
    }
}

fn session_of(stored: &Stored) -> Option<UploadId> {
    match stored {
        Stored::Upload { id, .. } => Some(*id),
        Stored::Object { upload, .. } => *upload,
        Stored::Quarantined { .. } | Stored::Foreign { .. } => None,
    }
}

fn key_of(stored: &Stored) -> Option<String> {
    match stored {
        Stored::Object { key, .. } => Some(key.as_str().to_owned()),
        Stored::Upload { .. } | Stored::Quarantined { .. } | Stored::Foreign { .. } => None,
    }
}
