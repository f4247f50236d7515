//! A client that goes in the middle of a request leaves nothing half done.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use larder_oci::{Reference, RepositoryName};
use larder_registry::{Actor, Mount, RepositoryChange, UploadBody, VerifyOptions};

use crate::driver::{Driver, image, name, sha256};

/// More polls than any of these requests takes.
const MOST: usize = 64;

/// Polls at most so often, then lets go. `None`: it was let go.
async fn poll_at_most<T>(times: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = times;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Until nothing of a dropped request is under way any more. The catalog works in order: what was handed in before a row of ours is done.
async fn settle(driver: &Driver) {
    for round in 0..2 {
        let marker = name(&format!("settled/{round}-{}", uuid::Uuid::new_v4()));
        driver.registry.create_repository(&driver.actor, &marker, RepositoryChange::default()).await.expect("a row");
        while driver.registry.statistics().await.open_writers > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Drops a request after each of its polls, and looks at what it left.
async fn drop_everywhere(request: AsyncRequest, audit: AsyncAudit) {
    for times in 1..MOST {
        let driver = Arc::new(Driver::new().await);
        driver.push_image("team/model", "1.0", &[b"weights"]).await;
        let done = poll_at_most(times, request(Arc::clone(&driver))).await.is_some();
        settle(&driver).await;
        audit(Arc::clone(&driver), done).await;
        let report = driver
            .registry
            .verify(&Actor::operator(), VerifyOptions::default(), &|_| ())
            .await
            .expect("a verification");
        assert!(report.is_sound(), "dropped after {times} polls: {:?}", report.findings);
        driver.clock.advance(driver.registry.settings().uploads_idle + driver.registry.settings().lease_ttl);
        driver.sweep().await;
        let report = driver
            .registry
            .verify(&Actor::operator(), VerifyOptions::default(), &|_| ())
            .await
            .expect("a verification");
        assert_eq!(report.findings, Vec::new(), "dropped after {times} polls: something is left over");
        if done {
            assert!(times > 1, "the request takes one poll only: nothing was dropped");
            return;
        }
    }
    panic!("the request never ends");
}

type Boxed<T> = std::pin::Pin<Box<dyn Future<Output = T>>>;
type AsyncRequest = fn(Arc<Driver>) -> Boxed<()>;
type AsyncAudit = fn(Arc<Driver>, bool) -> Boxed<()>;

fn repository() -> RepositoryName {
    name("team/model")
}

/// Invariant 15.
#[tokio::test]
async fn a_dropped_blob_push_is_whole_or_not_there() {
    drop_everywhere(
        |driver| {
            Box::pin(async move {
                driver.push_blob("team/model", b"more weights").await;
            })
        },
        |driver, done| {
            Box::pin(async move {
                let there = driver.has_blob("team/model", &sha256(b"more weights")).await;
                assert!(there || !done);
                if there {
                    let read = driver.read_blob("team/model", &sha256(b"more weights")).await;
                    assert_eq!(read.expect("the blob"), b"more weights");
                }
            })
        },
    )
    .await;
}

/// Invariant 15: a manifest comes with its tag or not at all.
#[tokio::test]
async fn a_dropped_manifest_push_is_whole_or_not_there() {
    drop_everywhere(
        |driver| {
            Box::pin(async move {
                driver.push_manifest("team/model", "2.0", &image(&[b"weights", b"weights"])).await.expect("a push");
            })
        },
        |driver, done| {
            Box::pin(async move {
                let digest = sha256(&image(&[b"weights", b"weights"]));
                let by_tag = driver.resolve("team/model", "2.0").await;
                assert_eq!(by_tag, driver.resolve("team/model", &digest.to_string()).await);
                assert!(by_tag.is_some() || !done);
            })
        },
    )
    .await;
}

/// Invariant 15: what arrived before the client went is written down, and the session goes on.
#[tokio::test]
async fn a_dropped_chunk_can_be_resumed() {
    for times in 1..MOST {
        let driver = Driver::new().await;
        let id = driver.registry.start_upload(&driver.actor, &repository(), None).await.expect("a session").id;
        let body = UploadBody::of(Bytes::from_static(b"first, "));
        let repository = repository();
        let append = driver.registry.append(&driver.actor, &repository, &id, None, body);
        let done = poll_at_most(times, append).await.is_some();
        settle(&driver).await;
        let status = driver.registry.upload_status(&driver.actor, &repository, &id).await.expect("the session lives");
        assert!(status.offset == 7 || (status.offset == 0 && !done), "{status:?} after {times} polls");
        let rest = &b"first, second"[status.offset as usize..];
        let whole = sha256(b"first, second");
        let body = UploadBody::of(Bytes::copy_from_slice(rest));
        let finished = driver.registry.finish_upload(&driver.actor, &repository, &id, None, body, &whole).await;
        assert_eq!(finished.expect("the rest"), whole);
        if done {
            return;
        }
    }
    panic!("the request never ends");
}

/// Invariant 15.
#[tokio::test]
async fn a_dropped_delete_or_mount_is_whole_or_not_there() {
    drop_everywhere(
        |driver| {
            Box::pin(async move {
                let digest = driver.resolve("team/model", "1.0").await.expect("the image");
                driver.delete("team/model", &digest.to_string()).await.expect("a delete");
            })
        },
        |driver, done| {
            Box::pin(async move {
                let digest = Reference::Digest(sha256(&image(&[b"weights"])));
                let by_tag = driver.resolve("team/model", "1.0").await;
                assert_eq!(by_tag, driver.resolve("team/model", &digest.to_string()).await);
                assert!(by_tag.is_none() || !done);
            })
        },
    )
    .await;
    drop_everywhere(
        |driver| {
            Box::pin(async move {
                let mounted = driver.registry.mount(&driver.actor, &name("team/two"), &sha256(b"weights"), None).await;
                assert_eq!(mounted.expect("a mount"), Mount::Mounted(sha256(b"weights")));
            })
        },
        |driver, done| {
            Box::pin(async move {
                assert!(driver.has_blob("team/two", &sha256(b"weights")).await || !done);
            })
        },
    )
    .await;
}
