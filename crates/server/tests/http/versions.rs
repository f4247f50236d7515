//! Tags in their order and in time, and the trash, over HTTP.

use std::time::Duration;

use http::Method;
use larder_registry::{Settings, testing};
use larder_server::Config;
use serde_json::{Value, json};

use crate::world::{Client, World};

const TAGS: &str = "/api/v1/repositories/ml-model/-/tags";

async fn with_trash() -> World {
    let trash_window = Duration::from_secs(60 * 60);
    World::with(Settings { trash_window, ..testing::settings() }, Config::default()).await
}

/// The names on all pages of a list.
async fn names(client: &Client, path: &str) -> Vec<String> {
    let (mut all, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let page = client.get(&path).await;
        page.expect(200);
        let tags = page.json()["tags"].as_array().cloned().unwrap_or_default();
        all.extend(tags.iter().map(|tag| tag["name"].as_str().unwrap_or_default().to_owned()));
        next = page.next();
    }
    all
}

/// Cases 2 to 4 of `cases.md`.
#[tokio::test]
async fn cases_2_to_4_tags_come_by_version_by_kind_and_in_ranges() {
    let world = World::new().await;
    let client = world.anonymous();
    let tags = [
        "1.0.0",
        "1.0.1",
        "1.1.0",
        "2.0.0",
        "v1.2",
        "1.1.0-abc123f",
        "abc123f",
        "sha-abc123f",
        "main",
        "HEAD",
        "prod",
        "latest",
    ];
    for tag in tags {
        client.image("ml-model", tag).await;
    }
    let newest = names(&client, &format!("{TAGS}?sort=version&limit=5")).await;
    assert_eq!(
        newest,
        [
            "2.0.0",
            "v1.2",
            "1.1.0",
            "1.1.0-abc123f",
            "1.0.1",
            "1.0.0",
            "latest",
            "prod",
            "main",
            "abc123f",
            "sha-abc123f",
            "HEAD"
        ]
    );
    let chosen = names(&client, &format!("{TAGS}?sort=version&range=1.x&kind=version&limit=1")).await;
    assert_eq!(chosen, ["v1.2", "1.1.0", "1.0.1", "1.0.0"]);
    assert_eq!(names(&client, &format!("{TAGS}?range=%3E%3D1.1%20%3C2")).await, ["1.1.0", "1.1.0-abc123f", "v1.2"]);
    assert_eq!(names(&client, &format!("{TAGS}?kind=commit&limit=1")).await, ["abc123f", "sha-abc123f"]);
    assert_eq!(names(&client, &format!("{TAGS}?sort=time&limit=3")).await.len(), tags.len());
    let build = &client.get(&format!("{TAGS}?kind=build")).await.json()["tags"][0];
    assert_eq!(
        (&build["kind"], &build["version"], &build["commit"]),
        (&json!("build"), &json!("1.1.0"), &json!("abc123f"))
    );
    for wrong in ["sort=size", "kind=versions", "range=latest"] {
        let refused = client.get(&format!("{TAGS}?{wrong}")).await;
        refused.expect(400);
        assert_eq!(refused.json()["code"], "BAD_REQUEST");
    }
}

#[tokio::test]
async fn a_tag_is_looked_at_in_time_and_rolled_back() {
    let world = World::new().await;
    let client = world.anonymous();
    let first = client.image("ml-model", "prod").await;
    let second = client.image("ml-model", "prod").await;
    let path = format!("{TAGS}/prod");
    assert_eq!(client.get(&format!("{path}?at=2999-01-01")).await.json()["digest"], second.to_string());
    let before = client.get(&format!("{path}?at=2020-01-01T00:00:00Z")).await;
    before.expect(404);
    assert_eq!(before.json()["code"], "MANIFEST_UNKNOWN");
    client.get(&format!("{path}?at=yesterday")).await.expect(400);

    let back = async |asked: Value| client.json(Method::POST, &format!("{path}/rollback"), &asked).await;
    let shown = back(json!({ "dry_run": true })).await;
    shown.expect(200);
    let expected = json!({ "name": "prod", "from": second.to_string(), "to": first.to_string() });
    assert_eq!(shown.json(), expected);
    assert_eq!(client.get(&path).await.json()["digest"], second.to_string());
    assert_eq!(back(json!({})).await.json(), expected);
    assert_eq!(client.get(&path).await.json()["digest"], first.to_string());
    back(json!({ "to": second.to_string() })).await.expect(200);
    back(json!({ "to": "99" })).await.expect(404);
    back(json!({ "to": "soon" })).await.expect(400);
    let history = client.get(&format!("{path}/history?limit=1")).await.json();
    assert_eq!(history["changes"][0]["how"], "rollback");
    client.get(&format!("{path}/rollback")).await.expect(405);
}

#[tokio::test]
async fn what_a_client_deletes_is_gone_for_it_and_comes_back_over_the_api() {
    let world = with_trash().await;
    let client = world.anonymous();
    let digest = client.image("ml-model", "1.0").await;
    client.delete(&format!("/v2/ml-model/manifests/{digest}")).await.expect(202);
    client.get("/v2/ml-model/manifests/1.0").await.expect(404);
    client.head(&format!("/v2/ml-model/manifests/{digest}")).await.expect(404);
    client.delete(&format!("/v2/ml-model/manifests/{digest}")).await.expect(404);
    let trash = client.get("/api/v1/repositories/ml-model/-/trash").await;
    trash.expect(200);
    let entry = &trash.json()["manifests"][0];
    assert_eq!((&entry["digest"], &entry["tags"]), (&json!(digest.to_string()), &json!(["1.0"])));
    assert_eq!((&entry["by"], &entry["with_repository"]), (&json!("anonymous"), &json!(false)));

    let undelete = async |what: &str, asked: Value| {
        client.json(Method::POST, &format!("/api/v1/repositories/ml-model/-/{what}/undelete"), &asked).await
    };
    let restored = undelete("tags/1.0", json!({})).await;
    restored.expect(200);
    assert_eq!(restored.json(), json!({ "digest": digest.to_string(), "tags": ["1.0"] }));
    client.get("/v2/ml-model/manifests/1.0").await.expect(200);
    let in_use = undelete("tags/1.0", json!({})).await;
    in_use.expect(409);
    assert_eq!(in_use.json()["code"], "NAME_IN_USE");
    undelete("tags/1.0", json!({ "name": "x" })).await.expect(400);
    undelete("tags/none", json!({})).await.expect(404);
    client.delete(&format!("/v2/ml-model/manifests/{digest}")).await.expect(202);
    undelete(&format!("manifests/{digest}"), json!({})).await.expect(200);
    client.get("/v2/ml-model/manifests/1.0").await.expect(200);

    client.delete("/api/v1/repositories/ml-model").await.expect(204);
    client.get("/v2/ml-model/manifests/1.0").await.expect(404);
    let path = "/api/v1/repositories/ml-model/-/undelete";
    let restored = client.json(Method::POST, path, &json!({ "as": "old/ml-model" })).await;
    restored.expect(200);
    assert_eq!((&restored.json()["name"], &restored.json()["tags"]), (&json!("old/ml-model"), &json!(1)));
    client.get("/v2/old/ml-model/manifests/1.0").await.expect(200);
    client.json(Method::POST, path, &json!({})).await.expect(404);
}

#[tokio::test]
async fn a_purge_is_for_the_owner() {
    let world = with_trash().await;
    let (owner, client) = (world.operator(), world.anonymous());
    let digest = client.image("ml-model", "1.0").await;
    let asked = json!({ "repository": "ml-model", "reference": "1.0" });
    client.json(Method::POST, "/api/v1/purge", &asked).await.expect(403);
    let purged = owner.json(Method::POST, "/api/v1/purge", &asked).await;
    purged.expect(200);
    assert_eq!(purged.json()["manifests"], 1);
    assert!(purged.json()["held_until"].is_string(), "the push was a moment ago");
    client.get(&format!("/v2/ml-model/manifests/{digest}")).await.expect(404);
    let undelete = format!("/api/v1/repositories/ml-model/-/manifests/{digest}/undelete");
    client.json(Method::POST, &undelete, &json!({})).await.expect(404);
}
