//! The trash: what is deleted is gone for readers, keeps its bytes for a while, and comes back whole.

use larder_catalog::model::access::RepositoryChange;
use larder_catalog::model::{
    DeleteOutcome, MountSource, Purge, PurgeOutcome, PutManifestOutcome, RepositoryFilter, RepositoryUndelete,
    UndeleteOutcome,
};
use larder_oci::Digest;

use crate::fixture::{Fixture, at, blob, child, config, digest, layer, manifest, name, stamp, tag};

crate::on_every_database!(
    a_deleted_manifest_is_gone_for_readers_and_keeps_its_bytes,
    an_undeleted_tag_brings_its_manifest_back,
    an_undeleted_manifest_brings_its_tags_and_entries_back,
    a_push_of_a_deleted_manifest_needs_nothing_else,
    a_push_under_way_may_rely_on_what_was_deleted,
    the_trash_is_emptied_in_time_and_its_bytes_go,
    a_removed_repository_comes_back_whole,
    a_purge_skips_the_window_and_no_lease,
    a_damaged_manifest_leaves_the_trash_too,
    usage_counts_what_only_the_trash_holds,
);

async fn delete(f: &Fixture, digest: &Digest, minute: i64) -> DeleteOutcome {
    let (lease, trash) = (at(minute + 10), Some(at(minute + 100)));
    f.delete_manifest(&name("a"), digest, lease, trash, stamp(minute)).await.expect("answered")
}

async fn resolves(f: &Fixture, repository: &str, reference: &str) -> bool {
    let reference = reference.parse().expect("a reference");
    f.manifest(&name(repository), &reference, true).await.expect("answered").is_some()
}

async fn a_deleted_manifest_is_gone_for_readers_and_keeps_its_bytes(f: Fixture) {
    let (own, shared) = (blob(1), blob(2));
    f.push_blob("a", &own, 5).await;
    f.push_blob("a", &shared, 5).await;
    let push = manifest("a", 1, vec![config(&own), layer(&shared)], &["t", "u"]);
    f.push(push.clone()).await;
    f.push(manifest("a", 2, vec![layer(&shared)], &[])).await;
    assert_eq!(delete(&f, &push.digest, 20).await, DeleteOutcome::Deleted);
    for reference in ["t", "u", &push.digest.to_string()] {
        assert!(!resolves(&f, "a", reference).await, "{reference}");
    }
    assert!(!f.is_member("a", &own.digest).await, "its blob is not read any more");
    assert!(f.is_member("a", &shared.digest).await, "another manifest names this one");
    for source in [MountSource::Repository(name("a")), MountSource::Any { filter: RepositoryFilter::All, limit: 9 }] {
        assert_eq!(f.mount(&name("b"), &own.digest, &source, at(50), stamp(21)).await.expect("answered"), None);
    }
    assert!(!f.lease(&name("a"), &own.digest, "bob", at(60)).await.expect("answered"));
    assert_eq!(delete(&f, &push.digest, 22).await, DeleteOutcome::Absent);
    assert_eq!(f.sweep_all(90).await, [], "the trash holds the bytes when the lease is over");
    let row = &f.trash(&name("a"), 0, 9).await.expect("listed").items[0];
    assert_eq!(
        (row.digest, &row.tags, row.deleted, row.until),
        (push.digest, &vec![tag("t"), tag("u")], at(20), at(120))
    );
}

async fn an_undeleted_tag_brings_its_manifest_back(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 5).await;
    let push = manifest("a", 1, vec![layer(&b)], &["t", "u"]);
    f.push(push.clone()).await;
    let undelete = async |text: &str, name_of_tag: Option<&str>| {
        let wanted = name_of_tag.map(tag);
        f.undelete_tag(&name("a"), &tag(text), wanted.as_ref(), stamp(50)).await.expect("answered")
    };
    let restored = |text: &str| UndeleteOutcome::Restored { digest: push.digest, tags: vec![tag(text)] };
    f.delete_tag(&name("a"), &tag("u"), stamp(10)).await.expect("deleted");
    assert_eq!(undelete("u", None).await, restored("u"), "its manifest was there all the time");
    delete(&f, &push.digest, 20).await;
    f.sweep_all(40).await;
    assert_eq!(undelete("t", None).await, restored("t"));
    assert!(resolves(&f, "a", "t").await && !resolves(&f, "a", "u").await);
    assert!(f.member_blob(&name("a"), &b.digest, "alice").await.expect("a look").expect("a member").has_edge);
    assert_eq!(undelete("t", None).await, UndeleteOutcome::InUse);
    assert_eq!(undelete("u", Some("t")).await, UndeleteOutcome::InUse);
    assert_eq!(undelete("u", Some("again")).await, restored("again"));
    assert_eq!(undelete("never", None).await, UndeleteOutcome::Unknown);
    let history = f.tag_history(&name("a"), &tag("t"), None, 1).await.expect("history").items;
    assert_eq!(history[0].how, "undelete");
    assert_eq!(f.trash(&name("a"), 0, 9).await.expect("listed").items, []);
    delete(&f, &push.digest, 60).await;
    f.empty_trash(at(160)).await.expect("emptied");
    assert_eq!(undelete("t", None).await, UndeleteOutcome::Gone(push.digest));
}

async fn an_undeleted_manifest_brings_its_tags_and_entries_back(f: Fixture) {
    let image = manifest("a", 1, vec![], &[]);
    f.push(image.clone()).await;
    let mut index = manifest("a", 2, vec![child(&image)], &["t", "u"]);
    index.subject = Some(digest(5));
    index.artifact_type = Some("x".to_owned());
    f.push(index.clone()).await;
    delete(&f, &index.digest, 10).await;
    delete(&f, &image.digest, 11).await;
    let other = manifest("a", 3, vec![], &["u"]);
    f.push(other.clone()).await;
    let outcome = f.undelete_manifest(&name("a"), &index.digest, stamp(20)).await.expect("answered");
    assert_eq!(outcome, UndeleteOutcome::Restored { digest: index.digest, tags: vec![tag("t")] }, "`u` is in use");
    assert!(resolves(&f, "a", &image.digest.to_string()).await);
    let referrers = f.referrers(&name("a"), &digest(5), Some("x"), None, 9).await.expect("listed").items;
    assert_eq!(referrers.iter().map(|referrer| referrer.digest).collect::<Vec<_>>(), [index.digest]);
    let outcome = f.undelete_manifest(&name("a"), &index.digest, stamp(21)).await.expect("answered");
    assert_eq!(outcome, UndeleteOutcome::InUse);
    let outcome = f.undelete_manifest(&name("a"), &digest(9), stamp(21)).await.expect("answered");
    assert_eq!(outcome, UndeleteOutcome::Unknown);
}

async fn a_push_of_a_deleted_manifest_needs_nothing_else(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 5).await;
    let push = manifest("a", 1, vec![layer(&b)], &["t"]);
    f.push(push.clone()).await;
    delete(&f, &push.digest, 10).await;
    f.sweep_all(50).await;
    f.push(push.clone()).await;
    assert!(resolves(&f, "a", "t").await && f.is_member("a", &b.digest).await);
    assert_eq!(f.trash(&name("a"), 0, 9).await.expect("listed").items, []);
    assert_eq!(f.sweep_all(500).await, []);
}

/// **Invariant 6**: who was told of a blob while a manifest named it may name it himself, whatever is deleted meanwhile.
async fn a_push_under_way_may_rely_on_what_was_deleted(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 5).await;
    let push = manifest("a", 1, vec![layer(&b)], &[]);
    f.push(push.clone()).await;
    delete(&f, &push.digest, 10).await;
    f.sweep_all(15).await;
    f.push(manifest("a", 2, vec![layer(&b)], &["t"])).await;
    assert!(f.is_member("a", &b.digest).await, "a manifest that names it shows it again");
    f.empty_trash(at(200)).await.expect("emptied");
    assert_eq!(f.sweep_all(200).await, []);
}

async fn the_trash_is_emptied_in_time_and_its_bytes_go(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 5).await;
    let push = manifest("a", 1, vec![layer(&b)], &["t"]);
    f.push(push.clone()).await;
    delete(&f, &push.digest, 10).await;
    f.sweep_all(50).await;
    assert_eq!(f.empty_trash(at(109)).await.expect("emptied"), 0);
    assert_eq!(f.sweep_all(109).await, []);
    assert_eq!(f.empty_trash(at(110)).await.expect("emptied"), 1);
    assert_eq!(f.sweep_all(110).await.iter().map(|gone| gone.digest).collect::<Vec<_>>(), [b.digest]);
    assert_eq!(f.manifest_bytes(None, 9).await.expect("listed").items, []);
    assert_eq!(f.usage(at(110)).await.expect("usage").live, (0, 0));
    let refused = f.put_manifest(push).await.expect("answered");
    assert!(matches!(refused, PutManifestOutcome::Missing(_)), "{refused:?}");
}

async fn a_removed_repository_comes_back_whole(f: Fixture) {
    let (a, b) = (name("a"), blob(1));
    f.push_blob("a", &b, 5).await;
    let image = manifest("a", 1, vec![layer(&b)], &["1.0"]);
    f.push(image.clone()).await;
    let index = manifest("a", 2, vec![child(&image)], &["latest"]);
    f.push(index.clone()).await;
    f.push(manifest("a", 3, vec![], &["gone"])).await;
    delete(&f, &digest(1_000_003), 6).await;
    let change = RepositoryChange { public: Some(true), description: Some("weights".to_owned()) };
    f.set_repository(&a, change, stamp(7)).await.expect("set");
    let before = f.repository_summary(&a).await.expect("answered").expect("it is there");
    let remove = async |minute| f.remove_repository(&a, stamp(minute), at(minute), Some(at(minute + 100))).await;
    assert!(remove(10).await.expect("answered"));
    assert_eq!(f.repository_summary(&a).await.expect("answered"), None);
    assert_eq!(f.sweep_all(60).await, []);
    assert_eq!(f.removed_by(&a).await.expect("answered").as_deref(), Some("alice"));
    let undelete = async |wanted: Option<&str>| {
        let wanted = wanted.map(name);
        f.undelete_repository(&a, wanted.as_ref(), stamp(70)).await.expect("answered")
    };
    assert_eq!(undelete(None).await, RepositoryUndelete::Restored { manifests: 2 });
    assert_eq!(f.repository_summary(&a).await.expect("answered").expect("again"), before);
    assert!(resolves(&f, "a", "1.0").await && resolves(&f, "a", "latest").await && f.is_member("a", &b.digest).await);
    let what_was_deleted_before = f.undelete_tag(&a, &tag("gone"), None, stamp(71)).await.expect("answered");
    assert!(matches!(what_was_deleted_before, UndeleteOutcome::Restored { .. }), "{what_was_deleted_before:?}");
    assert_eq!(undelete(None).await, RepositoryUndelete::InUse);

    assert!(remove(80).await.expect("answered"));
    f.create_repository(&a, stamp(81)).await.expect("made");
    assert_eq!(undelete(None).await, RepositoryUndelete::InUse);
    assert_eq!(undelete(Some("b")).await, RepositoryUndelete::Restored { manifests: 3 });
    assert!(resolves(&f, "b", "1.0").await && !resolves(&f, "a", "1.0").await);
    assert_eq!(undelete(Some("c")).await, RepositoryUndelete::Unknown);
}

async fn a_purge_skips_the_window_and_no_lease(f: Fixture) {
    let (b, leased) = (blob(1), blob(2));
    f.push_blob("a", &b, 5).await;
    let push = manifest("a", 1, vec![layer(&b)], &["t"]);
    f.push(push.clone()).await;
    let purge =
        async |digest, minute| f.purge(Purge::Manifest(name("a"), digest), stamp(minute)).await.expect("answered");
    assert_eq!(purge(push.digest, 20).await, PurgeOutcome::Purged { manifests: 1, held_until: None });
    assert_eq!(f.sweep_all(20).await.len(), 1, "at once");
    assert_eq!(purge(push.digest, 20).await, PurgeOutcome::Purged { manifests: 0, held_until: None });

    f.push_blob("a", &leased, 60).await;
    let push = manifest("a", 2, vec![layer(&leased)], &["t"]);
    f.push(push.clone()).await;
    delete(&f, &push.digest, 21).await;
    let outcome = f.purge(Purge::Trash(name("a")), stamp(22)).await.expect("answered");
    assert_eq!(outcome, PurgeOutcome::Purged { manifests: 1, held_until: Some(at(60)) });
    assert_eq!(f.sweep_all(59).await, []);
    assert_eq!(f.sweep_all(60).await.len(), 1);

    let image = manifest("a", 3, vec![], &[]);
    f.push(image.clone()).await;
    let index = manifest("a", 4, vec![child(&image)], &[]);
    f.push(index.clone()).await;
    assert_eq!(purge(image.digest, 70).await, PurgeOutcome::InUse { digest: image.digest, parent: index.digest });
    let events = f.events(0, 1_000).await.expect("events").items;
    assert_eq!(events.iter().filter(|event| event.kind == "trash.purged").count(), 2);
}

async fn a_damaged_manifest_leaves_the_trash_too(f: Fixture) {
    let push = manifest("a", 1, vec![], &["t"]);
    f.push(push.clone()).await;
    delete(&f, &push.digest, 10).await;
    assert!(f.quarantine_manifest(&push.digest, stamp(11)).await.expect("answered"));
    let outcome = f.undelete_manifest(&name("a"), &push.digest, stamp(12)).await.expect("answered");
    assert_eq!(outcome, UndeleteOutcome::Unknown);
}

async fn usage_counts_what_only_the_trash_holds(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 5).await;
    let push = manifest("a", 1, vec![layer(&b)], &["t"]);
    f.push(push.clone()).await;
    delete(&f, &push.digest, 10).await;
    f.sweep_all(50).await;
    let usage = f.usage(at(50)).await.expect("usage");
    assert_eq!((usage.live, usage.trash, usage.unreferenced), ((1, b.size), (1, b.size), (0, 0)));
    f.empty_trash(at(200)).await.expect("emptied");
    f.sweep_all(200).await;
    assert_eq!(f.usage(at(200)).await.expect("usage").trash, (0, 0));
}
