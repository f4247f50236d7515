//! The wrapper that fails when told to.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use larder_blobs::fault::{Fault, FaultKind, FaultyStore, Operation, When};
use larder_blobs::hash::digest_of;
use larder_blobs::memory::MemoryStore;
use larder_blobs::suite::{body, collect, list, new_id, push};
use larder_blobs::{BlobStore as _, Checkpoint, Committed, Error, Result, StoreMarker};
use larder_oci::{Algorithm, UploadId};

fn faulty() -> FaultyStore {
    FaultyStore::new(Arc::new(MemoryStore::default()))
}

/// An upload with one checkpoint: open, write, checkpoint, its sync, commit.
async fn upload(store: &FaultyStore, id: UploadId, bytes: &Bytes) -> Result<Committed> {
    let mut upload = store.open_upload(&id, Checkpoint::start(Algorithm::Sha256)).await?;
    upload.write(bytes.clone()).await?;
    upload.checkpoint().await?.await?;
    upload.commit(&digest_of(Algorithm::Sha256, bytes)).await
}

const STEPS: [Operation; 5] =
    [Operation::OpenUpload, Operation::Write, Operation::Checkpoint, Operation::CheckpointSync, Operation::Commit];

#[tokio::test]
async fn the_nth_operation_fails_once_and_the_log_says_which() {
    let store = faulty();
    let bytes = body(1, 1000);
    for (number, operation) in STEPS.into_iter().enumerate() {
        store.inject(Fault::at(number as u64 + 1, FaultKind::Full));
        let outcome = upload(&store, new_id(), &bytes).await;
        assert!(matches!(outcome, Err(Error::Full(_))), "{operation:?}: {outcome:?}");
        let log = store.take_log();
        assert_eq!(log.iter().map(|entry| entry.operation).collect::<Vec<_>>(), STEPS[..=number]);
        assert_eq!(log.last().expect("an entry").fault, Some((FaultKind::Full, When::Before)));
        upload(&store, new_id(), &bytes).await.expect("it failed once");
        store.take_log();
    }
}

#[tokio::test]
async fn a_sticky_fault_stays_until_healed_and_counts_its_own_kind_only() {
    let store = faulty();
    store.inject(Fault::at(2, FaultKind::Io).on(Operation::Commit).sticky());
    let bytes = body(2, 10);
    upload(&store, new_id(), &bytes).await.expect("the first commit passes");
    for _ in 0..3 {
        assert!(matches!(upload(&store, new_id(), &bytes).await, Err(Error::Io { .. })));
    }
    store.heal();
    upload(&store, new_id(), &bytes).await.expect("healed");
}

#[tokio::test]
async fn a_fault_after_the_effect_leaves_the_effect() {
    let store = faulty();
    let marker = StoreMarker { store_id: "s".to_owned(), generation: 1 };
    store.inject(Fault::at(1, FaultKind::Io).after());
    assert!(store.set_marker(&marker).await.is_err());
    assert_eq!(store.marker().await.expect("reads"), Some(marker.clone()));
    store.inject(Fault::at(1, FaultKind::Io));
    assert!(store.set_marker(&StoreMarker { generation: 2, ..marker.clone() }).await.is_err());
    assert_eq!(store.marker().await.expect("reads"), Some(marker));
    let bytes = body(3, 10);
    for (fault, objects) in [(Fault::at(1, FaultKind::Io), 0), (Fault::at(1, FaultKind::Io).after(), 1)] {
        let id = new_id();
        store.inject(fault.on(Operation::Commit));
        assert!(upload(&store, id, &bytes).await.is_err());
        store.discard_upload(&id).await.expect("discards");
        assert_eq!(list(&store).await.len(), objects);
    }
}

/// **Invariant 11**, as a store on disk behaves.
#[tokio::test]
async fn an_upload_that_failed_stays_failed_and_after_a_sync_its_bytes_are_gone() {
    let bytes = body(4, 1000);
    for (kind, kept) in
        [(FaultKind::Io, true), (FaultKind::Full, true), (FaultKind::SyncFailed, false), (FaultKind::FullAtSync, false)]
    {
        for operation in [Operation::Write, Operation::Checkpoint, Operation::CheckpointSync] {
            let (store, id) = (faulty(), new_id());
            let mut upload = store.open_upload(&id, Checkpoint::start(Algorithm::Sha256)).await.expect("opens");
            upload.write(bytes.clone()).await.expect("writes");
            let checkpoint = upload.checkpoint().await.expect("pipeline").await.expect("sync");
            store.inject(Fault::at(1, kind).on(operation));
            let mut failed = upload.write(bytes.clone()).await.is_err();
            if let Ok(pending) = upload.checkpoint().await {
                failed |= pending.await.is_err();
            }
            assert!(failed || upload.checkpoint().await.is_err());
            assert!(upload.write(bytes.clone()).await.is_err(), "{kind:?} at {operation:?}");
            assert!(upload.commit(&digest_of(Algorithm::Sha256, &bytes)).await.is_err());
            let resumed = store.open_upload(&id, checkpoint).await;
            assert_eq!(resumed.is_ok(), kept, "{kind:?} at {operation:?}");
        }
    }
}

#[tokio::test]
async fn streams_fail_at_their_start_or_after_their_first_piece() {
    let store = faulty();
    let bytes = body(5, 3_000_000);
    let committed = push(&store, Algorithm::Sha256, &bytes, 1_000_000).await;
    let object = store.open(&committed.key, committed.size).await.expect("opens");
    store.inject(Fault::at(1, FaultKind::Io));
    assert!(matches!(object.read(0..committed.size).next().await, Some(Err(_))));
    store.inject(Fault::at(1, FaultKind::Io).after());
    let mut stream = object.read_medium();
    assert!(matches!(stream.next().await, Some(Ok(_))));
    assert!(matches!(stream.next().await, Some(Err(_))));
    assert!(stream.next().await.is_none());
    assert!(collect(object.read(0..committed.size)).await.expect("reads") == bytes);
    store.inject(Fault::at(1, FaultKind::Io).on(Operation::List));
    assert!(store.list().await.is_err());
    store.inject(Fault::at(1, FaultKind::Io).on(Operation::List).after());
    let listed = store.list().await.expect("begins").try_collect::<Vec<_>>().await;
    assert!(listed.is_err(), "the list says that it is not whole");
}
