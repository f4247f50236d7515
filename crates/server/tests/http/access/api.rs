//! `/api/v1`: accounts, and who may administer them.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::fixture::{Guarded, password, token};

#[tokio::test]
async fn users_are_made_listed_changed_and_removed() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    let made = root
        .json(
            Method::POST,
            "/api/v1/users",
            &json!({ "name": "alice", "password": password("alice"), "email": "alice@example.org" }),
        )
        .await;
    made.expect(201);
    assert_eq!(made.header("location"), "/api/v1/users/alice");
    assert_eq!((&made.json()["administrator"], &made.json()["has_password"]), (&json!(false), &json!(true)));
    assert!(made.json()["invitation"].is_null());
    let again =
        root.json(Method::POST, "/api/v1/users", &json!({ "name": "alice", "password": password("alice") })).await;
    again.expect(409);
    assert_eq!(again.json()["code"], "NAME_IN_USE");
    root.json(Method::POST, "/api/v1/users", &json!({ "name": "Alice+1", "password": password("x") }))
        .await
        .expect(400);
    root.json(Method::POST, "/api/v1/users", &json!({ "name": "bob", "password": "short" })).await.expect(400);
    assert_eq!(root.get("/api/v1/users/root").await.json()["administrator"], json!(true));

    let first = root.get("/api/v1/users?limit=1").await;
    assert_eq!(first.json()["users"][0]["name"], "alice");
    assert_eq!(root.get(&first.next().expect("there is more")).await.json()["users"][0]["name"], "root");

    let alice = guarded.as_user("alice");
    assert_eq!(alice.get("/api/v1/users/alice").await.json()["email"], "alice@example.org");
    alice.json(Method::PATCH, "/api/v1/users/alice", &json!({ "email": null })).await.expect(200);
    assert_eq!(alice.get("/api/v1/users/alice").await.json()["email"], Value::Null);
    alice.json(Method::PATCH, "/api/v1/users/alice", &json!({ "administrator": true })).await.expect(403);

    let last = root.json(Method::PATCH, "/api/v1/users/root", &json!({ "administrator": false })).await;
    last.expect(409);
    assert_eq!(last.json()["code"], "LAST_ADMINISTRATOR");
    root.delete("/api/v1/users/alice").await.expect(204);
    root.get("/api/v1/users/alice").await.expect(404);
    alice.get("/v2/").await.expect(401);
}

#[tokio::test]
async fn passwords_are_changed_by_who_knows_them() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let path = "/api/v1/users/alice/password";
    let bearer = guarded.stranger().bearer(&token(&alice, "").await);
    bearer.get("/v2/").await.expect(200);
    alice.json(Method::PUT, path, &json!({ "password": "a much better one", "current": "wrong" })).await.expect(403);
    alice.json(Method::PUT, path, &json!({ "password": "a much better one" })).await.expect(403);
    let right = json!({ "password": "a much better one", "current": password("alice") });
    alice.json(Method::PUT, path, &right).await.expect(204);
    alice.get("/v2/").await.expect(401);
    bearer.get("/v2/").await.expect(401);
    guarded.stranger().basic("alice", "a much better one").get("/v2/").await.expect(200);
    guarded.as_user("root").json(Method::PUT, path, &json!({ "password": password("alice") })).await.expect(204);
    alice.get("/v2/").await.expect(200);
}

#[tokio::test]
async fn an_invitation_is_used_once() {
    let guarded = Guarded::new().await;
    let made = guarded.as_user("root").json(Method::POST, "/api/v1/users", &json!({ "name": "alice" })).await;
    made.expect(201);
    let secret = made.json()["invitation"].as_str().expect("it is shown once").to_owned();
    guarded.as_user("alice").get("/v2/").await.expect(401);
    let stranger = guarded.stranger();
    let accept = json!({ "invitation": secret, "password": password("alice") });
    stranger
        .json(Method::POST, "/api/v1/invitations", &json!({ "invitation": secret, "password": "no" }))
        .await
        .expect(400);
    stranger.json(Method::POST, "/api/v1/invitations", &accept).await.expect(200);
    guarded.as_user("alice").get("/v2/").await.expect(200);
    stranger.json(Method::POST, "/api/v1/invitations", &accept).await.expect(403);
    let other = guarded.as_user("root").post("/api/v1/users/alice/invitation", "").await;
    other.expect(201);
    guarded.pass(Duration::from_secs(4 * 24 * 3600));
    let late = json!({ "invitation": other.json()["invitation"], "password": password("late") });
    stranger.json(Method::POST, "/api/v1/invitations", &late).await.expect(403);
}

#[tokio::test]
async fn tokens_are_shown_once_listed_and_revoked() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let new = json!({ "name": "ci", "actions": ["pull", "push"], "repositories": ["alice/**"], "expires_in": 3600 });
    let made = alice.json(Method::POST, "/api/v1/tokens", &new).await;
    made.expect(201);
    let made = made.json();
    let secret = made["token"].as_str().expect("it is shown once").to_owned();
    assert_eq!((&made["owner"], &made["actions"]), (&json!("user:alice"), &json!(["pull", "push"])));
    let listed = alice.get("/api/v1/tokens").await.json();
    assert_eq!(listed["tokens"][0]["id"], made["id"]);
    assert!(listed["tokens"][0].get("token").is_none(), "{listed}");
    assert!(!listed.to_string().contains(&secret));
    let client = guarded.stranger().bearer(&secret);
    assert_eq!(
        client.get("/api/v1/whoami").await.json()["credential"],
        format!("token:{}", made["id"].as_str().expect("an id"))
    );
    guarded.pass(Duration::from_secs(3601));
    client.get("/v2/").await.expect(401);
    alice.delete(&format!("/api/v1/tokens/{}", made["id"].as_str().expect("an id"))).await.expect(204);
    alice.json(Method::POST, "/api/v1/tokens", &json!({ "name": "none", "actions": [] })).await.expect(400);
}

/// Harbor CVE-2019-16919: robots belong to whoever administers their pattern; they reach nothing beyond it, and do not log in with a password.
#[tokio::test]
async fn cve_2019_16919_robots_stay_within_their_pattern() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    root.image("root/other", "1").await;
    let robot =
        json!({ "name": "alice-ci", "repositories": "alice/**", "actions": ["pull", "push"], "description": "CI" });
    alice.json(Method::POST, "/api/v1/robots", &robot).await.expect(201);
    let beyond = json!({ "name": "beyond", "repositories": "**", "actions": ["pull"] });
    alice.json(Method::POST, "/api/v1/robots", &beyond).await.expect(403);
    let secret = guarded.token_of(&alice, &json!({ "owner": "robot:alice-ci", "actions": ["pull", "push"] })).await;
    let client = guarded.stranger().basic("anything", &secret);
    client.image("alice/built", "1").await;
    guarded.grant("robot:alice-ci", &["pull"], "**").await;
    client.get("/v2/root/other/manifests/1").await.expect(403);
    client.post("/v2/elsewhere/model/blobs/uploads/", "").await.expect(403);
    let me = client.get("/api/v1/whoami").await.json();
    assert_eq!((&me["identity"], &me["kind"]), (&json!("robot:alice-ci"), &json!("robot")));
    alice.json(Method::PATCH, "/api/v1/robots/alice-ci", &json!({ "disabled": true })).await.expect(200);
    client.get("/v2/").await.expect(401);
    alice.delete("/api/v1/robots/alice-ci").await.expect(204);
    alice.get("/api/v1/robots/alice-ci").await.expect(404);
}

#[tokio::test]
async fn grants_are_made_explained_and_taken_back() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    guarded.user("bob").await;
    let allowed = guarded.grant("user:bob", &["pull", "push"], "team/**").await;
    let denied = guarded.rule("user:bob", &["push"], "team/frozen", "deny").await;
    let explained = root.get("/api/v1/grants/explain?identity=user:bob&repository=team/frozen").await.json();
    let about = |action: &str| {
        explained["actions"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|one| one["action"] == action)
            .cloned()
            .expect("it is there")
    };
    assert_eq!((&about("pull")["allowed"], &about("push")["allowed"]), (&json!(true), &json!(false)));
    assert_eq!(about("push")["reasons"][0]["effect"], "denies");
    assert!(
        about("push")["reasons"][0]["source"].as_str().is_some_and(|source| source.contains(&denied.to_string())),
        "{explained}"
    );
    let listed = root.get("/api/v1/grants?subject=user:bob&limit=1").await;
    assert_eq!(listed.json()["grants"][0]["id"], allowed);
    let next = listed.next().expect("there is more");
    assert!(next.contains("subject=user:bob"), "{next}");
    assert_eq!(root.get(&next).await.json()["grants"][0]["id"], denied);
    // Whoever owns a repository opens it to others, and says who may in it; about the rest he says nothing.
    let own = json!({ "subject": "user:bob", "actions": ["pull"], "repositories": "alice/**", "note": "for the demo" });
    let made = alice.json(Method::POST, "/api/v1/grants", &own).await;
    made.expect(201);
    alice.get("/api/v1/grants/explain?identity=user:bob&repository=alice/x").await.expect(200);
    alice.get("/api/v1/grants/explain?identity=user:bob&repository=team/x").await.expect(403);
    alice.get("/api/v1/grants/explain?repository=team/x").await.expect(200);
    alice.delete(&format!("/api/v1/grants/{}", made.json()["id"])).await.expect(204);
    alice.delete(&format!("/api/v1/grants/{allowed}")).await.expect(404);
    for wrong in [
        json!({ "subject": "nobody", "actions": ["pull"], "repositories": "a" }),
        json!({ "subject": "user:bob", "actions": ["fly"], "repositories": "a" }),
        json!({ "subject": "user:bob", "actions": ["pull"], "repositories": "A/**" }),
        json!({ "subject": "user:bob", "actions": [], "repositories": "a" }),
    ] {
        root.json(Method::POST, "/api/v1/grants", &wrong).await.expect(400);
    }
    root.json(
        Method::POST,
        "/api/v1/grants",
        &json!({ "subject": "user:absent", "actions": ["pull"], "repositories": "a" }),
    )
    .await
    .expect(404);
}

/// A page is whole, however many of others' entries lie between those that may be seen.
#[tokio::test]
async fn lists_pass_over_what_is_others() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let mut hers = Vec::new();
    for n in 0..3 {
        for other in 0..5 {
            guarded.grant("signed-in", &["pull"], &format!("team/{n}-{other}")).await;
        }
        hers.push(json!(guarded.grant("anonymous", &["pull"], &format!("alice/{n}")).await));
    }
    let mut seen = Vec::new();
    let mut path = Some("/api/v1/grants?limit=1".to_owned());
    while let Some(next) = path {
        let page = alice.get(&next).await;
        seen.extend(page.json()["grants"].as_array().expect("a list").iter().map(|grant| grant["id"].clone()));
        path = page.next();
    }
    assert_eq!(seen, hers);
}

#[tokio::test]
async fn trusts_on_shared_issuers_name_their_owner() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    let trust = |conditions: Value| {
        json!({
            "name": "github", "issuer": "https://token.actions.githubusercontent.com", "audience": "larder",
            "conditions": conditions, "actions": ["pull", "push"], "repositories": ["team/**"],
        })
    };
    let loose = trust(json!([{ "claim": "repository", "values": ["team/model"] }]));
    let refused = root.json(Method::POST, "/api/v1/trusts", &loose).await;
    refused.expect(400);
    assert!(refused.json()["detail"].as_str().is_some_and(|detail| detail.contains("repository_owner_id")));
    let tight = trust(json!([{ "claim": "repository_owner_id", "values": ["1234"] }]));
    root.json(Method::POST, "/api/v1/trusts", &tight).await.expect(201);
    assert_eq!(root.get("/api/v1/trusts").await.json()["trusts"][0]["expires_in"], 3600);
    assert_eq!(
        root.json(Method::PATCH, "/api/v1/trusts/github", &json!({ "disabled": true })).await.json()["disabled"],
        true
    );
    root.json(Method::PUT, "/api/v1/trusts/github", &tight).await.expect(200);
    root.delete("/api/v1/trusts/github").await.expect(204);
    let exchange = guarded.stranger().json(Method::POST, "/api/v1/oidc/exchange", &json!({ "token": "x.y.z" })).await;
    exchange.expect(401);
}

#[tokio::test]
async fn repositories_are_described_shown_and_hidden() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let new = json!({ "name": "alice/model", "public": true, "description": "A model" });
    let made = alice.json(Method::POST, "/api/v1/repositories", &new).await;
    made.expect(201);
    assert_eq!((&made.json()["public"], &made.json()["description"]), (&json!(true), &json!("A model")));
    let hidden = alice.json(Method::PATCH, "/api/v1/repositories/alice/model", &json!({ "public": false })).await;
    assert_eq!((&hidden.json()["public"], &hidden.json()["description"]), (&json!(false), &json!("A model")));
    // Whoever may push somewhere makes repositories there, and administers what he made.
    guarded.grant("user:alice", &["push"], "team/**").await;
    alice.json(Method::POST, "/api/v1/repositories", &json!({ "name": "team/new" })).await.expect(201);
    alice.json(Method::PATCH, "/api/v1/repositories/team/new", &json!({ "public": true })).await.expect(200);
    alice.image("team/pushed", "1").await;
    alice.get("/v2/team/pushed/manifests/1").await.expect(200);
    alice.delete("/api/v1/repositories/team/pushed").await.expect(204);
    alice.json(Method::POST, "/api/v1/repositories", &json!({ "name": "elsewhere" })).await.expect(403);
}

#[tokio::test]
async fn everybody_learns_who_he_is() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root").get("/api/v1/whoami").await.json();
    assert_eq!(
        (&root["identity"], &root["kind"], &root["administrator"]),
        (&json!("user:root"), &json!("user"), &json!(true))
    );
    assert_eq!(guarded.operator().get("/api/v1/whoami").await.json()["kind"], "operator");
    guarded.stranger().get("/api/v1/whoami").await.expect(401);
    guarded.stranger().get("/api/v1/version").await.expect(200);
    guarded.stranger().get("/api/openapi.json").await.expect(200);
}

/// Every change stands in the audit with who, with what, from where and in which request; no secret does.
#[tokio::test]
async fn changes_are_in_the_audit_and_secrets_are_not() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    alice.image("alice/model", "1").await;
    let made = alice.json(Method::POST, "/api/v1/tokens", &json!({ "name": "ci", "actions": ["pull"] })).await;
    let secret = made.json()["token"].as_str().expect("a token").to_owned();
    guarded.stranger().basic("alice", "my-mistyped-secret").get("/v2/").await.expect(401);
    guarded.access.tick().await;
    let audit = guarded.as_user("root").get("/api/v1/audit?limit=1000").await;
    audit.expect(200);
    let text = String::from_utf8_lossy(&audit.body).into_owned();
    for hidden in [secret.as_str(), &password("alice"), "my-mistyped-secret", "argon2"] {
        assert!(!text.contains(hidden), "{hidden}");
    }
    let entries = audit.json()["entries"].as_array().expect("a list").clone();
    let token = entries.iter().find(|entry| entry["request_id"] == made.header("x-request-id")).expect("it is there");
    assert_eq!(
        (&token["identity"], &token["credential"], &token["address"]),
        (&json!("user:alice"), &json!("password"), &json!("192.0.2.7"))
    );
    let push = entries.iter().find(|entry| entry["repository"] == "alice/model").expect("a push is there");
    assert_eq!((&push["identity"], &push["outcome"]), (&json!("user:alice"), &json!("allowed")));
    assert!(entries.iter().any(|entry| entry["action"] == "login" && entry["outcome"] == "denied"), "{text}");
    let page = guarded.as_user("root").get("/api/v1/audit?limit=1&identity=user:alice").await;
    let next = page.next().expect("there is more");
    assert!(next.contains("identity=user:alice"), "{next}");
    guarded.as_user("root").get(&next).await.expect(200);
}
