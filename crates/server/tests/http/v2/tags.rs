//! `/v2/<name>/tags/list`

use crate::world::World;

#[tokio::test]
async fn pages_link_to_each_other_until_the_list_ends() {
    let world = World::new().await;
    let client = world.anonymous();
    let digest = client.image("team/model", "tag-00").await;
    let manifest = client.get(&format!("/v2/team/model/manifests/{digest}")).await.json();
    let mut wanted = vec!["tag-00".to_owned()];
    for n in 1..10 {
        let tag = format!("tag-{n:02}");
        client.manifest("team/model", &tag, &manifest).await.expect(201);
        wanted.push(tag);
    }
    let mut found = Vec::new();
    let mut path = Some("/v2/team/model/tags/list?n=3".to_owned());
    let mut pages = 0;
    while let Some(page) = path {
        let answer = client.get(&page).await;
        answer.expect(200);
        let tags = answer.json()["tags"].as_array().cloned().expect("a list");
        assert!(tags.len() <= 3);
        found.extend(tags.iter().map(|tag| tag.as_str().expect("text").to_owned()));
        path = answer.next();
        pages += 1;
    }
    assert_eq!((found, pages), (wanted, 4));
}

#[tokio::test]
async fn n_and_last_mean_what_the_specification_says() {
    let world = World::new().await;
    let client = world.anonymous();
    let digest = client.image("team/model", "b").await;
    let manifest = client.get(&format!("/v2/team/model/manifests/{digest}")).await.json();
    for tag in ["a", "C", "B-1", "_x"] {
        client.manifest("team/model", tag, &manifest).await.expect(201);
    }
    let list = async |query: &str| {
        let answer = client.get(&format!("/v2/team/model/tags/list{query}")).await;
        answer.expect(200);
        assert_eq!(answer.header("content-type"), "application/json");
        (answer.json()["tags"].clone(), answer.next())
    };
    let all = serde_json::json!(["B-1", "C", "_x", "a", "b"]);
    assert_eq!(list("").await, (all.clone(), None));
    assert_eq!(list("?n=0").await, (serde_json::json!([]), None));
    assert_eq!(list("?n=5").await, (all.clone(), None));
    assert_eq!(list("?n=1000000000").await, (all.clone(), None));
    assert_eq!(list("?n=9223372036854775808").await, (all, None));
    assert_eq!(list("?last=C").await, (serde_json::json!(["_x", "a", "b"]), None));
    assert_eq!(list("?last=CC").await, (serde_json::json!(["_x", "a", "b"]), None));
    assert_eq!(list("?last=zzz").await, (serde_json::json!([]), None));
    assert_eq!(list("?n=2&last=..%2F..").await.0, serde_json::json!(["B-1", "C"]));
    for bad in ["n=-1", "n=x", "n=", "n=1e3"] {
        let answer = client.get(&format!("/v2/team/model/tags/list?{bad}")).await;
        answer.expect(400);
        assert_eq!(answer.code(), "PAGINATION_NUMBER_INVALID", "{bad}");
    }
    let unknown = client.get("/v2/unknown/tags/list?n=0").await;
    unknown.expect(404);
    assert_eq!(unknown.code(), "NAME_UNKNOWN");
}
