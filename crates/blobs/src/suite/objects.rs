//! Checks of objects.

use futures::StreamExt as _;
use larder_oci::Algorithm::{Sha256, Sha512};

use super::{Random, Subject, body, collect, list, new_id, push, read_all};
use crate::{BlobKey, Error, Stored};

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn any_range_reads_as_the_bytes_it_names(subject: &Subject) {
    let mut random = Random(20);
    for len in [1, 5000, 2_500_000] {
        let bytes = body(21, len);
        let committed = push(&*subject.store, Sha256, &bytes, 300_000).await;
        let object = subject.store.open(&committed.key, committed.size).await.expect("opens");
        let mut ranges = vec![0..len, 0..0, len..len, len - 1..len, 0..1];
        ranges.extend((0..60).map(|_| {
            let start = random.below(len as u64 + 1);
            let end = start + random.below(len as u64 - start + 1);
            start as usize..end as usize
        }));
        for range in ranges {
            let read = collect(object.read(range.start as u64..range.end as u64)).await.expect("reads");
            assert!(read == bytes[range.clone()], "{range:?} of {len}");
        }
        assert!(collect(object.read_medium()).await.expect("reads") == bytes, "all {len} from the medium");
    }
    let empty = push(&*subject.store, Sha512, &body(0, 0), 1).await;
    let object = subject.store.open(&empty.key, 0).await.expect("opens");
    assert!(object.read(0..0).next().await.is_none());
    assert!(object.read_medium().next().await.is_none());
}

#[expect(missing_docs, reason = "the name is the sentence")]
#[expect(clippy::reversed_empty_ranges, reason = "that is the case")]
pub async fn a_range_beyond_the_end_is_an_error(subject: &Subject) {
    let committed = push(&*subject.store, Sha256, &body(22, 1000), 1000).await;
    let object = subject.store.open(&committed.key, committed.size).await.expect("opens");
    for range in [0..1001, 1001..1001, 5..4] {
        let first = object.read(range.clone()).next().await;
        assert!(matches!(first, Some(Err(_))), "{range:?}: {first:?}");
    }
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn readers_of_one_object_are_independent(subject: &Subject) {
    let bytes = body(23, 3_000_000);
    let committed = push(&*subject.store, Sha256, &bytes, 300_000).await;
    let object = subject.store.open(&committed.key, committed.size).await.expect("opens");
    let mut slow = object.read(0..committed.size);
    let mut slow_bytes = slow.next().await.expect("a piece").expect("reads").to_vec();
    let mut held = Vec::new();
    let mut fast = object.read(1_000_000..2_000_000);
    while let Some(piece) = fast.next().await {
        // Kept, so that a buffer given out too early would change under its reader.
        held.push(piece.expect("reads"));
        if let Some(piece) = slow.next().await {
            slow_bytes.extend_from_slice(&piece.expect("reads"));
        }
    }
    drop(object.read(0..committed.size));
    while let Some(piece) = slow.next().await {
        slow_bytes.extend_from_slice(&piece.expect("reads"));
    }
    assert!(slow_bytes == bytes);
    assert!(held.concat() == bytes[1_000_000..2_000_000]);
}

/// **Invariant 12**.
pub async fn an_object_of_another_length_is_not_opened(subject: &Subject) {
    let committed = push(&*subject.store, Sha256, &body(24, 1000), 1000).await;
    assert_eq!(subject.store.stat(&committed.key).await.expect("looks"), Some(1000));
    for size in [0, 999, 1001, u64::MAX] {
        match subject.store.open(&committed.key, size).await {
            Err(Error::WrongLength { expected, found, .. }) => assert_eq!((expected, found), (size, 1000)),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("opened with {size} bytes"),
        }
    }
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn what_is_absent_is_said_to_be(subject: &Subject) {
    let committed = push(&*subject.store, Sha256, &body(25, 1000), 1000).await;
    let key = committed.key.as_str();
    let id = new_id().to_string();
    let mut strange =
        vec![String::new(), ".".to_owned(), "../x".to_owned(), "/etc/passwd".to_owned(), format!("{key}/x")];
    strange.extend([format!("{key}x"), format!("../blobs/{key}"), key[..key.len() - 1].to_owned(), "a\0b".to_owned()]);
    // A well-formed key of another session.
    strange.push(format!("{}{id}", &key[..key.len() - id.len()]));
    for key in strange.into_iter().map(BlobKey::from_stored) {
        assert!(matches!(subject.store.open(&key, 1000).await, Err(Error::Absent(_))), "{key}");
        assert_eq!(subject.store.stat(&key).await.expect("looks"), None, "{key}");
        subject.store.remove(&key).await.expect("absent is success");
        subject.store.quarantine(&key).await.expect("absent is success");
    }
    assert_eq!(read_all(&*subject.store, &committed).await.len(), 1000);
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn a_removed_object_is_gone_and_its_removal_repeats(subject: &Subject) {
    let committed = push(&*subject.store, Sha512, &body(26, 1000), 1000).await;
    for _ in 0..2 {
        subject.store.remove(&committed.key).await.expect("removes");
        assert_eq!(subject.store.stat(&committed.key).await.expect("looks"), None);
        assert!(matches!(subject.store.open(&committed.key, 1000).await, Err(Error::Absent(_))));
    }
    assert_eq!(list(&*subject.store).await, []);
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn a_quarantined_object_is_neither_served_nor_an_object(subject: &Subject) {
    for algorithm in [Sha256, Sha512] {
        let committed = push(&*subject.store, algorithm, &body(27, 1000), 1000).await;
        for _ in 0..2 {
            subject.store.quarantine(&committed.key).await.expect("sets aside");
            assert_eq!(subject.store.stat(&committed.key).await.expect("looks"), None);
            assert!(matches!(subject.store.open(&committed.key, 1000).await, Err(Error::Absent(_))));
            let stored = list(&*subject.store).await;
            assert!(stored.contains(&Stored::Quarantined { key: committed.key.clone(), size: 1000 }), "{stored:?}");
            assert!(!stored.iter().any(|stored| matches!(stored, Stored::Object { .. })), "{stored:?}");
        }
        // The same content pushed again lives beside it.
        let again = push(&*subject.store, algorithm, &body(27, 1000), 1000).await;
        assert_eq!(read_all(&*subject.store, &again).await.len(), 1000);
        subject.store.remove(&again.key).await.expect("removes");
    }
}

/// **Invariant 12**: what changed its length is not opened; what changed its bytes is told by whoever reads the medium.
pub async fn damage_is_seen_where_it_can_be(subject: &Subject) {
    let Some(damage) = &subject.damage else { return };
    let bytes = body(28, 600_000);
    for (name, len) in [("cut", 599_999), ("emptied", 0), ("extended", 600_001)] {
        let committed = push(&*subject.store, Sha256, &bytes, 100_000).await;
        damage(&committed.key, &mut |bytes| bytes.resize(len, 0));
        let opened = subject.store.open(&committed.key, committed.size).await.err();
        assert!(matches!(opened, Some(Error::WrongLength { found, .. }) if found == len as u64), "{name}: {opened:?}");
        assert_eq!(subject.store.stat(&committed.key).await.expect("looks"), Some(len as u64), "{name}");
    }
    let committed = push(&*subject.store, Sha256, &bytes, 100_000).await;
    damage(&committed.key, &mut |bytes| bytes[300_000] ^= 1);
    let object = subject.store.open(&committed.key, committed.size).await.expect("its length is right");
    let read = collect(object.read_medium()).await.expect("reads");
    assert_eq!(read[300_000], bytes[300_000] ^ 1);
}
