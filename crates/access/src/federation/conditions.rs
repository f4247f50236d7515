//! What a trust demands of a token's claims.

use larder_catalog::model::access::{Condition, Trust};
use serde_json::Value;

use super::Claims;

/// Issuers that everybody shares: without a condition on one of these claims, a trust would take the tokens of every customer. The names of
/// owners and repositories can be given up and taken by somebody else; their ids cannot.
const SHARED: &[(&str, &[&str])] = &[
    ("https://token.actions.githubusercontent.com", &["repository_owner_id", "repository_id", "enterprise_id"]),
    ("https://gitlab.com", &["namespace_id", "project_id"]),
    ("https://accounts.google.com", &["sub", "azp"]),
    ("https://agent.buildkite.com", &["organization_id", "pipeline_id"]),
    ("https://app.terraform.io", &["terraform_organization_id", "terraform_workspace_id"]),
    ("https://oidc.codefresh.io", &["account_id"]),
    ("https://oidc.scalr.io", &["scalr_account_id"]),
    ("https://token.dev.azure.com", &["org_id", "prj_id"]),
];

/// The claims of which a trust on this issuer has to fix one; nothing for an issuer that has one owner.
pub(crate) fn owner_claims(issuer: &str) -> Option<&'static [&'static str]> {
    let issuer = issuer.trim_end_matches('/');
    SHARED.iter().find(|(shared, _)| *shared == issuer).map(|(_, claims)| *claims)
}

/// Whether all conditions hold, and pull requests are meant if this is one.
pub(super) fn hold(trust: &Trust, claims: &Claims) -> Result<(), String> {
    for condition in &trust.conditions {
        let Some(value) = find(claims, &condition.claim) else {
            return Err(format!("the token has no claim {}", condition.claim));
        };
        if !has(value, &condition.values) {
            return Err(format!("the token's claim {} is not what the trust {} takes", condition.claim, trust.name));
        }
    }
    match pull_request(claims) {
        Some(event) if !names(trust, &event) => {
            Err(format!("the token is of a {event} run, which the trust {} does not name", trust.name))
        }
        _ => Ok(()),
    }
}

/// A claim by its name, or by a JSON pointer for one inside another: `/kubernetes.io/namespace`.
fn find<'c>(claims: &'c Claims, name: &str) -> Option<&'c Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.strip_prefix('/')?.split_once('/')?;
        claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(&format!("/{rest}"))
    })
}

/// Whether the claim, or one of a list, is one of the values.
fn has(value: &Value, values: &[String]) -> bool {
    let is_one = |text: &str| values.iter().any(|pattern| matches_value(pattern, text));
    match value {
        Value::String(text) => is_one(text),
        Value::Bool(value) => is_one(if *value { "true" } else { "false" }),
        Value::Number(number) => is_one(&number.to_string()),
        Value::Array(items) => items.iter().any(|item| item.is_string() && has(item, values)),
        Value::Null | Value::Object(_) => false,
    }
}

/// Exactly, but for `*`, which is any run of characters.
fn matches_value(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    let Some(mut text) = text.strip_suffix(end) else { return false };
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    true
}

/// The event, if the run is of somebody's proposal: code that has not been looked at.
fn pull_request(claims: &Claims) -> Option<String> {
    let event = ["event_name", "pipeline_source"].iter().filter_map(|name| claims.get(*name)?.as_str());
    let mut proposals = event.filter(|event| event.starts_with("pull_request") || *event == "merge_request_event");
    if let Some(event) = proposals.next() {
        return Some(event.to_owned());
    }
    let subject = claims.get("sub")?.as_str()?;
    subject.ends_with(":pull_request").then(|| "pull_request".to_owned())
}

/// Whether the trust says in so many words that it means such runs.
fn names(trust: &Trust, event: &str) -> bool {
    let says = |condition: &Condition| match condition.claim.as_str() {
        "event_name" | "pipeline_source" => condition.values.iter().any(|value| value == event),
        "sub" => condition.values.iter().any(|value| value.ends_with(":pull_request")) && event == "pull_request",
        _ => false,
    };
    trust.conditions.iter().any(says)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use larder_oci::Actions;
    use serde_json::json;

    use super::*;

    fn trust(conditions: &[(&str, &[&str])]) -> Trust {
        let condition = |(claim, values): &(&str, &[&str])| Condition {
            claim: (*claim).to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        Trust {
            name: "ci".to_owned(),
            issuer: "https://issuer.example".to_owned(),
            audience: "larder".to_owned(),
            conditions: conditions.iter().map(condition).collect(),
            actions: Actions::ALL,
            patterns: Vec::new(),
            single_use: false,
            max_age: None,
            ttl: Duration::from_secs(600),
            disabled: false,
            created: Timestamp::UNIX_EPOCH,
            created_by: String::new(),
        }
    }

    fn fits(conditions: &[(&str, &[&str])], claims: Value) -> bool {
        hold(&trust(conditions), claims.as_object().unwrap()).is_ok()
    }

    #[test]
    fn values_match_exactly_but_for_stars() {
        for (pattern, text, expected) in [
            ("main", "main", true),
            ("main", "Main", false),
            ("main", "main2", false),
            ("refs/heads/*", "refs/heads/a/b", true),
            ("refs/heads/*", "refs/tags/a", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*x*x*", "x", false),
            ("a?c", "abc", false),
        ] {
            assert_eq!(matches_value(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn every_condition_has_to_hold() {
        let conditions: &[(&str, &[&str])] =
            &[("repository", &["team/model", "team/other"]), ("ref", &["refs/heads/main"])];
        assert!(fits(conditions, json!({"repository": "team/other", "ref": "refs/heads/main"})));
        assert!(!fits(conditions, json!({"repository": "team/other"})), "a missing claim");
        assert!(!fits(conditions, json!({"repository": "team/other", "ref": "refs/heads/main2"})));
        assert!(!fits(conditions, json!({"repository": "Team/other", "ref": "refs/heads/main"})));
        assert!(!fits(conditions, json!({"repository": null, "ref": "refs/heads/main"})));
        assert!(!fits(conditions, json!({"repository": {"x": "team/other"}, "ref": "refs/heads/main"})));
    }

    #[test]
    fn claims_are_texts_numbers_lists_or_inside_others() {
        assert!(fits(&[("repository_owner_id", &["42"])], json!({"repository_owner_id": 42})));
        assert!(fits(&[("ref_protected", &["true"])], json!({"ref_protected": true})));
        assert!(fits(&[("groups", &["ml"])], json!({"groups": ["x", "ml"]})));
        assert!(!fits(&[("groups", &["ml"])], json!({"groups": [["ml"], {"a": "ml"}]})));
        let pod = json!({"kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "builder"}}});
        assert!(fits(
            &[("/kubernetes.io/namespace", &["ci"]), ("/kubernetes.io/serviceaccount/name", &["builder"])],
            pod.clone()
        ));
        assert!(!fits(&[("/kubernetes.io/namespace", &["prod"])], pod.clone()));
        assert!(!fits(&[("kubernetes.io", &["*"])], pod));
    }

    #[test]
    fn pull_requests_are_taken_only_when_named() {
        let run =
            |event: &str| json!({"event_name": event, "sub": "repo:t/m:ref:refs/heads/main", "repository": "t/m"});
        assert!(fits(&[("repository", &["t/m"])], run("push")));
        for event in ["pull_request", "pull_request_target", "pull_request_review"] {
            assert!(!fits(&[("repository", &["t/m"])], run(event)), "{event}");
            assert!(!fits(&[("event_name", &["*"])], run(event)), "{event} is not named by a star");
            assert!(fits(&[("event_name", &["push", event])], run(event)), "{event}");
        }
        assert!(!fits(&[("project_id", &["7"])], json!({"pipeline_source": "merge_request_event", "project_id": "7"})));
        assert!(!fits(&[("sub", &["repo:t/*"])], json!({"sub": "repo:t/m:pull_request"})));
        assert!(fits(&[("sub", &["repo:t/m:pull_request"])], json!({"sub": "repo:t/m:pull_request"})));
    }

    #[test]
    fn shared_issuers_are_known_with_or_without_a_slash() {
        assert!(owner_claims("https://gitlab.com").unwrap().contains(&"namespace_id"));
        assert!(owner_claims("https://token.actions.githubusercontent.com/").unwrap().contains(&"repository_owner_id"));
        assert!(owner_claims("https://gitlab.example").is_none());
    }
}
