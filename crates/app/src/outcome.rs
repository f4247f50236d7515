//! How a command ends: the exit code and what the person is told. It knows no HTTP beyond what a status means.

use std::fmt;
use std::process::ExitCode;

use serde_json::Value;

/// A command's result.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Exit codes as scripts rely on them (surface, "Commands"), and those of the server process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// It was tried and failed.
    Failed = 1,
    /// Wrong usage: nothing was tried.
    Usage = 2,
    /// What was named is not there.
    NotFound = 3,
    /// Not allowed.
    NotAllowed = 4,
    /// A rule of the registry refuses it.
    Policy = 5,
    /// The server could not be reached.
    Unreachable = 6,
    /// The catalog failed under the server (behaviour §6): a restart recovers from what is durable.
    CatalogLost = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure with an exit code of its own.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None }
    }

    /// It was tried and failed (1).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Wrong usage (2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Not there (3).
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, message)
    }

    /// The server could not be reached (6).
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, message)
    }

    /// The command already reported everything (a table with failed rows, for instance): only the exit code is left.
    pub fn reported(exit: Exit) -> Self {
        Self::new(exit, String::new())
    }

    /// Adds what to do about it, printed on lines of its own.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the subject before the message: `subject: message`.
    #[must_use]
    pub fn about(mut self, subject: impl fmt::Display) -> Self {
        if !self.message.is_empty() {
            self.message = format!("{subject}: {}", self.message);
        }
        self
    }

    /// What an HTTP answer that is no success means. `body` is a problem document (RFC 9457), the specification's
    /// `{"errors":[…]}` or anything else.
    pub fn of_answer(status: u16, body: &[u8]) -> Self {
        let parsed = serde_json::from_slice::<Value>(body).unwrap_or(Value::Null);
        let (code, text) = problem_text(&parsed);
        let message = match text {
            Some(text) => text,
            None => format!("the server answered {status}"),
        };
        let failure = Self::new(exit_of(status, code.as_deref()), message);
        match parsed.get("request_id").and_then(Value::as_str) {
            Some(id) => failure.with_hint(format!("request {id}")),
            None => failure,
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What is wrong; empty when everything was reported.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Problem → exit code: the status decides, but for a rule's refusal, which says so in its code.
fn exit_of(status: u16, code: Option<&str>) -> Exit {
    match (status, code) {
        (_, Some("POLICY" | "TAG_IMMUTABLE" | "REFUSED_BY_POLICY")) => Exit::Policy,
        (404 | 410, _) => Exit::NotFound,
        (401 | 403, _) => Exit::NotAllowed,
        (409, Some("NAME_IN_USE" | "STAGE_MOVED")) => Exit::Failed,
        (405 | 409, _) => Exit::Policy,
        // Those of a proxy; the server's own 503 has a code.
        (502..=504, None) => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

/// The code and the words of a problem document or of the specification's error body.
fn problem_text(body: &Value) -> (Option<String>, Option<String>) {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(first) = body.get("errors").and_then(|errors| errors.get(0)) {
        let message = match (text(first, "message"), text(first, "detail")) {
            (Some(message), Some(detail)) => Some(format!("{message}: {detail}")),
            (message, detail) => message.or(detail),
        };
        return (text(first, "code"), message);
    }
    (text(body, "code"), text(body, "detail").or_else(|| text(body, "title")))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    /// A reader that went away (`larder … | head`) is no failure of the command.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::reported(Exit::Done),
            _ => Self::failed(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        if error.is_io() { std::io::Error::from(error).into() } else { Self::failed(error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_the_pinned_exit_codes() {
        let cases: &[(u16, &str, Exit)] = &[
            (400, r#"{"title":"bad"}"#, Exit::Failed),
            (401, "", Exit::NotAllowed),
            (403, r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, Exit::NotAllowed),
            (403, r#"{"code":"POLICY","title":"no"}"#, Exit::Policy),
            (404, r#"{"title":"repository unknown"}"#, Exit::NotFound),
            (405, "", Exit::Policy),
            (409, r#"{"code":"NAME_IN_USE"}"#, Exit::Failed),
            (412, "", Exit::Failed),
            (500, "", Exit::Failed),
            (503, "", Exit::Unreachable),
            (503, r#"{"code":"UNAVAILABLE"}"#, Exit::Failed),
            (507, "", Exit::Failed),
        ];
        for (status, body, exit) in cases {
            assert_eq!(Failure::of_answer(*status, body.as_bytes()).exit(), *exit, "{status} {body}");
        }
    }

    #[test]
    fn an_answer_is_told_in_its_own_words_with_its_request_id() {
        let failure = Failure::of_answer(404, br#"{"title":"Not found","detail":"repository a/b","request_id":"r1"}"#);
        assert_eq!(failure.message(), "repository a/b");
        assert_eq!(failure.hint(), Some("request r1"));
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit(), failure.message()), (Exit::Done, ""));
    }
}
