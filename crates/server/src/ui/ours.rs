//! What makes a form ours: a token that follows from what this browser alone keeps, the session or, without one, a cookie for forms.

use std::sync::OnceLock;

use http::header::HeaderValue;
use http::{HeaderMap, StatusCode};
use larder_access::PlainToken;

use super::trouble::Trouble;
use super::{Result, Visit};
use crate::cookies;
use crate::form::{Form, Unreadable};
use crate::site::Site;

/// What a browser keeps that its forms' tokens follow from.
pub(super) struct Kept {
    value: OnceLock<String>,
    /// Whether the browser has it already.
    is_old: bool,
}

impl Kept {
    pub fn read(headers: &HeaderMap, site: &Site) -> Self {
        let read = |kept: cookies::Kept| cookies::read(headers, kept.of(site));
        let found = read(cookies::SESSION).or_else(|| read(cookies::FORM));
        Self { is_old: found.is_some(), value: found.map_or_else(OnceLock::new, OnceLock::from) }
    }

    /// What the browser has to keep from now on, where a form was shown to it.
    pub fn fresh(&self, site: &Site) -> Option<HeaderValue> {
        let value = self.value.get().filter(|_| !self.is_old)?;
        Some(cookies::FORM.keep(site, value, None))
    }
}

impl Visit<'_> {
    /// The token that every form of ours carries, in a hidden field `csrf`.
    pub fn csrf(&self) -> String {
        let kept = self.kept.value.get_or_init(|| PlainToken::generate().reveal().to_owned());
        self.app.form_token(kept)
    }

    /// Refuses a form that was not shown to this browser (CVE-2019-19025).
    pub fn must_be_ours(&self, form: &Form) -> Result<()> {
        let kept = self.kept.value.get().filter(|_| self.kept.is_old);
        if kept.is_some_and(|kept| self.app.is_form_token(kept, form.field("csrf"))) {
            return Ok(());
        }
        let text = "Nothing was changed. Somebody signed in or out since the form was shown, or the browser keeps no cookies. Go back, load the page again, and send it once more.";
        Err(Trouble::new(StatusCode::FORBIDDEN, "This form is not valid any more", text))
    }
}

impl From<Unreadable> for Trouble {
    fn from(_: Unreadable) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "What was sent is no form", "It could not be read, or it was too long.")
    }
}
