//! Clean up by hand, the trash, and going back.

use larder_oci::Digest;

use crate::access::fixture::Guarded;
use crate::browser::{Browser, text};

const PATH: &str = "/r/root/model/-/clean-up";
const TRASH: &str = "/r/root/model/-/trash";

async fn ground() -> (Guarded, Browser) {
    let guarded = Guarded::keeping().await;
    let root = Browser::new(guarded.stranger());
    root.sign_in("root").await.expect(303);
    (guarded, root)
}

async fn tags(guarded: &Guarded) -> Vec<String> {
    let list = guarded.operator().get("/api/v1/repositories/root/model/-/tags").await.json();
    let tags = list["tags"].as_array().cloned().unwrap_or_default();
    tags.iter().map(|tag| tag["name"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn tag(guarded: &Guarded, name: &str, digest: &Digest) {
    let target = serde_json::json!({ "reference": digest.to_string() });
    let path = format!("/api/v1/repositories/root/model/-/tags/{name}");
    guarded.as_user("root").json(http::Method::PUT, &path, &target).await.expect(200);
}

#[tokio::test]
async fn picked_tags_are_previewed_deleted_and_brought_back() {
    let (guarded, root) = ground().await;
    let client = guarded.as_user("root");
    let first = client.image("root/model", "1").await;
    tag(&guarded, "also", &first).await;
    client.image("root/model", "2").await;
    client.image("root/model", "3").await;
    let page = root.open(PATH).await;
    assert!(text(&page).contains("name=\"tag\" value=\"2\""), "{}", text(&page));
    let preview = root.open(&format!("{PATH}?what=tags&tag=1&tag=2")).await;
    let shown = text(&preview);
    for part in ["This would go: 1 image and 1 tag", "come free", "These tags go, and their images stay", "7 days"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert_eq!(tags(&guarded).await, ["1", "2", "3", "also"], "a preview removes nothing");
    let done = root.send(&preview, PATH, &[("tag", "1"), ("tag", "2")]).await;
    assert!(done.header("location").starts_with(&format!("{TRASH}?at=")), "{:?}", done.headers);
    assert_eq!(tags(&guarded).await, ["3", "also"]);
    let trash = root.follow(&done).await;
    assert!(text(&trash).contains("Deleted: 1 image and 1 tag."), "{}", text(&trash));
    let undone = root.send(&trash, TRASH, &[]).await;
    assert!(text(&root.follow(&undone).await).contains("Back again: 1 image and 1 tag."));
    assert_eq!(tags(&guarded).await, ["1", "2", "3", "also"]);
}

#[tokio::test]
async fn untagged_and_old_ones_go_together() {
    let (guarded, root) = ground().await;
    let client = guarded.as_user("root");
    for _ in 0..3 {
        client.image("root/model", "moving").await;
    }
    let preview = root.open(&format!("{PATH}?what=untagged")).await;
    assert!(text(&preview).contains("This would go: 2 images"), "{}", text(&preview));
    let done = root.send(&preview, PATH, &[]).await;
    assert!(text(&root.follow(&done).await).contains("Deleted: 2 images."));
    assert_eq!(tags(&guarded).await, ["moving"]);
    // Nothing is a day old here.
    let older = text(&root.open(&format!("{PATH}?what=older&days=1")).await);
    assert!(older.contains("Nothing would go"), "{older}");
}

#[tokio::test]
async fn nothing_goes_that_was_not_shown() {
    let (guarded, root) = ground().await;
    let client = guarded.as_user("root");
    client.image("root/model", "1").await;
    client.image("root/model", "1").await;
    let preview = root.open(&format!("{PATH}?what=untagged")).await;
    client.image("root/model", "1").await;
    let changed = root.send(&preview, PATH, &[]).await;
    changed.expect(409);
    assert!(text(&changed).contains("has changed since") && text(&changed).contains("This would go: 2 images"));
    root.send(&changed, PATH, &[]).await.expect(303);
}

#[tokio::test]
async fn what_cannot_be_selected_says_so_at_its_field() {
    let (guarded, root) = ground().await;
    guarded.as_user("root").image("root/model", "1").await;
    let csrf = crate::browser::hidden(&root.open("/r/root/model/-/settings").await)[0].clone();
    root.post(PATH, std::slice::from_ref(&csrf)).await.expect(400);
    for (query, fault) in [
        ("what=older&days=", "Say a number of days"),
        ("what=older&days=0", "Say a number of days"),
        ("what=older&days=99999999999999999999", "Say a number of days"),
        ("what=tags", "Pick at least one tag."),
        ("what=%3Cscript%3E", "Choose what to delete."),
        ("what=tags&tag=%3Cscript%3E", "Pick at least one tag."),
    ] {
        let answer = root.open(&format!("{PATH}?{query}")).await;
        answer.expect(400);
        assert!(text(&answer).contains(fault) && !text(&answer).contains("<script>\""), "{query}: {}", text(&answer));
        let sent = query.split('&').filter_map(|pair| pair.split_once('='));
        let sent = sent.map(|(name, value)| (name.to_owned(), value.replace("%3C", "<").replace("%3E", ">")));
        root.post(PATH, &sent.chain([csrf.clone()]).collect::<Vec<_>>()).await.expect(400);
    }
    // A tag that is not there takes nothing along.
    assert!(text(&root.open(&format!("{PATH}?what=tags&tag=nowhere")).await).contains("Nothing would go"));
    assert_eq!(tags(&guarded).await, ["1"]);
}

#[tokio::test]
async fn the_trash_gives_back_and_lets_go() {
    let (guarded, root) = ground().await;
    let client = guarded.as_user("root");
    let (one, two) = (client.image("root/model", "1").await, client.image("root/model", "2").await);
    for digest in [one, two] {
        client.delete(&format!("/v2/root/model/manifests/{digest}")).await.expect(202);
    }
    let page = root.open(TRASH).await;
    assert!(text(&page).contains(&one.to_string()) && text(&page).contains("in 7 days"), "{}", text(&page));
    let back = root.send(&page, TRASH, &[("digest", &one.to_string())]).await;
    assert!(text(&root.follow(&back).await).contains("is back, with 1."));
    assert_eq!(tags(&guarded).await, ["1"]);
    let again = root.send(&page, TRASH, &[("digest", &one.to_string())]).await;
    assert!(again.status.is_client_error(), "{}", again.status);
    assert!(text(&again).contains("role=\"alert\""), "{}", text(&again));
    root.send(&page, TRASH, &[("digest", "sha256:none")]).await.expect(400);
    let asked = root.open(&format!("{TRASH}?purge={two}")).await;
    assert!(text(&asked).contains("Remove for good?"));
    let gone = root.send(&asked, TRASH, &[("do", "purge"), ("digest", &two.to_string())]).await;
    assert!(text(&root.follow(&gone).await).contains("1 image gone for good"));
    assert!(!text(&root.open(TRASH).await).contains(&two.to_string()));
}

#[tokio::test]
async fn a_tag_goes_back_from_its_history() {
    let (guarded, root) = ground().await;
    let client = guarded.as_user("root");
    let first = client.image("root/model", "prod").await;
    let second = client.image("root/model", "prod").await;
    let path = "/r/root/model/-/tags/prod/history";
    let page = root.open(path).await;
    assert_eq!(text(&page).matches("Go back to this").count(), 1, "{}", text(&page));
    let back = root.send(&page, path, &[]).await;
    let after = root.follow(&back).await;
    assert!(text(&after).contains("prod points to") && text(&after).contains("Rolled back"), "{}", text(&after));
    let told = guarded.operator().get("/api/v1/repositories/root/model/-/tags/prod").await.json();
    assert_eq!(told["digest"], first.to_string());
    // What lies in the trash comes back with it; what was never there does not.
    client.delete(&format!("/v2/root/model/manifests/{second}")).await.expect(202);
    let page = root.open(path).await;
    assert!(text(&page).contains("In the trash"), "{}", text(&page));
    root.send(&page, path, &[("to", &second.to_string())]).await.expect(303);
    let told = guarded.operator().get("/api/v1/repositories/root/model/-/tags/prod").await.json();
    assert_eq!(told["digest"], second.to_string());
    let nowhere = format!("sha256:{}", "0".repeat(64));
    assert!(root.send(&page, path, &[("to", &nowhere)]).await.status.is_client_error());
    root.send(&page, path, &[("to", "<script>")]).await.expect(400);
}
