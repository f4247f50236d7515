//! Is it alive, and can it work?

use std::time::{Duration, Instant};

use http::StatusCode;
use larder_registry::Readiness;
use serde_json::json;
use tokio::sync::Mutex;

use crate::answer::{self, Response};
use crate::service::App;

/// How long an answer of the registry is used again: the question costs a commit and a file.
const FRESH: Duration = Duration::from_secs(1);
/// A store that does not answer in this time is not ready (reliability §5, blocking store).
const PATIENCE: Duration = Duration::from_secs(5);

/// The last answer to "are you ready".
#[derive(Default)]
pub(crate) struct Cached(Mutex<Option<(Instant, Option<Readiness>)>>);

/// `/healthz`: the process answers.
pub(crate) fn live() -> Response {
    answer::json(StatusCode::OK, "application/json", &json!({ "status": "ok" }))
}

/// What `/readyz` and the operator's page tell.
pub(crate) struct Health {
    /// Whether it can do its work. A server that was told to take no writes is ready without.
    pub ready: bool,
    pub draining: bool,
    pub read_only: bool,
    pub catalog: bool,
    pub store: bool,
    pub space: bool,
    pub taken_over: bool,
}

impl Health {
    /// Whether the catalog and the disk take writes, space is left, and no drain has begun.
    pub async fn of(app: &App) -> Self {
        let draining = app.drain.has_begun();
        let readiness = app.health.ask(app).await;
        let says = |check: fn(&Readiness) -> bool| readiness.as_ref().is_some_and(check);
        let read_only = app.registry.settings().read_only;
        Self {
            ready: !draining && (read_only || says(Readiness::is_ready)),
            draining,
            read_only,
            catalog: says(|readiness| readiness.catalog),
            store: says(|readiness| readiness.store),
            space: says(|readiness| readiness.space),
            taken_over: says(|readiness| readiness.taken_over),
        }
    }
}

/// `/readyz`
pub(crate) async fn ready(app: &App) -> Response {
    let Health { ready, draining, read_only, catalog, store, space, taken_over } = Health::of(app).await;
    let body = json!({
        "status": if ready { "ready" } else { "not ready" },
        "draining": draining,
        "read_only": read_only,
        "catalog": catalog,
        "store": store,
        "space": space,
        "taken_over": taken_over,
    });
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, "application/json", &body)
}

impl Cached {
    /// One question at a time, and one a second at most. `None`: no answer came in time.
    async fn ask(&self, app: &App) -> Option<Readiness> {
        let mut last = self.0.lock().await;
        if let Some((at, answer)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = tokio::time::timeout(PATIENCE, app.registry.readiness()).await.ok();
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}
