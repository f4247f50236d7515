//! What can go wrong on the way to a registry and back, and what that means for the caller.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use larder_oci::digest::Digest;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation failed. It can be cloned, so that each of several targets can report it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection, or none that lasted until an answer.
    #[error("{host} could not be reached: {cause}")]
    Unreachable {
        /// The registry's address.
        host: String,
        /// What the network said.
        cause: String,
    },
    /// Somebody answered, and this machine cannot tell that it is the registry.
    #[error("{host}: its certificate is not trusted: {why}")]
    Untrusted {
        /// The registry's address.
        host: String,
        /// What is wrong with the certificate.
        why: String,
    },
    /// The registry answered, and not with what was asked for.
    #[error("{subject}: {}", answer_text(*status, code, message))]
    Answer {
        /// What was asked for.
        subject: String,
        /// The HTTP status.
        status: u16,
        /// The first error code of the body (specification, "Error codes"), or empty.
        code: String,
        /// The first message of the body with its detail where that is a text, or empty.
        message: String,
        /// How long the registry asks to wait.
        retry_after: Option<Duration>,
    },
    /// A connection ended inside a body.
    #[error("{subject}: the transfer was cut after {at} bytes: {cause}")]
    Cut {
        /// What was on its way.
        subject: String,
        /// How many bytes had come or gone.
        at: u64,
        /// What the network said.
        cause: String,
    },
    /// The bytes are not those that the digest names.
    #[error("{subject}: the content has digest {actual}, not {expected}")]
    DigestMismatch {
        /// Which content.
        subject: String,
        /// The digest that was promised.
        expected: Box<Digest>,
        /// The digest of what came.
        actual: Box<Digest>,
    },
    /// More or fewer bytes than promised.
    #[error("{subject}: {actual} bytes instead of {expected}")]
    LengthMismatch {
        /// Which content.
        subject: String,
        /// The promised length.
        expected: u64,
        /// The length that was seen; a lower bound when the content was longer.
        actual: u64,
    },
    /// The other side asked for something that could leak credentials or reach into a private network.
    #[error("refused to follow {host}: {why}")]
    Unsafe {
        /// Who asked.
        host: String,
        /// What was refused and why.
        why: String,
    },
    /// The registry breaks the protocol.
    #[error("{subject}: {why}")]
    Protocol {
        /// What was asked for.
        subject: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// Credentials exist but cannot be read.
    #[error("credentials for {host}: {why}")]
    Credentials {
        /// The registry.
        host: String,
        /// What is wrong. Never a secret.
        why: String,
    },
    /// A manifest, index or configuration that cannot be used.
    #[error("{subject}: {why}")]
    Content {
        /// Which document.
        subject: String,
        /// What is wrong with it.
        why: String,
    },
    /// A local file that cannot be used.
    #[error("{path}: {why}")]
    Local {
        /// The file or folder.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The local file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The client cannot be set up (a CA file that is none, for instance).
    #[error("{0}")]
    Setup(String),
    /// The transfer was given up because nobody is left to take it.
    #[error("{0}: the transfer was given up")]
    Abandoned(String),
}

/// What an [`Error`] means to a script (exit codes of the surface).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is not there.
    NotFound,
    /// The caller may not.
    Denied,
    /// A rule of the registry refuses it.
    Policy,
    /// The registry could not be reached.
    Unreachable,
    /// Anything else.
    Failed,
}

impl Error {
    /// A file-system error with its path.
    pub fn io(path: impl AsRef<std::path::Path>, source: io::Error) -> Self {
        Self::Io { path: path.as_ref().display().to_string(), source: Arc::new(source) }
    }

    /// A local file that cannot be used.
    pub fn local(path: impl AsRef<std::path::Path>, why: impl Into<String>) -> Self {
        Self::Local { path: path.as_ref().display().to_string(), why: why.into() }
    }

    /// What it means.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Answer { status: 404 | 410, .. } => Kind::NotFound,
            Self::Answer { status: 401 | 403, .. } => Kind::Denied,
            Self::Answer { status: 405 | 409 | 412, .. } => Kind::Policy,
            Self::Answer { status: 502..=504, .. } | Self::Unreachable { .. } | Self::Untrusted { .. } => {
                Kind::Unreachable
            }
            _ => Kind::Failed,
        }
    }

    /// Whether the same request may well succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Cut { .. } => true,
            Self::Answer { status, .. } => matches!(status, 408 | 429 | 500 | 502..=504),
            _ => false,
        }
    }

    /// How long the registry asked to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Answer { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answer { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// `denied: requested access … (403 DENIED)`, or what is there of it.
fn answer_text(status: u16, code: &str, message: &str) -> String {
    match (code.is_empty(), message.is_empty()) {
        (true, true) => format!("the registry answered {status}"),
        (true, false) => format!("{message} ({status})"),
        (false, true) => format!("{code} ({status})"),
        (false, false) => format!("{message} ({status} {code})"),
    }
}

/// The whole chain of causes in one line; reqwest's own text hides the reason.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Error {
        Error::Answer { subject: "a/b".into(), status, code: String::new(), message: String::new(), retry_after: None }
    }

    #[test]
    fn statuses_mean_what_the_exit_codes_say() {
        assert_eq!(answer(404).kind(), Kind::NotFound);
        assert_eq!(answer(401).kind(), Kind::Denied);
        assert_eq!(answer(405).kind(), Kind::Policy);
        assert_eq!(answer(503).kind(), Kind::Unreachable);
        assert_eq!(answer(400).kind(), Kind::Failed);
        assert!(answer(429).is_transient() && !answer(507).is_transient() && !answer(403).is_transient());
    }
}
