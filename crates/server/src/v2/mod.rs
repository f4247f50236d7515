//! The distribution protocol under `/v2/`. One file per resource; a handler parses, calls one method of the registry and renders.

pub(crate) mod refusal;

mod base;
mod blobs;
mod catalog;
mod extensions;
mod manifests;
mod multipart;
mod paging;
mod referrers;
mod route;
mod tags;
mod uploads;

use axum::body::Body;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method};
use larder_registry::{Actor, Registry};

use crate::answer::Response;
use crate::query::Query;
use crate::service::{Answer, App, Asked};
use refusal::Refusal;
use route::Route;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A handler's result.
type Result<T> = std::result::Result<T, Refusal>;

/// A request that was let in and has a route.
struct Call<'a> {
    registry: &'a Registry,
    actor: Actor,
    head: Parts,
    query: Query,
    manifest_limit: usize,
}

impl Call<'_> {
    fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }
}

/// Answers a request whose path begins with `/v2`.
pub(crate) async fn answer(app: &App, asked: Asked) -> Answer {
    let request_id = asked.request_id.clone();
    let (route, outcome) = match Route::parse(asked.head.uri.path()) {
        Ok(route) => (route.class(), admitted(app, asked, route).await),
        Err(refusal) => ("unknown", app.admit(&asked).map_err(Refusal::from).and(Err(refusal))),
    };
    let outcome = outcome.map_err(|refusal| if app.drain.is_cutting() { refusal.by_drain() } else { refusal });
    let mut response = outcome.unwrap_or_else(|refusal| refusal.into_response(&request_id));
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    Answer { response, route }
}

/// Who asks is decided before anything about the request's subject, and before its body is touched (`Expect: 100-continue`).
async fn admitted(app: &App, asked: Asked, route: Route) -> Result<Response> {
    let actor = app.admit(&asked)?;
    let query = Query::of(&asked.head.uri);
    let manifest_limit = app.config.manifest_limit;
    let call = Call { registry: &app.registry, actor, head: asked.head, query, manifest_limit };
    dispatch(call, asked.body, route).await
}

async fn dispatch(call: Call<'_>, body: Body, route: Route) -> Result<Response> {
    let method = call.head.method.clone();
    match (route, method) {
        (Route::Base, Method::GET | Method::HEAD) => Ok(base::show()),
        (Route::Catalog, Method::GET | Method::HEAD) => catalog::list(call).await,
        (Route::Extensions, Method::GET | Method::HEAD) => Ok(extensions::registry()),
        (Route::RepositoryExtensions, Method::GET | Method::HEAD) => Ok(extensions::repository()),
        (Route::Tags(name), Method::GET | Method::HEAD) => tags::list(call, name).await,
        (Route::Referrers(name, digest), Method::GET | Method::HEAD) => referrers::list(call, name, digest).await,
        (Route::Blob(name, digest), Method::GET) => blobs::show(call, name, digest).await,
        (Route::Blob(name, digest), Method::HEAD) => blobs::head(call, name, digest).await,
        (Route::Blob(name, digest), Method::DELETE) => blobs::remove(call, name, digest).await,
        (Route::Manifest(name, reference), Method::GET) => manifests::show(call, name, reference).await,
        (Route::Manifest(name, reference), Method::HEAD) => manifests::head(call, name, reference).await,
        (Route::Manifest(name, reference), Method::PUT) => manifests::push(call, body, name, reference).await,
        (Route::Manifest(name, reference), Method::DELETE) => manifests::remove(call, name, reference).await,
        (Route::Uploads(name), Method::POST) => uploads::start(call, body, name).await,
        (Route::Upload(name, id), Method::GET) => uploads::status(call, name, id).await,
        (Route::Upload(name, id), Method::PATCH) => uploads::append(call, body, name, id).await,
        (Route::Upload(name, id), Method::PUT) => uploads::finish(call, body, name, id).await,
        (Route::Upload(name, id), Method::DELETE) => uploads::cancel(call, name, id).await,
        (route, _) => Err(Refusal::method_not_allowed(route.methods())),
    }
}
