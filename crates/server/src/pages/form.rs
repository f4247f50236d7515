//! The token of a form that shows that it is ours, and what stands in and over it.

use http::StatusCode;
use http::header::HeaderValue;
use larder_access::PlainToken;

use super::{Result, Trouble, Visit};
use crate::cookies;
use crate::form::{Form, Unreadable};
use crate::html::escaped;

impl From<Unreadable> for Trouble {
    fn from(_: Unreadable) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "The form could not be read.")
    }
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
