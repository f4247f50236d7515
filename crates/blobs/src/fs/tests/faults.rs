//! What happens when the disk says no.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::TryStreamExt as _;
use larder_oci::Algorithm;
use rustix::io::Errno;

use super::{arc, store, upload};
use crate::fs::FsStore;
use crate::fs::disk::Call;
use crate::fs::pipeline::{BATCH, UNDER_WAY};
use crate::hash::digest_of;
use crate::suite::{body, collect, list, new_id, read_all};
use crate::{BlobStore as _, Checkpoint, Error, Stored};

/// Fails the `nth` call that `which` picks, counted from 1; once, or from then on.
fn fail(
    store: &FsStore,
    nth: u64,
    sticky: bool,
    errno: Errno,
    which: impl Fn(Call) -> bool + Send + 'static,
) -> Arc<AtomicU64> {
    let seen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&seen);
    store.inner.disk.tap.set(move |call, _| {
        let number = if which(call) { count.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 };
        (number == nth || (sticky && number > nth)).then_some(errno)
    });
    seen
}

/// Reliability D9: every call of an upload fails once and for good, with every error; whatever was not acknowledged may be there or
/// not, but never broken, and when the disk is well again the next upload goes through.
#[tokio::test]
async fn every_call_may_fail_with_every_error() {
    let bytes = body(1, 600_000);
    for errno in [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::MFILE, Errno::ACCESS] {
        for sticky in [false, true] {
            let mut nth = 1;
            loop {
                let (_directory, store) = store();
                let seen = fail(&store, nth, sticky, errno, |_| true);
                let id = new_id();
                let outcome = upload(&store, id, &bytes).await;
                let met = seen.load(Ordering::Relaxed) >= nth;
                assert_eq!(outcome.is_err(), met, "{errno} at call {nth}: {outcome:?}");
                if !met {
                    break;
                }
                if matches!(errno, Errno::NOSPC | Errno::DQUOT) {
                    assert!(outcome.as_ref().is_err_and(Error::is_full), "{errno} at call {nth}: {outcome:?}");
                }
                store.inner.disk.tap.clear();
                only_whole_objects(&store).await;
                let again = upload(&store, new_id(), &bytes).await.expect("the disk is well again");
                assert!(read_all(&store, &again).await == bytes);
                nth += 1;
            }
            assert!(nth > 10, "{nth} calls only");
        }
    }
}

async fn only_whole_objects(store: &FsStore) {
    for stored in list(store).await {
        if let Stored::Object { key, digest, size, .. } = stored {
            let object = store.open(&key, size).await.expect("opens");
            let bytes = collect(object.read(0..size)).await.expect("reads");
            assert_eq!(Some(digest_of(Algorithm::Sha256, &bytes)), digest);
        }
    }
}

/// **Invariant 11**: a failed sync ends the upload and its file; the next sync, which a kernel would answer with yes, is not asked.
#[tokio::test]
async fn a_failed_sync_is_not_retried_and_its_bytes_are_not_taken_up_again() {
    let (directory, store) = store();
    let (id, bytes) = (new_id(), body(2, 900_000));
    let mut upload = store.open_upload(&id, Checkpoint::start(Algorithm::Sha256)).await.expect("opens");
    upload.write(bytes.slice(..300_000)).await.expect("writes");
    let good = upload.checkpoint().await.expect("pipeline").await.expect("sync");
    let syncs = fail(&store, 1, false, Errno::IO, |call| call == Call::DataSync);
    upload.write(bytes.slice(300_000..600_000)).await.expect("writes");
    // Both were started before the first one failed; the kernel would have told the error to one of them only.
    let first = upload.checkpoint().await.expect("pipeline");
    let second = upload.checkpoint().await;
    assert!(matches!(first.await, Err(Error::SyncFailed(_))));
    if let Ok(second) = second {
        assert!(matches!(second.await, Err(Error::SyncFailed(_))));
    }
    assert!(matches!(upload.write(bytes.slice(600_000..)).await, Err(Error::SyncFailed(_))));
    assert!(matches!(upload.checkpoint().await.err(), Some(Error::SyncFailed(_))));
    let outcome = upload.commit(&digest_of(Algorithm::Sha256, &bytes)).await;
    assert!(matches!(outcome, Err(Error::SyncFailed(_))), "{outcome:?}");
    assert_eq!(syncs.load(Ordering::Relaxed), 1, "no sync was asked for a second time");
    assert!(!directory.path().join(format!("uploads/{id}")).exists());
    assert!(matches!(store.open_upload(&id, good).await, Err(Error::UploadLost(_))));
    assert_eq!(list(&store).await, []);
}

/// **Invariant 11**: a full disk may be told by a sync too (delayed allocation, a quota). Then the bytes are as lost as with any other error.
#[tokio::test]
async fn a_sync_that_finds_no_space_loses_the_upload() {
    for errno in [Errno::NOSPC, Errno::DQUOT] {
        let (directory, store) = store();
        let (id, bytes) = (new_id(), body(7, 600_000));
        let mut upload = store.open_upload(&id, Checkpoint::start(Algorithm::Sha256)).await.expect("opens");
        upload.write(bytes.slice(..300_000)).await.expect("writes");
        let good = upload.checkpoint().await.expect("pipeline").await.expect("sync");
        fail(&store, 1, false, errno, |call| call == Call::DataSync);
        upload.write(bytes.slice(300_000..)).await.expect("writes");
        let error = upload.checkpoint().await.expect("pipeline").await.expect_err("no space");
        assert!(matches!(error, Error::SyncFailed(_)) && error.is_full(), "{error:?}");
        drop(upload);
        assert!(!directory.path().join(format!("uploads/{id}")).exists());
        assert!(matches!(store.open_upload(&id, good).await, Err(Error::UploadLost(_))));
    }
}

/// **Invariant 11**: also where the commit's own sync fails, or the write before it.
#[tokio::test]
async fn a_failed_write_back_in_a_commit_leaves_nothing() {
    for failing in [Call::DataSync, Call::Write, Call::DirectorySync] {
        let (_directory, store) = store();
        let (id, bytes) = (new_id(), body(3, 100_000));
        let mut upload = store.open_upload(&id, Checkpoint::start(Algorithm::Sha256)).await.expect("opens");
        upload.write(bytes.clone()).await.expect("writes");
        // The shard's own directory is made durable first; the one that counts is the last.
        let nth = if failing == Call::DirectorySync { 2 } else { 1 };
        fail(&store, nth, false, Errno::IO, move |call| call == failing);
        let outcome = upload.commit(&digest_of(Algorithm::Sha256, &bytes)).await;
        assert!(matches!(outcome, Err(Error::SyncFailed(_))), "{failing:?}: {outcome:?}");
        store.inner.disk.tap.clear();
        assert_eq!(list(&store).await, [], "{failing:?}");
    }
}

/// **Invariant 11**: where even the removal fails, the session is remembered.
#[tokio::test]
async fn a_poisoned_file_that_cannot_be_removed_is_not_resumed() {
    let (directory, store) = store();
    let (id, bytes) = (new_id(), body(4, 400_000));
    let mut upload = store.open_upload(&id, Checkpoint::start(Algorithm::Sha256)).await.expect("opens");
    upload.write(bytes.clone()).await.expect("writes");
    let good = upload.checkpoint().await.expect("pipeline").await.expect("sync");
    fail(&store, 1, true, Errno::IO, |call| matches!(call, Call::DataSync | Call::Unlink));
    assert!(upload.checkpoint().await.expect("pipeline").await.is_err());
    drop(upload);
    store.inner.disk.tap.clear();
    assert!(directory.path().join(format!("uploads/{id}")).exists());
    assert!(matches!(store.open_upload(&id, good).await, Err(Error::UploadLost(_))));
    super::upload(&store, id, &bytes).await.expect("a fresh file takes its place");
}

#[tokio::test]
async fn a_full_disk_keeps_the_checkpoint() {
    let (_directory, store) = store();
    let (id, bytes) = (new_id(), body(5, 3_000_000));
    let mut upload = store.open_upload(&id, Checkpoint::start(Algorithm::Sha256)).await.expect("opens");
    upload.write(bytes.slice(..500_000)).await.expect("writes");
    let checkpoint = upload.checkpoint().await.expect("pipeline").await.expect("sync");
    fail(&store, 1, true, Errno::NOSPC, |call| call == Call::Write);
    let mut outcome = Ok(());
    for from in (500_000..3_000_000).step_by(100_000) {
        outcome = upload.write(bytes.slice(from..from + 100_000)).await;
        if outcome.is_err() {
            break;
        }
    }
    let outcome = match outcome {
        Ok(()) => upload.checkpoint().await.err(),
        Err(error) => Some(error),
    };
    assert!(matches!(outcome, Some(Error::Full(_))), "{outcome:?}");
    assert!(matches!(upload.checkpoint().await.err(), Some(Error::Full(_))), "it stays failed");
    store.inner.disk.tap.clear();
    let mut upload = store.open_upload(&id, checkpoint).await.expect("resumes");
    upload.write(bytes.slice(500_000..)).await.expect("writes");
    upload.commit(&digest_of(Algorithm::Sha256, &bytes)).await.expect("commits");
}

#[tokio::test]
async fn an_error_is_no_verdict_about_an_object() {
    let (_directory, store) = store();
    let committed = upload(&store, new_id(), &body(6, 10)).await.expect("commits");
    for errno in [Errno::IO, Errno::ACCESS, Errno::MFILE] {
        fail(&store, 1, true, errno, |_| true);
        assert!(matches!(store.stat(&committed.key).await, Err(Error::Io { .. })));
        assert!(matches!(store.open(&committed.key, 10).await.err(), Some(Error::Io { .. })));
        assert!(store.list().await.expect("begins").try_collect::<Vec<_>>().await.is_err());
        assert!(store.remove(&committed.key).await.is_err());
        assert!(store.quarantine(&committed.key).await.is_err());
    }
    store.inner.disk.tap.clear();
    assert_eq!(store.stat(&committed.key).await.expect("looks"), Some(10));
}

/// Memory stays bounded while the disk does not answer (**Invariant 9**): a write waits instead of piling up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_holds_the_writer_back() {
    let (_directory, store) = store();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let mut upload = arc(&store).open_upload(&new_id(), Checkpoint::start(Algorithm::Sha256)).await.expect("opens");
    store.inner.disk.tap.set(move |call, _| {
        if call == Call::Write {
            let _closed = held.recv();
        }
        None
    });
    let bytes = body(7, 4_000_000);
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(300), upload.write(bytes.clone())).await;
    assert!(waiting.is_err(), "it waits");
    let taken = upload.offset() as usize;
    assert!(taken <= (UNDER_WAY + 1) * BATCH, "{taken} bytes taken");
    drop(release);
    upload.write(bytes.slice(taken..)).await.expect("writes");
    upload.commit(&digest_of(Algorithm::Sha256, &bytes)).await.expect("commits");
}

/// Runs the named test once more inside a mount namespace of its own, with a small file system on a directory.
fn in_small_file_system(test: &str, options: &str) -> bool {
    const VARIABLE: &str = "LARDER_TEST_SMALL_FILE_SYSTEM";
    if std::env::var_os(VARIABLE).is_some() {
        return true;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let script = "mount -t tmpfs -o \"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"";
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", options])
        .arg(directory.path())
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(VARIABLE, directory.path())
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("unshare is installed").success());
    false
}

#[tokio::test]
#[ignore = "needs to mount a tmpfs"]
async fn a_small_file_system_that_fills_up_says_so_and_recovers() {
    if !in_small_file_system("fs::tests::faults::a_small_file_system_that_fills_up_says_so_and_recovers", "size=4m") {
        return;
    }
    let root = std::env::var_os("LARDER_TEST_SMALL_FILE_SYSTEM").expect("set above");
    let store = FsStore::open(root.as_ref()).expect("opens");
    let kept = upload(&store, new_id(), &body(8, 1_000_000)).await.expect("fits");
    let id = new_id();
    let outcome = upload(&store, id, &body(9, 8_000_000)).await;
    assert!(matches!(outcome, Err(Error::Full(_))), "{outcome:?}");
    assert!(read_all(&store, &kept).await == body(8, 1_000_000), "what was acknowledged is intact");
    store.discard_upload(&id).await.expect("makes room");
    store.check_writable().await.expect("can be written again");
    upload(&store, new_id(), &body(10, 1_000_000)).await.expect("fits again");
    store.remove(&kept.key).await.expect("removes");
}

#[tokio::test]
#[ignore = "needs to mount a tmpfs"]
async fn a_file_system_without_inodes_left_is_full() {
    if !in_small_file_system("fs::tests::faults::a_file_system_without_inodes_left_is_full", "size=4m,nr_inodes=10") {
        return;
    }
    let root = std::env::var_os("LARDER_TEST_SMALL_FILE_SYSTEM").expect("set above");
    let store = FsStore::open(root.as_ref()).expect("opens");
    let mut outcome = None;
    for _ in 0..10 {
        outcome = outcome.or(store.open_upload(&new_id(), Checkpoint::start(Algorithm::Sha256)).await.err());
    }
    assert!(matches!(outcome, Some(Error::Full(_))), "{outcome:?}");
}

#[tokio::test]
#[ignore = "needs to mount a tmpfs"]
async fn a_read_only_file_system_is_read_and_refuses_writes() {
    if !in_small_file_system("fs::tests::faults::a_read_only_file_system_is_read_and_refuses_writes", "size=4m") {
        return;
    }
    let root = std::env::var_os("LARDER_TEST_SMALL_FILE_SYSTEM").expect("set above");
    let before = FsStore::open(root.as_ref()).expect("opens");
    let committed = upload(&before, new_id(), &body(11, 10_000)).await.expect("commits");
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&root).status();
    assert!(remounted.is_ok_and(|status| status.success()));
    let store = FsStore::open(root.as_ref()).expect("opens for reading");
    assert!(read_all(&store, &committed).await == body(11, 10_000));
    assert_eq!(list(&store).await.len(), 1);
    assert!(matches!(store.check_writable().await, Err(Error::Io { .. })));
    assert!(matches!(store.remove(&committed.key).await, Err(Error::Io { .. })));
    assert!(matches!(upload(&store, new_id(), &body(12, 10)).await, Err(Error::Io { .. })));
}
