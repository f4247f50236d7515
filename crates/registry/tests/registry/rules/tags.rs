//! Rules about tags: immutable ones, `latest`, and the shape.

use larder_registry::{Actor, Error, RollbackTo};
use serde_json::json;

use super::{MODEL, Ruled, refused};
use crate::driver::{Driver, image, name, sha256, tag};

#[tokio::test]
async fn an_immutable_tag_stays_whatever_somebody_tries() {
    let ruled = Ruled::by(json!({ "immutable": { "level": "enforce", "except": ["latest", "dev-*"] } })).await;
    let first = ruled.pushed("1.2.3", "one").await;
    assert_eq!(ruled.pushed("1.2.3", "one").await, first, "the same again is a push like any other");
    let said = refused(ruled.push("1.2.3", "two").await);
    assert!(
        said.starts_with("1.2.3 is sha256:") && said.ends_with("use another tag (rule immutable of team/ml-model)"),
        "{said}"
    );
    let second = ruled.pushed("1.2.4", "two").await;
    refused(ruled.retag("1.2.3", &second).await);
    assert_eq!(ruled.retag("1.2.3", &first).await.expect("it is there already"), Vec::<String>::new());
    refused(ruled.driver.delete(MODEL, "1.2.3").await);
    refused(ruled.driver.delete(MODEL, &first.to_string()).await);
    assert_eq!(ruled.at("1.2.3").await, Some(first));
    for tag in ["latest", "dev-1"] {
        ruled.pushed(tag, "one").await;
        ruled.pushed(tag, "two").await;
        ruled.driver.delete(MODEL, tag).await.expect("it may go");
    }
    assert!(matches!(ruled.driver.delete(MODEL, "absent").await, Err(Error::ManifestUnknown { .. })));
    let audited = ruled.audited("rules.refused").await;
    assert_eq!(audited, [("1.2.3".to_owned(), 4)], "folded within their minute");
    assert_eq!(ruled.driver.registry.statistics().await.rules_refused, 4);
}

#[tokio::test]
async fn a_rollback_moves_no_immutable_tag_and_a_warning_lets_it() {
    let ruled = Ruled::by(json!({})).await;
    ruled.pushed("prod", "one").await;
    ruled.pushed("prod", "two").await;
    ruled.set(MODEL, json!({ "immutable": "enforce" })).await;
    let Driver { registry, actor, .. } = &ruled.driver;
    let back = async |dry| registry.rollback_tag(actor, &name(MODEL), &tag("prod"), RollbackTo::Changes(1), dry).await;
    refused(back(true).await);
    refused(back(false).await);
    ruled.set(MODEL, json!({ "immutable": "warn" })).await;
    back(false).await.expect("it goes back");
    let pushed = ruled.push("prod", "two").await.expect("it passes");
    assert!(pushed.warnings[0].contains("rule immutable"), "{pushed:?}");
    assert_eq!(ruled.audited("rules.warned").await, [("prod".to_owned(), 1), ("prod".to_owned(), 1)]);
    assert_eq!(registry.statistics().await.rules_warned, 2);
}

#[tokio::test]
async fn the_words_of_amazon_ecr_mean_what_they_mean_there() {
    let mode = |mode: &str| json!({ "immutable": { "level": "enforce", "mode": mode, "filters": ["v*"] } });
    let ruled = Ruled::by(mode("IMMUTABLE_WITH_EXCLUSION")).await;
    for tag in ["v1", "1.0"] {
        ruled.pushed(tag, "one").await;
    }
    ruled.pushed("v1", "two").await;
    refused(ruled.push("1.0", "two").await);
    ruled.set(MODEL, mode("MUTABLE_WITH_EXCLUSION")).await;
    refused(ruled.push("v1", "one").await);
    ruled.pushed("1.0", "two").await;
    ruled.set(MODEL, json!({ "immutable": { "level": "enforce", "mode": "MUTABLE" } })).await;
    ruled.pushed("v1", "one").await;
    ruled.set(MODEL, json!({ "immutable": { "level": "enforce", "mode": "IMMUTABLE" } })).await;
    refused(ruled.push("v1", "two").await);
}

#[tokio::test]
async fn an_incomplete_image_gets_no_immutable_tag() {
    let ruled = Ruled::by(json!({ "immutable": { "level": "enforce", "tags": ["1.*"] } })).await;
    let manifest = image(&[b"never sent"]);
    let said = refused(ruled.driver.push_manifest(MODEL, "1.0.0", &manifest).await);
    assert!(said.contains("lacks some of what it names"), "{said}");
    ruled.driver.push_manifest(MODEL, "dev", &manifest).await.expect("elsewhere it is taken with a warning");
    refused(ruled.retag("1.0.1", &sha256(&manifest)).await);
}

#[tokio::test]
async fn tags_of_signatures_follow_their_image_and_no_rule() {
    let ruled = Ruled::by(json!({ "immutable": "enforce", "shape": "semver" })).await;
    let companion = format!("sha256-{}", "a".repeat(64));
    for name in [companion.clone(), format!("{companion}.sig")] {
        ruled.pushed(&name, "one").await;
        ruled.pushed(&name, "two").await;
        ruled.driver.delete(MODEL, &name).await.expect("it may go");
    }
    refused(ruled.push(&format!("{companion}.exe"), "one").await);
}

/// Case 15.
#[tokio::test]
async fn production_is_warned_of_latest_and_told_what_it_is() {
    let ruled = Ruled::by(json!({})).await;
    let digest = ruled.pushed("latest", "one").await;
    let Driver { registry, actor, .. } = &ruled.driver;
    let pull =
        async |reference: &str| registry.manifest(actor, &name(MODEL), &reference.parse().expect("a reference")).await;
    assert_eq!(pull("latest").await.expect("a pull").warnings, Vec::<String>::new(), "teams tag it beside prod");
    ruled.set(MODEL, json!({ "production": true })).await;
    let warnings = pull("latest").await.expect("a pull").warnings;
    assert_eq!(
        warnings,
        [format!("latest is {digest} now: docker pull HOST/{MODEL}@{digest} (rule latest of {MODEL})")]
    );
    for tag in ["1", "1.2", "1.2.3", "1.2.3-abc123f", "prod"] {
        ruled.pushed(tag, "one").await;
        assert_eq!(pull(tag).await.expect("a pull").warnings, Vec::<String>::new(), "{tag}");
    }
    let warnings = pull("latest").await.expect("a pull").warnings;
    assert!(warnings[0].starts_with("latest is 1.2.3 now: docker pull HOST/team/ml-model:1.2.3 "), "{warnings:?}");
    assert_eq!(ruled.audited("rules.warned").await, [("latest".to_owned(), 2)]);
    let now = registry.tag_now(actor, &name(MODEL), &tag("latest")).await.expect("it is there");
    assert_eq!((now.digest, now.version, now.warnings.len()), (digest, Some(tag("1.2.3")), 1));

    ruled.set(MODEL, json!({ "latest": "enforce" })).await;
    let said = refused(pull("latest").await);
    assert!(said.starts_with("latest is 1.2.3 now: docker pull HOST/team/ml-model:1.2.3 "), "{said}");
    refused(registry.manifest_head(actor, &name(MODEL), &"latest".parse().expect("a reference")).await);
    pull("1.2.3").await.expect("what it says works");
    pull(&digest.to_string()).await.expect("by digest too");
    assert_eq!(
        registry.tag_now(actor, &name(MODEL), &tag("latest")).await.expect("no pull").version,
        Some(tag("1.2.3"))
    );
    ruled.pushed("latest", "two").await;
    ruled.set(MODEL, json!({ "latest": { "push": "enforce", "pull": "off" } })).await;
    pull("latest").await.expect("a pull");
    ruled.pushed("latest", "two").await;
    refused(ruled.push("latest", "three").await);
}

#[tokio::test]
async fn tags_have_the_shape_that_is_asked_for() {
    let ruled = Ruled::by(json!({ "shape": "semver" })).await;
    for (tag, passes) in [
        ("1.2.3", true),
        ("v1.2.3", true),
        ("1.2.3-rc.1", true),
        ("1.2.3-abc123f", true),
        ("1.2.3_cu118", true),
        ("latest", true),
        ("prod", true),
        ("1.2", false),
        ("2026.11.21", false),
        ("main", false),
        ("abc123f", false),
    ] {
        assert_eq!(ruled.push(tag, "one").await.is_ok(), passes, "{tag}");
    }
    ruled.set(MODEL, json!({ "shape": { "level": "enforce", "form": "version", "except": ["main"] } })).await;
    for (tag, passes) in
        [("1.2", true), ("v2", true), ("1.2.3rc2", true), ("main", true), ("latest", false), ("x", false)]
    {
        assert_eq!(ruled.push(tag, "one").await.is_ok(), passes, "{tag}");
    }
    ruled.set(MODEL, json!({ "shape": { "level": "enforce", "form": "release-[0-9]+" } })).await;
    ruled.pushed("release-7", "one").await;
    let said = refused(ruled.push("x-release-7", "one").await);
    assert!(said.contains("use a tag that matches release-[0-9]+"), "{said}");
    refused(ruled.retag("x", &ruled.at("release-7").await.expect("it is there")).await);
}

#[tokio::test]
async fn a_lifecycle_policy_lets_go_of_immutable_images() {
    let ruled = Ruled::by(json!({ "immutable": "enforce" })).await;
    for number in 1..=3 {
        ruled.pushed(&format!("1.0.{number}"), &number.to_string()).await;
        ruled.driver.pass_lease();
    }
    let Driver { registry, actor, .. } = &ruled.driver;
    let keep = r#"{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan",
                   "countNumber": 2}, "action": {"type": "expire"}}]}"#;
    registry.set_policy(actor, &name(MODEL), keep).await.expect("a policy");
    registry.apply_policy(&Actor::operator(), &name(MODEL)).await.expect("applied");
    assert_eq!(ruled.at("1.0.1").await, None);
    assert!(ruled.at("1.0.2").await.is_some());
}
