//! Grants, and those that come with the making of a repository.

use larder_catalog::model::access::{Effect, Grant, GrantFilter, NewGrant, NewRobot, Subject};
use larder_oci::{Action, Actions};

use super::{of, pull, repositories, user};
use crate::fixture::{Fixture, at, blob, manifest, name, pattern, stamp, stamp_of};

crate::on_every_database!(
    grants_are_listed_by_subject_and_by_pattern,
    who_makes_a_repository_administers_it,
    a_first_push_makes_a_repository_too,
    without_accounts_the_making_of_a_repository_grants_nothing,
    a_removed_repositorys_maker_has_no_right_on_the_next,
    a_subject_is_its_text,
);

async fn grants_are_listed_by_subject_and_by_pattern(f: Fixture) {
    let deny = NewGrant { effect: Effect::Deny, actions: Actions::ALL, ..pull(Subject::Anonymous, "team/**") };
    let mut ids = Vec::new();
    for grant in [pull(of("alice"), "team/**"), deny, pull(of("alice"), "*/x"), pull(Subject::SignedIn, "*/x")] {
        ids.push(f.add_grant(grant, stamp(4)).await.expect("granted"));
    }
    let list = async |subject: Option<Subject>, text: Option<&str>| {
        let filter = GrantFilter { subject, pattern: text.map(pattern) };
        let page = f.grants(&filter, None, 9).await.expect("listed");
        page.items.iter().map(|grant| grant.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None).await, ids);
    assert_eq!(list(Some(of("alice")), None).await, [ids[0], ids[2]]);
    assert_eq!(list(None, Some("*/x")).await, [ids[2], ids[3]]);
    assert_eq!(list(Some(of("alice")), Some("*/x")).await, [ids[2]]);
    assert_eq!(list(Some(of("bob")), None).await, [0; 0]);
    let page = f.grants(&GrantFilter::default(), Some(ids[0]), 2).await.expect("listed");
    assert_eq!((page.items[0].id, page.items.len(), page.more), (ids[1], 2, true));
    let expected = Grant {
        id: ids[1],
        subject: Subject::Anonymous,
        actions: Actions::ALL,
        pattern: pattern("team/**"),
        effect: Effect::Deny,
        creator: false,
        created: at(4),
        created_by: "alice".to_owned(),
        note: "for a test".to_owned(),
    };
    assert_eq!(f.grant(ids[1]).await.expect("answered"), Some(expected));
    let found = f.grants_for(&[of("alice"), Subject::SignedIn, of("bob")]).await.expect("listed");
    assert_eq!(found.iter().map(|grant| grant.id).collect::<Vec<_>>(), [ids[0], ids[2], ids[3]]);
    assert!(f.remove_grant(ids[2], stamp(5)).await.expect("answered"));
    assert!(!f.remove_grant(ids[2], stamp(5)).await.expect("answered"));
    assert_eq!(f.grant(ids[2]).await.expect("answered"), None);
    assert!(f.accounts_exist().await.expect("answered"), "a grant ends the open state too");
}

/// The grants that somebody has on exactly this name.
async fn on(f: &Fixture, text: &str) -> Vec<(String, String, bool)> {
    let filter = GrantFilter { subject: None, pattern: Some(pattern(text)) };
    let page = f.grants(&filter, None, 9).await.expect("listed");
    page.items.iter().map(|grant| (grant.subject.to_string(), grant.actions.to_string(), grant.creator)).collect()
}

fn admin(subject: &str) -> Vec<(String, String, bool)> {
    vec![(subject.to_owned(), "admin".to_owned(), true)]
}

async fn who_makes_a_repository_administers_it(f: Fixture) {
    user(&f, "admin").await;
    user(&f, "bob").await;
    let robot = NewRobot { name: "ci".to_owned(), pattern: pattern("team/**"), description: String::new() };
    assert!(f.create_robot(robot, stamp(0)).await.expect("answered"));
    repositories(&f, "user:bob", &["team/a", "bob/own", "bobby/x", "bob"]).await;
    repositories(&f, "robot:ci", &["team/b"]).await;
    repositories(&f, "anonymous", &["team/c"]).await;
    repositories(&f, "trust:gitlab#7", &["team/d"]).await;
    assert_eq!(on(&f, "team/a").await, admin("user:bob"));
    assert_eq!(on(&f, "bobby/x").await, admin("user:bob"));
    assert_eq!(on(&f, "bob").await, admin("user:bob"), "only what lies under a user's name is its own anyway");
    assert_eq!(on(&f, "team/b").await, admin("robot:ci"));
    for none in ["bob/own", "team/c", "team/d"] {
        assert_eq!(on(&f, none).await, [], "{none}");
    }
    let facts = f.repository_facts(&name("team/a")).await.expect("answered").expect("the repository");
    assert_eq!((facts.public, facts.created, facts.created_by.as_deref()), (false, at(0), Some("user:bob")));
}

async fn a_first_push_makes_a_repository_too(f: Fixture) {
    user(&f, "admin").await;
    let mut push = manifest("team/pushed", 1, vec![], &["t"]);
    push.stamp = stamp_of("user:bob", 1);
    f.push(push.clone()).await;
    f.push(push).await;
    assert_eq!(on(&f, "team/pushed").await, admin("user:bob"));
    let shared = blob(1);
    f.push_blob_as("user:carol", "team/blob", &shared, 60).await;
    f.push_blob_as("user:dave", "team/blob", &shared, 60).await;
    assert_eq!(on(&f, "team/blob").await, admin("user:carol"));
    let source = larder_catalog::model::MountSource::Repository(name("team/blob"));
    let mounted = f.mount(&name("team/mounted"), &shared.digest, &source, at(60), stamp_of("user:eve", 1)).await;
    assert!(mounted.expect("answered").is_some());
    assert_eq!(on(&f, "team/mounted").await, admin("user:eve"));
}

/// A server that only knows a password file stays as `registry:2` is until somebody grants something.
async fn without_accounts_the_making_of_a_repository_grants_nothing(f: Fixture) {
    repositories(&f, "user:bob", &["team/a"]).await;
    assert_eq!(on(&f, "team/a").await, []);
    assert!(!f.accounts_exist().await.expect("answered"));
}

async fn a_removed_repositorys_maker_has_no_right_on_the_next(f: Fixture) {
    user(&f, "admin").await;
    repositories(&f, "user:bob", &["team/a"]).await;
    let stays = f.add_grant(pull(of("carol"), "team/a"), stamp(1)).await.expect("granted");
    let version = f.access_version().await.expect("a version");
    assert!(f.remove_repository(&name("team/a"), stamp(2), at(9), None).await.expect("removed"));
    assert!(f.access_version().await.expect("a version") > version);
    repositories(&f, "user:dave", &["team/a"]).await;
    let found =
        f.grants(&GrantFilter { subject: None, pattern: Some(pattern("team/a")) }, None, 9).await.expect("listed");
    let subjects: Vec<_> = found.items.iter().map(|grant| grant.subject.to_string()).collect();
    assert_eq!(
        (subjects.as_slice(), found.items[0].id),
        (&["user:carol".to_owned(), "user:dave".to_owned()][..], stays)
    );
}

async fn a_subject_is_its_text(_: Fixture) {
    let all = [
        (of("a"), "user:a"),
        (Subject::Robot("a".to_owned()), "robot:a"),
        (Subject::Group("a".to_owned()), "group:a"),
        (Subject::SignedIn, "signed-in"),
        (Subject::Anonymous, "anonymous"),
    ];
    for (subject, text) in all {
        assert_eq!(subject.to_string(), text);
        assert_eq!(text.parse(), Ok(subject));
    }
    for text in ["", "user:", "user", "trust:a#b", "operator", "User:a"] {
        assert!(text.parse::<Subject>().is_err(), "{text}");
    }
    assert!(Actions::of(&[Action::Admin]).implies(Action::Pull));
}
