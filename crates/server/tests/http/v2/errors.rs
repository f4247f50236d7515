//! The specification's error bodies (oci-distribution §1.9), and that they tell nothing else (**Invariant 13**).

use http::Method;
use larder_server::Config;

use crate::world::{IMAGE, World, random, sha256};

#[tokio::test]
async fn every_error_has_its_code_and_the_requests_id() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("team/model", "1").await;
    let absent = sha256(&random(8));
    for (path, status, code) in [
        ("/v2/nothing/here".to_owned(), 404, "UNSUPPORTED"),
        ("/v2/TEAM/tags/list".to_owned(), 400, "NAME_INVALID"),
        (format!("/v2/{}/tags/list", "a".repeat(300)), 400, "NAME_INVALID"),
        ("/v2/unknown/tags/list".to_owned(), 404, "NAME_UNKNOWN"),
        ("/v2/team/model/manifests/absent".to_owned(), 404, "MANIFEST_UNKNOWN"),
        (format!("/v2/team/model/manifests/{absent}"), 404, "MANIFEST_UNKNOWN"),
        ("/v2/unknown/manifests/latest".to_owned(), 404, "MANIFEST_UNKNOWN"),
        ("/v2/team/model/manifests/md5:00".to_owned(), 400, "DIGEST_INVALID"),
        (format!("/v2/team/model/manifests/{}", "t".repeat(129)), 400, "TAG_INVALID"),
        (format!("/v2/team/model/blobs/{absent}"), 404, "BLOB_UNKNOWN"),
        ("/v2/team/model/blobs/sha256:xyz".to_owned(), 400, "DIGEST_INVALID"),
        ("/v2/team/model/blobs/uploads/not-an-id".to_owned(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("/v2/team/model/blobs/uploads/7d9f7c80-6c41-4b6f-8d3e-2f4a5b6c7d8e".to_owned(), 404, "BLOB_UPLOAD_UNKNOWN"),
        ("/v2/team/model/referrers/sha256:xyz".to_owned(), 400, "DIGEST_INVALID"),
    ] {
        let answer = client.get(&path).await;
        answer.expect(status);
        assert_eq!(answer.code(), code, "{path}");
        assert_eq!(answer.header("docker-distribution-api-version"), "registry/2.0", "{path}");
    }
}

#[tokio::test]
async fn a_head_of_what_is_absent_has_the_length_that_its_get_has() {
    let world = World::new().await;
    let client = world.anonymous();
    let path = format!("/v2/a/blobs/{}", sha256(b"absent"));
    let head = client.head(&path).await;
    head.expect(404);
    assert!(head.body.is_empty());
    assert_eq!(head.header("content-length"), client.get(&path).await.header("content-length"));
}

/// CVE-2017-11468: a manifest without end must not fill the memory.
#[tokio::test]
async fn a_manifest_above_the_limit_is_refused_whether_or_not_it_says_its_length() {
    let limit = 10_000;
    let world =
        World::with(larder_registry::testing::settings(), Config { manifest_limit: limit, ..Config::default() });
    let client = world.await.anonymous();
    let path = "/v2/a/manifests/latest";
    let answer = client.call(Method::PUT, path, &[("content-type", IMAGE)], vec![b' '; limit + 1]).await;
    answer.expect(413);
    assert_eq!(answer.code(), "MANIFEST_INVALID");
    assert_eq!(answer.json()["errors"][0]["detail"]["limit"], limit);

    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 4096]));
    let request = http::Request::put(path).header("content-type", IMAGE);
    let request = request.body(axum::body::Body::from_stream(endless)).expect("it is a request");
    client.send(request).await.expect(413);
}

#[tokio::test]
async fn manifests_of_four_mebibytes_and_of_what_containerd_reads_fit() {
    let world = World::new().await;
    let client = world.anonymous();
    for size in [4 << 20, 4 * 1048 * 1048] {
        let mut manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": IMAGE, "layers": [], "config":
            { "mediaType": "application/vnd.oci.empty.v1+json", "size": 2, "digest": sha256(b"{}").to_string() } });
        manifest["annotations"] = serde_json::json!({ "fill": "" });
        let fill = size - manifest.to_string().len();
        manifest["annotations"]["fill"] = "x".repeat(fill).into();
        client.manifest("a", "latest", &manifest).await.expect(201);
        assert_eq!(client.get("/v2/a/manifests/latest").await.body.len(), size);
        manifest["annotations"]["fill"] = "x".repeat(fill + 300_000).into();
        client.manifest("a", "latest", &manifest).await.expect(413);
    }
}

#[tokio::test]
async fn hostile_manifests_are_refused_without_harm() {
    let world = World::new().await;
    let client = world.anonymous();
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let index = "application/vnd.oci.image.index.v1+json";
    for (media_type, body) in [
        (IMAGE, deep),
        (IMAGE, String::new()),
        (IMAGE, "{".to_owned()),
        // CVE-2021-41190 and GHSA-qq97-vm5h-rrhg: one document that two readers take for two things.
        (IMAGE, format!("{{\"schemaVersion\":2,\"mediaType\":\"{index}\",\"manifests\":[]}}")),
        (index, format!("{{\"schemaVersion\":2,\"mediaType\":\"{index}\",\"manifests\":[],\"layers\":[]}}")),
        (IMAGE, "{\"schemaVersion\":2,\"layers\":[],\"layers\":[]}".to_owned()),
        ("application/vnd.docker.distribution.manifest.v1+json", "{\"schemaVersion\":1}".to_owned()),
    ] {
        let answer = client.call(Method::PUT, "/v2/a/manifests/x", &[("content-type", media_type)], body).await;
        answer.expect(400);
        assert_eq!(answer.code(), "MANIFEST_INVALID");
    }
}
