//! What pages show: lists in the order in which people want them.

use larder_catalog::model::access::RepositoryChange;
use larder_catalog::model::{PutManifest, RepositoryFilter, RepositorySearch, TaggedManifest};

use crate::fixture::{Fixture, at, blob, child, config, layer, manifest, name, stamp, tag, visible};

crate::on_every_database!(
    the_newest_tags_come_first_and_each_once,
    tags_are_found_by_how_they_begin,
    an_index_counts_what_its_entries_hold,
    a_manifest_knows_its_tags_and_indexes,
    layers_are_counted_where_they_are_shared,
    an_outline_tells_what_a_repository_holds,
    a_search_finds_every_word_and_only_what_may_be_seen,
    a_search_goes_on_where_it_ended,
);

fn names(tags: &[TaggedManifest]) -> Vec<&str> {
    tags.iter().map(|tag| tag.name.as_str()).collect()
}

async fn the_newest_tags_come_first_and_each_once(f: Fixture) {
    for (number, (minute, tags)) in [(1, &["b", "a"][..]), (3, &["c"][..]), (2, &["d"][..])].into_iter().enumerate() {
        let push = manifest("a", number as u64, vec![], tags);
        f.push(PutManifest { stamp: stamp(minute), ..push }).await;
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = f.newest_tags(&name("a"), before, 1).await.expect("listed").expect("the repository");
        before = page.items.last().map(|tag| (tag.updated, tag.name.clone()));
        seen.extend(page.items);
        if !page.more {
            break;
        }
    }
    assert_eq!(names(&seen), ["c", "d", "b", "a"]);
    assert_eq!((seen[0].updated, seen[0].manifest.pushed_by.as_str()), (at(3), "alice"));
    assert_eq!(f.newest_tags(&name("none"), None, 9).await.expect("answered"), None);
}

async fn tags_are_found_by_how_they_begin(f: Fixture) {
    f.push(manifest("a", 1, vec![], &["1.0.0", "1.0.1", "1.1.0", "v1.0", "10"])).await;
    let list = async |beginning: &str, after: Option<&str>, limit| {
        let page = f.named_tags(&name("a"), beginning, after, limit).await.expect("listed").expect("the repository");
        (names(&page.items).join(" "), page.more)
    };
    assert_eq!(list("1.0", None, 9).await, ("1.0.0 1.0.1".to_owned(), false));
    assert_eq!(list("1", None, 2).await, ("1.0.0 1.0.1".to_owned(), true));
    assert_eq!(list("1", Some("1.0.1"), 9).await, ("1.1.0 10".to_owned(), false));
    assert_eq!(list("", None, 9).await.0, "1.0.0 1.0.1 1.1.0 10 v1.0");
    assert_eq!(list("%", None, 9).await.0, "");
}

async fn an_index_counts_what_its_entries_hold(f: Fixture) {
    let (one, two) = (blob(1), blob(2));
    f.push_blob("a", &one, 10).await;
    f.push_blob("a", &two, 10).await;
    let images = [manifest("a", 1, vec![layer(&one)], &[]), manifest("a", 2, vec![layer(&two)], &[])];
    for image in &images {
        f.push(image.clone()).await;
    }
    let index = manifest("a", 3, images.iter().map(child).collect(), &["all"]);
    f.push(index.clone()).await;
    let facts = f.manifest_facts(&name("a"), &[index.digest, one.digest, images[0].digest]).await.expect("answered");
    let lengths: u64 = images.iter().map(|image| image.bytes.len() as u64).sum();
    let content = facts[0].as_ref().expect("the index").content;
    assert_eq!(content, index.bytes.len() as u64 + lengths + one.size + two.size);
    assert_eq!(facts[1], None, "a blob is no manifest");
    assert_eq!(facts[2].as_ref().expect("the image").content, images[0].bytes.len() as u64 + one.size);
    assert_eq!(f.manifest_facts(&name("b"), &[index.digest]).await.expect("answered"), [None]);
}

async fn a_manifest_knows_its_tags_and_indexes(f: Fixture) {
    let image = manifest("a", 1, vec![], &["c", "a", "b"]);
    f.push(image.clone()).await;
    f.push(PutManifest { repository: name("b"), ..image.clone() }).await;
    let index = manifest("a", 2, vec![child(&image)], &[]);
    f.push(index.clone()).await;
    let tags = f.tags_of(&name("a"), &image.digest, 9).await.expect("answered");
    assert_eq!((tags.items, tags.more), (vec![tag("a"), tag("b"), tag("c")], false));
    assert!(f.tags_of(&name("a"), &image.digest, 2).await.expect("answered").more);
    assert_eq!(f.indexes_of(&name("a"), &image.digest, 9).await.expect("answered"), [index.digest]);
    assert_eq!(f.indexes_of(&name("b"), &image.digest, 9).await.expect("answered"), []);
}

async fn layers_are_counted_where_they_are_shared(f: Fixture) {
    let (base, own, settings) = (blob(1), blob(2), blob(3));
    for blob in [&base, &own, &settings] {
        f.push_blob("a", blob, 10).await;
        f.push_blob("b", blob, 10).await;
    }
    f.push(manifest("a", 1, vec![config(&settings), layer(&base), layer(&own)], &[])).await;
    f.push(manifest("a", 2, vec![config(&settings), layer(&base)], &[])).await;
    f.push(manifest("b", 3, vec![config(&settings), layer(&base)], &[])).await;
    let uses = f.layer_uses(&name("a"), &[own.digest, base.digest, settings.digest, blob(9).digest]).await;
    assert_eq!(uses.expect("answered"), [1, 2, 0, 0]);
}

async fn an_outline_tells_what_a_repository_holds(f: Fixture) {
    let one = blob(1);
    f.push_blob("a", &one, 10).await;
    let image = manifest("a", 1, vec![layer(&one)], &["x", "y"]);
    f.push(PutManifest { stamp: stamp(7), ..image.clone() }).await;
    let change = RepositoryChange { public: Some(true), description: Some("words".to_owned()) };
    f.set_repository(&name("a"), change, stamp(8)).await.expect("changed");
    let outline = f.repository_outline(&name("a")).await.expect("answered").expect("the repository");
    assert_eq!((outline.tags, outline.manifests), (2, 1));
    assert_eq!(outline.size, Some(one.size + image.bytes.len() as u64));
    assert_eq!((outline.changed, outline.public, outline.description.as_str()), (Some(at(7)), true, "words"));
    assert_eq!(f.repository_outline(&name("b")).await.expect("answered"), None);
}

async fn a_search_finds_every_word_and_only_what_may_be_seen(f: Fixture) {
    for text in ["team/churn", "team/churn-v2", "other/churn", "team/fraud"] {
        f.create_repository(&name(text), stamp(0)).await.expect("made");
    }
    let change = RepositoryChange { public: Some(true), description: None };
    f.set_repository(&name("team/churn-v2"), change, stamp(1)).await.expect("changed");
    let find = async |filter: &RepositoryFilter, words: &[&str], public| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let found = f.search_repositories(filter, RepositorySearch { words, public }, None, 9).await.expect("answered");
        assert_eq!(found.next, None);
        found.items.iter().map(|outline| outline.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    let all = RepositoryFilter::All;
    assert_eq!(find(&all, &[], None).await, "other/churn team/churn team/churn-v2 team/fraud");
    assert_eq!(find(&all, &["churn", "team"], None).await, "team/churn team/churn-v2");
    assert_eq!(find(&all, &[], Some(true)).await, "team/churn-v2");
    assert_eq!(find(&all, &["churn"], Some(false)).await, "other/churn team/churn");
    assert_eq!(find(&visible(&["team/**"], &["team/churn"]), &["churn"], None).await, "team/churn-v2");
    assert_eq!(find(&all, &["nothing"], None).await, "");
}

async fn a_search_goes_on_where_it_ended(f: Fixture) {
    for n in 0..10 {
        let text = format!("{}/m{n}", if n % 2 == 0 { "even" } else { "odd" });
        f.create_repository(&name(&text), stamp(0)).await.expect("made");
    }
    for words in [vec![], vec!["odd".to_owned()]] {
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        loop {
            let search = RepositorySearch { words: words.clone(), public: None };
            let found =
                f.search_repositories(&RepositoryFilter::All, search, after.as_deref(), 2).await.expect("answered");
            seen.extend(found.items.into_iter().map(|outline| outline.name));
            match found.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen.len(), if words.is_empty() { 10 } else { 5 });
        assert!(seen.is_sorted());
    }
}
