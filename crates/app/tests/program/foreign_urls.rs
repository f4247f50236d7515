//! Clair CVE-2026-10517: addresses in a manifest are for its readers. The server goes to none of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;

use crate::larder::{Served, code, folders, larder, sha256, stderr};

#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_10517_the_server_goes_to_no_address_in_a_manifest() {
    let (_parent, data) = folders();
    let served = Served::start(&data);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/layer", listener.local_addr().expect("an address"));
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&visits);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (client, base) = (reqwest::Client::new(), served.url());
    let config = client.post(format!("{base}/v2/a/blobs/uploads/?digest={}", sha256(b"{}"))).body("{}");
    assert_eq!(config.send().await.expect("it is answered").status(), 201);
    let layer = sha256(b"elsewhere");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"{}"), "size": 2 },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
            "digest": layer, "size": 9, "urls": [url],
        }],
        "annotations": { "org.opencontainers.image.source": url, "org.opencontainers.image.url": url },
    });
    let put = client.put(format!("{base}/v2/a/manifests/1")).body(manifest.to_string());
    let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(put.send().await.expect("it is answered").status(), 201);
    for (path, status) in [
        ("/v2/a/manifests/1".to_owned(), 200),
        (format!("/v2/a/blobs/{layer}"), 404),
        ("/r/a".to_owned(), 200),
        ("/r/a/-/tags/1".to_owned(), 200),
    ] {
        let answer = client.get(format!("{base}{path}")).send().await.expect("it is answered");
        assert_eq!(answer.status(), status, "{path}");
    }
    let folder = data.display().to_string();
    for command in [&["verify", "--data"][..], &["sweep", "--data"], &["usage", "--data"]] {
        let output = larder(&[command, &[folder.as_str()]].concat()).output().expect("it runs");
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(visits.load(Ordering::Relaxed), 0);
}
