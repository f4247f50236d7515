//! Errors of the administration API: RFC 9457 problem documents.

use http::StatusCode;
use http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER};
use larder_oci::ErrorCode;
use larder_registry::Error;
use serde_json::{Value, json};

use crate::answer::{self, Response};
use crate::open_state::Refused;

/// Why a request was not granted. **Invariant 13**: only what is put here reaches a client.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    facts: Value,
    header: Option<Box<(HeaderName, HeaderValue)>>,
    /// The reason for the log, when it is ours.
    cause: Option<String>,
}

impl Problem {
    /// A problem with a status, a code for programs and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), facts: Value::Null, header: None, cause: None }
    }

    /// The request is not what the route takes.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    /// Nothing is at this path.
    pub fn nothing_here() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path")
    }

    /// The document. What is the server's fault is logged here, once.
    pub fn document(&self, request_id: &str) -> Value {
        if let Some(cause) = &self.cause {
            tracing::error!(request_id, code = self.code, cause, "a request failed");
        }
        let mut document = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        });
        if !self.facts.is_null() {
            document["facts"] = self.facts.clone();
        }
        document
    }

    /// The answer.
    pub fn into_response(self, request_id: &str) -> Response {
        let document = self.document(request_id);
        let mut response = answer::json(self.status, "application/problem+json", &document);
        if let Some(header) = self.header {
            response.headers_mut().insert(header.0, header.1);
        }
        response
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = error.code();
        let status = match &error {
            Error::PreconditionFailed { .. } => StatusCode::PRECONDITION_FAILED,
            Error::RepositoryExists(_) | Error::InUse { .. } => StatusCode::CONFLICT,
            _ => StatusCode::from_u16(code.status()).expect("a test pins the table of codes"),
        };
        let header = match &error {
            Error::StorageFull | Error::CatalogBehind | Error::TooMuchWrong { .. } => {
                Some((RETRY_AFTER, HeaderValue::from_static("60")))
            }
            Error::ReadOnly => Some((ALLOW, HeaderValue::from_static("GET, HEAD"))),
            _ => None,
        };
        let code = if matches!(error, Error::RepositoryExists(_)) { "NAME_IN_USE" } else { code.as_str() };
        let cause = (status == StatusCode::INTERNAL_SERVER_ERROR).then(|| crate::v2::refusal::chain(&error));
        Self {
            status,
            code,
            detail: error.public_message(),
            facts: error.detail(),
            header: header.map(Box::new),
            cause,
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = if refused == Refused::AmbiguousHost { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
        Self::new(status, ErrorCode::Denied.as_str(), refused.message())
    }
}

/// There is nothing at the path.
pub(crate) fn not_found(request_id: &str) -> Response {
    Problem::nothing_here().into_response(request_id)
}

/// The resource does not have the method.
pub(crate) fn method_not_allowed(methods: &'static str, request_id: &str) -> Response {
    let detail = "the resource does not have this method";
    let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported.as_str(), detail);
    problem.header = Some(Box::new((ALLOW, HeaderValue::from_static(methods))));
    problem.into_response(request_id)
}

/// A handler panicked.
pub(crate) fn internal(request_id: &str) -> Response {
    let code = ErrorCode::Unknown;
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, code.as_str(), code.message()).into_response(request_id)
}
