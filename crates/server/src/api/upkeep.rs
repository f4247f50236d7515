//! Looking after the server: version, usage, scrub, sweep, verify. All but the first are for whoever owns the data folder.
//!
//! A sweep and a verification may take hours, so they answer with JSON lines: `{"progress": …}` now and then, and one `{"report": …}` or
//! `{"problem": …}` at the end.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use larder_registry::{Error, Scrub, Usage, VerifyOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, input, ok};
use crate::answer::Response;

/// Lines that may wait for a slow reader; progress beyond is left out, the end never is.
const LINES: usize = 64;
/// What is refused is refused at once, and then with the status that says so.
const FIRST_LINE: Duration = Duration::from_millis(250);

/// What runs here.
#[derive(Serialize, ToSchema)]
pub(super) struct Version<'a> {
    /// Larder's version.
    version: &'a str,
    /// The versions of this API that it serves.
    api: [&'static str; 1],
}

/// How many, and how many bytes.
#[derive(Serialize, ToSchema)]
pub(super) struct Counted {
    /// How many.
    count: u64,
    /// Bytes.
    bytes: u64,
}

impl From<larder_registry::Counted> for Counted {
    fn from(counted: larder_registry::Counted) -> Self {
        Self { count: counted.count, bytes: counted.bytes }
    }
}

/// What waits for the sweep.
#[derive(Serialize, ToSchema)]
pub(super) struct SweepQueue {
    /// Entries that wait.
    waiting: u64,
    /// Of these, entries that are due.
    due: u64,
}

/// Where the bytes are.
#[derive(Serialize, ToSchema)]
pub(super) struct UsageReport {
    /// Blobs that are served.
    live: Counted,
    /// Of these, blobs that no manifest names.
    unreferenced: Counted,
    /// Of the live ones, blobs that only the trash holds.
    trash: Counted,
    /// Blobs that were replaced or condemned and still have bytes.
    leaving: Counted,
    /// Blobs set aside because they were found wrong.
    quarantined: Counted,
    /// Of the live ones, blobs that were taken over and that nobody has hashed yet.
    unverified: Counted,
    /// Manifests.
    manifests: Counted,
    /// Open upload sessions and their durable bytes.
    uploads: Counted,
    /// What waits for the sweep.
    queue: SweepQueue,
    /// Trees of another registry that were taken over and are still there.
    old_trees: Vec<OldTree>,
    /// Free bytes of the store, where it has such a thing.
    available: Option<u64>,
    /// Its whole size in bytes.
    total: Option<u64>,
}

/// A tree of another registry that was taken over and is still there.
#[derive(Serialize, ToSchema)]
pub(super) struct OldTree {
    /// Where it is.
    path: String,
    /// Files of blobs and manifests.
    files: u64,
    /// Their bytes.
    bytes: u64,
    /// Of these, bytes that nothing else names.
    own_bytes: u64,
    /// Things that were broken in it.
    broken: u64,
    /// Whether the last import came to its end.
    complete: bool,
}

impl From<larder_registry::OldTree> for OldTree {
    fn from(tree: larder_registry::OldTree) -> Self {
        let larder_registry::OldTree { path, files, bytes, own_bytes, broken, complete } = tree;
        Self { path, files, bytes, own_bytes, broken, complete }
    }
}

/// What a verification may do.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct VerifyRequest {
    /// Set aside what is wrong, forget what is gone, remove leftovers.
    repair: bool,
    /// Go on however much is wrong.
    force: bool,
    /// First declare the catalog to be the truth although its store has seen a newer one.
    adopt: bool,
}

/// The reading back of everything in the background, and how it stands.
#[derive(Serialize, ToSchema)]
pub(super) struct ScrubReport {
    /// Whether a pass is under way.
    under_way: bool,
    /// When the pass began.
    #[schema(format = DateTime)]
    began_at: Option<String>,
    /// When it ended.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// When a pass last came to its end.
    #[schema(format = DateTime)]
    last_ended_at: Option<String>,
    /// Objects read in this pass, and their bytes.
    read: Counted,
    /// Bytes that the pass had before it.
    bytes_in_all: u64,
    /// Manifests read in this pass.
    manifests: u64,
    /// Objects and manifests that were missing or wrong, and were set aside.
    wrong: u64,
    /// Objects that could not be read; they stay.
    unreadable: u64,
    /// So much was wrong that the pass has stopped.
    halted: bool,
}

impl From<Scrub> for ScrubReport {
    fn from(scrub: Scrub) -> Self {
        let text = |at: Option<jiff::Timestamp>| at.map(|at| at.to_string());
        Self {
            under_way: scrub.is_under_way(),
            began_at: text(scrub.began_at),
            ended_at: text(scrub.ended_at),
            last_ended_at: text(scrub.last_ended_at),
            read: Counted { count: scrub.blobs, bytes: scrub.bytes },
            bytes_in_all: scrub.bytes_in_all,
            manifests: scrub.manifests,
            wrong: scrub.wrong,
            unreadable: scrub.unreadable,
            halted: scrub.halted,
        }
    }
}

/// What to ask of the scrub.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ScrubRequest {
    /// Go on however much is wrong.
    force: bool,
}

impl From<Usage> for UsageReport {
    fn from(usage: Usage) -> Self {
        Self {
            live: Counted { count: usage.live.count, bytes: usage.live.bytes },
            unreferenced: Counted { count: usage.unreferenced.count, bytes: usage.unreferenced.bytes },
            trash: Counted { count: usage.trash.count, bytes: usage.trash.bytes },
            leaving: Counted { count: usage.leaving.count, bytes: usage.leaving.bytes },
            quarantined: Counted { count: usage.quarantined.count, bytes: usage.quarantined.bytes },
            unverified: Counted { count: usage.unverified.count, bytes: usage.unverified.bytes },
            manifests: Counted { count: usage.manifests.count, bytes: usage.manifests.bytes },
            uploads: Counted { count: usage.uploads.count, bytes: usage.uploads.bytes },
            queue: SweepQueue { waiting: usage.queue.waiting, due: usage.queue.due },
            old_trees: usage.old_trees.into_iter().map(OldTree::from).collect(),
            available: usage.available,
            total: usage.total,
        }
    }
}

/// What runs here.
#[utoipa::path(get, path = "/api/v1/version", tag = "upkeep", responses((status = 200, body = Version)))]
pub(super) fn version(call: &Call<'_>) -> Response {
    ok(&Version { version: call.version, api: ["v1"] })
}

/// Where the bytes are.
#[utoipa::path(
    get,
    path = "/api/v1/usage",
    tag = "upkeep",
    responses((status = 200, body = UsageReport), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn usage(call: Call<'_>) -> Result<Response> {
    let usage = call.registry.usage(&call.actor).await?;
    Ok(ok(&UsageReport::from(usage)))
}

/// How the reading back of everything stands.
#[utoipa::path(
    get,
    path = "/api/v1/scrub",
    tag = "upkeep",
    responses((status = 200, body = ScrubReport), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn scrub(call: Call<'_>) -> Result<Response> {
    let scrub = call.registry.scrub(&call.actor).await?;
    Ok(ok(&ScrubReport::from(scrub)))
}

/// Asks for a pass over everything now; it begins within a minute. With `force` a pass that stopped because too much was wrong goes on.
#[utoipa::path(
    post,
    path = "/api/v1/scrub",
    tag = "upkeep",
    request_body = ScrubRequest,
    responses((status = 200, body = ScrubReport), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn request_scrub(call: Call<'_>, body: Body) -> Result<Response> {
    let ScrubRequest { force } = input::json(&call, body).await?;
    let scrub = call.registry.request_scrub(&call.actor, force).await?;
    Ok(ok(&ScrubReport::from(scrub)))
}

/// Collects garbage now. JSON lines: progress, then a report or a problem.
#[utoipa::path(
    post,
    path = "/api/v1/sweep",
    tag = "upkeep",
    responses(
        (status = 200, description = "Lines of progress, and a report or a problem as the last", content_type = "application/jsonl", body = String),
        (status = "default", response = super::openapi::ProblemAnswer),
    ),
)]
pub(super) async fn sweep(call: Call<'_>) -> Result<Response> {
    let (registry, actor) = (call.registry.clone(), call.actor);
    let lines = Lines::run(call.request_id, move |tell| async move {
        let report = registry.sweep(&actor, &|progress| tell.progress(&progress)).await?;
        Ok(json!(report))
    });
    lines.respond().await
}

/// Reads everything back. JSON lines: progress, then a report or a problem.
#[utoipa::path(
    post,
    path = "/api/v1/verify",
    tag = "upkeep",
    request_body = VerifyRequest,
    responses(
        (status = 200, description = "Lines of progress, and a report or a problem as the last", content_type = "application/jsonl", body = String),
        (status = "default", response = super::openapi::ProblemAnswer),
    ),
)]
pub(super) async fn verify(call: Call<'_>, body: Body) -> Result<Response> {
    let VerifyRequest { repair, force, adopt } = input::json(&call, body).await?;
    let (registry, actor) = (call.registry.clone(), call.actor);
    let lines = Lines::run(call.request_id, move |tell| async move {
        if adopt {
            registry.adopt(&actor).await?;
        }
        let options = VerifyOptions { repair, force };
        let report = registry.verify(&actor, options, &|progress| tell.progress(&progress)).await?;
        let mut said = json!(report);
        said["sound"] = report.is_sound().into();
        Ok(said)
    });
    lines.respond().await
}

/// The lines of a task that runs on even when nobody reads them: half a repair helps nobody.
pub(super) struct Lines {
    lines: mpsc::Receiver<Line>,
}

enum Line {
    Progress(Value),
    Report(Value),
    Problem(Problem, Value),
}

/// Where a task's progress goes.
pub(super) struct Tell(mpsc::Sender<Line>);

impl Tell {
    pub(super) fn progress(&self, progress: &impl Serialize) {
        // A reader that is behind misses some.
        let _ = self.0.try_send(Line::Progress(json!(progress)));
    }
}

impl Lines {
    pub(super) fn run<F, W>(request_id: String, work: F) -> Self
    where
        F: FnOnce(Tell) -> W + Send + 'static,
        W: Future<Output = std::result::Result<Value, Error>> + Send + 'static,
    {
        let (sender, lines) = mpsc::channel(LINES);
        let last = sender.clone();
        tokio::spawn(async move {
            let line = match work(Tell(sender)).await {
                Ok(report) => Line::Report(report),
                Err(error) => {
                    let problem = Problem::from(error);
                    let document = problem.document(&request_id);
                    Line::Problem(problem, document)
                }
            };
            let _ = last.send(line).await;
        });
        Self { lines }
    }

    pub(super) async fn respond(mut self) -> Result<Response> {
        let first = tokio::time::timeout(FIRST_LINE, self.lines.recv()).await.ok().flatten();
        let first = match first {
            Some(Line::Problem(problem, _)) => return Err(problem),
            first => first,
        };
        let body = stream::unfold((first, self.lines), |(first, mut lines)| async move {
            let line = if first.is_some() { first } else { lines.recv().await };
            line.map(|line| (Ok::<_, std::io::Error>(line.into_bytes()), (None, lines)))
        });
        let mut response = Response::new(Body::from_stream(body));
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
        Ok(response)
    }
}

impl Line {
    fn into_bytes(self) -> Bytes {
        let value = match self {
            Self::Progress(progress) => json!({ "progress": progress }),
            Self::Report(report) => json!({ "report": report }),
            Self::Problem(_, document) => json!({ "problem": document }),
        };
        format!("{value}\n").into()
    }
}
