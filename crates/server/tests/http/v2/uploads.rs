//! `/v2/<name>/blobs/uploads/`

use axum::body::Body;
use http::{Method, Request};

use crate::world::{Client, World, random, sha256};

async fn open(client: &Client) -> String {
    let answer = client.post("/v2/a/blobs/uploads/", "").await;
    answer.expect(202);
    assert_eq!(answer.header("range"), "0-0");
    let location = answer.header("location").to_owned();
    assert!(location.starts_with("/v2/a/blobs/uploads/"), "{location}");
    assert!(location.ends_with(answer.header("docker-upload-uuid")));
    location
}

/// docker computes a layer's size from `Range` (docker/for-linux #1296).
#[tokio::test]
async fn range_names_the_last_byte() {
    let world = World::new().await;
    let client = world.anonymous();
    let location = open(&client).await;
    let answer = client.call(Method::PATCH, &location, &[], random(700)).await;
    answer.expect(202);
    assert_eq!(answer.header("range"), "0-699");
    let answer = client.call(Method::PATCH, &location, &[], random(1)).await;
    assert_eq!(answer.header("range"), "0-700");
    let status = client.get(&location).await;
    status.expect(204);
    assert_eq!((status.header("range"), status.header("location")), ("0-700", location.as_str()));
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_what_came() {
    let world = World::new().await;
    let client = world.anonymous();
    let content = random(100_000);
    let location = open(&client).await;
    let pieces = [Ok(content[..60_000].to_vec()), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    let body = Body::from_stream(futures::stream::iter(pieces));
    client.send(Request::patch(&location).body(body).expect("a request")).await.expect(408);
    let status = client.get(&location).await;
    status.expect(204);
    assert_eq!(status.header("range"), "0-59999");
    let rest = content[60_000..].to_vec();
    let range = "60000-99999";
    client.call(Method::PATCH, &location, &[("content-range", range)], rest).await.expect(202);
    let digest = sha256(&content);
    client.put(&format!("{location}?digest={digest}"), "").await.expect(201);
    assert_eq!(client.get(&format!("/v2/a/blobs/{digest}")).await.body, content);
}

#[tokio::test]
async fn a_chunk_in_the_wrong_place_is_told_the_right_one() {
    let world = World::new().await;
    let client = world.anonymous();
    let location = open(&client).await;
    client.call(Method::PATCH, &location, &[("content-range", "0-99")], random(100)).await.expect(202);
    for range in ["200-299", "50-149"] {
        let answer = client.call(Method::PATCH, &location, &[("content-range", range)], random(100)).await;
        answer.expect(416);
        assert_eq!(answer.code(), "RANGE_INVALID");
        assert_eq!((answer.header("range"), answer.header("location")), ("0-99", location.as_str()));
        assert_eq!(answer.json()["errors"][0]["detail"]["offset"], 100);
    }
    for (range, length) in [("100-199", 99), ("100-199", 101)] {
        let answer = client.call(Method::PATCH, &location, &[("content-range", range)], random(length)).await;
        answer.expect(400);
        assert_eq!(answer.code(), "SIZE_INVALID");
    }
    for range in ["x", "100", "199-100", "-1-5", "100-18446744073709551616"] {
        let answer = client.call(Method::PATCH, &location, &[("content-range", range)], random(100)).await;
        answer.expect(400);
    }
    // Forms that some clients send.
    client.call(Method::PATCH, &location, &[("content-range", "bytes 100-199/*")], random(100)).await.expect(202);
    assert_eq!(client.get(&location).await.header("range"), "0-199");
}

/// CVE-2026-32589: sessions of others could be read, written and cancelled.
#[tokio::test]
async fn a_session_exists_in_its_own_repository_only() {
    let world = World::new().await;
    let client = world.anonymous();
    let location = open(&client).await;
    client.call(Method::PATCH, &location, &[], random(10)).await.expect(202);
    let elsewhere = location.replace("/v2/a/", "/v2/b/");
    let digest = sha256(b"x");
    for (method, path) in [
        (Method::GET, elsewhere.clone()),
        (Method::PATCH, elsewhere.clone()),
        (Method::PUT, format!("{elsewhere}?digest={digest}")),
        (Method::DELETE, elsewhere.clone()),
    ] {
        let answer = client.call(method, &path, &[], random(5)).await;
        answer.expect(404);
        assert_eq!(answer.code(), "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(client.get(&location).await.header("range"), "0-9");
}

#[tokio::test]
async fn digests_and_algorithms_are_checked_before_a_byte_is_read() {
    let world = World::new().await;
    let client = world.anonymous();
    for query in ["digest=sha256:short", "digest=md5:00", "digest-algorithm=md5", "digest-algorithm=", "mount=nonsense"]
    {
        let answer = client.post(&format!("/v2/a/blobs/uploads/?{query}"), random(10)).await;
        answer.expect(400);
        assert_eq!(answer.code(), "DIGEST_INVALID", "{query}");
    }
    let location = open(&client).await;
    client.put(&location, "").await.expect(400);
    client.put(&format!("{location}?digest=sha256:zz"), "").await.expect(400);
    client.get(&location).await.expect(204);
}

#[tokio::test]
async fn an_announced_sha512_is_kept_and_comes_back() {
    let world = World::new().await;
    let client = world.anonymous();
    let answer = client.post("/v2/a/blobs/uploads/?digest-algorithm=sha512", "").await;
    answer.expect(202);
    let content = random(5000);
    let digest = crate::world::digest_of(larder_oci::Algorithm::Sha512, &content);
    let closing = format!("{}?digest={digest}", answer.header("location"));
    let created = client.put(&closing, content.clone()).await;
    created.expect(201);
    assert_eq!(created.header("docker-content-digest"), digest.to_string());
    assert_eq!(client.get(created.header("location")).await.body, content);
}

/// Never 403 on a mount, and nothing said about the source (behaviour §4).
#[tokio::test]
async fn a_mount_that_cannot_be_is_an_ordinary_upload() {
    let world = World::new().await;
    let client = world.anonymous();
    let content = random(100);
    let digest = client.blob("source", content.clone()).await;
    for from in ["missing", "..%2F..%2Fetc", "SOURCE", "source%00"] {
        let answer = client.post(&format!("/v2/a/blobs/uploads/?mount={digest}&from={from}"), "").await;
        answer.expect(202);
        assert!(answer.header("location").starts_with("/v2/a/blobs/uploads/"));
    }
    let mounted = client.post(&format!("/v2/a/blobs/uploads/?mount={digest}&from=source&origin=x"), "").await;
    mounted.expect(201);
    assert_eq!(mounted.header("docker-content-digest"), digest.to_string());
    assert_eq!(client.get(mounted.header("location")).await.body, content);
}
