//! Tags and their history.

use larder_catalog::model::{AddTag, DeleteOutcome, PutManifest, PutManifestOutcome};

use crate::fixture::{Fixture, at, digest, manifest, name, stamp, tag};

crate::on_every_database!(
    a_tag_moves_only_to_a_manifest_of_its_repository,
    cve_2026_31801_a_tag_that_is_to_be_new_moves_nothing,
    a_deleted_tag_leaves_its_manifest,
    history_is_paged_from_the_newest,
    history_is_pruned_by_age_and_by_number,
    a_tag_is_a_register,
);

async fn a_tag_moves_only_to_a_manifest_of_its_repository(f: Fixture) {
    let (one, two) = (manifest("a", 1, vec![], &["t"]), manifest("a", 2, vec![], &[]));
    f.push(one.clone()).await;
    f.push(two.clone()).await;
    f.push(manifest("b", 3, vec![], &[])).await;
    let put = async |digest: &larder_oci::Digest| {
        f.put_tag(&name("a"), &tag("t"), digest, "retag", stamp(5)).await.expect("answered")
    };
    assert!(put(&two.digest).await);
    assert!(!put(&digest(1_000_003)).await, "another repository's manifest");
    assert!(!put(&digest(4)).await);
    assert!(!f.put_tag(&name("c"), &tag("t"), &one.digest, "retag", stamp(5)).await.expect("answered"));
    let history = f.tag_history(&name("a"), &tag("t"), None, 10).await.expect("history").items;
    let moves: Vec<_> = history.iter().map(|event| (event.how.as_str(), event.from, event.to)).collect();
    assert_eq!(moves, [("retag", Some(one.digest), Some(two.digest)), ("push", None, Some(one.digest))]);
}

async fn cve_2026_31801_a_tag_that_is_to_be_new_moves_nothing(f: Fixture) {
    let (one, two) = (manifest("a", 1, vec![], &["t"]), manifest("a", 2, vec![], &[]));
    f.push(one.clone()).await;
    f.push(two.clone()).await;
    let add = async |text: &str, digest: &larder_oci::Digest| {
        f.add_tag(&name("a"), &tag(text), digest, "retag", stamp(5)).await.expect("answered")
    };
    assert_eq!(add("t", &two.digest).await, AddTag::Kept);
    assert_eq!(add("t", &one.digest).await, AddTag::Added, "where it points already");
    assert_eq!(add("u", &two.digest).await, AddTag::Added);
    assert_eq!(add("v", &digest(9)).await, AddTag::Absent);
    let push = |n, tags: &[&str]| PutManifest { keep_tags: true, ..manifest("a", n, vec![], tags) };
    let kept = f.put_manifest(push(3, &["new", "t"])).await.expect("answered");
    assert_eq!(kept, PutManifestOutcome::TagKept(tag("t")));
    let third = f.manifest(&name("a"), &push(3, &[]).digest.to_string().parse().expect("a reference"), false).await;
    assert!(third.expect("answered").is_none(), "nothing of it was stored");
    f.push(push(1, &["t"])).await;
    // Two at once that both saw no tag: one of them makes it.
    let pushes = (10..18).map(|n| {
        let (catalog, push) = (f.catalog.clone(), push(n, &["race"]));
        tokio::spawn(async move { catalog.put_manifest(push).await.expect("answered") })
    });
    let mut stored = 0;
    for push in pushes.collect::<Vec<_>>() {
        stored += u32::from(matches!(push.await.expect("no panic"), PutManifestOutcome::Stored { .. }));
    }
    assert_eq!(stored, 1);
}

async fn a_deleted_tag_leaves_its_manifest(f: Fixture) {
    let push = manifest("a", 1, vec![], &["t", "u"]);
    f.push(push.clone()).await;
    let delete = async |text: &str| f.delete_tag(&name("a"), &tag(text), stamp(5)).await.expect("answered");
    assert_eq!(delete("t").await, DeleteOutcome::Deleted);
    assert_eq!(delete("t").await, DeleteOutcome::Absent);
    assert_eq!(f.delete_tag(&name("b"), &tag("t"), stamp(5)).await.expect("answered"), DeleteOutcome::Absent);
    let left = f.tags(&name("a"), None, 10).await.expect("listed").expect("the repository");
    assert_eq!(left.items, [tag("u")]);
    let by_digest = f.manifest(&name("a"), &push.digest.to_string().parse().expect("a reference"), true).await;
    assert!(by_digest.expect("answered").is_some());
    let events = f.events(0, 100).await.expect("events").items;
    assert_eq!(events.last().expect("an event").kind, "tag.deleted");
}

async fn history_is_paged_from_the_newest(f: Fixture) {
    for n in 0..5 {
        f.push(PutManifest { stamp: stamp(i64::try_from(n).expect("small")), ..manifest("a", n, vec![], &["t"]) })
            .await;
    }
    let page = f.tag_history(&name("a"), &tag("t"), None, 2).await.expect("history");
    assert!(page.more);
    assert_eq!(page.items.iter().map(|event| event.stamp.at).collect::<Vec<_>>(), [at(4), at(3)]);
    let page = f.tag_history(&name("a"), &tag("t"), Some(page.items[1].id), 3).await.expect("history");
    assert!(!page.more);
    assert_eq!(page.items.iter().map(|event| event.stamp.at).collect::<Vec<_>>(), [at(2), at(1), at(0)]);
}

/// Whichever keeps less (behaviour §1).
async fn history_is_pruned_by_age_and_by_number(f: Fixture) {
    for n in 0..6 {
        let push = manifest("a", n, vec![], &["often", "also"]);
        f.push(PutManifest { stamp: stamp(i64::try_from(n).expect("small")), ..push }).await;
    }
    let count = async || f.tag_history(&name("a"), &tag("often"), None, 100).await.expect("history").items.len();
    assert_eq!(f.prune_tag_events(at(0), 4).await.expect("pruned"), 4);
    assert_eq!(count().await, 4);
    assert_eq!(f.prune_tag_events(at(5), 4).await.expect("pruned"), 4);
    assert_eq!(count().await, 2, "the move before the window says what stood when it began");
    assert_eq!(f.prune_tag_events(at(0), 0).await.expect("pruned"), 4);
    assert_eq!(f.prune_tag_events(at(0), 0).await.expect("pruned"), 0);
}

/// **Invariant 3**: a read after an answer sees that answer or a later one, and the history is one unbroken chain.
async fn a_tag_is_a_register(f: Fixture) {
    let writers: Vec<_> = (0..4_u64)
        .map(|writer| {
            let catalog = f.catalog.clone();
            tokio::spawn(async move {
                for n in 0..15 {
                    let push = manifest("a", writer * 100 + n, vec![], &["hot"]);
                    let digest = push.digest;
                    catalog.put_manifest(push).await.expect("pushed");
                    let newest = catalog.tag_history(&name("a"), &tag("hot"), None, 60).await.expect("history").items;
                    assert!(newest.iter().any(|event| event.to == Some(digest)), "an answered push is seen");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    let history = f.tag_history(&name("a"), &tag("hot"), None, 100).await.expect("history").items;
    assert_eq!(history.len(), 60);
    let mut chain: std::collections::BTreeMap<_, _> = history.iter().map(|event| (event.from, event.to)).collect();
    let mut at = None;
    for _ in 0..60 {
        at = chain.remove(&at).expect("each move begins where one ended");
    }
    let now = f.manifest(&name("a"), &"hot".parse().expect("a reference"), false).await.expect("answered");
    assert_eq!(now.map(|manifest| manifest.digest), at);
}
