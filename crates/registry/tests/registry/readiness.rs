//! Whether the registry says of itself what it can do.

use std::sync::Arc;

use larder_blobs::fault::{Fault, FaultKind, FaultyStore, Operation};
use larder_blobs::memory::MemoryStore;
use larder_registry::{Readiness, testing};

const READY: Readiness = Readiness { catalog: true, store: true, space: true, taken_over: true };

#[tokio::test]
async fn a_store_that_takes_no_writes_is_told_apart_from_the_catalog() {
    let store = FaultyStore::new(Arc::new(MemoryStore::default()));
    let (registry, _clock) = testing::over(testing::settings(), Arc::new(store.clone())).await;
    assert_eq!(registry.readiness().await, READY);
    for kind in [FaultKind::Io, FaultKind::Full, FaultKind::SyncFailed] {
        store.inject(Fault::at(1, kind).on(Operation::CheckWritable).sticky());
        let readiness = registry.readiness().await;
        assert_eq!(readiness, Readiness { store: false, ..READY }, "{kind:?}");
        assert!(!readiness.is_ready());
        store.heal();
        assert!(registry.readiness().await.is_ready(), "it is asked anew each time");
    }
}

#[tokio::test]
async fn a_catalog_that_takes_no_writes_is_told_apart_from_the_store() {
    let (registry, catalog) = testing::beside(testing::settings()).await;
    catalog.close().await;
    let readiness = registry.readiness().await;
    assert_eq!(readiness, Readiness { catalog: false, ..READY });
    assert!(!readiness.is_ready());
}

#[tokio::test]
async fn a_store_that_cannot_tell_its_space_is_not_said_to_have_any() {
    let store = FaultyStore::new(Arc::new(MemoryStore::default()));
    let (registry, _clock) = testing::over(testing::settings(), Arc::new(store.clone())).await;
    store.inject(Fault::at(1, FaultKind::Io).on(Operation::Space).sticky());
    assert_eq!(registry.readiness().await, Readiness { space: false, ..READY });
}
