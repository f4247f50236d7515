//! The scrub: what it finds, how it goes on, and when it stops by itself (behaviour §6).

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use larder_blobs::memory::MemoryStore;
use larder_blobs::{BlobKey, BlobStore, Stored};
use larder_registry::{Actor, Scrub, Settings, testing};

use crate::driver::{Driver, sha256};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn damageable(settings: Settings) -> (Driver, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    (Driver::over(settings, Arc::clone(&store) as Arc<dyn BlobStore>).await, store)
}

fn fast() -> Settings {
    Settings { scrub_rate: u64::MAX, ..testing::settings() }
}

async fn keys(store: &MemoryStore) -> Vec<BlobKey> {
    let mut listed = store.list().await.expect("a list");
    let mut keys = Vec::new();
    while let Some(stored) = listed.next().await {
        if let Stored::Object { key, .. } = stored.expect("an entry") {
            keys.push(key);
        }
    }
    keys
}

/// Steps until there is nothing to do.
async fn to_the_end(driver: &Driver) -> Scrub {
    while driver.registry.scrub_step().await.expect("a step").is_zero() {}
    driver.registry.scrub(&Actor::operator()).await.expect("its state")
}

/// Invariant 12: nobody has to ask, and what the medium has changed is served no more until a push heals it.
#[tokio::test(start_paused = true)]
async fn a_flipped_bit_is_found_set_aside_and_healed_by_a_push() {
    let (driver, store) = damageable(fast()).await;
    driver.push_image("team/model", "1.0", &[b"weights", b"more weights"]).await;
    let digest = sha256(b"weights");
    for key in keys(&store).await {
        store.damage(&key, |bytes| {
            if bytes == b"weights" {
                bytes[0] ^= 1;
            }
        });
    }
    let scrub = to_the_end(&driver).await;
    assert_eq!((scrub.blobs, scrub.manifests, scrub.wrong, scrub.unreadable), (3, 1, 1, 0));
    assert!(scrub.ended_at.is_some() && !scrub.halted);
    assert_eq!(scrub.bytes, (b"weights".len() + b"more weights".len() + b"{}".len()) as u64);
    assert!(!driver.has_blob("team/model", &digest).await, "it is reported as absent");
    assert_eq!(driver.registry.statistics().await.scrub_wrong, 1);

    driver.push_blob("team/model", b"weights").await;
    assert_eq!(driver.read_blob("team/model", &digest).await.expect("healed"), b"weights");
}

#[tokio::test(start_paused = true)]
async fn the_next_pass_begins_a_period_after_the_last_began() {
    let (driver, _) = damageable(Settings { scrub_period: 30 * DAY, ..fast() }).await;
    driver.push_image("team/model", "1.0", &[b"weights"]).await;
    let first = to_the_end(&driver).await;
    driver.clock.advance(29 * DAY);
    assert_eq!(to_the_end(&driver).await, first, "it is not due");
    driver.clock.advance(2 * DAY);
    let second = to_the_end(&driver).await;
    assert!(second.began_at > first.began_at && second.blobs == first.blobs, "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_period_it_reads_when_it_is_asked() {
    let (driver, _) = damageable(Settings { scrub_period: Duration::ZERO, ..fast() }).await;
    driver.push_image("team/model", "1.0", &[b"weights"]).await;
    assert_eq!(to_the_end(&driver).await.began_at, None);
    driver.registry.request_scrub(&Actor::operator(), false).await.expect("asked");
    let scrub = to_the_end(&driver).await;
    assert_eq!((scrub.blobs, scrub.is_under_way()), (2, false));
    assert_eq!(to_the_end(&driver).await, scrub, "one wish, one pass");
    let anonymous = driver.registry.request_scrub(&driver.actor, false).await;
    assert!(anonymous.is_err(), "it costs the disk's time");
}

/// The rate is a promise to those who pull meanwhile.
#[tokio::test(start_paused = true)]
async fn it_reads_no_faster_than_it_may() {
    let (driver, _) = damageable(Settings { scrub_rate: 1_000, ..testing::settings() }).await;
    driver.push_blob("team/model", &[7; 60_000]).await;
    let begun = tokio::time::Instant::now();
    to_the_end(&driver).await;
    assert!(begun.elapsed() >= Duration::from_secs(60), "60,000 bytes took {:?}", begun.elapsed());
}

/// A wrong disk must not make everything look damaged.
#[tokio::test(start_paused = true)]
async fn so_much_that_is_wrong_stops_it_until_somebody_says_to_go_on() {
    let (driver, store) = damageable(fast()).await;
    for number in 0..150_u32 {
        driver.push_blob("team/model", &number.to_be_bytes()).await;
    }
    for key in keys(&store).await {
        store.damage(&key, |bytes| bytes[0] ^= 1);
    }
    let scrub = to_the_end(&driver).await;
    assert!(scrub.halted && scrub.is_under_way());
    assert_eq!(scrub.wrong, 100, "what came before was set aside");
    assert!(driver.registry.statistics().await.scrub_halted);
    assert_eq!(to_the_end(&driver).await.wrong, 100, "it does not go on by itself");

    driver.registry.request_scrub(&Actor::operator(), true).await.expect("go on");
    let scrub = to_the_end(&driver).await;
    assert!(!scrub.halted && scrub.ended_at.is_some());
    assert_eq!(scrub.wrong, 150);
}

/// A pass of a month must survive restarts: what was read is not read again.
#[tokio::test(start_paused = true)]
async fn it_goes_on_where_it_was() {
    let (driver, _) = damageable(fast()).await;
    for number in 0..100_u32 {
        driver.push_blob("team/model", &number.to_be_bytes()).await;
    }
    assert!(driver.registry.scrub_step().await.expect("a step").is_zero());
    let half = driver.registry.scrub(&Actor::operator()).await.expect("its state");
    assert!(half.is_under_way() && half.blobs > 0 && half.blobs < 100, "{half:?}");
    let end = to_the_end(&driver).await;
    assert_eq!((end.blobs, end.began_at), (100, half.began_at));
}
