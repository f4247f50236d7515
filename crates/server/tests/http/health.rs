//! `/healthz`, `/readyz`, `/metrics`, `/`

use std::sync::Arc;

use larder_registry::testing::MemoryStore;
use larder_registry::testing::fault::{Fault, FaultKind, FaultyStore, Operation};
use larder_registry::{Registry, Settings, testing};
use larder_server::{Config, service};
use serde_json::json;

use crate::world::{World, random};

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

/// One thing that cannot be written makes it unready, and the answer says which.
#[tokio::test]
async fn what_cannot_be_written_makes_it_unready_by_name() {
    let unready = async |registry: Registry| {
        let world = World { service: service(registry, Config::default()) };
        let answer = world.anonymous().get("/readyz").await;
        answer.expect(503);
        world.anonymous().get("/healthz").await.expect(200);
        answer.json()
    };
    let right = json!({
        "status": "not ready", "draining": false, "read_only": false, "catalog": true, "store": true, "space": true, "taken_over": true,
    });
    let without = |field: &str| {
        let mut wrong = right.clone();
        wrong[field] = false.into();
        wrong
    };

    let store = FaultyStore::new(Arc::new(MemoryStore::default()));
    let (registry, _clock) = testing::over(testing::settings(), Arc::new(store.clone())).await;
    store.inject(Fault::at(1, FaultKind::Io).on(Operation::CheckWritable).sticky());
    assert_eq!(unready(registry.clone()).await, without("store"));
    store.heal();
    let world = World { service: service(registry, Config::default()) };
    world.anonymous().get("/readyz").await.expect(200);

    let (registry, catalog) = testing::beside(testing::settings()).await;
    catalog.close().await;
    assert_eq!(unready(registry).await, without("catalog"));
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
    let layer = client.blob("secret-team/model", random(256)).await;
    client.get(&format!("/v2/secret-team/model/blobs/{layer}")).await.expect(200);
    let opened = client.post("/v2/secret-team/model/blobs/uploads/", "").await;
    client.call(http::Method::PATCH, opened.header("location"), &[], random(700)).await.expect(202);
    let answer = client.get("/metrics").await;
    answer.expect(200);
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let text = String::from_utf8(answer.body.to_vec()).expect("it is text");
    for wanted in [
        "larder_http_requests_total{route=\"manifest\",method=\"GET\",status=\"200\"} 1\n",
        "larder_http_requests_total{route=\"manifest\",method=\"GET\",status=\"404\"} 1\n",
        "larder_http_requests_total{route=\"upload\",method=\"POST\",status=\"201\"} 3\n",
        "larder_http_received_bytes_total{route=\"upload\"} 1276\n",
        "larder_http_sent_bytes_total{route=\"blob\"} 256\n",
        "larder_http_response_head_seconds_bucket{",
        "larder_connections 0\n",
        "larder_blobs_committed_total 3\n",
        "larder_upload_writers 0\n",
        "larder_upload_sessions 1\n",
        "larder_upload_session_bytes 700\n",
        "larder_swept_blobs_total 0\n",
        "larder_catalog_commits_total ",
        "larder_catalog_commit_seconds_total ",
        "# TYPE larder_catalog_write_seconds histogram\n",
        "# TYPE larder_catalog_read_seconds histogram\n",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in\n{text}");
    }
    let figure = |name: &str| -> f64 {
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name} is not in\n{text}"));
        line.trim().parse().expect("a number")
    };
    for kind in ["write", "read"] {
        let count = figure(&format!("larder_catalog_{kind}_seconds_count "));
        assert!(count >= 3.0 && figure(&format!("larder_catalog_{kind}_seconds_sum ")) > 0.0);
        let buckets = format!("larder_catalog_{kind}_seconds_bucket{{le=\"");
        let classes: Vec<f64> =
            text.lines().filter_map(|line| line.strip_prefix(&buckets)?.split(' ').nth(1)?.parse().ok()).collect();
        assert!(classes.len() == 15 && classes.is_sorted() && classes.last() == Some(&count), "{classes:?}");
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
