//! `/v2/<name>/manifests/<reference>`

use http::Method;
use larder_registry::{Settings, Sparse, testing};
use larder_server::Config;
use serde_json::json;

use crate::world::{CONFIG, IMAGE, INDEX, LAYER, World, descriptor, image, random, sha256};

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// **Invariant 8**, and oci-distribution §3.5: nothing is negotiated or cut.
#[tokio::test]
async fn bytes_and_type_come_back_whatever_the_client_accepts() {
    let world = World::new().await;
    let client = world.anonymous();
    let odd = format!(
        "{{ \"schemaVersion\" : 2,\n\t\"mediaType\":\"{IMAGE}\", \"layers\":[ ], \"config\":{} }}\n",
        descriptor(CONFIG, b"{}")
    );
    client.blob("a", "{}").await;
    let put = client.call(Method::PUT, "/v2/a/manifests/x", &[("content-type", IMAGE)], odd.clone()).await;
    put.expect(201);
    for headers in [
        vec![("accept", "application/vnd.docker.distribution.manifest.v1+json")],
        vec![("accept", "text/html")],
        vec![("accept", "*/*"), ("accept-encoding", "zstd;q=1.0, gzip;q=0.8")],
        vec![("range", "bytes=0-9")],
        vec![("range", "bytes=9999-")],
    ] {
        let answer = client.get_with("/v2/a/manifests/x?ns=docker.io", &headers).await;
        answer.expect(200);
        assert_eq!((&answer.body[..], answer.header("content-type")), (odd.as_bytes(), IMAGE), "{headers:?}");
        assert_eq!((answer.header("content-range"), answer.header("content-encoding")), ("", ""));
        let head = client.call(Method::HEAD, "/v2/a/manifests/x", &headers, "").await;
        assert_eq!(head.header("content-length"), odd.len().to_string());
        assert_eq!(head.header("docker-content-digest"), sha256(odd.as_bytes()).to_string());
    }
}

#[tokio::test]
async fn dockers_own_types_are_taken_and_given_back() {
    let world = World::new().await;
    let client = world.anonymous();
    let (config, layer) = (random(50), random(60));
    client.blob("a", config.clone()).await;
    client.blob("a", layer.clone()).await;
    let child = json!({
        "schemaVersion": 2, "mediaType": DOCKER,
        "config": descriptor("application/vnd.docker.container.image.v1+json", &config),
        "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer)],
    });
    client.manifest("a", "1", &child).await.expect(201);
    let list = json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [descriptor(DOCKER, child.to_string().as_bytes())] });
    client.manifest("a", "list", &list).await.expect(201);
    assert_eq!(client.head("/v2/a/manifests/1").await.header("content-type"), DOCKER);
    assert_eq!(client.get("/v2/a/manifests/list").await.header("content-type"), DOCKER_LIST);
    // Parameters of a Content-Type are passed over.
    let parametrised = [("content-type", &*format!("{DOCKER}; charset=utf-8"))];
    client.call(Method::PUT, "/v2/a/manifests/2", &parametrised, child.to_string()).await.expect(201);
    assert_eq!(client.get("/v2/a/manifests/2").await.header("content-type"), DOCKER);
}

#[tokio::test]
async fn an_entity_tag_spares_the_bytes() {
    let world = World::new().await;
    let client = world.anonymous();
    let digest = client.image("a", "1").await;
    let tag = client.get("/v2/a/manifests/1").await.header("etag").to_owned();
    assert_eq!(tag, format!("\"{digest}\""));
    let weak = format!("\"x\", W/{tag}");
    for known in [tag.as_str(), weak.as_str(), "*"] {
        let answer = client.get_with("/v2/a/manifests/1", &[("if-none-match", known)]).await;
        answer.expect(304);
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("etag"), tag);
        client.call(Method::HEAD, "/v2/a/manifests/1", &[("if-none-match", known)], "").await.expect(304);
    }
    client.image("a", "1").await;
    client.get_with("/v2/a/manifests/1", &[("if-none-match", &tag)]).await.expect(200);
}

/// Reliability I-10: of two pushers who read the same state, one must learn that he came second.
#[tokio::test]
async fn a_push_may_depend_on_what_the_tag_is_now() {
    let world = World::new().await;
    let client = world.anonymous();
    let first = client.image("a", "1").await;
    let second = client.image("a", "other").await;
    let body = client.get(&format!("/v2/a/manifests/{second}")).await.body;
    let push = async |tag: &str, header: (&str, &str)| {
        let path = format!("/v2/a/manifests/{tag}");
        client.call(Method::PUT, &path, &[("content-type", IMAGE), header], body.clone()).await
    };
    let refused = push("1", ("if-none-match", "*")).await;
    refused.expect(412);
    assert_eq!(refused.json()["errors"][0]["detail"]["current"], first.to_string());
    push("1", ("if-match", &format!("\"{second}\""))).await.expect(412);
    push("absent", ("if-match", "*")).await.expect(412);
    push("1", ("if-match", "\"not a digest\"")).await.expect(412);
    assert_eq!(client.head("/v2/a/manifests/1").await.header("docker-content-digest"), first.to_string());

    push("1", ("if-match", &format!("\"{first}\""))).await.expect(201);
    push("1", ("if-match", "*")).await.expect(201);
    push("new", ("if-none-match", "*")).await.expect(201);
    assert_eq!(client.head("/v2/a/manifests/1").await.header("docker-content-digest"), second.to_string());
}

#[tokio::test]
async fn many_tags_can_be_set_by_one_push() {
    let world = World::new().await;
    let client = world.anonymous();
    let digest = client.image("a", "1").await;
    let body = client.get("/v2/a/manifests/1").await.body;
    let tags: Vec<String> = (0..20).map(|n| format!("t{n}")).collect();
    let push = async |tags: &[String]| {
        let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
        let path = format!("/v2/a/manifests/{digest}?{}", query.join("&"));
        client.call(Method::PUT, &path, &[("content-type", IMAGE)], body.clone()).await
    };
    let answer = push(&tags).await;
    answer.expect(201);
    assert_eq!(answer.all("oci-tag"), tags);
    assert_eq!(client.head("/v2/a/manifests/t19").await.header("docker-content-digest"), digest.to_string());
    let bad = push(&["good".to_owned(), "not%20good".to_owned()]).await;
    bad.expect(400);
    assert_eq!(bad.code(), "TAG_INVALID");
    client.head("/v2/a/manifests/good").await.expect(404);
    push(&(0..101).map(|n| format!("t{n}")).collect::<Vec<_>>()).await.expect(414);
}

#[tokio::test]
async fn what_is_missing_is_warned_about_or_refused() {
    let world = World::new().await;
    let client = world.anonymous();
    let manifest = image(&[descriptor(CONFIG, &random(10)), descriptor(LAYER, &random(20))]);
    let answer = client.manifest("a", "1", &manifest).await;
    answer.expect(201);
    let warning = answer.header("warning");
    assert!(warning.starts_with("299 - \"") && warning.contains("sha256:"), "{warning}");
    assert!(answer.all("warning").iter().map(|line| line.len()).sum::<usize>() <= 4096);

    let strict = Settings { sparse: Sparse::Refuse, ..testing::settings() };
    let world = World::with(strict, Config::default()).await;
    let answer = world.anonymous().manifest("a", "1", &manifest).await;
    answer.expect(400);
    assert_eq!(answer.code(), "MANIFEST_BLOB_UNKNOWN");
}

/// Behaviour §3: sparse data is taken, and whoever looks sees that it is.
#[tokio::test]
async fn a_manifest_without_its_parts_is_marked_until_it_is_pushed_whole() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("a", "whole").await;
    let (config, layer) = (random(10), random(20));
    let manifest = image(&[descriptor(CONFIG, &config), descriptor(LAYER, &layer)]);
    let marks = async || {
        let tags = client.get("/api/v1/repositories/a/-/tags").await.json()["tags"].clone();
        let incomplete = client.get("/api/v1/repositories/a").await.json()["incomplete"].clone();
        let metrics = String::from_utf8(client.get("/metrics").await.body.to_vec()).expect("it is text");
        let line = metrics.lines().find_map(|line| line.strip_prefix("larder_incomplete_manifests "));
        (tags[0]["incomplete"].clone(), tags[1]["incomplete"].clone(), incomplete, line.map(str::to_owned))
    };
    client.manifest("a", "sparse", &manifest).await.expect(201);
    assert_eq!(marks().await, (json!(true), json!(false), json!(1), Some("1".to_owned())));
    client.blob("a", config).await;
    client.blob("a", layer).await;
    client.manifest("a", "sparse", &manifest).await.expect(201);
    assert_eq!(marks().await, (json!(false), json!(false), json!(0), Some("0".to_owned())));
}

#[tokio::test]
async fn what_is_in_use_cannot_be_deleted_and_says_by_whom() {
    let world = World::new().await;
    let client = world.anonymous();
    let child = client.image("a", "1").await;
    let child_bytes = client.get("/v2/a/manifests/1").await.body;
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(IMAGE, &child_bytes)] });
    client.manifest("a", "index", &index).await.expect(201);
    let parent = sha256(index.to_string().as_bytes());
    let answer = client.delete(&format!("/v2/a/manifests/{child}")).await;
    answer.expect(405);
    assert_eq!(answer.code(), "UNSUPPORTED");
    assert_eq!(answer.json()["errors"][0]["detail"]["parent"], parent.to_string());
    client.delete(&format!("/v2/a/manifests/{parent}")).await.expect(202);
    client.get("/v2/a/manifests/index").await.expect(404);
    client.delete(&format!("/v2/a/manifests/{child}")).await.expect(202);
}
