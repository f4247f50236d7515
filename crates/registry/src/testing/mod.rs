//! A registry for tests: in memory, or over any store, on a clock that the test turns.

pub mod upload_script;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use larder_blobs::BlobStore;
pub use larder_blobs::fault;
pub use larder_blobs::memory::MemoryStore;
use larder_catalog::Catalog;

use crate::{ManualClock, Registry, Reserve, Settings, SystemClock};

/// Settings without a disk reserve, so that a test does not depend on the machine's free space, and without the trash, so that what is deleted is gone
/// with its lease.
pub fn settings() -> Settings {
    let (reserve, trash_window) = (Reserve { share: 0.0, bytes: 0 }, Duration::ZERO);
    Settings { reserve, trash_window, ..Settings::default() }
}

/// A registry in memory with ordinary settings and the machine's clock.
pub async fn in_memory() -> Registry {
    with_settings(settings()).await
}

/// A registry in memory with these settings and the machine's clock.
pub async fn with_settings(settings: Settings) -> Registry {
    let catalog = Catalog::open_memory().await.expect("an in-memory catalog opens");
    let store = Arc::new(MemoryStore::default());
    Registry::open(settings, store, catalog, Arc::new(SystemClock)).await.expect("a new registry opens")
}

/// A registry in memory with these settings and the machine's clock, and its catalog, for accounts to stand beside it.
pub async fn beside(settings: Settings) -> (Registry, Catalog) {
    let catalog = Catalog::open_memory().await.expect("an in-memory catalog opens");
    let store = Arc::new(MemoryStore::default());
    let registry = Registry::open(settings, store, catalog.clone(), Arc::new(SystemClock)).await;
    (registry.expect("a new registry opens"), catalog)
}

/// A registry over `store` with an in-memory catalog, and the clock to turn.
pub async fn over(settings: Settings, store: Arc<dyn BlobStore>) -> (Registry, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::starting("2026-11-21T12:00:00Z".parse::<Timestamp>().expect("a time")));
    let catalog = Catalog::open_memory().await.expect("an in-memory catalog opens");
    let registry = Registry::open(settings, store, catalog, Arc::clone(&clock) as Arc<_>).await;
    (registry.expect("a new registry opens"), clock)
}
