//! `/healthz`, `/readyz`, `/metrics`, `/`

use larder_registry::{Settings, testing};
use larder_server::Config;

use crate::world::World;

#[tokio::test]
async fn a_drain_makes_it_unready_at_once_and_not_unhealthy() {
    let world = World::new().await;
    let client = world.anonymous();
    client.get("/healthz").await.expect(200);
    let ready = client.get("/readyz").await;
    ready.expect(200);
    assert_eq!(ready.json()["status"], "ready");
    world.service.drain().begin();
    let ready = client.get("/readyz").await;
    ready.expect(503);
    assert_eq!(ready.json()["draining"], true);
    client.get("/healthz").await.expect(200);
    client.get("/v2/").await.expect(200);
}

/// Health is asked by whoever routes traffic, under any name.
#[tokio::test]
async fn probes_need_no_name() {
    let world = World::new().await;
    let client = world.anonymous();
    for path in ["/healthz", "/readyz", "/metrics"] {
        client.get_with(path, &[("host", "10.0.0.7:5000")]).await.expect(200);
        client.post(path, "").await.expect(405);
    }
}

#[tokio::test]
async fn a_read_only_server_says_why_it_takes_nothing() {
    let world = World::with(Settings { read_only: true, ..testing::settings() }, Config::default()).await;
    let client = world.anonymous();
    client.get("/v2/").await.expect(200);
    client.get("/readyz").await.expect(200);
    let answer = client.post("/v2/a/blobs/uploads/", "").await;
    answer.expect(405);
    assert_eq!(answer.code(), "UNSUPPORTED");
    assert!(!answer.header("allow").is_empty());
    assert!(answer.json()["errors"][0]["message"].as_str().is_some_and(|message| message.contains("read-only")));
}

#[tokio::test]
async fn figures_count_routes_and_name_no_repository() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("secret-team/model", "1").await;
    client.get("/v2/secret-team/model/manifests/1").await.expect(200);
    client.get("/v2/secret-team/model/manifests/absent").await.expect(404);
    let answer = client.get("/metrics").await;
    answer.expect(200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = String::from_utf8(answer.body.to_vec()).expect("it is text");
    for wanted in [
        "larder_http_requests_total{route=\"manifest\",method=\"GET\",status=\"200\"} 1\n",
        "larder_http_requests_total{route=\"manifest\",method=\"GET\",status=\"404\"} 1\n",
        "larder_http_requests_total{route=\"upload\",method=\"POST\",status=\"201\"} 2\n",
        "larder_http_received_bytes_total{route=\"upload\"} 320\n",
        "larder_http_response_head_seconds_bucket{",
        "larder_connections 0\n",
        "larder_blobs_committed_total 2\n",
        "larder_upload_writers 0\n",
        "larder_swept_blobs_total 0\n",
        "larder_catalog_commits_total ",
        "larder_catalog_commit_seconds_total ",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(!text.contains("secret-team"), "{text}");
}

#[tokio::test]
async fn the_front_page_says_how_to_push() {
    let world = World::new().await;
    let client = world.anonymous();
    let page = client.get_with("/", &[("host", "localhost:5000")]).await;
    page.expect(200);
    assert!(String::from_utf8_lossy(&page.body).contains("docker push localhost:5000/"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    let page = client.get_with("/", &[("host", "<script>")]).await;
    assert!(!String::from_utf8_lossy(&page.body).contains("<script>"));
    client.get("/nothing").await.expect(404);
}
