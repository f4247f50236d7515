//! What pages say.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;

use super::html::openings;
use super::stock::{config, describe, fill, open, push_image, text};
use crate::world::{World, random};

#[tokio::test]
async fn an_empty_registry_says_what_to_type() {
    let world = World::new().await;
    let client = world.anonymous();
    let page = text(&open(&client, "/").await);
    for part in [
        "docker push localhost:5000/ml-model:1.0",
        "podman push",
        "hosts.toml",
        "kind: Pod",
        "docker/build-push-action",
        "docker:dind",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(!page.contains("docker login"), "nobody logs in without accounts");
    client.post("/v2/first/blobs/uploads/", "").await.expect(202);
    assert!(text(&open(&client, "/").await).contains("<th scope=\"row\">first</th>"), "a push shows while it arrives");
    client.image("first", "1").await;
    let page = text(&open(&client, "/").await);
    assert!(page.contains("href=\"/r/first\"") && !page.contains("Welcome to"));
}

#[tokio::test]
async fn tags_are_gathered_by_what_they_point_to() {
    let world = World::new().await;
    let client = world.anonymous();
    let digest = client.image("model", "1.2.3").await;
    for tag in ["1.2", "latest"] {
        client
            .json(Method::PUT, &format!("/api/v1/repositories/model/-/tags/{tag}"), &json!({ "reference": "1.2.3" }))
            .await
            .expect(200);
    }
    describe(&client, "model", "Predicts **churn**.", true).await;
    let page = text(&open(&client, "/r/model").await);
    assert_eq!(page.matches("class=\"names\"").count(), 1);
    for tag in ["1.2.3", "1.2", "latest"] {
        assert!(page.contains(&format!("href=\"/r/model/-/tags/{tag}\"")), "{page}");
    }
    assert!(page.contains(&format!("/r/model/-/manifests/{digest}")));
    assert!(page.contains("<strong>churn</strong>") && page.contains(">Public<"));
    assert!(page.contains("docker pull localhost:5000/model:"));
}

#[tokio::test]
async fn pages_of_tags_tell_each_once_in_either_order() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("model", "first").await;
    for n in 0..119 {
        let path = format!("/api/v1/repositories/model/-/tags/v{n:03}");
        client.json(Method::PUT, &path, &json!({ "reference": "first" })).await.expect(200);
    }
    for start in ["/r/model", "/r/model?sort=name"] {
        let (mut tags, mut path, mut pages) = (Vec::new(), Some(start.to_owned()), 0);
        while let Some(at) = path {
            let page = text(&open(&client, &at).await);
            let all = openings(&page);
            let links = all.iter().filter_map(|tag| tag.value("href"));
            tags.extend(links.filter_map(|href| href.strip_prefix("/r/model/-/tags/")).map(str::to_owned));
            path = all
                .iter()
                .find(|tag| tag.value("rel") == Some("next"))
                .and_then(|tag| tag.value("href"))
                .map(str::to_owned);
            pages += 1;
        }
        assert_eq!((pages, tags.len()), (3, 120), "{start}");
        assert_eq!(tags.iter().collect::<BTreeSet<_>>().len(), 120, "{start}");
        assert!(!start.contains("name") || tags.is_sorted());
    }
    let page = text(&open(&client, "/r/model?tag=v01").await);
    assert_eq!(page.matches("href=\"/r/model/-/tags/v01").count(), 10);
}

#[tokio::test]
async fn an_image_shows_its_layers_with_the_instructions_that_made_them() {
    let world = World::new().await;
    let client = world.anonymous();
    let [image, ..] = fill(&client, "team/model").await;
    let page = text(&open(&client, "/r/team/model/-/tags/1.0.0").await);
    for part in [
        "ADD file:0 in /",
        "RUN pip install torch",
        "3.00 kB",
        "shared with 1",
        "linux/amd64",
        "1000",
        "/app",
        "8080/tcp",
        "https://git.example/team/model",
        "Signature",
        "application/vnd.dev.cosign.artifact.sig.v1+json",
        "docker pull localhost:5000/team/model:1.0.0",
        "podman pull --tls-verify=false",
        "ctr images pull --plain-http",
        "crane pull --insecure",
        "FROM localhost:5000/team/model@sha256:",
        "kind: Pod",
        "Part of",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(page.contains(&format!("docker pull localhost:5000/team/model@{image}")));
    let (before, after) = page.split_once("hf_abcdefgh").expect("the token is there for who asks");
    assert!(before.ends_with("<summary>Hidden: looks like a secret</summary><code>"), "{before}");
    assert!(!after.contains("hf_abcdefgh"), "only there");
    assert!(page.contains("<code>/usr/bin</code>"));
}

#[tokio::test]
async fn an_index_shows_its_platforms_with_their_sizes() {
    let world = World::new().await;
    let client = world.anonymous();
    let [image, ..] = fill(&client, "team/model").await;
    let page = text(&open(&client, "/r/team/model/-/tags/1.1.0").await);
    assert!(page.contains("<th scope=\"row\">linux/amd64</th>") && page.contains("<th scope=\"row\">linux/arm64</th>"));
    assert!(page.contains(&format!("href=\"/r/team/model/-/manifests/{image}\"")));
    // Two images of more than 3.5 kB each, and never a row of 0 bytes.
    assert!(!page.contains(">0 B<") && page.contains(" kB<"), "{page}");
    let list = text(&open(&client, "/r/team/model").await);
    assert!(list.contains("Multi-platform image") && list.contains(">linux/arm64<"), "{list}");
}

#[tokio::test]
async fn a_model_shows_its_files() {
    let world = World::new().await;
    let client = world.anonymous();
    let [_, _, model, _] = fill(&client, "team/model").await;
    let page = text(&open(&client, &format!("/r/team/model/-/manifests/{model}")).await);
    for part in [
        "weights/model.safetensors",
        "Safetensors",
        "2.00 kB",
        "larder pull localhost:5000/team/model@sha256:",
        ">Model<",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    let raw = open(&client, &format!("/r/team/model/-/manifests/{model}/raw")).await;
    assert_eq!(crate::world::sha256(&raw.body), model, "byte for byte");
}

#[tokio::test]
async fn history_and_comparison_tell_what_changed() {
    let world = World::new().await;
    let client = world.anonymous();
    let shared = random(4_000);
    let one = push_image(&client, "model", "prod", &config(), &[shared.clone(), random(100)]).await;
    let mut changed = config();
    changed["config"]["Env"] = json!(["PATH=/usr/bin", "MODEL=churn-2", "HF_TOKEN=hf_other"]);
    changed["config"]["User"] = "root".into();
    let two = push_image(&client, "model", "prod", &changed, &[shared, random(900)]).await;
    client.delete("/v2/model/manifests/prod").await.expect(202);
    let page = text(&open(&client, "/r/model/-/tags/prod/history").await);
    let order: Vec<usize> =
        ["Deleted", "Pushed anew", "First push"].iter().map(|word| page.find(word).expect("told")).collect();
    assert!(order.is_sorted(), "{page}");
    let compare = format!("/r/model/-/compare?from={one}&amp;to={two}");
    assert!(page.contains(&compare.replace("&amp;", "&#38;")) || page.contains(&compare), "{page}");
    let page = text(&open(&client, &compare.replace("&amp;", "&")).await);
    for part in ["1 in common", "4.00 kB", "900 B", "churn-2", "<code>1000</code>", "<code>root</code>"] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(!page.contains("<th scope=\"row\">PATH</th>"), "what is the same is not told");
    let same = text(&open(&client, &format!("/r/model/-/compare?from={one}&to={one}")).await);
    assert!(same.contains("byte for byte"));
    assert!(text(&open(&client, "/r/model/-/compare?from=nothing&to=x").await).contains("has nothing called nothing"));
    open(&client, "/r/model/-/tags/never/history").await.expect(404);
}

/// Behaviour §5: a pull is a manifest that a client gets.
#[tokio::test]
async fn looking_is_no_pull() {
    let world = World::new().await;
    let client = world.anonymous();
    client.image("model", "1").await;
    for path in ["/r/model", "/r/model/-/tags/1", "/r/model/-/compare?from=1&to=1"] {
        open(&client, path).await.expect(200);
    }
    assert!(text(&open(&client, "/r/model/-/tags/1").await).contains("not yet"));
}

/// An image that is not all here has a page too.
#[tokio::test]
async fn what_is_incomplete_is_marked_and_shown() {
    let world = World::new().await;
    let client = world.anonymous();
    let absent = random(30);
    let manifest = crate::world::image(&[
        crate::world::descriptor(crate::world::CONFIG, &absent),
        crate::world::descriptor(crate::world::LAYER, &random(40)),
    ]);
    client.manifest("model", "1", &manifest).await.expect(201);
    assert!(text(&open(&client, "/r/model/-/tags/1").await).contains(">Incomplete<"));
    assert!(text(&open(&client, "/r/model").await).contains(">Incomplete<"));
}
