//! What a push was told exists stays until its manifest can land.

use larder_registry::{Actor, Error, Mount, Rights};

use crate::driver::{Driver, image, name, sha256};

/// Invariant 6: the lease of a 201 holds for its whole term, and not for ever.
#[tokio::test]
async fn a_pushed_blob_waits_for_its_manifest_and_then_goes() {
    let driver = Driver::new().await;
    let digest = driver.push_blob("team/model", b"weights").await;

    driver.sweep().await;
    assert!(driver.has_blob("team/model", &digest).await, "the lease of the push holds it");

    driver.pass_lease();
    // Looking takes no lease for a caller who may only read.
    let report = driver.sweep().await;
    assert_eq!((report.blobs_removed, report.bytes_removed), (1, 7));
    assert!(!driver.has_blob("team/model", &digest).await);
    assert_eq!(driver.objects().await, 0);
}

/// Invariant 6: a HEAD that answers "here" to a caller who may push is a promise too; to one who may not, it is not.
#[tokio::test]
async fn a_head_renews_the_lease_for_whoever_may_push() {
    for (rights, kept) in [(Rights::Everything, true), (Rights::ReadOnly, false)] {
        let driver = Driver::new().await;
        let digest = driver.push_blob("team/model", b"weights").await;
        let almost = driver.registry.settings().lease_ttl.mul_f32(0.9);
        driver.clock.advance(almost);
        let looker = Actor::anonymous(rights.clone());
        driver.registry.blob_head(&looker, &name("team/model"), &digest).await.expect("the blob is here");
        driver.clock.advance(almost);
        driver.sweep().await;
        assert_eq!(driver.objects().await == 1, kept, "{rights:?}");
    }
}

/// Invariant 6: losing the last edge starts a full lease in the same transaction.
#[tokio::test]
async fn a_blob_outlives_its_last_manifest_by_a_lease() {
    let driver = Driver::new().await;
    let digest = driver.push_image("team/model", "1.0", &[b"weights"]).await;
    driver.pass_lease();
    driver.sweep().await;
    assert_eq!(driver.objects().await, 2, "the manifest holds its blobs without any lease");

    driver.delete("team/model", &digest.to_string()).await.expect("a delete");
    driver.sweep().await;
    assert!(driver.has_blob("team/model", &sha256(b"weights")).await, "a re-push may rely on it");

    driver.push_manifest("team/model", "1.0", &image(&[b"weights"])).await.expect("a re-push that sends nothing");
    driver.pass_lease();
    driver.sweep().await;
    assert_eq!(driver.read_blob("team/model", &sha256(b"weights")).await.expect("the blob"), b"weights");
}

/// Invariant 6: a mount's lease protects the target, whatever becomes of the source.
#[tokio::test]
async fn a_mount_is_leased_in_its_target() {
    let driver = Driver::new().await;
    let digest = driver.push_image("base/python", "3.11", &[b"layer"]).await;
    let layer = sha256(b"layer");
    let source = name("base/python");
    let mounted = driver.registry.mount(&driver.actor, &name("team/model"), &layer, Some(&source)).await;
    assert_eq!(mounted.expect("a mount"), Mount::Mounted(layer));

    driver.delete("base/python", &digest.to_string()).await.expect("a delete");
    driver.sweep().await;
    assert_eq!(driver.read_blob("team/model", &layer).await.expect("the mounted blob"), b"layer");
}

/// Invariant 5: knowing a digest gives no right to its bytes; a mount needs pull on its source (CVE-2024-39897).
#[tokio::test]
async fn a_digest_opens_no_other_repository() {
    let driver = Driver::new().await;
    let digest = driver.push_blob("secret/model", b"secret weights").await;
    let stranger = Actor::anonymous(Rights::Nothing);
    let (secret, other) = (name("secret/model"), name("other/model"));

    let elsewhere = driver.registry.blob(&driver.actor, &other, &digest).await;
    assert!(matches!(elsewhere, Err(Error::BlobUnknown { .. })), "membership decides");
    let refused = driver.registry.blob(&stranger, &secret, &digest).await;
    assert!(matches!(refused, Err(Error::Denied)));
    let absent = driver.registry.blob(&stranger, &secret, &sha256(b"never pushed")).await;
    assert!(matches!(absent, Err(Error::Denied)), "absent and forbidden look the same");

    let mount = driver.registry.mount(&driver.actor, &other, &digest, Some(&name("nobody/here"))).await;
    assert!(matches!(mount, Ok(Mount::Upload(_))), "a source that does not hold it gives an ordinary upload");
}
