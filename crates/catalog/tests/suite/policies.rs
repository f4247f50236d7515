//! Policies, the facts that they need, and the removal of what they let go.

use larder_catalog::model::policy::{ExpiringImage, HeldBlob, ImagePart, ImageTag};
use larder_oci::Digest;

use crate::fixture::{Fixture, at, blob, child, layer, manifest, name, pattern, stamp, tag};

crate::on_every_database!(
    policies_are_set_found_and_removed,
    facts_come_in_pages,
    what_changed_since_it_was_seen_stays,
    an_image_goes_as_by_a_delete,
    a_policy_is_paused_and_goes_on,
    runs_are_kept_and_pruned,
);

async fn policies_are_set_found_and_removed(f: Fixture) {
    for (n, text) in ["**", "team/*", "team/model", "other"].into_iter().enumerate() {
        assert!(f.set_policy(&pattern(text), &format!("{{{n}}}"), stamp(1)).await.expect("set"));
    }
    assert!(f.set_policy(&pattern("team/*"), "{new}", stamp(2)).await.expect("set"));
    let found = f.policies_for(&name("team/model")).await.expect("found");
    let texts: Vec<_> = found.iter().map(|row| (row.pattern.as_str(), row.text.as_str())).collect();
    assert_eq!(texts, [("**", "{0}"), ("team/*", "{new}"), ("team/model", "{2}")]);
    assert_eq!((found[1].set, found[1].set_by.as_str()), (at(2), "alice"));
    let page = f.policies(Some("other"), 1).await.expect("a page");
    assert_eq!((page.items[0].pattern.clone(), page.more), (pattern("team/*"), true));
    assert!(f.remove_policy(&pattern("**"), stamp(3)).await.expect("removed"));
    assert!(!f.remove_policy(&pattern("**"), stamp(3)).await.expect("answered"));
    let kinds: Vec<String> = f.events(0, 99).await.expect("events").items.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "policy.set").count(), 5);
    assert_eq!(kinds.last().map(String::as_str), Some("policy.removed"));
    f.create_repository(&name("other"), stamp(4)).await.expect("made");
    f.remove_repository(&name("other"), stamp(4), at(9), None).await.expect("removed");
    assert!(f.policies_for(&name("other")).await.expect("found").is_empty(), "it went with its repository");
}

async fn facts_come_in_pages(f: Fixture) {
    let (one, two) = (blob(1), blob(2));
    for held in [&one, &two] {
        f.push_blob("a", held, 10).await;
    }
    f.push_blob("b", &two, 10).await;
    let first = manifest("a", 1, vec![layer(&one), layer(&two)], &["x", "y"]);
    f.push(first.clone()).await;
    let mut second = manifest("a", 2, vec![child(&first)], &[]);
    second.subject = Some(first.digest);
    f.push(second.clone()).await;
    f.push(manifest("b", 2, vec![], &[])).await;
    f.pulled(&[(name("a"), first.digest, at(5))]).await.expect("noted");
    let a = name("a");
    let mut images = f.image_rows(&a, 0, 1).await.expect("a page");
    images.extend(f.image_rows(&a, images[0].id, 9).await.expect("a page"));
    let of = |digest| images.iter().find(|image| image.digest == digest).expect("it is there");
    let (parent, leaf) = (of(second.digest), of(first.digest));
    assert_eq!(images.len(), 2);
    assert_eq!(
        (leaf.pushed, leaf.pulled, leaf.renewed, leaf.subject, leaf.elsewhere),
        (at(1), Some(at(5)), None, None, false)
    );
    assert_eq!((parent.pulled, parent.subject, parent.elsewhere), (Some(at(5)), Some(leaf.id), true));
    let tags = f.image_tags(&a, "x", 9).await.expect("a page");
    assert_eq!(tags, [ImageTag { name: tag("y"), image: leaf.id }]);
    let mut held = f.held_blobs(&a, 0, 1).await.expect("a page");
    held.extend(f.held_blobs(&a, held[0].id, 9).await.expect("a page"));
    let facts: Vec<(u64, bool)> = held.iter().map(|held: &HeldBlob| (held.size, held.elsewhere)).collect();
    assert_eq!(facts, [(one.size, false), (two.size, true)]);
    let (mut parts, mut after) = (Vec::new(), ImagePart { image: 0, child: 0 });
    while let Some(part) = f.image_parts(&a, after, 1).await.expect("a page").first().copied() {
        parts.push(part);
        after = part;
    }
    parts.sort_unstable();
    let mut expected = vec![ImagePart { image: parent.id, child: leaf.id }];
    expected.extend(held.iter().map(|held| ImagePart { image: leaf.id, child: held.id }));
    expected.sort_unstable();
    assert_eq!(parts, expected);
}

fn seen(digest: Digest, tags: &[&str]) -> ExpiringImage {
    let tags = tags.iter().map(|text| tag(text)).collect();
    ExpiringImage { digest, tags, renewed: None, pulled: None, follows: None }
}

async fn what_changed_since_it_was_seen_stays(f: Fixture) {
    let pushes: Vec<_> = (1..=5).map(|n| manifest("a", n, vec![], &[&format!("t{n}")])).collect();
    for push in &pushes {
        f.push(push.clone()).await;
    }
    let a = name("a");
    f.put_tag(&a, &tag("prod"), &pushes[0].digest, "retag", stamp(2)).await.expect("moved");
    f.delete_tag(&a, &tag("t2"), stamp(2)).await.expect("deleted");
    f.pulled(&[(a.clone(), pushes[2].digest, at(3))]).await.expect("noted");
    f.renewed(&[(a.clone(), pushes[3].digest, at(3))]).await.expect("noted");
    let images: Vec<_> = (0..5).map(|n| seen(pushes[n].digest, &[&format!("t{}", n + 1)])).collect();
    let gone = f.expire_images(&a, images, at(99), None, stamp(4)).await.expect("answered");
    assert_eq!(gone, [false, false, false, false, true]);
    // What goes with an image stays with it.
    let mut follower = seen(pushes[1].digest, &[]);
    follower.follows = Some(pushes[0].digest);
    let gone = f
        .expire_images(&a, vec![seen(pushes[0].digest, &[]), follower], at(99), None, stamp(4))
        .await
        .expect("answered");
    assert_eq!(gone, [false, false]);
    f.push(manifest("a", 2, vec![], &[])).await;
    let rows = f.image_rows(&a, 0, 9).await.expect("rows");
    let again = rows.iter().find(|row| row.digest == pushes[1].digest).expect("it is there");
    assert_eq!(again.renewed, Some(at(1)), "pushed by its digest, somebody relies on it");
    f.push(pushes[0].clone()).await;
    let rows = f.image_rows(&a, 0, 9).await.expect("rows");
    assert_eq!(rows.iter().find(|row| row.digest == pushes[0].digest).expect("it is there").renewed, None);
}

async fn an_image_goes_as_by_a_delete(f: Fixture) {
    let held = blob(1);
    f.push_blob("a", &held, 2).await;
    let part = manifest("a", 1, vec![layer(&held)], &[]);
    f.push(part.clone()).await;
    let whole = manifest("a", 2, vec![child(&part)], &["v1"]);
    f.push(whole.clone()).await;
    let a = name("a");
    let early = f.expire_images(&a, vec![seen(part.digest, &[])], at(50), None, stamp(4)).await.expect("answered");
    assert_eq!(early, [false], "an index names it");
    let images = vec![seen(whole.digest, &["v1"]), seen(part.digest, &[])];
    assert_eq!(f.expire_images(&a, images, at(50), None, stamp(4)).await.expect("answered"), [true, true]);
    let history = f.tag_history(&a, &tag("v1"), None, 9).await.expect("a history").items;
    assert_eq!((history[0].how.as_str(), history[0].stamp.at), ("policy", at(4)));
    let deleted = f.events(0, 99).await.expect("events").items;
    assert_eq!(deleted.iter().filter(|event| event.kind == "manifest.deleted").count(), 2);
    assert!(f.sweep_all(49).await.is_empty(), "a full lease begins");
    assert_eq!(f.sweep_all(51).await.len(), 1);
}

async fn a_policy_is_paused_and_goes_on(f: Fixture) {
    let a = name("a");
    f.policy_previewed(&a, "hash", 7, at(1)).await.expect("nothing happens without a repository");
    f.create_repository(&a, stamp(1)).await.expect("made");
    assert_eq!(f.policy_state(&a).await.expect("a state"), Default::default());
    f.policy_previewed(&a, "hash", 7, at(1)).await.expect("noted");
    f.pause_policy(&a, Some("too many"), stamp(2)).await.expect("paused");
    let state = f.policy_state(&a).await.expect("a state");
    assert_eq!(state.previewed, Some(("hash".to_owned(), 7)));
    assert_eq!(state.paused, Some(("too many".to_owned(), at(2))));
    f.pause_policy(&a, None, stamp(3)).await.expect("resumed");
    assert_eq!(f.policy_state(&a).await.expect("a state").paused, None);
    assert_eq!(f.policies_paused().await.expect("answered"), None);
    f.pause_policies(Some("clock"), stamp(4)).await.expect("paused");
    f.pause_policies(Some("clock again"), stamp(4)).await.expect("paused");
    assert_eq!(f.policies_paused().await.expect("answered").as_deref(), Some("clock again"));
    f.pause_policies(None, stamp(4)).await.expect("resumed");
    assert_eq!(f.policies_paused().await.expect("answered"), None);
    f.remove_repository(&a, stamp(5), at(9), None).await.expect("a state does not hold its repository");
}

async fn runs_are_kept_and_pruned(f: Fixture) {
    let a = name("a");
    for minute in 1..=3 {
        f.record_policy_run(&a, at(minute), "{\"expired\":1}", stamp(minute)).await.expect("kept");
    }
    let page = f.policy_runs(&a, None, 2).await.expect("a page");
    assert_eq!((page.items.len(), page.more, page.items[0].finished), (2, true, at(3)));
    let rest = f.policy_runs(&a, Some(page.items[1].id), 2).await.expect("a page");
    assert_eq!((rest.items.len(), rest.items[0].started, rest.items[0].identity.as_str()), (1, at(1), "alice"));
    assert_eq!(f.prune_policy_runs(at(3)).await.expect("pruned"), 2);
    assert_eq!(f.policy_runs(&a, None, 9).await.expect("a page").items.len(), 1);
    let events = f.events(0, 9).await.expect("events").items;
    assert_eq!(
        (events.len(), events[0].kind.as_str(), events[0].payload.as_str()),
        (3, "policy.applied", "{\"expired\":1}")
    );
}
