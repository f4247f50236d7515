//! What only the store on disk promises: its tree, its order of calls, its behaviour under faults.

mod adoption;
mod faults;
mod order;
pub(super) mod tap;
mod tree;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use larder_oci::{Algorithm, UploadId};
use tempfile::TempDir;

use super::FsStore;
use crate::hash::digest_of;
use crate::{BlobStore as _, Checkpoint, Committed, Result};

fn store() -> (TempDir, FsStore) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = FsStore::open(directory.path()).expect("opens");
    (directory, store)
}

/// An upload as the registry does one: a checkpoint in the middle, then the rest, then the commit.
async fn upload(store: &FsStore, id: UploadId, bytes: &Bytes) -> Result<Committed> {
    let mut upload = store.open_upload(&id, Checkpoint::start(Algorithm::Sha256)).await?;
    let middle = bytes.len() / 2;
    upload.write(bytes.slice(..middle)).await?;
    upload.checkpoint().await?.await?;
    upload.write(bytes.slice(middle..)).await?;
    upload.commit(&digest_of(Algorithm::Sha256, bytes)).await
}

/// A copy of a folder as a process that dies now would leave it.
fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy_tree(&entry.path(), &target),
            // A file may go between the two looks.
            _ => drop(std::fs::copy(entry.path(), target)),
        }
    }
}

fn arc(store: &FsStore) -> Arc<FsStore> {
    Arc::new(store.clone())
}
