//! Other registries' rules: what they come to on images, and what is said to differ.

use larder_registry::policy::{Origin, Translated, translate};
use serde_json::json;

use super::repository::{Repository, days_ago};

/// Images with versions, builds and without tags, by age.
fn repository() -> Repository {
    let mut r = Repository::default();
    for (tags, days) in [
        (&["v1"][..], 100),
        (&["v2"], 50),
        (&["v3", "latest"], 20),
        (&["dev-1"], 100),
        (&["dev-2"], 10),
        (&[], 100),
        (&[], 5),
    ] {
        r.image(tags, days);
    }
    r.of(0).pulled = Some(days_ago(3));
    r
}

#[track_caller]
fn one(origin: Origin, rules: serde_json::Value) -> Translated {
    let mut found = translate(origin, &rules.to_string()).expect("it is understood");
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// What goes of [`repository`].
#[track_caller]
fn going(translated: &Translated) -> Vec<u32> {
    repository().going(translated.policy.as_deref().expect("there is a policy"))
}

#[test]
fn artifact_registry() {
    let rules = json!([
        { "name": "old", "action": { "type": "Delete" }, "condition": { "tagState": "ANY", "olderThan": "30d" } },
        { "name": "releases", "action": { "type": "Keep" }, "condition": { "tagState": "TAGGED", "tagPrefixes": ["v", "x."] } },
        { "name": "few", "action": { "type": "Keep" }, "mostRecentVersions": { "keepCount": 1 } },
    ]);
    let found = one(Origin::ArtifactRegistry, rules);
    assert_eq!((going(&found), found.differences.len()), (vec![3, 5], 0));
    let seconds = json!([{ "name": "old", "action": { "type": "DELETE" }, "condition": { "tagState": "UNTAGGED", "olderThan": "2592000s" } }]);
    assert_eq!(going(&one(Origin::ArtifactRegistry, seconds)), [5]);
    let packages = json!([{ "name": "p", "action": { "type": "Delete" }, "condition": { "olderThan": "1d", "packageNamePrefixes": ["a"] } }]);
    let found = one(Origin::ArtifactRegistry, packages);
    assert_eq!(
        (found.policy, found.differences),
        (None, vec!["p: `packageNamePrefixes` cannot be said for a Delete; it is left out".to_owned()])
    );
}

#[test]
fn harbor() {
    let rule = |template: &str, params: serde_json::Value, pattern: &str, untagged: bool| {
        json!({ "disabled": false, "action": "retain", "template": template, "params": params,
                "tag_selectors": [{ "kind": "doublestar", "decoration": "matches", "pattern": pattern, "extras": format!("{{\"untagged\":{untagged}}}") }],
                "scope_selectors": { "repository": [{ "decoration": "repoMatches", "pattern": "**" }] } })
    };
    let rules = json!({ "algorithm": "or", "rules": [
        rule("latestPushedK", json!({ "latestPushedK": 2 }), "{v,w}*", false),
        rule("nDaysSinceLastPull", json!({ "nDaysSinceLastPull": 7 }), "**", true),
        rule("nDaysSinceLastPush", json!({ "nDaysSinceLastPush": 15 }), "**", true),
    ] });
    let found = one(Origin::Harbor, rules);
    assert_eq!(going(&found), [3, 5]);
    assert_eq!(found.differences, ["what was pushed within a day stays a day longer than there"]);
    let rules = json!({ "rules": [rule("latestPulledN", json!({ "latestPulledN": 2 }), "v*", false)] });
    let found = one(Origin::Harbor, rules);
    assert_eq!(going(&found), [3, 4, 5, 6]);
    assert!(found.differences[0].starts_with("`latestPulledN` cannot be said"), "{:?}", found.differences);
}

#[test]
fn zot() {
    let rules = json!({ "storage": { "retention": { "delay": "24h", "policies": [
        { "repositories": ["infra/*"], "keepTags": [{ "patterns": ["v.*", "w.*"], "mostRecentlyPushedCount": 1, "pulledWithin": "168h" }] },
        { "repositories": ["**"], "deleteUntagged": false },
    ] } } });
    let found = translate(Origin::Zot, &rules.to_string()).expect("it is understood");
    assert_eq!(
        (found.len(), &found[0].repositories, going(&found[0])),
        (2, &vec!["infra/*".to_owned()], vec![1, 3, 4, 5, 6])
    );
    assert_eq!((&found[1].repositories, &found[1].policy), (&vec!["**".to_owned()], &None));
}

#[test]
fn quay() {
    let count = json!({ "method": "number_of_tags", "value": 1, "tag_pattern": "v", "tag_pattern_matches": true });
    let found = one(Origin::Quay, json!({ "policies": [count] }));
    assert_eq!((going(&found), found.differences.len()), (vec![0, 1], 2));
    assert_eq!(going(&one(Origin::Quay, json!({ "method": "creation_date", "value": "8w" }))), [0, 3]);
    let negative =
        json!([{ "method": "creation_date", "value": "7d", "tag_pattern": "v", "tag_pattern_matches": false }]);
    assert_eq!(one(Origin::Quay, negative).policy, None);
}

#[test]
fn gitlab_and_gitea() {
    let rules = json!({ "cadence": "1d", "enabled": true, "keep_n": 1, "older_than": "14d", "name_regex_delete": ".*", "name_regex_keep": "dev-1" });
    assert_eq!(going(&one(Origin::GitLab, rules.clone())), [0, 1], "the newest, dev-1 and latest stay");
    assert_eq!(going(&one(Origin::GitLab, json!({ "container_expiration_policy": rules }))), [0, 1]);
    let rule = json!({ "enabled": true, "type": "container", "keep_count": 1, "keep_pattern": "DEV-1", "remove_days": 60, "remove_pattern": ".*" });
    assert_eq!(going(&one(Origin::Gitea, json!([rule]))), [0]);
}

#[test]
fn what_is_not_understood_is_said() {
    for (origin, rules, told) in [
        (Origin::ArtifactRegistry, "{}", "a list of cleanup policies is wanted"),
        (Origin::Harbor, "{}", "a retention policy with `rules` is wanted"),
        (Origin::Zot, "{}", "a configuration with `storage.retention.policies` is wanted"),
        (Origin::GitLab, "{}", "it says not which tags to remove (`name_regex`)"),
        (Origin::Gitea, "[]", "there is no rule for container images"),
        (Origin::Quay, "[", "this is no JSON: EOF while parsing a list at line 1 column 1"),
    ] {
        assert_eq!(translate(origin, rules).expect_err("it is wrong"), told);
    }
    for name in ["artifact-registry", "harbor", "zot", "quay", "gitlab", "gitea"] {
        assert_eq!(name.parse::<Origin>().expect("it is known").to_string(), name);
    }
    assert!("nexus".parse::<Origin>().is_err());
}
