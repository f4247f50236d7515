//! Reading answers: bodies with a limit, errors in the specification's form, headers that carry digests and times.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{AsHeaderName, RETRY_AFTER};
use reqwest::Response;
use serde_json::Value;

use larder_oci::digest::Digest;

use crate::error::{Error, Result, chain};

/// How much of an error body is read.
const ERROR_LIMIT: usize = 64 * 1024;
/// How long an error body may take.
const ERROR_PATIENCE: Duration = Duration::from_secs(10);

/// A header's text.
pub(crate) fn header(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// `Docker-Content-Digest`, if it is there and a digest.
pub(crate) fn content_digest(headers: &HeaderMap) -> Option<Digest> {
    header(headers, "docker-content-digest")?.trim().parse().ok()
}

/// `Content-Length` as the header says it (a `HEAD` has no body to measure).
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    header(headers, http::header::CONTENT_LENGTH)?.trim().parse().ok()
}

/// The texts of `Warning: 299 - "…"`.
pub(crate) fn warnings(headers: &HeaderMap) -> Vec<String> {
    let texts = headers.get_all(http::header::WARNING).iter().filter_map(|value| value.to_str().ok());
    texts.filter_map(|text| text.strip_prefix("299 - ")).map(|text| printable(text.trim().trim_matches('"'))).collect()
}

/// The whole body, which may not be longer than `limit`; `idle` bounds each wait.
pub(crate) async fn body(mut response: Response, limit: usize, subject: &str, idle: Duration) -> Result<Bytes> {
    let mut all = BytesMut::new();
    loop {
        let at = all.len() as u64;
        let cut = |cause: String| Error::Cut { subject: subject.to_owned(), at, cause };
        let chunk = tokio::time::timeout(idle, response.chunk())
            .await
            .map_err(|_| cut(format!("no byte for {} s", idle.as_secs())))?
            .map_err(|error| cut(chain(&error.without_url())))?;
        let Some(chunk) = chunk else { return Ok(all.freeze()) };
        if all.len() + chunk.len() > limit {
            let actual = (all.len() + chunk.len()) as u64;
            return Err(Error::LengthMismatch { subject: subject.to_owned(), expected: limit as u64, actual });
        }
        all.extend_from_slice(&chunk);
    }
}

/// An answer that is no success, as an error. What the body says is kept short and printable: it may reach a terminal.
pub(crate) async fn into_error(response: Response, subject: &str) -> Error {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let body = body(response, ERROR_LIMIT, subject, ERROR_PATIENCE).await.unwrap_or_default();
    let (code, message) = error_text(&body);
    Error::Answer { subject: subject.to_owned(), status, code, message, retry_after }
}

/// `Retry-After` in seconds. A date is not waited for exactly: it means "later".
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = header(headers, RETRY_AFTER)?.trim();
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => text.ends_with("GMT").then_some(Duration::from_secs(5)),
    }
}

fn error_text(body: &[u8]) -> (String, String) {
    let Ok(document) = serde_json::from_slice::<Value>(body) else { return Default::default() };
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(printable).unwrap_or_default();
    let Some(first) = document.get("errors").and_then(|errors| errors.get(0)) else {
        let message = text(&document, "detail");
        return (String::new(), if message.is_empty() { text(&document, "details") } else { message });
    };
    let (message, detail) = (text(first, "message"), text(first, "detail"));
    let joined = match (message.is_empty(), detail.is_empty() || detail == message) {
        (_, true) => message,
        (true, false) => detail,
        (false, false) => format!("{message}: {detail}"),
    };
    (text(first, "code"), joined)
}

/// Text of the other side without control characters, and not more of it than a person reads.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_in_both_forms_and_stay_printable() {
        let (code, message) = error_text(br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m","detail":"why"}]}"#);
        assert_eq!((code.as_str(), message.as_str()), ("DENIED", "no [31m: why"));
        assert_eq!(error_text(br#"{"errors":[{"code":"DENIED","message":"no","detail":[{"x":1}]}]}"#).1, "no");
        assert_eq!(error_text(br#"{"title":"x","detail":"gone"}"#).1, "gone");
        assert_eq!(error_text(b"<html>"), (String::new(), String::new()));
    }

    #[test]
    fn waits_are_read_from_both_forms() {
        let headers = |text: &'static str| HeaderMap::from_iter([(RETRY_AFTER, http::HeaderValue::from_static(text))]);
        assert_eq!(retry_after(&headers("12")), Some(Duration::from_secs(12)));
        assert_eq!(retry_after(&headers("Wed, 21 Oct 2015 07:28:00 GMT")), Some(Duration::from_secs(5)));
        assert_eq!(retry_after(&headers("soon")), None);
    }
}
