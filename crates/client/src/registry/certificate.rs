//! Why a TLS handshake failed, in words for people: the library's own hide behind four layers of causes.

use std::error::Error as StdError;
use std::io;

use rustls::CertificateError;

use crate::error::{Error, chain};

/// What became of a request that got no answer from `host`.
pub(super) fn failure(host: &str, error: reqwest::Error) -> Error {
    let (host, error) = (host.to_owned(), error.without_url());
    match refused(&error) {
        Some(why) => Error::Untrusted { host, why: in_words(why) },
        None => Error::Unreachable { host, cause: chain(&error) },
    }
}

/// The verdict about the certificate, if that is what ended the handshake.
fn refused(error: &reqwest::Error) -> Option<&CertificateError> {
    let mut next: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(cause) = next {
        if let Some(rustls::Error::InvalidCertificate(why)) = cause.downcast_ref() {
            return Some(why);
        }
        // What an I/O error names as its source is its inner error's, not the inner error.
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map_or_else(|| cause.source(), |inner| Some(inner));
    }
    None
}

fn in_words(why: &CertificateError) -> String {
    match why {
        CertificateError::UnknownIssuer => "no authority that this machine knows has signed it".to_owned(),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired".to_owned(),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet (is the clock right?)".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for other names".to_owned()
        }
        CertificateError::Revoked => "it was revoked".to_owned(),
        other => other.to_string(),
    }
}
