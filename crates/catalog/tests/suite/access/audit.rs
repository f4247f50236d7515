//! The audit: what is in it, what is not, and how little it grows.

use larder_catalog::model::access::{
    AuditEntry, AuditFilter, NewUser, Outcome, RepositoryChange, TokenKind, UserChange,
};
use larder_catalog::model::{Origin, Stamp};

use super::{of, pull, user};
use crate::fixture::{Fixture, at, manifest, name, pattern, stamp, stamp_of, tag, token};

crate::on_every_database!(
    each_change_is_noted_by_its_own_transaction,
    denials_of_a_minute_are_one_row,
    the_audit_is_filtered_and_paged,
    the_audit_is_pruned_by_age_and_by_number,
    the_audit_holds_no_secret,
);

async fn all(f: &Fixture) -> Vec<AuditEntry> {
    f.audit(&AuditFilter::default(), None, 1_000).await.expect("listed").items
}

async fn each_change_is_noted_by_its_own_transaction(f: Fixture) {
    let origin = Origin { credential: Some("token:7".to_owned()), address: Some("192.0.2.1".to_owned()) };
    let from = |minute| Stamp { origin: origin.clone(), ..stamp_of("user:admin", minute) };
    user(&f, "admin").await;
    f.add_grant(pull(of("bob"), "team/**"), from(2)).await.expect("granted");
    let mut push = manifest("team/a", 1, vec![], &["t"]);
    push.stamp = from(3);
    f.push(push).await;
    let change = RepositoryChange { public: Some(true), description: Some("good".to_owned()) };
    assert!(f.set_repository(&name("team/a"), change.clone(), from(4)).await.expect("answered"));
    assert!(!f.set_repository(&name("team/b"), change, from(4)).await.expect("answered"));
    f.delete_tag(&name("team/a"), &tag("t"), from(5)).await.expect("deleted");
    let mut seen = all(&f).await;
    seen.reverse();
    let actions: Vec<_> = seen.iter().map(|entry| (entry.action.as_str(), entry.object.as_deref())).collect();
    let digest = push_digest();
    let expected = [
        ("user.created", Some("admin")),
        ("grant.added", Some("user:bob")),
        ("repository.created", None),
        ("manifest.pushed", Some(digest.as_str())),
        ("tag.moved", Some("t")),
        ("grant.added", Some("user:admin")),
        ("repository.changed", None),
        ("tag.deleted", Some("t")),
    ];
    assert_eq!(actions, expected);
    let moved = &seen[4];
    assert_eq!((moved.repository.clone(), moved.outcome, moved.count), (Some(name("team/a")), Outcome::Allowed, 1));
    assert_eq!((moved.credential.as_deref(), moved.address.as_deref()), (Some("token:7"), Some("192.0.2.1")));
    assert_eq!(
        (moved.identity.as_str(), moved.request_id.as_deref(), moved.at),
        ("user:admin", Some("request-3"), at(3))
    );
    let facts = f.repository_facts(&name("team/a")).await.expect("answered").expect("the repository");
    assert!(facts.public && facts.description == "good");
    let events = f.events(0, 99).await.expect("events").items;
    assert_eq!(events.len(), seen.len(), "each change is an event too");
    // What was refused or found nothing changed nothing, and is not said to have been done.
    f.revoke_token("unknown", from(6)).await.expect("answered");
    f.remove_grant(-1, from(6)).await.expect("answered");
    assert_eq!(all(&f).await.len(), seen.len());
}

fn push_digest() -> String {
    manifest("team/a", 1, vec![], &[]).digest.to_string()
}

fn denied(identity: &str, minute: i64, repository: &str) -> AuditEntry {
    let entry = AuditEntry::new(&stamp_of(identity, minute), "pull", Outcome::Denied);
    AuditEntry { repository: Some(name(repository)), ..entry }
}

/// Behaviour §4.
async fn denials_of_a_minute_are_one_row(f: Fixture) {
    for _ in 0..50 {
        f.audit_denied(denied("user:eve", 1, "team/a"), "user:eve").await.expect("noted");
    }
    f.audit_denied(denied("user:eve", 2, "team/a"), "user:eve").await.expect("noted");
    f.audit_denied(denied("user:eve", 2, "team/b"), "user:eve").await.expect("noted");
    f.audit_denied(denied("anonymous", 2, "team/b"), "2001:db8::/64").await.expect("noted");
    f.audit_denied(denied("anonymous", 2, "team/b"), "2001:db8:1::/64").await.expect("noted");
    let push = AuditEntry { action: "push".to_owned(), ..denied("user:eve", 2, "team/b") };
    f.audit_denied(push, "user:eve").await.expect("noted");
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let catalog = f.catalog.clone();
            tokio::spawn(async move { catalog.audit_denied(denied("user:eve", 3, "team/a"), "user:eve").await })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("noted");
    }
    let counts: Vec<_> = all(&f).await.iter().rev().map(|entry| (entry.at, entry.count)).collect();
    assert_eq!(counts, [(at(1), 50), (at(2), 1), (at(2), 1), (at(2), 1), (at(2), 1), (at(2), 1), (at(3), 20)]);
}

async fn the_audit_is_filtered_and_paged(f: Fixture) {
    for minute in 0..600 {
        let identity = if minute % 100 == 0 { "user:rare" } else { "user:eve" };
        let mut entry = denied(identity, minute, if minute % 3 == 0 { "team/a" } else { "other/b" });
        if minute % 2 == 0 {
            (entry.outcome, entry.action) = (Outcome::Allowed, "tag.moved".to_owned());
        }
        f.record_audit(entry).await.expect("noted");
    }
    let minutes = async |filter: AuditFilter| {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = f.audit(&filter, before, 7).await.expect("listed");
            assert!(page.items.len() <= 7);
            found.extend(page.items.into_iter().map(|entry| (entry.at.as_second() - at(0).as_second()) / 60));
            before = page.next;
            if before.is_none() {
                found.reverse();
                return found;
            }
        }
    };
    let none = AuditFilter::default;
    let numbers = |wanted: fn(i64) -> bool| (0..600).filter(|n| wanted(*n)).collect::<Vec<i64>>();
    assert_eq!(minutes(none()).await, numbers(|_| true));
    let window = AuditFilter { since: Some(at(100)), until: Some(at(200)), ..none() };
    assert_eq!(minutes(window).await, numbers(|n| (100..200).contains(&n)));
    let rare = AuditFilter { identity: Some("user:rare".to_owned()), ..none() };
    assert_eq!(minutes(rare).await, numbers(|n| n % 100 == 0));
    let literal = AuditFilter { repository: Some(pattern("team/a")), since: Some(at(590)), ..none() };
    assert_eq!(minutes(literal).await, numbers(|n| n % 3 == 0 && n >= 590));
    let under = AuditFilter { repository: Some(pattern("team/**")), until: Some(at(10)), ..none() };
    assert_eq!(minutes(under).await, numbers(|n| n % 3 == 0 && n < 10));
    let tags = AuditFilter { action: Some("tag".to_owned()), until: Some(at(10)), ..none() };
    assert_eq!(minutes(tags).await, numbers(|n| n % 2 == 0 && n < 10));
    let denied = AuditFilter { outcome: Some(Outcome::Denied), since: Some(at(590)), ..none() };
    assert_eq!(minutes(denied).await, numbers(|n| n % 2 == 1 && n >= 590));
    let nothing = AuditFilter { action: Some("ta".to_owned()), ..none() };
    assert_eq!(minutes(nothing).await, [0; 0], "half a word is no action");
    let later = AuditFilter { since: Some(at(9_000)), ..none() };
    assert_eq!(minutes(later).await, [0; 0]);
}

async fn the_audit_is_pruned_by_age_and_by_number(f: Fixture) {
    for minute in 0..30 {
        f.record_audit(denied("user:eve", minute, "team/a")).await.expect("noted");
    }
    assert_eq!(f.prune_audit(at(10), 1_000).await.expect("pruned"), 10);
    assert_eq!(f.prune_audit(at(10), 5).await.expect("pruned"), 15);
    let left: Vec<_> = all(&f).await.iter().map(|entry| entry.at).collect();
    assert_eq!(left, (25..30).rev().map(at).collect::<Vec<_>>());
    assert_eq!(f.prune_audit(at(99), 5).await.expect("pruned"), 5);
}

async fn the_audit_holds_no_secret(f: Fixture) {
    let new = NewUser { name: "alice".to_owned(), password: Some("CANARY-hash".to_owned()), ..NewUser::default() };
    f.create_user(new, stamp(1)).await.expect("answered");
    let password = Some(Some("CANARY-second".to_owned()));
    let email = Some(Some("CANARY@example.org".to_owned()));
    f.set_user("alice", UserChange { password, email, ..UserChange::default() }, stamp(1)).await.expect("answered");
    let mut new = token(0, TokenKind::Access);
    new.hash = *b"CANARY-CANARY-CANARY-CANARY-CANA";
    f.create_token(new, stamp(1)).await.expect("answered");
    f.add_signing_key("k", b"CANARY", true, stamp(1)).await.expect("answered");
    let entries = all(&f).await;
    assert_eq!(entries.len(), 4);
    let events = f.events(0, 99).await.expect("events").items;
    let told = format!("{entries:?} {events:?}");
    assert!(!told.contains("CANARY") && !told.contains("67, 65, 78"), "{told}");
}
