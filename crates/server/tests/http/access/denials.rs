//! What somebody is told who may not (cases 10): the words that docker prints, and nothing about what exists.

use super::fixture::{Guarded, token, told};
use crate::world::{Answer, Client, random, sha256};

const STANDARD: &str = "requested access to the resource is denied";

/// Requests of every kind to one repository.
async fn everything(client: &Client, repository: &str) -> Vec<Answer> {
    let digest = sha256(b"some layer");
    let base = format!("/v2/{repository}");
    let mut answers = Vec::new();
    for path in [
        format!("{base}/manifests/1"),
        format!("{base}/manifests/{digest}"),
        format!("{base}/blobs/{digest}"),
        format!("{base}/tags/list"),
        format!("{base}/tags/list?n=1"),
        format!("{base}/referrers/{digest}"),
        format!("/api/v1/repositories/{repository}"),
        format!("/api/v1/repositories/{repository}/-/tags"),
        format!("/api/v1/repositories/{repository}/-/tags/1"),
        format!("/api/v1/repositories/{repository}/-/tags/1/history"),
    ] {
        answers.push(client.get(&path).await);
        answers.push(client.head(&path).await);
        answers.push(client.delete(&path).await);
        answers.push(client.put(&path, "{}").await);
    }
    let uploads = format!("{base}/blobs/uploads/");
    answers.push(client.post(&uploads, "").await);
    answers.push(client.post(&format!("{uploads}?digest={digest}"), "some layer").await);
    answers.push(client.post(&format!("{uploads}?mount={digest}&from=root/secret"), "").await);
    answers.push(client.post(&format!("{uploads}?mount={digest}"), "").await);
    answers
}

/// CVE-2019-19030: absent and forbidden look the same on every route, with and without a credential.
#[tokio::test]
async fn cve_2019_19030_absent_and_forbidden_look_the_same() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    root.image("root/secret", "1").await;
    root.blob("root/secret", "some layer").await;
    let scope = "repository:root/secret:pull,push repository:root/absent:pull,push";
    let anonymous = guarded.stranger().bearer(&token(&guarded.stranger(), scope).await);
    let bearer = guarded.stranger().bearer(&token(&alice, scope).await);
    for client in [guarded.stranger(), anonymous, alice, bearer] {
        let (secret, absent) = (everything(&client, "root/secret").await, everything(&client, "root/absent").await);
        assert_eq!(secret.len(), absent.len());
        for (secret, absent) in secret.iter().zip(&absent) {
            assert!(matches!(secret.status.as_u16(), 400 | 401 | 403 | 405 | 415), "{}", secret.status);
            let (status, headers, body) = told(absent);
            let renamed = |text: &str| text.replace("root/absent", "root/secret");
            let headers = headers.into_iter().map(|(name, value)| (name, renamed(&value))).collect();
            assert_eq!(told(secret), (status, headers, renamed(&body)));
        }
    }
}

/// Without a login: docker gets an anonymous token, and then this.
#[tokio::test]
async fn strangers_are_told_to_log_in() {
    let guarded = Guarded::new().await;
    guarded.as_user("root").image("root/secret", "1").await;
    for (scope, path, push) in [
        ("repository:root/secret:pull,push", "/v2/root/secret/blobs/uploads/", true),
        ("repository:root/secret:pull", "/v2/root/secret/manifests/1", false),
    ] {
        let anonymous = guarded.stranger().bearer(&token(&guarded.stranger(), scope).await);
        let answer = if push { anonymous.post(path, "").await } else { anonymous.get(path).await };
        answer.expect(401);
        assert_eq!(
            answer.header("www-authenticate"),
            format!(
                "Bearer realm=\"http://localhost:5000/token\",service=\"larder\",scope=\"{scope}\",error=\"insufficient_scope\",\
                 error_description=\"{STANDARD}: log in with docker login localhost:5000\""
            )
        );
        assert_eq!(answer.code(), "UNAUTHORIZED");
        assert!(answer.json()["errors"][0]["message"].as_str().is_some_and(|message| message.starts_with(STANDARD)));
    }
    let bare = guarded.stranger().get("/v2/root/secret/manifests/1").await;
    bare.expect(401);
    assert_eq!(
        bare.header("www-authenticate"),
        "Bearer realm=\"http://localhost:5000/token\",service=\"larder\",scope=\"repository:root/secret:pull\""
    );
}

/// With a login: 403 with the standard words and a detail, or docker prints `denied` alone, after five tries and 50 s.
#[tokio::test]
async fn whoever_is_logged_in_is_told_that_he_may_not() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    guarded.as_user("root").image("root/secret", "1").await;
    let bearer = guarded.stranger().bearer(&token(&alice, "repository:root/secret:pull,push").await);
    for client in [alice, bearer] {
        for answer in [
            client.get("/v2/root/secret/manifests/1").await,
            client.post("/v2/root/secret/blobs/uploads/", "").await,
            client.delete("/v2/root/secret/manifests/1").await,
        ] {
            answer.expect(403);
            assert_eq!(answer.code(), "DENIED");
            let error = answer.json()["errors"][0].clone();
            assert_eq!(error["message"], STANDARD);
            assert_eq!(error["detail"]["name"], "root/secret");
            assert!(answer.header("www-authenticate").is_empty());
        }
    }
}

/// Where another token would help, the client is told to get one.
#[tokio::test]
async fn a_token_of_too_little_scope_is_challenged() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    alice.image("alice/model", "1").await;
    let reader = guarded.stranger().bearer(&token(&alice, "repository:alice/model:pull").await);
    reader.get("/v2/alice/model/manifests/1").await.expect(200);
    let answer = reader.post("/v2/alice/model/blobs/uploads/", "").await;
    answer.expect(401);
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains("scope=\"repository:alice/model:pull,push\",error=\"insufficient_scope\""),
        "{challenge}"
    );
    let answer = reader.delete("/v2/alice/model/manifests/1").await;
    answer.expect(401);
    assert!(answer.header("www-authenticate").contains("scope=\"repository:alice/model:delete\""));
    let other = reader.get("/v2/alice/other/tags/list").await;
    other.expect(401);
    // Names that only begin alike are other names.
    let near = guarded.stranger().bearer(&token(&alice, "repository:alice/mod:pull,push").await);
    near.get("/v2/alice/model/manifests/1").await.expect(401);
}

/// A mount asks for pull on its source: another token helps, or an ordinary upload begins, and it is never refused (containerd 14086).
#[tokio::test]
async fn a_mount_wants_both_scopes_or_becomes_an_upload() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    let digest = alice.blob("alice/base", random(100)).await;
    let secret = root.blob("root/secret", random(100)).await;
    let push = guarded.stranger().bearer(&token(&alice, "repository:alice/model:pull,push").await);
    let mount = |digest, from: &str| format!("/v2/alice/model/blobs/uploads/?mount={digest}&from={from}");

    let answer = push.post(&mount(digest, "alice/base"), "").await;
    answer.expect(401);
    let scope = "repository:alice/model:pull,push repository:alice/base:pull";
    assert!(answer.header("www-authenticate").contains(&format!("scope=\"{scope}\"")), "{:?}", answer.headers);
    let both = guarded.stranger().bearer(&token(&alice, scope).await);
    both.post(&mount(digest, "alice/base"), "").await.expect(201);

    for from in ["root/secret", "root/absent", "Not%20a%20name"] {
        for client in [&push, &both, &alice] {
            let answer = client.post(&mount(secret, from), "").await;
            answer.expect(202);
            client.get(&format!("/v2/alice/model/blobs/{secret}")).await.expect(404);
        }
    }
    // Without a source, what its owner may pull is looked at, whatever the token says.
    let anywhere = |digest| format!("/v2/alice/third/blobs/uploads/?mount={digest}");
    let third = guarded.stranger().bearer(&token(&alice, "repository:alice/third:pull,push").await);
    third.post(&anywhere(digest), "").await.expect(201);
    third.post(&anywhere(secret), "").await.expect(202);
}

/// Challenges without a credential are not audited; what is refused is, folded.
#[tokio::test]
async fn refusals_are_in_the_audit() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    guarded.stranger().get("/v2/root/secret/manifests/1").await.expect(401);
    for _ in 0..3 {
        alice.get("/v2/root/secret/manifests/1").await.expect(403);
    }
    let anonymous = guarded.stranger().bearer(&token(&guarded.stranger(), "repository:root/secret:pull").await);
    anonymous.get("/v2/root/secret/manifests/1").await.expect(401);
    guarded.access.tick().await;
    let audit = guarded.operator().get("/api/v1/audit?outcome=denied").await;
    audit.expect(200);
    let entries = audit.json()["entries"].as_array().expect("a list").clone();
    let of = |identity: &str| entries.iter().filter(|entry| entry["identity"] == identity).cloned().collect::<Vec<_>>();
    let hers = of("user:alice");
    assert_eq!(hers.len(), 1, "{entries:?}");
    assert_eq!(hers[0]["count"], 3);
    assert_eq!((&hers[0]["repository"], &hers[0]["address"]), (&"root/secret".into(), &"192.0.2.7".into()));
    assert_eq!(hers[0]["credential"], "password");
    assert!(hers[0]["request_id"].is_string());
    assert_eq!(of("anonymous").len(), 1, "{entries:?}");
}
