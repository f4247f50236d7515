//! `/api/v1`

use http::Method;
use serde_json::{Value, json};

use crate::world::{Answer, World};

/// The problem document of an answer.
#[track_caller]
fn problem(answer: &Answer, status: u16, code: &str) -> Value {
    answer.expect(status);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)));
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
    problem
}

#[tokio::test]
async fn repositories_are_made_shown_listed_and_removed() {
    let world = World::new().await;
    let client = world.anonymous();
    let made = client.json(Method::POST, "/api/v1/repositories", &json!({ "name": "team/model" })).await;
    made.expect(201);
    assert_eq!(made.header("location"), "/api/v1/repositories/team/model");
    let again = client.json(Method::POST, "/api/v1/repositories", &json!({ "name": "team/model" })).await;
    problem(&again, 409, "NAME_IN_USE");

    client.image("team/model", "1").await;
    let shown = client.get("/api/v1/repositories/team/model").await;
    shown.expect(200);
    let shown = shown.json();
    assert_eq!((&shown["name"], &shown["tags"], &shown["manifests"]), (&json!("team/model"), &json!(1), &json!(1)));
    assert!(shown["size"].as_u64() > Some(320), "{shown}");
    assert!(shown["created"].as_str().is_some_and(|time| time.ends_with('Z')), "{shown}");

    client.image("b", "1").await;
    let first = client.get("/api/v1/repositories?limit=1").await;
    assert_eq!(first.json()["repositories"][0]["name"], "b");
    let second = client.get(&first.next().expect("there is more")).await;
    assert_eq!(second.json()["repositories"][0]["name"], "team/model");
    assert_eq!(second.next(), None);

    client.delete("/api/v1/repositories/team/model").await.expect(204);
    problem(&client.get("/api/v1/repositories/team/model").await, 404, "NAME_UNKNOWN");
    client.get("/v2/team/model/manifests/1").await.expect(404);
}

#[tokio::test]
async fn tags_are_listed_moved_removed_and_remembered() {
    let world = World::new().await;
    let client = world.anonymous();
    let (first, second) = (client.image("a/b", "1").await, client.image("a/b", "2").await);
    let list = client.get("/api/v1/repositories/a/b/-/tags?limit=1").await;
    let tag = &list.json()["tags"][0];
    assert_eq!((&tag["name"], &tag["digest"]), (&json!("1"), &json!(first.to_string())));
    assert!(tag["size"].as_u64() > Some(320) && tag["updated"].is_string(), "{tag}");
    assert_eq!(client.get(&list.next().expect("there is more")).await.json()["tags"][0]["name"], "2");

    let path = "/api/v1/repositories/a/b/-/tags/stable";
    for (reference, digest) in [("1", &first), (&*second.to_string(), &second)] {
        let moved = client.json(Method::PUT, path, &json!({ "reference": reference })).await;
        moved.expect(200);
        assert_eq!((&moved.json()["name"], &moved.json()["digest"]), (&json!("stable"), &json!(digest.to_string())));
        assert_eq!(client.get(path).await.json()["digest"], digest.to_string());
    }
    client.delete(path).await.expect(204);
    problem(&client.get(path).await, 404, "MANIFEST_UNKNOWN");

    let history = client.get(&format!("{path}/history?limit=2")).await;
    history.expect(200);
    let changes = history.json()["changes"].clone();
    assert_eq!((&changes[0]["from"], &changes[0]["to"]), (&json!(second.to_string()), &Value::Null));
    assert_eq!((&changes[1]["from"], &changes[1]["to"]), (&json!(first.to_string()), &json!(second.to_string())));
    assert!(changes[0]["request_id"].is_string() && changes[0]["by"] == "anonymous", "{changes}");
    let rest = client.get(&history.next().expect("there is more")).await.json();
    assert_eq!((&rest["changes"][0]["from"], &rest["changes"][0]["to"]), (&Value::Null, &json!(first.to_string())));
    let missing = client.json(Method::PUT, path, &json!({ "reference": "absent" })).await;
    problem(&missing, 404, "MANIFEST_UNKNOWN");
}

/// CVE-2019-16097: a field too many in a body made an administrator.
#[tokio::test]
async fn unknown_fields_other_types_and_long_bodies_are_refused() {
    let world = World::new().await;
    let client = world.operator();
    client.image("a", "1").await;
    for (method, path, body) in [
        (Method::POST, "/api/v1/repositories", json!({ "name": "x", "is_admin": true })),
        (Method::PUT, "/api/v1/repositories/a/-/tags/x", json!({ "reference": "1", "role": "owner" })),
        (Method::POST, "/api/v1/verify", json!({ "repair": false, "has_admin_role": true })),
        (Method::POST, "/api/v1/repositories", json!({ "name": "../x" })),
        (Method::POST, "/api/v1/repositories", json!(["x"])),
    ] {
        problem(&client.json(method.clone(), path, &body).await, 400, "BAD_REQUEST");
        let form = client.call(method, path, &[("content-type", "text/plain")], body.to_string()).await;
        problem(&form, 415, "UNSUPPORTED");
    }
    let long = json!({ "name": "x".repeat(100_000) });
    client.json(Method::POST, "/api/v1/repositories", &long).await.expect(413);
    problem(&client.get("/api/v1/repositories?limit=-1").await, 400, "BAD_REQUEST");
    problem(&client.get("/api/v1/nothing").await, 404, "NOT_FOUND");
    let wrong = client.delete("/api/v1/version").await;
    problem(&wrong, 405, "UNSUPPORTED");
    assert_eq!(wrong.header("allow"), "GET, HEAD");
}

#[tokio::test]
async fn upkeep_answers_in_lines_and_only_to_the_owner() {
    let world = World::new().await;
    let (owner, anonymous) = (world.operator(), world.anonymous());
    anonymous.image("a", "1").await;
    for path in ["/api/v1/sweep", "/api/v1/verify"] {
        problem(&anonymous.json(Method::POST, path, &json!({})).await, 403, "DENIED");
        let answer = owner.json(Method::POST, path, &json!({})).await;
        answer.expect(200);
        assert_eq!(answer.header("content-type"), "application/jsonl");
        let lines: Vec<Value> = std::str::from_utf8(&answer.body)
            .expect("lines are text")
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line is JSON"))
            .collect();
        let (last, before) = lines.split_last().expect("there is a line");
        assert!(last["report"].is_object(), "{last}");
        assert!(before.iter().all(|line| line["progress"].is_object()));
        if path.ends_with("verify") {
            assert_eq!((&last["report"]["sound"], &last["report"]["blobs"]), (&json!(true), &json!(2)));
        }
    }
    let usage = owner.get("/api/v1/usage").await.json();
    assert_eq!(usage["live"]["count"], 2);
    assert_eq!(anonymous.get("/api/v1/version").await.json()["api"], json!(["v1"]));
}

/// Run with `LARDER_UPDATE=1` to write the file anew.
#[test]
fn the_committed_description_is_the_servers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    let told = larder_server::openapi_document();
    if std::env::var_os("LARDER_UPDATE").is_some() {
        std::fs::write(path, &told).expect("the file can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == told, "docs/reference/openapi.json is behind the code: run this test with LARDER_UPDATE=1");
}

#[tokio::test]
async fn every_described_operation_is_served_and_the_description_is_served_too() {
    let guarded = crate::access::fixture::Guarded::new().await;
    let client = guarded.operator();
    let description = client.get("/api/openapi.json").await;
    description.expect(200);
    let description = description.json();
    assert!(description["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut operations = 0;
    for (path, methods) in description["paths"].as_object().expect("there are paths") {
        let digest = format!("sha256:{}", "0".repeat(64));
        let path = path.replace("{name}", "no/such").replace("{id}", "7").replace("{digest}", &digest);
        let path = ["{tag}", "{user}", "{group}", "{robot}", "{trust}", "{webhook}", "{pattern}"]
            .iter()
            .fold(path, |path, name| path.replace(name, "x"));
        for method in methods.as_object().expect("there are methods").keys() {
            let method: Method = method.to_uppercase().parse().expect("it is a method");
            let answer = client.json(method.clone(), &path, &json!({})).await;
            assert_ne!(answer.status, 405, "{method} {path}");
            assert!(answer.status != 404 || answer.json()["code"] != "NOT_FOUND", "{method} {path}");
            operations += 1;
        }
    }
    assert_eq!(operations, 113);
    let page = client.get("/api").await;
    page.expect(200);
    assert!(String::from_utf8_lossy(&page.body).contains("/api/v1/repositories/{name}/-/tags"));
}
