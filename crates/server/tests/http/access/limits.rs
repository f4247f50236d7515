//! Limits: requests, uploads and bytes, per identity and per address (`limits.*`).

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Method, Request};
use larder_registry::{Settings, testing};
use larder_server::{Allowance, Config};
use serde_json::json;

use super::fixture::{Guarded, settings};
use crate::world::{Answer, Client, World, random, sha256};

fn requests(a_second: u64) -> Allowance {
    Allowance { requests: Some(a_second), ..Allowance::default() }
}

/// Asks until it is too much, which is soon, and answers what is said then.
async fn refused(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    for _ in 0..200 {
        let answer = client.get_with(path, headers).await;
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("{path} is answered again and again");
}

#[tokio::test]
async fn an_address_has_so_many_requests_whoever_asks() {
    let proxies = vec!["10.0.0.0/8".parse().expect("it is a range")];
    let config = Config { of_address: requests(2), proxy_trusted: proxies, ..Config::default() };
    let guarded = Guarded::open(settings(), config).await;
    guarded.user("root").await;
    let (root, stranger) = (guarded.as_user("root"), guarded.stranger());
    // Ten seconds' worth comes at once; wrong and right credentials count alike.
    for n in 0..20 {
        let client = if n % 2 == 0 { &root } else { &stranger };
        assert_ne!(client.get("/v2/").await.status, 429, "request {n}");
    }
    let answer = refused(&root, "/v2/", &[]).await;
    assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("TOOMANYREQUESTS", "1"));
    let answer = refused(&root, "/api/v1/whoami", &[]).await;
    assert_eq!((answer.json()["code"].clone(), answer.header("retry-after")), (json!("TOOMANYREQUESTS"), "1"));
    assert_eq!(refused(&root, "/token?service=larder", &[]).await.header("retry-after"), "1");
    refused(&stranger, "/login", &[]).await;
    // Probes, other addresses and whoever owns the data folder are not concerned.
    stranger.get("/readyz").await.expect(200);
    root.from("192.0.2.8").get("/v2/").await.expect(200);
    for _ in 0..50 {
        guarded.operator().get("/api/v1/users").await.expect(200);
    }
    // Behind a trusted proxy it is the client's address that counts; what others write there counts for nothing.
    let proxy = root.from("10.0.0.1");
    for n in 0..40 {
        let client = format!("203.0.113.{}", n % 3);
        proxy.get_with("/v2/", &[("x-forwarded-for", &client)]).await.expect(200);
    }
    refused(&root, "/v2/", &[("x-forwarded-for", "203.0.113.200")]).await;
}

#[tokio::test]
async fn an_identity_has_so_many_requests_wherever_it_is() {
    let guarded = Guarded::open(settings(), Config { of_identity: requests(1), ..Config::default() }).await;
    guarded.user("root").await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    let mut refused = 0;
    for n in 0..15 {
        let from = alice.from(&format!("192.0.2.{n}"));
        refused += u32::from(from.get("/v2/").await.status == 429);
    }
    // A slow machine may have let some of the seconds pass meanwhile.
    assert!((1..=5).contains(&refused), "{refused}");
    let answer = self::refused(&alice, "/token?service=larder&scope=repository:alice/a:pull", &[]).await;
    assert_eq!(answer.json()["errors"][0]["code"], "TOOMANYREQUESTS");
    root.get("/v2/").await.expect(200);
    guarded.stranger().get("/v2/").await.expect(401);
}

/// Fifty layers, as docker pushes them, with limits that are meant to be noticed by nobody.
#[tokio::test]
async fn a_push_of_fifty_layers_fits_within_a_moderate_limit() {
    let limit = Allowance { requests: Some(50), uploads: Some(10), bytes: Some(100 << 20) };
    let guarded =
        Guarded::open(settings(), Config { of_identity: limit, of_address: limit, ..Config::default() }).await;
    let root = guarded.user("root").await;
    for _ in 0..50 {
        let bytes = random(1_000);
        let digest = sha256(&bytes);
        root.head(&format!("/v2/root/a/blobs/{digest}")).await.expect(404);
        let started = root.post("/v2/root/a/blobs/uploads/", "").await;
        started.expect(202);
        let path = started.header("location").to_owned();
        root.call(Method::PATCH, &path, &[], bytes).await.expect(202);
        root.put(&format!("{path}?digest={digest}"), "").await.expect(201);
    }
}

#[tokio::test]
async fn uploads_at_a_time_are_counted_while_their_bytes_come() {
    let limit = Allowance { uploads: Some(2), ..Allowance::default() };
    let guarded = Guarded::open(settings(), Config { of_identity: limit, ..Config::default() }).await;
    let root = guarded.user("root").await;
    let bob = guarded.user("bob").await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let path = root.post("/v2/root/a/blobs/uploads/", "").await.header("location").to_owned();
        let (client, (sender, receiver)) = (root.clone(), tokio::sync::mpsc::channel::<Bytes>(1));
        let body = stream::unfold(receiver, async |mut from| Some((Ok::<_, std::io::Error>(from.recv().await?), from)));
        let request = Request::patch(path).body(Body::from_stream(body)).expect("a request");
        let sending = tokio::spawn(async move { client.send(request).await.status.as_u16() });
        sender.send(Bytes::from_static(b"first")).await.expect("it is read");
        sender.send(Bytes::from_static(b"second")).await.expect("it is read");
        open.push((sender, sending));
    }
    let path = root.post("/v2/root/a/blobs/uploads/", "").await.header("location").to_owned();
    let refused = root.call(Method::PATCH, &path, &[], "bytes").await;
    refused.expect(429);
    assert_eq!((refused.code().as_str(), refused.header("retry-after")), ("TOOMANYREQUESTS", "1"));
    root.get(&path).await.expect(204);
    bob.blob("bob/a", "somebody else's").await;
    for (sender, sending) in open {
        drop(sender);
        assert_eq!(sending.await.expect("no panic"), 202);
    }
    root.call(Method::PATCH, &path, &[], "bytes").await.expect(202);
}

#[tokio::test]
async fn bytes_come_and_go_no_faster_than_they_may() {
    let limit = Allowance { bytes: Some(200_000), ..Allowance::default() };
    let guarded = Guarded::open(settings(), Config { of_identity: limit, ..Config::default() }).await;
    let root = guarded.user("root").await;
    let began = std::time::Instant::now();
    let digest = root.blob("root/a", random(150_000)).await;
    // The second's worth that comes at once is nearly used up by now; of the next blob most is waited for.
    let pulled = root.get(&format!("/v2/root/a/blobs/{digest}")).await;
    assert_eq!(pulled.body.len(), 150_000);
    root.get(&format!("/v2/root/a/blobs/{digest}")).await.expect(200);
    assert!(began.elapsed().as_millis() > 450, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_blob_beyond_the_limit_is_refused_however_it_comes() {
    let world = World::with(Settings { upload_limit: Some(1_000), ..testing::settings() }, Config::default()).await;
    let client = world.anonymous();
    client.blob("a", random(1_000)).await;
    let large = random(1_001);
    let digest = sha256(&large);
    let refused = client.post(&format!("/v2/a/blobs/uploads/?digest={digest}"), large.clone()).await;
    refused.expect(413);
    assert_eq!(
        (refused.code().as_str(), refused.json()["errors"][0]["detail"]["limit"].clone()),
        ("SIZE_INVALID", json!(1_000))
    );
    // In pieces, and without saying how much is to come.
    let path = client.post("/v2/a/blobs/uploads/", "").await.header("location").to_owned();
    client.call(Method::PATCH, &path, &[], large[..600].to_vec()).await.expect(202);
    let rest = stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(&large[600..]))]);
    let request = Request::patch(&path).body(Body::from_stream(rest)).expect("a request");
    client.send(request).await.expect(413);
    client.get(&path).await.expect(404);
    client.head(&format!("/v2/a/blobs/{digest}")).await.expect(404);
}
