//! Lists of tags by version and by time, page by page.

use larder_catalog::model::{PutManifest, TagListing, TagOrder};
use larder_oci::{TagKey, TagKind};

use crate::fixture::{Fixture, manifest, name, stamp, tag};

crate::on_every_database!(
    by_version_the_newest_comes_first,
    by_time_the_last_moved_comes_first,
    pages_of_any_order_join_to_the_whole,
    a_filter_shows_a_part_and_looks_at_a_bounded_number,
);

/// All pages of a list, and how many there were.
async fn listed(f: &Fixture, listing: &TagListing, limit: usize) -> (Vec<String>, usize) {
    let (mut all, mut after, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page =
            f.tag_rows(&name("a"), listing, after.as_deref(), limit).await.expect("listed").expect("it is there");
        assert!(page.items.len() <= limit);
        all.extend(page.items.iter().map(|row| row.name.to_string()));
        pages += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => return (all, pages),
        }
    }
}

fn ordered(order: TagOrder) -> TagListing {
    TagListing { order, ..TagListing::default() }
}

/// Case 2 of `cases.md`.
async fn by_version_the_newest_comes_first(f: Fixture) {
    f.push(manifest(
        "a",
        1,
        vec![],
        &["1.0.0", "1.0.1", "1.10.0", "1.2.0", "2.0.0", "v1.1", "latest", "1.2.0-abc123f"],
    ))
    .await;
    let (tags, _) = listed(&f, &ordered(TagOrder::Version), 100).await;
    assert_eq!(tags, ["2.0.0", "1.10.0", "1.2.0", "1.2.0-abc123f", "v1.1", "1.0.1", "1.0.0", "latest"]);
    let range = TagListing { range: Some("1.x".parse().expect("a range")), ..ordered(TagOrder::Version) };
    let (tags, _) = listed(&f, &range, 100).await;
    assert_eq!(tags, ["1.10.0", "1.2.0", "1.2.0-abc123f", "v1.1", "1.0.1", "1.0.0"]);
}

async fn by_time_the_last_moved_comes_first(f: Fixture) {
    for (n, tags) in [(1, ["b", "x"]), (2, ["a", "y"]), (3, ["b", "z"])] {
        f.push(PutManifest { stamp: stamp(n), ..manifest("a", n.unsigned_abs(), vec![], &tags) }).await;
    }
    let (tags, _) = listed(&f, &ordered(TagOrder::Time), 100).await;
    assert_eq!(tags, ["b", "z", "a", "y", "x"]);
}

/// **Invariant 10**: each page goes on where the one before ended, also among equals.
async fn pages_of_any_order_join_to_the_whole(f: Fixture) {
    let names: Vec<String> =
        (0..6).flat_map(|n| [format!("1.{n}"), format!("v1.{n}.0"), format!("other{n}")]).collect();
    for (n, some) in names.chunks(4).enumerate() {
        let tags: Vec<&str> = some.iter().map(String::as_str).collect();
        let n = i64::try_from(n).expect("small");
        f.push(PutManifest { stamp: stamp(n / 2), ..manifest("a", n.unsigned_abs(), vec![], &tags) }).await;
    }
    for order in [TagOrder::Name, TagOrder::Version, TagOrder::Time] {
        let (whole, _) = listed(&f, &ordered(order), 100).await;
        assert_eq!(whole.len(), names.len());
        for limit in [1, 2, 5, 18] {
            let (joined, pages) = listed(&f, &ordered(order), limit).await;
            assert_eq!(joined, whole, "{order:?} in pages of {limit}");
            assert_eq!(pages, whole.len().div_ceil(limit));
        }
    }
    let (whole, _) = listed(&f, &ordered(TagOrder::Version), 100).await;
    let mut expected = names.clone();
    expected.sort_by(|a, b| TagKey::of(&tag(b)).cmp(&TagKey::of(&tag(a))).then_with(|| a.cmp(b)));
    assert_eq!(whole, expected);
}

async fn a_filter_shows_a_part_and_looks_at_a_bounded_number(f: Fixture) {
    let names: Vec<String> =
        (0..2_100).map(|n| format!("t{n:04}")).chain(["v1".to_owned(), "main".to_owned()]).collect();
    let tags: Vec<&str> = names.iter().map(String::as_str).collect();
    f.push(manifest("a", 1, vec![], &tags)).await;
    let listing = TagListing { kind: Some(TagKind::Version), ..TagListing::default() };
    let (found, pages) = listed(&f, &listing, 10).await;
    assert_eq!((found, pages), (vec!["v1".to_owned()], 3), "each page looks at a thousand");
    let (found, pages) = listed(&f, &TagListing { kind: Some(TagKind::Other), ..TagListing::default() }, 700).await;
    assert_eq!((found.len(), pages), (2_100, 4));
    let first = f.tag_rows(&name("a"), &listing, None, 10).await.expect("listed").expect("it is there");
    assert!(first.items.is_empty() && first.next.is_some(), "a page without anything is not the last");
}
