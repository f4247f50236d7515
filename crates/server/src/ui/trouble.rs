//! Pages that say why there is no other: what happened, what to do, and which request it was.

use askama::Template;
use http::StatusCode;
use http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use larder_registry::Error;

use super::Visit;
use super::frame::{Frame, page_of};
use crate::answer::Response;
use crate::authentication::Unadmitted;
use crate::limits::TooMuch;
use crate::open_state::Refused;
use crate::service::App;
use crate::v2::refusal::{SOON, chain, seconds};

/// Why there is no page. **Invariant 13**: absent and forbidden are one and the same here.
#[derive(Debug)]
pub(super) struct Trouble {
    status: StatusCode,
    title: &'static str,
    text: String,
    header: Option<Box<(HeaderName, HeaderValue)>>,
    /// Whether the visitor may not: the audit notes it.
    denied: bool,
    /// The reason for the log, when it is ours.
    cause: Option<String>,
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct Page<'a> {
    frame: Frame,
    status: u16,
    title: &'a str,
    text: &'a str,
    request_id: &'a str,
    /// Whether signing in may help.
    stranger: bool,
}

impl Trouble {
    pub fn new(status: StatusCode, title: &'static str, text: impl Into<String>) -> Self {
        Self { status, title, text: text.into(), header: None, denied: false, cause: None }
    }

    /// Nothing is there, or nothing that this visitor may see.
    pub fn nothing() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Nothing to see here",
            "Either there is nothing at this address, or you may not see it.",
        )
    }

    /// Somebody known could do it.
    pub fn sign_in() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Sign in first", "Who changes something has to be known.")
    }

    /// The page takes no forms.
    pub fn read_only() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "This page can only be read", "Nothing is changed here.")
            .with(ALLOW, HeaderValue::from_static("GET, HEAD"))
    }

    /// Whether the visitor may not.
    pub fn is_denied(&self) -> bool {
        self.denied
    }

    /// The same with a header.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match &error {
            Error::Denied => Self { denied: true, ..Self::nothing() },
            Error::RepositoryUnknown(_) | Error::ManifestUnknown { .. } | Error::BlobUnknown { .. } => Self::nothing(),
            Error::TakingOver => Self::new(StatusCode::SERVICE_UNAVAILABLE, "Still moving in", error.public_message())
                .with(RETRY_AFTER, HeaderValue::from_static("60")),
            _ => {
                let status = StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                if status != StatusCode::INTERNAL_SERVER_ERROR {
                    return Self::new(status, "That did not work", sentence(&error.public_message()));
                }
                let text = "It was our fault. Trying again may help; if it does not, tell whoever runs this registry.";
                Self { cause: Some(chain(&error)), ..Self::new(status, "Something went wrong", text) }
            }
        }
    }
}

impl From<askama::Error> for Trouble {
    fn from(error: askama::Error) -> Self {
        Self::from(Error::Internal(format!("a page could not be rendered: {error}")))
    }
}

impl From<Unadmitted> for Trouble {
    fn from(unadmitted: Unadmitted) -> Self {
        match unadmitted {
            Unadmitted::Closed(Refused::AmbiguousHost) => {
                let text = sentence(Refused::AmbiguousHost.message());
                Self::new(StatusCode::BAD_REQUEST, "Which registry?", text)
            }
            Unadmitted::Closed(refused) => {
                Self::new(StatusCode::FORBIDDEN, "Not from here", sentence(refused.message()))
            }
            Unadmitted::Unauthorized(unauthorized) => {
                Self::new(StatusCode::UNAUTHORIZED, "Who are you?", sentence(&unauthorized.message))
                    .with(WWW_AUTHENTICATE, unauthorized.challenge)
            }
            Unadmitted::Throttled(wait) => {
                let text = "There were too many wrong attempts. Wait a moment.";
                Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many attempts", text).with(RETRY_AFTER, seconds(wait))
            }
            Unadmitted::TooMuch(TooMuch { wait, message }) => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "Too much at once", sentence(message))
                    .with(RETRY_AFTER, seconds(wait))
            }
            Unadmitted::Unavailable => {
                let text = "Accounts cannot be asked at the moment. Try again soon.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not now", text).with(RETRY_AFTER, seconds(SOON))
            }
        }
    }
}

impl From<larder_access::Problem> for Trouble {
    fn from(problem: larder_access::Problem) -> Self {
        use larder_access::Problem;
        let status = match &problem {
            Problem::NotAllowed(_) => return Self { denied: true, ..Self::nothing() },
            Problem::Absent { .. } => return Self::nothing(),
            Problem::Catalog(_) => {
                let text = "Accounts cannot be asked at the moment. Try again soon.";
                let not_now = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Not now", text);
                return Self { cause: Some(problem.to_string()), ..not_now.with(RETRY_AFTER, seconds(SOON)) };
            }
            Problem::Invalid(_) => StatusCode::BAD_REQUEST,
            Problem::Busy => StatusCode::TOO_MANY_REQUESTS,
            Problem::Exists { .. } | Problem::NameTaken { .. } | Problem::LastAdministrator(_) => StatusCode::CONFLICT,
        };
        Self::new(status, "That did not work", sentence(&problem.to_string()))
    }
}

/// A message as a sentence of its own.
pub(super) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// The page. What is the server's fault is logged here, once.
pub(super) fn page(app: &App, visit: Option<&Visit<'_>>, trouble: Trouble, request_id: &str) -> Response {
    if let Some(cause) = &trouble.cause {
        tracing::error!(request_id, cause, "a page failed");
    }
    let frame = match visit {
        Some(visit) => visit.frame(trouble.title),
        None => Frame::for_nobody(app, trouble.title.to_owned()),
    };
    let stranger = visit.is_some_and(|visit| visit.visitor.is_stranger());
    let (status, title, text) = (trouble.status.as_u16(), trouble.title, trouble.text.as_str());
    let page = Page { frame, status, title, text, request_id, stranger };
    let mut response = page_of(trouble.status, &page).unwrap_or_else(|_| crate::api::problem::internal(request_id));
    if let Some(header) = trouble.header {
        response.headers_mut().insert(header.0, header.1);
    }
    response
}
