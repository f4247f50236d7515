//! Lists: keyset pages, in the order of bytes (**Invariant 10**).

use larder_catalog::model::{NewEdge, PutManifest, RepositoryFilter, TagListing};
use larder_oci::{Digest, EdgeKind};

use crate::fixture::{Fixture, digest, manifest, name, stamp, tag, visible};

crate::on_every_database!(
    tags_come_in_the_order_of_bytes_and_go_on_after_any_text,
    a_list_does_not_lose_or_repeat_what_was_there_throughout,
    repositories_are_filtered_by_ranges_of_names,
    referrers_come_in_the_order_of_digests_with_and_without_a_type,
);

async fn tags_come_in_the_order_of_bytes_and_go_on_after_any_text(f: Fixture) {
    let mut all = ["b", "B", "a", "A-1", "a.1", "a-1", "a_1", "10", "9", "_x", "aa"];
    f.push(manifest("a", 1, vec![], &all)).await;
    all.sort_unstable();
    let expected: Vec<_> = all.iter().map(|text| tag(text)).collect();
    let list = async |after: Option<&str>, limit| {
        f.tags(&name("a"), after, limit).await.expect("listed").expect("the repository")
    };
    let page = list(None, 100).await;
    assert_eq!((page.items, page.more), (expected.clone(), false));
    let page = list(None, all.len()).await;
    assert_eq!((page.items.len(), page.more), (all.len(), false));
    let page = list(None, 0).await;
    assert_eq!((page.items.len(), page.more), (0, true));
    let page = list(Some("a-"), 2).await;
    assert_eq!((page.items, page.more), (vec![tag("a-1"), tag("a.1")], true));
    let page = list(Some("a.1"), 2).await;
    assert_eq!(page.items, [tag("a_1"), tag("aa")]);
    assert!(list(Some("~ no tag at all"), 9).await.items.is_empty());
    assert_eq!(f.tags(&name("b"), None, 9).await.expect("listed"), None);
    assert_eq!(f.tag_rows(&name("b"), &TagListing::default(), None, 9).await.expect("listed"), None);
    let rows = f
        .tag_rows(&name("a"), &TagListing::default(), Some("a.1"), 2)
        .await
        .expect("listed")
        .expect("the repository")
        .items;
    assert_eq!(rows.into_iter().map(|row| row.name).collect::<Vec<_>>(), [tag("a_1"), tag("aa")]);
}

async fn a_list_does_not_lose_or_repeat_what_was_there_throughout(f: Fixture) {
    let names: Vec<String> = (0..50).map(|n| format!("t{n:03}")).collect();
    let tags: Vec<&str> = names.iter().map(String::as_str).collect();
    f.push(manifest("a", 1, vec![], &tags)).await;
    let (mut seen, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = f.tags(&name("a"), after.as_deref(), 7).await.expect("listed").expect("the repository");
        after = page.items.last().map(|tag| tag.as_str().to_owned());
        seen.extend(page.items);
        if !page.more {
            break;
        }
        // Changes on both sides of the page.
        f.delete_tag(&name("a"), seen.last().expect("a tag"), stamp(1)).await.expect("deleted");
        let new = format!("t{:03}x", seen.len() - 3);
        f.push(manifest("a", 1, vec![], &[&new])).await;
    }
    let stayed: Vec<_> =
        seen.iter().filter(|tag| !tag.as_str().ends_with('x')).map(|tag| tag.as_str().to_owned()).collect();
    assert_eq!(stayed, names);
}

async fn repositories_are_filtered_by_ranges_of_names(f: Fixture) {
    for text in ["team", "team/a", "team/b/c", "team-x", "team.y/z", "other", "teams/a", "zoo"] {
        assert!(f.create_repository(&name(text), stamp(0)).await.expect("made"));
    }
    assert!(!f.create_repository(&name("zoo"), stamp(0)).await.expect("answered"));
    let list = async |filter: &RepositoryFilter, after: Option<&str>, limit| {
        let page = f.repositories(filter, after, limit).await.expect("listed");
        (page.items.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>(), page.more)
    };
    let all = RepositoryFilter::All;
    let everything = ["other", "team", "team-x", "team.y/z", "team/a", "team/b/c", "teams/a", "zoo"].map(str::to_owned);
    assert_eq!(list(&all, None, 100).await, (everything.to_vec(), false));
    assert_eq!(list(&all, Some("team-x"), 2).await, (everything[3..5].to_vec(), true));
    let some = visible(&["zoo", "team/**", "team", "nothing/**", "team/b/**"], &[]);
    let expected = ["team", "team/a", "team/b/c", "zoo"].map(str::to_owned);
    assert_eq!(list(&some, None, 100).await, (expected.to_vec(), false));
    assert_eq!(list(&some, None, 2).await, (expected[..2].to_vec(), true));
    assert_eq!(list(&some, Some("team/a"), 2).await, (expected[2..].to_vec(), false));
    assert_eq!(list(&some, Some("zoo"), 2).await, (vec![], false));
    assert_eq!(list(&visible(&[], &[]), None, 9).await, (vec![], false));
    for text in &everything {
        assert_eq!(some.allows(&name(text), false), expected.contains(text), "{text}");
    }
    let summaries = f.repository_summaries(&some, Some("team"), 2).await.expect("listed");
    assert_eq!(summaries.items.iter().map(|summary| summary.name.as_str()).collect::<Vec<_>>(), ["team/a", "team/b/c"]);
    assert!(summaries.more);
}

async fn referrers_come_in_the_order_of_digests_with_and_without_a_type(f: Fixture) {
    let subject = digest(7);
    let mut all: Vec<(Digest, &str)> = Vec::new();
    for n in 0..9 {
        let artifact_type = if n % 3 == 0 { "application/sbom" } else { "application/sig" };
        let edge = NewEdge { kind: EdgeKind::Subject, child: subject, size: 1, required: false };
        let push = PutManifest {
            subject: Some(subject),
            artifact_type: Some(artifact_type.to_owned()),
            ..manifest("a", n, vec![edge], &[])
        };
        all.push((push.digest, artifact_type));
        f.push(push).await;
    }
    all.sort_unstable();
    let list = async |artifact_type: Option<&str>, after: Option<&Digest>, limit| {
        let page = f.referrers(&name("a"), &subject, artifact_type, after, limit).await.expect("listed");
        (page.items.into_iter().map(|row| row.digest).collect::<Vec<_>>(), page.more)
    };
    let every: Vec<Digest> = all.iter().map(|(digest, _)| *digest).collect();
    assert_eq!(list(None, None, 9).await, (every.clone(), false));
    assert_eq!(list(None, Some(&every[3]), 3).await, (every[4..7].to_vec(), true));
    let some: Vec<Digest> =
        all.iter().filter(|(_, kind)| *kind == "application/sbom").map(|(digest, _)| *digest).collect();
    assert_eq!(list(Some("application/sbom"), None, 2).await, (some[..2].to_vec(), true));
    assert_eq!(list(Some("application/sbom"), Some(&some[1]), 2).await, (some[2..].to_vec(), false));
    assert_eq!(list(Some("application/none"), None, 2).await, (vec![], false));
    assert_eq!(f.referrers(&name("b"), &subject, None, None, 2).await.expect("listed").items, []);
}
