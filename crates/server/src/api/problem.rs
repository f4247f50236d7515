//! Errors of the administration API: RFC 9457 problem documents.

use http::StatusCode;
use http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use larder_oci::ErrorCode;
use larder_registry::Error;
use larder_registry::promotion::Refusal;
use larder_registry::webhooks::WebhookError;
use serde_json::{Value, json};

use crate::answer::{self, Response};
use crate::authentication::{Unadmitted, Unauthorized};
use crate::open_state::Refused;
use crate::v2::refusal::{SOON, seconds};

/// Why a request was not granted. **Invariant 13**: only what is put here reaches a client.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    facts: Value,
    header: Option<Box<(HeaderName, HeaderValue)>>,
    /// Whether the caller may not: the audit notes it.
    denied: bool,
    /// The reason for the log, when it is ours.
    cause: Option<String>,
}

impl Problem {
    /// A problem with a status, a code for programs and a sentence for people.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), facts: Value::Null, header: None, denied: false, cause: None }
    }

    /// The caller may not.
    pub fn denied(detail: impl Into<String>) -> Self {
        Self { denied: true, ..Self::new(StatusCode::FORBIDDEN, ErrorCode::Denied.as_str(), detail) }
    }

    /// What was shown is no credential that would do here.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized.as_str(), detail)
    }

    /// Whether the caller may not.
    pub fn is_denied(&self) -> bool {
        self.denied
    }

    /// The request is not what the route takes.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    /// Nothing is at this path.
    pub fn nothing_here() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "there is nothing at this path")
    }

    fn throttled() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests.as_str(), "too many attempts")
    }

    fn unavailable() -> Self {
        let code = ErrorCode::Unavailable;
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code.as_str(), code.message())
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
            Error::RepositoryExists(_)
            | Error::NameInUse(_)
            | Error::InUse { .. }
            | Error::PolicyPaused(_)
            | Error::BackupRefused(_)
            | Error::TooManyPolicies(_)
            | Error::TooManyRules(_) => StatusCode::CONFLICT,
            Error::Promotion(refusal) => promotion(refusal).0,
            _ => StatusCode::from_u16(code.status()).expect("a test pins the table of codes"),
        };
        let header = match &error {
            Error::StorageFull
            | Error::NoRoomToCopy { .. }
            | Error::CatalogBehind
            | Error::TooMuchWrong { .. }
            | Error::TakingOver => Some((RETRY_AFTER, HeaderValue::from_static("60"))),
            Error::ReadOnly => Some((ALLOW, HeaderValue::from_static("GET, HEAD"))),
            _ => None,
        };
        let code = match &error {
            Error::RepositoryExists(_) | Error::NameInUse(_) => "NAME_IN_USE",
            Error::PolicyInvalid(_) => "POLICY_INVALID",
            Error::PolicyUnknown(_) | Error::NoPolicy(_) => "POLICY_UNKNOWN",
            Error::BackupRefused(_) => "BACKUP_REFUSED",
            Error::RulesInvalid(_) => "RULES_INVALID",
            Error::RulesUnknown(_) => "RULES_UNKNOWN",
            Error::PolicyPaused(_) | Error::TooManyPolicies(_) | Error::Refused(_) | Error::TooManyRules(_) => {
                "REFUSED_BY_POLICY"
            }
            Error::Promotion(refusal) => promotion(refusal).1,
            _ => code.as_str(),
        };
        let cause = (status == StatusCode::INTERNAL_SERVER_ERROR).then(|| crate::v2::refusal::chain(&error));
        Self {
            status,
            code,
            detail: error.public_message(),
            facts: error.detail(),
            header: header.map(Box::new),
            denied: matches!(error, Error::Denied | Error::TagKept(_)),
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

impl From<Unadmitted> for Problem {
    fn from(unadmitted: Unadmitted) -> Self {
        let (problem, header) = match unadmitted {
            Unadmitted::Closed(refused) => return refused.into(),
            Unadmitted::Unauthorized(unauthorized) => {
                let Unauthorized { challenge, message } = *unauthorized;
                let code = ErrorCode::Unauthorized.as_str();
                (Self::new(StatusCode::UNAUTHORIZED, code, message), (WWW_AUTHENTICATE, challenge))
            }
            Unadmitted::Throttled(wait) => (Self::throttled(), (RETRY_AFTER, seconds(wait))),
            Unadmitted::TooMuch(too_much) => (
                Self::new(StatusCode::TOO_MANY_REQUESTS, ErrorCode::TooManyRequests.as_str(), too_much.message),
                (RETRY_AFTER, seconds(too_much.wait)),
            ),
            Unadmitted::Unavailable => (Self::unavailable(), (RETRY_AFTER, seconds(SOON))),
        };
        Self { header: Some(Box::new(header)), ..problem }
    }
}

impl From<larder_access::Problem> for Problem {
    fn from(problem: larder_access::Problem) -> Self {
        use larder_access::Problem as Access;
        let detail = problem.to_string();
        match problem {
            Access::NotAllowed(reason) => Self::denied(reason),
            Access::Absent { what, .. } => Self::new(StatusCode::NOT_FOUND, unknown(what), detail),
            Access::Exists { .. } => Self::new(StatusCode::CONFLICT, "NAME_IN_USE", detail),
            Access::NameTaken { .. } => Self::new(StatusCode::CONFLICT, "NAME_TAKEN", detail),
            Access::LastAdministrator(_) => Self::new(StatusCode::CONFLICT, "LAST_ADMINISTRATOR", detail),
            Access::Invalid(_) => Self::bad_request(detail),
            Access::Busy => {
                let header = Some(Box::new((RETRY_AFTER, seconds(SOON))));
                Self { header, ..Self::throttled() }
            }
            Access::Catalog(error) => Error::from(error).into(),
        }
    }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        let detail = error.to_string();
        match error {
            WebhookError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, "WEBHOOK_UNKNOWN", detail),
            WebhookError::DeliveryUnknown { .. } => Self::new(StatusCode::NOT_FOUND, "DELIVERY_UNKNOWN", detail),
            WebhookError::Exists(_) => Self::new(StatusCode::CONFLICT, "NAME_IN_USE", detail),
            WebhookError::TooMany(_) => Self::new(StatusCode::CONFLICT, "TOO_MANY", detail),
            WebhookError::Invalid(_) => Self::bad_request(detail),
            WebhookError::Registry(error) => error.into(),
        }
    }
}

/// Status and code of what promotion refuses.
fn promotion(refusal: &Refusal) -> (StatusCode, &'static str) {
    match refusal {
        Refusal::Invalid(_) => (StatusCode::BAD_REQUEST, "STAGES_INVALID"),
        Refusal::NotSet(_) | Refusal::NoStage { .. } => (StatusCode::NOT_FOUND, "STAGE_UNKNOWN"),
        Refusal::Gated { .. } | Refusal::InStage { .. } => (StatusCode::FORBIDDEN, "REFUSED_BY_POLICY"),
        Refusal::NotInGroup { .. } | Refusal::Nobody => (StatusCode::FORBIDDEN, ErrorCode::Denied.as_str()),
        Refusal::Unmet { .. } => (StatusCode::CONFLICT, "GATES_UNMET"),
        Refusal::Elsewhere { .. } | Refusal::Changed => (StatusCode::CONFLICT, "STAGE_MOVED"),
        Refusal::KeyUsed => (StatusCode::UNPROCESSABLE_ENTITY, "KEY_USED"),
        Refusal::TooMany(_) | Refusal::NothingToApprove(_) | Refusal::IsRepository(_) => {
            (StatusCode::CONFLICT, "REFUSED_BY_POLICY")
        }
    }
}

/// The code for an account or the like that is not there.
fn unknown(what: &str) -> &'static str {
    match what {
        "user" => "USER_UNKNOWN",
        "group" => "GROUP_UNKNOWN",
        "member" => "MEMBER_UNKNOWN",
        "robot" => "ROBOT_UNKNOWN",
        "token" => "TOKEN_UNKNOWN",
        "grant" => "GRANT_UNKNOWN",
        "trust" => "TRUST_UNKNOWN",
        "quota" => "QUOTA_UNKNOWN",
        "session" => "SESSION_UNKNOWN",
        _ => "NOT_FOUND",
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
