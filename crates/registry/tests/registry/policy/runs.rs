//! Policies at work in a registry, on a clock that the test turns.

use std::time::Duration;

use larder_oci::{Digest, Reference, RepositoryPattern};
use larder_registry::policy::{PolicyPreview, PolicyReport};
use larder_registry::testing;
use larder_registry::{Actor, Clock, Error, PageRequest, Rights, Settings};

use super::examples::CASE_7;
use crate::driver::{Driver, image, index, name, tag};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const EVERYTHING: PageRequest = PageRequest { limit: 1_000, after: None };
const OLDER_THAN_A_WEEK: &str = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"sinceImagePushed",
    "countUnit":"days","countNumber":7},"action":{"type":"expire"}}]}"#;

async fn untagged(driver: &Driver, repository: &str, layer: &[u8]) -> Digest {
    driver.push_blob(repository, layer).await;
    driver.push_blob(repository, b"{}").await;
    let bytes = image(&[layer]);
    let digest = crate::driver::sha256(&bytes);
    driver.push_manifest(repository, &digest.to_string(), &bytes).await.expect("a push").digest
}

async fn preview(driver: &Driver, repository: &str) -> PolicyPreview {
    driver.registry.preview_policy(&driver.actor, &name(repository), None, &EVERYTHING).await.expect("a preview")
}

async fn apply(driver: &Driver, repository: &str) -> Result<PolicyReport, Error> {
    driver.registry.apply_policy(&driver.actor, &name(repository)).await
}

async fn set(driver: &Driver, repository: &str, policy: &str) {
    driver.registry.set_policy(&driver.actor, &name(repository), policy).await.expect("it is right");
}

/// Case 7, as it comes to be over some weeks.
async fn case_7(driver: &Driver) -> (Vec<Digest>, [Digest; 3], Digest) {
    let mut prod = Vec::new();
    for n in 1..=12 {
        prod.push(
            driver.push_image("ml-model", &format!("prod-{n}"), &[b"base", format!("prod {n}").as_bytes()]).await,
        );
        driver.clock.advance(Duration::from_secs(60));
    }
    let first = "prod-1".parse().expect("a reference");
    driver.registry.move_tag(&driver.actor, &name("ml-model"), &tag("1.0.0"), &first).await.expect("it moves");
    for n in 1..=3 {
        driver.push_image("ml-model", &format!("dev-{n}"), &[format!("dev {n}").as_bytes()]).await;
    }
    let child = untagged(driver, "ml-model", b"child").await;
    driver.push_manifest("ml-model", "multi", &index(&[&image(&[b"child"])])).await.expect("a push");
    driver.clock.advance(22 * DAY);
    let old = [untagged(driver, "ml-model", b"eight").await, untagged(driver, "ml-model", b"eight too").await];
    driver.clock.advance(2 * DAY);
    let young = untagged(driver, "ml-model", b"six").await;
    driver.clock.advance(6 * DAY);
    (prod, [old[0], old[1], young], child)
}

#[tokio::test]
async fn case_7_is_previewed_and_applied() {
    let driver = Driver::new().await;
    let (prod, untagged, child) = case_7(&driver).await;
    set(&driver, "ml-model", CASE_7).await;
    let told = preview(&driver, "ml-model").await;
    let going: Vec<(Digest, i64)> = told.going.iter().map(|image| (image.digest, image.rule.priority)).collect();
    let mut expected = vec![(prod[0], 1), (prod[1], 1), (untagged[0], 2), (untagged[1], 2)];
    if untagged[1] < untagged[0] {
        expected.swap(2, 3);
    }
    assert_eq!((told.images, going), (20, expected));
    assert_eq!(told.going[0].tags, [tag("1.0.0"), tag("prod-1")]);
    assert_eq!(told.going[0].rule.description.as_deref(), Some("Keep last 10 production images"));
    let held = told.near.iter().find(|near| near.digest == child).expect("it nearly goes");
    assert_eq!((held.reason, held.rule.priority), ("held", 2));
    // The base stays with the other ten, `{}` with all.
    let layers = ["prod 1", "prod 2", "eight", "eight too"].map(|layer| layer.len() as u64).iter().sum::<u64>();
    let manifest = |layers: &[&[u8]]| image(layers).len() as u64;
    let manifests = manifest(&[b"base", b"prod 1"]) * 2 + manifest(&[b"eight"]) + manifest(&[b"eight too"]);
    assert_eq!(told.bytes, layers + manifests);
    assert_eq!(driver.resolve("ml-model", "1.0.0").await, Some(prod[0]), "a preview removes nothing");

    // To look at an image by its digest is what a push of an index does first; a pull of a tag is not.
    let report = apply(&driver, "ml-model").await.expect("applied");
    assert_eq!((report.expired, report.skipped, report.left, report.bytes), (4, 0, 0, told.bytes));
    assert_eq!(report.by_rule.into_iter().collect::<Vec<_>>(), [(1, 2), (2, 2)]);
    for gone in ["prod-1", "1.0.0", "prod-2"] {
        assert_eq!(driver.resolve("ml-model", gone).await, None, "{gone}");
    }
    for stays in ["prod-3", "prod-12", "dev-1", "multi", &child.to_string(), &untagged[2].to_string()] {
        assert!(driver.resolve("ml-model", stays).await.is_some(), "{stays}");
    }
    let history =
        driver.registry.tag_history(&driver.actor, &name("ml-model"), &tag("1.0.0"), None, 9).await.expect("a history");
    assert_eq!((history.items[0].how.as_str(), history.items[0].to), ("policy", None));
    let runs = driver.registry.policy_runs(&driver.actor, &name("ml-model"), &EVERYTHING).await.expect("runs").items;
    assert_eq!((runs.len(), runs[0].report.expired, runs[0].by.as_str()), (1, 4, "anonymous"));
    let again = apply(&driver, "ml-model").await.expect("applied");
    assert_eq!(again.expired, 0, "what is done is done");

    driver.sweep().await;
    let before = driver.objects().await;
    driver.pass_lease();
    driver.sweep().await;
    assert_eq!(before - driver.objects().await, 4, "the layers that only these held");
}

#[tokio::test]
async fn a_run_over_half_of_the_images_pauses_until_somebody_was_shown() {
    let driver = Driver::new().await;
    for n in 0..4 {
        driver.push_image("a", &format!("v{n}"), &[format!("{n}").as_bytes()]).await;
    }
    driver.clock.advance(8 * DAY);
    driver.push_image("a", "new", &[b"new"]).await;
    driver.registry.set_pattern_policy(&Actor::operator(), &pattern("**"), OLDER_THAN_A_WEEK).await.expect("set");
    let round = driver.registry.run_policies().await.expect("a round");
    assert_eq!((round.expired, round.paused), (0, 1));
    let view = driver.registry.policy(&driver.actor, &name("a")).await.expect("a view");
    assert_eq!(view.paused.as_deref(), Some("4 of 5 images would go, and nobody was shown that yet"));
    assert!(matches!(apply(&driver, "a").await, Err(Error::PolicyPaused(_))), "to ask is not to look");
    assert_eq!(driver.registry.run_policies().await.expect("a round").paused, 1);

    assert!(preview(&driver, "a").await.over_half);
    driver.push_image("a", "newer", &[b"newer"]).await;
    assert_eq!(apply(&driver, "a").await.expect("somebody looked").expired, 4);
    assert_eq!(driver.registry.policy(&driver.actor, &name("a")).await.expect("a view").paused, None);
    assert_eq!(driver.registry.run_policies().await.expect("a round").paused, 0);

    // What was shown of one policy says nothing of another.
    driver.clock.advance(8 * DAY);
    set(&driver, "a", &OLDER_THAN_A_WEEK.replace('7', "6")).await;
    assert!(matches!(apply(&driver, "a").await, Err(Error::PolicyPaused(_))));
}

#[tokio::test]
async fn a_clock_that_moved_pauses_policies_everywhere() {
    let driver = Driver::new().await;
    let old = driver.push_image("a", "old", &[b"old"]).await;
    for n in 0..3 {
        driver.clock.advance(3 * DAY);
        driver.push_image("a", &format!("v{n}"), &[format!("{n}").as_bytes()]).await;
    }
    set(&driver, "a", OLDER_THAN_A_WEEK).await;
    let right = driver.clock.now();
    driver.clock.set(right + jiff::SignedDuration::from_hours(25));
    assert_eq!(driver.registry.run_policies().await.expect("a round").expired, 0);
    assert_eq!(driver.resolve("a", "old").await, Some(old));
    let Err(Error::PolicyPaused(why)) = apply(&driver, "a").await else { panic!("it is paused") };
    assert!(why.starts_with("the clock moved by 25 hours"), "{why}");
    assert!(matches!(driver.registry.resume_policies(&driver.actor).await, Err(Error::Denied)));
    driver.registry.resume_policies(&Actor::operator()).await.expect("it goes on");
    assert_eq!(driver.registry.run_policies().await.expect("a round").expired, 2);
    // Time that passes is no jump.
    driver.clock.advance(30 * DAY);
    preview(&driver, "a").await;
    assert_eq!(driver.registry.run_policies().await.expect("a round").expired, 2);
}

#[tokio::test]
async fn the_most_specific_rules_decide_and_what_is_protected_adds_up() {
    let driver = Driver::new().await;
    for tag in ["prod", "stable", "v1", "v2", "v3"] {
        driver.push_image("team/model", tag, &[tag.as_bytes()]).await;
    }
    driver.clock.advance(8 * DAY);
    for n in 0..9 {
        driver.push_image("team/model", &format!("new-{n}"), &[format!("new {n}").as_bytes()]).await;
    }
    let operator = Actor::operator();
    let registry = &driver.registry;
    let all = OLDER_THAN_A_WEEK.replace("{\"rules\"", "{\"protectedTagPatternList\":[\"prod*\"],\"rules\"");
    registry.set_pattern_policy(&operator, &pattern("**"), &all).await.expect("set");
    assert_eq!(preview(&driver, "team/model").await.expiring, 4);
    let only_v1 = OLDER_THAN_A_WEEK.replace("\"any\"", "\"tagged\",\"tagPatternList\":[\"v1\"]");
    registry.set_pattern_policy(&operator, &pattern("team/*"), &only_v1).await.expect("set");
    assert_eq!(preview(&driver, "team/model").await.expiring, 1);
    registry.remove_pattern_policy(&operator, &pattern("team/*")).await.expect("removed");
    // A policy that only protects leaves the rules to the next.
    set(&driver, "team/model", r#"{"protectedTagPatternList":["stable"]}"#).await;
    let told = preview(&driver, "team/model").await;
    assert_eq!((told.expiring, told.pattern.as_str()), (3, "**"));
    let view = registry.policy(&driver.actor, &name("team/model")).await.expect("a view");
    assert_eq!(view.effective.expect("one decides").pattern, pattern("**"));
    assert_eq!(view.others.len(), 1);
    let protected: Vec<_> = view.protected.iter().map(|by| (by.tags.as_str(), by.pattern.as_str())).collect();
    assert_eq!(protected, [("prod*", "**"), ("stable", "team/model")]);
    let listed = registry.policies(&operator, &EVERYTHING).await.expect("a list").items;
    assert_eq!(listed.iter().map(|set| set.pattern.as_str()).collect::<Vec<_>>(), ["**", "team/model"]);
    assert_eq!(listed[1].own_keys, ["protectedTagPatternList"]);

    registry.remove_repository(&driver.actor, &name("team/model")).await.expect("removed");
    assert_eq!(
        registry.policies(&operator, &EVERYTHING).await.expect("a list").items.len(),
        1,
        "its own policy went too"
    );
}

#[tokio::test]
async fn one_run_ends_at_the_cap_and_the_next_goes_on() {
    let driver = Driver::with(Settings { policy_cap: 60, ..testing::settings() }).await;
    for n in 0..130 {
        driver.push_manifest("a", &format!("v{n}"), &empty(n)).await.expect("a push");
    }
    driver.clock.advance(8 * DAY);
    set(&driver, "a", OLDER_THAN_A_WEEK).await;
    let told = preview(&driver, "a").await;
    assert!(told.notes.iter().any(|note| note.contains("60 images")), "{:?}", told.notes);
    let first = apply(&driver, "a").await.expect("applied");
    assert_eq!((first.expired, first.left), (100, 30), "a batch is not cut");
    preview(&driver, "a").await;
    assert_eq!(apply(&driver, "a").await.expect("applied").expired, 30);
}

/// An index without parts, told from others by its annotation.
fn empty(number: u32) -> Vec<u8> {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"n":"{number}"}}}}"#
    )
    .into_bytes()
}

/// The protocol has no push session: between a child and its index lies any time, and a client that finds the child there does not send it.
#[tokio::test]
async fn what_an_index_on_its_way_relies_on_stays() {
    let driver = Driver::new().await;
    let child = untagged(&driver, "a", b"child").await;
    for n in 0..4 {
        driver.push_image("a", &format!("v{n}"), &[format!("{n}").as_bytes()]).await;
    }
    let keep_one = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":1},"action":{"type":"expire"}}]}"#;
    set(&driver, "a", &keep_one.replace("sinceImagePushed\",\"countUnit\":\"days", "imageCountMoreThan")).await;
    driver.clock.advance(Duration::from_secs(60));
    untagged(&driver, "a", b"other").await;
    let told = preview(&driver, "a").await;
    let near = told.near.iter().find(|near| near.digest == child).expect("it nearly goes");
    assert_eq!((told.expiring, near.reason), (0, "leased"), "just pushed");
    driver.clock.advance(9 * DAY);
    assert_eq!(preview(&driver, "a").await.expiring, 1);
    set(&driver, "a", keep_one).await;
    let head = Reference::Digest(child);
    let reader = Actor::anonymous(Rights::ReadOnly);
    driver.registry.manifest_head(&reader, &name("a"), &head).await.expect("it is there");
    assert_eq!(preview(&driver, "a").await.expiring, 2, "who may not push relies on nothing");
    driver.registry.manifest_head(&driver.actor, &name("a"), &head).await.expect("it is there");
    assert_eq!(preview(&driver, "a").await.expiring, 1);
    assert_eq!(apply(&driver, "a").await.expect("applied").expired, 1);
    driver.push_manifest("a", "multi", &index(&[&image(&[b"child"])])).await.expect("its child is there");
    driver.clock.advance(9 * DAY);
    assert_eq!(preview(&driver, "a").await.expiring, 0, "the index holds it");
}

#[tokio::test]
async fn a_digest_pushed_again_is_counted_on_again() {
    let driver = Driver::new().await;
    untagged(&driver, "a", b"child").await;
    driver.clock.advance(9 * DAY);
    set(&driver, "a", OLDER_THAN_A_WEEK).await;
    untagged(&driver, "a", b"child").await;
    let told = preview(&driver, "a").await;
    assert_eq!((told.expiring, told.near[0].reason), (0, "leased"));
    driver.clock.advance(DAY);
    assert_eq!(preview(&driver, "a").await.expiring, 1);
}

#[tokio::test]
async fn an_index_goes_with_its_children_and_signatures() {
    let driver = Driver::new().await;
    let child = untagged(&driver, "a", b"child").await;
    let list = driver.push_manifest("a", "multi", &index(&[&image(&[b"child"])])).await.expect("a push").digest;
    let signature = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],
            "subject":{{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"{list}","size":{}}}}}"#,
        index(&[&image(&[b"child"])]).len()
    );
    let signature_digest = crate::driver::sha256(signature.as_bytes());
    driver.push_manifest("a", &signature_digest.to_string(), signature.as_bytes()).await.expect("a push");
    driver.clock.advance(8 * DAY);
    driver.push_image("a", "new", &[b"new"]).await;
    set(&driver, "a", OLDER_THAN_A_WEEK).await;
    let told = preview(&driver, "a").await;
    let follows: Vec<_> = told.going.iter().filter_map(|image| image.follows).collect();
    assert_eq!((told.expiring, told.going[0].digest, follows), (3, list, vec![list]));
    assert!(told.notes.iter().any(|note| note.starts_with("1 signatures")), "{:?}", told.notes);
    assert_eq!(apply(&driver, "a").await.expect("applied").expired, 3);
    assert_eq!(driver.resolve("a", &child.to_string()).await, None);
}

#[tokio::test]
async fn what_another_repository_holds_does_not_come_free() {
    let driver = Driver::new().await;
    for repository in ["a", "b"] {
        driver.push_image(repository, "v1", &[b"shared"]).await;
    }
    driver.push_image("a", "v2", &[b"own"]).await;
    driver.clock.advance(8 * DAY);
    set(&driver, "a", OLDER_THAN_A_WEEK).await;
    let told = preview(&driver, "a").await;
    assert_eq!(told.bytes, 3 + image(&[b"own"]).len() as u64);
}

#[tokio::test]
async fn only_who_administers_a_repository_changes_its_policy() {
    let driver = Driver::new().await;
    driver.push_image("a", "v1", &[b"1"]).await;
    let reader = Actor::anonymous(Rights::ReadOnly);
    let (registry, a) = (&driver.registry, name("a"));
    assert!(matches!(registry.set_policy(&reader, &a, CASE_7).await, Err(Error::Denied)));
    assert!(matches!(registry.preview_policy(&reader, &a, Some(CASE_7), &EVERYTHING).await, Err(Error::Denied)));
    assert!(matches!(registry.apply_policy(&reader, &a).await, Err(Error::Denied)));
    assert!(matches!(registry.set_pattern_policy(&driver.actor, &pattern("**"), CASE_7).await, Err(Error::Denied)));
    assert!(registry.policy(&reader, &a).await.is_ok());
    assert!(matches!(registry.apply_policy(&driver.actor, &a).await, Err(Error::NoPolicy(_))));
    let wrong = registry.set_policy(&driver.actor, &a, r#"{"rules":[]}"#).await;
    assert!(matches!(wrong, Err(Error::PolicyInvalid(_))), "{wrong:?}");
    assert!(matches!(registry.set_policy(&driver.actor, &name("b"), CASE_7).await, Err(Error::RepositoryUnknown(_))));
    assert!(matches!(registry.remove_policy(&driver.actor, &a).await, Err(Error::PolicyUnknown(_))));
    let tried = registry.preview_policy(&driver.actor, &a, Some(OLDER_THAN_A_WEEK), &EVERYTHING).await.expect("tried");
    assert_eq!((tried.images, tried.expiring), (1, 0));
    assert_eq!(registry.policy(&driver.actor, &a).await.expect("a view").effective, None, "to try is not to set");
}

#[tokio::test]
async fn a_preview_is_a_list_in_pages() {
    let driver =
        Driver::with(Settings { policy_every: Some(6 * Duration::from_secs(3_600)), ..testing::settings() }).await;
    for n in 0..5 {
        driver.push_manifest("a", &format!("v{n}"), &empty(n)).await.expect("a push");
    }
    driver.clock.advance(8 * DAY);
    set(&driver, "a", OLDER_THAN_A_WEEK).await;
    let whole: Vec<Digest> = preview(&driver, "a").await.going.iter().map(|image| image.digest).collect();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = PageRequest { limit: 2, after: after.clone() };
        let told = driver.registry.preview_policy(&driver.actor, &name("a"), None, &page).await.expect("a page");
        assert_eq!(told.expiring, 5);
        after = told.going.last().map(|image| image.digest.to_string());
        seen.extend(told.going.iter().map(|image| image.digest));
        if !told.more {
            break;
        }
    }
    assert_eq!(seen, whole);
    set(&driver, "a", &OLDER_THAN_A_WEEK.replace('7', "6")).await;
    assert_eq!(driver.registry.run_policies().await.expect("a round").paused, 1);
    let told = preview(&driver, "a").await;
    let leaves = told.going[0].leaves.expect("there is a schedule");
    assert_eq!(leaves, driver.clock.now() + jiff::SignedDuration::from_hours(6));
    assert_eq!(told.going[0].bytes_go, Some(leaves + jiff::SignedDuration::from_hours(24)));
}

fn pattern(text: &str) -> RepositoryPattern {
    text.parse().expect("a pattern")
}
