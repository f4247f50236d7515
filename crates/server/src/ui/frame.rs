//! What every page has: head and foot, who looks at it, and the headers that keep it to itself.

use askama::Template;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, VARY, X_FRAME_OPTIONS,
};
use larder_access::CallerKind;

use super::asset::{ICON, SCRIPT, STYLE};
use super::said::Said;
use super::{Result, Visit};
use crate::answer::{self, Response};
use crate::service::App;

/// Everything from here, nothing inline, nowhere else, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What stands around a page's own part.
pub(crate) struct Frame {
    /// What the page shows.
    pub title: String,
    /// Who looks at it, where he is known.
    pub who: Option<String>,
    /// Whether there are accounts, and nobody has signed in.
    pub stranger: bool,
    /// Whether he looks after the server.
    pub operator: bool,
    /// Whether he administers accounts.
    pub administrator: bool,
    /// What he searched for.
    pub search: String,
    /// What was just done.
    pub said: Option<Said>,
    /// Larder's version.
    pub version: String,
    /// Where the style is.
    pub style: &'static str,
    /// Where the script is.
    pub script: Option<&'static str>,
    /// Where the icon is.
    pub icon: &'static str,
}

impl Frame {
    /// For somebody who was let in.
    pub(super) fn of(visit: &Visit<'_>, title: String) -> Self {
        let who = visit.visitor.caller.as_ref().filter(|caller| caller.kind != CallerKind::Anonymous);
        Self {
            who: who.map(|caller| person(&caller.identity).to_owned()),
            stranger: visit.visitor.is_stranger(),
            operator: visit.actor().may_operate(),
            administrator: visit.accounts().is_ok_and(|(_, by)| by.is_administrator()),
            search: visit.asked("q").unwrap_or_default().to_owned(),
            said: visit.said.clone(),
            ..Self::for_nobody(visit.app, title)
        }
    }

    /// For somebody who was not.
    pub(super) fn for_nobody(app: &App, title: String) -> Self {
        let version = app.config.version.clone();
        Self { title, version, script: Some(SCRIPT.path()), ..Self::for_anybody("") }
    }

    /// For whoever comes, without script.
    pub(crate) fn for_anybody(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            who: None,
            stranger: false,
            operator: false,
            administrator: false,
            search: String::new(),
            said: None,
            version: String::new(),
            style: STYLE.path(),
            script: None,
            icon: ICON.path(),
        }
    }
}

/// An identity as people call it: `user:alice` is alice.
pub(super) fn person(identity: &str) -> &str {
    identity.strip_prefix("user:").unwrap_or(identity)
}

/// A page that was found.
pub(super) fn page(template: &impl Template) -> Result {
    Ok(page_of(StatusCode::OK, template)?)
}

/// A form: with what was filled in and what is wrong with it.
pub(super) fn form(status: StatusCode, template: &impl Template) -> Result {
    Ok(page_of(status, template)?)
}

/// The same for a page that is about somebody: no browser and no proxy keeps it.
pub(super) fn unkept(mut page: Response) -> Response {
    page.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    page
}

/// A rendered page with its headers.
pub(super) fn page_of(status: StatusCode, template: &impl Template) -> askama::Result<Response> {
    let mut response = answer::bytes(status, "text/html; charset=utf-8", template.render()?);
    guard(response.headers_mut());
    Ok(response)
}

/// Headers of everything that a browser shows.
pub(super) fn guard(headers: &mut HeaderMap) {
    let lines: [(HeaderName, &'static str); 8] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "private, no-cache"),
        (VARY, "accept, authorization, cookie"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in lines {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
