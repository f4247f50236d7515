//! `larder login --device`: somebody logs in at a terminal by way of an identity provider, which runs here, behind TLS.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SigningKey};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::larder::{Served, code, folders, larder, stderr, stdout};
use crate::unknown_authorities::certified;

/// What the provider answers when it is asked for the token, in turn; then it says who somebody is.
type Answers = Arc<Mutex<Vec<(u16, Value)>>>;

struct Provider {
    url: String,
    authority: std::path::PathBuf,
    answers: Answers,
}

impl Provider {
    async fn start(folder: &Path) -> Self {
        let (acceptor, authority) = certified(folder, &["localhost"]);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
        let answers = Answers::default();
        tokio::spawn(serve(listener, acceptor, url.clone(), Arc::clone(&answers)));
        Self { url, authority, answers }
    }

    fn served(&self, data: &Path) -> Served {
        let authority = self.authority.display().to_string();
        let settings = [
            ("LARDER_OIDC__ISSUER", self.url.as_str()),
            ("LARDER_OIDC__CLIENT_ID", "larder"),
            ("SSL_CERT_FILE", authority.as_str()),
        ];
        Served::start_with(data, &[], &settings)
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, url: String, answers: Answers) {
    let key = Arc::new(KeyPair::generate_for(&PKCS_ED25519).expect("a key"));
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, url, answers, key) = (acceptor.clone(), url.clone(), Arc::clone(&answers), Arc::clone(&key));
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                answer(stream, &url, &answers, &key).await;
            }
        });
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, url: &str, answers: &Answers, key: &KeyPair) {
    let mut request = vec![0; 8192];
    let length = stream.read(&mut request).await.unwrap_or(0);
    let text = String::from_utf8_lossy(&request[..length]).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, body) = match path.as_str() {
        "/.well-known/openid-configuration" => (
            200,
            json!({
                "issuer": url, "jwks_uri": format!("{url}/keys"), "token_endpoint": format!("{url}/token"),
                "authorization_endpoint": format!("{url}/authorize"), "device_authorization_endpoint": format!("{url}/device"),
            }),
        ),
        "/keys" => (
            200,
            json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "1",
            "x": URL_SAFE_NO_PAD.encode(key.der_bytes()),
        }] }),
        ),
        "/device" => (
            200,
            json!({
                "device_code": "the device's code", "user_code": "WDJB-MJHT", "verification_uri": format!("{url}/type-it-here"),
                "expires_in": 60, "interval": 1,
            }),
        ),
        "/token" => {
            let next = {
                let mut left = answers.lock().expect("no panic");
                (!left.is_empty()).then(|| left.remove(0))
            };
            next.unwrap_or_else(|| (200, json!({ "id_token": id_token(url, key) })))
        }
        _ => (404, json!({})),
    };
    let body = body.to_string();
    let head = format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn id_token(issuer: &str, key: &KeyPair) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({
        "iss": issuer, "aud": "larder", "sub": "7", "preferred_username": "dora", "iat": now, "exp": now + 300,
    });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": "1" })), encode(&claims));
    let signature = key.sign(message.as_bytes()).expect("a signature");
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn run(home: &Path, words: &[&str]) -> std::process::Output {
    let mut command = larder(words);
    command
        .env("HOME", home)
        .env_remove("DOCKER_CONFIG")
        .env_remove("REGISTRY_AUTH_FILE")
        .env_remove("XDG_CONFIG_HOME");
    command.env_remove("XDG_RUNTIME_DIR");
    tokio::task::spawn_blocking(move || command.output().expect("the program can be started")).await.expect("no panic")
}

/// The first user, before whom nobody else logs in.
fn administrator(folder: &Path, data: &Path) {
    let password = folder.join("password");
    std::fs::write(&password, "correct horse battery\n").expect("it can be written");
    let mut command = larder(&["user", "add", "root", "--password-stdin", "--data"]);
    let command = command.arg(data).stdin(std::fs::File::open(&password).expect("it is there"));
    let output = command.output().expect("the program can be started");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_logs_in_by_a_code_in_any_browser() {
    let (parent, data) = folders();
    administrator(parent.path(), &data);
    let provider = Provider::start(parent.path()).await;
    let served = provider.served(&data);
    let host = served.url().trim_start_matches("http://").to_owned();
    provider.answers.lock().expect("no panic").push((400, json!({ "error": "authorization_pending" })));
    let words = ["login", &host, "--device"];
    let output = tokio::time::timeout(Duration::from_secs(30), run(parent.path(), &words)).await.expect("it ends");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains(&format!("{}/type-it-here", provider.url)) && said.contains("WDJB-MJHT"), "{said}");
    assert!(stdout(&output).contains("as user:dora"), "{}", stdout(&output));
    let me = run(parent.path(), &["whoami", "--output", "json"]).await;
    let me: Value = serde_json::from_str(&stdout(&me)).expect("it is JSON");
    assert_eq!(me["identity"], "user:dora");
    // docker has a token, which logging out takes back.
    let docker = std::fs::read(parent.path().join(".docker/config.json")).expect("docker's file");
    let docker: Value = serde_json::from_slice(&docker).expect("it is JSON");
    assert!(docker["auths"][&host]["auth"].is_string(), "{docker}");
    assert_eq!(code(&run(parent.path(), &["logout", &host]).await), 0);
    let pair = base64::engine::general_purpose::STANDARD.decode(docker["auths"][&host]["auth"].as_str().expect("text"));
    let pair = String::from_utf8(pair.expect("base64")).expect("text");
    let (user, token) = pair.split_once(':').expect("a pair");
    assert!(user == "dora" && token.starts_with("ldr_"), "{user}");
    let asked = reqwest::Client::new().get(format!("{}/v2/", served.url())).basic_auth(user, Some(token)).send().await;
    assert_eq!(asked.expect("an answer").status(), 401);
    // Who says no is not let in.
    provider.answers.lock().expect("no panic").push((400, json!({ "error": "access_denied" })));
    let refused = run(parent.path(), &["login", &host, "--device"]).await;
    assert_eq!(code(&refused), 4, "{}", stderr(&refused));
}
