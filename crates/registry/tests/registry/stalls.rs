//! One that waits holds up nobody else.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::mpsc;
use larder_blobs::memory::MemoryStore;
use larder_oci::Reference;
use larder_registry::{Actor, UploadBody, testing};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;

use crate::driver::{Driver, image, name, sha256, tag};
use crate::hooked::{Hook, HookedStore, Step};

/// Holds the first step that fits, until it is let go.
struct Gate {
    fits: fn(&Step) -> bool,
    open: Semaphore,
    reached: Notify,
    first: Semaphore,
}

impl Gate {
    fn at(fits: fn(&Step) -> bool) -> Arc<Self> {
        Arc::new(Self { fits, open: Semaphore::new(0), reached: Notify::new(), first: Semaphore::new(1) })
    }
}

#[async_trait]
impl Hook for Gate {
    async fn before(&self, step: &Step) {
        if (self.fits)(step)
            && let Ok(first) = self.first.try_acquire()
        {
            first.forget();
            self.reached.notify_one();
            self.open.acquire().await.expect("it is never closed").forget();
        }
    }
}

/// Everything that other requests may want, in the repository of the one that waits.
async fn everything_else(driver: &Driver, suffix: &str) {
    let (layer, one, two) = (format!("layer {suffix}"), format!("one-{suffix}"), format!("two-{suffix}"));
    let digest = driver.push_image("team/model", &one, &[layer.as_bytes()]).await;
    driver.push_manifest("team/model", &two, &image(&[layer.as_bytes()])).await.expect("a second tag");
    assert_eq!(driver.read_blob("team/model", &sha256(layer.as_bytes())).await.expect("a read"), layer.as_bytes());
    assert!(driver.has_blob("team/model", &sha256(b"{}")).await);
    let (registry, actor) = (&driver.registry, &driver.actor);
    registry.move_tag(actor, &name("team/model"), &tag(&two), &Reference::Digest(digest)).await.expect("a tag move");
    registry.mount(actor, &name("team/other"), &sha256(b"{}"), None).await.expect("a mount");
    driver.delete("team/model", &two).await.expect("a tag goes");
    driver.delete("team/model", &digest.to_string()).await.expect("a manifest goes");
    registry.usage(&Actor::operator()).await.expect("figures");
}

async fn while_stalled(fits: fn(&Step) -> bool, begin: fn(Arc<Driver>) -> JoinHandle<()>) {
    let gate = Gate::at(fits);
    let store = HookedStore::over(Arc::new(MemoryStore::default()), Arc::clone(&gate));
    let driver = Arc::new(Driver::over(testing::settings(), store).await);
    let waiting = begin(Arc::clone(&driver));
    gate.reached.notified().await;
    let rest = tokio::time::timeout(Duration::from_secs(10), everything_else(&driver, "a"));
    rest.await.expect("nobody waits for the one that waits");
    gate.open.add_permits(1);
    waiting.await.expect("and in the end it goes on");
}

fn push(driver: Arc<Driver>) -> JoinHandle<()> {
    tokio::spawn(async move {
        driver.push_blob("team/model", b"slow").await;
    })
}

fn sweep(driver: Arc<Driver>) -> JoinHandle<()> {
    tokio::spawn(async move {
        driver.push_blob("team/model", b"abandoned").await;
        driver.pass_lease();
        assert_eq!(driver.sweep().await.blobs_removed, 1);
    })
}

/// Invariant 4: no lock and no transaction is held while the store works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_store_holds_up_nobody_else() {
    while_stalled(|step| matches!(step, Step::OpenUpload(..)), push).await;
    while_stalled(|step| matches!(step, Step::Write(_)), push).await;
    while_stalled(|step| matches!(step, Step::Commit(_)), push).await;
    while_stalled(|step| matches!(step, Step::Remove(_)), sweep).await;
    while_stalled(|step| matches!(step, Step::List), sweep).await;
}

/// Invariant 4: a client that sends nothing holds a session and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stalled_clients_hold_up_nobody_else() {
    let driver = Arc::new(Driver::new().await);
    let mut clients = Vec::new();
    for _ in 0..64 {
        let (sender, receiver) = mpsc::unbounded();
        let repository = name("team/model");
        let id = driver.registry.start_upload(&driver.actor, &repository, None).await.expect("a session").id;
        let (registry, actor) = (driver.registry.clone(), driver.actor.clone());
        let body = UploadBody { stream: Box::pin(receiver), length: None };
        let waiting = tokio::spawn(async move { registry.append(&actor, &repository, &id, None, body).await });
        sender.unbounded_send(Ok(Bytes::from_static(b"a few bytes"))).expect("somebody listens");
        clients.push((sender, waiting));
    }
    let rest = tokio::time::timeout(Duration::from_secs(10), everything_else(&driver, "b"));
    rest.await.expect("nobody waits for those that wait");
    for (sender, waiting) in clients {
        drop(sender);
        assert_eq!(waiting.await.expect("no panic").expect("a chunk").offset, 11);
    }
}
