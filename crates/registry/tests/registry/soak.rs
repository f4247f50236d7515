//! Sweep against pushes: images that share layers come and go while the collector runs without a pause (reliability I-1 to I-3, G1, G2).
//!
//! `push.sparse=refuse`, or the test would prove nothing. `LARDER_SOAK_PUSHES` sets the number of pushes (10,000 if unset).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use larder_oci::Digest;
use larder_registry::{Actor, Clock, Mount, Settings, Sparse, testing};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::driver::{Driver, image, name, sha256};

const PUSHERS: usize = 4;
const LAYERS: u32 = 12;
const REPOSITORIES: usize = 3;
const LEASE: Duration = Duration::from_secs(60);

/// The time at which each push in flight began: the clock never runs further ahead of one than its lease allows, for that is what a
/// lease promises.
#[derive(Default)]
struct InFlight(Mutex<BTreeMap<usize, Timestamp>>);

impl InFlight {
    fn begin(&self, pusher: usize, clock: &dyn Clock) {
        self.0.lock().expect("no panic under this lock").insert(pusher, clock.now());
    }

    fn end(&self, pusher: usize) {
        self.0.lock().expect("no panic under this lock").remove(&pusher);
    }

    fn tick(&self, driver: &Driver, step: Duration) {
        let begun = self.0.lock().expect("no panic under this lock");
        let next = driver.clock.now() + step;
        if begun.values().all(|at| next.duration_since(*at).unsigned_abs() < LEASE) {
            driver.clock.advance(step);
        }
    }
}

fn layer(number: u32) -> Vec<u8> {
    format!("shared layer {number}").into_bytes()
}

/// Invariant 6: no acknowledged push is broken, none is refused for a blob that it was told is here.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_push_is_broken_or_refused_under_a_continuous_sweep() {
    let pushes: u64 = std::env::var("LARDER_SOAK_PUSHES").map_or(10_000, |text| text.parse().expect("a number"));
    let settings = Settings { sparse: Sparse::Refuse, lease_ttl: LEASE, ..testing::settings() };
    let driver = Arc::new(Driver::with(settings).await);
    let in_flight = Arc::new(InFlight::default());
    let (done, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));

    let sweeper = tokio::spawn(sweep_until(Arc::clone(&driver), Arc::clone(&in_flight), Arc::clone(&done)));
    let pushers: Vec<_> = (0..PUSHERS)
        .map(|pusher| {
            tokio::spawn(push_until(pusher, pushes, Arc::clone(&driver), Arc::clone(&in_flight), Arc::clone(&count)))
        })
        .collect();
    for pusher in pushers {
        pusher.await.expect("every push is taken");
    }
    done.store(true, Ordering::SeqCst);
    let removed = sweeper.await.expect("the sweep never fails");
    assert!(removed > 0, "the collector must have had something to collect, or this proves nothing");
}

async fn sweep_until(driver: Arc<Driver>, in_flight: Arc<InFlight>, done: Arc<AtomicBool>) -> u64 {
    let mut removed = 0;
    while !done.load(Ordering::SeqCst) {
        in_flight.tick(&driver, LEASE / 8);
        removed += driver.registry.sweep(&Actor::operator(), &|_| ()).await.expect("a sweep").blobs_removed;
        tokio::task::yield_now().await;
    }
    removed
}

async fn push_until(pusher: usize, pushes: u64, driver: Arc<Driver>, in_flight: Arc<InFlight>, count: Arc<AtomicU64>) {
    let mut random = SmallRng::seed_from_u64(pusher as u64);
    while count.fetch_add(1, Ordering::Relaxed) < pushes {
        let repository = format!("team/model-{}", random.random_range(0..REPOSITORIES));
        let layers: Vec<_> = (0..3).map(|_| layer(random.random_range(0..LAYERS))).collect();
        let tag = format!("pusher-{pusher}");
        in_flight.begin(pusher, driver.clock.as_ref());
        let manifest = push(&driver, &mut random, &repository, &tag, &layers).await;
        in_flight.end(pusher);
        check(&driver, &repository, &tag, manifest, &layers).await;
        if random.random_bool(0.7) {
            // Another pusher may have pushed, and deleted, the very same image.
            let _ = driver.delete(&repository, &manifest.to_string()).await;
        }
    }
}

async fn push(driver: &Driver, random: &mut SmallRng, repository: &str, tag: &str, layers: &[Vec<u8>]) -> Digest {
    let config = b"{}".to_vec();
    for bytes in layers.iter().chain([&config]) {
        let digest = sha256(bytes);
        if driver.has_blob(repository, &digest).await {
            continue;
        }
        let mount =
            driver.registry.mount(&driver.actor, &name(repository), &digest, None).await.expect("a mount or an upload");
        if mount != Mount::Mounted(digest) {
            driver.push_blob(repository, bytes).await;
        }
        if random.random_bool(0.2) {
            tokio::task::yield_now().await;
        }
    }
    let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
    driver.push_manifest(repository, tag, &image(&layers)).await.expect("no spurious refusal").digest
}

/// What was acknowledged is there, unless somebody deleted this very image meanwhile.
async fn check(driver: &Driver, repository: &str, tag: &str, manifest: Digest, layers: &[Vec<u8>]) {
    for bytes in layers {
        let read = driver.read_blob(repository, &sha256(bytes)).await;
        if driver.resolve(repository, &manifest.to_string()).await == Some(manifest) {
            match read {
                Ok(read) => assert_eq!(read, *bytes),
                Err(error) => {
                    // It may have been deleted before, and pushed again after, the read.
                    let again = driver.read_blob(repository, &sha256(bytes)).await;
                    assert!(again.is_ok(), "{repository}:{tag} names a blob that is gone: {error}");
                }
            }
        }
    }
}
