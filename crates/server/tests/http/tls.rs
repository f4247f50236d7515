//! TLS as clients meet it: both versions of HTTP, a certificate that changes under open connections, and files that cannot be used.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use larder_registry::testing;
use larder_server::{Bound, Config, Limits, Server, Tls, TlsError, TlsFiles, TlsPart};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::world::{random, sha256};

/// An authority of a test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = key();
        let certificate = params.self_signed(&key).expect("it can be signed");
        let (root, pem) = (certificate.der().clone(), certificate.pem());
        Self { issuer: Issuer::new(params, key), root, pem }
    }

    /// A certificate for a name, and its key.
    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("it is a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = key();
        (params.signed_by(&key, &self.issuer).expect("it can be signed"), key)
    }

    /// The files of a server.
    fn files(&self, name: &str) -> TlsFiles {
        let (certificate, key) = self.issue(name);
        TlsFiles {
            certificate: certificate.pem().into_bytes(),
            key: key.serialize_pem().into_bytes(),
            ..TlsFiles::default()
        }
    }

    fn client(&self, protocols: &[&str]) -> ClientConfig {
        self.client_with(protocols, None)
    }

    fn client_with(&self, protocols: &[&str], shown: Option<(rcgen::Certificate, KeyPair)>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("it is an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("there are versions")
            .with_root_certificates(roots);
        let mut config = match shown {
            Some((certificate, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
                builder.with_client_auth_cert(vec![certificate.der().clone()], key).expect("they belong together")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key can be made")
}

struct Serving {
    address: SocketAddr,
    plain: SocketAddr,
    tls: Tls,
}

async fn serve(files: &TlsFiles, config: Config) -> Serving {
    let registry = testing::in_memory().await;
    let tls = Tls::new(files).expect("the files are right");
    let mut server = Server::new(registry, config);
    let local = "127.0.0.1:0".parse().expect("it is an address");
    let address = server.listen_tls(local, tls.clone()).await.expect("a port is free");
    let plain = server.listen(local).await.expect("a port is free");
    assert_eq!((server.addresses(), server.tls_addresses()), (&[plain][..], &[address][..]));
    tokio::spawn(server.serve());
    Serving { address, plain, tls }
}

impl Serving {
    async fn connect(&self, config: ClientConfig) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let name = ServerName::try_from("localhost").expect("it is a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("hands are shaken")
    }
}

/// The certificate that the server showed.
fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().expect("it shows one")[0].clone().into_owned()
}

async fn ask_http1(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is taken");
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n{}") {
        read.push(stream.read_u8().await.expect("an answer comes"));
    }
    String::from_utf8(read).expect("it is text")
}

#[tokio::test]
async fn both_versions_of_http_are_offered_and_plain_stands_beside_them() {
    let authority = Authority::new();
    let config = Config { hsts: Some(Duration::from_secs(86_400)), ..Config::default() };
    let serving = serve(&authority.files("server"), config).await;

    let mut first = serving.connect(authority.client(&["http/1.1"])).await;
    assert_eq!(first.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let answer = ask_http1(&mut first).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=86400\r\n"), "{answer}");
    let mut silent = serving.connect(authority.client(&[])).await;
    assert!(ask_http1(&mut silent).await.starts_with("HTTP/1.1 200"));

    let second = serving.connect(authority.client(&["h2", "http/1.1"])).await;
    assert_eq!(second.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(second)).await.expect("it begins");
    tokio::spawn(connection);
    let uri = format!("https://localhost:{}/v2/", serving.address.port());
    let request = Request::get(uri).body(Empty::<Bytes>::new()).expect("it is a request");
    let answer = sender.send_request(request).await.expect("it is answered");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));

    let mut plain = TcpStream::connect(serving.plain).await.expect("it listens");
    plain.write_all(b"GET /v2/ HTTP/1.0\r\nHost: localhost\r\n\r\n").await.expect("it is taken");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.expect("an answer comes");
    assert!(answer.starts_with("HTTP/1.") && answer.contains(" 200 "), "{answer}");
    assert!(!answer.contains("strict-transport-security"), "{answer}");
}

/// Some megabytes in each direction: records, back pressure and the end of a body.
#[tokio::test]
async fn a_blob_goes_up_and_down() {
    let authority = Authority::new();
    let serving = serve(&authority.files("server"), Config::default()).await;
    let blob = random(5 << 20);
    let digest = sha256(&blob);
    let authority_name = format!("localhost:{}", serving.address.port());
    for protocol in ["http/1.1", "h2"] {
        let stream = TokioIo::new(serving.connect(authority.client(&[protocol])).await);
        let path = format!("https://{authority_name}/v2/{}/blobs", protocol.replace(['/', '.'], ""));
        let put = Request::post(format!("{path}/uploads/?digest={digest}")).header("host", &authority_name);
        let put = put.body(Full::new(Bytes::from(blob.clone()))).expect("it is a request");
        let get = Request::get(format!("{path}/{digest}")).header("host", &authority_name);
        let get = get.body(Full::new(Bytes::new())).expect("it is a request");
        let (made, got) = if protocol == "h2" {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("it begins");
            tokio::spawn(connection);
            (sender.send_request(put).await.expect("it is answered"), sender.send_request(get).await)
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.expect("it begins");
            tokio::spawn(connection);
            let made = sender.send_request(put).await.expect("it is answered");
            sender.ready().await.expect("it goes on");
            (made, sender.send_request(get).await)
        };
        assert_eq!(made.status(), 201, "{protocol}");
        let read = got.expect("it is answered").into_body().collect().await.expect("it comes to its end").to_bytes();
        assert!(read == blob, "{protocol}: {} bytes", read.len());
    }
}

#[tokio::test]
async fn a_new_certificate_holds_for_new_connections_and_closes_no_old_one() {
    let authority = Authority::new();
    let before = authority.files("before");
    let serving = serve(&before, Config::default()).await;
    let mut open = serving.connect(authority.client(&["http/1.1"])).await;
    ask_http1(&mut open).await;

    let after = authority.files("after");
    serving.tls.replace(&after).expect("they are right");
    let mut new = serving.connect(authority.client(&["http/1.1"])).await;
    assert_ne!(shown(&open), shown(&new));
    assert!(ask_http1(&mut new).await.starts_with("HTTP/1.1 200"));
    assert!(ask_http1(&mut open).await.starts_with("HTTP/1.1 200"));

    // Half-written files change nothing.
    let torn = TlsFiles { certificate: before.certificate.clone(), ..after };
    let error = serving.tls.replace(&torn).expect_err("they do not belong together");
    assert!(matches!(error, TlsError::Mismatch), "{error}");
    let again = serving.connect(authority.client(&["http/1.1"])).await;
    assert_eq!(shown(&again), shown(&new));
}

#[test]
fn what_cannot_be_used_is_told_with_what_to_do() {
    let authority = Authority::new();
    let right = authority.files("server");
    let read = |change: &dyn Fn(&mut TlsFiles)| {
        let mut files = right.clone();
        change(&mut files);
        let error = Tls::new(&files).err().expect("it is refused");
        (error.concerns(), error.to_string())
    };
    let (part, told) = read(&|files| files.certificate = b"nothing".to_vec());
    assert!(part == TlsPart::Certificate && told.contains("BEGIN CERTIFICATE"), "{told}");
    let (part, told) = read(&|files| files.certificate = files.key.clone());
    assert!(part == TlsPart::Certificate && told.contains("BEGIN CERTIFICATE"), "{told}");
    let (part, told) = read(&|files| {
        files.certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    });
    assert!(part == TlsPart::Certificate && told.contains("cannot be read"), "{told}");
    let (part, told) = read(&|files| files.key = Vec::new());
    assert!(part == TlsPart::Key && told.contains("BEGIN PRIVATE KEY"), "{told}");
    let (part, told) = read(&|files| {
        files.key = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".to_vec();
    });
    assert!(part == TlsPart::Key && told.contains("openssl pkey"), "{told}");
    let (part, told) = read(&|files| files.key = key().serialize_pem().into_bytes());
    assert!(part == TlsPart::Key && told.contains("not the key of the first certificate"), "{told}");
    let (part, told) = read(&|files| files.client_authorities = Some(Vec::new()));
    assert!(part == TlsPart::ClientAuthorities && told.contains("client certificates"), "{told}");
}

#[test]
fn the_time_that_a_certificate_holds_is_known() {
    let key = key();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("it is a name");
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let certificate = params.self_signed(&key).expect("it can be signed").pem().into_bytes();
    let files = TlsFiles { certificate, key: key.serialize_pem().into_bytes(), ..TlsFiles::default() };
    let validity = Tls::new(&files).expect("it can be used").validity().expect("it is known");
    let day = |text: &str| text.parse::<jiff::Timestamp>().expect("it is a time");
    assert_eq!(validity.left(day("2020-12-31T00:00:00Z")), Duration::from_secs(86_400));
    assert_eq!(validity.left(day("2026-01-01T00:00:00Z")), Duration::ZERO);
}

#[tokio::test]
async fn plain_http_on_a_port_of_tls_is_told_so_and_a_silent_peer_is_dropped() {
    let authority = Authority::new();
    let limits = Limits { header_timeout: Duration::from_millis(300), ..Limits::default() };
    let serving = serve(&authority.files("server"), Config { limits, ..Config::default() }).await;
    let mut stream = TcpStream::connect(serving.address).await.expect("it listens");
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer comes");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");

    for begin in [&b""[..], &[0x16, 0x03, 0x01][..]] {
        let mut stream = TcpStream::connect(serving.address).await.expect("it listens");
        stream.write_all(begin).await.expect("it is taken");
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "it is dropped");
    }
}

#[tokio::test]
async fn a_client_certificate_is_asked_for_and_must_be_an_authoritys() {
    let authority = Authority::new();
    let (people, strangers) = (Authority::new(), Authority::new());
    let files = TlsFiles { client_authorities: Some(people.pem.clone().into_bytes()), ..authority.files("server") };
    let serving = serve(&files, Config::default()).await;
    let mut without = serving.connect(authority.client(&["http/1.1"])).await;
    assert!(ask_http1(&mut without).await.starts_with("HTTP/1.1 200"));
    let mut known = serving.connect(authority.client_with(&["http/1.1"], Some(people.issue("alice")))).await;
    assert!(ask_http1(&mut known).await.starts_with("HTTP/1.1 200"));
    // In TLS 1.3 the client learns of the refusal when it reads.
    assert!(is_refused(&serving, authority.client_with(&["http/1.1"], Some(strangers.issue("alice")))).await);

    let required = TlsFiles { client_certificate_required: true, only_newest: true, ..files };
    serving.tls.replace(&required).expect("they are right");
    assert!(is_refused(&serving, authority.client(&["http/1.1"])).await);
    let mut known = serving.connect(authority.client_with(&["http/1.1"], Some(people.issue("alice")))).await;
    assert!(ask_http1(&mut known).await.starts_with("HTTP/1.1 200"));
}

async fn is_refused(serving: &Serving, config: ClientConfig) -> bool {
    let mut stream = serving.connect(config).await;
    let _ = stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    stream.read_u8().await.is_err()
}

#[tokio::test]
async fn a_handed_over_socket_takes_tls_too() {
    let authority = Authority::new();
    let tls = Tls::new(&authority.files("server")).expect("the files are right");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has one");
    let mut server = Server::new(testing::in_memory().await, Config::default());
    server.adopt(Bound::tcp(listener).expect("it can be taken").with_tls(tls.clone()));
    assert_eq!(server.tls_addresses(), [address]);
    tokio::spawn(server.serve());
    let serving = Serving { address, plain: address, tls };
    let mut stream = serving.connect(authority.client(&["http/1.1"])).await;
    assert!(ask_http1(&mut stream).await.starts_with("HTTP/1.1 200"));
}
