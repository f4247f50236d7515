//! A request that is not granted, and the specification's JSON for it.

use std::error::Error as _;
use std::time::Duration;

use http::StatusCode;
use http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use larder_oci::ErrorCode;
use larder_registry::Error;
use serde_json::{Value, json};

use crate::answer::{self, Response};
use crate::authentication::{Unadmitted, Unauthorized};
use crate::limits::TooMuch;
use crate::open_state::Refused;
use crate::site::Site;

/// Seconds after which a client may ask again.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("60");
/// The same where the server waits for another one.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// The same for a server that stops: whoever replaces it mostly stands by then.
const RESTART_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// Everything that the error answer says. **Invariant 13**: only what is put here reaches a client; causes go to the log.
#[derive(Debug)]
pub(crate) struct Refusal {
    code: ErrorCode,
    status: StatusCode,
    message: Option<String>,
    detail: Value,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether the caller may not: then what he is told depends on who he is.
    denied: bool,
    /// The reason for the log, when it is ours.
    cause: Option<String>,
}

impl Refusal {
    /// With the code's own status and message.
    pub fn new(code: ErrorCode) -> Self {
        let status = StatusCode::from_u16(code.status()).expect("a test pins the table of codes");
        Self { code, status, message: None, detail: Value::Null, headers: Vec::new(), denied: false, cause: None }
    }

    /// The caller may not.
    pub fn denied() -> Self {
        Error::Denied.into()
    }

    /// Whether the caller may not.
    pub fn is_denied(&self) -> bool {
        self.denied
    }

    /// The sentence, if it is another than the code's.
    pub fn said(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The path names nothing.
    pub fn not_found() -> Self {
        Self::new(ErrorCode::Unsupported).status(StatusCode::NOT_FOUND).message("there is nothing at this path")
    }

    /// The resource does not have this method.
    pub fn method_not_allowed(methods: &'static str) -> Self {
        Self::new(ErrorCode::Unsupported)
            .message("the resource does not have this method")
            .header(ALLOW, HeaderValue::from_static(methods))
    }

    /// With another status than the code's.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With another sentence than the code's.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// With facts for programs.
    #[must_use]
    pub fn detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With this server's name where the domain, which does not know it, says `HOST`.
    pub fn at(mut self, site: &Site) -> Self {
        self.message = self.message.map(|message| site.named_in(&message));
        self
    }

    /// A body that broke off because the server stops is not its sender's fault: the same request soon finds another server, or this one again.
    #[must_use]
    pub fn by_drain(self) -> Self {
        if self.status != StatusCode::REQUEST_TIMEOUT {
            return self;
        }
        let stopping = Self::new(ErrorCode::Unavailable).message("the server is stopping").detail(self.detail);
        Self { headers: self.headers, ..stopping }.header(RETRY_AFTER, RESTART_SECONDS)
    }

    /// The answer. What is the server's fault is logged here, once, under the request's id.
    pub fn into_response(self, request_id: &str) -> Response {
        if let Some(cause) = &self.cause {
            tracing::error!(request_id, code = self.code.as_str(), cause, "a request failed");
        }
        let message = self.message.unwrap_or_else(|| self.code.message().to_owned());
        let error =
            json!({ "code": self.code.as_str(), "message": message, "detail": with_id(self.detail, request_id) });
        let mut response = answer::json(self.status, "application/json", &json!({ "errors": [error] }));
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A failure without any detail.
pub(crate) fn internal() -> Refusal {
    Refusal::new(ErrorCode::Unknown)
}

/// `detail` may be anything, so the request's id fits in without leaving the specification's form.
fn with_id(detail: Value, request_id: &str) -> Value {
    match detail {
        Value::Object(mut facts) => {
            facts.insert("request_id".to_owned(), request_id.into());
            Value::Object(facts)
        }
        Value::Null => json!({ "request_id": request_id }),
        facts => json!({ "request_id": request_id, "facts": facts }),
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let refusal = Self::new(error.code()).message(error.public_message()).detail(error.detail());
        match &error {
            Error::Denied | Error::TagKept(_) => Self { denied: true, ..refusal },
            Error::PreconditionFailed { .. } => refusal.status(StatusCode::PRECONDITION_FAILED),
            Error::RepositoryExists(_) | Error::NameInUse(_) => refusal.status(StatusCode::CONFLICT),
            Error::UploadTooLarge { .. } => refusal.status(StatusCode::PAYLOAD_TOO_LARGE),
            Error::StorageFull
            | Error::NoRoomToCopy { .. }
            | Error::CatalogBehind
            | Error::TooMuchWrong { .. }
            | Error::TakingOver => refusal.header(RETRY_AFTER, RETRY_SECONDS),
            Error::ReadOnly => refusal.header(ALLOW, HeaderValue::from_static("GET, HEAD")),
            _ if refusal.status.is_server_error() => Self { cause: Some(chain(&error)), ..refusal },
            _ => refusal,
        }
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let refusal = Self::new(ErrorCode::Denied).message(refused.message());
        if refused == Refused::AmbiguousHost { refusal.status(StatusCode::BAD_REQUEST) } else { refusal }
    }
}

impl From<Unadmitted> for Refusal {
    fn from(unadmitted: Unadmitted) -> Self {
        match unadmitted {
            Unadmitted::Closed(refused) => refused.into(),
            Unadmitted::Unauthorized(unauthorized) => {
                let Unauthorized { challenge, message } = *unauthorized;
                Self::new(ErrorCode::Unauthorized).message(message).header(WWW_AUTHENTICATE, challenge)
            }
            Unadmitted::Throttled(wait) => Self::new(ErrorCode::TooManyRequests)
                .message("too many wrong credentials")
                .header(RETRY_AFTER, seconds(wait)),
            Unadmitted::TooMuch(too_much) => too_much.into(),
            Unadmitted::Unavailable => Self::new(ErrorCode::Unavailable).header(RETRY_AFTER, seconds(SOON)),
        }
    }
}

impl From<TooMuch> for Refusal {
    fn from(TooMuch { wait, message }: TooMuch) -> Self {
        Self::new(ErrorCode::TooManyRequests).message(message).header(RETRY_AFTER, seconds(wait))
    }
}

/// Whole seconds, and at least one: a client that reads 0 comes back at once.
pub(crate) fn seconds(wait: Duration) -> HeaderValue {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1).into()
}

/// An error and everything that led to it, for the log.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use larder_oci::UploadId;

    use super::*;

    #[test]
    fn what_the_domain_refuses_gets_the_status_and_headers_that_clients_act_on() {
        let id = UploadId::from_bytes([7; 16]);
        for (error, status, code, header) in [
            (Error::Denied, 403, "DENIED", None),
            (Error::StorageFull, 507, "STORAGE_FULL", Some(RETRY_AFTER)),
            (Error::CatalogBehind, 503, "UNAVAILABLE", Some(RETRY_AFTER)),
            (Error::ReadOnly, 405, "UNSUPPORTED", Some(ALLOW)),
            (Error::PreconditionFailed { current: None }, 412, "MANIFEST_INVALID", None),
            (Error::RangeMismatch { id, offset: 5 }, 416, "RANGE_INVALID", None),
            (Error::UploadUnknown(id), 404, "BLOB_UPLOAD_UNKNOWN", None),
            (Error::Internal("/srv/secret/path".to_owned()), 500, "UNKNOWN", None),
        ] {
            let refusal = Refusal::from(error);
            assert_eq!((refusal.status.as_u16(), refusal.code.as_str()), (status, code));
            if let Some(header) = header {
                assert!(refusal.headers.iter().any(|(name, _)| *name == header), "{code} without {header}");
            }
            // **Invariant 13**: the cause is for the log.
            assert!(!refusal.message.unwrap_or_default().contains("/srv"));
        }
    }
}
