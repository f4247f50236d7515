//! What a search finds: tags, digests, labels and annotations.

use larder_catalog::model::{FoundImage, ImageSearch, PutManifest, RepositoryFilter, RollbackTo, Sought};
use larder_oci::{Algorithm, Digest};

use crate::fixture::{Fixture, at, digest, manifest, name, pattern, stamp, tag, visible};

crate::on_every_database!(
    tags_are_found_in_every_repository,
    digests_are_found_by_their_beginning,
    images_are_found_by_what_they_say,
    what_may_not_be_seen_is_passed_over,
    a_walk_goes_on_where_it_ended,
    what_is_deleted_is_not_found_and_what_comes_back_is,
);

fn tags(beginning: &str) -> ImageSearch {
    ImageSearch { words: Vec::new(), sought: Sought::Tag(beginning.to_owned()) }
}

fn said(name: Option<&str>, value: &str) -> ImageSearch {
    let sought = Sought::Said { name: name.map(str::to_owned), value: value.to_owned() };
    ImageSearch { words: Vec::new(), sought }
}

fn saying(number: u64, labels: &str, annotations: Option<&str>) -> PutManifest {
    let annotations = annotations.map(str::to_owned);
    PutManifest { labels: Some(labels.to_owned()), annotations, ..manifest("a", number, vec![], &[]) }
}

/// Everything that a search finds, `limit` at a time.
async fn all(f: &Fixture, filter: &RepositoryFilter, search: &ImageSearch, limit: usize) -> Vec<FoundImage> {
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = f.search_images(filter, search.clone(), after.as_deref(), limit).await.expect("answered");
        assert!(page.items.len() <= limit);
        found.extend(page.items);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

async fn shown(f: &Fixture, search: &ImageSearch) -> String {
    let found = all(f, &RepositoryFilter::All, search, 9).await;
    let lines = found.iter().map(|image| match (&image.tag, &image.said) {
        (Some(tag), _) => format!("{}:{tag}", image.repository),
        (_, Some((name, value))) => format!("{} {name}={value}", image.repository),
        _ => format!("{}", image.repository),
    });
    lines.collect::<Vec<_>>().join(", ")
}

async fn tags_are_found_in_every_repository(f: Fixture) {
    f.push(manifest("b", 1, vec![], &["1.0", "latest"])).await;
    f.push(manifest("a/x", 2, vec![], &["1.0", "1.1", "2.0"])).await;
    assert_eq!(shown(&f, &tags("1.0")).await, "b:1.0, a/x:1.0");
    assert_eq!(shown(&f, &tags("1")).await, "b:1.0, a/x:1.0, a/x:1.1");
    assert_eq!(shown(&f, &tags("0")).await, "");
    let within = ImageSearch { words: vec!["x".to_owned()], ..tags("1.0") };
    assert_eq!(shown(&f, &within).await, "a/x:1.0");
    let found = all(&f, &RepositoryFilter::All, &tags("latest"), 9).await;
    assert_eq!(found[0].digest, manifest("b", 1, vec![], &[]).digest);
    f.put_tag(&name("b"), &tag("1.9"), &found[0].digest, "retag", stamp(2)).await.expect("moved");
    f.delete_tag(&name("b"), &tag("1.0"), stamp(2)).await.expect("deleted");
    assert_eq!(shown(&f, &tags("1")).await, "a/x:1.0, a/x:1.1, b:1.9");
}

async fn digests_are_found_by_their_beginning(f: Fixture) {
    let image = manifest("a", 1, vec![], &[]);
    f.push(image.clone()).await;
    f.push(PutManifest { repository: name("b"), ..image.clone() }).await;
    f.push(manifest("a", 2, vec![], &[])).await;
    let between = |first: [u8; 32], last: [u8; 32]| {
        let digest = |bytes: [u8; 32]| Digest::new(Algorithm::Sha256, &bytes).expect("a digest");
        ImageSearch { words: Vec::new(), sought: Sought::Digest(digest(first), digest(last)) }
    };
    let (mut first, mut last) = ([0; 32], [0xff; 32]);
    first[..4].copy_from_slice(&image.digest.as_bytes()[..4]);
    last[..4].copy_from_slice(&image.digest.as_bytes()[..4]);
    assert_eq!(shown(&f, &between(first, last)).await, "a, b");
    let found = all(&f, &RepositoryFilter::All, &between(first, last), 1).await;
    assert!(found.len() == 2 && found.iter().all(|found| found.digest == image.digest));
    assert_eq!(all(&f, &RepositoryFilter::All, &between([0; 32], [0xff; 32]), 1).await.len(), 3);
    assert_eq!(shown(&f, &between([1; 32], [1; 32])).await, "");
}

async fn images_are_found_by_what_they_say(f: Fixture) {
    f.push(saying(1, r#"{"revision":"5F1d2c9","team":"growth"}"#, Some(r#"{"stage":"growth"}"#))).await;
    f.push(saying(2, r#"{"revision":"5f1d2d0","empty":"","odd":7,"nul":"\u0000"}"#, None)).await;
    assert_eq!(shown(&f, &said(None, "5f1d2")).await, "a revision=5f1d2c9, a revision=5f1d2d0");
    assert_eq!(shown(&f, &said(None, "5F1D2C")).await, "a revision=5f1d2c9");
    assert_eq!(shown(&f, &said(None, "growth")).await, "a stage=growth, a team=growth");
    assert_eq!(shown(&f, &said(Some("Team"), "gro")).await, "a team=growth");
    assert_eq!(shown(&f, &said(Some("revision"), "growth")).await, "");
    let long = "x".repeat(1_000);
    f.push(saying(3, &format!(r#"{{"long":"{long}"}}"#), None)).await;
    assert_eq!(all(&f, &RepositoryFilter::All, &said(None, &long), 9).await.len(), 1, "cut alike on both sides");
}

async fn what_may_not_be_seen_is_passed_over(f: Fixture) {
    for (number, text) in ["open", "team/a", "team/b", "secret"].into_iter().enumerate() {
        f.push(manifest(text, number as u64, vec![], &["1.0"])).await;
    }
    let change = larder_catalog::model::access::RepositoryChange { public: Some(true), description: None };
    f.set_repository(&name("open"), change, stamp(1)).await.expect("changed");
    let seen = async |filter: RepositoryFilter| {
        let found = all(&f, &filter, &tags("1"), 1).await;
        found.iter().map(|image| image.repository.to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(seen(visible(&["team/**"], &["team/b"])).await, "team/a");
    let allow = vec![pattern("secret")];
    assert_eq!(seen(RepositoryFilter::Visible { allow, deny: vec![], public: true }).await, "open secret");
    assert_eq!(seen(visible(&[], &[])).await, "");
}

async fn a_walk_goes_on_where_it_ended(f: Fixture) {
    for number in 0..7 {
        f.push(PutManifest {
            tags: vec![tag("v1"), tag(&format!("v{number}"))],
            repository: name(&format!("r{number}")),
            ..saying(number, r#"{"x":"v","y":"v"}"#, None)
        })
        .await;
    }
    for (search, count) in [(tags("v"), 13), (said(None, "v"), 14), (said(Some("y"), "v"), 7)] {
        for limit in [1, 2, 5, 100] {
            let found = all(&f, &RepositoryFilter::All, &search, limit).await;
            assert_eq!(found.len(), count, "{search:?} by {limit}");
        }
    }
    // What is no place of ours is the beginning.
    for after in ["", "x", "[]", "[\"\\u0000\",1,\"\"]"] {
        let page = f.search_images(&RepositoryFilter::All, tags("v0"), Some(after), 9).await.expect("answered");
        assert_eq!(page.items.len(), 1, "{after}");
    }
}

async fn what_is_deleted_is_not_found_and_what_comes_back_is(f: Fixture) {
    let image = saying(1, r#"{"revision":"abc"}"#, None);
    f.push(PutManifest { tags: vec![tag("t")], ..image.clone() }).await;
    f.delete_manifest(&name("a"), &image.digest, at(20), Some(at(90)), stamp(2)).await.expect("deleted");
    assert_eq!((shown(&f, &said(None, "abc")).await, shown(&f, &tags("t")).await), (String::new(), String::new()));
    f.undelete_manifest(&name("a"), &image.digest, stamp(3)).await.expect("restored");
    assert_eq!(shown(&f, &said(None, "abc")).await, "a revision=abc");
    f.delete_manifest(&name("a"), &image.digest, at(20), Some(at(90)), stamp(4)).await.expect("deleted");
    f.rollback_tag(&name("a"), &tag("t"), RollbackTo::Digest(image.digest), true, stamp(5)).await.expect("answered");
    f.push(image.clone()).await;
    assert_eq!(shown(&f, &said(None, "abc")).await, "a revision=abc");
    f.remove_repository(&name("a"), stamp(6), at(20), None).await.expect("removed");
    assert_eq!(shown(&f, &said(None, "abc")).await, "");
    assert_ne!(image.digest, digest(1));
}
