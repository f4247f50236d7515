//! Forms as browsers send them.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use larder_oci::media_type;

use crate::query::Query;

/// Bytes of the longest form: a policy of 64 KiB, encoded.
const LONGEST: usize = 256 << 10;

/// What was filled in.
#[derive(Debug, Default)]
pub(crate) struct Form(Query);

/// What was sent is no form, or too long, or broke off.
#[derive(Debug)]
pub(crate) struct Unreadable;

impl Form {
    /// Reads a request's body.
    pub async fn read(head: &Parts, body: Body) -> Result<Self, Unreadable> {
        let said = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        if !media_type::essence(said).eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Unreadable);
        }
        let bytes = Limited::new(body, LONGEST).collect().await.map_err(|_| Unreadable)?.to_bytes();
        let text = std::str::from_utf8(&bytes).map_err(|_| Unreadable)?;
        Ok(Self(Query::of_form(text)))
    }

    /// A field; empty where it is absent.
    pub fn field(&self, name: &str) -> &str {
        self.0.first(name).unwrap_or_default()
    }

    /// A field without space around it.
    pub fn word(&self, name: &str) -> &str {
        self.field(name).trim()
    }

    /// A field of several lines: browsers send `\r\n` between them.
    pub fn lines(&self, name: &str) -> String {
        self.field(name).replace("\r\n", "\n")
    }

    /// Every value of a field that may be there more than once.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.all(name)
    }

    /// Whether a box is checked, or a button was the one.
    pub fn has(&self, name: &str) -> bool {
        self.0.first(name).is_some()
    }
}
