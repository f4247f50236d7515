//! Settings of a repository, its end, and the way back.

use serde_json::json;

use crate::access::fixture::Guarded;
use crate::browser::{Browser, text};

async fn signed_in(guarded: &Guarded, name: &str) -> Browser {
    let browser = Browser::new(guarded.stranger());
    browser.sign_in(name).await.expect(303);
    browser
}

#[tokio::test]
async fn a_repository_is_described_and_shown_to_all() {
    let guarded = Guarded::keeping().await;
    guarded.as_user("root").image("root/model", "1").await;
    let root = signed_in(&guarded, "root").await;
    let path = "/r/root/model/-/settings";
    assert!(text(&root.open("/r/root/model").await).contains(&format!("href=\"{path}\"")));
    let page = root.open(path).await;
    assert!(text(&page).contains("id=\"private\" name=\"visibility\" value=\"private\" checked"));
    let hostile = "</textarea><script>alert(1)</script>";
    let saved = root.send(&page, path, &[("description", hostile), ("visibility", "public")]).await;
    let shown = text(&root.follow(&saved).await);
    assert!(shown.contains("Saved.") && !shown.contains("<script>alert"), "{shown}");
    assert!(shown.contains("id=\"public\" name=\"visibility\" value=\"public\" checked"), "{shown}");
    let told = guarded.stranger().get("/v2/root/model/tags/list").await;
    assert_eq!(told.status, 401, "a client logs in as anonymous first");
    let told = guarded.operator().get("/api/v1/repositories/root/model").await.json();
    assert_eq!((&told["public"], &told["description"]), (&json!(true), &json!(hostile)));
    let long = "x".repeat(4_001);
    let wrong = root.send(&page, path, &[("description", long.as_str()), ("visibility", "private")]).await;
    wrong.expect(400);
    assert!(text(&wrong).contains("id=\"description-fault\"") && text(&wrong).contains(&long));
    assert!(text(&wrong).contains("value=\"private\" checked"));
    assert_eq!(guarded.operator().get("/api/v1/repositories/root/model").await.json()["public"], true);
}

#[tokio::test]
async fn a_repository_is_deleted_once_its_name_is_typed_and_comes_back() {
    let guarded = Guarded::keeping().await;
    guarded.as_user("root").image("root/model", "1").await;
    let root = signed_in(&guarded, "root").await;
    let path = "/r/root/model/-/settings/remove";
    let page = root.open(path).await;
    assert!(text(&page).contains("For 7 days it can be brought back"), "{}", text(&page));
    for typed in ["", "root/mode", "ROOT/MODEL", "\"><script>"] {
        let refused = root.send(&page, path, &[("confirm", typed)]).await;
        refused.expect(400);
        assert!(text(&refused).contains("id=\"confirm-fault\"") && !text(&refused).contains("<script>\""), "{typed}");
    }
    guarded.operator().get("/api/v1/repositories/root/model").await.expect(200);
    let gone = root.send(&page, path, &[("confirm", "root/model")]).await;
    let home = text(&root.follow(&gone).await);
    assert!(home.contains("root/model is deleted.") && home.contains("href=\"/r/root/model/-/undelete\""), "{home}");
    guarded.operator().get("/api/v1/repositories/root/model").await.expect(404);
    let back = "/r/root/model/-/undelete";
    let page = root.open(back).await;
    guarded.as_user("root").image("root/model", "2").await;
    let taken = root.send(&page, back, &[("as", "root/model")]).await;
    taken.expect(400);
    assert!(text(&taken).contains("id=\"as-fault\""), "{}", text(&taken));
    root.send(&page, back, &[("as", "Not A Name")]).await.expect(400);
    let other = root.send(&page, back, &[("as", "root/restored")]).await;
    assert_eq!(other.header("location"), "/r/root/restored");
    assert!(text(&root.follow(&other).await).contains("/r/root/restored/-/tags/1"));
}

/// Whoever made a repository in others' space, and removed it, brings it back although his grant went with it.
#[tokio::test]
async fn what_is_of_no_use_is_not_offered() {
    let guarded = Guarded::keeping().await;
    guarded.user("alice").await;
    guarded.as_user("root").image("root/model", "1").await;
    guarded.grant("user:alice", &["pull"], "root/**").await;
    let alice = signed_in(&guarded, "alice").await;
    let page = text(&alice.open("/r/root/model").await);
    assert!(!page.contains("/-/settings") && !page.contains("/-/clean-up") && !page.contains("class=\"sections\""));
    for rest in ["settings", "settings/remove", "clean-up", "trash", "policy", "policy/preview", "webhooks"] {
        alice.open(&format!("/r/root/model/-/{rest}")).await.expect(404);
        alice.open(&format!("/r/root/absent/-/{rest}")).await.expect(404);
    }
    // The last of these says the same whether there ever was one.
    alice.open("/r/root/absent/-/undelete").await.expect(200);
    guarded.grant("user:alice", &["delete"], "root/**").await;
    let page = text(&alice.open("/r/root/model").await);
    assert!(page.contains("/-/clean-up") && page.contains("/-/trash") && !page.contains("/-/settings"), "{page}");
}
