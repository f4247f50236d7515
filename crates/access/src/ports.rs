//! What this crate needs from outside and does not do itself.

use std::fmt;
use std::sync::Arc;

use crate::Clock;

/// Why an address could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No answer, or none in time.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// An answer other than 2xx, with the beginning of its body (of a POST: the error of OAuth 2 stands there).
    #[error("answered {status}")]
    Status {
        /// The status.
        status: u16,
        /// The body, cut to the limit.
        body: Vec<u8>,
    },
    /// More bytes than asked for.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Asks identity providers. The implementation follows no redirect to another origin, limits each request to ten seconds, and honours the
/// machine's trust store; the URL's scheme was checked by the caller.
#[async_trait::async_trait]
pub trait Fetch: Send + Sync + 'static {
    /// The body of a 2xx answer to GET, at most `limit` bytes.
    async fn get(&self, url: &str, limit: usize) -> Result<Vec<u8>, FetchError>;

    /// The body of a 2xx answer to a POST of this form; `basic` is a name and a password for the `Authorization` header.
    async fn post_form(
        &self,
        url: &str,
        form: &[(&str, &str)],
        basic: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<u8>, FetchError>;
}

/// Everything from outside.
#[derive(Clone)]
pub struct Ports {
    /// Asks identity providers.
    pub fetch: Arc<dyn Fetch>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ports")
    }
}
