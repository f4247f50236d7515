//! `/token`, GET and POST (oci-distribution §3.2).

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::fixture::{Guarded, ask, password, token};
use crate::world::{Answer, Client};

async fn form(client: &Client, fields: &[(&str, &str)]) -> Answer {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
    client.call(Method::POST, "/token", &headers, body.join("&")).await
}

/// What a token grants, as its own claims say.
fn access(token: &str) -> Value {
    use base64::Engine;
    let claims = token.split('.').nth(1).expect("a token has three parts");
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims).expect("it is Base64");
    serde_json::from_slice::<Value>(&claims).expect("claims are JSON")["access"].clone()
}

#[tokio::test]
async fn several_and_repeated_scopes_are_united_and_cut_to_what_may_be_had() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    for name in ["team/read", "team/secret"] {
        root.image(name, "1").await;
    }
    guarded.grant("user:alice", &["pull"], "team/read").await;
    let wanted = [
        "scope=repository:alice/model:pull",
        "scope=repository:alice/model:pull,push",
        "scope=repository:team/read:pull,push%20repository:team/secret:pull,push",
        "scope=registry:catalog:*",
        "scope=",
        "scope=unknown:thing:do",
    ];
    for path in ["/token", "/v2/token"] {
        let answer = alice.get(&format!("{path}?service=larder&{}", wanted.join("&"))).await;
        answer.expect(200);
        assert_eq!(
            access(answer.json()["token"].as_str().expect("a token")),
            json!([
                { "type": "repository", "name": "alice/model", "actions": ["pull", "push"] },
                { "type": "repository", "name": "team/read", "actions": ["pull"] },
                { "type": "registry", "name": "catalog", "actions": ["*"] },
            ])
        );
    }
    assert_eq!(
        access(&token(&alice, "repository:alice/model:*").await)[0]["actions"],
        json!(["admin", "delete", "pull", "push", "tag-move"])
    );
    assert_eq!(access(&token(&guarded.stranger(), "repository:alice/model:*").await), json!([]));
}

/// Gitea CVE-2025-68944, CVE-2025-68941: what is asked for is not what is given, however it is written.
#[tokio::test]
async fn cve_2025_68944_a_crafted_scope_gains_nothing() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    root.image("team/secret", "1").await;
    for scope in [
        "repository:*:*",
        "repository:**:pull",
        "repository:team/*:pull",
        "repository:TEAM/secret:pull",
        "repository:team//secret:pull",
        "repository:team/secret/:pull",
        "repository:alice/../team/secret:pull",
        "repository:alice/%2e%2e/team/secret:pull",
        "repository:alice/model:pull:repository:team/secret:pull",
        "repository(plugin):team/secret:pull",
        "registry:team/secret:*",
        "repository:localhost:5000/team/secret:pull",
        "repository:team/secret:*",
        "repository:team/secret:admin",
    ] {
        let answer = ask(&alice, scope).await;
        answer.expect(200);
        let given = answer.json()["token"].as_str().expect("a token").to_owned();
        assert_eq!(access(&given), json!([]), "{scope}");
        let client = guarded.stranger().bearer(&given);
        client.get("/v2/team/secret/manifests/1").await.expect(403);
    }
    for scope in
        ["repository", "repository:x", "repository:a%22b:pull", "repository:a:pu%22ll", "re%0apository:a:pull%0d%0aX:1"]
    {
        let answer = ask(&alice, scope).await;
        assert!(answer.status == 400 || access(answer.json()["token"].as_str().unwrap_or("")) == json!([]), "{scope}");
    }
    let many: Vec<String> = (0..101).map(|n| format!("repository:alice/{n}:pull")).collect();
    ask(&alice, &many.join(" ")).await.expect(400);
}

/// A token is for this service, and one of another registry is none (CVE-2025-24976).
#[tokio::test]
async fn cve_2025_24976_a_token_for_another_service_is_no_token() {
    let (guarded, other) = (Guarded::new().await, Guarded::new().await);
    let refused = guarded.as_user("root").get("/token?service=registry.docker.io").await;
    refused.expect(400);
    assert_eq!(refused.json()["error"], "invalid_target");
    guarded.as_user("root").get("/token").await.expect(200);
    let foreign = token(&other.as_user("root"), "repository:root/model:pull").await;
    let answer = guarded.stranger().bearer(&foreign).get("/v2/").await;
    answer.expect(401);
    assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""));
}

/// A token is not changed for a wider one (Gitea CVE-2026-28744).
#[tokio::test]
async fn cve_2026_28744_a_token_with_a_scope_gets_no_other_token() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let narrow = token(&alice, "repository:alice/model:pull").await;
    for client in [guarded.stranger().bearer(&narrow), guarded.stranger().basic("alice", &narrow)] {
        ask(&client, "repository:alice/model:pull,push").await.expect(401);
        client.json(Method::POST, "/api/v1/tokens", &json!({ "name": "x", "actions": ["admin"] })).await.expect(403);
    }
}

/// containerd POSTs first; Helm's login too.
#[tokio::test]
async fn a_form_gets_a_token_for_a_password() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    alice.image("alice/model", "1").await;
    let stranger = guarded.stranger();
    let secret = password("alice");
    let fields = [
        ("grant_type", "password"),
        ("service", "larder"),
        ("client_id", "containerd-client"),
        ("scope", "repository:alice/model:pull repository:alice/model:push"),
        ("username", "alice"),
        ("password", &secret),
    ];
    let answer = form(&stranger, &fields).await;
    answer.expect(200);
    let given = answer.json();
    assert_eq!(given["scope"], "repository:alice/model:pull,push");
    assert!(given["expires_in"].as_u64() >= Some(60) && given["refresh_token"].is_null(), "{given}");
    stranger
        .bearer(given["access_token"].as_str().expect("a token"))
        .get("/v2/alice/model/manifests/1")
        .await
        .expect(200);

    for (fields, status, error) in [
        (vec![("grant_type", "password"), ("username", "alice"), ("password", "wrong")], 401, "invalid_grant"),
        (vec![("grant_type", "password"), ("username", "alice")], 400, "invalid_request"),
        (vec![("grant_type", "client_credentials")], 400, "unsupported_grant_type"),
        (vec![("username", "alice")], 400, "invalid_request"),
        (vec![("grant_type", "refresh_token"), ("refresh_token", "ldr_x")], 401, "invalid_grant"),
    ] {
        let answer = form(&stranger, &fields).await;
        answer.expect(status);
        assert_eq!(answer.json()["error"], error, "{fields:?}");
        assert!(answer.json()["errors"][0]["code"].is_string());
    }
    stranger.json(Method::POST, "/token", &json!({ "grant_type": "password" })).await.expect(400);
    stranger.put("/token", "").await.expect(405);
}

/// docker keeps the first refresh token that it gets for ever (moby 39718): it stays good, and is revoked with what it came from.
#[tokio::test]
async fn a_refresh_token_is_used_again_and_again() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let stranger = guarded.stranger();
    let secret = password("alice");
    let fields = [("grant_type", "password"), ("access_type", "offline"), ("username", "alice"), ("password", &secret)];
    let given = form(&stranger, &fields).await.json();
    let refresh = given["refresh_token"].as_str().expect("it was asked for").to_owned();
    for _ in 0..3 {
        // podman sends several fields.
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &*refresh),
            ("scope", "repository:alice/model:pull"),
            ("scope", "repository:alice/model:push"),
        ];
        let answer = form(&stranger, &fields).await;
        answer.expect(200);
        let again = answer.json();
        assert!(again["refresh_token"].is_null() || again["refresh_token"] == *refresh, "{again}");
        let bearer = stranger.bearer(again["token"].as_str().expect("a token"));
        bearer.post("/v2/alice/model/blobs/uploads/", "").await.expect(202);
        guarded.pass(Duration::from_secs(3600));
    }
    // A new password ends what the old one gave.
    let new = json!({ "password": "another good password", "current": secret });
    alice.json(Method::PUT, "/api/v1/users/alice/password", &new).await.expect(204);
    form(&stranger, &[("grant_type", "refresh_token"), ("refresh_token", &refresh)]).await.expect(401);
}

/// CVE-2019-19025: a page of another site gets nothing with a password that a browser keeps.
#[tokio::test]
async fn cve_2019_19025_a_page_of_another_site_gets_no_token() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    for header in [("origin", "https://attacker.test"), ("sec-fetch-site", "cross-site"), ("origin", "null")] {
        root.get_with("/token", &[header]).await.expect(403);
        root.get_with("/v2/", &[header]).await.expect(403);
        root.call(Method::POST, "/v2/root/model/blobs/uploads/", &[header], "").await.expect(403);
        root.call(Method::DELETE, "/api/v1/users/root", &[header], "").await.expect(403);
    }
    root.get_with("/token", &[("origin", "http://localhost:5000"), ("sec-fetch-site", "same-origin")])
        .await
        .expect(200);
}
