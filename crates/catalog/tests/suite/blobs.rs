//! Committing, mounting, leasing and deleting blobs.

use std::slice::from_ref;

use larder_catalog::model::{Blob, DeleteOutcome, MemberBlob, MountSource, RepositoryFilter};
use larder_oci::Digest;

use crate::fixture::{Fixture, at, blob, commit, layer, manifest, name, stamp, stamp_of, upload, visible};

crate::on_every_database!(
    a_commit_makes_blob_membership_and_lease_and_ends_the_session,
    a_commit_without_its_session_changes_nothing,
    a_blob_is_visible_only_through_membership,
    a_pushed_again_blob_takes_over_and_the_old_key_leaves_later,
    a_mount_needs_membership_in_its_source,
    a_mount_from_anywhere_looks_at_the_newest_that_may_be_pulled,
    a_lease_is_for_members_and_never_shortened,
    a_blob_that_a_manifest_names_cannot_be_deleted,
    a_deleted_blob_is_gone_at_once_and_its_bytes_after_its_leases,
);

async fn a_commit_makes_blob_membership_and_lease_and_ends_the_session(f: Fixture) {
    let (session, b) = (upload("team/model", "alice"), blob(1));
    f.create_upload(session.clone()).await.expect("a session");
    assert!(f.commit_blob(commit(&session, &b, 60)).await.expect("answered"));
    let member = f.member_blob(&name("team/model"), &b.digest, "alice").await.expect("answered");
    assert_eq!(
        member,
        Some(MemberBlob { blob: b.clone(), verified: true, has_edge: false, leased_until: Some(at(60)) })
    );
    let other = f.member_blob(&name("team/model"), &b.digest, "bob").await.expect("answered").expect("a member");
    assert_eq!(other.leased_until, None);
    assert_eq!(f.upload(&name("team/model"), &session.id).await.expect("answered"), None);
    assert!(f.repository_exists(&name("team/model")).await.expect("answered"));
    assert_eq!(f.next_review().await.expect("answered"), Some(at(60)));
}

/// **Invariant 2**: a session that expired or was cancelled meanwhile makes nothing live.
async fn a_commit_without_its_session_changes_nothing(f: Fixture) {
    let (session, b) = (upload("a", "alice"), blob(1));
    assert!(!f.commit_blob(commit(&session, &b, 60)).await.expect("answered"));
    f.create_upload(session.clone()).await.expect("a session");
    let mut elsewhere = commit(&session, &b, 60);
    elsewhere.repository = name("b");
    assert!(!f.commit_blob(elsewhere).await.expect("answered"), "a session works in its own repository only");
    assert!(f.delete_upload(&name("a"), &session.id).await.expect("answered"));
    assert!(!f.commit_blob(commit(&session, &b, 60)).await.expect("answered"));
    assert!(!f.repository_exists(&name("a")).await.expect("answered"));
    assert!(f.blob_rows(0, 10).await.expect("rows").items.is_empty());
    assert!(f.events(0, 10).await.expect("events").items.is_empty());
}

/// **Invariant 5**.
async fn a_blob_is_visible_only_through_membership(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 60).await;
    f.create_repository(&name("b"), stamp(0)).await.expect("made");
    assert!(!f.is_member("b", &b.digest).await);
    assert!(!f.is_member("c", &b.digest).await);
    assert!(!f.lease(&name("b"), &b.digest, "alice", at(90)).await.expect("answered"));
}

async fn a_pushed_again_blob_takes_over_and_the_old_key_leaves_later(f: Fixture) {
    let (old, new) = (blob(1), blob(1));
    f.push_blob("a", &old, 60).await;
    f.push_blob("b", &new, 70).await;
    for repository in ["a", "b"] {
        let member = f.member_blob(&name(repository), &old.digest, "alice").await.expect("answered").expect("a member");
        assert_eq!(member.blob, new, "one live row serves every member");
    }
    assert!(f.sweep(at(59), 100).await.expect("a sweep").condemned.is_empty());
    assert_eq!(
        f.keys_known(&[old.key.clone(), new.key.clone(), "other".to_owned()]).await.expect("answered"),
        [true, true, false]
    );
    // Both leases are over at minute 70: by then the older key has gone first.
    f.push(manifest("b", 1, vec![layer(&new)], &["t"])).await;
    assert_eq!(f.sweep_all(75).await, from_ref(&old));
    assert_eq!(f.keys_known(&[old.key, new.key.clone()]).await.expect("answered"), [false, true]);
    assert_eq!(f.member_blob(&name("b"), &new.digest, "x").await.expect("answered").expect("a member").blob, new);
}

async fn mount(f: &Fixture, to: &str, digest: &Digest, source: &MountSource) -> Option<Blob> {
    let candidate = f.mount_candidate(digest, source).await.expect("answered");
    let mounted = f.mount(&name(to), digest, source, at(60), stamp_of("bob", 1)).await.expect("answered");
    assert_eq!(candidate, mounted);
    mounted
}

async fn a_mount_needs_membership_in_its_source(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 10).await;
    f.create_repository(&name("empty"), stamp(0)).await.expect("made");
    for source in ["empty", "absent", "to"] {
        let source = MountSource::Repository(name(source));
        assert_eq!(mount(&f, "to", &b.digest, &source).await, None);
    }
    assert!(!f.repository_exists(&name("to")).await.expect("answered"), "a failed mount makes nothing");
    let source = MountSource::Repository(name("a"));
    assert_eq!(mount(&f, "to", &b.digest, &source).await, Some(b.clone()));
    let member = f.member_blob(&name("to"), &b.digest, "bob").await.expect("answered").expect("a member");
    assert_eq!(member.leased_until, Some(at(60)));
    assert!(f.sweep_all(20).await.is_empty(), "the mount's lease holds the bytes");
    assert!(!f.is_member("a", &b.digest).await);
    assert_eq!(f.sweep_all(60).await, from_ref(&b));
    assert_eq!(mount(&f, "to", &b.digest, &source).await, None);
}

async fn a_mount_from_anywhere_looks_at_the_newest_that_may_be_pulled(f: Fixture) {
    let b = blob(1);
    f.push_blob("private/x", &b, 60).await;
    let shared = |limit| MountSource::Any { filter: visible(&["shared/**"], &[]), limit };
    assert_eq!(mount(&f, "to", &b.digest, &shared(100)).await, None);
    f.push_blob("shared/x", &b, 60).await;
    f.push_blob("private/y", &b, 60).await;
    assert_eq!(mount(&f, "to", &b.digest, &shared(1)).await, None, "only the newest is looked at");
    assert!(mount(&f, "to", &b.digest, &shared(2)).await.is_some());
    let all = MountSource::Any { filter: RepositoryFilter::All, limit: 100 };
    assert!(mount(&f, "other", &b.digest, &all).await.is_some());
    assert_eq!(mount(&f, "other", &blob(2).digest, &all).await, None);
}

async fn a_lease_is_for_members_and_never_shortened(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 60).await;
    assert!(f.lease(&name("a"), &b.digest, "alice", at(30)).await.expect("answered"));
    let until = async |who: &str| {
        f.member_blob(&name("a"), &b.digest, who).await.expect("answered").expect("a member").leased_until
    };
    assert_eq!(until("alice").await, Some(at(60)));
    assert!(f.lease(&name("a"), &b.digest, "alice", at(90)).await.expect("answered"));
    assert!(f.lease(&name("a"), &b.digest, "bob", at(100)).await.expect("answered"));
    assert_eq!((until("alice").await, until("bob").await), (Some(at(90)), Some(at(100))));
    assert!(!f.lease(&name("a"), &blob(2).digest, "alice", at(90)).await.expect("answered"));
    f.renew_all_leases(at(95)).await.expect("renewed");
    assert_eq!((until("alice").await, until("bob").await), (Some(at(95)), Some(at(100))));
}

async fn a_blob_that_a_manifest_names_cannot_be_deleted(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 60).await;
    f.push_blob("b", &b, 60).await;
    let push = manifest("a", 1, vec![layer(&b)], &[]);
    f.push(push.clone()).await;
    let delete =
        async |repository: &str| f.delete_blob(&name(repository), &b.digest, stamp(2)).await.expect("answered");
    assert_eq!(delete("a").await, DeleteOutcome::InUse { parent: push.digest });
    assert_eq!(delete("b").await, DeleteOutcome::Deleted, "an edge holds in its own repository only");
    assert_eq!(delete("b").await, DeleteOutcome::Absent);
    assert_eq!(delete("c").await, DeleteOutcome::Absent);
    assert!(f.is_member("a", &b.digest).await);
}

async fn a_deleted_blob_is_gone_at_once_and_its_bytes_after_its_leases(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 10).await;
    assert_eq!(f.delete_blob(&name("a"), &b.digest, stamp(2)).await.expect("answered"), DeleteOutcome::Deleted);
    assert!(!f.is_member("a", &b.digest).await);
    let kinds: Vec<String> = f.events(0, 10).await.expect("events").items.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["repository.created", "blob.deleted"]);
    assert!(f.sweep_all(9).await.is_empty());
    assert_eq!(f.sweep_all(10).await, [b]);
}
