//! What may not be seen is not shown, and looks like what is not there.

use super::stock::{fill, open, text};
use crate::access::fixture::{Guarded, told};
use crate::world::Client;

/// Every page about a repository.
async fn everything(client: &Client, name: &str, digest: &str) -> Vec<(u16, Vec<(String, String)>, String)> {
    let mut all = Vec::new();
    for rest in [
        String::new(),
        "?sort=name".to_owned(),
        "/-/tags/1.0.0".to_owned(),
        "/-/tags/1.0.0/history".to_owned(),
        format!("/-/manifests/{digest}"),
        format!("/-/manifests/{digest}/raw"),
        "/-/compare?from=1.0.0&to=1.1.0".to_owned(),
    ] {
        all.push(told(&open(client, &format!("/r/{name}{rest}")).await));
    }
    all
}

/// **Invariant 13**
#[tokio::test]
async fn absent_and_forbidden_are_the_same_page() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    let [image, ..] = fill(&root, "root/secret").await;
    guarded.grant("user:alice", &["pull"], "root/other").await;
    for client in [guarded.stranger(), alice] {
        let secret = everything(&client, "root/secret", &image.to_string()).await;
        let absent = everything(&client, "root/absent", &image.to_string()).await;
        // Where he may pull, an absent one is no secret, and still the same page.
        let granted = everything(&client, "root/other", &image.to_string()).await;
        assert!(secret.iter().all(|(status, ..)| *status == 404), "{secret:?}");
        assert_eq!(secret, absent);
        assert_eq!(secret, granted);
    }
}

#[tokio::test]
async fn lists_and_searches_show_what_one_may_pull() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    for name in ["root/secret-model", "root/granted-model", "root/open-model"] {
        root.image(name, "1").await;
    }
    guarded.grant("user:alice", &["pull"], "root/granted-model").await;
    guarded.publish("root/open-model").await;
    for path in ["/", "/?q=model", "/?q=root&visibility=private", "/?q=secret"] {
        let page = text(&open(&alice, path).await);
        assert!(!page.contains("root/secret-model"), "{path}");
        assert!(path != "/" || (page.contains("root/granted-model") && page.contains("root/open-model")), "{page}");
        let page = text(&open(&guarded.stranger(), path).await);
        assert!(!page.contains("root/secret-model") && !page.contains("root/granted-model"), "{path}");
    }
    assert!(text(&open(&guarded.stranger(), "/").await).contains("root/open-model"));
    assert!(text(&open(&root, "/?q=secret").await).contains("root/secret-model"));
}

#[tokio::test]
async fn the_operators_page_is_the_operators() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    let page = text(&open(&root, "/operations").await);
    for part in ["Ready", "Why bytes are here", "Named by manifests", "The sweep has", "Leases hold for"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    for client in [alice, guarded.stranger()] {
        open(&client, "/operations").await.expect(404);
        assert!(!text(&open(&client, "/").await).contains("/operations"));
    }
}

#[tokio::test]
async fn a_wrong_credential_is_told_so() {
    let guarded = Guarded::new().await;
    let answer = open(&guarded.stranger().basic("root", "wrong"), "/").await;
    answer.expect(401);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(!answer.header("www-authenticate").is_empty());
}

#[tokio::test]
async fn uploads_of_others_are_not_shown() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    guarded.user("bob").await;
    alice.post("/v2/alice/model/blobs/uploads/", "").await.expect(202);
    assert!(text(&open(&alice, "/").await).contains("alice/model"), "it shows while it arrives");
    assert!(!text(&open(&guarded.as_user("bob"), "/").await).contains("alice/model<"));
    assert!(text(&open(&guarded.as_user("root"), "/operations").await).contains("alice/model"));
}
