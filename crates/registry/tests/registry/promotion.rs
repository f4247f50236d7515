//! Stages: gates, promotion, approvals, rollback, moves by docker alone, and who pulls.

use std::sync::Arc;
use std::time::Duration;

use larder_oci::{Digest, Reference};
use larder_registry::promotion::{Approving, Gate, Promote, Promoted, Refusal, StageRollback};
use larder_registry::{Actor, Error, PageRequest, Registry, Result, Rights, RollbackTo, Settings, testing};

use crate::driver::{Driver, image, name, sha256, tag};

const GATED: &str = r#"{"stages":[{"name":"dev"},{"name":"staging"},{"name":"prod","gates":{"previous":true,"minimum_age":"24h",
    "version":"release","approvals":{"count":2}}}]}"#;

fn promotion(reference: &str, to: &str) -> Promote {
    Promote {
        reference: reference.parse().expect("a reference"),
        to: tag(to),
        expected: None,
        reason: None,
        dry_run: false,
        key: None,
    }
}

/// A signature of a manifest, with one layer.
fn referrer(subject: &[u8], layer: &[u8]) -> Vec<u8> {
    let descriptor = |media_type: &str, digest: &Digest, size: usize| {
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    let config = descriptor("application/vnd.oci.empty.v1+json", &sha256(b"{}"), 2);
    let layer = descriptor("application/x.signature", &sha256(layer), layer.len());
    let subject = descriptor("application/vnd.oci.image.manifest.v1+json", &sha256(subject), subject.len());
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/x.signature",
            "config":{config},"layers":[{layer}],"subject":{subject}}}"#
    )
    .into_bytes()
}

fn person(name: &str) -> Actor {
    Actor::anonymous(Rights::Everything).named(format!("user:{name}"))
}

async fn promote(driver: &Driver, reference: &str, to: &str) -> Result<Promoted> {
    driver.registry.promote(&driver.actor, &name("ml-model"), &promotion(reference, to)).await
}

async fn approve(driver: &Driver, who: &str, reference: &str) {
    let asked = Approving {
        reference: reference.parse().expect("a reference"),
        to: tag("prod"),
        reason: None,
        withdraw: false,
    };
    driver.registry.approve(&person(who), &name("ml-model"), &asked).await.expect("an approval");
}

async fn set(driver: &Driver, text: &str) {
    driver.registry.set_stages(&driver.actor, &name("ml-model"), text).await.expect("stages");
}

fn refused<T: std::fmt::Debug>(outcome: Result<T>) -> Refusal {
    match outcome {
        Err(Error::Promotion(refusal)) => *refusal,
        other => panic!("{other:?}"),
    }
}

fn unmet(outcome: Result<Promoted>) -> Vec<Gate> {
    match refused(outcome) {
        Refusal::Unmet { checks, .. } => checks.iter().filter(|check| !check.met).map(|check| check.gate).collect(),
        other => panic!("{other}"),
    }
}

async fn history(driver: &Driver, tag_name: &str) -> Vec<(Option<Digest>, Option<Digest>, String)> {
    let page = driver.registry.tag_history(&driver.actor, &name("ml-model"), &tag(tag_name), None, 99).await;
    page.expect("a history").items.into_iter().map(|event| (event.from, event.to, event.how)).collect()
}

#[tokio::test]
async fn a_version_goes_through_the_stages_that_every_repository_has() {
    let driver = Driver::new().await;
    let first = driver.push_image("ml-model", "1.4.1", &[b"base", b"one"]).await;
    let second = driver.push_image("ml-model", "1.4.2", &[b"base", b"two"]).await;
    let promoted = promote(&driver, "1.4.1", "prod").await.expect("no gate is there");
    assert_eq!((promoted.from, promoted.to, promoted.moved), (None, first, true));
    let dry = Promote { dry_run: true, ..promotion("1.4.2", "prod") };
    let seen = driver.registry.promote(&driver.actor, &name("ml-model"), &dry).await.expect("a look");
    assert_eq!((seen.from, seen.to, seen.moved, seen.is_allowed()), (Some(first), second, false, true));
    assert_eq!(seen.new.iter().map(|layer| layer.size).collect::<Vec<_>>(), [3], "base is there already");
    assert_eq!(driver.resolve("ml-model", "prod").await, Some(first), "nothing moved");
    let moved = promote(&driver, "1.4.2", "prod").await.expect("it moves");
    assert_eq!((moved.source.as_str(), moved.target.as_str()), ("ml-model:1.4.2", "ml-model:prod"));
    assert_eq!(driver.resolve("ml-model", "prod").await, Some(second));
    assert_eq!(
        history(&driver, "prod").await,
        [(Some(first), Some(second), "promotion".to_owned()), (None, Some(first), "promotion".to_owned())]
    );
    assert!(!promote(&driver, "1.4.2", "prod").await.expect("it stands there").moved);
    assert_eq!(history(&driver, "prod").await.len(), 2);
    let unknown = refused(promote(&driver, "1.4.2", "production").await);
    assert_eq!(unknown.to_string(), "ml-model has no stage production: it has dev, staging, prod");
    let absent = promote(&driver, "9.9.9", "prod").await;
    assert!(matches!(absent, Err(Error::ManifestUnknown { .. })), "{absent:?}");
}

#[tokio::test]
async fn gates_hold_until_all_of_them_are_met() {
    let driver = Driver::new().await;
    let digest = driver.push_image("ml-model", "1.4.2", &[b"one"]).await;
    set(&driver, GATED).await;
    let all = [Gate::Previous, Gate::MinimumAge, Gate::Approvals];
    assert_eq!(unmet(promote(&driver, "1.4.2", "prod").await), all);
    promote(&driver, "1.4.2", "staging").await.expect("staging is open");
    assert_eq!(unmet(promote(&driver, "1.4.2", "prod").await), all[1..]);
    driver.clock.advance(Duration::from_secs(25 * 3_600));
    assert_eq!(unmet(promote(&driver, "1.4.2", "prod").await), all[2..]);
    approve(&driver, "alice", "1.4.2").await;
    approve(&driver, "alice", "1.4.2").await;
    assert_eq!(unmet(promote(&driver, "1.4.2", "prod").await), all[2..], "nobody counts twice");
    approve(&driver, "bob", "1.4.2").await;
    let promoted = promote(&driver, "1.4.2", "prod").await.expect("all is met");
    assert_eq!((promoted.to, promoted.moved), (digest, true));
    let view = driver.registry.stages(&driver.actor, &name("ml-model")).await.expect("a view");
    let prod = view.stages[2].standing.clone().expect("something stands there");
    assert_eq!(
        (prod.digest, prod.how.as_str(), view.stages[2].tags.as_slice()),
        (digest, "promotion", ["1.4.2", "staging"].map(String::from).as_slice())
    );
}

#[tokio::test]
async fn what_was_built_after_an_approval_is_not_approved() {
    let driver = Driver::new().await;
    driver.push_image("ml-model", "1.0", &[b"one"]).await;
    set(&driver, r#"{"stages":[{"name":"prod","gates":{"approvals":{"count":1}}}]}"#).await;
    approve(&driver, "alice", "1.0").await;
    driver.push_image("ml-model", "1.0", &[b"another"]).await;
    assert_eq!(unmet(promote(&driver, "1.0", "prod").await), [Gate::Approvals]);
    approve(&driver, "alice", "1.0").await;
    let back = Approving { reference: "1.0".parse().expect("a tag"), to: tag("prod"), reason: None, withdraw: true };
    let withdrawn = driver.registry.approve(&person("alice"), &name("ml-model"), &back).await.expect("taken back");
    assert_eq!((withdrawn.changed, withdrawn.count, withdrawn.asked), (true, 0, 1));
    assert_eq!(unmet(promote(&driver, "1.0", "prod").await), [Gate::Approvals]);
    let anonymous = Actor::anonymous(Rights::Everything);
    let given = Approving { withdraw: false, ..back };
    assert_eq!(refused(driver.registry.approve(&anonymous, &name("ml-model"), &given).await), Refusal::Nobody);
}

#[tokio::test]
async fn approvals_of_a_group_are_given_by_its_members() {
    let driver = Driver::new().await;
    driver.push_image("ml-model", "1.0", &[b"one"]).await;
    set(&driver, r#"{"stages":[{"name":"prod","gates":{"approvals":{"count":1,"group":"release"}}}]}"#).await;
    let asked = Approving { reference: "1.0".parse().expect("a tag"), to: tag("prod"), reason: None, withdraw: false };
    let outsider = driver.registry.approve(&person("mallory"), &name("ml-model"), &asked).await;
    let told = refused(outsider).to_string();
    assert_eq!(told, "approvals for prod are given by members of group release");
}

#[tokio::test]
async fn a_version_has_to_be_one_and_whole() {
    let driver = Driver::new().await;
    driver.push_image("ml-model", "1.4.2-rc.1", &[b"one"]).await;
    set(&driver, r#"{"stages":[{"name":"prod","gates":{"version":"release"}}]}"#).await;
    assert_eq!(unmet(promote(&driver, "1.4.2-rc.1", "prod").await), [Gate::Version]);
    let sparse = image(&[b"nobody pushed this"]);
    driver.push_manifest("ml-model", "2.0.0", &sparse).await.expect("taken with a warning");
    assert_eq!(unmet(promote(&driver, "2.0.0", "prod").await), [Gate::Complete]);
}

#[tokio::test]
async fn two_promotions_at_once_leave_one_stage_and_a_history_without_gaps() {
    let driver = Arc::new(Driver::new().await);
    let mut digests = Vec::new();
    for version in 0..8 {
        let layer = [version];
        digests.push(driver.push_image("ml-model", &format!("1.{version}.0"), &[&layer]).await);
    }
    // Who says what must stand there wins alone.
    let pinned = |version: usize| Promote { expected: Some(None), ..promotion(&format!("1.{version}.0"), "prod") };
    let (driver, asked) = (&driver, [pinned(0), pinned(1), pinned(2), pinned(3)]);
    let ml_model = name("ml-model");
    let outcomes =
        futures::future::join_all(asked.iter().map(|asked| driver.registry.promote(&driver.actor, &ml_model, asked)))
            .await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for outcome in outcomes.into_iter().filter(Result::is_err) {
        assert!(matches!(refused(outcome), Refusal::Elsewhere { current: Some(_), .. }));
    }
    // Who does not say so comes one after the other.
    let asked: Vec<_> = (4..8).map(|version| promotion(&format!("1.{version}.0"), "prod")).collect();
    let outcomes =
        futures::future::join_all(asked.iter().map(|asked| driver.registry.promote(&driver.actor, &ml_model, asked)))
            .await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let history = history(driver, "prod").await;
    assert_eq!(history.len(), 5);
    assert_eq!(driver.resolve("ml-model", "prod").await, history[0].1);
    for pair in history.windows(2) {
        assert_eq!(pair[0].0, pair[1].1, "each move begins where the one before ended");
    }
    for promoted in outcomes.into_iter().flatten() {
        assert!(
            history.iter().any(|(from, to, _)| (*from, *to) == (promoted.from, Some(promoted.to))),
            "as it was told"
        );
    }
}

#[tokio::test]
async fn a_repeated_request_is_answered_again_and_moves_nothing() {
    let driver = Driver::new().await;
    driver.push_image("ml-model", "1.0.0", &[b"one"]).await;
    driver.push_image("ml-model", "2.0.0", &[b"two"]).await;
    let keyed = |reference: &str| Promote { key: Some("deploy-7".to_owned()), ..promotion(reference, "prod") };
    let ml_model = name("ml-model");
    let first = driver.registry.promote(&driver.actor, &ml_model, &keyed("1.0.0")).await.expect("it moves");
    promote(&driver, "2.0.0", "prod").await.expect("another move");
    let again = driver.registry.promote(&driver.actor, &ml_model, &keyed("1.0.0")).await.expect("the same answer");
    assert_eq!(again, first);
    assert_eq!(history(&driver, "prod").await.len(), 2, "nothing moved back");
    let other = driver.registry.promote(&driver.actor, &ml_model, &keyed("2.0.0")).await;
    assert_eq!(refused(other), Refusal::KeyUsed);
    let stranger = person("bob");
    let own =
        driver.registry.promote(&stranger, &ml_model, &keyed("1.0.0")).await.expect("keys belong to who uses them");
    assert!(own.moved);
    let asked: Vec<_> =
        (0..6).map(|_| Promote { key: Some("at once".to_owned()), ..promotion("2.0.0", "staging") }).collect();
    let outcomes =
        futures::future::join_all(asked.iter().map(|asked| driver.registry.promote(&driver.actor, &ml_model, asked)))
            .await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|promoted| promoted.moved)), "{outcomes:?}");
    assert_eq!(history(&driver, "staging").await.len(), 1);
}

#[tokio::test]
async fn docker_moves_a_stage_without_gates_and_is_refused_where_there_are_some() {
    let driver = Driver::new().await;
    let first = driver.push_image("ml-model", "prod", &[b"one"]).await;
    let view = driver.registry.stages(&driver.actor, &name("ml-model")).await.expect("a view");
    let prod = view.stages[2].standing.clone().expect("it entered the stage");
    assert_eq!((prod.digest, prod.how.as_str(), prod.by.as_str()), (first, "push", "anonymous"));
    set(&driver, r#"{"stages":[{"name":"staging"},{"name":"prod","gates":{"previous":true}}]}"#).await;
    driver.push_image("ml-model", "1.1.0", &[b"two"]).await;
    let pushed = driver.push_manifest("ml-model", "prod", &image(&[b"two"])).await;
    let error = pushed.expect_err("prod has a gate");
    assert_eq!(error.code().as_str(), "DENIED");
    assert!(error.public_message().ends_with("larder promote ml-model:VERSION --to prod"), "{error}");
    let target: Reference = "1.1.0".parse().expect("a tag");
    refused(driver.registry.move_tag(&driver.actor, &name("ml-model"), &tag("prod"), &target).await);
    driver.delete("ml-model", "1.1.0").await.expect("a tag goes");
    let undeleted = driver.registry.undelete(&driver.actor, &name("ml-model"), &target, Some(&tag("prod"))).await;
    refused(undeleted);
    assert_eq!(driver.resolve("ml-model", "prod").await, Some(first));
    driver.push_image("ml-model", "staging", &[b"two"]).await;
    promote(&driver, "staging", "prod").await.expect("it came through staging by a push");
}

#[tokio::test]
async fn what_stands_in_a_stage_is_not_deleted_by_its_digest() {
    let driver = Driver::new().await;
    let digest = driver.push_image("ml-model", "prod", &[b"one"]).await;
    let error = driver.delete("ml-model", &digest.to_string()).await.expect_err("it stands in prod");
    assert_eq!(error.code().as_str(), "DENIED");
    driver.delete("ml-model", "prod").await.expect("the tag goes");
    driver.delete("ml-model", &digest.to_string()).await.expect("and then the manifest");
}

#[tokio::test]
async fn a_stage_goes_back_and_brings_back_what_was_deleted() {
    let trash_window = Duration::from_secs(7 * 24 * 3_600);
    let driver = Driver::with(Settings { trash_window, ..testing::settings() }).await;
    let first = driver.push_image("ml-model", "1.0.0", &[b"one"]).await;
    driver.push_image("ml-model", "2.0.0", &[b"two"]).await;
    set(&driver, r#"{"stages":[{"name":"prod","gates":{"version":"release"}}]}"#).await;
    promote(&driver, "1.0.0", "prod").await.expect("it moves");
    promote(&driver, "2.0.0", "prod").await.expect("it moves");
    driver.delete("ml-model", &first.to_string()).await.expect("it stands in no stage any more");
    let asked = StageRollback {
        stage: tag("prod"),
        to: RollbackTo::Changes(1),
        reason: Some("500s".to_owned()),
        dry_run: false,
    };
    let back = driver.registry.rollback_stage(&driver.actor, &name("ml-model"), &asked).await.expect("it goes back");
    assert_eq!(back.to, first);
    assert_eq!(driver.resolve("ml-model", "prod").await, Some(first));
    assert_eq!(history(&driver, "prod").await[0].2, "rollback");
    let view = driver.registry.stages(&driver.actor, &name("ml-model")).await.expect("a view");
    let standing = view.stages[0].standing.clone().expect("it stands there");
    assert_eq!((standing.how.as_str(), standing.reason.as_deref()), ("rollback", Some("500s")));
}

#[tokio::test]
async fn stages_as_repositories_share_bytes_and_take_signatures_along() {
    let driver = Driver::new().await;
    let digest = driver.push_image("ml-model", "1.4.2", &[b"weights"]).await;
    let signature = referrer(&image(&[b"weights"]), b"signature");
    driver.push_blob("ml-model", b"signature").await;
    let signed =
        driver.push_manifest("ml-model", &sha256(&signature).to_string(), &signature).await.expect("a signature");
    set(&driver, r#"{"shown":"repository","stages":[{"name":"staging"},{"name":"prod","gates":{"previous":true}}]}"#)
        .await;
    let objects = driver.objects().await;
    assert_eq!(unmet(promote(&driver, "1.4.2", "prod").await), [Gate::Previous]);
    let promoted = promote(&driver, "1.4.2", "staging").await.expect("staging is open");
    assert_eq!(promoted.target, "staging/ml-model:1.4.2");
    let promoted = promote(&driver, "1.4.2", "prod").await.expect("it came through staging");
    assert_eq!(promoted.target, "prod/ml-model:1.4.2");
    assert_eq!(driver.objects().await, objects, "no byte was copied");
    assert_eq!(driver.resolve("prod/ml-model", "1.4.2").await, Some(digest));
    assert_eq!(driver.read_blob("prod/ml-model", &sha256(b"weights")).await.expect("readable"), b"weights");
    let referrers = driver
        .registry
        .referrers(&driver.actor, &name("prod/ml-model"), &digest, None, &PageRequest { limit: 9, after: None })
        .await;
    assert_eq!(referrers.expect("a list").items[0].digest, signed.digest);
    // Each repository is whole by itself.
    driver.registry.remove_repository(&driver.actor, &name("ml-model")).await.expect("it goes");
    driver.pass_lease();
    driver.sweep().await;
    assert_eq!(driver.read_blob("prod/ml-model", &sha256(b"weights")).await.expect("readable"), b"weights");
}

#[tokio::test]
async fn a_push_into_a_repository_that_is_a_stage_is_refused_but_for_what_refers() {
    let driver = Driver::new().await;
    driver.push_image("ml-model", "1.0", &[b"one"]).await;
    set(&driver, r#"{"shown":"repository","stages":[{"name":"dev"},{"name":"prod","gates":{"version":"any"}}]}"#).await;
    driver.push_image("dev/ml-model", "1.1", &[b"two"]).await;
    driver.push_blob("prod/ml-model", b"two").await;
    driver.push_blob("prod/ml-model", b"{}").await;
    let pushed = driver.push_manifest("prod/ml-model", "1.1", &image(&[b"two"])).await;
    assert!(matches!(refused(pushed), Refusal::Gated { .. }));
    promote(&driver, "1.0", "prod").await.expect("it has a version");
    driver.push_blob("prod/ml-model", b"signature").await;
    let signature = referrer(&image(&[b"one"]), b"signature");
    let reference = sha256(&signature).to_string();
    driver.push_manifest("prod/ml-model", &reference, &signature).await.expect("a signature is welcome");
    // A `subject` makes an image no signature, and a tag that begins like one does not either.
    for tag in ["1.4.2".to_owned(), format!("sha256-{}.rc1", "a".repeat(64))] {
        let pushed = driver.push_manifest("prod/ml-model", &tag, &signature).await;
        assert!(matches!(refused(pushed), Refusal::Gated { .. }), "{tag}");
    }
    // What is only in the stage before is found there.
    driver
        .registry
        .promote(&driver.actor, &name("ml-model"), &promotion("1.1", "prod"))
        .await
        .expect("from dev/ml-model");
}

#[tokio::test]
async fn who_runs_what_stands_in_a_stage_is_known() {
    let driver = Driver::new().await;
    let first = driver.push_image("ml-model", "1.0.0", &[b"one"]).await;
    let second = driver.push_image("ml-model", "2.0.0", &[b"two"]).await;
    promote(&driver, "1.0.0", "prod").await.expect("it moves");
    let (alice, node) = (person("alice"), Actor::anonymous(Rights::ReadOnly).named("robot:node-7"));
    let pull = async |actor: &Actor, reference: &str| {
        let reference = reference.parse().expect("a reference");
        driver.registry.manifest(actor, &name("ml-model"), &reference).await.expect("a pull");
    };
    pull(&node, "prod").await;
    pull(&alice, &first.to_string()).await;
    pull(&alice, "2.0.0").await;
    let who = async |registry: &Registry| {
        let page = PageRequest { limit: 9, after: None };
        let found = registry.stage_pulls(&driver.actor, &name("ml-model"), &tag("prod"), &page).await.expect("a list");
        found.items.into_iter().map(|pull| (pull.identity, pull.digest)).collect::<Vec<_>>()
    };
    assert_eq!(who(&driver.registry).await, [("robot:node-7".to_owned(), first), ("user:alice".to_owned(), first)]);
    promote(&driver, "2.0.0", "prod").await.expect("it moves");
    pull(&node, "prod").await;
    assert_eq!(who(&driver.registry).await, [("robot:node-7".to_owned(), second), ("user:alice".to_owned(), first)]);
}

#[tokio::test]
async fn policies_never_take_what_is_in_a_stage_or_lately_was() {
    let driver = Driver::new().await;
    for (version, layer) in [("1", b"one"), ("2", b"two"), ("3", b"thr"), ("4", b"fou")] {
        driver.push_image("ml-model", version, &[layer]).await;
        driver.clock.advance(Duration::from_secs(60));
    }
    promote(&driver, "1", "prod").await.expect("it moves");
    promote(&driver, "2", "prod").await.expect("it moves");
    driver.clock.advance(Duration::from_secs(20 * 24 * 3_600));
    let policy = |days: u64| {
        format!(
            r#"{{"protectedStages":{{"names":["prod"],"days":{days}}},"rules":[{{"rulePriority":1,"selection":{{"tagStatus":"any",
                "countType":"sinceImagePushed","countUnit":"days","countNumber":7}},"action":{{"type":"expire"}}}}]}}"#
        )
    };
    let going = async |days: u64| {
        let page = PageRequest { limit: 99, after: None };
        let preview =
            driver.registry.preview_policy(&driver.actor, &name("ml-model"), Some(&policy(days)), &page).await;
        preview
            .expect("a preview")
            .going
            .into_iter()
            .flat_map(|image| image.tags)
            .map(|tag| tag.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(going(30).await, ["3", "4"]);
    assert_eq!(going(10).await, ["1", "3", "4"], "2 stands in prod");
    let wrong = driver.registry.set_policy(&driver.actor, &name("ml-model"), &policy(0)).await.expect_err("no days");
    assert!(wrong.public_message().contains("protectedStages.days"), "{wrong}");
}

/// What has no tag of people in a stage's repository was not let in as a version.
#[tokio::test]
async fn what_only_refers_did_not_come_through_a_stage() {
    let driver = Driver::new().await;
    driver.push_image("ml-model", "1.0", &[b"one"]).await;
    set(&driver, r#"{"shown":"repository","stages":[{"name":"staging","gates":{"version":"any"}},{"name":"prod","gates":{"previous":true}}]}"#)
        .await;
    promote(&driver, "1.0", "staging").await.expect("it has a version");
    let smuggled = referrer(&image(&[b"one"]), b"signature");
    for repository in ["ml-model", "staging/ml-model"] {
        driver.push_blob(repository, b"signature").await;
        driver.push_blob(repository, b"{}").await;
    }
    let reference = sha256(&smuggled).to_string();
    driver.push_manifest("ml-model", "1.1", &smuggled).await.expect("dev is open");
    driver.push_manifest("staging/ml-model", &reference, &smuggled).await.expect("it says that it refers");
    assert_eq!(unmet(promote(&driver, "1.1", "prod").await), [Gate::Previous]);
    promote(&driver, "1.0", "prod").await.expect("that came through");
}

/// A credential that may only pull says nothing in its owner's name.
#[tokio::test]
async fn who_may_only_pull_does_not_approve() {
    let driver = Driver::new().await;
    driver.push_image("ml-model", "1.0", &[b"one"]).await;
    set(&driver, r#"{"stages":[{"name":"prod","gates":{"approvals":{"count":1}}}]}"#).await;
    let asked =
        Approving { reference: "1.0".parse().expect("a reference"), to: tag("prod"), reason: None, withdraw: false };
    let reader = Actor::anonymous(Rights::ReadOnly).named("user:alice");
    let approved = driver.registry.approve(&reader, &name("ml-model"), &asked).await;
    assert!(matches!(approved, Err(Error::Denied)), "{approved:?}");
}

/// A removed repository comes back under its name, and not as the stage that it would have to enter.
#[tokio::test]
async fn nothing_is_undeleted_into_a_stage_with_gates() {
    let driver = Driver::with(Settings { trash_window: Duration::from_secs(86_400), ..testing::settings() }).await;
    driver.push_image("ml-model", "1.0", &[b"one"]).await;
    driver.push_image("other", "1.0", &[b"two"]).await;
    set(&driver, r#"{"shown":"repository","stages":[{"name":"prod","gates":{"version":"any"}}]}"#).await;
    let Driver { registry, actor, .. } = &driver;
    registry.remove_repository(actor, &name("other")).await.expect("it goes");
    let back = registry.undelete_repository(actor, &name("other"), Some(&name("prod/ml-model"))).await;
    assert!(matches!(refused(back), Refusal::Gated { .. }));
    registry.undelete_repository(actor, &name("other"), None).await.expect("it is back");
}
