//! Policies, webhooks and the operator's own buttons.

use serde_json::{Value, json};

use crate::access::fixture::Guarded;
use crate::browser::{Browser, text};

const POLICY: &str = "/r/root/model/-/policy";
const HOOKS: &str = "/r/root/model/-/webhooks";

async fn ground() -> (Guarded, Browser) {
    let guarded = Guarded::keeping().await;
    let root = Browser::new(guarded.stranger());
    root.sign_in("root").await.expect(303);
    for tag in ["1", "2", "3"] {
        guarded.as_user("root").image("root/model", tag).await;
    }
    (guarded, root)
}

async fn policy(guarded: &Guarded) -> Value {
    let told = guarded.operator().get("/api/v1/repositories/root/model/-/policy").await.json();
    told["effective"]["text"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The text in the editor.
fn edited(page: &str) -> String {
    let text = page.split("name=\"text\"").nth(1).and_then(|rest| rest.split_once('>')).expect("an editor").1;
    let text = text.split("</textarea>").next().unwrap_or_default();
    text.replace("&#34;", "\"").replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&")
}

#[tokio::test]
async fn a_policy_is_written_by_form_tried_set_and_applied() {
    let (guarded, root) = ground().await;
    let page = root.open(POLICY).await;
    let rule =
        [("do", "add"), ("which", "any"), ("until", "newest"), ("number", "1"), ("rule-description", "Keep one")];
    let added = root.send(&page, POLICY, &[&rule[..], &[("text", "{\"rules\":[]}")]].concat()).await;
    added.expect(200);
    let text_of_rule = edited(&text(&added));
    assert!(text(&added).contains("Delete all images, but for the 1 newest"), "{}", text(&added));
    assert_eq!(policy(&guarded).await, Value::Null, "nothing is set yet");
    let tried = root.send(&added, POLICY, &[("do", "try"), ("text", &text_of_rule)]).await;
    let shown = text(&tried);
    for part in ["2 images</strong> of 3 would go", "more than half", "Rule 1: Keep one", "It was tried, not set."] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert_eq!(policy(&guarded).await, Value::Null, "nothing is set yet");
    let set = root.send(&added, POLICY, &[("do", "set"), ("text", &text_of_rule)]).await;
    assert!(text(&root.follow(&set).await).contains("The policy is set."));
    assert_eq!(policy(&guarded).await["rules"][0]["selection"]["countNumber"], 1);
    let preview = root.open("/r/root/model/-/policy/preview").await;
    let applied = root.send(&preview, "/r/root/model/-/policy/preview", &[]).await;
    let after = text(&root.follow(&applied).await);
    assert!(after.contains("2 images gone") && after.contains("2 by rule 1"), "{after}");
    let left = guarded.operator().get("/api/v1/repositories/root/model/-/tags").await.json();
    assert_eq!(left["tags"].as_array().map(Vec::len), Some(1), "{left}");
    let removed = root.send(&root.open(POLICY).await, POLICY, &[("do", "remove")]).await;
    assert!(text(&root.follow(&removed).await).contains("The policy is removed."));
    assert_eq!(policy(&guarded).await, Value::Null);
}

/// By itself it would pause: whoever applies it has to have seen what goes.
#[tokio::test]
async fn most_of_a_repository_goes_only_after_it_was_shown() {
    let (guarded, root) = ground().await;
    let rules = json!({ "rules": [{ "rulePriority": 1, "action": { "type": "expire" },
        "selection": { "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1 } }] });
    root.send(&root.open(POLICY).await, POLICY, &[("do", "set"), ("text", &rules.to_string())]).await.expect(303);
    let csrf = crate::browser::hidden(&root.open(POLICY).await)[0].clone();
    let blind = root.post("/r/root/model/-/policy/preview", &[csrf]).await;
    assert!(blind.status.is_client_error(), "{}", blind.status);
    assert!(text(&blind).contains("nobody was shown that yet"), "{}", text(&blind));
    assert!(text(&root.open(POLICY).await).contains("The policy is paused"));
    root.send(&blind, "/r/root/model/-/policy/preview", &[]).await.expect(303);
    let left = guarded.operator().get("/api/v1/repositories/root/model/-/tags").await.json();
    assert_eq!(left["tags"].as_array().map(Vec::len), Some(1), "{left}");
}

#[tokio::test]
async fn what_is_wrong_with_a_policy_stands_where_it_is_wrong() {
    let (guarded, root) = ground().await;
    let page = root.open(POLICY).await;
    let odd = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"<script>","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}"#;
    for (fields, fault) in [
        (vec![("do", "set"), ("text", odd)], "tagStatus"),
        (vec![("do", "try"), ("text", odd)], "tagStatus"),
        (vec![("do", "set"), ("text", "{")], "line 1"),
        (vec![("do", "odd"), ("text", odd)], "does not say what to do"),
        (vec![("text", odd)], "does not say what to do"),
        (vec![("do", "set"), ("text", "")], "class=\"fault\""),
        (vec![("do", "add"), ("text", odd), ("which", "tagged"), ("number", "1")], "id=\"beginning-fault\""),
        (vec![("do", "add"), ("text", odd), ("which", "any"), ("number", "x")], "id=\"number-fault\""),
        (vec![("do", "add"), ("text", "{"), ("which", "any"), ("number", "1")], "once the text is JSON"),
    ] {
        let answer = root.send(&page, POLICY, &fields).await;
        answer.expect(400);
        let shown = text(&answer);
        assert!(shown.contains(fault) && !shown.contains("<script>\""), "{fields:?}: {shown}");
        let typed = fields.iter().find(|(name, _)| *name == "text").expect("a text").1;
        assert_eq!(edited(&shown), typed, "what was typed stays");
    }
    let dropped = root.send(&page, POLICY, &[("do", "drop-0"), ("text", odd)]).await;
    dropped.expect(200);
    assert!(!text(&dropped).contains("tagStatus\""), "{}", text(&dropped));
    root.send(&page, POLICY, &[("do", "drop-9"), ("text", odd)]).await.expect(200);
    assert_eq!(policy(&guarded).await, Value::Null);
}

#[tokio::test]
async fn a_webhook_is_made_tried_and_removed() {
    let (guarded, root) = ground().await;
    let page = root.open(HOOKS).await;
    assert!(text(&page).contains("Nobody is told yet"));
    let hook = [("name", "ci"), ("url", "https://ci.example/hook?key=hidden"), ("format", "cloudevents")];
    let events = [("event", "push"), ("event", "tag")];
    let made = root.send(&page, HOOKS, &[&hook[..], &events[..]].concat()).await;
    made.expect(200);
    let shown = text(&made);
    assert_eq!(made.header("cache-control"), "no-store");
    assert!(shown.contains("whsec_") && shown.contains("push, tag"), "{shown}");
    let secret = shown.split("data-copy=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a secret");
    assert!(secret.starts_with("whsec_") && !text(&root.open(HOOKS).await).contains(secret), "it is shown once");
    let told = guarded.operator().get("/api/v1/webhooks/ci").await.json();
    assert_eq!((&told["events"], &told["repositories"]), (&json!(["push", "tag"]), &json!(["root/model"])));
    for (fields, status, fault) in [
        (vec![("name", "ci"), ("url", "https://ci.example/"), ("format", "slack"), ("event", "push")], 409, "alert"),
        (
            vec![("name", "No Name"), ("url", "https://ci.example/"), ("format", "slack"), ("event", "push")],
            400,
            "No Name",
        ),
        (vec![("name", "b"), ("url", "javascript:alert(1)"), ("format", "slack"), ("event", "push")], 400, "alert"),
        (vec![("name", "b"), ("url", "http://127.0.0.1/"), ("format", "slack"), ("event", "push")], 400, "alert"),
        (
            vec![("name", "b"), ("url", "https://ci.example/"), ("format", "odd"), ("event", "push")],
            400,
            "format-fault",
        ),
        (
            vec![("name", "\"><script>"), ("url", "https://ci.example/"), ("format", "slack")],
            400,
            "Choose at least one",
        ),
    ] {
        let answer = root.send(&page, HOOKS, &fields).await;
        answer.expect(status);
        assert!(
            text(&answer).contains(fault) && !text(&answer).contains("<script>\""),
            "{fields:?}: {}",
            text(&answer)
        );
    }
    let known = [("name", "known"), ("url", "https://ci.example/"), ("format", "slack"), ("event", "push")];
    let short = root.send(&page, HOOKS, &[&known[..], &[("secret", "whsec_AAAA")]].concat()).await;
    short.expect(400);
    assert!(text(&short).contains("role=\"alert\"") && !text(&short).contains("whsec_AAAA"), "{}", text(&short));
    let secret = format!("whsec_{}", "A".repeat(32));
    let made = root.send(&page, HOOKS, &[&known[..], &[("secret", secret.as_str())]].concat()).await;
    assert!(text(&root.follow(&made).await).contains("known is made."));
    let page = root.open(HOOKS).await;
    let act = |what| [("do", what), ("webhook", "ci")];
    assert!(text(&root.follow(&root.send(&page, HOOKS, &act("test")).await).await).contains("on its way to ci"));
    root.send(&page, HOOKS, &[("do", "again"), ("webhook", "ci"), ("id", "999999")]).await.expect(404);
    root.send(&page, HOOKS, &[("do", "test"), ("webhook", "absent")]).await.expect(404);
    assert!(text(&root.follow(&root.send(&page, HOOKS, &act("remove")).await).await).contains("ci is removed"));
    guarded.operator().get("/api/v1/webhooks/ci").await.expect(404);
}

/// One that others rely on too is not removed from a repository's page.
#[tokio::test]
async fn a_webhook_of_more_repositories_stays() {
    let (guarded, root) = ground().await;
    let hook = json!({ "name": "all", "url": "https://ci.example/", "repositories": ["root/**"] });
    guarded.as_user("root").json(http::Method::POST, "/api/v1/webhooks", &hook).await.expect(201);
    let page = root.open(HOOKS).await;
    assert!(text(&page).contains("also root/**") && !text(&page).contains("Remove all"), "{}", text(&page));
    let kept = root.send(&page, HOOKS, &[("do", "remove"), ("webhook", "all")]).await;
    kept.expect(400);
    assert!(text(&kept).contains("larder webhook rm all"), "{}", text(&kept));
    guarded.operator().get("/api/v1/webhooks/all").await.expect(200);
}

#[tokio::test]
async fn the_operator_sweeps_and_has_everything_read() {
    let (_guarded, root) = ground().await;
    let page = root.open("/operations").await;
    let swept = root.send(&page, "/operations", &[("do", "sweep")]).await;
    assert!(text(&root.follow(&swept).await).contains("Swept: "));
    let asked = root.send(&page, "/operations", &[("do", "scrub")]).await;
    assert!(text(&root.follow(&asked).await).contains("A pass begins within a minute"));
    root.send(&page, "/operations", &[("do", "reboot")]).await.expect(400);
}
