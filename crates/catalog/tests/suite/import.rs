//! Trees of another registry: rows in batches, leniency, and what stays as it is here.

use larder_catalog::import::{ImportBlob, ImportTag, ImportedBlob, ImportedManifest, ImportedTag, KnownDigest};
use larder_catalog::model::{Blob, DeleteOutcome, Manifest, PutManifest};
use larder_oci::{Digest, Reference};

use crate::fixture::{Fixture, at, blob, child, config, digest, layer, manifest, name, stamp, tag, upload};
use crate::on_every_database;

on_every_database!(
    blobs_of_a_tree_become_members_and_are_marked_unverified,
    an_object_that_came_too_late_is_not_the_live_one,
    what_no_manifest_names_is_looked_at_by_the_sweep_and_nothing_else_is,
    manifests_of_a_tree_are_stored_however_incomplete,
    tags_of_a_tree_never_undo_what_was_done_here,
    a_pass_stands_for_what_it_takes_over_until_it_ends,
    known_digests_are_told_by_repository,
);

fn taken(blob: &Blob) -> ImportBlob {
    ImportBlob { digest: blob.digest, object: Some((blob.key.clone(), blob.size)) }
}

fn known(digest: Digest) -> ImportBlob {
    ImportBlob { digest, object: None }
}

async fn import(f: &Fixture, repository: &str, blobs: Vec<ImportBlob>) -> Vec<ImportedBlob> {
    f.import_blobs(&name(repository), blobs, stamp(0)).await.expect("answered")
}

async fn import_manifest(f: &Fixture, push: PutManifest) -> ImportedManifest {
    f.import_manifests(vec![push]).await.expect("answered").remove(0)
}

async fn blobs_of_a_tree_become_members_and_are_marked_unverified(f: Fixture) {
    let (a, b) = (blob(1), blob(2));
    let imported = import(&f, "team/model", vec![taken(&b), taken(&a), known(digest(99))]).await;
    let member = |blob: &Blob, new, made| ImportedBlob::Member { new, made, key: blob.key.clone() };
    assert_eq!(imported, [member(&b, true, true), member(&a, true, true), ImportedBlob::Absent]);
    // The second repository needs no second object.
    assert_eq!(import(&f, "other", vec![known(a.digest)]).await, [member(&a, true, false)]);
    assert_eq!(import(&f, "other", vec![known(a.digest)]).await, [member(&a, false, false)]);
    let seen = f.member_blob(&name("other"), &a.digest, "alice").await.expect("a look").expect("a member");
    assert!(!seen.verified && seen.leased_until.is_none(), "{seen:?}");
    assert_eq!(f.unverified_totals().await.expect("totals"), (2, a.size + b.size));
    let page = f.unverified_blobs(0, 1).await.expect("a page");
    assert!(page.more && page.items.len() == 1);
    f.mark_verified(&[a.key.clone(), b.key.clone()]).await.expect("marked");
    assert_eq!(f.unverified_blobs(0, 10).await.expect("a page").items, []);
    let seen = f.member_blob(&name("other"), &a.digest, "alice").await.expect("a look").expect("a member");
    assert!(seen.verified);
}

async fn an_object_that_came_too_late_is_not_the_live_one(f: Fixture) {
    let (first, second) = (blob(1), blob(1));
    import(&f, "a", vec![taken(&first)]).await;
    let imported = import(&f, "b", vec![taken(&second)]).await;
    assert_eq!(imported, [ImportedBlob::Member { new: true, made: false, key: first.key.clone() }]);
    assert_eq!(f.keys_known(&[second.key]).await.expect("answered"), [false]);
}

async fn what_no_manifest_names_is_looked_at_by_the_sweep_and_nothing_else_is(f: Fixture) {
    let (a, b) = (blob(1), blob(2));
    import(&f, "r", vec![taken(&a), taken(&b)]).await;
    import_manifest(&f, manifest("r", 1, vec![layer(&a)], &[])).await;
    assert_eq!(f.sweep_all(10_000).await, [], "nothing was queued");
    assert_eq!(f.queue_unnamed(&name("r"), at(60)).await.expect("queued"), 1);
    assert_eq!(f.sweep_all(59).await, []);
    let gone: Vec<Digest> = f.sweep_all(60).await.into_iter().map(|blob| blob.digest).collect();
    assert_eq!(gone, [b.digest]);
    assert!(f.is_member("r", &a.digest).await);
}

async fn manifests_of_a_tree_are_stored_however_incomplete(f: Fixture) {
    let (a, b) = (blob(1), blob(2));
    import(&f, "r", vec![taken(&a)]).await;
    let mut false_size = layer(&a);
    false_size.size += 1;
    let image = manifest("r", 1, vec![false_size, config(&b)], &[]);
    let index = manifest("r", 2, vec![child(&image)], &[]);
    let imported = f.import_manifests(vec![image.clone(), index]).await.expect("answered");
    let expected =
        ImportedManifest { created: true, missing: vec![b.digest], false_sizes: vec![(a.digest, a.size + 1, a.size)] };
    assert_eq!(imported, [expected, ImportedManifest { created: true, ..ImportedManifest::default() }]);
    let row = f.manifest(&name("r"), &Reference::Digest(image.digest), true).await.expect("a look");
    assert!(matches!(row, Some(Manifest { incomplete: true, .. })), "{row:?}");
    assert!(!import_manifest(&f, image).await.created, "the second time it is known");
}

async fn tags_of_a_tree_never_undo_what_was_done_here(f: Fixture) {
    let r = name("r");
    let pushes: Vec<PutManifest> = (1..=3).map(|number| manifest("r", number, Vec::new(), &[])).collect();
    f.import_manifests(pushes.clone()).await.expect("answered");
    let wanted = |text: &str, index: usize| ImportTag { tag: tag(text), digest: pushes[index].digest, at: at(-500) };
    let tags = async |tags: Vec<ImportTag>| {
        let imported = f.import_tags(&r, tags, stamp(5)).await.expect("answered");
        imported.into_iter().map(|(_, outcome)| outcome).collect::<Vec<_>>()
    };
    let set = ImportedTag::Set { from: None };
    let dangling = ImportTag { tag: tag("z"), digest: digest(77), at: at(0) };
    let first = tags(vec![wanted("moved", 0), wanted("gone", 0), wanted("left", 0), dangling]).await;
    assert_eq!(first, [set.clone(), set.clone(), set, ImportedTag::NoManifest]);
    assert_eq!(tags(vec![wanted("left", 0)]).await, [ImportedTag::Same]);
    let history = f.tag_history(&r, &tag("left"), None, 10).await.expect("a history").items;
    assert_eq!((history[0].how.as_str(), history[0].stamp.at), ("import", at(-500)), "as old as it is");

    f.put_tag(&r, &tag("moved"), &pushes[1].digest, "retag", stamp(6)).await.expect("moved");
    assert_eq!(f.delete_tag(&r, &tag("gone"), stamp(6)).await.expect("deleted"), DeleteOutcome::Deleted);
    let again = tags(vec![wanted("moved", 2), wanted("gone", 2), wanted("left", 2)]).await;
    let kept = |current| ImportedTag::Kept { current };
    let moved = ImportedTag::Set { from: Some(pushes[0].digest) };
    assert_eq!(again, [kept(None), moved, kept(Some(pushes[1].digest))], "in the order of names");
}

/// Invariant 2: what a pass took over and has not noted yet has a session.
async fn a_pass_stands_for_what_it_takes_over_until_it_ends(f: Fixture) {
    let (one, two) = (upload("x", "alice").id, upload("x", "alice").id);
    assert_eq!(f.begin_import("/old", one, at(1)).await.expect("begun"), None);
    assert_eq!(f.uploads_exist(&[one, two]).await.expect("answered"), [true, false]);
    // It died; the next one begins where none has ended.
    assert_eq!(f.begin_import("/old", two, at(2)).await.expect("begun"), None);
    assert_eq!(f.uploads_exist(&[one, two]).await.expect("answered"), [false, true]);
    f.finish_import("/old", "{}", at(3)).await.expect("finished");
    assert_eq!(f.uploads_exist(&[one, two]).await.expect("answered"), [false, false]);
    assert_eq!(f.begin_import("/old", one, at(4)).await.expect("begun"), Some(at(2)));
    f.finish_import("/old", "{\"a\":1}", at(5)).await.expect("finished");
    f.release_import("/old", at(6)).await.expect("released");
    let rows = f.imports().await.expect("listed");
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].session, rows[0].complete_since, rows[0].released), (None, Some(at(4)), Some(at(6))));
    assert_eq!(rows[0].report.as_deref(), Some("{\"a\":1}"));
}

async fn known_digests_are_told_by_repository(f: Fixture) {
    let a = blob(1);
    import(&f, "r", vec![taken(&a)]).await;
    let image = manifest("r", 1, vec![layer(&a)], &[]);
    import_manifest(&f, image.clone()).await;
    let asked = [a.digest, image.digest, digest(55)];
    let here = f.known_digests(&name("r"), &asked).await.expect("answered");
    let live = Some(a.size);
    let nothing = KnownDigest::default();
    assert_eq!(
        here,
        [KnownDigest { live, member: true, manifest: false }, KnownDigest { manifest: true, ..nothing }, nothing]
    );
    let elsewhere = f.known_digests(&name("absent"), &asked).await.expect("answered");
    assert_eq!(elsewhere, [KnownDigest { live, ..nothing }, nothing, nothing]);
    assert_eq!(f.digests_held(&asked).await.expect("answered"), [true, true, false]);
}
