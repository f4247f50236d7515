//! Every statement that the tests of this crate run on SQLite, and how SQLite would run it (**Invariant 10**).

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::Catalog;
use crate::engine::{Kind, Tx};
use crate::fixture::{Fixture, at, blob, child, layer, manifest, name, stamp, tag, upload};
use crate::model::{MountSource, NewJob, RepositoryFilter};

static SEEN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

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
const BOUNDED: &[&str] = &["ORDER BY id LIMIT", "ORDER BY b.id LIMIT", "FROM (SELECT id, at FROM events", "AS next"];

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
    let some = MountSource::Any { filter: RepositoryFilter::Prefixes(vec!["a".to_owned()]), limit: 9 };
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
}

async fn lists(f: &Fixture) {
    let a = name("a");
    f.tags(&a, None, 9).await.expect("answered");
    f.tag_rows(&a, None, 9).await.expect("answered");
    f.tag_history(&a, &tag("t"), None, 9).await.expect("answered");
    for artifact_type in [None, Some("x")] {
        f.referrers(&a, &blob(1).digest, artifact_type, None, 9).await.expect("answered");
    }
    for filter in [RepositoryFilter::All, RepositoryFilter::Prefixes(vec!["a".to_owned(), "b/".to_owned()])] {
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
