//! The version that decisions are kept under.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use larder_catalog::model::access::{Group, RepositoryChange, TokenKind, UserChange};

use super::{of, pull, repositories, user};
use crate::fixture::{Fixture, manifest, name, stamp, stamp_of, token, trust};

crate::on_every_database!(
    each_change_counts_the_version_up,
    the_hint_moves_after_the_commit_and_before_the_answer,
    a_change_that_nobody_waits_for_moves_the_hint_too,
);

async fn each_change_counts_the_version_up(f: Fixture) {
    let mut before = f.access_version().await.expect("a version");
    let hint = f.access_version_hint();
    let mut steps = 0;
    let mut moved = async |what: &str| {
        let now = f.access_version().await.expect("a version");
        assert!(now > before, "{what}");
        before = now;
        steps += 1;
        assert_eq!(f.access_version_hint(), hint + steps, "{what}");
    };
    user(&f, "admin").await;
    moved("a user").await;
    f.set_user("admin", UserChange::default(), stamp(1)).await.expect("answered");
    moved("a user's change").await;
    let id = f.add_grant(pull(of("bob"), "*/x"), stamp(1)).await.expect("answered");
    moved("a grant").await;
    f.remove_grant(id, stamp(1)).await.expect("answered");
    moved("a grant's end").await;
    f.create_group(Group { name: "team".to_owned(), description: String::new() }, stamp(1)).await.expect("answered");
    moved("a group").await;
    f.add_member("team", "bob", stamp(1)).await.expect("answered");
    moved("a member").await;
    f.create_token(token(0, TokenKind::Access), stamp(1)).await.expect("answered");
    moved("a token").await;
    f.revoke_token("t0", stamp(1)).await.expect("answered");
    moved("a token's end").await;
    f.create_trust(trust("gitlab"), stamp(1)).await.expect("answered");
    moved("a trust").await;
    repositories(&f, "user:bob", &["team/made"]).await;
    moved("a repository's grant to its maker").await;
    let change = RepositoryChange { public: Some(true), description: None };
    f.set_repository(&name("team/made"), change, stamp(1)).await.expect("answered");
    moved("a public repository").await;
    let mut push = manifest("team/pushed", 1, vec![], &["t"]);
    push.stamp = stamp_of("user:bob", 1);
    f.push(push.clone()).await;
    moved("the grant of a first push").await;
    f.push(push).await;
    f.create_token(token(1, TokenKind::Refresh), stamp(1)).await.expect("answered");
    assert_eq!(f.access_version_hint(), hint + steps, "what no decision depends on");
}

async fn the_hint_moves_after_the_commit_and_before_the_answer(f: Fixture) {
    for n in 0..20 {
        let hint = f.access_version_hint();
        let catalog = f.catalog.clone();
        let change = tokio::spawn(async move {
            catalog.add_grant(pull(of("bob"), "team/**"), stamp(n)).await.expect("answered");
            catalog.access_version_hint()
        });
        while f.access_version_hint() == hint {
            tokio::task::yield_now().await;
        }
        let grants = f.grants_for(&[of("bob")]).await.expect("listed");
        assert_eq!(grants.len() as i64, n + 1, "who sees the hint sees the change");
        assert!(change.await.expect("no panic") > hint, "who is answered sees the hint");
    }
}

async fn a_change_that_nobody_waits_for_moves_the_hint_too(f: Fixture) {
    let hint = f.access_version_hint();
    {
        let mut change = pin!(f.add_grant(pull(of("bob"), "team/**"), stamp(1)));
        // Polled until it is queued, and dropped before it is answered.
        let mut context = Context::from_waker(Waker::noop());
        let _ = change.as_mut().poll(&mut context);
        for _ in 0..2_000 {
            if f.access_version_hint() > hint {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let is_made = !f.grants_for(&[of("bob")]).await.expect("listed").is_empty();
    assert_eq!(f.access_version_hint() > hint, is_made);
    assert!(is_made);
}
