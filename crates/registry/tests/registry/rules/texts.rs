//! Rules as they are set: read, inherited, removed.

use larder_registry::rules::{Level, read};
use larder_registry::{Actor, Error, PageRequest, Rights};
use serde_json::json;

use super::{MODEL, Ruled, operator, refused};
use crate::driver::{Driver, name};

#[test]
fn what_is_wrong_is_told_by_its_field() {
    for (text, field, said) in [
        ("[]", "", "rules are a JSON object"),
        ("{\"production\": true,", "", "EOF while parsing a value"),
        ("{\"shape\": \"off\", \"shape\": \"warn\"}", "", "`shape` stands twice"),
        ("{\"imutable\": \"enforce\"}", "imutable", "there is no such rule"),
        ("{\"immutable\": \"always\"}", "immutable", "unknown variant `always`"),
        ("{\"immutable\": {\"tags\": [\"*\"]}}", "immutable", "missing field `level`"),
        (
            "{\"immutable\": {\"level\": \"warn\", \"mode\": \"IMMUTABLE\", \"tags\": [\"*\"]}}",
            "immutable",
            "`mode` stands with `filters`",
        ),
        (
            "{\"immutable\": {\"level\": \"warn\", \"mode\": \"IMMUTABLE_WITH_EXCLUSION\"}}",
            "immutable",
            "needs `filters`",
        ),
        ("{\"shape\": {\"level\": \"warn\", \"form\": \"[\"}}", "shape", "neither semver nor version"),
        ("{\"size\": {\"level\": \"warn\", \"image\": \"10 apples\"}}", "size", "is no size"),
        ("{\"latest\": {\"pulls\": \"warn\"}}", "latest", "unknown field `pulls`"),
        ("{\"aliases\": {\"level\": \"warn\", \"names\": [\"a b\"]}}", "aliases", "tag"),
    ] {
        let problems = read(text).expect_err(text).0;
        assert_eq!((problems.len(), problems[0].field.as_str()), (1, field), "{text}");
        assert!(problems[0].message.contains(said), "{text}: {}", problems[0].message);
    }
    assert_eq!(read("{\"a\": 1, \"shape\": 2}").expect_err("two").0.len(), 2, "all of it at once");
}

#[tokio::test]
async fn the_most_specific_text_decides_rule_by_rule() {
    let ruled = Ruled::by(json!({ "shape": "off" })).await;
    let Driver { registry, actor, .. } = &ruled.driver;
    let pattern = |text: &str| text.parse().expect("a pattern");
    let set = async |for_: &str, rules: serde_json::Value| {
        registry.set_pattern_rules(&operator(), &pattern(for_), &rules.to_string()).await.expect("set");
    };
    set("**", json!({ "shape": "semver", "production": true, "immutable": "warn" })).await;
    set("team/**", json!({ "immutable": "enforce" })).await;
    let view = registry.rules(actor, &name(MODEL)).await.expect("shown");
    let from: Vec<_> = view.effective.set_for.iter().map(|(rule, pattern)| (rule.as_str(), pattern.as_str())).collect();
    assert_eq!(from, [("immutable", "team/**"), ("production", "**"), ("shape", MODEL)]);
    assert_eq!(view.effective.rules.immutable.map(|rule| rule.level), Some(Level::Enforce));
    assert_eq!(view.texts.iter().map(|set| set.pattern.as_str()).collect::<Vec<_>>(), [MODEL, "team/**", "**"]);
    ruled.pushed("main", "one").await;
    let said = refused(ruled.push("main", "two").await);
    assert!(said.ends_with("(rule immutable of team/**)"), "{said}");
    let all = registry.all_rules(&operator(), &PageRequest { limit: 2, after: None }).await.expect("listed");
    assert_eq!((all.items.len(), all.more), (2, true));
    registry.remove_rules(actor, &name(MODEL)).await.expect("removed");
    refused(ruled.push("feature", "one").await);
    registry.remove_pattern_rules(&operator(), &pattern("**")).await.expect("removed");
    assert!(matches!(registry.remove_rules(actor, &name(MODEL)).await, Err(Error::RulesUnknown(_))));
}

#[tokio::test]
async fn rules_are_set_by_who_administers_the_repository() {
    let ruled = Ruled::by(json!({})).await;
    let Driver { registry, actor, .. } = &ruled.driver;
    let reader = Actor::anonymous(Rights::ReadOnly);
    registry.rules(&reader, &name(MODEL)).await.expect("who pulls may know");
    assert!(matches!(registry.set_rules(&reader, &name(MODEL), "{}").await, Err(Error::Denied)));
    assert!(matches!(
        registry.set_pattern_rules(actor, &"**".parse().expect("a pattern"), "{}").await,
        Err(Error::Denied)
    ));
    assert_eq!(ruled.audited("rules.set").await.len(), 1);
}
