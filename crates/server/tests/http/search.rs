//! Searching: `/api/v1/search`, what `docker search` and `podman search` ask for, and the page.

use http::Method;
use serde_json::{Value, json};

use crate::access::fixture::{Guarded, token};
use crate::pages::stock::{config, describe, open, push_image, text};
use crate::world::{Client, World, random};

/// What a search finds, as `FIELD REPOSITORY TAG-OR-LABEL`, page by page.
async fn found(client: &Client, query: &str) -> Vec<String> {
    let (mut lines, mut next) = (Vec::new(), Some(format!("/api/v1/search?{query}")));
    while let Some(path) = next {
        let answer = client.get(&path).await;
        answer.expect(200);
        for entry in answer.json()["found"].as_array().expect("a list") {
            let by = entry["tag"].as_str().or(entry["label"]["name"].as_str()).unwrap_or_default().to_owned();
            let words = [entry["field"].as_str().expect("a field"), entry["repository"].as_str().expect("a name"), &by];
            lines.push(words.join(" ").trim_end().to_owned());
        }
        next = answer.next();
    }
    lines
}

async fn fill(client: &Client) -> String {
    let digest = push_image(client, "team/churn", "1.0.0", &config(), &[random(10)]).await;
    client.image("team/churn", "1.1.0").await;
    client.image("team/fraud", "1.0.0").await;
    client.image("finance/secret", "1.0.0").await;
    digest.to_string()
}

#[tokio::test]
async fn names_tags_digests_and_labels_are_found() {
    let world = World::new().await;
    let client = world.operator();
    let digest = fill(&client).await;
    assert_eq!(found(&client, "q=churn").await, ["name team/churn"]);
    let tags = ["tag finance/secret 1.0.0", "tag team/churn 1.0.0", "tag team/fraud 1.0.0"];
    let mut all = found(&client, "q=1.0").await;
    all.sort();
    assert_eq!(all, tags);
    assert_eq!(found(&client, "q=churn%201.0").await, ["tag team/churn 1.0.0"]);
    assert_eq!(found(&client, &format!("q={}", &digest[..15])).await, ["digest team/churn"]);
    assert_eq!(found(&client, &format!("q=digest:{}", &digest[7..13])).await, ["digest team/churn"]);
    let source = "label team/churn org.opencontainers.image.source";
    assert_eq!(found(&client, "q=https://git.example").await, [source]);
    assert_eq!(found(&client, "q=label:org.opencontainers.image.source%3Dhttps://GIT").await, [source]);
    assert_eq!(found(&client, "q=label:other%3Dhttps").await, [] as [&str; 0]);
    // Every field, one entry at a time: the same.
    let mut walked = found(&client, "q=1.0&limit=1").await;
    walked.sort();
    assert_eq!(walked, tags);
    assert_eq!(found(&client, "q=1.0&field=name").await, [] as [&str; 0]);
    for wrong in ["", "?q=", "?q=a&field=x", "?q=a&limit=x"] {
        client.get(&format!("/api/v1/search{wrong}")).await.expect(400);
    }
    for odd in ["%00", "%ff", "tag:%00", "label:%00%3D%00", "a&after=%00", "a&field=tag&after=%5B%22%22%5D"] {
        client.get(&format!("/api/v1/search?q={odd}")).await.expect(200);
    }
}

#[tokio::test]
async fn one_finds_what_one_may_see() {
    let guarded = Guarded::new().await;
    let digest = fill(&guarded.operator()).await;
    let alice = guarded.user("alice").await;
    guarded.grant("user:alice", &["pull"], "team/*").await;
    guarded.rule("user:alice", &["pull"], "team/fraud", "deny").await;
    assert_eq!(found(&alice, "q=1.0.0").await, ["tag team/churn 1.0.0"]);
    assert_eq!(found(&alice, "q=secret").await, [] as [&str; 0]);
    let bob = guarded.user("bob").await;
    for query in ["q=1", "q=churn", "q=https", &format!("q={digest}")] {
        assert_eq!(found(&bob, query).await, [] as [&str; 0], "{query}");
    }
    guarded.publish("team/churn").await;
    assert_eq!(found(&bob, &format!("q={digest}")).await, ["digest team/churn"]);
    guarded.stranger().get("/api/v1/search?q=churn").await.expect(401);
}

async fn v1(client: &Client, query: &str, headers: &[(&str, &str)]) -> Value {
    let answer = client.get_with(&format!("/v1/search?{query}"), headers).await;
    answer.expect(200);
    answer.json()
}

fn names(results: &Value) -> Vec<&str> {
    results["results"].as_array().expect("results").iter().filter_map(|result| result["name"].as_str()).collect()
}

/// Docker reads all of these fields, and looks at the ping's header before it sends a credential.
#[tokio::test]
async fn docker_search_gets_what_it_asks_for() {
    let world = World::new().await;
    let client = world.operator();
    let ping = client.get("/v1/_ping").await;
    ping.expect(200);
    assert_eq!(ping.header("x-docker-registry-standalone"), "true");
    fill(&client).await;
    describe(&client, "team/churn", "# Churn\n\nPredicts *churn*.", true).await;
    let results = v1(&client, "q=team%2Fchurn&n=25", &[("x-docker-token", "true")]).await;
    let entry = json!({
        "name": "team/churn", "description": "Predicts churn.", "star_count": 0, "is_official": false, "is_automated": false,
    });
    assert_eq!(results["results"], json!([entry]));
    assert_eq!((&results["query"], &results["num_results"]), (&json!("team/churn"), &json!(1)));
    assert_eq!(names(&v1(&client, "q=&n=2", &[]).await), ["finance/secret", "team/churn"]);
    assert_eq!(names(&v1(&client, "q=TEAM&n=x", &[]).await), ["team/churn", "team/fraud"]);
    client.post("/v1/search", "").await.expect(405);
    client.get("/v1/repositories").await.expect(404);
}

#[tokio::test]
async fn docker_search_shows_what_may_be_seen() {
    let guarded = Guarded::new().await;
    fill(&guarded.operator()).await;
    guarded.publish("team/fraud").await;
    let alice = guarded.user("alice").await;
    guarded.grant("user:alice", &["pull"], "team/*").await;
    assert_eq!(names(&v1(&alice, "q=a", &[]).await), ["team/churn", "team/fraud"]);
    // Docker without TLS shows no credential; anybody else who shows none is asked for one, and podman goes on to the catalogue.
    let docker = [("x-docker-token", "true")];
    assert_eq!(names(&v1(&guarded.stranger(), "q=a", &docker).await), ["team/fraud"]);
    let podman = guarded.stranger().get("/v1/search?q=a").await;
    podman.expect(401);
    assert!(!podman.header("www-authenticate").is_empty());
    guarded.stranger().basic("alice", "wrong").get_with("/v1/search?q=a", &docker).await.expect(401);
    // With an identity token docker asks for this scope.
    let bearer = guarded.stranger().bearer(&token(&alice, "registry:catalog:search").await);
    assert_eq!(names(&v1(&bearer, "q=a", &docker).await), ["team/churn", "team/fraud"]);
    let other = guarded.stranger().bearer(&token(&alice, "repository:team/churn:pull").await);
    assert_eq!(names(&v1(&other, "q=a", &docker).await), [] as [&str; 0]);
}

#[tokio::test]
async fn the_page_shows_each_kind_and_where_more_is() {
    let world = World::new().await;
    let client = world.operator();
    fill(&client).await;
    for number in 0..7 {
        client.image(&format!("many/m{number}"), "nightly").await;
    }
    let page = text(&open(&client, "/?q=nightly").await);
    assert!(page.contains("<h2>Tags</h2>") && page.contains("href=\"/r/many/m0/-/tags/nightly\""), "{page}");
    assert!(!page.contains("m6/-/tags") && page.contains("href=\"/?q=nightly&#38;in=tag\""), "{page}");
    let whole = text(&open(&client, "/?q=nightly&in=tag").await);
    assert!(whole.contains("href=\"/r/many/m6/-/tags/nightly\"") && !whole.contains("rel=\"next\""), "{whole}");
    let page = text(&open(&client, "/?q=https://git.example").await);
    assert!(page.contains("org.opencontainers.image.source=https://git.example/team/model"), "{page}");
    assert!(text(&open(&client, "/?q=nothing-like-it").await).contains("Nothing matches"));
    assert!(text(&open(&client, "/?q=x&in=digest").await).contains("Nothing fits"));
    client.json(Method::DELETE, "/api/v1/repositories/many/m0", &json!({})).await.expect(204);
    assert!(!text(&open(&client, "/?q=nightly").await).contains("many/m0"));
}
