//! Store and catalog know each other.

use std::sync::Arc;

use bytes::Bytes;
use larder_blobs::memory::MemoryStore;
use larder_blobs::{BlobStore, StoreMarker};
use larder_catalog::Catalog;
use larder_registry::{Actor, Error, Registry, Rights, SystemClock, UploadBody, VerifyOptions, testing};

use crate::driver::{name, sha256};

async fn open(store: &Arc<dyn BlobStore>, catalog: &Catalog) -> Result<Registry, Error> {
    Registry::open(testing::settings(), Arc::clone(store), catalog.clone(), Arc::new(SystemClock)).await
}

/// Invariant 14: another catalog's store, and an unmounted disk, are refused.
#[tokio::test]
async fn strangers_do_not_start() {
    let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::default());
    let catalog = Catalog::open_memory().await.expect("a catalog");
    open(&store, &catalog).await.expect("a first start");
    open(&store, &catalog).await.expect("a second start");
    let stranger = Catalog::open_memory().await.expect("another catalog");
    assert!(matches!(open(&store, &stranger).await, Err(Error::StrangeStore(_))));

    let known = store.marker().await.expect("a marker").expect("set at the first start");
    let another = StoreMarker { store_id: "another".to_owned(), ..known.clone() };
    store.set_marker(&another).await.expect("the disk of another catalog is mounted");
    assert!(matches!(open(&store, &catalog).await, Err(Error::StrangeStore(_))));
    assert_eq!(store.marker().await.expect("a marker"), Some(another), "whoever is refused leaves no trace");
    store.set_marker(&known).await.expect("its own disk is back");
    let registry = open(&store, &catalog).await.expect("they know each other");

    let actor = Actor::anonymous(Rights::Everything);
    let body = UploadBody::of(Bytes::from_static(b"weights"));
    registry.push_blob(&actor, &name("team/model"), &sha256(b"weights"), body).await.expect("a push");
    let unmounted: Arc<dyn BlobStore> = Arc::new(MemoryStore::default());
    assert!(matches!(open(&unmounted, &catalog).await, Err(Error::StrangeStore(_))));
}

/// Invariant 14: yesterday's catalog serves, and nothing is taken for garbage until a person says so.
#[tokio::test]
async fn an_older_catalog_collects_nothing_until_it_is_adopted() {
    let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::default());
    let catalog = Catalog::open_memory().await.expect("a catalog");
    open(&store, &catalog).await.expect("a first start");
    let seen = store.marker().await.expect("a marker").expect("set at the first start");
    let ahead = StoreMarker { generation: seen.generation + 10, ..seen };
    store.set_marker(&ahead).await.expect("a newer catalog was here");

    let registry = open(&store, &catalog).await.expect("it serves");
    let operator = Actor::operator();
    assert!(matches!(registry.sweep(&operator, &|_| ()).await, Err(Error::CatalogBehind)));
    let repair = VerifyOptions { repair: true, force: false };
    assert!(matches!(registry.verify(&operator, repair, &|_| ()).await, Err(Error::CatalogBehind)));
    registry.raise_generation().await.expect("no change while behind");
    assert_eq!(store.marker().await.expect("a marker"), Some(ahead.clone()));

    registry.adopt(&operator).await.expect("an adoption");
    registry.sweep(&operator, &|_| ()).await.expect("a sweep");
    assert!(store.marker().await.expect("a marker").expect("set").generation > ahead.generation);
}
