//! Deletes are visible at once, refuse what is in use, and give the disk back later.

use larder_registry::{Error, Mount};

use crate::driver::{Driver, image, index, name, sha256};

#[tokio::test]
async fn a_deleted_manifest_takes_its_tags_along() {
    let driver = Driver::new().await;
    let digest = driver.push_image("team/model", "1.0", &[b"weights"]).await;
    driver.push_manifest("team/model", "prod", &image(&[b"weights"])).await.expect("a second tag");
    driver.delete("team/model", "prod").await.expect("a tag goes alone");
    assert_eq!(driver.resolve("team/model", "1.0").await, Some(digest));
    driver.delete("team/model", &digest.to_string()).await.expect("a manifest goes");
    assert_eq!(driver.resolve("team/model", "1.0").await, None);
    assert_eq!(driver.resolve("team/model", &digest.to_string()).await, None);
    let again = driver.delete("team/model", &digest.to_string()).await;
    assert!(matches!(again, Err(Error::ManifestUnknown { .. })));
}

#[tokio::test]
async fn what_is_in_use_cannot_be_deleted() {
    let driver = Driver::new().await;
    driver.push_image("team/model", "amd64", &[b"weights"]).await;
    let child = image(&[b"weights"]);
    let parent = driver.push_manifest("team/model", "1.0", &index(&[&child])).await.expect("an index").digest;
    let refused = driver.delete("team/model", &sha256(&child).to_string()).await;
    assert!(matches!(refused, Err(Error::InUse { parent: named, .. }) if named == parent), "{refused:?}");
    let repository = name("team/model");
    let blob = driver.registry.delete_blob(&driver.actor, &repository, &sha256(b"weights")).await;
    assert!(matches!(blob, Err(Error::InUse { .. })), "{blob:?}");

    driver.delete("team/model", &parent.to_string()).await.expect("the parent first");
    driver.delete("team/model", &sha256(&child).to_string()).await.expect("then the child");
    driver.registry.delete_blob(&driver.actor, &repository, &sha256(b"weights")).await.expect("then its blob");
    assert!(!driver.has_blob("team/model", &sha256(b"weights")).await);
}

/// Deletion is per repository; the bytes go with the last membership, and the same bytes can be pushed again (distribution#4569).
#[tokio::test]
async fn a_blob_deleted_here_stays_there_and_can_come_back() {
    let driver = Driver::new().await;
    let digest = driver.push_blob("team/one", b"shared").await;
    let mounted = driver.registry.mount(&driver.actor, &name("team/two"), &digest, None).await;
    assert_eq!(mounted.expect("a mount without a source"), Mount::Mounted(digest));
    driver.registry.delete_blob(&driver.actor, &name("team/one"), &digest).await.expect("a delete");
    assert!(!driver.has_blob("team/one", &digest).await, "gone at once");
    driver.sweep().await;
    assert_eq!(driver.read_blob("team/two", &digest).await.expect("the other's copy"), b"shared");

    driver.registry.delete_blob(&driver.actor, &name("team/two"), &digest).await.expect("a delete");
    driver.pass_lease();
    driver.sweep().await;
    assert_eq!(driver.objects().await, 0);
    driver.push_blob("team/one", b"shared").await;
    assert_eq!(driver.read_blob("team/one", &digest).await.expect("pushed again"), b"shared");
}

/// Invariant 1: the sweep of an old key never harms a newer upload of the same digest.
#[tokio::test]
async fn a_re_push_survives_the_sweep_of_what_it_replaced() {
    let driver = Driver::new().await;
    driver.push_image("team/model", "1.0", &[b"weights"]).await;
    driver.push_blob("team/model", b"weights").await;
    assert_eq!(driver.objects().await, 3, "the replaced object stays while readers may hold it");
    driver.pass_lease();
    driver.sweep().await;
    assert_eq!(driver.objects().await, 2);
    assert_eq!(driver.read_blob("team/model", &sha256(b"weights")).await.expect("the newer one"), b"weights");
}

#[tokio::test]
async fn a_removed_repository_gives_everything_back() {
    let driver = Driver::new().await;
    driver.push_image("team/model", "1.0", &[b"weights"]).await;
    driver.registry.remove_repository(&driver.actor, &name("team/model")).await.expect("a removal");
    assert_eq!(driver.resolve("team/model", "1.0").await, None);
    driver.pass_lease();
    driver.sweep().await;
    assert_eq!(driver.objects().await, 0);
}
