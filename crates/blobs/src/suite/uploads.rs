//! Checks of uploads.

use bytes::Bytes;
use futures::FutureExt as _;
use larder_oci::Algorithm::{Sha256, Sha512};

use super::{Random, Subject, UNANNOUNCED, body, collect, list, new_id, push, push_as, read_all};
use crate::hash::digest_of;
use crate::{BlobUpload, Checkpoint, Error, Stored};

/// Sizes around every boundary that a back end may have.
const SIZES: [usize; 14] =
    [0, 1, 63, 64, 4095, 4096, 4097, 262_143, 262_144, 262_145, 1_048_575, 1_048_576, 1_048_579, 3_000_001];

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn a_blob_reads_back_as_it_was_pushed(subject: &Subject) {
    for algorithm in [Sha256, Sha512] {
        for size in SIZES {
            let bytes = body(size as u64, size);
            for piece in [997, 65_536, 5_000_000] {
                let committed = push(&*subject.store, algorithm, &bytes, piece).await;
                assert_eq!(committed.digest, digest_of(algorithm, &bytes));
                assert_eq!(committed.size, size as u64);
                assert!(read_all(&*subject.store, &committed).await == bytes, "{algorithm}, {size} bytes by {piece}");
            }
        }
    }
}

/// **Invariant 12**.
pub async fn a_wrong_digest_is_refused_and_leaves_no_object(subject: &Subject) {
    for (size, algorithm) in [(0, Sha256), (5, Sha512), (600_000, Sha256)] {
        let (bytes, wrong) = (body(1, size), digest_of(algorithm, b"something else"));
        let id = new_id();
        match push_as(&*subject.store, &id, algorithm, &bytes, 50_000, &wrong).await {
            Err(Error::DigestMismatch { expected, found }) => {
                assert_eq!((*expected, *found), (wrong, digest_of(algorithm, &bytes)));
            }
            other => panic!("{other:?}"),
        }
        let objects = list(&*subject.store).await.into_iter().filter(|stored| !matches!(stored, Stored::Upload { .. }));
        assert_eq!(objects.count(), 0);
        subject.store.discard_upload(&id).await.expect("what is left can be thrown away");
    }
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn an_unannounced_algorithm_is_hashed_in_a_second_reading(subject: &Subject) {
    for (announced, named) in [(Sha256, Sha512), (Sha512, Sha256)] {
        for size in [0, 1, 300_000, UNANNOUNCED as usize] {
            let bytes = body(2, size);
            let digest = digest_of(named, &bytes);
            let committed = push_as(&*subject.store, &new_id(), announced, &bytes, 100_000, &digest).await;
            let committed = committed.expect("the second reading agrees");
            assert_eq!(committed.digest, digest);
            assert!(read_all(&*subject.store, &committed).await == bytes);
            let wrong = digest_of(named, b"something else");
            let refused = push_as(&*subject.store, &new_id(), announced, &bytes, 100_000, &wrong).await;
            assert!(matches!(refused, Err(Error::DigestMismatch { .. })), "{refused:?}");
        }
    }
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn an_unannounced_algorithm_of_too_many_bytes_is_refused(subject: &Subject) {
    let bytes = body(3, UNANNOUNCED as usize + 1);
    let digest = digest_of(Sha512, &bytes);
    match push_as(&*subject.store, &new_id(), Sha256, &bytes, 100_000, &digest).await {
        Err(Error::AlgorithmNotAnnounced { size }) => assert_eq!(size, UNANNOUNCED + 1),
        other => panic!("{other:?}"),
    }
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn an_upload_resumes_from_a_checkpoint_at_any_offset(subject: &Subject) {
    let bytes = body(4, 1_300_000);
    let (other, mut random) = (body(5, 700_000), Random(6));
    let mut cuts = vec![1, 63, 64, 65, 4095, 4096, 4097, 262_143, 262_144, 262_145, 524_288, 1_299_999, 1_300_000];
    cuts.extend((0..12).map(|_| random.below(1_300_000) as usize));
    for (number, cut) in cuts.into_iter().enumerate() {
        let algorithm = if number % 3 == 0 { Sha512 } else { Sha256 };
        let id = new_id();
        let mut upload = subject.store.open_upload(&id, Checkpoint::start(algorithm)).await.expect("opens");
        write_in_pieces(&mut *upload, &bytes.slice(..cut), &mut random).await;
        let checkpoint = upload.checkpoint().await.expect("pipeline").await.expect("sync");
        assert_eq!((checkpoint.offset, checkpoint.algorithm), (cut as u64, algorithm));
        // What comes after the checkpoint is of another mind, and cut off.
        write_in_pieces(&mut *upload, &other, &mut random).await;
        drop(upload);
        let mut upload = subject.store.open_upload(&id, checkpoint.clone()).await.expect("resumes");
        assert_eq!(upload.offset(), checkpoint.offset);
        write_in_pieces(&mut *upload, &bytes.slice(cut..), &mut random).await;
        let committed = upload.commit(&digest_of(algorithm, &bytes)).await.expect("commits");
        assert!(read_all(&*subject.store, &committed).await == bytes, "cut at {cut}");
    }
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn writes_go_on_while_checkpoints_sync(subject: &Subject) {
    let bytes = body(7, 2_000_000);
    let id = new_id();
    let mut upload = subject.store.open_upload(&id, Checkpoint::start(Sha256)).await.expect("opens");
    let empty = upload.checkpoint().await.expect("pipeline").await.expect("sync");
    assert_eq!(empty, Checkpoint::start(Sha256));
    let mut pending = Vec::new();
    for from in (0..bytes.len()).step_by(200_000) {
        upload.write(bytes.slice(from..from + 200_000)).await.expect("writes");
        pending.push(upload.checkpoint().await.expect("pipeline"));
    }
    let checkpoints = futures::future::try_join_all(pending).await.expect("all sync");
    let offsets: Vec<u64> = checkpoints.iter().map(|checkpoint| checkpoint.offset).collect();
    assert_eq!(offsets, (1..=10).map(|n| n * 200_000).collect::<Vec<u64>>());
    drop(upload);
    // Back to a middle one: what the later ones promised is given up by asking for less.
    let mut upload = subject.store.open_upload(&id, checkpoints[4].clone()).await.expect("resumes");
    upload.write(bytes.slice(1_000_000..)).await.expect("writes");
    let committed = upload.commit(&digest_of(Sha256, &bytes)).await.expect("commits");
    assert!(read_all(&*subject.store, &committed).await == bytes);
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn a_dropped_write_takes_a_prefix(subject: &Subject) {
    let bytes = body(8, 9_000_000);
    let mut upload = subject.store.open_upload(&new_id(), Checkpoint::start(Sha256)).await.expect("opens");
    let mut drops = 0;
    loop {
        let offset = upload.offset() as usize;
        if offset == bytes.len() {
            break;
        }
        // Polled once and dropped, as when a client goes.
        match upload.write(bytes.slice(offset..)).now_or_never() {
            Some(outcome) => outcome.expect("writes"),
            None => drops += 1,
        }
        assert!(upload.offset() as usize >= offset);
        assert!(drops < 10_000, "dropped writes make no progress");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let committed = upload.commit(&digest_of(Sha256, &bytes)).await.expect("commits");
    assert!(read_all(&*subject.store, &committed).await == bytes);
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn an_upload_without_its_bytes_is_lost(subject: &Subject) {
    let (id, bytes) = (new_id(), body(9, 100_000));
    let mut upload = subject.store.open_upload(&id, Checkpoint::start(Sha256)).await.expect("opens");
    upload.write(bytes.clone()).await.expect("writes");
    let checkpoint = upload.checkpoint().await.expect("pipeline").await.expect("sync");
    drop(upload);
    let broken = [
        (new_id(), checkpoint.clone()),
        (id, Checkpoint { offset: 100_001, ..checkpoint.clone() }),
        (id, Checkpoint { hash_state: Vec::new(), ..checkpoint.clone() }),
        (id, Checkpoint { hash_state: checkpoint.hash_state[1..].to_vec(), ..checkpoint.clone() }),
        (id, Checkpoint { algorithm: Sha512, ..checkpoint.clone() }),
    ];
    for (id, from) in broken {
        match subject.store.open_upload(&id, from.clone()).await {
            Err(Error::UploadLost(lost)) => assert_eq!(lost, id),
            Err(other) => panic!("{other:?} from {from:?}"),
            Ok(_) => panic!("opened from {from:?}"),
        }
    }
    let upload = subject.store.open_upload(&id, checkpoint).await.expect("the true checkpoint still holds");
    upload.commit(&digest_of(Sha256, &bytes)).await.expect("commits");
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn a_session_starts_again_over_what_it_left(subject: &Subject) {
    let (id, bytes) = (new_id(), body(10, 400_000));
    let mut upload = subject.store.open_upload(&id, Checkpoint::start(Sha512)).await.expect("opens");
    upload.write(body(11, 900_000)).await.expect("writes");
    upload.checkpoint().await.expect("pipeline").await.expect("sync");
    drop(upload);
    let committed =
        push_as(&*subject.store, &id, Sha256, &bytes, 1000, &digest_of(Sha256, &bytes)).await.expect("starts again");
    assert!(read_all(&*subject.store, &committed).await == bytes);
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn a_discarded_upload_never_becomes_an_object(subject: &Subject) {
    let (id, bytes) = (new_id(), body(12, 300_000));
    subject.store.discard_upload(&id).await.expect("absent is success");
    let mut upload = subject.store.open_upload(&id, Checkpoint::start(Sha256)).await.expect("opens");
    upload.write(bytes.clone()).await.expect("writes");
    let checkpoint = upload.checkpoint().await.expect("pipeline").await.expect("sync");
    subject.store.discard_upload(&id).await.expect("discards");
    let committed = upload.commit(&digest_of(Sha256, &bytes)).await;
    assert!(matches!(committed, Err(Error::UploadLost(lost)) if lost == id), "{committed:?}");
    assert!(matches!(subject.store.open_upload(&id, checkpoint).await, Err(Error::UploadLost(_))));
    assert_eq!(list(&*subject.store).await, []);
}

/// Bytes of a request that was cut off may still be on their way when its successor writes (**Invariant 12**).
pub async fn an_older_writer_cannot_harm_its_successor(subject: &Subject) {
    let (good, bad) = (body(13, 1_500_000), body(14, 1_500_000));
    for cut in [0, 300_000] {
        let id = new_id();
        let mut older = subject.store.open_upload(&id, Checkpoint::start(Sha256)).await.expect("opens");
        older.write(good.slice(..cut)).await.expect("writes");
        let checkpoint = older.checkpoint().await.expect("pipeline").await.expect("sync");
        older.write(bad.slice(cut..)).await.expect("writes");
        let mut newer = subject.store.open_upload(&id, checkpoint).await.expect("takes over");
        newer.write(good.slice(cut..1_000_000)).await.expect("writes");
        // Whatever the older one says, it changes nothing: a write may be taken before it is noticed, a commit may not.
        let _taken_or_refused = older.write(bad.clone()).await;
        if let Ok(pending) = older.checkpoint().await {
            assert!(pending.await.is_err(), "an older writer's checkpoint would promise what its successor cut");
        }
        let refused = older.commit(&digest_of(Sha256, &good)).await;
        assert!(refused.is_err(), "{refused:?}");
        newer.write(good.slice(1_000_000..)).await.expect("writes");
        let committed = newer.commit(&digest_of(Sha256, &good)).await.expect("commits");
        assert!(read_all(&*subject.store, &committed).await == good);
    }
}

/// **Invariant 1**.
pub async fn one_digest_pushed_twice_has_two_keys(subject: &Subject) {
    let bytes = body(15, 70_000);
    let first = push(&*subject.store, Sha256, &bytes, 8192).await;
    let second = push(&*subject.store, Sha256, &bytes, 8192).await;
    assert_eq!(first.digest, second.digest);
    assert_ne!(first.key, second.key);
    subject.store.remove(&first.key).await.expect("removes");
    assert!(matches!(subject.store.open(&first.key, first.size).await, Err(Error::Absent(_))));
    assert!(read_all(&*subject.store, &second).await == bytes);
}

/// **Invariant 1**: a session that commits twice, because nobody noted the first time, takes no key that is taken.
pub async fn a_key_is_never_written_twice(subject: &Subject) {
    let (id, bytes) = (new_id(), body(16, 70_000));
    let digest = digest_of(Sha256, &bytes);
    let first = push_as(&*subject.store, &id, Sha256, &bytes, 8192, &digest).await.expect("commits");
    let second = push_as(&*subject.store, &id, Sha256, &bytes, 8192, &digest).await;
    assert!(matches!(second, Err(Error::UploadLost(lost)) if lost == id), "{second:?}");
    assert!(read_all(&*subject.store, &first).await == bytes);
}

#[expect(missing_docs, reason = "the name is the sentence")]
pub async fn sixty_four_uploads_at_once_do_not_mix(subject: &Subject) {
    let uploads = (0..64u64).map(|seed| {
        let store = subject.store.clone();
        tokio::spawn(async move {
            let mut random = Random(seed);
            let bytes = body(1000 + seed, 500_000 + random.below(700_000) as usize);
            let algorithm = if seed % 5 == 0 { Sha512 } else { Sha256 };
            let mut upload = store.open_upload(&new_id(), Checkpoint::start(algorithm)).await.expect("opens");
            write_in_pieces(&mut *upload, &bytes, &mut random).await;
            let committed = upload.commit(&digest_of(algorithm, &bytes)).await.expect("commits");
            let object = store.open(&committed.key, committed.size).await.expect("opens");
            assert!(collect(object.read(0..committed.size)).await.expect("reads") == bytes, "upload {seed}");
        })
    });
    for done in futures::future::join_all(uploads).await {
        done.expect("the upload is right");
    }
    let objects = list(&*subject.store).await;
    assert!(objects.len() == 64 && objects.iter().all(|stored| matches!(stored, Stored::Object { .. })));
}

async fn write_in_pieces(upload: &mut dyn BlobUpload, bytes: &Bytes, random: &mut Random) {
    let mut at = 0;
    while at < bytes.len() {
        let longest = [10, 3000, 70_000, 600_000][random.below(4) as usize];
        let end = bytes.len().min(at + 1 + random.below(longest) as usize);
        upload.write(bytes.slice(at..end)).await.expect("writes");
        at = end;
    }
}
