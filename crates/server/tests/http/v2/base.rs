//! `/v2/` and discovery.

use http::Method;

use crate::world::World;

#[tokio::test]
async fn the_ping_carries_the_marker_that_old_clients_look_for() {
    let world = World::new().await;
    let client = world.anonymous();
    for path in ["/v2/", "/v2"] {
        let answer = client.get(path).await;
        answer.expect(200);
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(!answer.header("x-request-id").is_empty());
        assert_eq!(&answer.body[..], b"{}");
    }
    let head = client.head("/v2/").await;
    head.expect(200);
    assert_eq!((head.header("content-length"), head.body.len()), ("2", 0));
}

#[tokio::test]
async fn extensions_are_told_truthfully() {
    let world = World::new().await;
    let client = world.anonymous();
    let told = client.get("/v2/_oci/ext/discover").await;
    told.expect(200);
    for extension in told.json()["extensions"].as_array().expect("a list") {
        for endpoint in extension["endpoints"].as_array().expect("a list") {
            client.get(&format!("/v2/{}", endpoint.as_str().expect("text"))).await.expect(200);
        }
    }
    let told = client.get("/v2/team/model/_oci/ext/discover").await;
    told.expect(200);
    assert_eq!(told.json()["extensions"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let world = World::new().await;
    let client = world.anonymous();
    for (method, path, allowed) in [
        (Method::POST, "/v2/", "GET, HEAD"),
        (Method::DELETE, "/v2/a/tags/list", "GET, HEAD"),
        (Method::PATCH, "/v2/a/manifests/latest", "GET, HEAD, PUT, DELETE"),
        (Method::GET, "/v2/a/blobs/uploads/", "POST"),
        (Method::OPTIONS, "/v2/_catalog", "GET, HEAD"),
    ] {
        let answer = client.call(method, path, &[], "").await;
        answer.expect(405);
        assert_eq!(answer.header("allow"), allowed, "{path}");
        assert_eq!(answer.code(), "UNSUPPORTED");
    }
}
