//! Forms: how they are read, and the token that shows that they are ours.

use axum::body::Body;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use larder_access::PlainToken;
use larder_oci::media_type;

use super::{Result, Trouble, Visit};
use crate::cookies;
use crate::html::escaped;
use crate::query::Query;

/// Bytes of the longest form.
const LONGEST: usize = 64 << 10;

/// What was filled in.
pub(super) struct Form(Query);

impl Form {
    /// A field; empty where it is absent.
    pub fn field(&self, name: &str) -> &str {
        self.0.first(name).unwrap_or_default()
    }
}

/// Reads a form.
pub(super) async fn read(head: &Parts, body: Body) -> Result<Form> {
    let unreadable = || Trouble::new(StatusCode::BAD_REQUEST, "The form could not be read.");
    let said = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !media_type::essence(said).eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(unreadable());
    }
    let bytes = Limited::new(body, LONGEST).collect().await.map_err(|_| unreadable())?.to_bytes();
    let text = std::str::from_utf8(&bytes).map_err(|_| unreadable())?;
    Ok(Form(Query::of_form(text)))
}

impl Visit<'_> {
    /// The hidden field of a form that is shown to whoever comes, and the cookie that it follows from.
    pub fn token_for_anybody(&self) -> (String, HeaderValue) {
        let kept = cookies::read(&self.head.headers, cookies::FORM.of(&self.site));
        let kept = kept.unwrap_or_else(|| PlainToken::generate().reveal().to_owned());
        (hidden("csrf", &self.access.form_token(&kept)), cookies::FORM.keep(&self.site, &kept, None))
    }

    /// Refuses a form that was not shown to this browser (CVE-2019-19025).
    pub fn must_be_ours(&self, form: &Form, kept: Option<String>) -> Result<()> {
        let fits = kept.is_some_and(|kept| self.access.is_form_token(&kept, form.field("csrf")));
        let refused = || Trouble::new(StatusCode::FORBIDDEN, "The form is not valid any more. Load it again.");
        if fits { Ok(()) } else { Err(refused()) }
    }

    /// What the token of a form without a session follows from.
    pub fn kept_for_forms(&self) -> Option<String> {
        cookies::read(&self.head.headers, cookies::FORM.of(&self.site))
    }
}

/// A field that nobody fills in.
pub(super) fn hidden(name: &str, value: &str) -> String {
    format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value))
}

/// What went wrong before, over a form.
pub(super) fn problem(trouble: Option<&Trouble>) -> String {
    trouble.map_or_else(String::new, |trouble| format!("<p class=\"problem\">{}</p>\n", escaped(&trouble.message)))
}
