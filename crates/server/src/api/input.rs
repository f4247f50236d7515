//! JSON that a client sends. Unknown fields are an error wherever a type says so, and every type here does (reliability A-4).

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, Limited};
use larder_oci::media_type;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::{Call, Result};

/// Bytes of the longest document that is read.
const LONGEST: usize = 64 << 10;

/// Reads the body as `T`. It must say that it is JSON: a form of another site's page cannot.
pub(super) async fn json<T: DeserializeOwned>(call: &Call<'_>, body: Body) -> Result<T> {
    let bytes = read(call, body).await?;
    // A derived reader would take a list for the fields in their order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(Problem::bad_request("the body must be a JSON object"));
    }
    serde_json::from_slice(&bytes).map_err(|error| Problem::bad_request(error.to_string()))
}

/// The body as it is, for a document that the domain reads and keeps. It must say that it is JSON all the same.
pub(super) async fn text(call: &Call<'_>, body: Body) -> Result<String> {
    let bytes = read(call, body).await?;
    String::from_utf8(bytes.into()).map_err(|_| Problem::bad_request("the body must be UTF-8"))
}

async fn read(call: &Call<'_>, body: Body) -> Result<Bytes> {
    let said = call.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !media_type::essence(said).eq_ignore_ascii_case("application/json") {
        let detail = "the body must be JSON, with Content-Type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED", detail));
    }
    let read = Limited::new(body, LONGEST).collect().await;
    let read = read.map_err(|_| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "the body is too long, or broke off")
    })?;
    Ok(read.to_bytes())
}
