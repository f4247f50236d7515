//! `/api/v1/repositories/NAME/-/policy`, its preview and its runs; `/api/v1/policies`.

use http::Method;
use serde_json::{Value, json};

use crate::world::World;

const POLICY: &str = "/api/v1/repositories/team/ml-model/-/policy";

fn keep(count: u64) -> Value {
    json!({ "rules": [{
        "rulePriority": 1,
        "description": "Keep the newest",
        "selection": { "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": count },
        "action": { "type": "expire" },
    }] })
}

#[tokio::test]
async fn a_policy_is_set_previewed_applied_and_removed() {
    let world = World::new().await;
    let client = world.anonymous();
    let mut digests = Vec::new();
    for tag in ["1", "2", "3"] {
        digests.push(client.image("team/ml-model", tag).await.to_string());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    client.get(POLICY).await.expect(200);
    assert_eq!(client.get(POLICY).await.json()["effective"], Value::Null);
    client.get(&format!("{POLICY}/preview")).await.expect(404);

    let text = format!(" {} ", keep(2));
    let set = client.call(Method::PUT, POLICY, &[("content-type", "application/json")], text.clone()).await;
    set.expect(200);
    let effective = &set.json()["effective"];
    assert_eq!((&effective["text"], &effective["pattern"]), (&json!(text), &json!("team/ml-model")), "byte for byte");
    assert_eq!((&effective["own_keys"], &effective["set_by"]), (&json!([]), &json!("anonymous")));

    let preview = client.get(&format!("{POLICY}/preview")).await;
    preview.expect(200);
    let preview = preview.json();
    assert_eq!(
        (&preview["images"], &preview["expiring"], &preview["over_half"]),
        (&json!(3), &json!(1), &json!(false))
    );
    let going = &preview["going"][0];
    assert_eq!((&going["digest"], &going["tags"]), (&json!(digests[0]), &json!(["1"])));
    assert_eq!(going["rule"], json!({ "priority": 1, "description": "Keep the newest" }));
    assert_eq!(preview["near"][0]["because"], "it goes after one more push");

    // Another policy is tried without being set, page by page.
    let tried = client.json(Method::POST, &format!("{POLICY}/preview?limit=1"), &keep(1)).await;
    tried.expect(200);
    assert_eq!((&tried.json()["expiring"], &tried.json()["going"][0]["tags"]), (&json!(2), &json!(["1"])));
    let second = client.json(Method::POST, &tried.next().expect("there is more"), &keep(1)).await;
    assert_eq!((&second.json()["going"][0]["tags"], second.next()), (&json!(["2"]), None));

    let applied = client.json(Method::POST, &format!("{POLICY}/apply"), &json!({})).await;
    applied.expect(200);
    let report = applied.json();
    assert_eq!((&report["expired"], &report["by_rule"]), (&json!(1), &json!({ "1": 1 })));
    client.get("/v2/team/ml-model/manifests/1").await.expect(404);
    client.get("/v2/team/ml-model/manifests/2").await.expect(200);
    let runs = client.get(&format!("{POLICY}/runs")).await.json();
    assert_eq!((&runs["runs"][0]["report"], &runs["runs"][0]["by"]), (&report, &json!("anonymous")));
    let history = client.get("/api/v1/repositories/team/ml-model/-/tags/1/history").await.json();
    assert_eq!(history["changes"][0]["how"], "policy");

    client.delete(POLICY).await.expect(204);
    client.delete(POLICY).await.expect(404);
}

#[tokio::test]
async fn what_is_wrong_is_told_and_a_pause_is_a_refusal() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("team/ml-model", "1").await;
    client.image("team/ml-model", "2").await;
    client.image("team/ml-model", "3").await;
    let wrong = json!({ "rules": [{ "rulePriority": 1, "selection": { "tagStatus": "any", "countType": "imageCountMoreThan" },
                        "action": { "type": "expire" } }] });
    let refused = client.json(Method::PUT, POLICY, &wrong).await;
    refused.expect(400);
    let told = refused.json();
    assert_eq!(told["code"], "POLICY_INVALID");
    assert_eq!(told["facts"][0]["field"], "selection.countNumber");
    assert_eq!((&told["facts"][0]["rule"], &told["facts"][0]["line"]), (&json!(1), &Value::Null));
    let broken = client.call(Method::PUT, POLICY, &[("content-type", "application/json")], "{\n]").await;
    assert_eq!(
        (&broken.expect(400).json()["facts"][0]["line"], &broken.json()["code"]),
        (&json!(2), &json!("POLICY_INVALID"))
    );
    client.call(Method::PUT, POLICY, &[("content-type", "text/plain")], keep(1).to_string()).await.expect(415);

    client.json(Method::PUT, POLICY, &keep(1)).await.expect(200);
    let paused = client.json(Method::POST, &format!("{POLICY}/apply"), &json!({})).await;
    paused.expect(409);
    assert_eq!(paused.json()["code"], "REFUSED_BY_POLICY");
    assert!(client.get(POLICY).await.json()["paused"].is_string());
    client.get(&format!("{POLICY}/preview")).await.expect(200);
    client.json(Method::POST, &format!("{POLICY}/apply"), &json!({})).await.expect(200);
    assert_eq!(client.get(POLICY).await.json()["paused"], Value::Null);
}

#[tokio::test]
async fn policies_of_patterns_are_the_operators() {
    let world = World::new().await;
    let (client, operator) = (world.anonymous(), world.operator());
    client.image("team/ml-model", "1").await;
    client.json(Method::PUT, "/api/v1/policies/team/**", &keep(5)).await.expect(403);
    client.get("/api/v1/policies").await.expect(403);
    operator.json(Method::PUT, "/api/v1/policies/team/**", &keep(5)).await.expect(204);
    operator.json(Method::PUT, "/api/v1/policies/Team", &keep(5)).await.expect(400);
    let listed = operator.get("/api/v1/policies").await.json();
    assert_eq!(listed["policies"][0]["pattern"], "team/**");
    assert_eq!(client.get(POLICY).await.json()["effective"]["pattern"], "team/**");
    operator.json(Method::POST, "/api/v1/policies/-/resume", &json!({})).await.expect(204);
    operator.delete("/api/v1/policies/team/**").await.expect(204);
    operator.delete("/api/v1/policies/team/**").await.expect(404);
}
