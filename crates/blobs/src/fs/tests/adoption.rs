//! Files of another program as objects.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use larder_oci::{Algorithm, Digest, UploadId};
use rustix::io::Errno;
use tempfile::TempDir;

use super::store;
use crate::fs::FsStore;
use crate::fs::disk::Call;
use crate::hash::digest_of;
use crate::suite::{body, list, new_id, read_all};
use crate::{Adopted, Adoption, Arrival, BlobStore as _, Committed, Error, Foreign, Stored};

struct Source {
    folder: TempDir,
    upload: UploadId,
}

impl Source {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary directory"), upload: new_id() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn write(&self, bytes: &Bytes) -> Digest {
        std::fs::write(self.path(), bytes).expect("a file");
        digest_of(Algorithm::Sha256, bytes)
    }

    fn of(&self, digest: Digest) -> Vec<Foreign> {
        vec![Foreign { path: self.path(), digest, upload: self.upload }]
    }
}

async fn adopt(store: &FsStore, source: &Source, digest: Digest, may_copy: bool) -> Adoption {
    let mut adoptions = store.adopt(source.of(digest), may_copy).await.expect("the store works");
    adoptions.pop().expect("one answer for one file")
}

fn done(adoption: Adoption) -> Adopted {
    match adoption {
        Adoption::Done(adopted) => adopted,
        other => panic!("{other:?}"),
    }
}

/// Answers these calls with an error, as a file system without them would.
fn without(store: &FsStore, calls: &'static [Call], errno: Errno) {
    store.inner.disk.tap.set(move |call, _| calls.contains(&call).then_some(errno));
}

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).expect("it is there").ino()
}

#[tokio::test]
async fn a_file_of_the_same_file_system_gets_a_second_name() {
    let (directory, store) = store();
    let (source, bytes) = (Source::new(), body(1, 70_000));
    let digest = source.write(&bytes);
    let adopted = done(adopt(&store, &source, digest, false).await);
    assert_eq!((adopted.arrival, adopted.size), (Arrival::Link, 70_000));
    assert_eq!(inode(&source.path()), inode(&directory.path().join("blobs").join(adopted.key.as_str())));
    let committed = Committed { key: adopted.key.clone(), digest, size: adopted.size };
    assert_eq!(read_all(&store, &committed).await, bytes);
    // Another repository of the same tree names it too.
    assert_eq!(done(adopt(&store, &source, digest, false).await), adopted);
    store.remove(&adopted.key).await.expect("removed");
    assert_eq!(std::fs::read(source.path()).expect("the original stays"), bytes);
}

#[tokio::test]
async fn what_cannot_be_linked_is_copied_only_if_that_is_allowed() {
    let (directory, store) = store();
    let (source, bytes) = (Source::new(), body(2, 3_000_000));
    let digest = source.write(&bytes);
    without(&store, &[Call::Link, Call::ShareBlocks], Errno::XDEV);
    match adopt(&store, &source, digest, false).await {
        Adoption::NeedsCopy { size: 3_000_000, why } => assert!(why.contains("ross-device"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(list(&store).await, []);
    let adopted = done(adopt(&store, &source, digest, true).await);
    assert_eq!(adopted.arrival, Arrival::Copy);
    let object = directory.path().join("blobs").join(adopted.key.as_str());
    assert_ne!(inode(&source.path()), inode(&object));
    assert_eq!(std::fs::read(object).expect("the copy"), bytes);
    assert_eq!(done(adopt(&store, &source, digest, true).await).key, adopted.key);
    let held = list(&store).await;
    assert!(matches!(&held[..], [Stored::Object { upload: Some(upload), .. }] if *upload == source.upload), "{held:?}");
}

#[tokio::test]
async fn what_is_no_regular_file_is_not_taken() {
    let (_directory, store) = store();
    let (source, digest) = (Source::new(), digest_of(Algorithm::Sha256, b"x"));
    assert!(matches!(adopt(&store, &source, digest, true).await, Adoption::Absent));
    symlink("/etc/hostname", source.path()).expect("a symbolic link");
    assert!(matches!(adopt(&store, &source, digest, true).await, Adoption::NotAFile));
    std::fs::remove_file(source.path()).expect("removed");
    std::fs::create_dir(source.path()).expect("a directory");
    assert!(matches!(adopt(&store, &source, digest, true).await, Adoption::NotAFile));
    assert_eq!(list(&store).await, []);
}

/// Invariant 2: what an adoption answers is durable, names included, and a sync that failed is no answer (Invariant 11).
#[tokio::test]
async fn a_batch_is_durable_when_it_is_answered() {
    let (_directory, store) = store();
    let source = Source::new();
    let digest = source.write(&body(3, 10));
    let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
    let seen = Arc::clone(&calls);
    store.inner.disk.tap.set(move |call, _| {
        seen.lock().expect("no panic").push(call);
        None
    });
    done(adopt(&store, &source, digest, false).await);
    let calls = calls.lock().expect("no panic").clone();
    let at = |wanted: Call| calls.iter().position(|call| *call == wanted).expect("it is called");
    assert!(at(Call::Link) < at(Call::FileSystemSync), "{calls:?}");

    let next = Source::new();
    let digest = next.write(&body(4, 10));
    without(&store, &[Call::FileSystemSync], Errno::IO);
    let failed = store.adopt(next.of(digest), false).await;
    assert!(matches!(failed, Err(Error::SyncFailed(_))), "{failed:?}");
}

#[tokio::test]
async fn a_full_disk_leaves_no_half_of_a_copy() {
    let (directory, store) = store();
    let source = Source::new();
    let digest = source.write(&body(5, 10));
    store.inner.disk.tap.set(|call, _| match call {
        Call::Link | Call::ShareBlocks => Some(Errno::XDEV),
        Call::Write => Some(Errno::NOSPC),
        _ => None,
    });
    let failed = store.adopt(source.of(digest), true).await;
    assert!(matches!(failed, Err(Error::Full(_))), "{failed:?}");
    let left = std::fs::read_dir(directory.path().join("uploads")).expect("a directory").count();
    assert_eq!((left, list(&store).await), (0, vec![]));
}
