//! Without an account: this machine's own clients are let in, and nobody who only seems to be one (behaviour §4).

use http::Method;
use larder_registry::testing;
use larder_server::{Admission, Config};

use crate::world::{World, sha256};

/// A name of another site that resolves to 127.0.0.1 carries that name in `Host`.
#[tokio::test]
async fn a_rebound_name_is_refused_on_every_route() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("a", "1").await;
    for (method, path) in [
        (Method::GET, "/v2/".to_owned()),
        (Method::GET, "/v2/a/manifests/1".to_owned()),
        (Method::POST, "/v2/a/blobs/uploads/".to_owned()),
        (Method::DELETE, "/v2/a/manifests/1".to_owned()),
        (Method::POST, format!("/v2/a/blobs/uploads/?mount={}&from=a", sha256(b""))),
        (Method::GET, "/api/v1/repositories".to_owned()),
        (Method::DELETE, "/api/v1/repositories/a".to_owned()),
    ] {
        for header in [
            ("host", "rebound.attacker.test:5000"),
            ("x-forwarded-for", "203.0.113.9"),
            ("forwarded", "for=203.0.113.9"),
            ("origin", "https://attacker.test"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
        ] {
            let answer = client.call(method.clone(), &path, &[header], "").await;
            answer.expect(403);
            let told = String::from_utf8_lossy(&answer.body).into_owned();
            assert!(told.contains("DENIED"), "{told}");
        }
    }
    client.get("/v2/a/manifests/1").await.expect(200);
}

#[tokio::test]
async fn a_page_of_our_own_may_ask() {
    let world = World::new().await;
    let client = world.anonymous();
    let own = [("host", "localhost:5000"), ("origin", "http://localhost:5000"), ("sec-fetch-site", "same-origin")];
    client.get_with("/api/v1/repositories", &own).await.expect(200);
    client.get_with("/v2/", &[("host", "[::1]:5000")]).await.expect(200);
}

#[tokio::test]
async fn open_for_reading_means_reading() {
    let config = Config { admission: Admission::OpenRead, ..Config::default() };
    let world = World::with(testing::settings(), config).await;
    let (reader, owner) = (world.anonymous(), world.operator());
    owner.image("a", "1").await;
    let lan = [("host", "kind-registry:5000")];
    reader.get_with("/v2/a/manifests/1", &lan).await.expect(200);
    reader.get_with("/v2/_catalog", &lan).await.expect(200);
    for (method, path) in [
        (Method::POST, "/v2/a/blobs/uploads/"),
        (Method::PUT, "/v2/a/manifests/2"),
        (Method::DELETE, "/v2/a/manifests/1"),
        (Method::DELETE, "/api/v1/repositories/a"),
    ] {
        reader.call(method, path, &[lan[0], ("content-type", "application/json")], "{}").await.expect(403);
    }
    assert_eq!(reader.call(Method::POST, "/v2/a/blobs/uploads/", &lan, "").await.code(), "DENIED");
    // It decides for other addresses only: whoever is on loopback may push as without it.
    reader.post("/v2/a/blobs/uploads/", "").await.expect(202);
    let forwarded = [("host", "localhost:5000"), ("x-forwarded-for", "10.0.0.9")];
    reader.call(Method::POST, "/v2/a/blobs/uploads/", &forwarded, "").await.expect(403);
    reader.get_with("/v2/", &[("host", "kind-registry:5000"), ("origin", "https://attacker.test")]).await.expect(403);
}

#[tokio::test]
async fn open_for_writing_takes_any_name_and_still_no_other_sites_page() {
    let config = Config { admission: Admission::OpenWrite, ..Config::default() };
    let world = World::with(testing::settings(), config).await;
    let client = world.anonymous();
    let lan = ("host", "kind-registry:5000");
    client.call(Method::POST, "/v2/a/blobs/uploads/", &[lan], "").await.expect(202);
    client.call(Method::POST, "/v2/a/blobs/uploads/", &[lan, ("x-forwarded-for", "10.0.0.9")], "").await.expect(202);
    client.call(Method::POST, "/v2/a/blobs/uploads/", &[lan, ("sec-fetch-site", "cross-site")], "").await.expect(403);
}

#[tokio::test]
async fn the_owner_of_the_data_folder_may_everything() {
    let world = World::new().await;
    world.operator().get("/api/v1/usage").await.expect(200);
    let answer = world.anonymous().get("/api/v1/usage").await;
    answer.expect(403);
    assert_eq!(answer.json()["code"], "DENIED");
}
