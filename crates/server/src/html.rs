//! HTML answers: escaped, and with the headers that keep a page to itself.

use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};

use crate::answer::{self, Response};

/// Nothing from elsewhere, no script, no frame, no form to elsewhere.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
/// With `no-referrer` browsers would not say which site a form comes from, not even to its own.
const REFERRER: HeaderValue = HeaderValue::from_static("same-origin");

const STYLE: &str = "body { font-family: system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem; line-height: 1.5 }\n\
label { display: block; margin-top: 1rem }\n\
input { font: inherit; padding: .4rem; width: 100%; box-sizing: border-box }\n\
button { font: inherit; margin-top: 1rem; padding: .4rem 1.2rem }\n\
.problem { border-left: .3rem solid #b00020; padding-left: .7rem }\n\
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #e6e6e6 } a { color: #8ab4f8 } }\n";

/// A page. `title` is text, `body` is HTML.
pub(crate) fn page(status: StatusCode, title: &str, body: &str) -> Response {
    document(status, title, "", body)
}

/// A page from which the browser goes on by itself: to a path of this site.
pub(crate) fn onward(title: &str, path: &str) -> Response {
    let path = escaped(path);
    let head = format!("<meta http-equiv=\"refresh\" content=\"0;url={path}\">");
    document(StatusCode::OK, title, &head, &format!("<p><a href=\"{path}\">Go on</a></p>"))
}

fn document(status: StatusCode, title: &str, head: &str, body: &str) -> Response {
    let title = escaped(title);
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title} – Larder</title><link rel=\"stylesheet\" href=\"/style.css\">{head}</head>\n<body>\n<main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    );
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

/// `/style.css`
pub(crate) fn style() -> Response {
    answer::bytes(StatusCode::OK, "text/css; charset=utf-8", STYLE)
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
