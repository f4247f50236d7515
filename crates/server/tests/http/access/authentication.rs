//! Who is let in (oci-distribution §3.2, §5; cases 12).

use http::Method;
use larder_server::Config;
use serde_json::json;

use super::fixture::{Guarded, ask, password, settings, token};
use crate::world::Client;

/// Clients choose their way of authentication by this answer: it challenges although anybody may pull something.
#[tokio::test]
async fn the_ping_always_challenges() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    root.image("root/model", "1").await;
    guarded.publish("root/model").await;
    guarded.grant("anonymous", &["pull"], "root/**").await;
    for path in ["/v2/", "/v2"] {
        let answer = guarded.stranger().get(path).await;
        answer.expect(401);
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer realm=\"http://localhost:5000/token\",service=\"larder\"",
            "{path}"
        );
        assert_eq!(answer.code(), "UNAUTHORIZED");
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
    }
    let head = guarded.stranger().head("/v2/").await;
    head.expect(401);
    assert!(head.headers.contains_key("content-length"));
    guarded.as_user("root").get("/v2/").await.expect(200);
}

/// `docker login`: a token without a scope opens `/v2/` and nothing else.
#[tokio::test]
async fn docker_logs_in() {
    let guarded = Guarded::new().await;
    let path = "/token?account=root&client_id=docker&offline_token=true&service=larder";
    let answer = guarded.as_user("root").get(path).await;
    answer.expect(200);
    let given = answer.json();
    assert_eq!(given["token"], given["access_token"]);
    assert!(given["expires_in"].as_u64() >= Some(60), "{given}");
    assert!(given["issued_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{given}");
    assert!(given["refresh_token"].is_null(), "docker would throw the password away: {given}");
    assert_eq!(answer.header("cache-control"), "no-store");
    let logged_in = guarded.stranger().bearer(given["token"].as_str().expect("a token"));
    logged_in.get("/v2/").await.expect(200);
    logged_in.get("/v2/root/model/tags/list").await.expect(401);

    let wrong = guarded.stranger().basic("root", "wrong").get(path).await;
    wrong.expect(401);
    assert_eq!(wrong.json()["errors"][0]["code"], "UNAUTHORIZED");
    let unknown = guarded.stranger().basic("nobody", "wrong").get(path).await;
    assert_eq!(super::fixture::told(&wrong), super::fixture::told(&unknown));
}

/// Every operation of a push and a pull, with a name and a password on each request.
#[tokio::test]
async fn basic_is_taken_on_every_route() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let digest = alice.image("alice/model", "1").await;
    alice.get("/v2/alice/model/manifests/1").await.expect(200);
    alice.head(&format!("/v2/alice/model/manifests/{digest}")).await.expect(200);
    alice.get("/v2/alice/model/tags/list").await.expect(200);
    alice.get(&format!("/v2/alice/model/referrers/{digest}")).await.expect(200);
    assert_eq!(alice.get("/v2/_catalog").await.json(), json!({ "repositories": ["alice/model"] }));
    alice.delete("/v2/alice/model/manifests/1").await.expect(202);
    guarded.stranger().basic("alice", "wrong").get("/v2/").await.expect(401);
}

/// Case 12: a token is a password with any name, and goes as it is too.
#[tokio::test]
async fn a_personal_token_is_a_password_with_any_name() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    alice.image("alice/model", "1").await;
    let secret =
        guarded.token_of(&alice, &json!({ "name": "ci", "actions": ["pull"], "repositories": ["alice/**"] })).await;
    assert!(secret.starts_with("ldr_"));
    for name in ["AWS", "oauth2accesstoken", "_json_key", "gitlab-ci-token", "alice", "a+b", ""] {
        let client = guarded.stranger().basic(name, &secret);
        client.get("/v2/alice/model/manifests/1").await.expect(200);
        let bearer = guarded.stranger().bearer(&token(&client, "repository:alice/model:pull,push").await);
        bearer.get("/v2/alice/model/manifests/1").await.expect(200);
        bearer.post("/v2/alice/model/blobs/uploads/", "").await.expect(403);
    }
    let direct = guarded.stranger().bearer(&secret);
    direct.get("/v2/alice/model/manifests/1").await.expect(200);
    direct.post("/v2/alice/model/blobs/uploads/", "").await.expect(403);
    let long = "x".repeat(16 * 1024);
    guarded.stranger().basic("alice", &long).get("/v2/").await.expect(401);
}

/// Case 11: a user pushes under his name without anybody's help; nobody else sees it until he says so.
#[tokio::test]
async fn what_is_private_opens_by_login_and_grant() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let bob = guarded.user("bob").await;
    let made = json!({ "name": "alice/private-ml-model" });
    alice.json(Method::POST, "/api/v1/repositories", &made).await.expect(201);
    alice.image("alice/private-ml-model", "v1.0").await;
    bob.get("/v2/alice/private-ml-model/manifests/v1.0").await.expect(403);
    let grant = json!({ "subject": "user:bob", "actions": ["pull"], "repositories": "alice/private-ml-model" });
    alice.json(Method::POST, "/api/v1/grants", &grant).await.expect(201);
    bob.get("/v2/alice/private-ml-model/manifests/v1.0").await.expect(200);
    bob.post("/v2/alice/private-ml-model/blobs/uploads/", "").await.expect(403);

    alice.image("alice/ml-model", "v1.0").await;
    alice.json(Method::PATCH, "/api/v1/repositories/alice/ml-model", &json!({ "public": true })).await.expect(200);
    let anybody = guarded.stranger().bearer(&token(&guarded.stranger(), "repository:alice/ml-model:pull").await);
    anybody.get("/v2/alice/ml-model/manifests/v1.0").await.expect(200);
    anybody.delete("/v2/alice/ml-model/manifests/v1.0").await.expect(401);

    // A name under which others' repositories lie cannot become a user's.
    let root = guarded.as_user("root");
    root.image("carol/model", "1").await;
    let carol = json!({ "name": "carol", "password": password("carol") });
    guarded.operator().json(Method::POST, "/api/v1/users", &carol).await.expect(409);
}

/// The list of a caller is what he may pull; strangers have to show that they are (oras and crane would never log in else).
#[tokio::test]
async fn the_catalogue_shows_what_may_be_pulled() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    for name in ["alice/a", "team/b", "team/hidden", "open/c"] {
        root.image(name, "1").await;
    }
    guarded.publish("open/c").await;
    guarded.grant("user:alice", &["pull"], "team/**").await;
    guarded.rule("user:alice", &["pull"], "team/hidden", "deny").await;
    assert_eq!(alice.get("/v2/_catalog").await.json(), json!({ "repositories": ["alice/a", "open/c", "team/b"] }));
    let first = alice.get("/v2/_catalog?n=2").await;
    assert_eq!(first.json(), json!({ "repositories": ["alice/a", "open/c"] }));
    let second = alice.get(&first.next().expect("there is more")).await;
    assert_eq!(second.json(), json!({ "repositories": ["team/b"] }));
    assert_eq!(second.next(), None);

    let challenged = guarded.stranger().get("/v2/_catalog").await;
    challenged.expect(401);
    assert!(challenged.header("www-authenticate").contains("scope=\"registry:catalog:*\""));
    let anybody = guarded.stranger().bearer(&token(&guarded.stranger(), "registry:catalog:*").await);
    assert_eq!(anybody.get("/v2/_catalog").await.json(), json!({ "repositories": ["open/c"] }));
    let narrow = guarded.stranger().bearer(&token(&alice, "repository:team/b:pull").await);
    narrow.get("/v2/_catalog").await.expect(401);
}

/// Revoking, disabling and ungranting hold for the next request (reliability J8, CVE-2025-23208).
#[tokio::test]
async fn cve_2025_23208_what_is_taken_away_is_gone_at_once() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    let operator = guarded.operator();
    root.image("team/model", "1").await;
    let path = "/v2/team/model/manifests/1";

    let grant = guarded.grant("user:alice", &["pull"], "team/**").await;
    let bearer = guarded.stranger().bearer(&token(&alice, "repository:team/model:pull").await);
    bearer.get(path).await.expect(200);
    operator.delete(&format!("/api/v1/grants/{grant}")).await.expect(204);
    bearer.get(path).await.expect(403);
    alice.get(path).await.expect(403);

    operator.json(Method::POST, "/api/v1/groups", &json!({ "name": "ml" })).await.expect(201);
    guarded.grant("group:ml", &["pull"], "team/**").await;
    operator.put("/api/v1/groups/ml/members/alice", "").await.expect(204);
    bearer.get(path).await.expect(200);
    operator.delete("/api/v1/groups/ml/members/alice").await.expect(204);
    bearer.get(path).await.expect(403);
    operator.put("/api/v1/groups/ml/members/alice", "").await.expect(204);

    let made = alice.json(Method::POST, "/api/v1/tokens", &json!({ "name": "ci", "actions": ["pull"] })).await;
    made.expect(201);
    let secret = made.json()["token"].as_str().expect("a token").to_owned();
    let by_token = guarded.stranger().basic("any", &secret);
    let changed = guarded.stranger().bearer(&token(&by_token, "repository:team/model:pull").await);
    by_token.get(path).await.expect(200);
    changed.get(path).await.expect(200);
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    alice.delete(&format!("/api/v1/tokens/{id}")).await.expect(204);
    by_token.get(path).await.expect(401);
    changed.get(path).await.expect(401);

    operator.json(Method::PATCH, "/api/v1/users/alice", &json!({ "disabled": true })).await.expect(200);
    alice.get(path).await.expect(401);
    bearer.get(path).await.expect(401);
    ask(&alice, "repository:team/model:pull").await.expect(401);
}

/// Wrong passwords cost those who try them, and nobody else (reliability J10, harbor#21224).
#[tokio::test]
async fn guessing_is_slowed_down_and_locks_nobody_out() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let bearer = guarded.stranger().bearer(&token(&alice, "").await);
    let guesser = guarded.stranger().from("198.51.100.9").basic("alice", "wrong");
    let mut waits = 0;
    for _ in 0..40 {
        let answer = ask(&guesser, "").await;
        if answer.status == 429 {
            assert_eq!(answer.json()["errors"][0]["code"], "TOOMANYREQUESTS");
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds >= 1));
            waits += 1;
        } else {
            answer.expect(401);
        }
    }
    assert!(waits > 10, "{waits}");
    let answer = guesser.get("/v2/").await;
    answer.expect(429);
    assert!(!answer.header("retry-after").is_empty());
    alice.get("/v2/").await.expect(200);
    bearer.get("/v2/").await.expect(200);
}

/// Without an account the open state holds; the first one ends it for everybody at once.
#[tokio::test]
async fn the_first_account_ends_the_open_state() {
    let guarded = Guarded::open(settings(), Config::default()).await;
    let local =
        Client::of(&guarded.service, larder_server::Peer::tcp("127.0.0.1:4000".parse().expect("an address"), 1));
    local.image("model", "1").await;
    local
        .json(Method::POST, "/api/v1/users", &json!({ "name": "mallory", "password": "x".repeat(20) }))
        .await
        .expect(403);
    guarded.user("root").await;
    local.get("/v2/").await.expect(401);
    local.get("/v2/model/manifests/1").await.expect(401);
    let anonymous = local.bearer(&token(&local, "repository:model:pull,push").await);
    anonymous.get("/v2/model/manifests/1").await.expect(401);
    guarded.as_user("root").get("/v2/model/manifests/1").await.expect(200);
}
