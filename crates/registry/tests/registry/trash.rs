//! What is deleted can be brought back, what must not stay goes at once, and tags go back in time.

use std::time::Duration;

use larder_oci::Reference;
use larder_registry::{Actor, Error, RollbackTo, Settings, testing};

use crate::driver::{Driver, image, name, sha256, tag};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn with_trash() -> Driver {
    Driver::with(Settings { trash_window: 7 * DAY, ..testing::settings() }).await
}

#[tokio::test]
async fn what_is_deleted_is_not_read_and_comes_back_byte_for_byte() {
    let driver = with_trash().await;
    let digest = driver.push_image("team/model", "1.0", &[b"weights"]).await;
    driver.delete("team/model", &digest.to_string()).await.expect("a delete");
    assert_eq!(driver.resolve("team/model", "1.0").await, None);
    assert!(!driver.has_blob("team/model", &sha256(b"weights")).await, "gone at once");
    assert!(driver.read_blob("team/model", &sha256(b"weights")).await.is_err());
    driver.clock.advance(6 * DAY);
    driver.sweep().await;
    assert_eq!(driver.objects().await, 2, "the trash holds the bytes");

    let (actor, repository) = (&driver.actor, name("team/model"));
    let restored = driver.registry.undelete(actor, &repository, &Reference::Tag(tag("1.0")), None).await;
    assert_eq!(restored.expect("an undelete").digest, digest);
    assert_eq!(driver.resolve("team/model", "1.0").await, Some(digest));
    assert_eq!(driver.read_blob("team/model", &sha256(b"weights")).await.expect("its blob"), b"weights");
    let again = driver.registry.undelete(actor, &repository, &Reference::Tag(tag("1.0")), None).await;
    assert!(matches!(&again, Err(Error::NameInUse(name)) if name == "team/model:1.0"), "{again:?}");
    let unknown = driver.registry.undelete(actor, &repository, &Reference::Tag(tag("9")), None).await;
    assert!(matches!(unknown, Err(Error::NotDeleted(_))), "{unknown:?}");
}

#[tokio::test]
async fn after_the_window_the_bytes_are_gone() {
    let driver = with_trash().await;
    let digest = driver.push_image("team/model", "1.0", &[b"weights"]).await;
    driver.delete("team/model", &digest.to_string()).await.expect("a delete");
    driver.clock.advance(7 * DAY);
    let report = driver.sweep().await;
    assert_eq!((report.trash_emptied, driver.objects().await), (1, 0));
    let late = driver.registry.undelete(&driver.actor, &name("team/model"), &Reference::Tag(tag("1.0")), None).await;
    assert!(matches!(late, Err(Error::GoneForGood(gone)) if gone == digest), "{late:?}");
}

#[tokio::test]
async fn a_re_push_of_what_was_deleted_revives_it() {
    let driver = with_trash().await;
    let digest = driver.push_image("team/model", "1.0", &[b"weights"]).await;
    driver.delete("team/model", &digest.to_string()).await.expect("a delete");
    driver.clock.advance(2 * DAY);
    driver.sweep().await;
    driver.push_manifest("team/model", "1.0", &image(&[b"weights"])).await.expect("a push of the manifest alone");
    assert_eq!(driver.read_blob("team/model", &sha256(b"weights")).await.expect("its blob"), b"weights");
    driver.clock.advance(30 * DAY);
    driver.sweep().await;
    assert_eq!(driver.objects().await, 2);
}

#[tokio::test]
async fn a_purge_removes_the_bytes_at_once() {
    let driver = with_trash().await;
    let digest = driver.push_image("team/model", "1.0", &[b"a secret"]).await;
    driver.pass_lease();
    driver.sweep().await;
    let (owner, repository) = (Actor::operator(), name("team/model"));
    let stranger = driver.registry.purge(&driver.actor, &repository, Some(&Reference::Digest(digest))).await;
    assert!(matches!(stranger, Err(Error::Denied)), "{stranger:?}");
    let purged = driver.registry.purge(&owner, &repository, Some(&Reference::Tag(tag("1.0")))).await.expect("a purge");
    assert_eq!((purged.manifests, purged.held_until, purged.swept.blobs_removed), (1, None, 2));
    assert_eq!((driver.objects().await, driver.resolve("team/model", "1.0").await), (0, None));
    let again = driver.registry.purge(&owner, &repository, Some(&Reference::Tag(tag("1.0")))).await;
    assert!(matches!(again, Err(Error::ManifestUnknown { .. })), "{again:?}");
}

#[tokio::test]
async fn a_removed_repository_comes_back_or_becomes_another() {
    let driver = with_trash().await;
    let digest = driver.push_image("team/model", "1.0", &[b"weights"]).await;
    let (actor, repository) = (&driver.actor, name("team/model"));
    driver.registry.remove_repository(actor, &repository).await.expect("a removal");
    driver.clock.advance(3 * DAY);
    driver.sweep().await;
    let restored = driver.registry.undelete_repository(actor, &repository, None).await.expect("an undelete");
    assert_eq!((restored.tags, restored.manifests), (1, 1));
    driver.registry.remove_repository(actor, &repository).await.expect("a removal");
    driver.push_image("team/model", "2.0", &[b"other weights"]).await;
    let in_use = driver.registry.undelete_repository(actor, &repository, None).await;
    assert!(matches!(in_use, Err(Error::NameInUse(_))), "{in_use:?}");
    let old = name("team/old-model");
    driver.registry.undelete_repository(actor, &repository, Some(&old)).await.expect("under another name");
    assert_eq!(driver.resolve("team/old-model", "1.0").await, Some(digest));
    assert_eq!(driver.read_blob("team/old-model", &sha256(b"weights")).await.expect("its blob"), b"weights");
}

#[tokio::test]
async fn a_tag_is_looked_at_in_time_and_goes_back() {
    let driver = with_trash().await;
    let first = driver.push_image("team/model", "prod", &[b"one"]).await;
    let began = driver.registry.tag_then(&driver.actor, &name("team/model"), &tag("prod"), jiff::Timestamp::MIN).await;
    assert!(matches!(began, Err(Error::NotThen { since: None, .. })), "{began:?}");
    driver.clock.advance(DAY);
    let second = driver.push_image("team/model", "prod", &[b"two"]).await;
    driver.clock.advance(DAY);
    driver.delete("team/model", &first.to_string()).await.expect("a delete");
    let (actor, repository, prod) = (&driver.actor, name("team/model"), tag("prod"));
    let yesterday = "2026-11-22T11:00:00Z".parse().expect("a time");
    let then = driver.registry.tag_then(actor, &repository, &prod, yesterday).await.expect("it was there");
    assert_eq!(then, first);
    let back = async |dry_run| {
        let to = RollbackTo::Time(yesterday);
        driver.registry.rollback_tag(actor, &repository, &prod, to, dry_run).await.expect("a rollback")
    };
    let shown = back(true).await;
    assert_eq!((shown.from, shown.to), (Some(second), first));
    assert_eq!(driver.resolve("team/model", "prod").await, Some(second));
    assert_eq!(back(false).await, shown);
    assert_eq!(driver.resolve("team/model", "prod").await, Some(first), "what was deleted came back with it");
    assert_eq!(driver.read_blob("team/model", &sha256(b"one")).await.expect("its blob"), b"one");
}

#[tokio::test]
async fn a_push_notes_what_the_image_says_of_itself() {
    let driver = with_trash().await;
    let config = br#"{"config":{"Labels":{"org.opencontainers.image.revision":"abc123f","larder.metric.accuracy":"0.93","maintainer":"x"}}}"#;
    driver.push_blob("team/model", config).await;
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},"layers":[],
           "annotations":{{"org.opencontainers.image.version":"1.0.0"}}}}"#,
        sha256(config),
        config.len()
    );
    driver.push_manifest("team/model", "1.0.0", manifest.as_bytes()).await.expect("a push");
    let history = driver.registry.tag_history(&driver.actor, &name("team/model"), &tag("1.0.0"), None, 1).await;
    let labels = history.expect("a history").items[0].labels.clone().expect("labels");
    let expected = r#"{"larder.metric.accuracy":"0.93","org.opencontainers.image.revision":"abc123f","org.opencontainers.image.version":"1.0.0"}"#;
    assert_eq!(labels, expected);
    let index = crate::driver::index(&[manifest.as_bytes()]);
    driver.push_manifest("team/model", "2.0.0", &index).await.expect("an index");
    let history = driver.registry.tag_history(&driver.actor, &name("team/model"), &tag("2.0.0"), None, 1).await;
    assert_eq!(history.expect("a history").items[0].labels.as_deref(), Some(expected), "those of its first entry");
}
