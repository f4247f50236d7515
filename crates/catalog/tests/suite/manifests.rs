//! Pushing, pulling and removing manifests.

use larder_catalog::model::{
    Condition, DeleteOutcome, Manifest, NewEdge, NewJob, PutManifest, PutManifestOutcome, Sparse, TagListing,
};
use larder_oci::{Algorithm, Digest, EdgeKind, Reference};

use crate::fixture::{Fixture, at, blob, child, config, digest, layer, manifest, name, stamp, tag};

crate::on_every_database!(
    a_push_is_one_transaction_of_bytes_edges_tags_history_events_and_jobs,
    a_manifest_comes_back_byte_for_byte_by_tag_and_by_digest,
    a_digest_comes_back_in_the_algorithm_it_was_pushed_with,
    a_pushed_again_manifest_is_not_new_and_moves_nothing,
    absent_targets_are_refused_named_or_accepted,
    a_refused_push_leaves_nothing_behind,
    a_false_size_is_refused_for_a_member_only,
    subjects_and_optional_targets_may_be_absent,
    what_the_sweep_took_is_refused_even_when_sparse_pushes_are_accepted,
    conditions_are_decided_inside_the_push,
    of_two_pushes_that_may_only_create_one_wins,
    a_child_of_an_index_cannot_be_deleted_before_it,
    a_deleted_manifest_is_gone_with_its_tags_and_its_blobs_get_a_lease,
    a_manifest_that_another_repository_has_keeps_its_bytes,
    referrers_do_not_hold_their_subject_and_outlive_it,
    an_index_counts_as_pulled_when_a_child_was,
);

async fn pull(f: &Fixture, repository: &str, reference: &str) -> Option<Manifest> {
    let reference: Reference = reference.parse().expect("a reference");
    f.manifest(&name(repository), &reference, true).await.expect("a pull is answered")
}

/// **Invariant 3**.
async fn a_push_is_one_transaction_of_bytes_edges_tags_history_events_and_jobs(f: Fixture) {
    let (c, l) = (blob(1), blob(2));
    f.push_blob("team/model", &c, 60).await;
    f.push_blob("team/model", &l, 60).await;
    let before = f.events(0, 100).await.expect("events").items.last().expect("the repository's event").id;
    let mut push = manifest("team/model", 1, vec![config(&c), layer(&l)], &["v1", "latest"]);
    push.jobs = vec![NewJob { kind: "scan".to_owned(), payload: "{}".to_owned(), run_after: at(0) }];
    let units = f.statistics().units;
    let outcome = f.put_manifest(push.clone()).await.expect("pushed");
    let moved = vec![(tag("latest"), None), (tag("v1"), None)];
    assert_eq!(outcome, PutManifestOutcome::Stored { created: true, missing: vec![], moved });
    assert_eq!(f.statistics().units, units + 1);
    assert!(f.member_blob(&name("team/model"), &l.digest, "alice").await.expect("a look").expect("a member").has_edge);
    let rows = f
        .tag_rows(&name("team/model"), &TagListing::default(), None, 10)
        .await
        .expect("rows")
        .expect("the repository")
        .items;
    assert_eq!(rows[1].name, tag("v1"));
    assert_eq!((rows[1].digest, rows[1].updated), (push.digest, at(1)));
    assert_eq!(rows[1].size, push.bytes.len() as u64 + c.size + l.size);
    let history = f.tag_history(&name("team/model"), &tag("v1"), None, 10).await.expect("history").items;
    assert_eq!((history[0].from, history[0].to, history[0].how.as_str()), (None, Some(push.digest), "push"));
    assert_eq!(history[0].stamp, stamp(1));
    let events = f.events(before, 100).await.expect("events").items;
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["manifest.pushed", "tag.moved", "tag.moved"]);
    assert_eq!(f.claim_jobs(&["scan"], at(0), at(5), 9).await.expect("jobs").len(), 1);
}

/// **Invariant 8**.
async fn a_manifest_comes_back_byte_for_byte_by_tag_and_by_digest(f: Fixture) {
    let mut push = manifest("a", 1, vec![], &["t"]);
    push.bytes = bytes::Bytes::from_static(b"{ \"b\" :1,\n\t\"a\":  \"\\u00e9\xc3\xa9\" }\n");
    f.push(push.clone()).await;
    let expected = Manifest {
        digest: push.digest,
        media_type: push.media_type.clone(),
        size: push.bytes.len() as u64,
        bytes: Some(push.bytes.clone()),
        incomplete: false,
    };
    assert_eq!(pull(&f, "a", "t").await.as_ref(), Some(&expected));
    assert_eq!(pull(&f, "a", &push.digest.to_string()).await.as_ref(), Some(&expected));
    let head = f.manifest(&name("a"), &"t".parse().expect("a reference"), false).await.expect("a head");
    assert_eq!(head, Some(Manifest { bytes: None, ..expected }));
    assert_eq!(pull(&f, "b", "t").await, None);
    assert_eq!(pull(&f, "a", "other").await, None);
    assert_eq!(pull(&f, "b", &push.digest.to_string()).await, None);
}

/// **Invariant 7**.
async fn a_digest_comes_back_in_the_algorithm_it_was_pushed_with(f: Fixture) {
    let wide = Digest::new(Algorithm::Sha512, &[0x5a; 64]).expect("a digest");
    let push = PutManifest { digest: wide, ..manifest("a", 1, vec![], &["t"]) };
    f.push(push).await;
    assert_eq!(pull(&f, "a", "t").await.expect("a manifest").digest, wide);
    assert!(pull(&f, "a", &wide.to_string()).await.is_some());
    let narrow = Digest::new(Algorithm::Sha256, &[0x5a; 32]).expect("a digest");
    assert_eq!(pull(&f, "a", &narrow.to_string()).await, None);
}

async fn a_pushed_again_manifest_is_not_new_and_moves_nothing(f: Fixture) {
    let push = manifest("a", 1, vec![], &["t"]);
    f.push(push.clone()).await;
    let last = f.events(0, 100).await.expect("events").items.last().expect("events").id;
    let outcome = f.put_manifest(PutManifest { stamp: stamp(9), ..push.clone() }).await.expect("pushed");
    assert_eq!(outcome, PutManifestOutcome::Stored { created: false, missing: vec![], moved: vec![] });
    assert!(f.events(last, 100).await.expect("events").items.is_empty());
    assert_eq!(f.tag_history(&name("a"), &tag("t"), None, 10).await.expect("history").items.len(), 1);
    let rows =
        f.tag_rows(&name("a"), &TagListing::default(), None, 10).await.expect("rows").expect("the repository").items;
    assert_eq!(rows[0].updated, at(1), "a tag that did not move keeps its time");
    let other = manifest("a", 2, vec![], &["t"]);
    let outcome = f.put_manifest(other).await.expect("pushed");
    let moved = vec![(tag("t"), Some(push.digest))];
    assert_eq!(outcome, PutManifestOutcome::Stored { created: true, missing: vec![], moved });
}

async fn absent_targets_are_refused_named_or_accepted(f: Fixture) {
    let absent = blob(1);
    let push = manifest("a", 1, vec![layer(&absent)], &["t"]);
    let refused = f.put_manifest(push.clone()).await.expect("answered");
    assert_eq!(refused, PutManifestOutcome::Missing(vec![absent.digest]));
    let warned = f.put_manifest(PutManifest { sparse: Sparse::Warn, ..push.clone() }).await.expect("answered");
    let expected =
        PutManifestOutcome::Stored { created: true, missing: vec![absent.digest], moved: vec![(tag("t"), None)] };
    assert_eq!(warned, expected);
    assert!(pull(&f, "a", "t").await.expect("a manifest").incomplete);
    let accepted = f.put_manifest(PutManifest { sparse: Sparse::Accept, ..push.clone() }).await.expect("answered");
    assert_eq!(accepted, PutManifestOutcome::Stored { created: false, missing: vec![], moved: vec![] });
    assert!(pull(&f, "a", "t").await.expect("a manifest").incomplete);
    assert!(!f.is_member("a", &absent.digest).await, "an edge gives no membership");
    assert_eq!(marked(&f).await, (true, 1, 1));
    f.push(manifest("a", 2, vec![], &["whole"])).await;
    assert_eq!(marked(&f).await, (true, 1, 1));
    f.push_blob("a", &absent, 60).await;
    f.push(push).await;
    assert_eq!(marked(&f).await, (false, 0, 0));
    assert!(!pull(&f, "a", "t").await.expect("a manifest").incomplete, "a push with everything there completes it");
}

/// How tag `t` of `a` is marked, and how many manifests of `a` and of all are.
async fn marked(f: &Fixture) -> (bool, u64, u64) {
    let rows =
        f.tag_rows(&name("a"), &TagListing::default(), None, 1).await.expect("rows").expect("the repository").items;
    let summary = f.repository_summary(&name("a")).await.expect("answered").expect("the repository");
    (rows[0].incomplete, summary.incomplete, f.incomplete_manifests().await.expect("answered"))
}

async fn a_refused_push_leaves_nothing_behind(f: Fixture) {
    let push = manifest("a", 1, vec![layer(&blob(1))], &["t"]);
    f.put_manifest(push).await.expect("answered");
    assert!(!f.repository_exists(&name("a")).await.expect("a look"));
    assert!(f.events(0, 10).await.expect("events").items.is_empty());
}

/// Other repositories are never asked: that would tell what they hold (**Invariant 5**).
async fn a_false_size_is_refused_for_a_member_only(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 60).await;
    let lie = NewEdge { size: b.size + 1, ..layer(&b) };
    let outcome = f.put_manifest(manifest("a", 1, vec![lie.clone()], &[])).await.expect("answered");
    let expected = PutManifestOutcome::SizeMismatch { child: b.digest, stated: b.size + 1, actual: b.size };
    assert_eq!(outcome, expected);
    let elsewhere = PutManifest { sparse: Sparse::Warn, ..manifest("b", 1, vec![lie], &[]) };
    let outcome = f.put_manifest(elsewhere).await.expect("answered");
    assert_eq!(outcome, PutManifestOutcome::Stored { created: true, missing: vec![b.digest], moved: vec![] });
    let inner = manifest("a", 2, vec![], &[]);
    f.push(inner.clone()).await;
    let lie = NewEdge { size: 1, ..child(&inner) };
    let outcome = f.put_manifest(manifest("a", 3, vec![lie], &[])).await.expect("answered");
    assert!(matches!(outcome, PutManifestOutcome::SizeMismatch { .. }), "{outcome:?}");
}

async fn subjects_and_optional_targets_may_be_absent(f: Fixture) {
    let subject = NewEdge { kind: EdgeKind::Subject, child: digest(9), size: 7, required: false };
    let foreign = NewEdge { required: false, ..layer(&blob(3)) };
    let push = PutManifest { subject: Some(digest(9)), ..manifest("a", 1, vec![subject, foreign], &["t"]) };
    let outcome = f.put_manifest(push).await.expect("answered");
    assert_eq!(outcome, PutManifestOutcome::Stored { created: true, missing: vec![], moved: vec![(tag("t"), None)] });
    assert!(!pull(&f, "a", "t").await.expect("a manifest").incomplete);
}

async fn what_the_sweep_took_is_refused_even_when_sparse_pushes_are_accepted(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 10).await;
    assert_eq!(f.sweep_all(11).await.len(), 1);
    let push = PutManifest { sparse: Sparse::Accept, taken_since: at(5), ..manifest("a", 1, vec![layer(&b)], &[]) };
    let outcome = f.put_manifest(push.clone()).await.expect("answered");
    assert_eq!(outcome, PutManifestOutcome::Missing(vec![b.digest]));
    f.push(PutManifest { taken_since: at(12), ..push.clone() }).await;
    f.push(PutManifest { repository: name("b"), ..push.clone() }).await;
    assert!(f.prune_taken(at(12)).await.expect("pruned") >= 1);
    f.push(push).await;
}

async fn conditions_are_decided_inside_the_push(f: Fixture) {
    let (first, second) = (manifest("a", 1, vec![], &["t"]), manifest("a", 2, vec![], &["t"]));
    let with = |push: &PutManifest, condition| PutManifest { condition, ..push.clone() };
    let refused = f.put_manifest(with(&first, Condition::IfMatch(vec![first.digest]))).await.expect("answered");
    assert_eq!(refused, PutManifestOutcome::ConditionFailed(None));
    f.push(with(&first, Condition::IfAbsent)).await;
    let refused = f.put_manifest(with(&second, Condition::IfAbsent)).await.expect("answered");
    assert_eq!(refused, PutManifestOutcome::ConditionFailed(Some(first.digest)));
    let refused = f.put_manifest(with(&second, Condition::IfMatch(vec![second.digest]))).await.expect("answered");
    assert_eq!(refused, PutManifestOutcome::ConditionFailed(Some(first.digest)));
    f.push(with(&second, Condition::IfMatch(vec![digest(5), first.digest]))).await;
    f.push(with(&second, Condition::IfMatch(vec![second.digest]))).await;
    assert_eq!(pull(&f, "a", "t").await.expect("a manifest").digest, second.digest);
    let by_digest = PutManifest { tags: vec![], ..with(&second, Condition::IfAbsent) };
    let refused = f.put_manifest(by_digest).await.expect("answered");
    assert_eq!(refused, PutManifestOutcome::ConditionFailed(Some(second.digest)));
    f.push(PutManifest { condition: Condition::IfAbsent, ..manifest("a", 3, vec![], &[]) }).await;
}

/// T3: exactly one 201.
async fn of_two_pushes_that_may_only_create_one_wins(f: Fixture) {
    for round in 0..10 {
        let wanted = format!("t{round}");
        let pushes = (0..4).map(|n| PutManifest {
            condition: Condition::IfAbsent,
            ..manifest("a", round * 10 + n, vec![], &[&wanted])
        });
        let tasks: Vec<_> = pushes
            .map(|push| {
                let catalog = f.catalog.clone();
                tokio::spawn(async move { catalog.put_manifest(push).await.expect("answered") })
            })
            .collect();
        let mut stored = 0;
        for task in tasks {
            stored += u32::from(matches!(task.await.expect("no panic"), PutManifestOutcome::Stored { .. }));
        }
        assert_eq!(stored, 1);
    }
}

async fn a_child_of_an_index_cannot_be_deleted_before_it(f: Fixture) {
    let inner = manifest("a", 1, vec![], &[]);
    f.push(inner.clone()).await;
    let index = manifest("a", 2, vec![child(&inner)], &["t"]);
    f.push(index.clone()).await;
    let delete = async |digest| f.delete_manifest(&name("a"), digest, at(60), None, stamp(2)).await.expect("answered");
    assert_eq!(delete(&inner.digest).await, DeleteOutcome::InUse { parent: index.digest });
    assert_eq!(delete(&index.digest).await, DeleteOutcome::Deleted);
    assert_eq!(delete(&index.digest).await, DeleteOutcome::Absent);
    assert_eq!(delete(&inner.digest).await, DeleteOutcome::Deleted);
    let elsewhere = f.delete_manifest(&name("b"), &inner.digest, at(60), None, stamp(2)).await.expect("answered");
    assert_eq!(elsewhere, DeleteOutcome::Absent);
}

/// **Invariant 6**: losing the last edge starts a full lease in the same transaction.
async fn a_deleted_manifest_is_gone_with_its_tags_and_its_blobs_get_a_lease(f: Fixture) {
    let (own, shared) = (blob(1), blob(2));
    f.push_blob("a", &own, 10).await;
    f.push_blob("a", &shared, 10).await;
    let first = manifest("a", 1, vec![config(&own), layer(&shared)], &["t", "u"]);
    let second = manifest("a", 2, vec![layer(&shared)], &["v"]);
    f.push(first.clone()).await;
    f.push(second.clone()).await;
    assert!(f.sweep_all(20).await.is_empty(), "edges hold both");
    let outcome = f.delete_manifest(&name("a"), &first.digest, at(90), None, stamp(30)).await.expect("answered");
    assert_eq!(outcome, DeleteOutcome::Deleted);
    assert_eq!(pull(&f, "a", "t").await, None);
    assert_eq!(pull(&f, "a", &first.digest.to_string()).await, None);
    let history = f.tag_history(&name("a"), &tag("u"), None, 10).await.expect("history").items;
    assert_eq!((history[0].from, history[0].to, history[0].how.as_str()), (Some(first.digest), None, "delete"));
    let member = f.member_blob(&name("a"), &own.digest, "alice").await.expect("a look").expect("still a member");
    assert_eq!((member.has_edge, member.leased_until), (false, Some(at(90))));
    assert_eq!(f.next_review().await.expect("answered"), Some(at(90)));
    assert!(f.sweep_all(89).await.is_empty());
    let gone = f.sweep_all(90).await;
    assert_eq!(gone, [own]);
    assert!(f.is_member("a", &shared.digest).await);
}

async fn a_manifest_that_another_repository_has_keeps_its_bytes(f: Fixture) {
    let push = manifest("a", 1, vec![], &["t"]);
    f.push(push.clone()).await;
    f.push(PutManifest { repository: name("b"), ..push.clone() }).await;
    f.delete_manifest(&name("a"), &push.digest, at(9), None, stamp(2)).await.expect("deleted");
    assert_eq!(pull(&f, "b", "t").await.expect("a manifest").bytes, Some(push.bytes.clone()));
    assert_eq!(f.manifest_bytes(None, 10).await.expect("bytes").items.len(), 1);
    f.delete_manifest(&name("b"), &push.digest, at(9), None, stamp(2)).await.expect("deleted");
    assert_eq!(f.manifest_bytes(None, 10).await.expect("bytes").items.len(), 0);
}

async fn referrers_do_not_hold_their_subject_and_outlive_it(f: Fixture) {
    let subject = manifest("a", 1, vec![], &["t"]);
    f.push(subject.clone()).await;
    let edge = NewEdge { kind: EdgeKind::Subject, required: false, ..child(&subject) };
    let signature = PutManifest {
        subject: Some(subject.digest),
        artifact_type: Some("application/sig".to_owned()),
        annotations: Some("{\"k\":\"v\"}".to_owned()),
        ..manifest("a", 2, vec![edge], &[])
    };
    f.push(signature.clone()).await;
    let list = async || f.referrers(&name("a"), &subject.digest, None, None, 10).await.expect("listed").items;
    let listed = list().await;
    assert_eq!((listed[0].digest, listed[0].artifact_type.as_deref()), (signature.digest, Some("application/sig")));
    assert_eq!(listed[0].annotations.as_deref(), Some("{\"k\":\"v\"}"));
    let outcome = f.delete_manifest(&name("a"), &subject.digest, at(9), None, stamp(2)).await.expect("answered");
    assert_eq!(outcome, DeleteOutcome::Deleted);
    assert_eq!(list().await.len(), 1);
    f.delete_manifest(&name("a"), &signature.digest, at(9), None, stamp(2)).await.expect("answered");
    assert!(list().await.is_empty());
}

async fn an_index_counts_as_pulled_when_a_child_was(f: Fixture) {
    let inner = manifest("a", 1, vec![], &[]);
    f.push(inner.clone()).await;
    f.push(manifest("a", 2, vec![child(&inner)], &["t"])).await;
    let pulls =
        [(name("a"), inner.digest, at(5)), (name("gone"), inner.digest, at(6)), (name("a"), inner.digest, at(4))];
    f.pulled(&pulls).await.expect("written down");
}
