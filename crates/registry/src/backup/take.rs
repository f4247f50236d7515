//! Taking a backup.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::StreamExt;
use larder_blobs::fs::FsStore;
use larder_blobs::{BlobStore, Stored};
use larder_catalog::Catalog;
use larder_catalog::model::Options;

use super::copy::{Copied, copy_live};
use super::folder::{Folder, Label, digest_of_file};
use super::{BackupProgress, BackupReport, Damaged, blocking};
use crate::usage::Counted;
use crate::{Actor, Error, Registry, Result};

/// Objects of the backup that are looked up at once.
const LISTED: usize = 500;

/// Keeps the sweep from removing bytes while it lives.
struct Hold<'a>(&'a Registry);

impl<'a> Hold<'a> {
    fn of(registry: &'a Registry) -> Self {
        registry.inner.holds.fetch_add(1, Ordering::SeqCst);
        Self(registry)
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.inner.holds.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Registry {
    /// Writes what the registry holds now into `folder`: the first time everything, later what is new. Pushes and deletes go on; a backup that was cut
    /// off leaves the one before whole, and is simply taken again. For whoever owns the data folder.
    ///
    /// Objects that are missing or wrong are reported, and everything else is in the backup.
    ///
    /// # Errors
    /// [`Error::BackupRefused`] for a folder with something else in it, with another registry's backup, or in use.
    pub async fn back_up(
        &self,
        actor: &Actor,
        folder: &Path,
        progress: &(dyn Fn(BackupProgress) + Send + Sync),
    ) -> Result<BackupReport> {
        self.owner(actor)?;
        self.serves_clients()?;
        let root = folder.to_owned();
        let store_id = self.inner.catalog.identity().await?.store_id;
        let folder = blocking(move || {
            let folder = Folder::take(&root)?;
            let before = folder.label()?;
            if before.as_ref().is_some_and(|label| label.store_id != store_id) {
                return Err(Error::BackupRefused("the folder holds the backup of another registry: name another one"));
            }
            folder.remove_catalogs_but(before.as_ref().map(|label| label.catalog.as_str()))?;
            Ok(Arc::new(folder))
        })
        .await?;
        let hold = Hold::of(self);
        let taken_at = self.now();
        let name = format!("catalog-{}.db", taken_at.as_millisecond());
        let path = folder.path(&name);
        self.inner.catalog.snapshot(&path).await?;
        // What is put back from this snapshot is seen to be older than the store it came from (**Invariant 14**).
        self.raise_generation().await?;
        let snapshot = Catalog::open_sqlite(&path, &Options { read_only: true, ..Options::default() }).await?;
        let store = open_store(&folder).await?;
        let outcome = copy_live(&snapshot, self.inner.store.as_ref(), &store, progress).await;
        drop(hold);
        let written = match outcome {
            Ok(copied) => self.finish(&folder, &snapshot, &store, name, taken_at.to_string(), copied).await,
            Err(error) => Err(error),
        };
        snapshot.close().await;
        written
    }

    async fn finish(
        &self,
        folder: &Arc<Folder>,
        snapshot: &Catalog,
        store: &FsStore,
        catalog: String,
        taken_at: String,
        copied: Copied,
    ) -> Result<BackupReport> {
        let (blobs, damaged) = copied.outcome(snapshot).await?;
        for Damaged { digest, kind, .. } in &damaged {
            tracing::error!(%digest, ?kind, "an object is damaged, and not in the backup");
        }
        let identity = snapshot.identity().await?;
        let path = folder.path(&catalog);
        let (digest, catalog_bytes) = blocking(move || digest_of_file(&path)).await?;
        let label = Label {
            catalog,
            catalog_digest: digest.to_string(),
            blobs,
            damaged,
            ..Label::new(identity.store_id, identity.generation, taken_at)
        };
        let (place, written) = (Arc::clone(folder), label.clone());
        blocking(move || {
            place.set_label(&written)?;
            place.remove_catalogs_but(Some(&written.catalog))
        })
        .await?;
        let removed = remove_unnamed(snapshot, store).await?;
        let Label { taken_at, blobs, damaged, .. } = label;
        tracing::info!(blobs = blobs.count, copied = copied.copied.count, "a backup was taken");
        Ok(BackupReport { taken_at, blobs, copied: copied.copied, removed, catalog_bytes, damaged })
    }
}

pub(super) async fn open_store(folder: &Folder) -> Result<FsStore> {
    let path = folder.store();
    blocking(move || Ok(FsStore::open(&path)?)).await
}

/// Removes what only older backups named, and what one that was cut off left half.
async fn remove_unnamed(snapshot: &Catalog, store: &FsStore) -> Result<Counted> {
    let mut removed = Counted::default();
    let mut walk = store.list().await?.chunks(LISTED);
    while let Some(batch) = walk.next().await {
        let mut objects = Vec::new();
        for stored in batch {
            match stored? {
                Stored::Object { key, size, .. } => objects.push((key, size)),
                Stored::Upload { id, .. } => store.discard_upload(&id).await?,
                Stored::Quarantined { .. } | Stored::Foreign { .. } => {}
            }
        }
        let keys: Vec<String> = objects.iter().map(|(key, _)| key.as_str().to_owned()).collect();
        let known = snapshot.keys_known(&keys).await?;
        for ((key, size), known) in objects.into_iter().zip(known) {
            if !known {
                store.remove(&key).await?;
                removed.add(size);
            }
        }
    }
    Ok(removed)
}
