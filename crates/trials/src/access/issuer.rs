//! A service that vouches for jobs: discovery, keys, and the address where a job of GitHub Actions gets its identity token.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::access::authority::Authority;
use crate::access::town::{ISSUER_ADDRESS, ISSUERS};
use crate::harness::{During, Outcome};

/// What GitHub gives a job to ask for its identity token with.
pub const REQUEST_TOKEN: &str = "a-job-asks-with-this";

/// A running issuer; it ends with its guard.
#[derive(Debug)]
pub struct Issuer {
    signer: Arc<Signer>,
    /// Answers for as long as it lives.
    _runtime: Runtime,
}

#[derive(Debug)]
struct Signer {
    url: String,
    key: EcdsaKeyPair,
    /// What its tokens say beside issuer, audience and times.
    claims: Mutex<Value>,
}

impl Issuer {
    /// An issuer by one of the names in [`ISSUERS`], for one job with these claims.
    pub fn start(name: &str, authority: &Authority, claims: Value) -> Outcome<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let signer = Arc::new(Signer { url: format!("https://{name}"), key, claims: Mutex::new(claims) });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = TcpListener::bind((ISSUER_ADDRESS, 443))?;
        listener.set_nonblocking(true)?;
        runtime.spawn(accept(listener, acceptor(authority)?, Arc::clone(&signer)));
        Ok(Self { signer, _runtime: runtime })
    }

    /// Vouches for another job from now on.
    pub fn is_for(&self, claims: Value) {
        *self.signer.claims.lock().unwrap_or_else(PoisonError::into_inner) = claims;
    }

    /// The job's identity token for an audience.
    pub fn token(&self, audience: &str) -> Outcome<String> {
        self.signer.token(audience).during(|| "no token".to_owned())
    }

    /// Where the job asks for one, as GitHub tells it.
    pub fn request_url(&self) -> String {
        format!("{}/job?api-version=2.0", self.signer.url)
    }
}

impl Signer {
    fn token(&self, audience: &str) -> Option<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, value) in [
            ("iss", json!(self.url)),
            ("aud", json!(audience)),
            ("iat", json!(now)),
            ("nbf", json!(now)),
            ("exp", json!(now + 300)),
            ("jti", json!(format!("job-{now}"))),
        ] {
            claims[name] = value;
        }
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "ES256", "typ": "JWT", "kid": "1" })), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The public half: an uncompressed point.
    fn keys(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(point.len() / 2);
        let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1", "x": part(x), "y": part(y) }] })
    }

    fn answer(&self, head: &str) -> (u16, Value) {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/.well-known/openid-configuration" => {
                (200, json!({ "issuer": self.url, "jwks_uri": format!("{}/keys", self.url) }))
            }
            "/keys" => (200, self.keys()),
            "/job" if head.contains(&format!("Bearer {REQUEST_TOKEN}")) => {
                let audience = query.split('&').find_map(|pair| pair.strip_prefix("audience="));
                (200, json!({ "value": self.token(audience.unwrap_or_default()) }))
            }
            _ => (404, json!({})),
        }
    }
}

fn acceptor(authority: &Authority) -> Outcome<TlsAcceptor> {
    let pair = authority.certify(&ISSUERS)?;
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, signer: Arc<Signer>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, signer) = (acceptor.clone(), Arc::clone(&signer));
        tokio::spawn(async move {
            // Whoever breaks off wants no answer.
            if let Ok(stream) = acceptor.accept(stream).await {
                let _ = serve(stream, &signer).await;
            }
        });
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, signer: &Signer) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut piece).await? {
            0 => return Ok(()),
            length => head.extend_from_slice(&piece[..length]),
        }
    }
    let (status, document) = signer.answer(&String::from_utf8_lossy(&head));
    let body = document.to_string();
    let answer = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
