//! Who gets a page: browsers, and nobody who comes by another site's hand.

use http::Method;
use larder_registry::testing;
use larder_server::Config;

use super::stock::{BROWSER, open, text};
use crate::world::World;

#[tokio::test]
async fn other_clients_get_what_they_got_before_there_were_pages() {
    let world = World::new().await;
    let client = world.anonymous();
    for accept in ["*/*", "application/json", ""] {
        let answer = client.get_with("/", &[("accept", accept)]).await;
        answer.expect(200);
        assert!(String::from_utf8_lossy(&answer.body).contains("docker push localhost:5000/"), "{accept}");
        let absent = client.get_with("/nothing", &[("accept", accept)]).await;
        absent.expect(404);
        assert_eq!(absent.header("content-type"), "application/problem+json");
    }
    client.get_with("/healthz", &[BROWSER]).await.expect(200);
    assert!(client.get_with("/readyz", &[BROWSER]).await.json()["status"] == "ready");
    let absent = open(&client, "/nothing").await;
    absent.expect(404);
    assert!(absent.header("content-type").starts_with("text/html"));
    assert!(String::from_utf8_lossy(&absent.body).contains(absent.header("x-request-id")));
}

#[tokio::test]
async fn every_page_keeps_to_itself() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("a", "1").await;
    for path in ["/", "/connect", "/r/a", "/r/a/-/tags/1", "/r/absent", "/nowhere"] {
        let answer = open(&client, path).await;
        let policy = answer.header("content-security-policy").to_owned();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "same-origin");
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        assert!(answer.header("vary").contains("authorization"));
    }
}

#[tokio::test]
async fn files_are_kept_for_ever_under_a_name_that_changes_with_them() {
    let world = World::new().await;
    let client = world.anonymous();
    let page = text(&open(&client, "/").await);
    for (ending, content_type) in [(".css\"", "text/css"), (".js\"", "text/javascript"), (".svg\"", "image/svg+xml")] {
        let path = page.split('"').find(|part| part.starts_with("/-/assets/") && format!("{part}\"").ends_with(ending));
        let path = path.expect("the page names it");
        let answer = client.get(path).await;
        answer.expect(200);
        assert!(answer.header("content-type").starts_with(content_type));
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
        let stale = path.replace('-', "-0");
        client.get(&stale).await.expect(404);
    }
    let all = page.len() + 40_000;
    assert!(all < 100_000, "the first page and its files");
    client.get("/-/assets/../../Cargo.toml").await.expect(404);
}

/// A link in a chat or a document leads here; what another site embeds, sends or asks for does not.
#[tokio::test]
async fn a_link_from_elsewhere_may_be_followed_and_nothing_more() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("a", "1").await;
    let site = ("sec-fetch-site", "cross-site");
    let navigate = [BROWSER, site, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    client.get_with("/r/a", &navigate).await.expect(200);
    client
        .get_with("/r/a", &[BROWSER, site, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")])
        .await
        .expect(403);
    client
        .get_with("/r/a", &[BROWSER, site, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")])
        .await
        .expect(403);
    client.call(Method::POST, "/r/a", &navigate, "x=1").await.expect(403);
    client.get_with("/v2/a/tags/list", &navigate).await.expect(403);
    client.get_with("/api/v1/repositories", &navigate).await.expect(403);
    let rebound = client.get_with("/r/a", &[BROWSER, ("host", "rebound.attacker.test")]).await;
    rebound.expect(403);
    assert!(!String::from_utf8_lossy(&rebound.body).contains("docker pull"));
}

#[tokio::test]
async fn pages_are_read_and_nothing_else() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("a", "1").await;
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = client.call(method, "/r/a", &[BROWSER], "").await;
        answer.expect(405);
        assert_eq!(answer.header("allow"), "GET, HEAD");
    }
    let head = client.call(Method::HEAD, "/r/a", &[BROWSER], "").await;
    head.expect(200);
    assert!(head.body.is_empty() && head.header("content-length") != "0");
}

#[tokio::test]
async fn commands_name_the_address_that_people_use() {
    let config = Config { public_url: Some("https://registry.example".to_owned()), ..Config::default() };
    let world = World::with(testing::settings(), config).await;
    let client = world.operator();
    let page = text(&open(&client, "/connect").await);
    assert!(page.contains("docker push registry.example/"), "{page}");
    assert!(page.contains("/etc/docker/certs.d/registry.example/ca.crt") && !page.contains("insecure-registries"));
    let world = World::new().await;
    let local = text(&open(&world.anonymous(), "/connect").await);
    assert!(local.contains("docker push localhost:5000/") && !local.contains("insecure-registries"));
    let lan = text(&world.operator().get_with("/connect", &[BROWSER, ("host", "reg.lan:5000")]).await);
    for part in [
        "insecure-registries",
        "[registry.&#34;reg.lan:5000&#34;]",
        "http = true",
        "http://reg.lan:5000",
        "location = &#34;reg.lan:5000&#34;",
    ] {
        assert!(lan.contains(part), "{part} is not in {lan}");
    }
    let odd = world.operator().get_with("/connect", &[BROWSER, ("host", "a$(reboot)")]).await;
    assert!(!String::from_utf8_lossy(&odd.body).contains("reboot"));
}
