//! A registry in memory, the server before it, and clients named for what they may do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use larder_oci::{Algorithm, Digest};
use larder_registry::{Settings, testing};
use larder_server::{Config, Peer, Service, service};
use rand::Rng;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

pub const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A registry and its server.
pub struct World {
    pub service: Service,
}

impl World {
    /// With ordinary settings.
    pub async fn new() -> Self {
        Self::with(testing::settings(), Config::default()).await
    }

    /// With these settings.
    pub async fn with(settings: Settings, config: Config) -> Self {
        let registry = testing::with_settings(settings).await;
        Self { service: service(registry, config) }
    }

    /// Somebody on this machine, without an account.
    pub fn anonymous(&self) -> Client {
        let peer = Peer::tcp("127.0.0.1:40000".parse().expect("it is an address"), 1);
        Client::of(&self.service, peer)
    }

    /// Whoever owns the data folder.
    pub fn operator(&self) -> Client {
        Client::of(&self.service, Peer::operator())
    }
}

/// Sends requests as somebody.
#[derive(Clone)]
pub struct Client {
    service: Service,
    peer: Peer,
    authorization: Option<String>,
    login: Option<Arc<Login>>,
}

/// Gets tokens when a challenge asks for one, and goes on with the last.
struct Login {
    user: String,
    password: String,
    held: Mutex<Option<String>>,
}

/// An answer, read to its end.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Client {
    /// A client at the other end of this connection, without a credential.
    pub fn of(service: &Service, peer: Peer) -> Self {
        Self { service: service.clone(), peer, authorization: None, login: None }
    }

    /// The same with a name and a password on every request.
    pub fn basic(&self, user: &str, password: &str) -> Self {
        let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
        Self { authorization: Some(format!("Basic {pair}")), ..self.clone() }
    }

    /// The same with a bearer token on every request.
    pub fn bearer(&self, token: &str) -> Self {
        Self { authorization: Some(format!("Bearer {token}")), ..self.clone() }
    }

    /// The same, getting a token for each challenge that it meets.
    pub fn logging_in(&self, user: &str, password: &str) -> Self {
        let login = Login { user: user.to_owned(), password: password.to_owned(), held: Mutex::default() };
        Self { login: Some(Arc::new(login)), ..self.clone() }
    }

    /// The same without a credential.
    pub fn nobody(&self) -> Self {
        Self { authorization: None, ..self.clone() }
    }

    /// The same from another address.
    pub fn from(&self, address: &str) -> Self {
        let address: SocketAddr = format!("{address}:4000").parse().expect("it is an address");
        Self { peer: Peer::tcp(address, 1), ..self.clone() }
    }

    /// Sends what is built elsewhere. Without a `Host` it gets the usual one.
    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        let held = self.login.as_ref().and_then(|login| login.held.lock().expect("no panic under it").clone());
        let authorization = self.authorization.clone().or(held.map(|token| format!("Bearer {token}")));
        if let Some(authorization) = authorization.filter(|_| !request.headers().contains_key("authorization")) {
            request.headers_mut().insert("authorization", authorization.parse().expect("it is a value"));
        }
        if !request.headers().contains_key("host") {
            request.headers_mut().insert("host", "localhost:5000".parse().expect("it is a value"));
        }
        request.extensions_mut().insert(self.peer);
        let (head, body) = self.service.handle(request).await.into_parts();
        let body = body.collect().await.expect("the body comes to its end").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// Sends bytes, with their length, as clients do.
    pub async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let mut answer = self.call_once(method.clone(), path, headers, body.clone()).await;
        // One token for the repository, and one with the source of a mount.
        for _ in 0..2 {
            let Some(login) = self.login.as_ref().filter(|_| answer.status == 401) else { break };
            let scope =
                answer.header("www-authenticate").split("scope=\"").nth(1).and_then(|rest| rest.split('"').next());
            let path_of_service = format!("/token?service=larder&scope={}", scope.unwrap_or("").replace(' ', "%20"));
            let service = self.basic(&login.user, &login.password);
            let given = service.call_once(Method::GET, &path_of_service, &[], Bytes::new()).await.json();
            *login.held.lock().expect("no panic under it") = given["token"].as_str().map(str::to_owned);
            answer = self.call_once(method.clone(), path, headers, body.clone()).await;
        }
        answer
    }

    async fn call_once(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let mut request = Request::builder().method(&method).uri(path);
        if !body.is_empty() || matches!(method, Method::POST | Method::PUT | Method::PATCH) {
            request = request.header("content-length", body.len());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).expect("it is a request")).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], "").await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.call(Method::GET, path, headers, "").await
    }

    pub async fn head(&self, path: &str) -> Answer {
        self.call(Method::HEAD, path, &[], "").await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, &[], "").await
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.call(Method::POST, path, &[], body).await
    }

    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.call(Method::PUT, path, &[], body).await
    }

    /// JSON to the administration API.
    pub async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.call(method, path, &[("content-type", "application/json")], body.to_string()).await
    }

    /// Pushes a blob and answers its digest.
    pub async fn blob(&self, name: &str, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = sha256(&bytes);
        let answer = self.post(&format!("/v2/{name}/blobs/uploads/?digest={digest}"), bytes).await;
        answer.expect(201);
        digest
    }

    /// Pushes a manifest.
    pub async fn manifest(&self, name: &str, reference: &str, manifest: &Value) -> Answer {
        let media_type = manifest["mediaType"].as_str().unwrap_or(IMAGE).to_owned();
        let path = format!("/v2/{name}/manifests/{reference}");
        self.call(Method::PUT, &path, &[("content-type", &media_type)], manifest.to_string()).await
    }

    /// Pushes a small image with its blobs and answers its manifest's digest.
    pub async fn image(&self, name: &str, reference: &str) -> Digest {
        let (config, layer) = (random(64), random(256));
        let manifest = image(&[descriptor(CONFIG, &config), descriptor(LAYER, &layer)]);
        self.blob(name, config).await;
        self.blob(name, layer).await;
        let answer = self.manifest(name, reference, &manifest).await;
        answer.expect(201);
        answer.header("docker-content-digest").parse().expect("it is a digest")
    }
}

impl Answer {
    /// Fails unless the status is this one.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{:?} {}", self.headers, String::from_utf8_lossy(&self.body));
        self
    }

    /// A header's value; empty when it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("headers are text"))
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().expect("headers are text")).collect()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    /// The code of the specification's error body.
    #[track_caller]
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/json");
        let body = self.json();
        let error = &body["errors"][0];
        assert!(error["message"].is_string(), "{body}");
        assert_eq!(error["detail"]["request_id"], self.header("x-request-id"), "{body}");
        error["code"].as_str().expect("there is a code").to_owned()
    }

    /// The path of `Link: <…>; rel="next"`.
    pub fn next(&self) -> Option<String> {
        let link = self.header("link");
        let path = link.strip_prefix('<')?.strip_suffix(">; rel=\"next\"")?;
        assert!(path.starts_with('/'), "{link} is relative");
        Some(path.to_owned())
    }
}

/// An image of a config and layers, in this order.
pub fn image(parts: &[Value]) -> Value {
    json!({ "schemaVersion": 2, "mediaType": IMAGE, "config": parts[0], "layers": parts[1..] })
}

/// A descriptor of bytes.
pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": sha256(bytes).to_string(), "size": bytes.len() })
}

pub fn random(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

pub fn sha256(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha256, bytes)
}

pub fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let digest = match algorithm {
        Algorithm::Sha256 => Digest::new(algorithm, &Sha256::digest(bytes)),
        Algorithm::Sha512 => Digest::new(algorithm, &Sha512::digest(bytes)),
    };
    digest.expect("a hash has its algorithm's length")
}
