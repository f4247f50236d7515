//! What the sweep takes, and what it must not.

use std::slice::from_ref;

use larder_catalog::model::{Blob, BlobState};

use crate::fixture::{Fixture, at, blob, commit, layer, manifest, name, stamp, upload};

crate::on_every_database!(
    an_unexpired_lease_holds_and_its_end_is_looked_at_again,
    an_edge_holds_for_ever,
    a_membership_goes_with_its_last_lease_and_the_key_with_the_last_membership,
    a_checkpoint_extends_every_lease_of_its_identity_in_its_repository,
    a_condemned_blob_waits_for_its_bytes_and_a_new_upload_stands_beside_it,
    a_restart_finds_what_was_condemned,
    a_batch_is_bounded,
    digests_that_nothing_names_are_forgotten,
    nothing_is_unreferenced_without_being_queued,
);

async fn an_unexpired_lease_holds_and_its_end_is_looked_at_again(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 10).await;
    f.lease(&name("a"), &b.digest, "bob", at(50)).await.expect("answered");
    let batch = f.sweep(at(10), 100).await.expect("a sweep");
    assert_eq!((batch.reviewed, batch.kept, batch.memberships_removed), (1, 1, 0));
    assert_eq!(f.next_review().await.expect("answered"), Some(at(50)));
    assert_eq!(f.sweep(at(49), 100).await.expect("a sweep").reviewed, 0);
    let batch = f.sweep(at(50), 100).await.expect("a sweep");
    assert_eq!((batch.reviewed, batch.kept, batch.memberships_removed), (1, 0, 1));
    assert_eq!(batch.condemned, [b]);
    assert_eq!(f.next_review().await.expect("answered"), None);
}

async fn an_edge_holds_for_ever(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 10).await;
    f.push(manifest("a", 1, vec![layer(&b)], &[])).await;
    let batch = f.sweep(at(1_000), 100).await.expect("a sweep");
    assert_eq!((batch.reviewed, batch.kept), (1, 1));
    assert_eq!(f.next_review().await.expect("answered"), None, "the row is dropped");
    assert!(f.is_member("a", &b.digest).await);
}

async fn a_membership_goes_with_its_last_lease_and_the_key_with_the_last_membership(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 10).await;
    let b = Blob { key: "later".to_owned(), ..b };
    f.push_blob("b", &b, 20).await;
    let batch = f.sweep(at(12), 100).await.expect("a sweep");
    assert_eq!(batch.memberships_removed, 1);
    assert!(batch.condemned.is_empty());
    assert!(!f.is_member("a", &b.digest).await);
    assert!(f.is_member("b", &b.digest).await);
    let gone = f.sweep(at(20), 100).await.expect("a sweep").condemned;
    assert_eq!(gone.len(), 2, "the live key and the superseded one");
    assert_eq!(gone[0], b);
}

/// **Invariant 6**.
async fn a_checkpoint_extends_every_lease_of_its_identity_in_its_repository(f: Fixture) {
    let (first, other, elsewhere) = (blob(1), blob(2), blob(3));
    f.push_blob("a", &first, 10).await;
    f.push_blob_as("bob", "a", &other, 10).await;
    f.push_blob("b", &elsewhere, 10).await;
    let session = upload("a", "alice");
    f.create_upload(session.clone()).await.expect("a session");
    assert!(f.checkpoint_upload(&session.id, 5, vec![1], at(5), at(60)).await.expect("answered"));
    let mut gone: Vec<_> = f.sweep_all(59).await.into_iter().map(|blob| blob.digest).collect();
    gone.sort();
    let mut expected = vec![other.digest, elsewhere.digest];
    expected.sort();
    assert_eq!(gone, expected);
    assert!(f.is_member("a", &first.digest).await);
    f.push(manifest("a", 1, vec![layer(&first)], &["t"])).await;
}

/// **Invariant 2**: marked, then removed, then gone.
async fn a_condemned_blob_waits_for_its_bytes_and_a_new_upload_stands_beside_it(f: Fixture) {
    let (old, new) = (blob(1), blob(1));
    f.push_blob("a", &old, 10).await;
    assert_eq!(f.sweep(at(10), 100).await.expect("a sweep").condemned, from_ref(&old));
    assert!(!f.is_member("a", &old.digest).await);
    assert_eq!(f.keys_known(from_ref(&old.key)).await.expect("answered"), [true], "its bytes are not orphans");
    f.push_blob("a", &new, 60).await;
    let states: Vec<_> =
        f.blob_rows(0, 10).await.expect("rows").items.into_iter().map(|row| (row.blob, row.state)).collect();
    assert_eq!(states, [(old.clone(), BlobState::Deleting), (new.clone(), BlobState::Live)]);
    assert!(!f.forget_blob(&new.key).await.expect("answered"), "a live row is not forgotten");
    assert!(f.forget_blob(&old.key).await.expect("answered"));
    assert!(!f.forget_blob(&old.key).await.expect("answered"));
    assert!(f.is_member("a", &new.digest).await);
}

async fn a_restart_finds_what_was_condemned(f: Fixture) {
    let (one, two) = (blob(1), blob(2));
    f.push_blob("a", &one, 10).await;
    f.push_blob("a", &two, 10).await;
    f.sweep(at(10), 100).await.expect("a sweep");
    assert_eq!(f.condemned(10).await.expect("listed").len(), 2);
    f.forget_blob(&one.key).await.expect("answered");
    assert_eq!(f.condemned(10).await.expect("listed"), [two]);
}

async fn a_batch_is_bounded(f: Fixture) {
    for n in 0..5 {
        f.push_blob("a", &blob(n), 10).await;
    }
    assert_eq!(f.sweep(at(10), 3).await.expect("a sweep").condemned.len(), 3);
    assert_eq!(f.sweep(at(10), 3).await.expect("a sweep").condemned.len(), 2);
}

async fn digests_that_nothing_names_are_forgotten(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 10).await;
    let push = manifest("a", 1, vec![layer(&b)], &["t"]);
    f.push(push.clone()).await;
    assert_eq!(f.prune_taken(at(1_000)).await.expect("pruned"), 0, "both digests are in use");
    f.delete_manifest(&name("a"), &push.digest, at(20), None, stamp(11)).await.expect("deleted");
    assert_eq!(f.sweep_all(20).await.len(), 1);
    // What was taken, the blob's digest and the manifest's.
    assert_eq!(f.prune_taken(at(1_000)).await.expect("pruned"), 3);
    assert_eq!(f.prune_taken(at(1_000)).await.expect("pruned"), 0);
}

async fn nothing_is_unreferenced_without_being_queued(f: Fixture) {
    let (session, b) = (upload("a", "alice"), blob(1));
    f.create_upload(session.clone()).await.expect("a session");
    f.commit_blob(commit(&session, &b, 60)).await.expect("answered");
    f.remove_repository(&name("a"), stamp(1), at(30), None).await.expect("removed");
    assert_eq!(f.queue_unreferenced(at(2)).await.expect("answered"), 0, "the removal queued it");
    assert!(f.sweep_all(29).await.is_empty());
    assert_eq!(f.sweep_all(30).await, [b]);
}
