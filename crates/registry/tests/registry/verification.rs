//! Damage is found, told, set aside, and healed by a push.

use std::sync::Arc;

use futures::StreamExt;
use larder_blobs::memory::MemoryStore;
use larder_blobs::{BlobKey, BlobStore, Stored};
use larder_registry::{Actor, FindingKind, Mount, Settings, Sparse, VerifyOptions, VerifyReport, testing};

use crate::driver::{Driver, image, name, sha256};

async fn key_of(store: &Arc<dyn BlobStore>, digest: &larder_oci::Digest) -> BlobKey {
    let mut listed = store.list().await.expect("a list");
    while let Some(stored) = listed.next().await {
        if let Stored::Object { key, digest: Some(found), .. } = stored.expect("an entry")
            && found == *digest
        {
            return key;
        }
    }
    panic!("no object of {digest}");
}

async fn verify(driver: &Driver, repair: bool) -> VerifyReport {
    let options = VerifyOptions { repair, force: false };
    driver.registry.verify(&Actor::operator(), options, &|_| ()).await.expect("a verification")
}

#[tokio::test]
async fn a_sound_registry_verifies_clean() {
    let driver = Driver::new().await;
    driver.push_image("team/model", "1.0", &[b"weights"]).await;
    let report = verify(&driver, false).await;
    assert_eq!((report.blobs, report.manifests, report.findings.len()), (2, 1, 0));
    assert!(report.is_sound());
}

/// Invariant 12: a lost object is answered as absent, and a re-push heals it.
#[tokio::test]
async fn a_lost_object_is_absent_named_with_its_tags_and_healed_by_a_push() {
    let driver = Driver::with(Settings { sparse: Sparse::Refuse, ..testing::settings() }).await;
    driver.push_image("team/model", "1.0", &[b"weights"]).await;
    let digest = sha256(b"weights");
    let key = key_of(&driver.store, &digest).await;
    driver.store.remove(&key).await.expect("the disk loses it");

    assert!(!driver.has_blob("team/model", &digest).await, "no client may be told that it is here");
    assert!(driver.read_blob("team/model", &digest).await.is_err());
    let report = verify(&driver, false).await;
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].kind, FindingKind::Missing);
    assert_eq!(report.findings[0].affects, vec!["team/model:1.0".to_owned()]);
    assert!(!report.is_sound());

    let repaired = verify(&driver, true).await;
    assert!(repaired.findings[0].repaired);
    assert!(verify(&driver, false).await.is_sound(), "what is gone is forgotten");
    let refused = driver.push_manifest("team/model", "2.0", &image(&[b"weights"])).await;
    assert!(refused.is_err(), "nobody may build on what was lost");

    driver.push_blob("team/model", b"weights").await;
    assert_eq!(driver.read_blob("team/model", &digest).await.expect("healed"), b"weights");
    driver.push_manifest("team/model", "2.0", &image(&[b"weights"])).await.expect("and usable again");
}

#[tokio::test]
async fn leftovers_are_listed_and_removed_but_are_no_damage() {
    let driver = Driver::new().await;
    let id = crate::driver::nowhere();
    let from = larder_blobs::Checkpoint::start(larder_oci::Algorithm::Sha256);
    let mut upload = driver.store.open_upload(&id, from).await.expect("an upload nobody registered");
    upload.write(bytes::Bytes::from_static(b"left over")).await.expect("bytes");
    upload.commit(&sha256(b"left over")).await.expect("an object that no row knows");
    let report = verify(&driver, false).await;
    assert_eq!(report.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), vec![FindingKind::Orphan]);
    assert!(report.is_sound());
    assert_eq!(driver.sweep().await.orphans_removed, 1);
    assert_eq!(driver.objects().await, 0);
}

/// Behaviour §2: a mount promises that the bytes are here, so it looks. A client that gets a session instead sends them, and that heals both.
#[tokio::test]
async fn what_is_lost_or_cut_is_not_mounted_but_asked_for() {
    for lost in [true, false] {
        for named in [true, false] {
            let memory = MemoryStore::default();
            let driver = Driver::over(testing::settings(), Arc::new(memory.clone())).await;
            let digest = driver.push_blob("team/model", b"weights").await;
            let key = key_of(&driver.store, &digest).await;
            if lost {
                driver.store.remove(&key).await.expect("the disk loses it");
            } else {
                memory.damage(&key, |bytes| bytes.truncate(3));
            }
            let (source, target) = (name("team/model"), name("team/copy"));
            let mount = async || {
                let from = named.then_some(&source);
                driver.registry.mount(&driver.actor, &target, &digest, from).await.expect("an answer")
            };
            assert!(matches!(mount().await, Mount::Upload(_)), "lost: {lost}, named: {named}");
            assert!(!driver.has_blob("team/copy", &digest).await, "it is no member");
            assert!(driver.registry.statistics().await.damaged_reads > 0, "it is counted as damage");
            driver.push_blob("team/other", b"weights").await;
            assert_eq!(mount().await, Mount::Mounted(digest), "a push of the digest heals it");
            assert_eq!(driver.read_blob("team/copy", &digest).await.expect("it is read"), b"weights");
        }
    }
}
