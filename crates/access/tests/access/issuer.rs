//! A real issuer: a server on a socket of this machine, with keys of its own, and a client that asks it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use larder_access::{Fetch, FetchError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::NOW;

/// A client for `http://127.0.0.1:PORT/…`.
pub struct Http;

#[async_trait::async_trait]
impl Fetch for Http {
    async fn get(&self, url: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        ask(url, "GET", None, "", limit).await
    }

    async fn post_form(
        &self,
        url: &str,
        form: &[(&str, &str)],
        basic: Option<(&str, &str)>,
        limit: usize,
    ) -> Result<Vec<u8>, FetchError> {
        let escape = |text: &str| -> String {
            text.bytes()
                .map(|b| {
                    if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                        char::from(b).to_string()
                    } else {
                        format!("%{b:02X}")
                    }
                })
                .collect()
        };
        let pairs: Vec<String> =
            form.iter().map(|(name, value)| format!("{}={}", escape(name), escape(value))).collect();
        ask(url, "POST", basic, &pairs.join("&"), limit).await
    }
}

async fn ask(
    url: &str,
    method: &str,
    basic: Option<(&str, &str)>,
    body: &str,
    limit: usize,
) -> Result<Vec<u8>, FetchError> {
    use base64::Engine;
    let unreachable = |error: std::io::Error| FetchError::Unreachable(error.to_string());
    let rest = url.strip_prefix("http://").expect("tests ask loopback only");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut stream = TcpStream::connect(host).await.map_err(unreachable)?;
    let authorization = basic.map_or(String::new(), |(user, password)| {
        let text = base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"));
        format!("Authorization: Basic {text}\r\n")
    });
    let length = body.len();
    let request =
        format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\n{authorization}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.map_err(unreachable)?;
    let mut answer = Vec::new();
    (&mut stream).take(limit as u64 + 4096).read_to_end(&mut answer).await.map_err(unreachable)?;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| FetchError::Unreachable("no answer".to_owned()))?;
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    if body.len() > limit {
        return Err(FetchError::TooLarge(limit));
    }
    if !(200..300).contains(&status) {
        return Err(FetchError::Status { status, body: body.as_bytes().to_vec() });
    }
    Ok(body.as_bytes().to_vec())
}

/// A key that the issuer signs with.
pub struct Key {
    pub id: String,
    pub algorithm: Algorithm,
    pub private: EncodingKey,
}

impl Key {
    pub fn new(algorithm: Algorithm) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let private = match algorithm {
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
                EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
            }
            Algorithm::EdDSA => {
                EncodingKey::from_ed_der(Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref())
            }
            _ => {
                let pkcs8: Pkcs8V1Der<'_> = RsaKeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
                // PKCS #8 wraps the PKCS #1 key that is wanted here in 26 bytes.
                EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..])
            }
        };
        Self { id: format!("key-{}", NUMBER.fetch_add(1, Ordering::Relaxed)), algorithm, private }
    }

    /// The public half, as the issuer shows it.
    pub fn public(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.private, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }
}

/// What the server answers, and how often it was asked for keys.
#[derive(Default)]
pub struct Pages {
    pub discovery: Value,
    pub keys: Value,
    /// What a POST to a path is answered with, in turn, and the bodies that came.
    pub posts: Vec<(String, u16, Value)>,
    pub posted: Vec<String>,
    pub broken: bool,
}

/// A running issuer; it ends with the test.
pub struct Issuer {
    pub url: String,
    pub pages: Arc<Mutex<Pages>>,
    pub asked: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Issuer {
    pub async fn start(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({
            "issuer": url,
            "jwks_uri": format!("{url}/keys"),
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "device_authorization_endpoint": format!("{url}/device"),
        });
        let pages = Arc::new(Mutex::new(Pages { discovery, ..Pages::default() }));
        let asked = Arc::new(AtomicUsize::new(0));
        let server = tokio::spawn(serve(listener, Arc::clone(&pages), Arc::clone(&asked)));
        let issuer = Self { url, pages, asked, server };
        issuer.show(keys);
        issuer
    }

    /// Shows these keys from now on.
    pub fn show(&self, keys: &[&Key]) {
        self.pages.lock().unwrap().keys = json!({"keys": keys.iter().map(|key| key.public()).collect::<Vec<_>>()});
    }

    /// The claims of a job, good for five minutes.
    pub fn claims(&self) -> Value {
        json!({
            "iss": self.url,
            "aud": "larder",
            "sub": "repo:team/model:ref:refs/heads/main",
            "exp": NOW.as_second() + 300,
            "nbf": NOW.as_second() - 5,
            "iat": NOW.as_second(),
            "jti": "jti-1",
            "repository": "team/model",
            "repository_owner_id": "42",
            "ref": "refs/heads/main",
            "event_name": "push",
        })
    }
}

async fn serve(listener: TcpListener, pages: Arc<Mutex<Pages>>, asked: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let Some((path, body)) = request(&mut stream).await else { continue };
        let (status, answer) = {
            let mut pages = pages.lock().unwrap();
            match path.as_str() {
                _ if pages.broken => (500, json!({})),
                "/.well-known/openid-configuration" => (200, pages.discovery.clone()),
                "/keys" => {
                    asked.fetch_add(1, Ordering::Relaxed);
                    (200, pages.keys.clone())
                }
                _ => match pages.posts.iter().position(|(at, ..)| *at == path) {
                    Some(place) => {
                        let (_, status, answer) = pages.posts.remove(place);
                        pages.posted.push(body);
                        (status, answer)
                    }
                    None => (404, json!({})),
                },
            }
        };
        let answer = answer.to_string();
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
        let _ = stream.write_all(format!("{head}{answer}").as_bytes()).await;
    }
}

async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await.ok()?;
        bytes.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Some((head.split(' ').nth(1)?.to_owned(), body.to_owned()));
            }
        }
        if length == 0 {
            return None;
        }
    }
}
