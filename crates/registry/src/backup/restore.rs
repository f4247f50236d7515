//! Putting a backup back into an empty place.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use larder_blobs::fs::FsStore;
use larder_blobs::{BlobStore, StoreMarker};
use larder_catalog::Catalog;
use larder_catalog::model::Options;
use serde::Serialize;

use super::copy::copy_live;
use super::folder::{Folder, Label, digest_of_file};
use super::take::open_store;
use super::{BackupProgress, Damaged, blocking};
use crate::usage::Counted;
use crate::{Actor, Error, Registry, Result};

/// Sessions given up at once.
const SESSIONS: usize = 200;

/// A backup that came to its end, held for reading.
pub struct Backup {
    folder: Folder,
    label: Label,
    store: FsStore,
}

/// What restoring the objects did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// The moment whose state was put back.
    pub taken_at: String,
    /// Objects that were put back, or were there from an attempt before.
    pub blobs: Counted,
    /// Objects that the backup does not hold, or not any more as they were.
    pub damaged: Vec<Damaged>,
}

impl Backup {
    /// Opens the backup in a folder, and reads its catalog back.
    ///
    /// # Errors
    /// [`Error::BackupRefused`] when there is none, or its catalog is not what was written.
    pub async fn open(folder: &Path) -> Result<Self> {
        let root = folder.to_owned();
        let (folder, label) = blocking(move || {
            let folder = Folder::take_existing(&root)?;
            let Some(label) = folder.label()? else {
                return Err(Error::BackupRefused("no backup has come to its end in this folder"));
            };
            let (digest, _) = digest_of_file(&folder.path(&label.catalog))?;
            if digest.to_string() != label.catalog_digest {
                return Err(Error::BackupRefused("the backup's catalog is not what was written: it is damaged"));
            }
            Ok((folder, label))
        })
        .await?;
        let store = open_store(&folder).await?;
        Ok(Self { folder, label, store })
    }

    /// The copy of the catalog, to be put in place after the objects.
    pub fn catalog(&self) -> PathBuf {
        self.folder.path(&self.label.catalog)
    }

    /// The secret key's place in the folder, whether it is there or not.
    pub fn secret_key(&self) -> PathBuf {
        self.folder.path("secret.key")
    }

    /// Which backup it is, so that an attempt that was cut off can go on.
    pub fn name(&self) -> String {
        format!("{} {}", self.label.store_id, self.label.taken_at)
    }

    /// Puts the objects into an empty store, or into what an attempt with the same backup left. The store belongs to the backup's catalog from the first
    /// moment on: with any other it is refused (**Invariant 14**).
    pub async fn put_back(
        &self,
        store: &dyn BlobStore,
        progress: &(dyn Fn(BackupProgress) + Send + Sync),
    ) -> Result<RestoreReport> {
        let Label { store_id, generation, .. } = self.label.clone();
        store.set_marker(&StoreMarker { store_id, generation }).await?;
        let snapshot =
            Catalog::open_sqlite(&self.catalog(), &Options { read_only: true, ..Options::default() }).await?;
        let copied = copy_live(&snapshot, &self.store, store, progress).await;
        let outcome = match copied {
            Ok(copied) => copied.outcome(&snapshot).await,
            Err(error) => Err(error),
        };
        snapshot.close().await;
        let (blobs, damaged) = outcome?;
        Ok(RestoreReport { taken_at: self.label.taken_at.clone(), blobs, damaged })
    }
}

impl Registry {
    /// Forgets what a backup does not hold: open uploads, and blobs that were on their way out or set aside. For a registry that was just restored.
    pub async fn settle_restored(&self, actor: &Actor) -> Result<()> {
        self.owner(actor)?;
        self.writable()?;
        loop {
            let open = self.inner.catalog.expired_uploads(Timestamp::MAX, SESSIONS).await?;
            if open.is_empty() {
                break;
            }
            for upload in &open {
                self.give_up(upload).await?;
            }
        }
        self.inner.catalog.forget_left_behind().await?;
        Ok(())
    }
}
