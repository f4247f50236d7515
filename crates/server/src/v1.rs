//! `/v1/search` and `/v1/_ping`: what `docker search HOST/TERM` and `podman search HOST/TERM` ask for. Nothing else of that old protocol is here.

use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use larder_registry::{Error, PageRequest, RepositoryOutline, RepositorySearch};
use serde::Serialize;

use crate::answer::{self, Response};
use crate::api::problem::{self, Problem};
use crate::challenge::Need;
use crate::query::Query;
use crate::service::{Answer, App, Asked, Knock};
use crate::ui;

/// Docker says with it that it may sign in, and shows no credential in the clear.
const X_DOCKER_TOKEN: HeaderName = HeaderName::from_static("x-docker-token");
/// Docker asks whether it may send its credential with every request.
const STANDALONE: HeaderName = HeaderName::from_static("x-docker-registry-standalone");
/// Results that are given without `n`, and at most.
const USUAL: usize = 25;
const MOST: usize = 100;

/// Whether a path is one of these.
pub(crate) fn is_at(path: &str) -> bool {
    matches!(path, "/v1/search" | "/v1/_ping")
}

/// What a search answers.
#[derive(Serialize)]
struct Results {
    query: String,
    num_results: usize,
    num_pages: usize,
    page: usize,
    page_size: usize,
    results: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    description: String,
    star_count: u64,
    is_official: bool,
    is_automated: bool,
}

/// Answers a request for one of these.
pub(crate) async fn answer(app: &App, asked: Asked) -> Answer {
    let request_id = asked.request_id.clone();
    let reads = matches!(asked.head.method, Method::GET | Method::HEAD);
    let response = match asked.head.uri.path() {
        _ if !reads => problem::method_not_allowed("GET, HEAD", &request_id),
        "/v1/_ping" => ping(),
        _ => search(app, asked.knock()).await.unwrap_or_else(|problem| problem.into_response(&request_id)),
    };
    Answer { response, route: "v1" }
}

fn ping() -> Response {
    let mut response = answer::json(StatusCode::OK, "application/json", &true);
    response.headers_mut().insert(STANDALONE, HeaderValue::from_static("true"));
    response
}

/// Whoever shows nothing is asked to, but for docker without TLS, which has no way to: it sees what everybody sees. Podman goes on to `/v2/_catalog` then,
/// with its credential.
async fn search(app: &App, asked: Knock<'_>) -> Result<Response, Problem> {
    let visitor = if asked.head.headers.contains_key(X_DOCKER_TOKEN) {
        app.visit(asked).await?
    } else {
        app.admit(asked, &Need::Catalog).await?
    };
    if visitor.is_expired() {
        return Err(Problem::unauthorized("the token has expired"));
    }
    let query = Query::of(&asked.head.uri);
    let term = query.first("q").unwrap_or_default().trim().to_owned();
    let limit = query.first("n").and_then(|n| n.parse().ok()).unwrap_or(USUAL).clamp(1, MOST);
    let words = term.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let search = RepositorySearch { words, public: None };
    let found = match app.registry.search(&visitor.actor, search, &PageRequest { limit, after: None }).await {
        Err(Error::Denied) => Vec::new(),
        found => found?.items,
    };
    let results: Vec<Entry> = found.into_iter().map(entry).collect();
    let (num_results, num_pages) = (results.len(), 1);
    let body = Results { query: term, num_results, num_pages, page: 1, page_size: limit, results };
    Ok(answer::json(StatusCode::OK, "application/json", &body))
}

fn entry(outline: RepositoryOutline) -> Entry {
    Entry {
        name: outline.name.to_string(),
        description: ui::beginning(&outline.description),
        star_count: 0,
        is_official: false,
        is_automated: false,
    }
}
