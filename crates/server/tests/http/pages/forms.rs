//! What holds for every form: it is ours or nothing happens, and who may not is told so and noted.

use http::Method;
use serde_json::json;

use super::stock::BROWSER;
use crate::access::fixture::Guarded;
use crate::browser::{Browser, FORM, encode, hidden, text};
use crate::world::World;

/// A form: where it goes, and what would do something there.
struct Sent {
    path: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

/// One of every kind. `root/model` exists, with a tag `1`.
const FORMS: &[Sent] = &[
    Sent { path: "/new", fields: &[("name", "root/fresh"), ("visibility", "public")] },
    Sent { path: "/r/root/model/-/settings", fields: &[("description", "x"), ("visibility", "public")] },
    Sent { path: "/r/root/model/-/settings/remove", fields: &[("confirm", "root/model")] },
    Sent { path: "/r/root/gone/-/undelete", fields: &[("as", "root/gone")] },
    Sent { path: "/r/root/model/-/clean-up", fields: &[("what", "tags"), ("tag", "1"), ("mark", MARK)] },
    Sent { path: "/r/root/model/-/trash", fields: &[("do", "undelete"), ("digest", NOWHERE)] },
    Sent { path: "/r/root/model/-/trash", fields: &[("do", "undo"), ("at", "2026-11-22T00:00:00Z"), ("tag", "0")] },
    Sent { path: "/r/root/model/-/trash", fields: &[("do", "purge"), ("digest", "all")] },
    Sent { path: "/r/root/model/-/tags/1/history", fields: &[("to", NOWHERE)] },
    Sent { path: "/r/root/model/-/policy", fields: &[("do", "set"), ("text", "{\"rules\":[]}")] },
    Sent { path: "/r/root/model/-/policy", fields: &[("do", "try"), ("text", "{\"rules\":[]}")] },
    Sent { path: "/r/root/model/-/policy", fields: &[("do", "add"), ("which", "any"), ("number", "1")] },
    Sent { path: "/r/root/model/-/policy", fields: &[("do", "remove")] },
    Sent { path: "/r/root/model/-/policy/preview", fields: &[] },
    Sent {
        path: "/r/root/model/-/webhooks",
        fields: &[("do", "add"), ("name", "h"), ("url", "https://h.example/"), ("format", "slack"), ("event", "push")],
    },
    Sent { path: "/r/root/model/-/webhooks", fields: &[("do", "remove"), ("webhook", "ci")] },
    Sent { path: "/r/root/model/-/webhooks", fields: &[("do", "test"), ("webhook", "ci")] },
    Sent { path: "/operations", fields: &[("do", "sweep")] },
    Sent { path: "/operations", fields: &[("do", "scrub")] },
    Sent { path: "/access/users", fields: &[("name", "mallory")] },
    Sent { path: "/access/users/alice", fields: &[("do", "promote")] },
    Sent { path: "/access/groups", fields: &[("name", "mallory")] },
    Sent { path: "/access/groups/ml", fields: &[("do", "add"), ("member", "alice")] },
    Sent { path: "/access/robots", fields: &[("name", "mallory"), ("pattern", "**"), ("actions", "pull")] },
    Sent { path: "/access/robots/ci", fields: &[("do", "disable")] },
    Sent { path: "/access/grants", fields: &[("subject", "alice"), ("pattern", "**"), ("actions", "admin")] },
    Sent { path: "/access/tokens", fields: &[("owner", "robot:ci"), ("actions", "pull")] },
    Sent { path: "/access/trusts/own", fields: &[("do", "disable")] },
    Sent { path: "/access/sessions", fields: &[("id", "x")] },
];

const NOWHERE: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const MARK: &str = "0";

fn fields(of: &Sent, csrf: Option<&str>) -> Vec<(String, String)> {
    let csrf = csrf.map(|csrf| ("csrf", csrf));
    of.fields.iter().copied().chain(csrf).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn stock(guarded: &Guarded) {
    let root = guarded.as_user("root");
    root.image("root/model", "1").await;
    root.image("root/model", "1").await;
    let hook = json!({ "name": "ci", "url": "https://ci.example/", "repositories": ["root/model"] });
    root.json(Method::POST, "/api/v1/webhooks", &hook).await.expect(201);
    let policy = json!({ "rules": [] });
    root.json(Method::PUT, "/api/v1/repositories/root/model/-/policy", &policy).await;
    root.image("root/gone", "1").await;
    root.delete("/api/v1/repositories/root/gone").await.expect(204);
}

/// What could have changed.
async fn state(guarded: &Guarded) -> Vec<String> {
    let operator = guarded.operator();
    let mut all = Vec::new();
    for path in [
        "/api/v1/repositories",
        "/api/v1/repositories/root/model",
        "/api/v1/repositories/root/model/-/tags",
        "/api/v1/repositories/root/model/-/trash",
        "/api/v1/repositories/root/model/-/policy",
        "/api/v1/repositories/root/model/-/tags/1/history",
        "/api/v1/webhooks",
        "/api/v1/webhooks/ci/deliveries",
        "/api/v1/users/alice",
        "/api/v1/users",
        "/api/v1/groups",
        "/api/v1/groups/ml/members",
        "/api/v1/robots",
        "/api/v1/grants",
        "/api/v1/trusts",
        "/api/v1/tokens?owner=robot:ci",
        "/api/v1/scrub",
    ] {
        let mut answer = operator.get(path).await.json();
        if let Some(answer) = answer.as_object_mut() {
            answer.remove("request_id");
        }
        all.push(answer.to_string());
    }
    all
}

/// Harbor CVE-2019-19025.
#[tokio::test]
async fn cve_2019_19025_a_form_that_is_not_ours_changes_nothing() {
    let guarded = Guarded::keeping().await;
    guarded.user("alice").await;
    stock(&guarded).await;
    let (root, alice) = (Browser::new(guarded.stranger()), Browser::new(guarded.stranger()));
    root.sign_in("root").await.expect(303);
    alice.sign_in("alice").await.expect(303);
    let csrf = |page: &_| hidden(page).into_iter().find(|(name, _)| name == "csrf").expect("a token").1;
    let own = csrf(&root.open("/new").await);
    let others = csrf(&alice.open("/new").await);
    let before = state(&guarded).await;
    for sent in FORMS {
        let path = sent.path;
        for token in [None, Some(""), Some(others.as_str()), Some(&own[1..])] {
            root.post(path, &fields(sent, token)).await.expect(403);
        }
        let body = |token| {
            let fields = fields(sent, Some(token));
            fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
        };
        for (name, value) in
            [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://attacker.test")]
        {
            let cookie = root.cookie();
            let headers = [BROWSER, FORM, ("cookie", cookie.as_str()), (name, value)];
            guarded.stranger().call(Method::POST, path, &headers, body(&own)).await.expect(403);
        }
        let plain = [BROWSER, ("content-type", "text/plain")];
        root.ask(Method::POST, path, &plain, body(&own)).await.expect(400);
        let in_the_address = format!("{path}?{}", body(&own));
        root.ask(Method::POST, &in_the_address, &[BROWSER, FORM], String::new()).await.expect(403);
        root.ask(Method::GET, &in_the_address, &[BROWSER], String::new()).await;
        root.ask(Method::PUT, path, &[BROWSER, FORM], body(&own)).await.expect(405);
        let long = format!("{}&more={}", body(&own), "x".repeat(300 << 10));
        root.ask(Method::POST, path, &[BROWSER, FORM], long).await.expect(400);
    }
    assert_eq!(state(&guarded).await, before);
}

#[tokio::test]
async fn whoever_may_not_changes_nothing_and_is_noted() {
    let guarded = Guarded::keeping().await;
    guarded.user("alice").await;
    stock(&guarded).await;
    let (alice, stranger) = (Browser::new(guarded.stranger()), Browser::new(guarded.stranger()));
    alice.sign_in("alice").await.expect(303);
    let csrf = hidden(&alice.open("/new").await)[0].1.clone();
    let login = stranger.open("/login").await;
    let anonymous = hidden(&login).into_iter().find(|(name, _)| name == "csrf").expect("a token").1;
    let before = state(&guarded).await;
    for sent in FORMS {
        let refused = alice.post(sent.path, &fields(sent, Some(&csrf))).await;
        assert!([403, 404].contains(&refused.status.as_u16()), "{} {}", sent.path, refused.status);
        assert!(text(&refused).contains("<h1>"), "{}", sent.path);
        let refused = stranger.post(sent.path, &fields(sent, Some(&anonymous))).await;
        assert!([403, 404].contains(&refused.status.as_u16()), "{} {}", sent.path, refused.status);
    }
    assert_eq!(state(&guarded).await, before);

    guarded.access.tick().await;
    let audit = guarded.operator().get("/api/v1/audit?action=pages").await.json();
    assert!(audit["entries"].as_array().is_some_and(|all| !all.is_empty()), "{audit}");
}

/// Without an account a form follows from a cookie of its own, and the rules of the open state hold.
#[tokio::test]
async fn forms_work_before_the_first_account_too() {
    let world = World::new().await;
    let browser = Browser::new(world.anonymous());
    let page = browser.open("/new").await;
    let cookie = page.all("set-cookie").into_iter().find(|line| line.starts_with("larder-form=")).expect("a cookie");
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    let again = browser.open("/new").await;
    assert!(
        again.all("set-cookie").is_empty() && hidden(&again) == hidden(&page),
        "the same for all pages of a browser"
    );
    let other = Browser::new(world.anonymous());
    let fields = [("name".to_owned(), "a".to_owned()), hidden(&page)[0].clone()];
    other.post("/new", &fields).await.expect(403);
    browser.post("/new", &fields).await.expect(303);
    let remote = Browser::new(world.anonymous().from("192.0.2.9"));
    remote.open("/new").await.expect(403);
}

/// What a page leaves for the next one is shown once, and only what a page left.
#[tokio::test]
async fn a_word_about_what_was_done_is_ours_and_is_said_once() {
    let world = World::new().await;
    let browser = Browser::new(world.anonymous());
    let sent = browser.send(&browser.open("/new").await, "/new", &[("name", "a")]).await;
    let left = browser.kept("larder-said").expect("a word");
    assert!(text(&browser.follow(&sent).await).contains("role=\"status\">a is there."));
    assert_eq!(browser.kept("larder-said"), None);
    assert!(!text(&browser.open("/r/a").await).contains("role=\"status\""));
    for forged in [left.replace("there", "gone"), "Pay+now.".to_owned(), format!("x{left}"), ".".to_owned()] {
        let cookie = format!("larder-said={forged}");
        let page = world.anonymous().get_with("/r/a", &[BROWSER, ("cookie", &cookie)]).await;
        assert!(!text(&page).contains("role=\"status\""), "{forged}");
    }
    let described = json!({ "description": "x" });
    browser.client.json(Method::PATCH, "/api/v1/repositories/a", &described).await.expect(200);
}
