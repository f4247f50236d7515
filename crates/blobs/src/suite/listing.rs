//! Checks of lists, marker and what outlives the process.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use larder_oci::Algorithm::{Sha256, Sha512};

use super::{Subject, body, list, new_id, push, push_as, read_all};
use crate::hash::digest_of;
use crate::{Checkpoint, StoreMarker, Stored};

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn a_list_names_everything(subject: &Subject) {
    assert_eq!(list(&*subject.store).await, []);
    let mut expected = Vec::new();
    for (algorithm, size) in [(Sha256, 10), (Sha512, 0)] {
        let (id, bytes) = (new_id(), body(30, size));
        let digest = digest_of(algorithm, &bytes);
        let committed = push_as(&*subject.store, &id, algorithm, &bytes, 10, &digest).await.expect("commits");
        let (key, size) = (committed.key, committed.size);
        expected.push(Stored::Object { key, digest: Some(digest), upload: Some(id), size });
    }
    let id = new_id();
    let mut upload = subject.store.open_upload(&id, Checkpoint::start(Sha256)).await.expect("opens");
    upload.write(body(31, 300_000)).await.expect("writes");
    upload.checkpoint().await.expect("pipeline").await.expect("sync");
    expected.push(Stored::Upload { id, size: 300_000 });
    let aside = push(&*subject.store, Sha256, &body(32, 77), 77).await;
    subject.store.quarantine(&aside.key).await.expect("sets aside");
    expected.push(Stored::Quarantined { key: aside.key, size: 77 });
    let stored = list(&*subject.store).await;
    assert_eq!(stored.len(), expected.len(), "{stored:?}");
    for one in expected {
        // Back ends whose names do not say them may leave digest and session out.
        let found = stored.iter().any(|stored| match (stored, &one) {
            (
                Stored::Object { key: a, digest, upload, size: s },
                Stored::Object { key: b, digest: d, upload: u, size: t },
            ) => a == b && s == t && (digest.is_none() || digest == d) && (upload.is_none() || upload == u),
            (stored, one) => stored == one,
        });
        assert!(found, "{one:?} is missing in {stored:?}");
    }
    drop(upload);
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn a_long_list_is_complete_and_may_be_dropped(subject: &Subject) {
    let mut expected = BTreeSet::new();
    for number in 0..600 {
        expected.insert(push(&*subject.store, Sha256, &body(number, 40), 40).await.key);
    }
    let mut dropped = subject.store.list().await.expect("begins");
    assert!(matches!(dropped.next().await, Some(Ok(Stored::Object { .. }))));
    drop(dropped);
    let found: BTreeSet<_> = list(&*subject.store)
        .await
        .into_iter()
        .map(|stored| match stored {
            Stored::Object { key, .. } => key,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(found, expected);
}

/// **Invariant 14** rests on it.
pub async fn the_marker_is_replaced_whole(subject: &Subject) {
    assert_eq!(subject.store.marker().await.expect("reads"), None);
    for generation in [0, 1, 2, u64::MAX, 3] {
        let marker = StoreMarker { store_id: "\"a\\ store\"\n".to_owned(), generation };
        subject.store.set_marker(&marker).await.expect("writes");
        assert_eq!(subject.store.marker().await.expect("reads"), Some(marker));
    }
    assert_eq!(list(&*subject.store).await, [], "the marker is no object");
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn an_opened_store_can_be_written(subject: &Subject) {
    for _ in 0..2 {
        subject.store.check_writable().await.expect("can be written");
    }
    if let Some(space) = subject.store.space().await.expect("looks") {
        assert!(space.total > 0 && space.available <= space.total, "{space:?}");
    }
    assert_eq!(list(&*subject.store).await, [], "nothing is left behind");
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn what_was_acknowledged_is_there_after_opening_again(subject: &Subject) {
    let Some(reopen) = &subject.reopen else { return };
    let marker = StoreMarker { store_id: "one".to_owned(), generation: 7 };
    subject.store.set_marker(&marker).await.expect("writes");
    let bytes = body(33, 900_000);
    let committed = push(&*subject.store, Sha512, &bytes, 70_000).await;
    let id = new_id();
    let mut upload = subject.store.open_upload(&id, Checkpoint::start(Sha256)).await.expect("opens");
    upload.write(bytes.slice(..500_000)).await.expect("writes");
    let checkpoint = upload.checkpoint().await.expect("pipeline").await.expect("sync");
    drop(upload);
    let store = reopen();
    assert_eq!(store.marker().await.expect("reads"), Some(marker));
    assert!(read_all(&*store, &committed).await == bytes);
    let mut upload = store.open_upload(&id, checkpoint).await.expect("resumes");
    upload.write(bytes.slice(500_000..)).await.expect("writes");
    let second = upload.commit(&digest_of(Sha256, &bytes)).await.expect("commits");
    assert!(read_all(&*store, &second).await == bytes);
    assert_eq!(list(&*store).await.len(), 2);
}
