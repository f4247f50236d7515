//! TLS for clients: HTTP/1.1 and HTTP/2 by ALPN, a certificate that is replaced while connections stay open, client certificates as an identity.
//!
//! What is read here are bytes of PEM. Where the files are, who may read them and when they change is the program's work.

mod der;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, version};
use tokio_rustls::server::TlsStream;

pub use self::der::Validity;

/// The first byte of a TLS record that carries a handshake.
const HANDSHAKE: u8 = 0x16;
/// What a client gets that speaks plain HTTP to a port of TLS.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 58\r\nConnection: close\r\n\r\n\
                       this port speaks TLS: use https:// instead of http://    \n";
/// Sessions that clients may resume.
const SESSIONS: usize = 1024;

/// What a TLS listener needs, as PEM.
#[derive(Clone, Default)]
pub struct TlsFiles {
    /// The server's certificate, then the intermediate ones.
    pub certificate: Vec<u8>,
    /// The key of the server's certificate.
    pub key: Vec<u8>,
    /// The authorities whose client certificates are taken; none are asked for without.
    pub client_authorities: Option<Vec<u8>>,
    /// Whether a client without such a certificate is not heard at all.
    pub client_certificate_required: bool,
    /// Whether TLS 1.2 is not spoken.
    pub only_newest: bool,
}

/// Why certificates cannot be used. The words say what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file holds no certificate.
    #[error("it holds no certificate: a PEM file is needed, which begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// A certificate cannot be read.
    #[error("a certificate in it cannot be read ({0}): write it anew, from what the authority sent")]
    BadCertificate(String),
    /// The file holds no key.
    #[error("it holds no private key: a PEM file is needed, which begins with -----BEGIN PRIVATE KEY-----")]
    NoKey,
    /// The key is encrypted.
    #[error(
        "the key is encrypted, and nobody types a passphrase at a server: decrypt it with `openssl pkey -in FILE -out FILE.plain`"
    )]
    EncryptedKey,
    /// The key cannot be used.
    #[error("the key cannot be used ({0}): RSA from 2048 bits, ECDSA P-256, P-384 or P-521, and Ed25519 can")]
    BadKey(String),
    /// Key and certificate do not belong together.
    #[error(
        "it is not the key of the first certificate in the certificate file: name the key that the certificate was made for, and let the \
         server's own certificate stand before the intermediate ones"
    )]
    Mismatch,
    /// An authority for clients cannot be used.
    #[error("it holds no authority for client certificates that can be used: {0}")]
    BadAuthority(String),
}

impl TlsError {
    /// Which file it is about.
    pub fn concerns(&self) -> TlsPart {
        match self {
            Self::NoCertificate | Self::BadCertificate(_) => TlsPart::Certificate,
            Self::NoKey | Self::EncryptedKey | Self::BadKey(_) | Self::Mismatch => TlsPart::Key,
            Self::BadAuthority(_) => TlsPart::ClientAuthorities,
        }
    }
}

/// One of [`TlsFiles`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPart {
    /// The certificates.
    Certificate,
    /// The key.
    Key,
    /// The authorities for clients.
    ClientAuthorities,
}

/// TLS as listeners use it. All clones are one: what [`replace`](Self::replace) brings holds for every connection accepted after it, and those that
/// are open go on.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Current>>);

struct Current {
    config: Arc<ServerConfig>,
    validity: Option<Validity>,
}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// When they cannot be read or do not belong together.
    pub fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(RwLock::new(Current::read(files)?))))
    }

    /// Takes other files. When they are wrong, the old ones stay.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn replace(&self, files: &TlsFiles) -> Result<(), TlsError> {
        let next = Current::read(files)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// From when to when the server's certificate holds; `None` when it does not say so in a way that is understood.
    pub fn validity(&self) -> Option<Validity> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).validity
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner).config)
    }

    /// Shakes hands. A client of plain HTTP is told so.
    pub(crate) async fn accept(&self, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            stream.write_all(PLAIN).await?;
            stream.shutdown().await?;
            return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP on a port of TLS"));
        }
        TlsAcceptor::from(self.config()).accept(stream).await
    }
}

/// The name that a client's certificate gives it, for a request's extensions: the common name of its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate(pub Arc<str>);

impl ClientCertificate {
    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Of a connection whose client showed a certificate that one of the authorities signed.
    pub(crate) fn of(stream: &TlsStream<TcpStream>) -> Option<Self> {
        let certificate = stream.get_ref().1.peer_certificates()?.first()?;
        der::common_name(certificate).map(|name| Self(name.into()))
    }
}

impl Current {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificates(&files.certificate)?;
        let validity = chain.first().and_then(|certificate| Validity::of(certificate));
        let key = private_key(&files.key)?;
        let versions: &[_] = if files.only_newest { &[&version::TLS13] } else { &[&version::TLS13, &version::TLS12] };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
        let builder = builder.map_err(|error| TlsError::BadKey(error.to_string()))?;
        let builder = match &files.client_authorities {
            Some(pem) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(pem)?), Arc::clone(&provider));
                let required = files.client_certificate_required;
                let verifier = if required { verifier } else { verifier.allow_unauthenticated() }.build();
                builder.with_client_cert_verifier(verifier.map_err(|error| TlsError::BadAuthority(error.to_string()))?)
            }
            None => builder.with_no_client_auth(),
        };
        let certified = certified(chain, key, &provider)?;
        let mut config = builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = rustls::server::ServerSessionMemoryCache::new(SESSIONS);
        Ok(Self { config: Arc::new(config), validity })
    }
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|error| TlsError::BadCertificate(error.to_string()))?;
    if chain.is_empty() { Err(TlsError::NoCertificate) } else { Ok(chain) }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => Ok(key),
        Err(pem::Error::NoItemsFound) if String::from_utf8_lossy(text).contains("ENCRYPTED") => {
            Err(TlsError::EncryptedKey)
        }
        Err(pem::Error::NoItemsFound) => Err(TlsError::NoKey),
        Err(error) => Err(TlsError::BadKey(error.to_string())),
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<rustls::sign::CertifiedKey, TlsError> {
    let key = provider.key_provider.load_private_key(key).map_err(|error| TlsError::BadKey(error.to_string()))?;
    let certified = rustls::sign::CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch),
        Err(error) => Err(TlsError::BadCertificate(error.to_string())),
    }
}

fn authorities(text: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text) {
        let certificate = certificate.map_err(|error| TlsError::BadAuthority(error.to_string()))?;
        roots.add(certificate).map_err(|error| TlsError::BadAuthority(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(TlsError::BadAuthority("no certificate stands in it".to_owned()));
    }
    Ok(roots)
}

impl Validity {
    /// How long the certificate still holds at `now`; zero when it has expired.
    pub fn left(&self, now: Timestamp) -> Duration {
        Duration::try_from(self.until.duration_since(now)).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_has_its_length() {
        let text = String::from_utf8(PLAIN.to_vec()).expect("it is text");
        let (head, body) = text.split_once("\r\n\r\n").expect("there is a body");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }
}
