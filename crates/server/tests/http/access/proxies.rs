//! Behind a reverse proxy: whose words count about scheme, host and address (behaviour §4).

use larder_server::Config;
use serde_json::json;

use super::fixture::{Guarded, settings};

fn behind_a_proxy() -> Config {
    Config { proxy_trusted: vec!["10.0.0.0/8".parse().expect("it is a range")], ..Config::default() }
}

const SAID: [(&str, &str); 4] = [
    ("host", "10.0.0.3:5000"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "registry.example"),
    ("x-forwarded-for", "203.0.113.9"),
];

#[tokio::test]
async fn the_realm_is_where_the_client_is() {
    let guarded = Guarded::open(settings(), behind_a_proxy()).await;
    guarded.user("root").await;
    let proxy = guarded.stranger().from("10.0.0.1");
    let answer = proxy.get_with("/v2/", &SAID).await;
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"https://registry.example/token\",service=\"larder\"");
    // Reliability S6: whoever is no proxy cannot send clients elsewhere with their passwords.
    let liar = guarded.stranger().get_with("/v2/", &SAID).await;
    assert_eq!(liar.header("www-authenticate"), "Bearer realm=\"http://10.0.0.3:5000/token\",service=\"larder\"");
    for host in ["a b", "registry.example\\", "user@registry.example", "/etc"] {
        let answer = proxy.get_with("/v2/", &[("host", "x"), ("x-forwarded-host", host)]).await;
        answer.expect(400);
    }
}

#[tokio::test]
async fn the_public_address_is_the_realm() {
    let config = Config { public_url: Some("https://registry.example".to_owned()), ..Config::default() };
    let guarded = Guarded::open(settings(), config).await;
    guarded.user("root").await;
    let answer = guarded.stranger().get_with("/v2/root/a/tags/list", &[("host", "inner:5000")]).await;
    assert!(answer.header("www-authenticate").starts_with("Bearer realm=\"https://registry.example/token\""));
}

/// Wrong passwords count for the client that sent them and not for the proxy that all of them come through; the audit names the client too.
#[tokio::test]
async fn the_address_is_the_clients() {
    let guarded = Guarded::open(settings(), behind_a_proxy()).await;
    guarded.user("root").await;
    let alice = guarded.user("alice").await;
    let proxy = guarded.stranger().from("10.0.0.1");
    let guesser = proxy.basic("alice", "wrong");
    let mut last = 0;
    for _ in 0..30 {
        last = guesser.get_with("/token", &[("x-forwarded-for", "203.0.113.9")]).await.status.as_u16();
    }
    assert_eq!(last, 429);
    let elsewhere = guesser.get_with("/token", &[("x-forwarded-for", "203.0.113.10")]).await;
    elsewhere.expect(401);
    alice.from("10.0.0.1").get_with("/v2/x/tags/list", &[("x-forwarded-for", "203.0.113.77")]).await.expect(403);
    guarded.access.tick().await;
    let audit = guarded.operator().get("/api/v1/audit?identity=user:alice&outcome=denied").await.json();
    assert_eq!(audit["entries"][0]["address"], json!("203.0.113.77"), "{audit}");
}
