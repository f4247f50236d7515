//! `/api/v1/webhooks`: whose they are, and what is shown of them.

use http::Method;
use larder_server::Config;
use serde_json::{Value, json};

use super::fixture::{Guarded, settings};
use crate::world::Client;

const PATH: &str = "/api/v1/webhooks";

fn hook() -> Value {
    json!({ "name": "ci", "url": "https://listener.example/hook", "events": ["push", "tag"], "repositories": ["team/**"] })
}

#[tokio::test]
async fn they_are_an_administrators() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    root.json(Method::POST, PATH, &hook()).await.expect(201);
    alice.json(Method::POST, PATH, &hook()).await.expect(403);
    for path in [PATH, "/api/v1/webhooks/ci", "/api/v1/webhooks/none", "/api/v1/webhooks/ci/deliveries"] {
        alice.get(path).await.expect(403);
        guarded.stranger().get(path).await.expect(401);
    }
    alice.delete("/api/v1/webhooks/ci").await.expect(403);
    alice.json(Method::POST, "/api/v1/webhooks/ci/test", &json!({})).await.expect(403);

    let open = Guarded::open(settings(), Config::default()).await;
    let here = larder_server::Peer::tcp("127.0.0.1:40000".parse().expect("it is an address"), 1);
    let anonymous = Client::of(&open.service, here);
    anonymous.json(Method::POST, PATH, &hook()).await.expect(403);
    anonymous.get(PATH).await.expect(403);
    open.operator().json(Method::POST, PATH, &hook()).await.expect(201);
}

#[tokio::test]
async fn a_secret_is_shown_once_and_the_rest_can_be_changed() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    let made = root.json(Method::POST, PATH, &hook()).await;
    made.expect(201);
    assert_eq!(made.header("location"), "/api/v1/webhooks/ci");
    assert!(made.json()["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{}", made.json());
    let again = root.json(Method::POST, PATH, &hook()).await;
    again.expect(409);
    assert_eq!(again.json()["code"], "NAME_IN_USE");
    let shown = root.get("/api/v1/webhooks/ci").await.json();
    assert!(shown.get("secret").is_none(), "{shown}");
    assert_eq!((&shown["format"], &shown["tags"], &shown["waiting"]), (&json!("cloudevents"), &Value::Null, &json!(0)));
    let audit = root.get("/api/v1/audit?action=webhook").await.json().to_string();
    assert!(audit.contains("webhook.created") && !audit.contains("listener.example"), "{audit}");

    let path = "/api/v1/webhooks/ci";
    let tags = root.json(Method::PATCH, path, &json!({ "tags": "v*" })).await;
    assert_eq!((&tags.json()["tags"], &tags.json()["events"]), (&json!("v*"), &json!(["push", "tag"])));
    let none = root.json(Method::PATCH, path, &json!({ "tags": null, "format": "slack" })).await;
    assert_eq!((&none.json()["tags"], &none.json()["format"]), (&Value::Null, &json!("slack")));
    let own = format!("whsec_{}", "QUJD".repeat(10));
    let given = root.json(Method::PATCH, path, &json!({ "secret": own })).await;
    given.expect(200);
    assert!(given.json().get("secret").is_none(), "the listener has it");
    root.json(Method::PATCH, path, &json!({ "new_secret": true })).await.expect(200);
    for wrong in [
        json!({ "secret": "whsec_c2hvcnQ=" }),
        json!({ "secret": own, "new_secret": true }),
        json!({ "url": "http://10.0.0.1/" }),
        json!({ "events": ["nonsense"] }),
        json!({ "events": [] }),
        json!({ "tags": "a b" }),
        json!({ "name": "other" }),
    ] {
        root.json(Method::PATCH, path, &wrong).await.expect(400);
    }
    let first = root.get("/api/v1/webhooks?limit=1").await;
    assert_eq!((first.json()["webhooks"][0]["name"].clone(), first.next()), (json!("ci"), None));
    root.delete(path).await.expect(204);
    let gone = root.get(path).await;
    gone.expect(404);
    assert_eq!(gone.json()["code"], "WEBHOOK_UNKNOWN");
}

#[tokio::test]
async fn deliveries_are_listed_shown_and_made_again() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    root.json(Method::POST, PATH, &hook()).await.expect(201);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let test = root.json(Method::POST, "/api/v1/webhooks/ci/test", &json!({})).await;
        test.expect(201);
        ids.push(test.json()["id"].clone());
    }
    let list = root.get("/api/v1/webhooks/ci/deliveries?state=waiting&limit=2").await;
    assert_eq!((&list.json()["deliveries"][0]["id"], &list.json()["deliveries"][1]["id"]), (&ids[2], &ids[1]));
    let rest = root.get(&list.next().expect("there is more")).await;
    assert_eq!((&rest.json()["deliveries"][0]["id"], rest.next()), (&ids[0], None));
    let one = root.get(&format!("/api/v1/webhooks/ci/deliveries/{}", ids[0])).await.json();
    assert_eq!(
        (&one["event"]["kind"], &one["state"], &one["attempts"]),
        (&json!("test"), &json!("waiting"), &json!(0))
    );
    assert!(one["next_attempt"].is_string() && one["repository"].is_null(), "{one}");
    let again =
        root.json(Method::POST, &format!("/api/v1/webhooks/ci/deliveries/{}/redelivery", ids[0]), &json!({})).await;
    again.expect(201);
    assert_eq!(again.json()["id"], ids[0], "it waits already");
    for (method, path, status) in [
        (Method::GET, "/api/v1/webhooks/ci/deliveries/99999", 404),
        (Method::GET, "/api/v1/webhooks/ci/deliveries/x", 404),
        (Method::POST, "/api/v1/webhooks/ci/deliveries/99999/redelivery", 404),
        (Method::GET, "/api/v1/webhooks/ci/deliveries?state=nonsense", 400),
        (Method::GET, "/api/v1/webhooks/ci/deliveries?after=x", 400),
        (Method::GET, "/api/v1/webhooks/none/deliveries", 404),
        (Method::DELETE, "/api/v1/webhooks/ci/deliveries", 405),
    ] {
        root.json(method, path, &json!({})).await.expect(status);
    }
}
