//! In which order things become durable, and what a process leaves that dies between any two calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use larder_oci::Algorithm;

use super::{copy_tree, store, upload};
use crate::fs::FsStore;
use crate::fs::disk::Call;
use crate::fs::session::lock;
use crate::hash::digest_of;
use crate::suite::{body, collect, list, new_id, read_all};
use crate::{BlobStore as _, Checkpoint, StoreMarker, Stored};

fn record(store: &FsStore) -> Arc<Mutex<Vec<(Call, String)>>> {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&calls);
    store.inner.disk.tap.set(move |call, path| {
        lock(&log).push((call, path.to_owned()));
        None
    });
    calls
}

/// **Invariant 12**, and behaviour §2: bytes, then the shard's name, then the object's name, then that name made durable.
#[tokio::test]
async fn bytes_are_durable_before_their_name_and_the_name_before_the_answer() {
    let (_directory, store) = store();
    let calls = record(&store);
    let id = new_id();
    let committed = upload(&store, id, &body(1, 1_000_000)).await.expect("commits");
    let key = committed.key.as_str();
    let shard = format!("blobs/{}", &key[..9]);
    let expected = [
        (Call::DataSync, format!("uploads/{id}")),
        (Call::DirectorySync, "uploads".to_owned()),
        (Call::DataSync, format!("uploads/{id}")),
        (Call::MakeDirectory, shard.clone()),
        (Call::DirectorySync, "blobs/sha256".to_owned()),
        (Call::Rename, format!("blobs/{key}")),
        (Call::DirectorySync, shard.clone()),
    ];
    let ordered = [Call::DataSync, Call::DirectorySync, Call::MakeDirectory, Call::Rename];
    let calls = std::mem::take(&mut *lock(&calls));
    let last_write = calls.iter().rposition(|(call, _)| *call == Call::Write).expect("writes");
    let last_sync = calls.iter().rposition(|(call, _)| *call == Call::DataSync).expect("syncs");
    assert!(last_write < last_sync, "{calls:?}");
    let calls: Vec<_> = calls.into_iter().filter(|(call, _)| ordered.contains(call)).collect();
    assert_eq!(calls, expected);
}

#[tokio::test]
async fn a_shard_directory_is_made_durable_once_and_made_again_when_it_went() {
    let (directory, store) = store();
    let bytes = body(2, 10);
    let first = upload(&store, new_id(), &bytes).await.expect("commits");
    let calls = record(&store);
    let second = upload(&store, new_id(), &bytes).await.expect("commits");
    assert!(!lock(&calls).iter().any(|(call, _)| *call == Call::MakeDirectory));
    for committed in [first, second] {
        store.remove(&committed.key).await.expect("removes");
    }
    let key = digest_of(Algorithm::Sha256, &bytes).hex();
    std::fs::remove_dir(directory.path().join("blobs/sha256").join(&key[..2])).expect("an empty directory");
    upload(&store, new_id(), &bytes).await.expect("commits");
    assert!(lock(&calls).contains(&(Call::DirectorySync, "blobs/sha256".to_owned())));
}

#[tokio::test]
async fn the_marker_is_durable_before_it_replaces() {
    let (_directory, store) = store();
    let calls = record(&store);
    store.set_marker(&StoreMarker { store_id: "x".to_owned(), generation: 1 }).await.expect("writes");
    let calls: Vec<Call> = lock(&calls).iter().map(|(call, _)| *call).collect();
    assert_eq!(
        calls,
        [Call::Unlink, Call::Create, Call::Write, Call::DataSync, Call::Rename, Call::Open, Call::DirectorySync]
    );
}

/// Invariants 1 and 12 for a process killed before any of its calls: what stands under `blobs/` is whole, whatever else is left.
#[tokio::test]
async fn a_process_that_dies_between_any_two_calls_leaves_no_broken_object() {
    let (directory, store) = store();
    let images = tempfile::tempdir().expect("a temporary directory");
    let (from, to) = (directory.path().to_owned(), images.path().to_owned());
    let taken = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&taken);
    store.inner.disk.tap.set(move |_, _| {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        copy_tree(&from, &to.join(number.to_string()));
        None
    });
    let (first, second) = (body(3, 700_000), body(4, 5000));
    let kept = upload(&store, new_id(), &first).await.expect("commits");
    let removed = upload(&store, new_id(), &second).await.expect("commits");
    store.quarantine(&kept.key).await.expect("sets aside");
    store.remove(&removed.key).await.expect("removes");
    let images_taken = taken.load(Ordering::Relaxed);
    assert!(images_taken > 30, "{images_taken} calls");
    let mut objects = 0;
    for number in 0..images_taken {
        let image = FsStore::open(&images.path().join(number.to_string())).expect("opens");
        for stored in list(&image).await {
            match stored {
                Stored::Object { key, digest, size, .. } => {
                    let object = image.open(&key, size).await.expect("opens");
                    let bytes = collect(object.read(0..size)).await.expect("reads");
                    assert_eq!(Some(digest_of(Algorithm::Sha256, &bytes)), digest, "image {number}");
                    objects += 1;
                }
                Stored::Upload { .. } | Stored::Quarantined { .. } => {}
                Stored::Foreign { name, .. } => panic!("{name} in image {number}"),
            }
        }
    }
    assert!(objects > 0);
}

/// A checkpoint holds in an image of the folder that is taken while the writer goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_holds_in_an_image_taken_while_the_writer_goes_on() {
    let (directory, store) = store();
    let bytes = body(5, 6_000_000);
    for (number, cut) in [1, 262_143, 1_000_000, 3_333_333].into_iter().enumerate() {
        let id = new_id();
        let mut writer = store.open_upload(&id, Checkpoint::start(Algorithm::Sha256)).await.expect("opens");
        writer.write(bytes.slice(..cut)).await.expect("writes");
        let checkpoint = writer.checkpoint().await.expect("pipeline").await.expect("sync");
        let rest = bytes.slice(cut..);
        let going_on = tokio::spawn(async move {
            for from in (0..rest.len()).step_by(10_000) {
                writer.write(rest.slice(from..rest.len().min(from + 10_000))).await.expect("writes");
            }
            writer
        });
        let image = tempfile::tempdir().expect("a temporary directory");
        copy_tree(directory.path(), image.path());
        let restarted = FsStore::open(image.path()).expect("opens");
        let mut upload = restarted.open_upload(&id, checkpoint).await.expect("resumes");
        upload.write(bytes.slice(cut..)).await.expect("writes");
        let digest = digest_of(Algorithm::Sha256, &bytes);
        let committed = upload.commit(&digest).await.expect("commits");
        assert!(read_all(&restarted, &committed).await == bytes, "image {number}");
        let original = going_on.await.expect("writes").commit(&digest).await.expect("commits");
        assert!(read_all(&store, &original).await == bytes);
    }
}
