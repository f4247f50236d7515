//! A push of hours and tokens of minutes (behaviour §4): what began with a token goes on when that has merely expired.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::fixture::{Guarded, token};
use crate::world::{Client, random, sha256};

const HOUR: Duration = Duration::from_secs(3600);

/// Begins an upload and answers its path.
async fn begin(client: &Client, repository: &str) -> String {
    let answer = client.post(&format!("/v2/{repository}/blobs/uploads/"), "").await;
    answer.expect(202);
    answer.header("location").to_owned()
}

async fn patch(client: &Client, path: &str, bytes: &[u8]) -> u16 {
    client.call(Method::PATCH, path, &[], bytes.to_vec()).await.status.as_u16()
}

#[tokio::test]
async fn an_expired_token_finishes_the_upload_that_it_began() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let expired = guarded.stranger().bearer(&token(&alice, "repository:alice/model:pull,push").await);
    let path = begin(&expired, "alice/model").await;
    let bytes = random(300);
    assert_eq!(patch(&expired, &path, &bytes[..100]).await, 202);
    guarded.pass(HOUR);
    assert_eq!(patch(&expired, &path, &bytes[100..]).await, 202);
    let status = expired.get(&path).await;
    status.expect(204);
    assert_eq!(status.header("range"), "0-299");
    expired.put(&format!("{path}?digest={}", sha256(&bytes)), "").await.expect(201);
    // The session is over, and with it what the token was still good for.
    assert_eq!(patch(&expired, &path, b"more").await, 404);
    for path in ["/v2/", "/v2/alice/model/tags/list", "/v2/alice/model/manifests/1", "/v2/_catalog"] {
        let answer = expired.get(path).await;
        answer.expect(401);
        assert!(answer.header("www-authenticate").contains("error=\"invalid_token\""), "{path}");
    }
    let answer = expired.post("/v2/alice/model/blobs/uploads/", "").await;
    answer.expect(401);
    assert!(answer.header("www-authenticate").contains("scope=\"repository:alice/model:pull,push\""));
    expired.put("/v2/alice/model/manifests/1", "{}").await.expect(401);
    expired.get("/api/v1/whoami").await.expect(401);
}

/// CVE-2026-32589: knowing the address of an upload is no right to it, and an old token is none to anything else.
#[tokio::test]
async fn cve_2026_32589_nobody_else_goes_on_with_an_upload() {
    let guarded = Guarded::new().await;
    let (alice, bob) = (guarded.user("alice").await, guarded.user("bob").await);
    guarded.grant("signed-in", &["pull", "push"], "team/**").await;
    let scope = "repository:team/model:pull,push";
    let (hers, his) = (token(&alice, scope).await, token(&bob, scope).await);
    let (hers, his) = (guarded.stranger().bearer(&hers), guarded.stranger().bearer(&his));
    let anonymous = guarded.stranger().bearer(&token(&guarded.stranger(), scope).await);
    let path = begin(&hers, "team/model").await;
    assert_eq!(patch(&hers, &path, b"her bytes").await, 202);
    for expired in [false, true] {
        if expired {
            guarded.pass(HOUR);
        }
        for client in [&his, &bob] {
            client.get(&path).await.expect(404);
            assert_eq!(patch(client, &path, b"his bytes").await, 404);
            client.put(&format!("{path}?digest={}", sha256(b"her bytes")), "").await.expect(404);
            client.delete(&path).await.expect(404);
        }
        let status = anonymous.get(&path).await.status;
        assert_eq!(status, if expired { 404 } else { 401 });
        let elsewhere = path.replace("team/model", "team/other");
        assert!(matches!(hers.get(&elsewhere).await.status.as_u16(), 401 | 404));
    }
    // Another token of hers goes on as well: it is her upload, not her token's.
    assert_eq!(patch(&alice, &path, b"!").await, 202);
    assert_eq!(hers.get(&path).await.header("range"), "0-9");
}

#[tokio::test]
async fn an_upload_ends_with_the_right_to_push() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let grant = guarded.grant("user:alice", &["push"], "team/**").await;
    let bearer = guarded.stranger().bearer(&token(&alice, "repository:team/model:pull,push").await);
    // Whoever makes a repository administers it, so somebody else makes this one.
    guarded.operator().json(Method::POST, "/api/v1/repositories", &json!({ "name": "team/model" })).await.expect(201);
    let path = begin(&bearer, "team/model").await;
    guarded.pass(HOUR);
    assert_eq!(patch(&bearer, &path, b"bytes").await, 202);
    guarded.operator().delete(&format!("/api/v1/grants/{grant}")).await.expect(204);
    assert_eq!(patch(&bearer, &path, b"bytes").await, 404);
    assert_eq!(patch(&alice, &path, b"bytes").await, 403);
    guarded.grant("user:alice", &["push"], "team/**").await;
    assert_eq!(patch(&bearer, &path, b"bytes").await, 202);
    guarded.operator().json(Method::PATCH, "/api/v1/users/alice", &json!({ "disabled": true })).await.expect(200);
    assert_eq!(patch(&bearer, &path, b"bytes").await, 401);
}

/// podman gives up uploads that it does not need: a right to push is enough.
#[tokio::test]
async fn a_push_scope_cancels_its_own_upload() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let bearer = guarded.stranger().bearer(&token(&alice, "repository:alice/model:pull,push").await);
    let path = begin(&bearer, "alice/model").await;
    bearer.delete(&path).await.expect(204);
    bearer.delete(&path).await.expect(404);
}
