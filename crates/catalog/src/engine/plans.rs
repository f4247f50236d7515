//! Every statement that the tests of this crate run on SQLite, and how SQLite would run it (**Invariant 10**).

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Mutex;

use larder_oci::Actions;

use crate::Catalog;
use crate::engine::{Kind, Tx};
use crate::fixture::{
    Fixture, at, blob, child, layer, manifest, name, pattern, stamp, stamp_of, tag, token, trust, upload, visible,
};
use crate::model::access::{
    AuditEntry, AuditFilter, Effect, GrantFilter, Group, Invitation, NewGrant, NewRobot, NewUser, Outcome,
    RepositoryChange, RobotChange, Session, Subject, TokenKind, UserChange,
};
use crate::model::{MountSource, NewJob, RepositoryFilter, RepositorySearch};

static SEEN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

thread_local! {
    static ROWS: Cell<usize> = const { Cell::new(0) };
}

/// Counts rows that statements answered on this thread.
pub(crate) fn count(rows: usize) {
    ROWS.set(ROWS.get() + rows);
}

/// How many rows statements have answered on this thread.
pub(crate) fn rows_read() -> usize {
    ROWS.get()
}

/// Remembers a statement.
pub(crate) fn record(sql: &'static str) {
    SEEN.lock().expect("nothing panics while it holds the set").insert(sql);
}

/// Statements that may read a whole table: totals for people, and what runs once at a start.
const WHOLE: &[&str] = &[
    "FROM blobs WHERE state IN (1, 2)",
    "FROM blobs WHERE state = 3",
    "FROM blobs b WHERE b.state = 0\n             AND NOT EXISTS (SELECT 1 FROM edges",
    "SUM(size), 0) AS BIGINT) FROM blobs WHERE state = 0",
    "SUM(LENGTH(bytes))",
    "FROM uploads\"",
    "SUM(durable)",
    "(SELECT COUNT(*) FROM sweep_queue)",
    "UPDATE leases SET until = $1 WHERE until < $1",
    "FROM schema_migrations",
    // The whole of an index that holds nothing else.
    "COUNT(*) FROM manifests WHERE incomplete = 1",
];

/// Walks in the order of an index that a LIMIT ends.
const BOUNDED: &[&str] = &[
    "ORDER BY id LIMIT",
    "ORDER BY b.id LIMIT",
    "FROM (SELECT id, at FROM events",
    "AS next",
    "SELECT 1 FROM users LIMIT 1",
    "EXISTS (SELECT 1 FROM users)",
];

#[tokio::test]
async fn no_statement_sorts_or_reads_more_than_a_range_of_an_index() {
    let f = Fixture::memory().await;
    exercise(&f).await;
    let seen: Vec<&'static str> = SEEN.lock().expect("no panic").iter().copied().collect();
    assert!(seen.len() > 80, "only {} statements were seen", seen.len());
    let mut wrong = Vec::new();
    for sql in seen.into_iter().filter(|sql| !WHOLE.iter().any(|whole| sql.contains(whole))) {
        for step in plan(&f.catalog, sql).await {
            let bounded = BOUNDED.iter().any(|bounded| sql.contains(bounded));
            // A scan of a subquery's or a list's rows is no scan of a table.
            let scans = step.starts_with("SCAN")
                && !["CONSTANT ROW", "next", "newest", "oldest", "page"].iter().any(|what| step.contains(what));
            if step.contains("TEMP B-TREE") || (scans && !bounded) {
                wrong.push(format!("{step}: {sql}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn plan(catalog: &Catalog, sql: &'static str) -> Vec<String> {
    let work = move |tx: &mut Tx<'_>| {
        let Tx::Sqlite(connection) = tx else { return Ok(Vec::new()) };
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let (mut rows, mut steps) = (statement.raw_query(), Vec::new());
        while let Some(row) = rows.next()? {
            steps.push(row.get(3)?);
        }
        Ok(steps)
    };
    catalog.engine().read(Kind::Read, work).await.expect("a plan")
}

/// Calls every method at least once, so that its statements are seen.
async fn exercise(f: &Fixture) {
    let (b, a) = (blob(1), name("a"));
    f.push_blob("a", &b, 10).await;
    f.push_blob("a", &b, 10).await;
    let mut push = manifest("a", 1, vec![layer(&b)], &["t", "u"]);
    push.subject = Some(b.digest);
    push.condition = crate::model::Condition::IfAbsent;
    push.jobs = vec![NewJob { kind: "scan".to_owned(), payload: "{}".to_owned(), run_after: at(0) }];
    f.push(push.clone()).await;
    let index = manifest("a", 2, vec![child(&push)], &["i"]);
    f.push(index.clone()).await;
    for reference in ["t".to_owned(), push.digest.to_string()] {
        let reference = reference.parse().expect("a reference");
        f.manifest(&a, &reference, true).await.expect("answered");
        f.manifest(&a, &reference, false).await.expect("answered");
    }
    lists(f).await;
    let all = MountSource::Any { filter: RepositoryFilter::All, limit: 9 };
    let some = MountSource::Any { filter: visible(&["a"], &[]), limit: 9 };
    for source in [all, some, MountSource::Repository(a.clone())] {
        f.mount(&name("b"), &b.digest, &source, at(10), stamp(1)).await.expect("answered");
    }
    f.lease(&a, &b.digest, "alice", at(20)).await.expect("answered");
    f.renew_all_leases(at(20)).await.expect("answered");
    let session = upload("a", "alice");
    f.create_upload(session.clone()).await.expect("answered");
    f.checkpoint_upload(&session.id, 1, vec![], at(1), at(20)).await.expect("answered");
    f.uploads_exist(&[session.id]).await.expect("answered");
    f.upload(&a, &session.id).await.expect("answered");
    f.delete_upload(&a, &session.id).await.expect("answered");
    f.pulled(&[(a.clone(), push.digest, at(3))]).await.expect("answered");
    f.put_tag(&a, &tag("i"), &push.digest, "retag", stamp(2)).await.expect("answered");
    f.put_tag(&a, &tag("i"), &index.digest, "retag", stamp(2)).await.expect("answered");
    f.delete_tag(&a, &tag("u"), stamp(2)).await.expect("answered");
    f.delete_blob(&a, &b.digest, stamp(2)).await.expect("answered");
    f.delete_blob(&name("b"), &b.digest, stamp(2)).await.expect("answered");
    f.quarantine_blob("unknown", stamp(2)).await.expect("answered");
    f.push_blob("c", &blob(3), 9).await;
    f.quarantine_blob(&f.blob_rows(0, 9).await.expect("rows").items[2].blob.key, stamp(2)).await.expect("answered");
    f.forget_missing_blob(&b.key, stamp(2)).await.expect("answered");
    f.quarantine_manifest(&index.digest, stamp(2)).await.expect("answered");
    f.delete_manifest(&a, &push.digest, at(30), stamp(2)).await.expect("answered");
    f.sweep_all(40).await;
    f.queue_unreferenced(at(1)).await.expect("answered");
    f.remove_repository(&a, stamp(3), at(30)).await.expect("answered");
    outbox(f).await;
    access(f).await;
    credentials(f).await;
    audit(f).await;
}

async fn access(f: &Fixture) {
    let user = |text: &str| NewUser { name: text.to_owned(), ..NewUser::default() };
    f.create_user(user("alice"), stamp(1)).await.expect("answered");
    f.create_user(user("bob"), stamp(1)).await.expect("answered");
    f.user("bob").await.expect("answered");
    f.users(None, 9).await.expect("answered");
    let change = UserChange { password: Some(Some("hash".to_owned())), ..UserChange::default() };
    f.set_user("bob", change, stamp(1)).await.expect("answered");
    let robot = NewRobot { name: "ci".to_owned(), pattern: pattern("*/x"), description: String::new() };
    f.create_robot(robot, stamp(1)).await.expect("answered");
    f.set_robot("ci", RobotChange::default(), stamp(1)).await.expect("answered");
    f.robots(None, 9).await.expect("answered");
    f.seen(&[("user:bob".to_owned(), at(2)), ("robot:ci".to_owned(), at(2))]).await.expect("answered");
    f.create_repository(&name("b/x"), stamp_of("user:bob", 1)).await.expect("answered");
    f.set_repository(&name("b/x"), RepositoryChange::default(), stamp(1)).await.expect("answered");
    f.repository_facts(&name("b/x")).await.expect("answered");
    f.create_user(user("b"), stamp(1)).await.expect("answered");
    let group = Group { name: "team".to_owned(), description: String::new() };
    f.create_group(group, stamp(1)).await.expect("answered");
    f.set_group("team", "x", stamp(1)).await.expect("answered");
    f.group("team").await.expect("answered");
    f.groups(None, 9).await.expect("answered");
    f.add_member("team", "bob", stamp(1)).await.expect("answered");
    f.set_external_groups("eve", &["team".to_owned()], stamp(1)).await.expect("answered");
    f.set_external_groups("eve", &[], stamp(1)).await.expect("answered");
    f.members("team", None, 9).await.expect("answered");
    f.groups_of("bob").await.expect("answered");
    f.remove_member("team", "bob", stamp(1)).await.expect("answered");
    let (subject, pattern) = (Subject::Group("team".to_owned()), pattern("*/y"));
    let filter = GrantFilter { subject: Some(subject.clone()), pattern: Some(pattern.clone()) };
    let (actions, effect) = (Actions::ALL, Effect::Allow);
    let grant = NewGrant { subject: subject.clone(), actions, pattern, effect, note: String::new() };
    let id = f.add_grant(grant.clone(), stamp(1)).await.expect("answered");
    for (subject, pattern) in [(true, true), (true, false), (false, true), (false, false)] {
        let subject = filter.subject.clone().filter(|_| subject);
        let filter = GrantFilter { subject, pattern: filter.pattern.clone().filter(|_| pattern) };
        f.grants(&filter, None, 9).await.expect("answered");
    }
    f.grant(id).await.expect("answered");
    f.remove_grant(id, stamp(1)).await.expect("answered");
    f.add_grant(grant, stamp(1)).await.expect("answered");
    let public = RepositoryFilter::Visible { allow: vec![], deny: vec![], public: true };
    for filter in [visible(&["*/x", "*/unknown"], &["*/z"]), public] {
        f.repositories(&filter, None, 9).await.expect("answered");
    }
    f.remove_group("team", stamp(1)).await.expect("answered");
    f.remove_robot("ci", stamp(1)).await.expect("answered");
    f.remove_repository(&name("b/x"), stamp(1), at(9)).await.expect("answered");
    f.remove_user("bob", stamp(1)).await.expect("answered");
    f.access_version().await.expect("answered");
    f.accounts_exist().await.expect("answered");
}

async fn credentials(f: &Fixture) {
    for (n, kind) in [TokenKind::Access, TokenKind::Refresh].into_iter().enumerate() {
        f.create_token(token(n, kind), stamp(1)).await.expect("answered");
    }
    f.token_by_hash(&[1; 32]).await.expect("answered");
    f.token("t0").await.expect("answered");
    f.tokens(Some("user:alice"), None, 9).await.expect("answered");
    f.tokens(None, None, 9).await.expect("answered");
    f.tokens_used(&[("t0".to_owned(), at(3))]).await.expect("answered");
    f.revoke_token("t0", stamp(1)).await.expect("answered");
    let trust = trust("gitlab");
    f.create_trust(trust.clone(), stamp(1)).await.expect("answered");
    f.set_trust(trust.clone(), stamp(1)).await.expect("answered");
    f.trust("gitlab").await.expect("answered");
    f.trusts(None, 9).await.expect("answered");
    f.trusts_of(&trust.issuer).await.expect("answered");
    f.remove_trust("gitlab", stamp(1)).await.expect("answered");
    f.use_assertion("issuer", "1", at(9)).await.expect("answered");
    f.signing_keys().await.expect("answered");
    f.add_signing_key("k", b"sealed", true, stamp(1)).await.expect("answered");
    f.retire_signing_key("k", stamp(1)).await.expect("answered");
    f.remove_signing_key("k", stamp(1)).await.expect("answered");
    let invitation = Invitation { user: "alice".to_owned(), expires: at(9) };
    f.add_invitation(&[1; 32], invitation, stamp(1)).await.expect("answered");
    f.invitation(&[1; 32], at(1)).await.expect("answered");
    f.accept_invitation(&[1; 32], "hash", stamp(1)).await.expect("answered");
    let (identity, credential) = ("user:alice".to_owned(), "password".to_owned());
    let session = Session { identity, credential, created: at(1), expires: at(9) };
    f.create_session(&[1; 32], session).await.expect("answered");
    f.session(&[1; 32], at(1)).await.expect("answered");
    f.remove_session(&[1; 32]).await.expect("answered");
    f.prune_ended(at(99)).await.expect("answered");
}

async fn audit(f: &Fixture) {
    let entry = AuditEntry::new(&stamp(1), "pull", Outcome::Denied);
    f.record_audit(entry.clone()).await.expect("answered");
    for _ in 0..2 {
        f.audit_denied(entry.clone(), "alice").await.expect("answered");
    }
    let since = AuditFilter { since: Some(at(0)), ..AuditFilter::default() };
    let of_identity = AuditFilter { identity: Some("alice".to_owned()), ..AuditFilter::default() };
    let of_repository = AuditFilter { repository: Some(pattern("a")), ..AuditFilter::default() };
    for filter in [since, of_identity, of_repository] {
        f.audit(&filter, None, 9).await.expect("answered");
    }
    f.prune_audit(at(99), 10).await.expect("answered");
}

async fn lists(f: &Fixture) {
    let a = name("a");
    f.tags(&a, None, 9).await.expect("answered");
    f.tag_rows(&a, None, 9).await.expect("answered");
    f.tag_history(&a, &tag("t"), None, 9).await.expect("answered");
    for artifact_type in [None, Some("x")] {
        f.referrers(&a, &blob(1).digest, artifact_type, None, 9).await.expect("answered");
    }
    for filter in [RepositoryFilter::All, visible(&["a", "b/**"], &[])] {
        f.repository_summaries(&filter, None, 9).await.expect("answered");
    }
    f.blob_rows(0, 9).await.expect("answered");
    f.manifest_bytes(None, 9).await.expect("answered");
    f.keys_known(&["x".to_owned()]).await.expect("answered");
    f.affected_tags(&blob(1).digest, 9).await.expect("answered");
    f.expired_uploads(at(9), 9).await.expect("answered");
    f.uploads(None, 9).await.expect("answered");
    f.events(0, 9).await.expect("answered");
    f.condemned(9).await.expect("answered");
    f.next_review().await.expect("answered");
    f.usage(at(9)).await.expect("answered");
    f.incomplete_manifests().await.expect("answered");
    browsed(f).await;
}

async fn browsed(f: &Fixture) {
    let (a, digest) = (name("a"), blob(1).digest);
    f.newest_tags(&a, None, 9).await.expect("answered");
    f.named_tags(&a, "t", None, 9).await.expect("answered");
    f.manifest_facts(&a, &[digest]).await.expect("answered");
    f.tags_of(&a, &digest, 9).await.expect("answered");
    f.indexes_of(&a, &digest, 9).await.expect("answered");
    f.layer_uses(&a, &[digest]).await.expect("answered");
    f.repository_outline(&a).await.expect("answered");
    let search = RepositorySearch { words: vec!["a".to_owned()], public: Some(false) };
    f.search_repositories(&RepositoryFilter::All, search, None, 9).await.expect("answered");
}

async fn outbox(f: &Fixture) {
    for job in f.claim_jobs(&["scan"], at(9), at(10), 9).await.expect("answered") {
        f.retry_job(job.id, at(11), "x").await.expect("answered");
        f.finish_job(job.id, at(11)).await.expect("answered");
    }
    f.prune_jobs(at(99)).await.expect("answered");
    f.prune_events(at(99)).await.expect("answered");
    f.prune_taken(at(99)).await.expect("answered");
    f.prune_tag_events(at(99), 3).await.expect("answered");
    f.identity().await.expect("answered");
    f.raise_generation(3).await.expect("answered");
    f.check_writable().await.expect("answered");
}
