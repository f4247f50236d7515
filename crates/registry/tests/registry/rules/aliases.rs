//! Moving aliases, in the transaction of the push.

use larder_registry::RollbackTo;
use serde_json::json;

use super::{MODEL, Ruled, refused};
use crate::driver::{Driver, name, tag};

async fn ruled(level: &str) -> Ruled {
    Ruled::by(json!({ "aliases": { "level": level, "names": ["stable"] } })).await
}

#[tokio::test]
async fn aliases_are_off_until_they_are_switched_on() {
    let ruled = Ruled::by(json!({ "production": true })).await;
    ruled.pushed("1.4.2", "one").await;
    assert_eq!((ruled.at("1.4").await, ruled.at("1").await), (None, None));
}

#[tokio::test]
async fn a_release_takes_its_aliases_along_and_only_forward() {
    let ruled = ruled("warn").await;
    let old = ruled.pushed("1.3.8", "old").await;
    let new = ruled.pushed("1.4.2", "new").await;
    assert_eq!((ruled.at("1.3").await, ruled.at("1.4").await), (Some(old), Some(new)));
    assert_eq!((ruled.at("1").await, ruled.at("stable").await), (Some(new), Some(new)));
    let late = ruled.pushed("1.3.9", "late").await;
    assert_eq!((ruled.at("1.3").await, ruled.at("1").await), (Some(late), Some(new)), "a late patch moves 1.3 alone");
    for other in ["1.5.0-rc.1", "1.5.0rc1", "1.5.0-abc123f", "1.5.0-0123456", "1.5.0_cu118", "1.5", "v3", "2026.11.21"]
    {
        ruled.pushed(other, "other").await;
    }
    assert_eq!((ruled.at("1").await, ruled.at("stable").await), (Some(new), Some(new)), "no pre-release and no build");
    let two = ruled.pushed("v2.0.0", "two").await;
    assert_eq!((ruled.at("v2.0").await, ruled.at("2").await), (Some(two), None), "as the version is written");
    assert_eq!(ruled.at("stable").await, Some(two));
    assert_eq!(ruled.history("1").await, ["alias", "alias"]);
}

#[tokio::test]
async fn what_a_person_moved_stays_until_he_hands_it_over() {
    let ruled = ruled("warn").await;
    let one = ruled.pushed("1.4.1", "one").await;
    let mine = ruled.pushed("stable", "mine").await;
    let pushed = ruled.push("1.4.2", "two").await.expect("it passes");
    assert!(pushed.warnings[0].starts_with("stable was moved by hand to sha256:"), "{pushed:?}");
    assert_eq!(ruled.at("stable").await, Some(mine));
    let Driver { registry, actor, .. } = &ruled.driver;
    let back = registry.rollback_tag(actor, &name(MODEL), &tag("1.4"), RollbackTo::Changes(1), false).await;
    assert_eq!(back.expect("a person may").to, one);
    ruled.push("1.4.3", "three").await.expect("it passes");
    assert_eq!((ruled.at("1.4").await, ruled.history("1.4").await[0].as_str()), (Some(one), "rollback"));
    ruled.set(MODEL, json!({ "aliases": { "level": "warn", "names": ["stable"], "adopt": true } })).await;
    let four = ruled.pushed("1.4.4", "four").await;
    assert_eq!((ruled.at("1.4").await, ruled.at("stable").await), (Some(four), Some(four)));
}

#[tokio::test]
async fn ci_may_push_an_alias_itself_and_backwards_is_warned_or_refused() {
    let ruled = ruled("warn").await;
    ruled.pushed("1.2.3", "three").await;
    ruled.pushed("1.2", "three").await;
    assert_eq!(ruled.history("1.2").await, ["alias"], "it was there already");
    ruled.pushed("1.2", "four").await;
    let four = ruled.pushed("1.2.4", "four").await;
    assert_eq!(ruled.at("1.2").await, Some(four));
    let back = ruled.push("1.2", "three").await.expect("it is obeyed");
    assert_eq!(
        back.warnings,
        ["1.2 goes back to 1.2.3, and 1.2.4 is there: push 1.2.4 as 1.2 (rule aliases of team/ml-model)"]
    );
    assert_eq!(ruled.history("1.2").await, ["push", "push", "alias"]);
    ruled.set(MODEL, json!({ "aliases": "enforce" })).await;
    ruled.pushed("1.2", "four").await;
    refused(ruled.push("1.2", "three").await);
    assert_eq!(ruled.at("1.2").await, Some(four));
}

#[tokio::test]
async fn an_immutable_alias_is_made_and_then_stays() {
    let ruled = Ruled::by(json!({ "aliases": "warn", "immutable": { "level": "enforce", "tags": ["1.*"] } })).await;
    let one = ruled.pushed("1.2.3", "one").await;
    let pushed = ruled.push("1.2.4", "two").await.expect("it passes");
    assert_eq!(pushed.warnings.len(), 1, "{pushed:?}");
    assert_eq!((ruled.at("1.2").await, ruled.at("1").await), (Some(one), Some(pushed.digest)));
}

#[tokio::test]
async fn a_retag_to_a_release_moves_aliases_too() {
    let ruled = ruled("warn").await;
    let digest = ruled.pushed("candidate", "one").await;
    ruled.retag("1.4.2", &digest).await.expect("it moves");
    assert_eq!((ruled.at("1.4").await, ruled.at("stable").await), (Some(digest), Some(digest)));
}

#[tokio::test]
async fn many_builds_beside_a_version_hide_no_release() {
    let ruled = ruled("warn").await;
    let newest = ruled.pushed("1.4.2", "newest").await;
    for number in 0..1_100 {
        ruled.retag(&format!("1.4.3-{number:07x}"), &newest).await.expect("a build");
    }
    ruled.pushed("1.4.1", "late").await;
    assert_eq!(ruled.at("1.4").await, Some(newest));
}
