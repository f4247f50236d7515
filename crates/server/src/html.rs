//! HTML answers: escaped, and with the headers that keep a page to itself.

use askama::Template;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};

use crate::answer::{self, Response};
use crate::ui::Frame;

/// Nothing from elsewhere, no script, no frame, no form to elsewhere.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
/// With `no-referrer` browsers would not say which site a form comes from, not even to its own.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

/// A page in the frame of all, without script.
#[derive(Template)]
#[template(path = "plain.html")]
struct Plain<'a> {
    frame: Frame,
    /// Where the browser goes on by itself.
    onward: Option<&'a str>,
    /// HTML.
    body: &'a str,
}

/// A page. `title` is text, `body` is HTML.
pub(crate) fn page(status: StatusCode, title: &str, body: &str) -> Response {
    document(status, title, None, body)
}

/// A page from which the browser goes on by itself: to a path of this site.
pub(crate) fn onward(title: &str, path: &str) -> Response {
    let link = format!("<p><a href=\"{}\">Go on</a></p>", escaped(path));
    document(StatusCode::OK, title, Some(path), &link)
}

fn document(status: StatusCode, title: &str, onward: Option<&str>, body: &str) -> Response {
    let page = Plain { frame: Frame::for_anybody(title), onward, body };
    let text = page.render().unwrap_or_else(|_| body.to_owned());
    let mut response = answer::bytes(status, "text/html; charset=utf-8", text);
    protect(&mut response);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The headers that every HTML answer has.
pub(crate) fn protect(response: &mut Response) {
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, REFERRER),
        (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
        (
            HeaderName::from_static("permissions-policy"),
            HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
        ),
    ];
    headers.extend(fixed);
}

/// Text as HTML, between tags and in quoted attributes.
pub(crate) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}
