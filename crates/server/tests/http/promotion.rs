//! `/api/v1/repositories/NAME/-/stages`, `promotions`, `approvals`; `/api/v1/stages`; and what docker is told.

use http::Method;
use serde_json::{Value, json};

use crate::access::fixture::Guarded;
use crate::world::World;

const STAGES: &str = "/api/v1/repositories/ml-model/-/stages";
const PROMOTIONS: &str = "/api/v1/repositories/ml-model/-/promotions";

fn gated() -> Value {
    json!({ "stages": [
        { "name": "staging" },
        { "name": "prod", "gates": { "previous": true, "version": "release", "approvals": { "count": 1, "group": "release" } } },
    ] })
}

#[tokio::test]
async fn stages_are_set_shown_listed_and_removed() {
    let world = World::new().await;
    let client = world.anonymous();
    let digest = client.image("ml-model", "prod").await.to_string();
    let shown = client.get(STAGES).await.json();
    assert_eq!(
        (&shown["shown"], &shown["effective"], &shown["stages"][2]["name"]),
        (&json!("tag"), &Value::Null, &json!("prod"))
    );
    let standing = &shown["stages"][2]["standing"];
    assert_eq!(
        (&standing["digest"], &standing["how"], &standing["by"]),
        (&json!(digest), &json!("push"), &json!("anonymous"))
    );
    let set = client.json(Method::PUT, STAGES, &gated()).await;
    set.expect(200);
    assert_eq!(set.json()["stages"][1]["gates"]["approvals"], json!({ "count": 1, "group": "release" }));
    assert_eq!(set.json()["effective"]["pattern"], "ml-model");
    let wrong = client
        .json(Method::PUT, STAGES, &json!({ "stages": [{ "name": "dev", "gates": { "previous": true } }] }))
        .await;
    assert_eq!(
        (&wrong.expect(400).json()["code"], wrong.json()["detail"].as_str()),
        (
            &json!("STAGES_INVALID"),
            Some(
                "the stages are invalid: stage dev: it is the first: `previous` and `minimum_age` are about the stage before"
            )
        )
    );
    client.delete(STAGES).await.expect(204);
    client.delete(STAGES).await.expect(404);
}

#[tokio::test]
async fn a_promotion_is_tried_refused_approved_and_done() {
    let guarded = Guarded::new().await;
    let (alice, bob) = (guarded.user("alice").await, guarded.user("bob").await);
    let root = guarded.as_user("root");
    root.json(Method::POST, "/api/v1/groups", &json!({ "name": "release" })).await.expect(201);
    root.call(Method::PUT, "/api/v1/groups/release/members/bob", &[], "").await.expect(204);
    guarded.grant("user:alice", &["pull", "push", "admin"], "ml-model").await;
    guarded.grant("user:bob", &["pull"], "ml-model").await;
    let digest = alice.image("ml-model", "1.4.2").await.to_string();
    alice.json(Method::PUT, STAGES, &gated()).await.expect(200);
    bob.json(Method::PUT, STAGES, &gated()).await.expect(403);
    root.json(Method::PUT, "/api/v1/stages/team/**", &gated()).await.expect(204);
    alice.json(Method::PUT, "/api/v1/stages/team/**", &gated()).await.expect(403);
    assert_eq!(root.get("/api/v1/stages?limit=1").await.json()["stages"][0]["pattern"], "ml-model");
    root.delete("/api/v1/stages/team/**").await.expect(204);

    let to = |stage: &str| json!({ "reference": "1.4.2", "to": stage });
    let dry =
        alice.json(Method::POST, PROMOTIONS, &json!({ "reference": "1.4.2", "to": "prod", "dry_run": true })).await;
    let seen = dry.expect(200).json();
    assert_eq!((&seen["allowed"], &seen["moved"], &seen["to"]), (&json!(false), &json!(false), &json!(digest)));
    assert_eq!((seen["new_layers"].as_array().map(Vec::len), &seen["new_bytes"]), (Some(2), &json!(320)));
    let refused = alice.json(Method::POST, PROMOTIONS, &to("prod")).await;
    assert_eq!(refused.expect(409).json()["code"], "GATES_UNMET");
    let unmet: Vec<Value> = refused.json()["facts"]["gates"]
        .as_array()
        .expect("gates")
        .iter()
        .filter(|gate| gate["met"] == false)
        .map(|gate| gate["gate"].clone())
        .collect();
    assert_eq!(unmet, ["previous", "approvals"]);
    bob.json(Method::POST, PROMOTIONS, &to("staging")).await.expect(403);
    alice.json(Method::POST, PROMOTIONS, &to("staging")).await.expect(200);
    let approvals = "/api/v1/repositories/ml-model/-/approvals";
    alice.json(Method::POST, approvals, &to("prod")).await.expect(403);
    let made = bob.json(Method::POST, "/api/v1/tokens", &json!({ "name": "reader", "actions": ["pull"] })).await;
    let reader = guarded.stranger().bearer(made.expect(201).json()["token"].as_str().expect("a token"));
    reader.json(Method::POST, approvals, &to("prod")).await.expect(403);
    let approved =
        bob.json(Method::POST, approvals, &json!({ "reference": "1.4.2", "to": "prod", "reason": "soaked" })).await;
    assert_eq!((&approved.expect(200).json()["count"], &approved.json()["by"]), (&json!(1), &json!("user:bob")));

    let stale =
        alice.json(Method::POST, PROMOTIONS, &json!({ "reference": "1.4.2", "to": "prod", "from": digest })).await;
    assert_eq!(stale.expect(409).json()["code"], "STAGE_MOVED");
    let key = [("content-type", "application/json"), ("idempotency-key", "deploy 7")];
    let body = json!({ "reference": "1.4.2", "to": "prod", "from": "none", "reason": "release 7" }).to_string();
    let first = alice.call(Method::POST, PROMOTIONS, &key, body.clone()).await;
    assert_eq!(first.expect(200).json()["moved"], true);
    let again = alice.call(Method::POST, PROMOTIONS, &key, body).await;
    assert_eq!(again.expect(200).json(), first.json(), "the same answer, though prod is not empty any more");
    alice.call(Method::POST, PROMOTIONS, &key, to("staging").to_string()).await.expect(422);

    let history = alice.get("/api/v1/repositories/ml-model/-/tags/prod/history").await.json();
    assert_eq!(
        (history["changes"].as_array().map(Vec::len), &history["changes"][0]["how"]),
        (Some(1), &json!("promotion"))
    );
    let audit = root.get("/api/v1/audit?repository=ml-model&limit=50").await.json().to_string();
    assert!(audit.contains("release 7") && audit.contains("promotion.approved"), "{audit}");

    // docker: the words that it prints.
    let manifest = alice.get("/v2/ml-model/manifests/1.4.2").await;
    let pushed = alice
        .call(
            Method::PUT,
            "/v2/ml-model/manifests/prod",
            &[("content-type", manifest.header("content-type"))],
            manifest.body.clone(),
        )
        .await;
    assert_eq!(pushed.expect(403).code(), "DENIED");
    let said = pushed.json()["errors"][0]["message"].clone();
    assert_eq!(
        said,
        "requested access to the resource is denied: stage prod of ml-model has gates; type: larder promote ml-model:VERSION --to prod"
    );
    alice.delete(&format!("/v2/ml-model/manifests/{digest}")).await.expect(403);
}

#[tokio::test]
async fn a_stage_goes_back_and_who_pulls_it_is_told() {
    let world = World::new().await;
    let client = world.anonymous();
    let (first, second) =
        (client.image("ml-model", "1.0").await.to_string(), client.image("ml-model", "2.0").await.to_string());
    for version in ["1.0", "2.0"] {
        client.json(Method::POST, PROMOTIONS, &json!({ "reference": version, "to": "prod" })).await.expect(200);
    }
    client.get(&format!("/v2/ml-model/manifests/{second}")).await.expect(200);
    let pulls = client.get(&format!("{STAGES}/prod/pulls")).await;
    let pulls = pulls.expect(200).json();
    assert_eq!(
        (&pulls["pulls"][0]["identity"], &pulls["pulls"][0]["digest"], &pulls["pulls"][0]["tags"]),
        (&json!("anonymous"), &json!(second), &json!(["2.0"]))
    );
    let path = format!("{STAGES}/prod/rollback");
    let seen = client.json(Method::POST, &path, &json!({ "dry_run": true })).await;
    assert_eq!((&seen.expect(200).json()["from"], &seen.json()["to"]), (&json!(second), &json!(first)));
    client.json(Method::POST, &path, &json!({ "reason": "500s" })).await.expect(200);
    let standing = client.get(STAGES).await.json()["stages"][2]["standing"].clone();
    assert_eq!(
        (&standing["digest"], &standing["how"], &standing["reason"]),
        (&json!(first), &json!("rollback"), &json!("500s"))
    );
    client.json(Method::POST, &path, &json!({ "to": "soon" })).await.expect(400);
    client.json(Method::POST, &format!("{STAGES}/canary/rollback"), &json!({})).await.expect(404);
    client.get(&path).await.expect(405);
}
