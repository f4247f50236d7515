//! Events and jobs.

use larder_catalog::model::access::AuditFilter;
use larder_catalog::model::webhooks::SampledPull;
use larder_catalog::model::{NewJob, PutManifest};

use crate::fixture::{Fixture, at, manifest, name, stamp};

crate::on_every_database!(
    a_job_is_claimed_once_until_its_claim_ends,
    a_failed_job_comes_back_later,
    done_jobs_and_old_events_are_pruned,
    events_are_never_passed_over,
    pulls_are_events_and_nothing_for_the_audit,
);

fn job(kind: &str, minute: i64) -> NewJob {
    NewJob { kind: kind.to_owned(), payload: format!("{{\"minute\":{minute}}}"), run_after: at(minute) }
}

async fn a_job_is_claimed_once_until_its_claim_ends(f: Fixture) {
    for minute in [2, 1, 50] {
        f.enqueue_job(job("scan", minute)).await.expect("queued");
    }
    f.enqueue_job(job("other", 1)).await.expect("queued");
    assert!(f.claim_jobs(&["scan"], at(0), at(10), 9).await.expect("claimed").is_empty());
    let first = f.claim_jobs(&["scan", "other"], at(5), at(10), 1).await.expect("claimed");
    assert_eq!((first[0].payload.as_str(), first[0].attempts), ("{\"minute\":1}", 1), "the oldest first");
    let rest = f.claim_jobs(&["scan", "other"], at(5), at(10), 9).await.expect("claimed");
    assert_eq!(rest.len(), 2);
    assert!(f.claim_jobs(&["scan", "other"], at(9), at(20), 9).await.expect("claimed").is_empty());
    assert!(f.finish_job(first[0].id, at(6)).await.expect("answered"));
    assert!(!f.finish_job(first[0].id, at(6)).await.expect("answered"));
    let again = f.claim_jobs(&["scan", "other"], at(10), at(20), 9).await.expect("claimed");
    assert_eq!(again.len(), 2, "whoever claimed them has died");
    assert!(again.iter().all(|job| job.attempts == 2));
}

async fn a_failed_job_comes_back_later(f: Fixture) {
    f.enqueue_job(job("scan", 0)).await.expect("queued");
    let claimed = f.claim_jobs(&["scan"], at(0), at(10), 9).await.expect("claimed");
    assert!(f.retry_job(claimed[0].id, at(30), "no route").await.expect("answered"));
    assert!(f.claim_jobs(&["scan"], at(29), at(40), 9).await.expect("claimed").is_empty());
    assert_eq!(f.claim_jobs(&["scan"], at(30), at(40), 9).await.expect("claimed")[0].attempts, 2);
    assert!(!f.retry_job(77, at(30), "no such job").await.expect("answered"));
}

async fn done_jobs_and_old_events_are_pruned(f: Fixture) {
    f.enqueue_job(job("scan", 0)).await.expect("queued");
    let claimed = f.claim_jobs(&["scan"], at(0), at(10), 9).await.expect("claimed");
    assert_eq!(f.prune_jobs(at(100)).await.expect("pruned"), 0, "it is not done");
    f.finish_job(claimed[0].id, at(5)).await.expect("answered");
    assert_eq!(f.prune_jobs(at(5)).await.expect("pruned"), 0);
    assert_eq!(f.prune_jobs(at(6)).await.expect("pruned"), 1);
    for n in 0..4 {
        f.create_repository(&name(&format!("r{n}")), stamp(n)).await.expect("made");
    }
    assert_eq!(f.prune_events(at(2)).await.expect("pruned"), 2);
    let left = f.events(0, 9).await.expect("events").items;
    assert_eq!(left.iter().map(|event| event.stamp.at).collect::<Vec<_>>(), [at(2), at(3)]);
    assert_eq!(left[0].repository, Some(name("r2")));
}

async fn pulls_are_events_and_nothing_for_the_audit(f: Fixture) {
    let payload = "{\"tag\":\"prod\"}".to_owned();
    let pull = SampledPull { repository: name("a"), payload: payload.clone(), stamp: stamp(1) };
    f.record_pulls(vec![pull.clone(), pull]).await.expect("written");
    let events = f.events(0, 9).await.expect("events").items;
    assert_eq!(events.len(), 2);
    assert_eq!(
        (events[0].kind.as_str(), &events[0].payload, &events[0].stamp),
        ("manifest.pulled", &payload, &stamp(1))
    );
    assert!(f.audit(&AuditFilter::default(), None, 9).await.expect("an audit").items.is_empty());
}

/// A reader that goes on after the last id it saw gets every event exactly once, although others write meanwhile.
async fn events_are_never_passed_over(f: Fixture) {
    let writers: Vec<_> = (0..4_u64)
        .map(|writer| {
            let catalog = f.catalog.clone();
            tokio::spawn(async move {
                for n in 0..25 {
                    let push = manifest(&format!("r{writer}"), writer * 100 + n, vec![], &[]);
                    catalog.put_manifest(PutManifest { ..push }).await.expect("pushed");
                }
            })
        })
        .collect();
    let (mut seen, mut after) = (0, 0);
    let mut done = false;
    loop {
        let page = f.events(after, 10).await.expect("events");
        seen += page.items.iter().filter(|event| event.kind == "manifest.pushed").count();
        after = page.items.last().map_or(after, |event| event.id);
        if page.items.is_empty() && done {
            break;
        }
        done = writers.iter().all(tokio::task::JoinHandle::is_finished);
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    assert_eq!(seen, 100);
}
