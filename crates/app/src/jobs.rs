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
/// The first walk over the store, for what crashes left, waits until the server's clients are back.
const FIRST_WALK: Duration = Duration::from_secs(10 * 60);

/// Starts the jobs; dropping the set ends them between two of their steps.
pub fn start(configuration: &Configuration, registry: &Registry, catalog: &Catalog, access: &Access) -> JoinSet<()> {
    let mut jobs = JoinSet::new();
    if configuration.switch("read_only") {
        return jobs;
    }
    if configuration.switch("sweep.background") {
        let every = configuration.duration("sweep.every");
        let sweeping = registry.clone();
        jobs.spawn(repeat(every, every, move || sweep_queue(sweeping.clone())));
        let walking = registry.clone();
        jobs.spawn(repeat(FIRST_WALK, DAY, move || walk_store(walking.clone())));
    }
    let raising = registry.clone();
    jobs.spawn(repeat(HOUR, HOUR, move || {
        let registry = raising.clone();
        async move { told("the catalog's generation could not be raised", registry.raise_generation().await) }
    }));
    let flushing = registry.clone();
    jobs.spawn(repeat(MINUTE, MINUTE, move || {
        let registry = flushing.clone();
        async move { told("pull times could not be written", registry.flush_pulls().await) }
    }));
    let source = Source { url: configuration.text("public_url").map(str::to_owned) };
    jobs.spawn(webhooks::deliver(registry.clone(), access.clone(), source));
    let (catalog, limits) = (catalog.clone(), Limits::of(configuration));
    jobs.spawn(repeat(MINUTE, HOUR, move || {
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
}

impl Limits {
    fn of(configuration: &Configuration) -> Self {
        Self {
            events: configuration.duration("events.keep"),
            jobs: configuration.duration("jobs.keep"),
            history: configuration.duration("history.window"),
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
    tracing::debug!(events, deliveries, jobs, taken, moves, "removed old rows");
    Ok(())
}

/// What the sweep took is remembered this long (behaviour §3).
const TAKEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn told<E: std::error::Error>(what: &str, outcome: Result<(), E>) {
    if let Err(error) = outcome {
        tracing::warn!(error = crate::opened::chain(&error), "{what}");
    }
}
