//! Upload sessions.

use larder_catalog::model::Upload;

use crate::fixture::{Fixture, at, name, upload};

crate::on_every_database!(
    a_session_reads_back_and_works_in_its_repository_only,
    an_offset_only_grows_or_starts_anew,
    idle_sessions_are_listed_oldest_first,
    sessions_are_paged_by_id,
    open_sessions_are_counted_with_their_bytes,
);

async fn a_session_reads_back_and_works_in_its_repository_only(f: Fixture) {
    let session = Upload { offset: 3, hash_state: vec![0, 255, 7], touched: at(2), ..upload("a/b", "alice") };
    f.create_upload(session.clone()).await.expect("a session");
    assert_eq!(f.upload(&name("a/b"), &session.id).await.expect("answered"), Some(session.clone()));
    assert_eq!(f.upload(&name("b"), &session.id).await.expect("answered"), None);
    assert!(!f.repository_exists(&name("a/b")).await.expect("answered"), "a session makes no repository");
    let other = upload("a/b", "alice");
    assert_eq!(f.uploads_exist(&[other.id, session.id]).await.expect("answered"), [false, true]);
    assert!(!f.delete_upload(&name("b"), &session.id).await.expect("answered"));
    assert!(f.delete_upload(&name("a/b"), &session.id).await.expect("answered"));
    assert!(!f.delete_upload(&name("a/b"), &session.id).await.expect("answered"));
}

async fn an_offset_only_grows_or_starts_anew(f: Fixture) {
    let session = upload("a", "alice");
    f.create_upload(session.clone()).await.expect("a session");
    let checkpoint = async |offset, state: u8, minute| {
        assert!(f.checkpoint_upload(&session.id, offset, vec![state], at(minute), at(99)).await.expect("answered"));
        let row = f.upload(&name("a"), &session.id).await.expect("answered").expect("the session");
        (row.offset, row.hash_state, row.touched)
    };
    assert_eq!(checkpoint(10, 1, 1).await, (10, vec![1], at(1)));
    assert_eq!(checkpoint(7, 2, 2).await, (10, vec![1], at(2)), "late news");
    assert_eq!(checkpoint(20, 3, 3).await, (20, vec![3], at(3)));
    assert_eq!(checkpoint(0, 4, 4).await, (0, vec![4], at(4)), "a start from nothing");
    f.delete_upload(&name("a"), &session.id).await.expect("answered");
    assert!(!f.checkpoint_upload(&session.id, 30, vec![], at(5), at(99)).await.expect("answered"));
}

async fn idle_sessions_are_listed_oldest_first(f: Fixture) {
    for minute in [5, 3, 9, 4] {
        f.create_upload(Upload { touched: at(minute), ..upload("a", "alice") }).await.expect("a session");
    }
    let idle = f.expired_uploads(at(5), 2).await.expect("listed");
    assert_eq!(idle.iter().map(|session| session.touched).collect::<Vec<_>>(), [at(3), at(4)]);
    assert_eq!(f.expired_uploads(at(5), 9).await.expect("listed").len(), 3);
}

async fn sessions_are_paged_by_id(f: Fixture) {
    for _ in 0..3 {
        f.create_upload(upload("a", "alice")).await.expect("a session");
    }
    let first = f.uploads(None, 2).await.expect("listed");
    assert!(first.more);
    let second = f.uploads(Some(first.items[1].id), 2).await.expect("listed");
    assert_eq!((second.items.len(), second.more), (1, false));
    assert!(second.items[0].id.as_bytes() > first.items[1].id.as_bytes());
}

async fn open_sessions_are_counted_with_their_bytes(f: Fixture) {
    let before = f.statistics();
    assert_eq!(f.open_uploads().await.expect("counted"), (0, 0));
    for offset in [300, 0, 5_000_000_000] {
        f.create_upload(Upload { offset, ..upload("a", "alice") }).await.expect("a session");
    }
    assert_eq!(f.open_uploads().await.expect("counted"), (3, 5_000_000_300));
    let figures = f.statistics();
    let writes = figures.writes.count() - before.writes.count();
    let reads = figures.reads.count() - before.reads.count();
    assert_eq!((writes, reads), (3, 2), "each unit is one, by its kind");
    assert!(figures.writes.seconds_total > 0.0 && figures.reads.seconds_total > 0.0);
}
