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
use http_body::Body as _;
use larder_oci::{ErrorCode, RepositoryName};
use larder_registry::{Action, Actor, Registry};
use serde_json::json;

use crate::answer::Response;
use crate::authentication::Visitor;
use crate::challenge::{DENIED, Flaw, Need};
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
    app: &'a App,
    registry: &'a Registry,
    actor: Actor,
    visitor: &'a Visitor,
    head: Parts,
    query: Query,
    manifest_limit: usize,
}

impl Call<'_> {
    fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Whether a token for both repositories would let this caller mount where his own does not: then he is told to get one, and else nothing
    /// (behaviour §4). A mount is never refused.
    async fn wants_another_token(&self, to: &RepositoryName, from: &RepositoryName) -> Result<Option<Refusal>> {
        let need = Need::Mount(to.clone(), from.clone());
        let helps = !self.visitor.covers(&need)
            && self.registry.may(&self.visitor.live, Action::Push, to).await?
            && self.registry.may(&self.visitor.live, Action::Pull, from).await?;
        match self.app.guard().await? {
            Some(guard) if helps => {
                Ok(Some(guard.challenge(&self.visitor.site, &need, Some(Flaw::InsufficientScope)).into()))
            }
            _ => Ok(None),
        }
    }
}

/// Answers a request whose path begins with `/v2`.
pub(crate) async fn answer(app: &App, asked: Asked) -> Answer {
    let request_id = asked.request_id.clone();
    let (route, outcome) = match Route::parse(asked.head.uri.path()) {
        Ok(route) => (route.class(), admitted(app, asked, route).await),
        Err(refusal) => {
            ("unknown", app.admit(asked.knock(), &Need::Nothing).await.map_err(Refusal::from).and(Err(refusal)))
        }
    };
    let outcome = outcome.map_err(|refusal| if app.drain.is_cutting() { refusal.by_drain() } else { refusal });
    let mut response = outcome.unwrap_or_else(|refusal| refusal.into_response(&request_id));
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    Answer { response, route }
}

/// Who asks is decided before anything about the request's subject, and before its body is touched (`Expect: 100-continue`).
async fn admitted(app: &App, asked: Asked, route: Route) -> Result<Response> {
    let need = route.need(&asked.head.method);
    let visitor = app.admit(asked.knock(), &need).await?;
    let request_id = asked.request_id.clone();
    let continues = visitor.is_expired();
    if continues && !matches!(route, Route::Upload(..)) {
        return Err(app.expired(&visitor, &need).await);
    }
    if !continues && !visitor.covers(&need) {
        return Err(app.denied(&visitor, &need, &request_id, DENIED).await);
    }
    if need.action() == Some(Action::Delete) && app.guard().await?.is_some_and(|guard| guard.forbids_deletes()) {
        return Err(Refusal::method_not_allowed("GET, HEAD, PUT").message("deletes are switched off"));
    }
    let sends_bytes = matches!(route, Route::Uploads(_) | Route::Upload(..)) && !asked.body.is_end_stream();
    let _places = if sends_bytes { app.limiter.upload(&visitor)? } else { [None, None] };
    let toll = app.limiter.toll(&visitor);
    let call = Call {
        app,
        registry: &app.registry,
        // An upload that began with a token goes on without it: what counts is who opened it, and that he still may (behaviour §4).
        actor: if continues { visitor.live.clone() } else { visitor.actor.clone() },
        visitor: &visitor,
        query: Query::of(&asked.head.uri),
        head: asked.head,
        manifest_limit: app.config.manifest_limit,
    };
    match dispatch(call, toll.on(asked.body), route).await {
        Err(refusal) if refusal.is_denied() && continues => Err(Refusal::new(ErrorCode::BlobUploadUnknown)),
        Err(refusal) if refusal.is_denied() => {
            Err(app.denied(&visitor, &need, &request_id, refusal.said().unwrap_or(DENIED)).await)
        }
        Err(refusal) => Err(refusal.at(&visitor.site)),
        Ok(response) => Ok(response.map(|body| toll.on(body))),
    }
}

impl App {
    /// What somebody is told who may not: whoever showed no account, or a token of too little scope, to get a better one; anybody else, in the words that
    /// docker prints, that he may not (case 10). What exists makes no difference (CVE-2019-19030).
    async fn denied(&self, visitor: &Visitor, need: &Need, request_id: &str, words: &str) -> Refusal {
        let guard = match self.guard().await {
            Ok(Some(guard)) if visitor.caller.is_some() => guard,
            Ok(_) => return Refusal::denied(),
            Err(unadmitted) => return unadmitted.into(),
        };
        if !visitor.is_stranger() && !visitor.covers(need) && self.would_be_covered(visitor, need).await {
            return guard.challenge(&visitor.site, need, Some(Flaw::InsufficientScope)).into();
        }
        guard.note(visitor, need.action().map_or("list", Action::as_str), need, request_id);
        if visitor.is_stranger() {
            return guard.challenge(&visitor.site, need, Some(Flaw::InsufficientScope)).into();
        }
        let detail = json!({
            "name": need.repository().map(RepositoryName::as_str),
            "action": need.action().map(Action::as_str),
        });
        Refusal::new(ErrorCode::Denied).message(words).detail(detail)
    }

    /// Whether his credential would do without the scope of the token that he changed it for.
    async fn would_be_covered(&self, visitor: &Visitor, need: &Need) -> bool {
        match need {
            Need::Nothing | Need::Catalog => true,
            Need::Repository(name, action) => self.registry.may(&visitor.live, *action, name).await.unwrap_or(false),
            Need::Mount(..) => false,
        }
    }

    async fn expired(&self, visitor: &Visitor, need: &Need) -> Refusal {
        match self.guard().await {
            Ok(Some(guard)) => guard.challenge(&visitor.site, need, Some(Flaw::InvalidToken)).into(),
            Ok(None) => Refusal::denied(),
            Err(unadmitted) => unadmitted.into(),
        }
    }
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
