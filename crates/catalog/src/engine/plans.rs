//! Every statement that the tests of this crate run on SQLite, and how SQLite would run it (**Invariant 10**).

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Mutex;

use larder_oci::{Actions, VersionScope};

use crate::Catalog;
use crate::engine::{Kind, Tx};
use crate::fixture::{
    Fixture, at, blob, child, layer, manifest, name, new_delivery, pattern, session, stamp, stamp_of, tag, token,
    trust, upload, visible, webhook,
};
use crate::model::access::{
    AuditEntry, AuditFilter, Effect, GrantFilter, Group, Invitation, NewGrant, NewRobot, NewUser, Outcome,
    RepositoryChange, RobotChange, SignUp, Subject, TokenKind, UserChange,
};
use crate::model::policy::{ExpiringImage, ImagePart};
use crate::model::promotion::{NotedPull, Promotion, PromotionOutcome, StagePlace, StageQuestion};
use crate::model::rules::Asked;
use crate::model::webhooks::{DeliveryState, Settlement};
use crate::model::{
    ImageSearch, MountSource, NewJob, NewQuota, Purge, RepositoryFilter, RepositorySearch, RollbackTo, Sought,
    TagListing, TagOrder,
};

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
    "FROM blobs b WHERE b.state = 0\n             AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.digest_id = b.digest_id)\n             AND EXISTS",
    "SUM(size), 0) AS BIGINT) FROM blobs WHERE state = 0",
    "SUM(LENGTH(bytes))",
    "FROM uploads\"",
    "SUM(durable)",
    "(SELECT COUNT(*) FROM sweep_queue)",
    "UPDATE leases SET until = $1 WHERE until < $1",
    "FROM schema_migrations",
    // The whole of an index that holds nothing else.
    "COUNT(*) FROM manifests WHERE incomplete = 1",
    "FROM uploads WHERE reserved > 0",
];

/// Walks in the order of an index that a LIMIT ends.
const BOUNDED: &[&str] = &[
    "ORDER BY id LIMIT",
    "ORDER BY b.id LIMIT",
    "FROM (SELECT id, at FROM events",
    "AS next",
    "SELECT 1 FROM users LIMIT 1",
    "EXISTS (SELECT 1 FROM users)",
    "WHERE wildcard = 1 ORDER BY pattern LIMIT",
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
    push.labels = Some(r#"{"x":"y"}"#.to_owned());
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
    f.add_tag(&a, &tag("i"), &push.digest, "retag", stamp(2)).await.expect("answered");
    f.put_tag(&a, &tag("i"), &push.digest, "retag", stamp(2)).await.expect("answered");
    f.put_tag(&a, &tag("i"), &index.digest, "retag", stamp(2)).await.expect("answered");
    f.delete_tag(&a, &tag("u"), stamp(2)).await.expect("answered");
    trash(f).await;
    f.delete_blob(&a, &b.digest, stamp(2)).await.expect("answered");
    f.delete_blob(&name("b"), &b.digest, stamp(2)).await.expect("answered");
    f.quarantine_blob("unknown", stamp(2)).await.expect("answered");
    f.push_blob("c", &blob(3), 9).await;
    f.quarantine_blob(&f.blob_rows(0, 9).await.expect("rows").items[2].blob.key, stamp(2)).await.expect("answered");
    f.forget_missing_blob(&b.key, stamp(2)).await.expect("answered");
    f.forget_left_behind().await.expect("answered");
    f.quarantine_manifest(&index.digest, stamp(2)).await.expect("answered");
    f.delete_manifest(&a, &push.digest, at(30), None, stamp(2)).await.expect("answered");
    policies(f).await;
    promotion(f).await;
    rules(f).await;
    f.sweep_all(40).await;
    f.queue_unreferenced(at(1)).await.expect("answered");
    f.remove_repository(&a, stamp(3), at(30), None).await.expect("answered");
    outbox(f).await;
    access(f).await;
    credentials(f).await;
    audit(f).await;
    webhooks(f).await;
    quotas(f).await;
}

async fn trash(f: &Fixture) {
    let (t, b) = (name("trash"), blob(7));
    f.push_blob("trash", &b, 10).await;
    let mut push = manifest("trash", 70, vec![layer(&b)], &["t", "u"]);
    push.subject = Some(b.digest);
    f.push(push.clone()).await;
    for to in [RollbackTo::Changes(0), RollbackTo::Changes(1), RollbackTo::Digest(push.digest), RollbackTo::Time(at(1))]
    {
        f.rollback_tag(&t, &tag("t"), to, true, stamp(2)).await.expect("answered");
    }
    let delete = async || {
        f.delete_manifest(&t, &push.digest, at(20), Some(at(90)), stamp(3)).await.expect("answered");
    };
    delete().await;
    f.trash(&t, 0, 9).await.expect("answered");
    f.undelete_tag(&t, &tag("t"), None, stamp(4)).await.expect("answered");
    delete().await;
    f.undelete_manifest(&t, &push.digest, stamp(4)).await.expect("answered");
    delete().await;
    f.push(push.clone()).await;
    f.remove_repository(&t, stamp(5), at(20), Some(at(90))).await.expect("answered");
    f.removed_by(&t).await.expect("answered");
    f.undelete_repository(&t, None, stamp(6)).await.expect("answered");
    delete().await;
    f.purge(Purge::Manifest(t.clone(), push.digest), stamp(7)).await.expect("answered");
    f.push_blob("trash", &b, 10).await;
    f.push(push.clone()).await;
    f.purge(Purge::Manifest(t.clone(), push.digest), stamp(7)).await.expect("answered");
    f.push_blob("trash", &b, 10).await;
    f.push(push.clone()).await;
    delete().await;
    f.purge(Purge::Trash(t.clone()), stamp(8)).await.expect("answered");
    f.push_blob("trash", &b, 10).await;
    f.push(push.clone()).await;
    delete().await;
    f.empty_trash(at(99)).await.expect("answered");
}

async fn rules(f: &Fixture) {
    let a = name("a");
    for text in ["a", "a*"] {
        f.set_rules(&pattern(text), "{}", stamp(1)).await.expect("answered");
    }
    f.rules(None, 9).await.expect("answered");
    f.rules_for(&a).await.expect("answered");
    f.push(manifest("a", 8, vec![], &["1.0.0-0123456"])).await;
    let asked = Asked { places: vec![tag("1.0.0-0123456")], newest: vec![VersionScope::of(&[1])], names: true };
    let digest = manifest("a", 8, vec![], &[]).digest;
    f.standing(&a, &asked, Some(digest)).await.expect("answered");
    f.remove_rules(&pattern("a*"), stamp(1)).await.expect("answered");
    f.delete_tag(&a, &tag("1.0.0-0123456"), stamp(1)).await.expect("answered");
}

async fn policies(f: &Fixture) {
    let a = name("a");
    for text in ["a", "a*"] {
        f.set_policy(&pattern(text), "{}", stamp(1)).await.expect("answered");
    }
    f.policies(None, 9).await.expect("answered");
    f.policies_for(&a).await.expect("answered");
    f.push(manifest("a", 8, vec![], &["p"])).await;
    f.image_rows(&a, 0, 9).await.expect("answered");
    f.image_tags(&a, "", 9).await.expect("answered");
    f.image_parts(&a, ImagePart { image: 0, child: 0 }, 9).await.expect("answered");
    f.held_blobs(&a, 0, 9).await.expect("answered");
    let digest = manifest("a", 8, vec![], &[]).digest;
    f.renewed(&[(a.clone(), digest, at(1))]).await.expect("answered");
    let image = ExpiringImage { digest, tags: vec![tag("p")], renewed: Some(at(1)), pulled: None, follows: None };
    assert_eq!(f.expire_images(&a, vec![image], at(9), None, stamp(1)).await.expect("answered"), [true]);
    f.policy_previewed(&a, "x", 1, at(1)).await.expect("answered");
    f.pause_policy(&a, Some("x"), stamp(1)).await.expect("answered");
    f.policy_state(&a).await.expect("answered");
    f.pause_policies(Some("x"), stamp(1)).await.expect("answered");
    f.policies_paused().await.expect("answered");
    f.pause_policies(None, stamp(1)).await.expect("answered");
    f.record_policy_run(&a, at(1), "{}", stamp(1)).await.expect("answered");
    f.policy_runs(&a, None, 9).await.expect("answered");
    f.prune_policy_runs(at(9)).await.expect("answered");
    f.remove_policy(&pattern("a*"), stamp(1)).await.expect("answered");
}

async fn promotion(f: &Fixture) {
    let (s, prod, group) = (name("staged"), tag("prod"), Some("team".to_owned()));
    for text in ["staged", "staged*"] {
        let tags = [tag("staging"), prod.clone()];
        f.set_stages(&pattern(text), "{}", (&tags, &tags), stamp(1)).await.expect("answered");
    }
    f.stage_sets(None, 9).await.expect("answered");
    f.stages_for(&s).await.expect("answered");
    f.are_stages(vec!["x".to_owned(), "prod".to_owned()]).await.expect("answered");
    let b = blob(91);
    f.push_blob("staged", &b, 10).await;
    let first = manifest("staged", 91, vec![layer(&b)], &["1.0.0", "prod"]);
    f.push(first.clone()).await;
    let mut signature = manifest("staged", 92, vec![], &["staging"]);
    signature.subject = Some(first.digest);
    f.push(signature).await;
    let index = manifest("staged", 93, vec![child(&first)], &["2.0.0"]);
    f.push(index.clone()).await;
    f.approve(&s, &prod, &index.digest, Some("x"), stamp(1)).await.expect("answered");
    f.is_in_group("user:bob", "team").await.expect("answered");
    let mut target = (s.clone(), prod.clone());
    for before in [StagePlace::Tag(s.clone(), tag("staging")), StagePlace::Repository(s.clone())] {
        let (base, stage, source, digest) = (s.clone(), prod.clone(), s.clone(), index.digest);
        let asked = StageQuestion {
            base,
            stage,
            source,
            digest,
            target: target.clone(),
            before: Some(before),
            group: group.clone(),
        };
        let facts = f.stage_facts(asked.clone()).await.expect("answered");
        let key = crate::model::promotion::RequestKey { key: target.0.to_string(), request: "{}".to_owned() };
        let promotion = Promotion {
            base: s.clone(),
            stage: prod.clone(),
            source: s.clone(),
            digest: index.digest,
            target: target.clone(),
            expected: facts.standing,
            version: facts.version,
            approved_by: vec!["alice".to_owned()],
            how: "promotion",
            reference: "2.0.0".to_owned(),
            reason: None,
            key: Some((key, "{}".to_owned())),
            stamp: stamp(2),
        };
        f.set_quota(NewQuota { pattern: pattern("prod/staged"), bytes: Some(1 << 20), manifests: None }, stamp(1))
            .await
            .expect("answered");
        assert_eq!(f.promote(promotion.clone()).await.expect("answered"), PromotionOutcome::Moved);
        f.promote(promotion).await.expect("answered");
        target = (name("prod/staged"), tag("2.0.0"));
    }
    f.stage_entry(&s, &prod).await.expect("answered");
    f.staged_since(&s, &prod, at(0)).await.expect("answered");
    let (repository, identity) = (s.clone(), "user:bob".to_owned());
    let pull = NotedPull { repository, digest: first.digest, identity, at: at(3), stage: None };
    let known = NotedPull { stage: Some((s.clone(), prod.clone())), ..pull.clone() };
    f.stage_pulled(vec![pull, known]).await.expect("answered");
    assert_eq!(f.stage_pulls(&s, &prod, None, 9).await.expect("answered").items.len(), 1);
    f.withdraw_approval(&s, &prod, &index.digest, stamp(2)).await.expect("answered");
    f.prune_stages(at(99)).await.expect("answered");
    f.prune_answers(at(99)).await.expect("answered");
    f.remove_stages(&pattern("staged*"), stamp(3)).await.expect("answered");
    f.remove_repository(&s, stamp(3), at(30), None).await.expect("answered");
}

async fn quotas(f: &Fixture) {
    let quota = NewQuota { pattern: pattern("a"), bytes: Some(1 << 20), manifests: Some(9) };
    let (a, made) = (name("a"), f.set_quota(quota.clone(), stamp(1)).await.expect("answered").expect("there is room"));
    f.set_quota(quota, stamp(1)).await.expect("answered");
    f.is_under_quota(&a).await.expect("answered");
    f.full_quota(&a).await.expect("answered");
    let session = upload("a", "alice");
    f.create_upload(session.clone()).await.expect("answered");
    f.reserve(&session.id, &a, 10, 20).await.expect("answered");
    f.delete_upload(&a, &session.id).await.expect("answered");
    f.push_blob("a", &blob(77), 9).await;
    f.push_blob("z", &blob(78), 9).await;
    let source = MountSource::Repository(name("z"));
    f.mount(&a, &blob(78).digest, &source, at(10), stamp(1)).await.expect("answered");
    f.sweep_all(90).await;
    f.quota(made.id).await.expect("answered");
    f.quotas(None, 9).await.expect("answered");
    f.remove_repository(&a, stamp(3), at(30), None).await.expect("answered");
    f.remove_quota(made.id, stamp(1)).await.expect("answered");
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
    f.remove_repository(&name("b/x"), stamp(1), at(9), None).await.expect("answered");
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
    let sign_up = SignUp { email: "carol@example.org".to_owned(), name: "carol".to_owned(), expires: at(9) };
    f.add_sign_up(&[1; 32], sign_up, stamp(1)).await.expect("answered");
    f.sign_up(&[1; 32], at(1)).await.expect("answered");
    f.confirm_sign_up(&[1; 32], "hash", stamp(1)).await.expect("answered");
    f.create_session(&[1; 32], session("s", 9), stamp(1)).await.expect("answered");
    f.session(&[1; 32], at(1)).await.expect("answered");
    f.session_of_id("s").await.expect("answered");
    f.sessions("user:alice", at(1), None, 9).await.expect("answered");
    f.remove_session("s", stamp(1)).await.expect("answered");
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

async fn webhooks(f: &Fixture) {
    f.create_webhook(webhook("w"), stamp(1)).await.expect("answered");
    let hook = f.webhook("w").await.expect("answered").expect("it was made").webhook;
    f.set_webhook(hook.clone(), stamp(1)).await.expect("answered");
    f.webhooks(None, 9).await.expect("answered");
    f.active_webhooks().await.expect("answered");
    let new = [new_delivery("a", 1), new_delivery("a", 2)].to_vec();
    assert!(f.queue_deliveries("w", (hook.cursor, hook.cursor + 2), new, at(1)).await.expect("answered"));
    f.queue_delivery("w", new_delivery("-", 3), stamp(1)).await.expect("answered");
    f.due_webhooks(at(2)).await.expect("answered");
    for delivery in f.claim_deliveries("w", at(2), at(3), 9).await.expect("answered") {
        f.settle_delivery(&delivery, Settlement::Parked, None, Some("x"), at(2)).await.expect("answered");
        f.delivery("w", delivery.id).await.expect("answered");
        f.redeliver("w", delivery.id, stamp(2)).await.expect("answered");
    }
    for state in [None, Some(DeliveryState::Waiting)] {
        for delivery in f.deliveries("w", state, None, 9).await.expect("answered").items {
            f.redeliver("w", delivery.id, stamp(2)).await.expect("answered");
        }
    }
    f.delivery_backlog().await.expect("answered");
    f.prune_deliveries(at(99)).await.expect("answered");
    f.remove_webhook("w", stamp(3)).await.expect("answered");
}

async fn lists(f: &Fixture) {
    let a = name("a");
    f.tags(&a, None, 9).await.expect("answered");
    for order in [TagOrder::Name, TagOrder::Version, TagOrder::Time] {
        for after in [None, Some("t"), Some("0:t")] {
            let listing = TagListing { order, ..TagListing::default() };
            f.tag_rows(&a, &listing, after, 9).await.expect("answered");
        }
    }
    f.tag_then(&a, &tag("t"), at(9)).await.expect("answered");
    f.tag_then(&a, &tag("t"), at(-9)).await.expect("answered");
    f.last_digest(&a, &tag("t")).await.expect("answered");
    f.last_digest(&a, &tag("x")).await.expect("answered");
    f.manifest_labels(&a, &blob(1).digest).await.expect("answered");
    let said = Sought::Said { name: None, value: "x".to_owned() };
    for sought in [Sought::Tag("t".to_owned()), Sought::Digest(blob(1).digest, blob(1).digest), said] {
        let search = ImageSearch { words: Vec::new(), sought };
        f.search_images(&RepositoryFilter::All, search, None, 9).await.expect("answered");
    }
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
