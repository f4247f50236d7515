//! Pages for people: rendered here, usable without script, asking nobody else for anything.
//!
//! A page parses its address, calls the domain as the API does, and renders what it got. What may not be seen looks like what is not there
//! (**Invariant 13**). Nothing here writes.

mod arrivals;
mod asset;
mod commands;
mod compare;
mod connect;
mod format;
mod frame;
mod history;
mod home;
mod image;
mod images;
mod layers;
mod manifest;
mod markdown;
mod operations;
mod platforms;
mod repository;
mod route;
mod secret;
mod trouble;

use http::header::{ACCEPT, ALLOW, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use jiff::Timestamp;
use larder_registry::{Actor, Registry};

use crate::answer::Response;
use crate::authentication::Visitor;
use crate::query::Query;
use crate::service::{Answer, App, Asked};
use crate::site::Site;
use frame::Frame;
pub(crate) use markdown::beginning;
use route::Route;
use trouble::Trouble;

/// A page, or why there is none.
type Result<T = Response> = std::result::Result<T, Trouble>;

/// Somebody at an address of ours.
struct Visit<'a> {
    app: &'a App,
    registry: &'a Registry,
    visitor: Visitor,
    query: Query,
    request_id: String,
    now: Timestamp,
}

impl Visit<'_> {
    fn actor(&self) -> &Actor {
        &self.visitor.actor
    }

    fn site(&self) -> &Site {
        &self.visitor.site
    }

    /// The host as people type it before a repository's name. Whoever asks chooses this text: only what a host can consist of is shown.
    fn host(&self) -> String {
        let name = self.site().name();
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
        if is_plain { name.to_owned() } else { "HOST".to_owned() }
    }

    fn frame(&self, title: impl Into<String>) -> Frame {
        Frame::of(self, title.into())
    }

    /// A value of the query that says something.
    fn asked(&self, key: &str) -> Option<&str> {
        self.query.first(key).map(str::trim).filter(|value| !value.is_empty())
    }
}

/// Whether a page answers: its address is one of ours, or a browser came to where nothing is.
pub(crate) fn is_for_people(head: &Parts) -> bool {
    let path = head.uri.path();
    let ours = Route::is_ours(path);
    let elsewhere = ["/healthz", "/readyz", "/metrics"].contains(&path);
    ours || (!elsewhere && matches!(head.method, Method::GET | Method::HEAD) && wants_a_page(head))
}

/// A browser says that it wants HTML; other clients take anything, or say nothing.
fn wants_a_page(head: &Parts) -> bool {
    let lines = head.headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|range| {
        let essence = range.split(';').next().unwrap_or("").trim();
        essence.eq_ignore_ascii_case("text/html") || essence.eq_ignore_ascii_case("application/xhtml+xml")
    })
}

/// Answers a request for a page.
pub(crate) async fn answer(app: &App, asked: Asked) -> Answer {
    if let Some(name) = Route::asset(asked.head.uri.path()) {
        let response = asset::answer(&asked.head, name);
        let response = response.unwrap_or_else(|| trouble::page(app, None, Trouble::nothing(), &asked.request_id));
        return Answer { response, route: "assets" };
    }
    let response = match app.visit(asked.knock()).await {
        Ok(visitor) => Box::pin(visited(app, asked, visitor)).await,
        Err(unadmitted) => trouble::page(app, None, unadmitted.into(), &asked.request_id),
    };
    Answer { response, route: "pages" }
}

async fn visited(app: &App, asked: Asked, visitor: Visitor) -> Response {
    let visit = Visit {
        app,
        registry: &app.registry,
        visitor,
        query: Query::of(&asked.head.uri),
        request_id: asked.request_id,
        now: Timestamp::now(),
    };
    let outcome = match asked.head.method {
        Method::GET | Method::HEAD => shown(&visit, Route::parse(asked.head.uri.path())).await,
        _ => Err(Trouble::new(StatusCode::METHOD_NOT_ALLOWED, "Pages can only be read", "Nothing is changed here.")
            .with(ALLOW, HeaderValue::from_static("GET, HEAD"))),
    };
    outcome.unwrap_or_else(|trouble| trouble::page(app, Some(&visit), trouble, &visit.request_id))
}

async fn shown(visit: &Visit<'_>, route: Option<Route>) -> Result {
    match route.ok_or_else(Trouble::nothing)? {
        Route::Home => home::show(visit).await,
        Route::Connect => connect::show(visit).await,
        Route::Operations => operations::show(visit).await,
        Route::Repository(name) => repository::show(visit, name).await,
        Route::Tag(name, tag) => manifest::show_tag(visit, name, tag).await,
        Route::Manifest(name, digest) => manifest::show_digest(visit, name, digest).await,
        Route::Raw(name, digest) => manifest::show_raw(visit, name, digest).await,
        Route::History(name, tag) => history::show(visit, name, tag).await,
        Route::Compare(name) => compare::show(visit, name).await,
    }
}
