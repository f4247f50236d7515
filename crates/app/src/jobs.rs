//! What the server does by itself, beside serving: collect, expire, write down, forget.

mod listeners;
mod webhooks;

use std::time::Duration;

use jiff::Timestamp;
use larder_access::Access;
use larder_catalog::Catalog;
use larder_registry::webhooks::Source;
use larder_registry::{Actor, Error, Registry};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::config::Configuration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Starts the jobs; dropping the set ends them between two of their steps.
pub fn start(configuration: &Configuration, registry: &Registry, catalog: &Catalog, access: &Access) -> JoinSet<()> {
    if configuration.switch("read_only") {
        return JoinSet::new();
    }
    let mut jobs = run(Periods::of(configuration), Limits::of(configuration), registry, catalog);
    let source = Source { url: configuration.text("public_url").map(str::to_owned) };
    jobs.spawn(webhooks::deliver(registry.clone(), access.clone(), source));
    jobs
}

/// How often each job runs.
#[derive(Clone, Copy, Debug)]
struct Periods {
    /// None: garbage is collected when somebody asks for it.
    sweep: Option<Duration>,
    first_walk: Duration,
    walk: Duration,
    first_scrub: Duration,
    /// None: policies run when somebody applies them.
    policies: Option<Duration>,
    generation: Duration,
    pulls: Duration,
    first_prune: Duration,
    prune: Duration,
}

impl Periods {
    fn of(configuration: &Configuration) -> Self {
        Self {
            sweep: configuration.switch("sweep.background").then(|| configuration.duration("sweep.every")),
            // For what crashes left; it waits until the server's clients are back.
            first_walk: 10 * MINUTE,
            walk: DAY,
            first_scrub: MINUTE,
            policies: configuration.switch("policy.background").then(|| configuration.duration("policy.every")),
            generation: HOUR,
            pulls: MINUTE,
            first_prune: MINUTE,
            prune: HOUR,
        }
    }
}

fn run(periods: Periods, limits: Limits, registry: &Registry, catalog: &Catalog) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    if let Some(every) = periods.sweep {
        let sweeping = registry.clone();
        jobs.spawn(repeat(every, every, move || sweep_queue(sweeping.clone())));
        let walking = registry.clone();
        jobs.spawn(repeat(periods.first_walk, periods.walk, move || walk_store(walking.clone())));
    }
    jobs.spawn(scrub(periods.first_scrub, registry.clone()));
    if let Some(every) = periods.policies {
        let applying = registry.clone();
        jobs.spawn(repeat(every, every, move || run_policies(applying.clone())));
    }
    let raising = registry.clone();
    jobs.spawn(repeat(periods.generation, periods.generation, move || {
        let registry = raising.clone();
        async move { told("the catalog's generation could not be raised", registry.raise_generation().await) }
    }));
    let flushing = registry.clone();
    jobs.spawn(repeat(periods.pulls, periods.pulls, move || {
        let registry = flushing.clone();
        async move { told("pull times could not be written", registry.flush_pulls().await) }
    }));
    let catalog = catalog.clone();
    jobs.spawn(repeat(periods.first_prune, periods.prune, move || {
        let catalog = catalog.clone();
        async move { told("old rows could not be removed", prune(&catalog, limits).await) }
    }));
    jobs
}

async fn repeat<F: Future<Output = ()>>(first: Duration, every: Duration, work: impl Fn() -> F) {
    let mut clock = interval_at(tokio::time::Instant::now() + first, every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        work().await;
    }
}

async fn sweep_queue(registry: Registry) {
    match registry.sweep_queue(&|_| {}).await {
        Ok(report) if report.blobs_removed + report.uploads_expired > 0 => {
            tracing::info!(
                blobs = report.blobs_removed,
                bytes = report.bytes_removed,
                uploads = report.uploads_expired,
                "collected garbage"
            );
        }
        // The start has said so already.
        Ok(_) | Err(Error::CatalogBehind) => {}
        Err(error) => tracing::warn!(error = crate::opened::chain(&error), "garbage could not be collected"),
    }
}

/// Reads everything back, for as long as the server runs.
async fn scrub(first: Duration, registry: Registry) {
    tokio::time::sleep(first).await;
    loop {
        let rest = match registry.scrub_step().await {
            Ok(rest) => rest,
            Err(error) => {
                tracing::warn!(error = crate::opened::chain(&error), "the scrub could not go on");
                MINUTE
            }
        };
        tokio::time::sleep(rest).await;
    }
}

async fn run_policies(registry: Registry) {
    match registry.run_policies().await {
        Ok(round) if round.expired + round.paused > 0 => {
            tracing::info!(
                images = round.expired,
                repositories = round.repositories,
                paused = round.paused,
                "ran lifecycle policies"
            );
        }
        Ok(_) | Err(Error::TakingOver) => {}
        Err(error) => tracing::warn!(error = crate::opened::chain(&error), "lifecycle policies could not be run"),
    }
}

async fn walk_store(registry: Registry) {
    match registry.sweep(&Actor::system(), &|_| {}).await {
        Ok(report) => {
            tracing::debug!(orphans = report.orphans_removed, bytes = report.orphan_bytes, "walked the store")
        }
        Err(Error::CatalogBehind) => {}
        Err(error) => tracing::warn!(error = crate::opened::chain(&error), "the store could not be walked"),
    }
}

/// What is kept, and how long.
#[derive(Clone, Copy, Debug)]
struct Limits {
    events: Duration,
    jobs: Duration,
    history: Duration,
    history_count: usize,
    policy_runs: Duration,
}

impl Limits {
    fn of(configuration: &Configuration) -> Self {
        Self {
            events: configuration.duration("events.keep"),
            jobs: configuration.duration("jobs.keep"),
            history: configuration.duration("history.window"),
            policy_runs: configuration.duration("policy.keep"),
            history_count: usize::try_from(configuration.number("history.keep")).unwrap_or(usize::MAX),
        }
    }
}

async fn prune(catalog: &Catalog, limits: Limits) -> Result<(), larder_catalog::Error> {
    let before = |age: Duration| Timestamp::now().checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH);
    let events = catalog.prune_events(before(limits.events)).await?;
    let deliveries = catalog.prune_deliveries(before(limits.events)).await?;
    let jobs = catalog.prune_jobs(before(limits.jobs)).await?;
    let taken = catalog.prune_taken(before(TAKEN)).await?;
    let moves = catalog.prune_tag_events(before(limits.history), limits.history_count).await?;
    let runs = catalog.prune_policy_runs(before(limits.policy_runs)).await?;
    let stages = catalog.prune_stages(before(STAGES)).await?;
    let answers = catalog.prune_answers(before(ANSWERS)).await?;
    tracing::debug!(events, deliveries, jobs, taken, moves, runs, stages, answers, "removed old rows");
    Ok(())
}

/// What the sweep took is remembered this long (behaviour §3).
const TAKEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What left a stage, approvals and who pulled from it are remembered this long.
const STAGES: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Answers to requests with an idempotency key are remembered this long.
const ANSWERS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn told<E: std::error::Error>(what: &str, outcome: Result<(), E>) {
    if let Err(error) = outcome {
        tracing::warn!(error = crate::opened::chain(&error), "{what}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use larder_blobs::BlobStore as _;
    use larder_blobs::fs::FsStore;
    use larder_catalog::model::{NewJob, Options};
    use larder_registry::{Condition, ManifestPush, ManualClock, Rights, UploadBody, testing};

    use super::*;
    use crate::config::SettingFlags;

    const SOON: Duration = Duration::from_millis(50);
    const OFTEN: Periods = Periods {
        sweep: Some(SOON),
        first_walk: SOON,
        walk: SOON,
        first_scrub: SOON,
        policies: Some(SOON),
        generation: SOON,
        pulls: SOON,
        first_prune: SOON,
        prune: SOON,
    };

    /// Everything that happened lies in the year 2000, so that it is old by every limit of the defaults.
    #[tokio::test]
    async fn what_is_old_is_removed_and_what_waits_is_written_down() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("catalog.db");
        let then: Timestamp = "2000-01-01T00:00:00Z".parse().expect("a time");
        let catalog = Catalog::open_sqlite(&path, &Options::default()).await.expect("a catalog opens");
        let store = Arc::new(FsStore::open(&folder.path().join("blobs")).expect("a store opens"));
        let clock = Arc::new(ManualClock::starting(then));
        let registry =
            Registry::open(testing::settings(), store.clone(), catalog.clone(), Arc::clone(&clock) as Arc<_>);
        let registry = registry.await.expect("a registry opens");
        let (actor, name) = (Actor::anonymous(Rights::Everything), "team/model".parse().expect("a name"));
        for title in ["one", "two"] {
            let manifest = format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"title":"{title}"}}}}"#
            );
            let push = ManifestPush {
                reference: "latest".parse().expect("a tag"),
                extra_tags: Vec::new(),
                content_type: None,
                bytes: manifest.into(),
                condition: Condition::Any,
            };
            registry.push_manifest(&actor, &name, push).await.expect("a push");
        }
        registry.manifest(&actor, &name, &"latest".parse().expect("a tag")).await.expect("a pull");
        let upload = registry.start_upload(&actor, &name, None).await.expect("a session").id;
        registry.append(&actor, &name, &upload, None, UploadBody::of("weights".into())).await.expect("a chunk");
        catalog
            .enqueue_job(NewJob { kind: "test".to_owned(), payload: String::new(), run_after: then })
            .await
            .expect("a job");
        let job = catalog.claim_jobs(&["test"], then, then, 1).await.expect("claimed").remove(0);
        assert!(catalog.finish_job(job.id, then).await.expect("finished"));
        clock.advance(DAY * 30);

        let rows = |sql: &str| -> i64 {
            let connection = rusqlite::Connection::open(&path).expect("it is SQLite");
            connection.query_row(sql, [], |row| row.get(0)).expect("it can be read")
        };
        let counts = [
            ("SELECT COUNT(*) FROM events", 0),
            ("SELECT COUNT(*) FROM jobs", 0),
            // Where the tag is now is no history.
            ("SELECT COUNT(*) FROM tag_events", 1),
            ("SELECT COUNT(*) FROM uploads", 0),
            ("SELECT COUNT(*) FROM manifests WHERE pulled_at IS NOT NULL", 1),
        ];
        for (sql, after) in counts {
            assert_ne!(rows(sql), after, "{sql}, before");
        }
        let generation = store.marker().await.expect("a marker").expect("set").generation;
        let configuration = Configuration::load(&SettingFlags::default(), &[]).expect("the defaults are right");
        let jobs = run(OFTEN, Limits::of(&configuration), &registry, &catalog);
        let begun = Instant::now();
        let is_done = || counts.iter().all(|(sql, after)| rows(sql) == *after);
        while !is_done() || store.marker().await.expect("a marker").expect("set").generation <= generation {
            let left: Vec<_> = counts.iter().map(|(sql, _)| (sql, rows(sql))).collect();
            assert!(begun.elapsed() < Duration::from_secs(20), "{left:?}");
            tokio::time::sleep(SOON).await;
        }
        assert_eq!(rows("SELECT COUNT(*) FROM manifests"), 2, "only a delete or a policy removes a manifest");
        drop(jobs);
        registry.close().await.expect("it closes");
    }

    #[test]
    fn a_sweep_in_the_background_can_be_left_out() {
        let quiet = [("LARDER_SWEEP__BACKGROUND".to_owned(), "false".to_owned())];
        let load = |variables: &[(String, String)]| {
            Periods::of(&Configuration::load(&SettingFlags::default(), variables).expect("it is right"))
        };
        assert_eq!(load(&quiet).sweep, None);
        assert_eq!(load(&[]).sweep, Some(MINUTE));
    }
}
