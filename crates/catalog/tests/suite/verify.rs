//! Verdicts about damaged objects.

use larder_catalog::model::{AffectedTag, BlobState, PutManifestOutcome};
use larder_oci::Digest;

use crate::fixture::{Fixture, at, blob, child, config, layer, manifest, name, stamp, tag};

crate::on_every_database!(
    a_quarantined_blob_is_absent_until_it_is_pushed_again,
    a_missing_blob_is_forgotten_everywhere,
    a_verdict_about_a_key_that_is_no_longer_live_changes_nothing,
    a_quarantined_manifest_is_gone_with_its_tags_and_heals_by_a_push,
    affected_tags_go_up_through_indexes,
    all_manifests_bytes_are_walked_once,
    blob_rows_are_walked_by_id,
);

async fn a_quarantined_blob_is_absent_until_it_is_pushed_again(f: Fixture) {
    let bad = blob(1);
    f.push_blob("a", &bad, 600).await;
    f.push_blob("b", &bad.clone_with_key("second"), 600).await;
    assert!(f.quarantine_blob("second", stamp(5)).await.expect("answered"));
    assert!(!f.is_member("a", &bad.digest).await);
    assert!(!f.lease(&name("a"), &bad.digest, "alice", at(9)).await.expect("answered"));
    let push = manifest("a", 1, vec![layer(&bad)], &[]);
    let refused = f.put_manifest(larder_catalog::model::PutManifest {
        sparse: larder_catalog::model::Sparse::Accept,
        ..push.clone()
    });
    assert_eq!(refused.await.expect("answered"), PutManifestOutcome::Missing(vec![bad.digest]));
    assert_eq!(f.usage(at(5)).await.expect("answered").quarantined, (1, bad.size));
    f.push_blob("b", &bad.clone_with_key("third"), 600).await;
    assert!(f.is_member("a", &bad.digest).await, "a re-push heals every repository that held it");
    f.push(push).await;
}

trait WithKey {
    fn clone_with_key(&self, key: &str) -> Self;
}

impl WithKey for larder_catalog::model::Blob {
    fn clone_with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }
}

async fn a_missing_blob_is_forgotten_everywhere(f: Fixture) {
    let lost = blob(1);
    f.push_blob("a", &lost, 600).await;
    f.push(manifest("a", 1, vec![layer(&lost)], &["t"])).await;
    assert!(f.forget_missing_blob(&lost.key, stamp(5)).await.expect("answered"));
    assert!(!f.is_member("a", &lost.digest).await);
    assert_eq!(f.keys_known(std::slice::from_ref(&lost.key)).await.expect("answered"), [false]);
    let push = manifest("a", 2, vec![layer(&lost)], &[]);
    let refused =
        f.put_manifest(larder_catalog::model::PutManifest { sparse: larder_catalog::model::Sparse::Accept, ..push });
    assert_eq!(refused.await.expect("answered"), PutManifestOutcome::Missing(vec![lost.digest]));
    let again = lost.clone_with_key("again");
    f.push_blob("a", &again, 600).await;
    assert!(f.is_member("a", &lost.digest).await);
    assert!(f.sweep_all(10_000).await.is_empty(), "its manifest holds it again");
}

async fn a_verdict_about_a_key_that_is_no_longer_live_changes_nothing(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 10).await;
    f.sweep(at(10), 10).await.expect("a sweep");
    assert!(!f.quarantine_blob(&b.key, stamp(11)).await.expect("answered"));
    assert!(!f.forget_missing_blob(&b.key, stamp(11)).await.expect("answered"));
    assert!(!f.quarantine_blob("unknown", stamp(11)).await.expect("answered"));
    assert_eq!(f.blob_rows(0, 9).await.expect("rows").items[0].state, BlobState::Deleting);
    let (old, new) = (blob(2), blob(2));
    f.push_blob("a", &old, 60).await;
    f.push_blob("a", &new, 60).await;
    assert!(f.quarantine_blob(&old.key, stamp(11)).await.expect("answered"), "a superseded key");
    assert!(f.is_member("a", &new.digest).await, "does not touch its successor");
}

async fn a_quarantined_manifest_is_gone_with_its_tags_and_heals_by_a_push(f: Fixture) {
    let l = blob(1);
    f.push_blob("a", &l, 10).await;
    let push = manifest("a", 1, vec![layer(&l)], &["t"]);
    f.push(push.clone()).await;
    let index = manifest("a", 2, vec![child(&push)], &["i"]);
    f.push(index.clone()).await;
    assert!(f.quarantine_manifest(&push.digest, stamp(20)).await.expect("answered"));
    assert!(!f.quarantine_manifest(&push.digest, stamp(20)).await.expect("answered"));
    let pull =
        async |text: &str| f.manifest(&name("a"), &text.parse().expect("a reference"), true).await.expect("answered");
    assert_eq!(pull("t").await, None);
    assert!(pull("i").await.is_some());
    let history = f.tag_history(&name("a"), &tag("t"), None, 9).await.expect("history").items;
    assert_eq!((history[0].to, history[0].how.as_str()), (None, "quarantine"));
    assert!(f.sweep_all(600).await.is_empty(), "its blobs have a lease of a day");
    let again = f.put_manifest(manifest("a", 3, vec![child(&push)], &[])).await.expect("answered");
    assert_eq!(again, PutManifestOutcome::Missing(vec![push.digest]));
    f.push(push.clone()).await;
    assert_eq!(pull("t").await.expect("a manifest").bytes, Some(push.bytes));
}

async fn affected_tags_go_up_through_indexes(f: Fixture) {
    let (c, l) = (blob(1), blob(2));
    f.push_blob("a", &c, 600).await;
    f.push_blob("a", &l, 600).await;
    let inner = manifest("a", 1, vec![config(&c), layer(&l)], &[]);
    let index = manifest("a", 2, vec![child(&inner)], &["index"]);
    let outer = manifest("a", 3, vec![child(&index)], &["outer", "latest"]);
    let plain = manifest("a", 4, vec![layer(&l)], &["plain"]);
    for push in [&inner, &index, &outer, &plain] {
        f.push(push.clone()).await;
    }
    let affected = async |digest: &Digest| {
        let mut rows = f.affected_tags(digest, 100).await.expect("answered");
        rows.sort_by_key(|row| row.tag.clone());
        rows
    };
    let row =
        |text: Option<&str>, manifest: Digest| AffectedTag { repository: name("a"), tag: text.map(tag), manifest };
    let up = [
        row(None, inner.digest),
        row(Some("index"), index.digest),
        row(Some("latest"), outer.digest),
        row(Some("outer"), outer.digest),
    ];
    assert_eq!(affected(&c.digest).await, up);
    assert_eq!(affected(&inner.digest).await, up);
    assert_eq!(affected(&l.digest).await.len(), 5);
    assert_eq!(f.affected_tags(&l.digest, 2).await.expect("answered").len(), 2);
    assert!(affected(&crate::fixture::digest(99)).await.is_empty());
}

async fn all_manifests_bytes_are_walked_once(f: Fixture) {
    let mut expected = Vec::new();
    for n in 0..5 {
        let push = manifest("a", n, vec![], &[]);
        expected.push((push.digest, push.bytes.clone()));
        f.push(push.clone()).await;
        f.push(larder_catalog::model::PutManifest { repository: name("b"), ..push }).await;
    }
    expected.sort();
    let first = f.manifest_bytes(None, 3).await.expect("a page");
    assert!(first.more);
    let second = f.manifest_bytes(Some(&first.items[2].0), 3).await.expect("a page");
    assert!(!second.more);
    assert_eq!([first.items, second.items].concat(), expected);
    // A page is bounded in bytes too (**Invariant 9**).
    for n in 10..14 {
        let mut push = manifest("a", n, vec![], &[]);
        push.bytes = vec![b'x'; 4 << 20].into();
        f.push(push).await;
    }
    let page = f.manifest_bytes(None, 100).await.expect("a page");
    assert!(page.more && page.items.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= 8 << 20);
}

async fn blob_rows_are_walked_by_id(f: Fixture) {
    let blobs = [blob(1), blob(2), blob(3)];
    for blob in &blobs {
        f.push_blob("a", blob, 60).await;
    }
    let first = f.blob_rows(0, 2).await.expect("rows");
    assert!(first.more);
    let second = f.blob_rows(first.items[1].id, 2).await.expect("rows");
    assert!(!second.more);
    let walked: Vec<_> = first.items.into_iter().chain(second.items).map(|row| row.blob).collect();
    assert_eq!(walked, blobs);
}
