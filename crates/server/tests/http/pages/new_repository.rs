//! A new repository, as a person makes one.

use serde_json::json;

use crate::access::fixture::Guarded;
use crate::browser::{Browser, text};

#[tokio::test]
async fn a_repository_is_made_and_says_what_to_type_to_push() {
    let guarded = Guarded::new().await;
    guarded.user("alice").await;
    let alice = Browser::new(guarded.stranger());
    alice.sign_in("alice").await.expect(303);
    let page = alice.open("/new").await;
    page.expect(200);
    assert!(text(&page).contains("value=\"alice/\"") && text(&page).contains("without signing in"), "{}", text(&page));
    let entered =
        [("name", " alice/deep/er/model "), ("description", "# Churn\r\n\r\nEvery week."), ("visibility", "public")];
    let made = alice.send(&page, "/new", &entered).await;
    assert_eq!(made.header("location"), "/r/alice/deep/er/model");
    let there = text(&alice.follow(&made).await);
    for part in ["alice/deep/er/model is there.", "docker push localhost:5000/alice/deep/er/model:TAG", "Every week."] {
        assert!(there.contains(part), "{part} is not in {there}");
    }
    let told = guarded.operator().get("/api/v1/repositories/alice/deep/er/model").await.json();
    assert_eq!((&told["public"], &told["description"]), (&json!(true), &json!("# Churn\n\nEvery week.")));
    let audit = guarded.operator().get("/api/v1/audit?repository=alice/deep/er/model").await.json();
    assert!(audit.to_string().contains("user:alice"), "{audit}");
}

#[tokio::test]
async fn what_was_typed_stays_when_it_cannot_be() {
    let guarded = Guarded::new().await;
    guarded.user("alice").await;
    let alice = Browser::new(guarded.stranger());
    alice.sign_in("alice").await.expect(303);
    let page = alice.open("/new").await;
    alice.send(&page, "/new", &[("name", "alice/there")]).await.expect(303);
    let hostile = "\"><script>alert(1)</script>";
    let long = "x".repeat(4_001);
    for (name, description, status, fault) in [
        ("alice/there", "kept as it was", 400, "name-fault"),
        ("Alice/Model", "kept as it was", 400, "name-fault"),
        ("", "kept as it was", 400, "name-fault"),
        (hostile, hostile, 400, "name-fault"),
        ("bob/model", "kept as it was", 403, "name-fault"),
        ("alice/long", long.as_str(), 400, "description-fault"),
        ("alice/bell", "kept\u{7}", 400, "description-fault"),
    ] {
        let entered = [("name", name), ("description", description), ("visibility", "public")];
        let answer = alice.send(&page, "/new", &entered).await;
        answer.expect(status);
        let shown = text(&answer);
        assert!(shown.contains(&format!("id=\"{fault}\"")) && shown.contains("role=\"alert\""), "{name}: {shown}");
        assert!(shown.contains("id=\"public\" name=\"visibility\" value=\"public\" checked"), "{name}: {shown}");
        assert!(!shown.contains("<script>alert"), "{name}");
        if description.starts_with("kept as") {
            assert!(
                shown.contains("kept as it was") && shown.contains(&format!("value=\"{name}\"")),
                "{name}: {shown}"
            );
        }
    }
    let all = guarded.operator().get("/api/v1/repositories").await.json();
    assert_eq!(all["repositories"].as_array().map(Vec::len), Some(1), "{all}");
}

#[tokio::test]
async fn a_stranger_is_asked_to_sign_in() {
    let guarded = Guarded::new().await;
    let stranger = Browser::new(guarded.stranger());
    let page = stranger.open("/new").await;
    page.expect(403);
    assert!(text(&page).contains("href=\"/login\""));
}
