//! How the server is, for whoever looks after it: the facts that `/metrics` and the API know, on one page.

use askama::Template;
use http::StatusCode;
use larder_registry::{Error, Scrub, Statistics, Usage};

use super::arrivals::{self, Arriving};
use super::format::{Bar, Moment, Size, grouped};
use super::frame::{Frame, page};
use super::said::Said;
use super::trouble::Trouble;
use super::{Result, Visit};
use crate::form::Form;
use crate::health::Health;
use std::time::Duration;

/// How long a page waits for a sweep.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Template)]
#[template(path = "operations.html")]
struct Page {
    frame: Frame,
    ready: bool,
    checks: Vec<Check>,
    free: Option<Size>,
    total: Option<Size>,
    full: Option<Bar>,
    kept: Vec<Kept>,
    waiting: String,
    due: String,
    old_trees: Vec<OldTree>,
    csrf: String,
    scrub: Reading,
    arriving: Vec<Arriving>,
    counters: Vec<(&'static str, String)>,
    settings: Vec<(&'static str, String)>,
}

struct Check {
    what: &'static str,
    good: bool,
    word: &'static str,
}

/// Bytes by the reason for which they are here.
struct Kept {
    why: &'static str,
    count: String,
    size: Size,
    bar: Bar,
}

struct OldTree {
    path: String,
    size: Size,
    own: Size,
    complete: bool,
}

/// How the reading back of everything stands.
struct Reading {
    under_way: bool,
    began: Option<Moment>,
    last: Option<Moment>,
    read: Size,
    in_all: Size,
    bar: Bar,
    wrong: u64,
    unreadable: u64,
    halted: bool,
}

/// Sweeps, or asks for a pass of the scrub. A sweep may take hours: it goes on when the page does not wait for it.
pub(super) async fn act(visit: &Visit<'_>, form: &Form) -> Result {
    let said = match form.field("do") {
        "sweep" => sweep(visit).await?,
        "scrub" => {
            visit.registry.request_scrub(visit.actor(), form.has("force")).await?;
            Said::of("A pass begins within a minute, unless one is under way.")
        }
        _ => return Err(Trouble::new(StatusCode::BAD_REQUEST, "Nothing to do", "The form does not say what to do.")),
    };
    Ok(visit.went("/operations", said))
}

async fn sweep(visit: &Visit<'_>) -> Result<Said> {
    let (registry, actor) = (visit.registry.clone(), visit.actor().clone());
    let request_id = visit.request_id.clone();
    let work = tokio::spawn(async move {
        let swept = registry.sweep(&actor, &|_| {}).await;
        match &swept {
            Ok(report) => {
                tracing::info!(request_id, report.blobs_removed, report.bytes_removed, "a sweep was asked for")
            }
            Err(error) => tracing::warn!(request_id, %error, "a sweep that was asked for failed"),
        }
        swept
    });
    let Ok(ended) = tokio::time::timeout(PATIENCE, work).await else {
        return Ok(Said::of(
            "The sweep is under way. The counters below grow with it, and the log says when it is done.",
        ));
    };
    let report = ended.map_err(|error| Error::Internal(error.to_string()))??;
    let (blobs, bytes) = (grouped(report.blobs_removed), Size(report.bytes_removed).text());
    let trash = grouped(report.trash_emptied);
    Ok(Said::of(format!("Swept: {blobs} objects with {bytes} removed, {trash} images left the trash for good.")))
}

fn reading(visit: &Visit<'_>, scrub: Scrub) -> Reading {
    let moment = |at: Option<jiff::Timestamp>| at.map(|at| Moment { at, now: visit.now });
    Reading {
        under_way: scrub.is_under_way(),
        began: moment(scrub.began_at),
        last: moment(scrub.last_ended_at),
        read: Size(scrub.bytes),
        in_all: Size(scrub.bytes_in_all),
        bar: Bar { part: scrub.bytes, whole: scrub.bytes_in_all },
        wrong: scrub.wrong,
        unreadable: scrub.unreadable,
        halted: scrub.halted,
    }
}

pub(super) async fn show(visit: &Visit<'_>) -> Result {
    if !visit.actor().may_operate() {
        return Err(Trouble::nothing());
    }
    let scrub = visit.registry.scrub(visit.actor()).await?;
    let usage = visit.registry.usage(visit.actor()).await?;
    let health = Health::of(visit.app).await;
    let statistics = visit.registry.statistics().await;
    let used =
        usage.total.zip(usage.available).map(|(total, free)| Bar { part: total.saturating_sub(free), whole: total });
    page(&Page {
        frame: visit.frame("Operations"),
        ready: health.ready,
        checks: checks(&health),
        free: usage.available.map(Size),
        total: usage.total.map(Size),
        full: used,
        kept: kept(&usage),
        csrf: visit.csrf(),
        scrub: reading(visit, scrub),
        waiting: grouped(usage.queue.waiting),
        due: grouped(usage.queue.due),
        arriving: arrivals::under_way(visit).await?,
        counters: counters(&statistics),
        settings: settings(visit),
        old_trees: usage.old_trees.into_iter().map(old_tree).collect(),
    })
}

fn checks(health: &Health) -> Vec<Check> {
    let check = |what, good, word: [&'static str; 2]| Check { what, good, word: word[usize::from(!good)] };
    let mut checks = vec![
        check("Catalog", health.catalog, ["takes writes", "takes no writes"]),
        check("Storage", health.store, ["takes writes", "takes no writes"]),
        check("Free space", health.space, ["above the reserve", "below the reserve: pushes are refused"]),
        check("Moving in", health.taken_over, ["nothing to do", "a tree of another registry is being taken over"]),
        check("Drain", !health.draining, ["not begun", "the server is stopping"]),
    ];
    if health.read_only {
        checks.push(check("Writes", false, ["", "refused: the server was started read-only"]));
    }
    checks
}

fn kept(usage: &Usage) -> Vec<Kept> {
    let referenced = (
        usage.live.count.saturating_sub(usage.unreferenced.count),
        usage.live.bytes.saturating_sub(usage.unreferenced.bytes),
    );
    let all = [
        ("Named by manifests", referenced),
        ("Named by none: leased, or waiting for the sweep", (usage.unreferenced.count, usage.unreferenced.bytes)),
        ("Replaced or condemned, going", (usage.leaving.count, usage.leaving.bytes)),
        ("Quarantined: found wrong", (usage.quarantined.count, usage.quarantined.bytes)),
        ("Uploads under way", (usage.uploads.count, usage.uploads.bytes)),
        ("Manifests, in the catalog", (usage.manifests.count, usage.manifests.bytes)),
    ];
    let whole: u64 = all.iter().map(|(_, (_, bytes))| bytes).sum();
    let row =
        |(why, (count, bytes))| Kept { why, count: grouped(count), size: Size(bytes), bar: Bar { part: bytes, whole } };
    all.into_iter().map(row).collect()
}

fn old_tree(tree: larder_registry::OldTree) -> OldTree {
    OldTree { path: tree.path, size: Size(tree.bytes), own: Size(tree.own_bytes), complete: tree.complete }
}

fn counters(statistics: &Statistics) -> Vec<(&'static str, String)> {
    let catalog = &statistics.catalog;
    let mut counters = vec![
        ("Blobs taken since the start", grouped(statistics.uploads_committed)),
        ("Their bytes", Size(statistics.bytes_committed).text()),
        ("Requests that are writing now", grouped(statistics.open_writers)),
        ("Objects swept since the start", grouped(statistics.swept_blobs)),
        ("Their bytes", Size(statistics.swept_bytes).text()),
        ("Reads that found damage since the start", grouped(statistics.damaged_reads)),
        ("Commits of the catalog", grouped(catalog.commits)),
        ("Units of work that failed", grouped(catalog.failures)),
        ("Length of the catalog's log", Size(catalog.wal_bytes).text()),
    ];
    if let Some(incomplete) = statistics.incomplete_manifests {
        counters.push(("Incomplete manifests", grouped(incomplete)));
    }
    counters
}

fn settings(visit: &Visit<'_>) -> Vec<(&'static str, String)> {
    let (domain, server) = (visit.registry.settings(), &visit.app.config);
    let hours = |time: std::time::Duration| format!("{} h", time.as_secs() / 3_600);
    vec![
        ("Version", server.version.clone()),
        ("Public address", server.public_url.clone().unwrap_or_else(|| "as each client uses it".to_owned())),
        ("Leases hold for", hours(domain.lease_ttl)),
        ("Idle uploads are given up after", hours(domain.uploads_idle)),
        ("Largest manifest", Size(server.manifest_limit as u64).text()),
        ("Connections at a time", grouped(server.limits.connections as u64)),
    ]
}
