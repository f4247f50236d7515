//! `/api/v1/repositories/NAME/-/rules` and `/api/v1/rules`; what the protocol says when rules speak.

use http::Method;
use serde_json::{Value, json};

use crate::world::{Client, World};

const RULES: &str = "/api/v1/repositories/team/ml-model/-/rules";
const TAGS: &str = "/api/v1/repositories/team/ml-model/-/tags";

async fn set(client: &Client, rules: Value) {
    client.json(Method::PUT, RULES, &rules).await.expect(200);
}

async fn push(client: &Client, tag: &str, number: u64) -> crate::world::Answer {
    let config = client.blob("team/ml-model", json!({ "number": number }).to_string()).await;
    let size = json!({ "number": number }).to_string().len();
    let config =
        json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": size });
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [] });
    client.manifest("team/ml-model", tag, &manifest).await
}

#[tokio::test]
async fn rules_are_set_shown_tried_and_removed() {
    let world = World::new().await;
    let (client, operator) = (world.anonymous(), world.operator());
    assert_eq!(client.get(RULES).await.expect(200).json()["rules"], json!([]));
    operator.json(Method::PUT, "/api/v1/rules/team/**", &json!({ "shape": "version" })).await.expect(204);
    set(&client, json!({ "immutable": "enforce", "aliases": "warn" })).await;
    push(&client, "1.0.0", 1).await.expect(201);
    let shown = client.get(RULES).await.json();
    assert_eq!(shown["rules"][2], json!({ "rule": "shape", "value": "version", "pattern": "team/**" }));
    assert_eq!(shown["texts"][0]["pattern"], "team/ml-model");
    let tried = client.json(Method::POST, &format!("{RULES}/test"), &json!({ "tag": "main" })).await;
    tried.expect(200);
    let tried = tried.json();
    assert_eq!(
        (&tried["passes"], &tried["digest"], &tried["refused"][0]["rule"]),
        (&json!(false), &Value::Null, &json!("shape"))
    );
    let trial = json!({ "tag": "1.0.1", "rules": { "aliases": "warn" } });
    let tried = client.json(Method::POST, &format!("{RULES}/test"), &trial).await.json();
    assert_eq!((&tried["passes"], &tried["aliases"]), (&json!(true), &json!(["1", "1.0"])));
    let wrong = client.json(Method::PUT, RULES, &json!({ "imutable": "enforce" })).await;
    let told = wrong.expect(400).json();
    assert_eq!((&told["code"], &told["facts"][0]["field"]), (&json!("RULES_INVALID"), &json!("imutable")));
    client.json(Method::PUT, "/api/v1/rules/team/**", &json!({})).await.expect(403);
    client.get("/api/v1/rules").await.expect(403);
    let listed = operator.get("/api/v1/rules").await.json();
    assert_eq!(listed["rules"][0]["pattern"], "team/**");
    client.delete(RULES).await.expect(204);
    client.delete(RULES).await.expect(404);
    operator.delete("/api/v1/rules/team/**").await.expect(204);
    operator.delete("/api/v1/rules/team/**").await.expect(404);
}

#[tokio::test]
async fn a_refused_push_says_which_rule_why_and_what_would_pass() {
    let world = World::new().await;
    let client = world.anonymous();
    set(&client, json!({ "immutable": "enforce" })).await;
    push(&client, "1.0.0", 1).await.expect(201);
    push(&client, "1.0.0", 1).await.expect(201);
    let refused = push(&client, "1.0.0", 2).await;
    refused.expect(403);
    let error = &refused.json()["errors"][0];
    assert_eq!(error["code"], "DENIED");
    let said = error["message"].as_str().expect("words");
    assert!(said.starts_with("1.0.0 is sha256:") && said.contains("use another tag (rule immutable of"), "{said}");
    assert_eq!(error["detail"]["rules"][0]["rule"], "immutable", "docker wants a detail, or it tries again");
    client.delete("/v2/team/ml-model/manifests/1.0.0").await.expect(403);
    let moved = client.json(Method::PUT, &format!("{TAGS}/1.0.0"), &json!({ "reference": "1.0.0" })).await;
    moved.expect(200);
    let other = push(&client, "1.0.1", 2).await;
    other.expect(201);
    let moved = client.json(Method::PUT, &format!("{TAGS}/1.0.0"), &json!({ "reference": "1.0.1" })).await;
    assert_eq!(moved.expect(403).json()["code"], "REFUSED_BY_POLICY");
    set(&client, json!({ "immutable": "warn" })).await;
    let warned = push(&client, "1.0.0", 2).await;
    warned.expect(201);
    assert!(warned.header("warning").starts_with("299 - \"1.0.0 is sha256:"), "{}", warned.header("warning"));
}

/// Case 15.
#[tokio::test]
async fn latest_says_what_it_is_and_where_to_pull_that() {
    let world = World::new().await;
    let client = world.anonymous();
    for tag in ["1.2.3", "1.2.3-abc123f", "prod", "latest"] {
        push(&client, tag, 1).await.expect(201);
    }
    let latest = "/v2/team/ml-model/manifests/latest";
    assert!(client.get(latest).await.expect(200).all("warning").is_empty(), "an experiment");
    set(&client, json!({ "production": true })).await;
    let (got, head) = (client.get(latest).await, client.head(latest).await);
    for answer in [&got, &head] {
        let warning = answer.expect(200).header("warning");
        assert!(
            warning.starts_with("299 - \"latest is 1.2.3 now: docker pull localhost:5000/team/ml-model:1.2.3 "),
            "{warning}"
        );
    }
    assert!(client.get("/v2/team/ml-model/manifests/prod").await.expect(200).all("warning").is_empty());
    set(&client, json!({ "latest": "enforce" })).await;
    let refused = client.get(latest).await;
    let error = &refused.expect(403).json()["errors"][0];
    let said = error["message"].as_str().expect("words");
    assert!(said.starts_with("latest is 1.2.3 now: docker pull localhost:5000/team/ml-model:1.2.3 "), "{said}");
    client.head(latest).await.expect(403);
    client.get("/v2/team/ml-model/manifests/1.2.3").await.expect(200);
    let now = client.get(&format!("{TAGS}/latest")).await;
    assert_eq!(now.expect(200).json()["version"], "1.2.3");
    assert!(
        now.json()["warnings"][0].as_str().is_some_and(|said| said.contains("localhost:5000/team")),
        "{}",
        now.json()
    );
    let listed = client.get(TAGS).await.json();
    let of = |name: &str| {
        let tags = listed["tags"].as_array().expect("tags");
        tags.iter().find(|tag| tag["name"] == name).map(|tag| tag["current_version"].clone())
    };
    assert_eq!(
        (of("latest"), of("prod"), of("1.2.3")),
        (Some(json!("1.2.3")), Some(json!("1.2.3")), Some(Value::Null))
    );
    let metrics = client.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.expect(200).body).into_owned();
    for line in ["larder_rules_refused_total 2", "larder_rules_warned_total 1"] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
