//! `/v2/_catalog`

use crate::world::World;

/// CVE-2023-2253: a huge `n` was taken at its word.
#[tokio::test]
async fn repositories_are_listed_in_pages() {
    let world = World::new().await;
    let client = world.anonymous();
    assert_eq!(client.get("/v2/_catalog").await.json(), serde_json::json!({ "repositories": [] }));
    for name in ["b", "a/b/c", "a", "c-1"] {
        client.image(name, "latest").await;
    }
    let first = client.get("/v2/_catalog?n=3").await;
    assert_eq!(first.json()["repositories"], serde_json::json!(["a", "a/b/c", "b"]));
    let second = client.get(&first.next().expect("there is more")).await;
    assert_eq!(second.json()["repositories"], serde_json::json!(["c-1"]));
    assert_eq!(second.next(), None);
    for huge in ["1000000000", "99999999999999999999"] {
        let answer = client.get(&format!("/v2/_catalog?n={huge}")).await;
        answer.expect(200);
        assert_eq!(answer.json()["repositories"].as_array().map(Vec::len), Some(4));
    }
    assert_eq!(client.get("/v2/_catalog?n=-1").await.code(), "PAGINATION_NUMBER_INVALID");
    assert_eq!(client.get("/v2/_catalog?n=0").await.json()["repositories"], serde_json::json!([]));
}
