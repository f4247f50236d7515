//! In the place of `registry:2` with a password file and nothing else (cases 9).

use std::path::{Path, PathBuf};

use http::Method;
use larder_access::{HtpasswdRights, Settings};
use larder_server::Config;
use serde_json::json;

use super::fixture::{Guarded, settings};

/// `htpasswd -Bbn alice secret` and the like.
const LINES: &str = "alice:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let tree = Self(tempfile::tempdir().expect("a folder"));
        std::fs::write(tree.file(), LINES).expect("a file");
        tree
    }

    fn file(&self) -> PathBuf {
        Path::join(self.0.path(), "htpasswd")
    }
}

async fn registry(tree: &Tree, delete: bool) -> Guarded {
    let settings = Settings { htpasswd: Some(tree.file()), htpasswd_rights: HtpasswdRights { delete }, ..settings() };
    Guarded::open(settings, Config { realm: "Registry Realm".to_owned(), ..Config::default() }).await
}

#[tokio::test]
async fn cve_2026_41888_it_behaves_as_the_registry_before_it_and_deletes_nothing() {
    let tree = Tree::new();
    let guarded = registry(&tree, false).await;
    for path in ["/v2/", "/v2/model/manifests/1", "/v2/_catalog"] {
        let answer = guarded.stranger().get(path).await;
        answer.expect(401);
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"Registry Realm\"", "{path}");
        assert_eq!(answer.code(), "UNAUTHORIZED");
    }
    let alice = guarded.stranger().basic("alice", "secret");
    alice.get("/v2/").await.expect(200);
    let digest = alice.image("model", "1").await;
    alice.image("team/model", "1").await;
    alice.get("/v2/model/manifests/1").await.expect(200);
    assert_eq!(alice.get("/v2/_catalog").await.json(), json!({ "repositories": ["model", "team/model"] }));

    let deleted = alice.delete(&format!("/v2/model/manifests/{digest}")).await;
    deleted.expect(405);
    assert_eq!(deleted.code(), "UNSUPPORTED");
    assert!(!deleted.header("allow").is_empty());
    // Distribution CVE-2026-41888: no way to delete is left open, by tag, by blob or by the API.
    alice.delete("/v2/model/manifests/1").await.expect(405);
    alice.delete(&format!("/v2/model/blobs/{digest}")).await.expect(405);
    alice.delete("/api/v1/repositories/model/-/tags/1").await.expect(403);
    alice.get("/v2/model/manifests/1").await.expect(200);
    let upload = alice.post("/v2/model/blobs/uploads/", "").await;
    alice.delete(upload.header("location")).await.expect(204);

    let wrong = guarded.stranger().basic("alice", "wrong").get("/v2/").await;
    wrong.expect(401);
    assert_eq!(wrong.header("www-authenticate"), "Basic realm=\"Registry Realm\"");
    // Everyone in the file may push and pull, and administer nothing.
    alice.json(Method::POST, "/api/v1/users", &json!({ "name": "eve", "password": "x".repeat(20) })).await.expect(403);
    alice
        .json(
            Method::POST,
            "/api/v1/grants",
            &json!({ "subject": "user:alice", "actions": ["admin"], "repositories": "**" }),
        )
        .await
        .expect(403);
    alice.json(Method::PATCH, "/api/v1/repositories/model", &json!({ "public": true })).await.expect(403);
    alice.delete("/api/v1/repositories/model").await.expect(403);
    alice.json(Method::POST, "/api/v1/sweep", &json!({})).await.expect(403);
}

#[tokio::test]
async fn deletes_are_on_where_its_configuration_says_so() {
    let tree = Tree::new();
    let guarded = registry(&tree, true).await;
    let alice = guarded.stranger().basic("alice", "secret");
    let digest = alice.image("model", "1").await;
    alice.delete(&format!("/v2/model/manifests/{digest}")).await.expect(202);
}

/// The first grant or user ends it; those in the file can be named in grants like others.
#[tokio::test]
async fn the_first_grant_ends_it() {
    let tree = Tree::new();
    let guarded = registry(&tree, false).await;
    let alice = guarded.stranger().basic("alice", "secret");
    alice.image("model", "1").await;
    guarded.grant("user:alice", &["pull"], "model").await;
    let ping = guarded.stranger().get("/v2/").await;
    ping.expect(401);
    assert!(ping.header("www-authenticate").starts_with("Bearer realm="), "{:?}", ping.headers);
    alice.get("/v2/model/manifests/1").await.expect(200);
    alice.post("/v2/model/blobs/uploads/", "").await.expect(403);
    alice.get("/v2/other/tags/list").await.expect(403);
}
