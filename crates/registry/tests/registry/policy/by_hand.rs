//! Images that somebody picks: what goes with them, what stays, what comes free, and the way back.

use std::time::Duration;

use larder_oci::{Digest, Reference, RepositoryPattern};
use larder_registry::policy::{ByHand, Removed, Selected, Selection};
use larder_registry::{Actor, Error, Rights, Settings, testing};

use crate::driver::{Driver, image, index, name, sha256, tag};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn driver() -> Driver {
    Driver::with(Settings { trash_window: 7 * DAY, ..testing::settings() }).await
}

async fn select(driver: &Driver, selection: &Selection) -> Selected {
    driver.registry.select_images(&driver.actor, &name("model"), selection.clone()).await.expect("a preview")
}

async fn remove(driver: &Driver, selection: &Selection) -> Removed {
    let mark = select(driver, selection).await.mark;
    let ended = driver.registry.remove_selected(&driver.actor, &name("model"), selection.clone(), &mark).await;
    match ended.expect("it is removed") {
        ByHand::Done(removed) => removed,
        ByHand::Changed(selected) => panic!("nothing changed: {selected:?}"),
    }
}

fn going(selected: &Selected) -> Vec<Digest> {
    selected.preview.going.iter().map(|image| image.digest).collect()
}

fn tags(names: &[&str]) -> Selection {
    Selection::Tags(names.iter().map(|name| tag(name)).collect())
}

#[tokio::test]
async fn an_image_goes_with_the_last_of_its_tags_and_no_sooner() {
    let driver = driver().await;
    let first = driver.push_image("model", "1", &[b"base", b"one"]).await;
    let second = driver.push_image("model", "2", &[b"base", b"second"]).await;
    let latest: Reference = "2".parse().expect("a reference");
    driver.registry.move_tag(&driver.actor, &name("model"), &tag("latest"), &latest).await.expect("it moves");
    let selected = select(&driver, &tags(&["1", "2", "absent"])).await;
    assert_eq!((going(&selected), &selected.loose), (vec![first], &vec![tag("2")]));
    let own = (b"one".len() + image(&[b"base", b"one"]).len()) as u64;
    assert_eq!(selected.preview.bytes, own, "the base is shared");
    let removed = remove(&driver, &tags(&["1", "2"])).await;
    assert_eq!((removed.images, removed.bytes, &removed.loose), (1, own, &vec![tag("2")]));
    assert_eq!((driver.resolve("model", "1").await, driver.resolve("model", "2").await), (None, None));
    assert_eq!(driver.resolve("model", "latest").await, Some(second));
    let undone = driver.registry.undo_removal(&driver.actor, &name("model"), removed.at, &removed.loose).await;
    let undone = undone.expect("it is undone");
    assert_eq!((undone.images, undone.tags, undone.missed), (1, 1, 0));
    assert_eq!((driver.resolve("model", "1").await, driver.resolve("model", "2").await), (Some(first), Some(second)));
}

#[tokio::test]
async fn a_child_of_an_index_loses_its_tag_and_an_index_takes_its_children_along() {
    let driver = driver().await;
    let child = driver.push_image("model", "amd64", &[b"child"]).await;
    driver.push_manifest("model", "multi", &index(&[&image(&[b"child"])])).await.expect("a push");
    let selected = select(&driver, &tags(&["amd64"])).await;
    assert_eq!((going(&selected), &selected.loose), (vec![], &vec![tag("amd64")]));
    let both = select(&driver, &tags(&["amd64", "multi"])).await;
    assert_eq!(going(&both).len(), 2);
    remove(&driver, &tags(&["amd64", "multi"])).await;
    assert_eq!(driver.resolve("model", &child.to_string()).await, None);
}

/// **Invariant 6**: what has no tag yet may be about to get one.
#[tokio::test]
async fn what_a_push_may_rely_on_and_what_a_policy_protects_stays() {
    let driver = driver().await;
    driver.push_image("model", "kept", &[b"kept"]).await;
    driver.push_image("model", "old", &[b"old"]).await;
    let bytes = image(&[b"untagged"]);
    driver.push_blob("model", b"untagged").await;
    driver.push_manifest("model", &sha256(&bytes).to_string(), &bytes).await.expect("a push");
    let fresh = select(&driver, &Selection::Untagged).await;
    assert_eq!((going(&fresh), fresh.preview.near[0].reason), (vec![], "leased"));
    driver.clock.advance(40 * DAY);
    assert_eq!(going(&select(&driver, &Selection::Untagged).await), [sha256(&bytes)]);
    let pattern = RepositoryPattern::from(&name("model"));
    let protects = r#"{"protectedTagPatternList": ["kept"]}"#;
    driver.registry.set_pattern_policy(&Actor::operator(), &pattern, protects).await.expect("it is set");
    let old = select(&driver, &Selection::OlderThan(30)).await;
    assert_eq!((going(&old).len(), old.preview.near.len(), old.preview.near[0].reason), (2, 1, "protected"));
    assert!(going(&select(&driver, &Selection::OlderThan(50)).await).is_empty());
    assert_eq!(remove(&driver, &Selection::OlderThan(30)).await.images, 2);
    assert!(driver.resolve("model", "kept").await.is_some());
    // Who names a tag means it.
    assert_eq!(going(&select(&driver, &tags(&["kept"])).await).len(), 1);
}

#[tokio::test]
async fn only_what_was_shown_goes_and_only_for_who_may_delete() {
    let driver = driver().await;
    driver.push_image("model", "1", &[b"one"]).await;
    let shown = select(&driver, &tags(&["1"])).await;
    driver.push_image("model", "1", &[b"another"]).await;
    let ended = driver.registry.remove_selected(&driver.actor, &name("model"), tags(&["1"]), &shown.mark).await;
    assert!(matches!(ended, Ok(ByHand::Changed(_))), "{ended:?}");
    assert!(driver.resolve("model", "1").await.is_some());
    let reader = Actor::anonymous(Rights::ReadOnly);
    let denied = driver.registry.select_images(&reader, &name("model"), tags(&["1"])).await;
    assert!(matches!(denied, Err(Error::Denied)), "{denied:?}");
    let denied = driver.registry.remove_selected(&reader, &name("model"), tags(&["1"]), &shown.mark).await;
    assert!(matches!(denied, Err(Error::Denied)), "{denied:?}");
    let at = "2026-11-22T00:00:00Z".parse().expect("a time");
    let denied = driver.registry.undo_removal(&reader, &name("model"), at, &[]).await;
    assert!(matches!(denied, Err(Error::Denied)), "{denied:?}");
}

/// What stands in a stage stays, and so does what a rule calls immutable.
#[tokio::test]
async fn neither_a_stage_nor_an_immutable_tag_loses_its_image() {
    let driver = driver().await;
    let prod = driver.push_image("model", "prod", &[b"prod"]).await;
    let kept = driver.push_image("model", "1.0.0", &[b"kept"]).await;
    let old = driver.push_image("model", "dev-1", &[b"old"]).await;
    let rules = r#"{"immutable":{"level":"enforce","tags":["1.*"]}}"#;
    driver.registry.set_rules(&driver.actor, &name("model"), rules).await.expect("rules");
    driver.clock.advance(9 * DAY);
    let selected = select(&driver, &Selection::OlderThan(3)).await;
    assert!(!going(&selected).contains(&prod) && going(&selected).contains(&old), "{selected:?}");
    let removed = remove(&driver, &Selection::OlderThan(3)).await;
    assert_eq!((removed.images, removed.skipped), (1, 1));
    assert_eq!(
        (driver.resolve("model", "prod").await, driver.resolve("model", "1.0.0").await),
        (Some(prod), Some(kept))
    );
    assert_eq!(driver.resolve("model", "dev-1").await, None);
}
