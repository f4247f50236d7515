//! Every link of every page leads somewhere, and every page keeps the rules that all have in common.

use std::collections::{BTreeSet, VecDeque};

use super::html::{Opening, openings};
use super::stock::{describe, fill, open, text};
use crate::access::fixture::Guarded;
use crate::world::{Client, World};

/// Follows every link, form and file of ours from these pages on; answers what was visited.
async fn crawl(client: &Client, from: &[&str]) -> BTreeSet<String> {
    let mut ahead: VecDeque<String> = from.iter().map(|path| (*path).to_owned()).collect();
    let mut seen: BTreeSet<String> = ahead.iter().cloned().collect();
    while let Some(path) = ahead.pop_front() {
        assert!(seen.len() < 2_000, "pages without an end");
        let answer = open(client, &path).await;
        if path == "/account" && answer.status == 303 {
            // It is for sessions, and leads whoever has none to where one begins.
            assert!(answer.header("location").starts_with("/login"), "{path}");
            continue;
        }
        assert_eq!(answer.status, 200, "{path}");
        if !answer.header("content-type").starts_with("text/html") || path.starts_with("/api") {
            continue;
        }
        let page = text(&answer);
        let tags = openings(&page);
        keeps_the_rules(&path, &page, &tags);
        for link in links(&tags) {
            let link = link.split('#').next().unwrap_or_default().to_owned();
            if link.starts_with('/') && seen.insert(link.clone()) {
                ahead.push_back(link);
            }
        }
    }
    seen
}

fn links(tags: &[Opening]) -> Vec<String> {
    let hrefs = tags.iter().filter_map(|tag| tag.value("href").or(tag.value("src")));
    let forms = tags.iter().filter(|tag| tag.name == "form").filter_map(|tag| tag.value("action"));
    hrefs.chain(forms).filter(|link| !link.is_empty()).map(str::to_owned).collect()
}

fn keeps_the_rules(path: &str, page: &str, tags: &[Opening]) {
    let count = |name: &str| tags.iter().filter(|tag| tag.name == name).count();
    assert_eq!((count("h1"), count("main"), count("title")), (1, 1, 1), "{path}");
    assert_eq!(count("style") + count("iframe") + count("object") + count("embed"), 0, "{path}");
    let mut ids = BTreeSet::new();
    for tag in tags {
        for (name, value) in &tag.attributes {
            assert!(!name.starts_with("on") && name != "style", "{path}: {tag:?}");
            assert!(!value.trim_start().to_ascii_lowercase().starts_with("javascript:"), "{path}: {tag:?}");
        }
        assert!(tag.value("id").is_none_or(|id| ids.insert(id.to_owned())), "{path}: {tag:?} has another's id");
        match tag.name.as_str() {
            "script" => assert!(tag.value("src").is_some_and(|src| src.starts_with("/-/assets/")), "{path}: {tag:?}"),
            "img" => assert!(tag.value("alt").is_some(), "{path}: {tag:?}"),
            // Whoever is sent elsewhere takes nothing along.
            "a" if tag.value("href").is_some_and(|href| href.starts_with("http"))
                && !page.contains("class=\"prose\"") =>
            {
                assert!(tag.value("rel").is_some_and(|rel| rel.contains("noreferrer")), "{path}: {tag:?}");
            }
            "input" if tag.value("type") != Some("hidden") => {
                let id = tag.value("id").unwrap_or_else(|| panic!("{path}: {tag:?} has no label"));
                assert!(page.contains(&format!("for=\"{id}\"")), "{path}: {tag:?} has no label");
            }
            _ => {}
        }
        for name in ["src", "action"] {
            assert!(tag.value(name).is_none_or(|value| value.starts_with('/')), "{path}: {tag:?} asks somebody else");
        }
    }
    assert!(page.len() < 100_000, "{path} has {} bytes", page.len());
}

#[tokio::test]
async fn every_link_leads_somewhere() {
    let world = World::new().await;
    let client = world.operator();
    crawl(&client, &["/", "/connect", "/operations"]).await;
    let [image, index, model, signature] = fill(&client, "team/deep/model").await;
    describe(&client, "team/deep/model", "# Churn\n\nSee [the card](https://example.org/card).", true).await;
    for n in 0..120 {
        client.image("many", &format!("v{n}")).await;
    }
    for n in 0..40 {
        client.image(&format!("fleet/m{n:02}"), "1").await;
    }
    client.image("many", "v1").await;
    let seen = crawl(&client, &["/", "/operations", "/r/many?sort=name", "/?q=fleet", "/?visibility=private"]).await;
    for digest in [image, index, model, signature] {
        assert!(seen.contains(&format!("/r/team/deep/model/-/manifests/{digest}")), "{seen:?}");
    }
    assert!(seen.contains("/r/many/-/tags/v0/history") && seen.contains("/r/fleet/m39"), "{seen:?}");
    assert!(seen.iter().any(|path| path.starts_with("/r/many/-/compare?from=sha256:")), "{seen:?}");
}

#[tokio::test]
async fn a_stranger_meets_no_closed_door() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    fill(&root, "root/secret").await;
    fill(&root, "root/open").await;
    guarded.publish("root/open").await;
    let seen = crawl(&guarded.stranger(), &["/", "/connect"]).await;
    assert!(seen.contains("/r/root/open/-/tags/1.0.0"), "{seen:?}");
    assert!(!seen.iter().any(|path| path.contains("secret") || path.contains("operations")), "{seen:?}");
    let seen = crawl(&root, &["/"]).await;
    assert!(seen.contains("/r/root/secret/-/tags/1.0.0") && seen.contains("/operations"), "{seen:?}");
}
