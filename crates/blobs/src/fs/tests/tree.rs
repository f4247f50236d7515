//! The folder itself.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use futures::StreamExt as _;
use larder_oci::Algorithm;

use super::{store, upload};
use crate::fs::FsStore;
use crate::fs::disk::Call;
use crate::hash::digest_of;
use crate::suite::{body, collect, list, new_id, push, read_all};
use crate::{BlobStore as _, Checkpoint, Error, StoreMarker, Stored};

#[tokio::test]
async fn the_tree_is_the_one_drawn() {
    let (directory, store) = store();
    let (id, bytes) = (new_id(), body(1, 100));
    let committed = upload(&store, id, &bytes).await.expect("commits");
    let hex = digest_of(Algorithm::Sha256, &bytes).hex();
    assert_eq!(committed.key.as_str(), format!("sha256/{}/{hex}-{id}", &hex[..2]));
    let path = directory.path().join("blobs").join(committed.key.as_str());
    assert_eq!(std::fs::read(&path).expect("the object's file"), bytes);
    assert_eq!(
        std::fs::metadata(&path).expect("the object's file").permissions().mode() & 0o007,
        0,
        "not for everybody"
    );
    let other = new_id();
    let _upload = store.open_upload(&other, Checkpoint::start(Algorithm::Sha512)).await.expect("opens");
    assert!(directory.path().join("uploads").join(other.to_string()).is_file());
    store.quarantine(&committed.key).await.expect("sets aside");
    assert!(!path.exists() && directory.path().join(format!("quarantine/sha256-{hex}-{id}")).is_file());
    store.set_marker(&StoreMarker { store_id: "s".to_owned(), generation: 3 }).await.expect("writes");
    let marker = std::fs::read_to_string(directory.path().join("larder-store.json")).expect("the marker");
    assert_eq!(marker, "{\"version\":1,\"store_id\":\"s\",\"generation\":3}\n");
}

#[tokio::test]
async fn what_the_store_did_not_write_is_foreign_and_stays() {
    let (directory, store) = store();
    let committed = push(&store, Algorithm::Sha256, &body(2, 10), 10).await;
    let key = committed.key.as_str();
    let root = directory.path();
    let outside = tempfile::NamedTempFile::new().expect("a file");
    let id = larder_oci::UploadId::from_bytes([0xab; 16]);
    let in_shard = format!("blobs/{}", &key[..10]);
    let misplaced = if key.starts_with("sha256/00") { "blobs/sha256/01" } else { "blobs/sha256/00" };
    std::fs::create_dir_all(root.join(misplaced)).expect("a directory");
    let files = [
        "notes.txt".to_owned(),
        "uploads/tmp".to_owned(),
        format!("uploads/{}", id.to_string().to_uppercase()),
        "blobs/README".to_owned(),
        "blobs/sha256/zz".to_owned(),
        "blobs/sha256/A0".to_owned(),
        format!("{in_shard}file"),
        format!("{misplaced}/{}", &key[10..]),
        format!("quarantine/{}", &key[10..]),
    ];
    for file in &files {
        std::fs::write(root.join(file), b"12345").expect("a file");
    }
    std::fs::create_dir_all(root.join("blobs/md5/ab")).expect("a directory");
    std::fs::create_dir_all(root.join("lost+found")).expect("a directory");
    symlink(outside.path(), root.join(format!("uploads/{id}"))).expect("a link");
    let mut expected: Vec<_> = files.iter().map(|name| (name.clone(), 5)).collect();
    expected.extend([("blobs/md5".to_owned(), 0), (format!("uploads/{id}"), 0)]);
    expected.sort();
    let mut found = Vec::new();
    for stored in list(&store).await {
        match stored {
            Stored::Foreign { name, size } => found.push((name, size)),
            Stored::Object { key, .. } => assert_eq!(key, committed.key),
            other => panic!("{other:?}"),
        }
    }
    found.sort();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn no_symbolic_link_is_followed() {
    let (directory, store) = store();
    let committed = push(&store, Algorithm::Sha256, &body(3, 10), 10).await;
    let path = directory.path().join("blobs").join(committed.key.as_str());
    let outside = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(outside.path(), body(3, 10)).expect("a file");
    std::fs::remove_file(&path).expect("the object's file");
    symlink(outside.path(), &path).expect("a link");
    assert!(matches!(store.open(&committed.key, 10).await, Err(Error::Absent(_))));
    assert_eq!(store.stat(&committed.key).await.expect("looks"), None);
    let id = new_id();
    symlink(outside.path(), directory.path().join(format!("uploads/{id}"))).expect("a link");
    let mut state = crate::hash::Hasher::new(Algorithm::Sha256);
    state.update(&body(3, 5));
    let from = Checkpoint { offset: 5, algorithm: Algorithm::Sha256, hash_state: state.save() };
    assert!(matches!(store.open_upload(&id, from).await, Err(Error::UploadLost(_))));
    push(&store, Algorithm::Sha256, &body(4, 10), 10).await;
    assert_eq!(std::fs::read(outside.path()).expect("a file"), body(3, 10), "the link's target is as it was");
}

/// **Invariant 1**: the final rename refuses a taken name, with `RENAME_NOREPLACE` and without.
#[tokio::test]
async fn a_commit_never_replaces() {
    for noreplace in [true, false] {
        let (directory, store) = store();
        if !noreplace {
            store.inner.disk.forgo_rename_noreplace();
        }
        let (id, bytes) = (new_id(), body(5, 50));
        let hex = digest_of(Algorithm::Sha256, &bytes).hex();
        let path = directory.path().join(format!("blobs/sha256/{}/{hex}-{id}", &hex[..2]));
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        std::fs::write(&path, b"already here").expect("a file");
        let outcome = upload(&store, id, &bytes).await;
        assert!(matches!(outcome, Err(Error::UploadLost(_))), "{outcome:?}");
        assert_eq!(std::fs::read(&path).expect("a file"), b"already here");
    }
}

#[tokio::test]
async fn a_file_system_without_noreplace_is_served_by_link_and_unlink() {
    for errno in [rustix::io::Errno::INVAL, rustix::io::Errno::NOSYS] {
        let (directory, store) = store();
        store.inner.disk.tap.set(move |call, _| (call == Call::Rename).then_some(errno));
        // The seam's answer stands for the kernel's, so the first attempt fails as a whole; from then on the store knows.
        store.inner.disk.forgo_rename_noreplace();
        let bytes = body(6, 300_000);
        let committed = upload(&store, new_id(), &bytes).await.expect("commits");
        assert!(read_all(&store, &committed).await == bytes);
        assert_eq!(std::fs::read_dir(directory.path().join("uploads")).expect("a directory").count(), 0);
        store.quarantine(&committed.key).await.expect("sets aside");
        assert_eq!(list(&store).await, [Stored::Quarantined { key: committed.key, size: 300_000 }]);
    }
}

#[tokio::test]
async fn half_a_quarantine_by_link_is_finished() {
    let (directory, store) = store();
    let committed = push(&store, Algorithm::Sha256, &body(7, 10), 10).await;
    let key = committed.key.as_str();
    let path = directory.path().join("blobs").join(key);
    let aside = directory.path().join("quarantine").join(format!("sha256-{}", &key[10..]));
    std::fs::hard_link(&path, aside).expect("a link");
    store.quarantine(&committed.key).await.expect("finishes");
    assert_eq!(list(&store).await, [Stored::Quarantined { key: committed.key, size: 10 }]);
}

/// **Invariant 12**: bytes that went after the object was opened cut the stream.
#[tokio::test]
async fn a_file_cut_while_it_is_served_ends_in_an_error() {
    for nowait in [true, false] {
        let (directory, store) = store();
        if !nowait {
            store.inner.disk.forgo_read_nowait();
        }
        let bytes = body(8, 1_000_000);
        let committed = push(&store, Algorithm::Sha256, &bytes, 100_000).await;
        let object = store.open(&committed.key, committed.size).await.expect("opens");
        let path = directory.path().join("blobs").join(committed.key.as_str());
        for medium in [false, true] {
            std::fs::write(&path, &bytes).expect("the object's file");
            let mut stream = if medium { object.read_medium() } else { object.read(0..committed.size) };
            if !medium {
                stream.next().await.expect("a piece").expect("reads");
            }
            let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the object's file");
            file.set_len(600_000).expect("is cut");
            let outcome = collect(stream).await;
            assert!(outcome.is_err_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof), "medium: {medium}");
        }
    }
}

#[tokio::test]
async fn a_store_that_knows_no_nowait_reads_the_same() {
    let (_directory, store) = store();
    store.inner.disk.forgo_read_nowait();
    let bytes = body(9, 3_000_000);
    let committed = push(&store, Algorithm::Sha256, &bytes, 100_000).await;
    assert!(read_all(&store, &committed).await == bytes);
}

#[tokio::test]
async fn what_left_the_page_cache_reads_the_same() {
    let (directory, store) = store();
    let bytes = body(13, 3_000_000);
    let committed = push(&store, Algorithm::Sha256, &bytes, 100_000).await;
    let path = directory.path().join("blobs").join(committed.key.as_str());
    let object = store.open(&committed.key, committed.size).await.expect("opens");
    for range in [0..3_000_000, 1_234_567..2_345_678, 2_999_999..3_000_000] {
        let file = std::fs::File::open(&path).expect("the object's file");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("is dropped");
        let read = collect(object.read(range.clone())).await.expect("reads");
        assert!(read == bytes[range.start as usize..range.end as usize], "{range:?}");
    }
}

/// **Invariant 14**: an unreadable marker is an error and not "none".
#[tokio::test]
async fn a_marker_that_cannot_be_read_is_an_error() {
    let (directory, store) = store();
    let newer = "{\"version\":2,\"store_id\":\"s\",\"generation\":3}";
    for text in ["", "{", "null", newer, &"x".repeat(10_000)] {
        std::fs::write(directory.path().join("larder-store.json"), text).expect("a file");
        let outcome = store.marker().await;
        assert!(matches!(outcome, Err(Error::Io { .. })), "{text:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_marker_write_that_was_interrupted_leaves_the_old_one() {
    let (directory, store) = store();
    let marker = StoreMarker { store_id: "s".to_owned(), generation: 1 };
    store.set_marker(&marker).await.expect("writes");
    std::fs::write(directory.path().join("larder-store.json.next"), "{\"ver").expect("a file");
    assert_eq!(store.marker().await.expect("reads"), Some(marker.clone()));
    let next = StoreMarker { generation: 2, ..marker };
    store.set_marker(&next).await.expect("writes over what was left");
    assert_eq!(store.marker().await.expect("reads"), Some(next));
}

#[test]
fn a_root_that_cannot_be_made_is_an_error() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    for root in [file.path().to_owned(), file.path().join("below")] {
        assert!(matches!(FsStore::open(&root), Err(Error::Io { .. })));
    }
}

/// **Invariant 13**: what the messages say is keys and names below the root.
#[tokio::test]
async fn errors_name_no_absolute_path() {
    let (directory, store) = store();
    let committed = push(&store, Algorithm::Sha256, &body(10, 10), 10).await;
    store.inner.disk.tap.set(|_, _| Some(rustix::io::Errno::ACCESS));
    let errors = [
        store.open(&committed.key, 10).await.err(),
        store.stat(&committed.key).await.err(),
        store.remove(&committed.key).await.err(),
        store.quarantine(&committed.key).await.err(),
        store.check_writable().await.err(),
        store.open_upload(&new_id(), Checkpoint::start(Algorithm::Sha256)).await.err(),
        store.list().await.expect("begins").next().await.and_then(Result::err),
    ];
    let root = directory.path().to_string_lossy().into_owned();
    for error in errors {
        let error = error.expect("fails");
        assert!(!format!("{error} {error:?}").contains(&root), "{error:?}");
    }
}
