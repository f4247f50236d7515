//! Quotas (behaviour §6): over them 403 `DENIED` with the numbers, and nobody gets past them.

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Method, Request};
use serde_json::{Value, json};

use super::fixture::Guarded;
use crate::world::{Client, image, random, sha256};

async fn set(guarded: &Guarded, repositories: &str, bytes: Option<u64>, manifests: Option<u64>) -> Value {
    let quota = json!({ "repositories": repositories, "bytes": bytes, "manifests": manifests });
    let answer = guarded.operator().json(Method::PUT, "/api/v1/quotas", &quota).await;
    answer.expect(200);
    answer.json()
}

async fn shown(guarded: &Guarded, id: &Value) -> (u64, u64, u64) {
    let quota = guarded.operator().get(&format!("/api/v1/quotas/{id}")).await.json();
    let number = |field: &str| quota[field].as_u64().expect("a number");
    (number("used_bytes"), number("reserved_bytes"), number("used_manifests"))
}

#[tokio::test]
async fn quotas_are_administrators_and_seen_by_who_administers() {
    let guarded = Guarded::new().await;
    let (root, alice, bob) = (guarded.as_user("root"), guarded.user("alice").await, guarded.user("bob").await);
    let quota = json!({ "repositories": "alice/**", "bytes": 1000 });
    alice.json(Method::PUT, "/api/v1/quotas", &quota).await.expect(403);
    guarded.stranger().get("/api/v1/quotas").await.expect(401);
    let made = root.json(Method::PUT, "/api/v1/quotas", &quota).await;
    made.expect(200);
    let path = format!("/api/v1/quotas/{}", made.json()["id"]);
    assert_eq!(made.json()["manifests"], Value::Null);
    root.json(Method::PUT, "/api/v1/quotas", &json!({ "repositories": "team/**", "manifests": 5 })).await.expect(200);
    for (client, seen) in [(&root, 2), (&alice, 1), (&bob, 0)] {
        let list = client.get("/api/v1/quotas").await.json();
        assert_eq!(list["quotas"].as_array().expect("a list").len(), seen);
        client.get(&path).await.expect(if seen > 0 { 200 } else { 404 });
    }
    let page = root.get("/api/v1/quotas?limit=1").await;
    root.get(&page.next().expect("there is another")).await.expect(200);
    alice.delete(&path).await.expect(403);
    for (wrong, status) in [
        (json!({ "repositories": "x/**" }), 400),
        (json!({ "repositories": "**x**/", "bytes": 1 }), 400),
        (json!({ "repositories": "x/**", "bytes": -1 }), 400),
        (json!({ "repositories": "x/**", "bytes": 1, "owner": "me" }), 400),
    ] {
        root.json(Method::PUT, "/api/v1/quotas", &wrong).await.expect(status);
    }
    root.delete(&path).await.expect(204);
    root.delete(&path).await.expect(404);
    let audit = root.get("/api/v1/audit?action=quota").await.json();
    let actions: Vec<_> =
        audit["entries"].as_array().expect("entries").iter().map(|entry| entry["action"].clone()).collect();
    assert_eq!(actions, ["quota.removed", "quota.set", "quota.set"]);
}

#[tokio::test]
async fn who_pushes_too_much_is_told_the_numbers() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let id = set(&guarded, "alice/**", Some(1_000), None).await["id"].clone();
    alice.blob("alice/a", random(600)).await;
    let large = random(500);
    let digest = sha256(&large);
    let refused = alice.post(&format!("/v2/alice/b/blobs/uploads/?digest={digest}"), large.clone()).await;
    refused.expect(403);
    assert_eq!(refused.code(), "DENIED");
    let error = &refused.json()["errors"][0];
    assert_eq!(error["message"], "over the quota of alice/**: 600 of 1000 bytes are used, and this needs 500");
    let mut detail = error["detail"].clone();
    detail.as_object_mut().expect("facts").remove("request_id");
    let facts = json!({
        "repositories": "alice/**", "counted": "bytes", "limit": 1000, "used": 600, "reserved": 0, "needed": 500,
    });
    assert_eq!(detail, facts);
    assert_eq!(shown(&guarded, &id).await, (600, 0, 0), "what was refused reserves nothing");
    // Without a length it is refused as soon as it does not fit.
    let path = alice.post("/v2/alice/b/blobs/uploads/", "").await.header("location").to_owned();
    let pieces: Vec<_> =
        large.chunks(100).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
    let request = Request::patch(&path).body(Body::from_stream(stream::iter(pieces))).expect("a request");
    alice.send(request).await.expect(403);
    alice.get(&path).await.expect(404);
    assert_eq!(shown(&guarded, &id).await, (600, 0, 0));
    // What fits exactly is taken; then nothing can be begun any more, not even by a mount.
    alice.blob("alice/b", random(400)).await;
    alice.post("/v2/alice/b/blobs/uploads/", "").await.expect(403);
    let other = guarded.as_user("root").blob("root/a", random(10)).await;
    guarded.grant("user:alice", &["pull"], "root/a").await;
    alice.post(&format!("/v2/alice/b/blobs/uploads/?mount={other}&from=root/a"), "").await.expect(403);
    // A higher quota, and the same push goes through.
    set(&guarded, "alice/**", Some(2_000), None).await;
    alice.post(&format!("/v2/alice/b/blobs/uploads/?mount={other}&from=root/a"), "").await.expect(201);
    alice.blob("alice/b", large).await;
}

/// Behaviour §6: open uploads reserve, so that 64 parallel pushes cannot overshoot.
#[tokio::test]
async fn sixty_four_pushes_at_once_do_not_overshoot() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    // Once it is known to be right, the password is not hashed for each of the pushes.
    root.get("/v2/").await.expect(200);
    for announced in [true, false] {
        let team = format!("team-{announced}");
        let id = set(&guarded, &format!("{team}/**"), Some(10_000), None).await["id"].clone();
        let pushes = (0..64).map(|n| push(root.clone(), format!("{team}/{}", n % 4), announced));
        let pushed = futures::future::join_all(pushes).await;
        let (taken, refused): (Vec<_>, Vec<_>) = pushed.into_iter().partition(|status| *status == 201);
        assert!(refused.iter().all(|status| *status == 403), "{refused:?}");
        assert_eq!(shown(&guarded, &id).await, (taken.len() as u64 * 1_000, 0, 0));
        // Who does not say how much is to come reserves some of it in advance, so perhaps fewer at a time fit.
        let fit = if announced { 10..=10 } else { 1..=10 };
        assert!(fit.contains(&taken.len()), "{}", taken.len());
    }
}

async fn push(client: Client, repository: String, announced: bool) -> u16 {
    let bytes = random(1_000);
    let digest = sha256(&bytes);
    let started = client.post(&format!("/v2/{repository}/blobs/uploads/"), "").await;
    if started.status != 202 {
        return started.status.as_u16();
    }
    let path = started.header("location").to_owned();
    let patched = if announced {
        client.call(Method::PATCH, &path, &[], bytes).await
    } else {
        let pieces: Vec<_> =
            bytes.chunks(300).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
        client.send(Request::patch(&path).body(Body::from_stream(stream::iter(pieces))).expect("a request")).await
    };
    if patched.status != 202 {
        return patched.status.as_u16();
    }
    client.put(&format!("{path}?digest={digest}"), "").await.status.as_u16()
}

#[tokio::test]
async fn manifests_are_counted_and_what_is_deleted_makes_room() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    let id = set(&guarded, "team/**", None, Some(2)).await["id"].clone();
    let first = root.image("team/a", "1").await;
    root.image("team/b", "1").await;
    let refused = root
        .manifest(
            "team/c",
            "1",
            &image(&[json!({
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"{}").to_string(), "size": 2
            })]),
        )
        .await;
    refused.expect(403);
    let detail = &refused.json()["errors"][0]["detail"];
    assert_eq!((&detail["counted"], &detail["limit"], &detail["used"]), (&json!("manifests"), &json!(2), &json!(2)));
    assert_eq!(shown(&guarded, &id).await.2, 2);
    root.delete(&format!("/v2/team/a/manifests/{first}")).await.expect(202);
    assert_eq!(shown(&guarded, &id).await.2, 1);
    root.image("team/c", "1").await;
}
