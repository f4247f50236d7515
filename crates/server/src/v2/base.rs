//! `/v2/`: is this a registry, and may I?

use http::StatusCode;
use serde_json::json;

use crate::answer::{self, Response};

/// An empty object, as clients know it.
pub(super) fn show() -> Response {
    answer::json(StatusCode::OK, "application/json", &json!({}))
}
