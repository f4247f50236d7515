//! Upload sessions: resumed, refused, expired, and owned by one.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use larder_oci::UploadRange;
use larder_registry::{Actor, Error, Rights, Settings, UploadBody, testing};

use crate::driver::{Driver, name, nowhere, sha256, sha512};

fn range(start: u64, end: u64) -> Option<UploadRange> {
    Some(UploadRange { start, end })
}

fn bytes(text: &'static str) -> UploadBody {
    UploadBody::of(Bytes::from_static(text.as_bytes()))
}

/// A body that breaks off as a lost connection does.
fn broken(text: &'static str) -> UploadBody {
    let pieces =
        vec![Ok(Bytes::from_static(text.as_bytes())), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))];
    UploadBody { stream: Box::pin(futures::stream::iter(pieces)), length: None }
}

#[tokio::test]
async fn a_broken_body_keeps_what_arrived() {
    let driver = Driver::new().await;
    let (repository, actor) = (name("team/model"), &driver.actor);
    let id = driver.registry.start_upload(actor, &repository, None).await.expect("a session").id;
    let failed = driver.registry.append(actor, &repository, &id, None, broken("first half, ")).await;
    assert!(matches!(failed, Err(Error::BodyInterrupted { offset: 12, .. })), "{failed:?}");
    let status = driver.registry.upload_status(actor, &repository, &id).await.expect("a status");
    assert_eq!(status.offset, 12);
    let whole = sha256(b"first half, second half");
    driver.registry.append(actor, &repository, &id, range(12, 22), bytes("second half")).await.expect("the rest");
    let done = driver.registry.finish_upload(actor, &repository, &id, None, UploadBody::empty(), &whole).await;
    assert_eq!(done.expect("a blob"), whole);
    assert_eq!(driver.read_blob("team/model", &whole).await.expect("the blob"), b"first half, second half");
    let gone = driver.registry.upload_status(actor, &repository, &id).await;
    assert!(matches!(gone, Err(Error::UploadUnknown(_))));
}

/// regctl repeats a closing request that broke off, from the blob's beginning; others ask where the session stands.
#[tokio::test]
async fn a_whole_blob_that_broke_off_may_be_sent_again_or_resumed() {
    let driver = Driver::new().await;
    let (repository, actor) = (name("team/model"), &driver.actor);
    let whole = sha256(b"first half, second half");
    for again in [bytes("first half, second half"), bytes("second half")] {
        let id = driver.registry.start_upload(actor, &repository, None).await.expect("a session").id;
        let failed = driver.registry.finish_upload(actor, &repository, &id, None, broken("first half, "), &whole).await;
        assert!(matches!(failed, Err(Error::BodyInterrupted { .. })), "{failed:?}");
        let status = driver.registry.upload_status(actor, &repository, &id).await.expect("a status");
        assert_eq!(status.offset, 12, "what arrived is kept for those who ask");
        let range = (again.length == Some(11)).then_some(UploadRange { start: 12, end: 22 });
        let done = driver.registry.finish_upload(actor, &repository, &id, range, again, &whole).await;
        assert_eq!(done.expect("a blob"), whole);
    }
}

#[tokio::test]
async fn a_chunk_out_of_order_changes_nothing() {
    let driver = Driver::new().await;
    let (repository, actor) = (name("team/model"), &driver.actor);
    let id = driver.registry.start_upload(actor, &repository, None).await.expect("a session").id;
    for wrong in [range(5, 8), range(1, 4)] {
        let refused = driver.registry.append(actor, &repository, &id, wrong, bytes("oops")).await;
        assert!(matches!(refused, Err(Error::RangeMismatch { offset: 0, .. })), "{refused:?}");
    }
    driver.registry.append(actor, &repository, &id, range(0, 3), bytes("good")).await.expect("in order");
    let again = driver.registry.append(actor, &repository, &id, range(0, 3), bytes("good")).await;
    assert!(matches!(again, Err(Error::RangeMismatch { offset: 4, .. })), "{again:?}");
    let short = driver.registry.append(actor, &repository, &id, range(4, 9), bytes("four")).await;
    assert!(matches!(short, Err(Error::LengthMismatch { offset: 8, .. })), "{short:?}");
}

/// Invariant 12: nothing is stored under a digest that it does not have.
#[tokio::test]
async fn a_wrong_digest_leaves_nothing_behind() {
    let driver = Driver::new().await;
    let repository = name("team/model");
    let wrong = sha256(b"something else");
    let refused = driver.registry.push_blob(&driver.actor, &repository, &wrong, bytes("weights")).await;
    assert!(matches!(refused, Err(Error::DigestMismatch { .. })), "{refused:?}");
    assert!(!driver.has_blob("team/model", &wrong).await);
    assert!(!driver.has_blob("team/model", &sha256(b"weights")).await);
    assert_eq!(driver.store.list().await.expect("a list").count().await, 0);
}

#[tokio::test]
async fn sha512_may_come_announced_or_not() {
    let driver = Driver::new().await;
    let (repository, actor) = (name("team/model"), &driver.actor);
    for algorithm in [None, Some(larder_oci::Algorithm::Sha512)] {
        let digest = sha512(b"weights");
        let id = driver.registry.start_upload(actor, &repository, algorithm).await.expect("a session").id;
        driver.registry.append(actor, &repository, &id, None, bytes("wei")).await.expect("a chunk");
        let done = driver.registry.finish_upload(actor, &repository, &id, None, bytes("ghts"), &digest).await;
        assert_eq!(done.expect("a blob"), digest);
        assert_eq!(driver.read_blob("team/model", &digest).await.expect("the blob"), b"weights");
    }
}

/// CVE-2026-32589: a session is known only in its repository and to whoever opened it.
#[tokio::test]
async fn another_s_session_does_not_exist() {
    let driver = Driver::new().await;
    let repository = name("team/model");
    let id = driver.registry.start_upload(&driver.actor, &repository, None).await.expect("a session").id;
    driver.registry.append(&driver.actor, &repository, &id, None, bytes("mine")).await.expect("bytes");
    let other = Actor::anonymous(Rights::Everything).named("mallory");
    for (actor, repository) in [(&other, &repository), (&driver.actor, &name("other/model"))] {
        let registry = &driver.registry;
        assert!(matches!(registry.upload_status(actor, repository, &id).await, Err(Error::UploadUnknown(_))));
        let append = registry.append(actor, repository, &id, None, bytes("theirs")).await;
        assert!(matches!(append, Err(Error::UploadUnknown(_))));
        assert!(matches!(registry.cancel_upload(actor, repository, &id).await, Err(Error::UploadUnknown(_))));
    }
    let status = driver.registry.upload_status(&driver.actor, &repository, &id).await.expect("still mine");
    assert_eq!(status.offset, 4);
    let unknown = driver.registry.upload_status(&driver.actor, &repository, &nowhere()).await;
    assert!(matches!(unknown, Err(Error::UploadUnknown(_))));
}

#[tokio::test]
async fn a_session_has_one_writer_and_a_silent_one_gives_way() {
    let driver = Driver::new().await;
    let repository = name("team/model");
    let id = driver.registry.start_upload(&driver.actor, &repository, None).await.expect("a session").id;
    let (sender, receiver) = futures::channel::mpsc::unbounded();
    let stalled = UploadBody { stream: Box::pin(receiver), length: None };
    let (registry, actor, at) = (driver.registry.clone(), driver.actor.clone(), repository.clone());
    let writer = tokio::spawn(async move { registry.append(&actor, &at, &id, None, stalled).await });
    sender.unbounded_send(Ok(Bytes::from_static(b"first "))).expect("the writer listens");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let busy = driver.registry.append(&driver.actor, &repository, &id, None, bytes("x")).await;
    assert!(matches!(busy, Err(Error::UploadBusy { .. })), "{busy:?}");

    // The client is gone without a word; it comes back on another connection.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let resumed = driver.registry.append(&driver.actor, &repository, &id, range(6, 11), bytes("second")).await;
    assert_eq!(resumed.expect("the silent writer gave way").offset, 12);
    assert!(matches!(writer.await.expect("no panic"), Err(Error::BodyInterrupted { offset: 6, .. })));
    drop(sender);
}

#[tokio::test]
async fn idle_sessions_expire_and_give_their_disk_back() {
    let driver = Driver::new().await;
    let repository = name("team/model");
    let id = driver.registry.start_upload(&driver.actor, &repository, None).await.expect("a session").id;
    driver.registry.append(&driver.actor, &repository, &id, None, bytes("partial")).await.expect("bytes");
    driver.clock.advance(driver.registry.settings().uploads_idle - Duration::from_secs(1));
    assert_eq!(driver.sweep().await.uploads_expired, 0);
    driver.clock.advance(Duration::from_secs(2));
    assert_eq!(driver.sweep().await.uploads_expired, 1);
    assert_eq!(driver.store.list().await.expect("a list").count().await, 0);
    let gone = driver.registry.append(&driver.actor, &repository, &id, None, bytes("late")).await;
    assert!(matches!(gone, Err(Error::UploadUnknown(_))));
}

/// Invariant 6: every checkpoint of a long upload prolongs what else the push was promised.
#[tokio::test]
async fn a_long_push_keeps_all_its_blobs() {
    let driver = Driver::with(Settings { checkpoint_bytes: 4, ..testing::settings() }).await;
    let repository = name("team/model");
    let early = driver.push_blob("team/model", b"an early layer").await;
    let id = driver.registry.start_upload(&driver.actor, &repository, None).await.expect("a session").id;
    for _ in 0..4 {
        driver.clock.advance(driver.registry.settings().lease_ttl.mul_f32(0.6));
        driver.registry.append(&driver.actor, &repository, &id, None, bytes("more and more")).await.expect("bytes");
        driver.sweep().await;
    }
    assert!(driver.read_blob("team/model", &early).await.is_ok(), "2.4 lease terms after its 201");
}

#[tokio::test]
async fn a_read_only_registry_takes_nothing() {
    let driver = Driver::with(Settings { read_only: true, ..testing::settings() }).await;
    let repository = name("team/model");
    let refused = driver.registry.start_upload(&driver.actor, &repository, None).await;
    assert!(matches!(refused, Err(Error::ReadOnly)));
}

/// The short run of the fuzz target `upload`.
#[test]
fn any_script_of_requests_ends_as_the_model_says() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Operations that are likely to follow each other, with pieces of up to 24 bytes.
    let operation = (0..8u8, proptest::collection::vec(proptest::num::u8::ANY, 0..24), 120..136u8, 0..30u8);
    let script = proptest::collection::vec(operation, 1..40);
    let config = proptest::test_runner::Config { cases: 64, failure_persistence: None, ..Default::default() };
    let outcome = proptest::test_runner::TestRunner::new(config).run(&script, |operations| {
        let mut bytes = vec![0];
        for (operation, piece, shift, stretch) in operations {
            bytes.extend([operation, piece.len() as u8]);
            bytes.extend(piece);
            if (1..=4).contains(&operation) {
                bytes.extend([shift, stretch]);
            }
        }
        runtime.block_on(testing::upload_script::play(&bytes));
        Ok(())
    });
    outcome.expect("the model and the registry agree");
}

/// `limits.upload_bytes`: counted over all requests of a session, and nothing of it is kept.
#[tokio::test]
async fn an_upload_beyond_the_limit_is_given_up() {
    let driver = Driver::with(Settings { upload_limit: Some(10), ..testing::settings() }).await;
    let (registry, team) = (&driver.registry, name("team"));
    let id = registry.start_upload(&driver.actor, &team, None).await.expect("opened").id;
    let some = UploadBody::of(Bytes::from_static(b"12345678"));
    registry.append(&driver.actor, &team, &id, None, some).await.expect("it fits");
    let more = UploadBody { length: None, ..UploadBody::of(Bytes::from_static(b"9ab")) };
    let refused = registry.append(&driver.actor, &team, &id, None, more).await.expect_err("it does not fit");
    assert!(matches!(refused, Error::UploadTooLarge { limit: 10 }), "{refused:?}");
    let gone = registry.upload_status(&driver.actor, &team, &id).await;
    assert!(matches!(gone, Err(Error::UploadUnknown(_))), "{gone:?}");
    driver.push_blob("team", b"123456789a").await;
}
