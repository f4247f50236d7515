//! What a person sees who opens the registry's address in a browser.

use http::StatusCode;
use http::header::HOST;
use http::request::Parts;

use crate::answer::{self, Response};
use crate::{html, ui};

/// A page that says what this is and how to push.
pub(crate) fn page(head: &Parts) -> Response {
    let host = head.uri.authority().map(|authority| authority.as_str().to_owned());
    let host = host.or_else(|| head.headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned));
    // Whoever asks chooses this text; only what a host can consist of is shown again.
    let plain = |host: &String| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    let host = host.filter(plain).unwrap_or_else(|| "localhost:5000".to_owned());
    let style = ui::style();
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Larder</title>\
         <link rel=\"stylesheet\" href=\"{style}\"></head>\n<body class=\"plain\">\n\
         <h1>Larder</h1>\n<p>A container registry for machine-learning teams. To push an image:</p>\n\
         <pre>docker tag ml-model:1.0 {host}/ml-model:1.0\ndocker push {host}/ml-model:1.0</pre>\n\
         <p>The registry answers at <a href=\"/v2/\">/v2/</a>, its administration at <code>/api/v1</code>, described in \
         <a href=\"/api/openapi.json\">/api/openapi.json</a>.</p>\n<p><a href=\"/account\">Your account</a></p>\n</body>\n</html>\n"
    );
    let mut response = answer::bytes(StatusCode::OK, "text/html; charset=utf-8", text);
    html::protect(&mut response);
    response
}
