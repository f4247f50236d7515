//! Pages for people: rendered here, usable without script, asking nobody else for anything.
//!
//! A page parses its address, calls the domain as the API does, and renders what it got. What may not be seen looks like what is not there
//! (**Invariant 13**).
//!
//! What writes is a form, sent to the page that showed it: [`written`] reads it and refuses what is not ours, a page does what it asks as the API would,
//! and sends the browser on ([`Visit::went`]). What cannot be done is shown over the form, with all that was filled in ([`faults`]).

mod access;
mod account;
mod arrivals;
mod asset;
mod clean_up;
mod commands;
mod compare;
mod connect;
mod faults;
mod format;
mod frame;
mod history;
mod home;
mod image;
mod images;
mod layers;
mod manifest;
mod markdown;
mod new_repository;
mod once;
mod operations;
mod ours;
mod platforms;
mod policy;
mod policy_rules;
mod repository;
mod route;
mod said;
mod secret;
mod sections;
mod settings;
mod trash;
mod trouble;
mod webhooks;

use axum::body::Body;
use http::Method;
use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::request::Parts;
use jiff::Timestamp;
use larder_oci::{Action, RepositoryName};
use larder_registry::{Actor, Registry};

use crate::answer::{self, Response};
use crate::authentication::Visitor;
use crate::challenge::Need;
use crate::cookies;
use crate::form::Form;
use crate::query::Query;
use crate::service::{Answer, App, Asked};
use crate::site::Site;
use ours::Kept;
use route::Route;
use said::Said;
use trouble::Trouble;

pub(crate) use frame::Frame;
pub(crate) use markdown::beginning;
pub(crate) use once::Once;

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
    /// What the tokens of forms follow from.
    kept: Kept,
    /// What the page before has left to say.
    said: Option<Said>,
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

    /// Whether the visitor may do this, by the same decision as everybody.
    async fn may(&self, action: Action, repository: &RepositoryName) -> Result<bool> {
        Ok(self.registry.may(self.actor(), action, repository).await?)
    }

    /// Sends the browser on to a path of this site, which says what was done.
    fn went(&self, path: &str, said: Said) -> Response {
        let mut response = answer::empty(StatusCode::SEE_OTHER);
        let headers = response.headers_mut();
        headers.insert(LOCATION, answer::header_text(path));
        headers.append(SET_COOKIE, said.keep(self.app, self.site()));
        response
    }

    /// Notes a refusal in the audit.
    async fn note_denied(&self, need: &Need) {
        if let Ok(Some(guard)) = self.app.guard().await {
            guard.note(&self.visitor, "pages", need, &self.request_id);
        }
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

/// Where the style of all pages is.
pub(crate) fn style() -> &'static str {
    asset::STYLE.path()
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
    let Asked { head, body, request_id, .. } = asked;
    let reads = matches!(head.method, Method::GET | Method::HEAD);
    let said = if reads { Said::read(app, &head.headers, &visitor.site) } else { None };
    let kept = Kept::read(&head.headers, &visitor.site);
    let (registry, query, now) = (&app.registry, Query::of(&head.uri), Timestamp::now());
    let visit = Visit { app, registry, visitor, query, request_id, now, kept, said };
    let route = Route::parse(head.uri.path());
    let outcome = match head.method {
        Method::GET | Method::HEAD => shown(&visit, route).await,
        Method::POST => written(&visit, route, &head, body).await,
        _ => Err(Trouble::read_only()),
    };
    let mut response = outcome.unwrap_or_else(|trouble| trouble::page(app, Some(&visit), trouble, &visit.request_id));
    visit.leave_cookies(&mut response);
    response
}

impl Visit<'_> {
    /// What the browser keeps from now on, and what it forgets once it was shown.
    fn leave_cookies(&self, response: &mut Response) {
        let is_page = response.headers().get(CONTENT_TYPE).is_some_and(|is| is.as_bytes().starts_with(b"text/html"));
        let shown = self.said.as_ref().filter(|_| is_page).map(|_| cookies::SAID.forget(self.site()));
        for cookie in self.kept.fresh(self.site()).into_iter().chain(shown) {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}

/// Does what a form asks for, once it is known to be ours.
async fn written(visit: &Visit<'_>, route: Option<Route>, head: &Parts, body: Body) -> Result {
    let route = route.ok_or_else(Trouble::nothing)?;
    if !route.takes_forms() {
        return Err(Trouble::read_only());
    }
    let form = Form::read(head, body).await?;
    visit.must_be_ours(&form)?;
    let need = route.need();
    let done = changed(visit, route, &form).await;
    if done.as_ref().is_err_and(Trouble::is_denied) {
        visit.note_denied(&need).await;
    }
    done
}

async fn changed(visit: &Visit<'_>, route: Route, form: &Form) -> Result {
    match route {
        Route::NewRepository => new_repository::make(visit, form).await,
        Route::Operations => operations::act(visit, form).await,
        Route::History(name, tag) => history::roll_back(visit, name, tag, form).await,
        Route::Settings(name) => settings::save(visit, name, form).await,
        Route::Removal(name) => settings::remove(visit, name, form).await,
        Route::Undelete(name) => settings::undelete(visit, name, form).await,
        Route::CleanUp(name) => clean_up::remove(visit, name, form).await,
        Route::Trash(name) => trash::change(visit, name, form).await,
        Route::Policy(name) => policy::change(visit, name, form).await,
        Route::PolicyPreview(name) => policy::apply(visit, name, form).await,
        Route::Webhooks(name) => webhooks::change(visit, name, form).await,
        Route::Access(place) => access::change(visit, place, form).await,
        Route::Account(place) => account::change(visit, place, form).await,
        _ => Err(Trouble::read_only()),
    }
}

async fn shown(visit: &Visit<'_>, route: Option<Route>) -> Result {
    match route.ok_or_else(Trouble::nothing)? {
        Route::Home => home::show(visit).await,
        Route::Connect => connect::show(visit).await,
        Route::Operations => operations::show(visit).await,
        Route::NewRepository => new_repository::show(visit).await,
        Route::Access(place) => access::show(visit, place).await,
        Route::Account(place) => account::show(visit, place).await,
        Route::Repository(name) => repository::show(visit, name).await,
        Route::Tag(name, tag) => manifest::show_tag(visit, name, tag).await,
        Route::Manifest(name, digest) => manifest::show_digest(visit, name, digest).await,
        Route::Raw(name, digest) => manifest::show_raw(visit, name, digest).await,
        Route::History(name, tag) => history::show(visit, name, tag).await,
        Route::Compare(name) => compare::show(visit, name).await,
        Route::Settings(name) => settings::show(visit, name).await,
        Route::Removal(name) => settings::show_removal(visit, name).await,
        Route::Undelete(name) => settings::show_undelete(visit, &name),
        Route::CleanUp(name) => clean_up::show(visit, name).await,
        Route::Trash(name) => trash::show(visit, name).await,
        Route::Policy(name) => policy::show(visit, name).await,
        Route::PolicyPreview(name) => policy::show_preview(visit, name).await,
        Route::Webhooks(name) => webhooks::show(visit, name).await,
    }
}
