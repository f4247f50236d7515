//! Free space is promised once (behaviour §6).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc;
use larder_blobs::memory::MemoryStore;
use larder_blobs::{BlobStore, Space};
use larder_registry::{Error, Reserve, Settings, UploadBody, testing};

use crate::driver::{Driver, name, sha256};

async fn with_space(available: u64) -> (Arc<Driver>, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    store.set_space(Space { available, total: 10_000 });
    let settings = Settings { reserve: Reserve { share: 0.01, bytes: u64::MAX }, ..testing::settings() };
    (Arc::new(Driver::over(settings, Arc::clone(&store) as Arc<dyn BlobStore>).await), store)
}

#[tokio::test]
async fn of_many_uploads_that_begin_together_those_go_on_that_fit() {
    // 1,000 bytes and the reserve of 100.
    let (driver, _store) = with_space(1_100).await;
    let mut uploads = Vec::new();
    for number in 0..8_u8 {
        let id = driver.registry.start_upload(&driver.actor, &name("team/model"), None).await.expect("room").id;
        let (sender, stream) = mpsc::unbounded::<std::io::Result<Bytes>>();
        let driver = Arc::clone(&driver);
        let upload = tokio::spawn(async move {
            let body = UploadBody { stream: Box::pin(stream), length: Some(300) };
            driver.registry.append(&driver.actor, &name("team/model"), &id, None, body).await
        });
        uploads.push((number, sender, upload));
    }
    tokio::time::timeout(Duration::from_secs(30), async {
        while uploads.iter().filter(|(_, _, upload)| upload.is_finished()).count() < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("five of eight times 300 bytes do not fit into 1,000");
    let opened = driver.registry.start_upload(&driver.actor, &name("team/model"), None).await;
    assert!(opened.is_ok(), "100 bytes are left for who declares nothing: {opened:?}");
    let (mut taken, mut refused) = (0, 0);
    for (number, sender, upload) in uploads {
        // A refused upload no longer listens.
        let _ = sender.unbounded_send(Ok(Bytes::from(vec![number; 300])));
        drop(sender);
        match upload.await.expect("no panic") {
            Ok(status) => {
                assert_eq!(status.offset, 300);
                taken += 1;
            }
            Err(Error::StorageFull) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((taken, refused), (3, 5));
}

#[tokio::test]
async fn what_was_promised_comes_back_when_it_arrives_or_never_does() {
    let (driver, store) = with_space(1_100).await;
    let id = driver.registry.start_upload(&driver.actor, &name("team/model"), None).await.expect("room").id;
    let stream =
        futures::stream::iter([Ok(Bytes::from_static(b"cut")), Err(std::io::ErrorKind::ConnectionReset.into())]);
    let body = UploadBody { stream: Box::pin(stream), length: Some(1_000) };
    let cut = driver.registry.append(&driver.actor, &name("team/model"), &id, None, body).await;
    assert!(matches!(cut, Err(Error::BodyInterrupted { .. })), "{cut:?}");
    driver.push_blob("team/model", &[1; 1_000]).await;
    driver.push_blob("team/model", &[2; 1_000]).await;

    store.set_space(Space { available: 99, total: 10_000 });
    let full = driver.registry.start_upload(&driver.actor, &name("team/model"), None).await;
    assert!(matches!(full, Err(Error::StorageFull)), "{full:?}");
    assert!(!driver.registry.readiness().await.space);
    assert_eq!(driver.read_blob("team/model", &sha256(&[1; 1_000])).await.expect("pulls go on").len(), 1_000);
    store.set_space(Space { available: 1_100, total: 10_000 });
    driver.push_blob("team/model", b"space came back").await;
}
