//! One path, one meaning (reliability A9; CVE-2020-29662: a list that an alias of its path gave to everyone).

use http::{Method, Request};
use larder_server::{Admission, Config};

use crate::world::World;

#[tokio::test]
async fn aliases_of_a_path_are_no_paths() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("team/model", "1").await;
    client.get("/v2/team/model/tags/list").await.expect(200);
    for path in [
        "//v2/team/model/tags/list",
        "/v2//team/model/tags/list",
        "/v2/team//model/tags/list",
        "/v2/team/./model/tags/list",
        "/v2/other/../team/model/tags/list",
        "/v2/team%2Fmodel/tags/list",
        "/v2/team%2fmodel/tags/list",
        "/v2/team/model%2Ftags/list",
        "/v2/%2e%2e/v2/team/model/tags/list",
        "/v2/team/model/tags/list/",
        "/v2/team/model;x=1/tags/list",
        "/v2/Team/model/tags/list",
        "/V2/team/model/tags/list",
        "/v2/team/model/tags/list%00",
        "/v2/team/model%5c/tags/list",
        "/v2/team/mo%ffdel/tags/list",
        "/v2/team/mo%c3%a9del/tags/list",
        "/v2/team/model/tags%2Flist",
        "/v2/_catalog/",
        "/v2/%5Fcatalog/",
        "/v2/_uploads/tags/list",
        "/v2/../api/v1/version",
    ] {
        let answer = client.get(path).await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {}", answer.status);
    }
    // Escapes that mean the same are the same.
    client.get("/v2/team/%6Dodel/tags/list").await.expect(200);
    client.get("/v2/%5Fcatalog").await.expect(200);
}

#[tokio::test]
async fn whoever_may_not_come_in_learns_nothing_from_any_path() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("team/model", "1").await;
    for path in [
        "/v2/",
        "/v2/_catalog",
        "/v2/team/model/tags/list",
        "/v2/nothing",
        "/v2/TEAM/tags/list",
        "/api/v1/repositories",
    ] {
        let answer = client.get_with(path, &[("host", "attacker.test")]).await;
        answer.expect(403);
    }
}

#[tokio::test]
async fn forwarded_names_and_hosts_never_come_back() {
    let config = Config { admission: Admission::OpenWrite, ..Config::default() };
    let world = World::with(larder_registry::testing::settings(), config).await;
    let client = world.anonymous();
    for (name, value) in [
        ("host", "attacker.test"),
        ("x-forwarded-host", "attacker.test"),
        ("x-forwarded-proto", "https://attacker.test/"),
        ("forwarded", "host=attacker.test"),
    ] {
        let answer = client.call(Method::POST, "/v2/team/model/blobs/uploads/", &[(name, value)], "").await;
        answer.expect(202);
        assert!(answer.header("location").starts_with("/v2/team/model/blobs/uploads/"));
        for value in answer.headers.values() {
            assert!(!value.to_str().expect("text").contains("attacker"), "{value:?}");
        }
    }
}

#[tokio::test]
async fn absolute_targets_are_read_like_plain_ones() {
    let world = World::new().await;
    let client = world.anonymous();
    let request = Request::get("http://localhost:5000/v2/").body(axum::body::Body::empty()).expect("a request");
    client.send(request).await.expect(200);
    let request = Request::get("http://attacker.test/v2/").body(axum::body::Body::empty()).expect("a request");
    client.send(request).await.expect(400);
    let request = Request::get("http://attacker.test/v2/").header("host", "attacker.test");
    client.send(request.body(axum::body::Body::empty()).expect("a request")).await.expect(403);
}

/// A value that tries to begin another header comes back clean or not at all (reliability S6).
#[tokio::test]
async fn no_input_injects_a_header() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("team/model", "1").await;
    for path in [
        "/v2/team/model/tags/list?n=1&last=%0d%0aX-Injected:%201",
        "/v2/_catalog?n=1&last=%0d%0aX-Injected:%201",
        "/v2/team/model/blobs/uploads/?digest=sha256:%0d%0aX-Injected:%201",
        "/v2/team%0d%0aX-Injected:%201/tags/list",
        "/v2/team/model/manifests/%0d%0aX-Injected:%201",
    ] {
        for method in [Method::GET, Method::POST, Method::PUT] {
            let answer = client.call(method, path, &[], "").await;
            assert!(!answer.headers.contains_key("x-injected"), "{path}");
            assert!(answer.status.as_u16() < 500, "{path}");
        }
    }
}
