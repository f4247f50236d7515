//! What only a socket shows: slow peers, early answers, drains, HTTP/2 in the clear, the control socket.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use larder_registry::{Registry, testing};
use larder_server::{Bound, Config, Drain, Limits, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use crate::world::{random, sha256};

struct Serving {
    address: SocketAddr,
    registry: Registry,
    drain: Drain,
    task: JoinHandle<()>,
}

async fn serve(config: Config) -> Serving {
    let registry = testing::in_memory().await;
    let mut server = Server::new(registry.clone(), config);
    let address = server.listen("127.0.0.1:0".parse().expect("it is an address")).await.expect("a port is free");
    let drain = server.drain();
    Serving { address, registry, drain, task: tokio::spawn(server.serve()) }
}

fn short() -> Config {
    let tenth = Duration::from_millis(100);
    let limits =
        Limits { header_timeout: 3 * tenth, idle_timeout: 8 * tenth, stall_timeout: 4 * tenth, ..Limits::default() };
    Config { limits, drain_delay: 3 * tenth, drain_timeout: 10 * tenth, ..Config::default() }
}

impl Serving {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("it listens")
    }

    /// Sends one request in pieces of one connection and reads the answer's head.
    async fn ask(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.expect("it is taken");
        head(&mut stream).await
    }
}

/// Reads an answer up to the end of its head.
async fn head(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(read).expect("a head is text")
}

/// How long the server keeps a connection that says nothing more.
async fn closed_after(stream: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.expect("it is closed");
    begun.elapsed()
}

fn within(time: Duration, from: u64, to: u64) {
    assert!(time >= Duration::from_millis(from) && time < Duration::from_millis(to), "{time:?}");
}

/// Reliability R5 (axum #2741): a head that never ends, and a connection that never begins.
#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_not_awaited() {
    let serving = serve(short()).await;
    let mut silent = serving.connect().await;
    within(closed_after(&mut silent).await, 250, 1500);
    let mut slow = serving.connect().await;
    let begun = Instant::now();
    for byte in b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
        if slow.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    closed_after(&mut slow).await;
    within(begun.elapsed(), 250, 3000);
    // Half a preface of HTTP/2.
    let mut preface = serving.connect().await;
    preface.write_all(b"PRI * HT").await.expect("it is taken");
    within(closed_after(&mut preface).await, 200, 1500);
}

#[tokio::test]
async fn an_idle_connection_outlives_the_limit_for_heads() {
    let serving = serve(short()).await;
    let mut stream = serving.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is taken");
        assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
        let mut body = [0; 2];
        stream.read_exact(&mut body).await.expect("the body comes");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    within(closed_after(&mut stream).await, 100, 2000);
}

async fn open_upload(serving: &Serving) -> String {
    let head = serving.ask("POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").await;
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).expect("there is a location");
    location.to_owned()
}

async fn offset(serving: &Serving, location: &str) -> String {
    let head = serving.ask(&format!("GET {location} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    head.lines().find_map(|line| line.strip_prefix("range: ")).expect("there is a range").to_owned()
}

/// A peer that sends nothing any more is dropped, and what it sent is kept; one that sends a little now and then may go on.
#[tokio::test]
async fn a_stalled_push_is_dropped_and_a_slow_one_is_not() {
    let serving = serve(short()).await;
    let location = open_upload(&serving).await;
    let request = format!("PATCH {location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n");
    let mut stalled = serving.connect().await;
    stalled.write_all(request.as_bytes()).await.expect("it is taken");
    stalled.write_all(&random(400)).await.expect("it is taken");
    let begun = Instant::now();
    let told = head(&mut stalled).await;
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 408"), "{told}");
    within(begun.elapsed(), 300, 2000);
    assert_eq!(offset(&serving, &location).await, "0-399");

    let location = open_upload(&serving).await;
    let mut slow = serving.connect().await;
    let request = format!("PATCH {location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n");
    slow.write_all(request.as_bytes()).await.expect("it is taken");
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        slow.write_all(b"x").await.expect("it is taken");
    }
    assert!(head(&mut slow).await.starts_with("HTTP/1.1 202"));
}

async fn push_blob(serving: &Serving, content: &[u8]) -> String {
    let digest = sha256(content);
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    let mut stream = serving.connect().await;
    stream.write_all(head.as_bytes()).await.expect("it is taken");
    stream.write_all(content).await.expect("it is taken");
    assert!(self::head(&mut stream).await.starts_with("HTTP/1.1 201"));
    format!("/v2/a/blobs/{digest}")
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped_and_a_slow_one_gets_everything() {
    let serving = serve(short()).await;
    let content = random(24 << 20);
    let path = push_blob(&serving, &content).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");

    let mut lazy = serving.connect().await;
    lazy.write_all(request.as_bytes()).await.expect("it is taken");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut got = Vec::new();
    let ended = lazy.read_to_end(&mut got).await;
    assert!(ended.is_err() || got.len() < content.len(), "{} bytes came", got.len());

    let mut slow = serving.connect().await;
    slow.write_all(request.as_bytes()).await.expect("it is taken");
    head(&mut slow).await;
    let mut taken = 0;
    let mut buffer = vec![0; 2 << 20];
    while taken < content.len() {
        let read = slow.read(&mut buffer).await.expect("it goes on");
        assert!(read > 0 && buffer[..read] == content[taken..taken + read]);
        taken += read;
        if taken % 5 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// buildkit #4320: an error that is sent while the client is still writing must reach it.
#[tokio::test]
async fn an_early_error_reaches_a_client_that_is_still_writing() {
    let serving = serve(Config::default()).await;
    for path in ["/v2/a/manifests/latest", "/v2/A/blobs/uploads/7d9f7c80-6c41-4b6f-8d3e-2f4a5b6c7d8e"] {
        let mut stream = serving.connect().await;
        let request = format!("PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        let (mut reader, mut writer) = stream.into_split();
        let writing = tokio::spawn(async move {
            for _ in 0..80 {
                writer.write_all(&[0; 100_000]).await?;
            }
            Ok::<_, io::Error>(())
        });
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).await.expect("it is not reset");
        let answer = String::from_utf8(answer).expect("it is text");
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(answer.contains("connection: close") && answer.contains("\"errors\""), "{answer}");
        writing.await.expect("no panic").expect("the bytes were taken");
    }
}

#[tokio::test]
async fn a_small_body_that_nobody_wanted_leaves_the_connection_usable() {
    let serving = serve(Config::default()).await;
    let mut stream = serving.connect().await;
    for _ in 0..3 {
        let head_text = "PUT /v2/A/manifests/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n";
        stream.write_all(head_text.as_bytes()).await.expect("it is taken");
        stream.write_all(&[b'x'; 1000]).await.expect("it is taken");
        let told = head(&mut stream).await;
        assert!(told.starts_with("HTTP/1.1 400"), "{told}");
        let length = told.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("it has a length");
        let mut body = vec![0; length.parse().expect("a number")];
        stream.read_exact(&mut body).await.expect("the body comes");
    }
}

#[tokio::test]
async fn nobody_is_asked_to_go_on_before_he_was_let_in() {
    let serving = serve(Config::default()).await;
    let ask = |host: &str, path: &str| {
        format!("PUT {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 500000\r\nExpect: 100-continue\r\n\r\n")
    };
    let refused = serving.ask(&ask("attacker.test", "/v2/a/manifests/x")).await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    let location = open_upload(&serving).await;
    let asked = serving.ask(&ask("localhost", &format!("{location}?digest={}", sha256(b"")))).await;
    assert!(asked.starts_with("HTTP/1.1 100"), "{asked}");
}

#[tokio::test]
async fn a_head_may_not_grow_without_bound() {
    let serving = serve(Config::default()).await;
    let long = format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(100_000));
    let told = serving.ask(&long).await;
    assert!(told.starts_with("HTTP/1.1 431"), "{told}");
    let many: String = (0..200).map(|n| format!("X-{n}: 1\r\n")).collect();
    let told = serving.ask(&format!("GET /v2/ HTTP/1.1\r\nHost: localhost\r\n{many}\r\n")).await;
    assert!(told.starts_with("HTTP/1.1 431"), "{told}");
    // Two hosts, and none.
    let told = serving.ask("GET /v2/ HTTP/1.1\r\nHost: localhost\r\nHost: attacker.test\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 400"), "{told}");
    let told = serving.ask("GET /v2/ HTTP/1.0\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.0 403"), "{told}");
}

#[tokio::test]
async fn the_connection_limit_makes_newcomers_wait() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let serving = serve(Config { limits, ..Config::default() }).await;
    let first = serving.connect().await;
    let _second = serving.connect().await;
    let mut third = serving.connect().await;
    third.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("the kernel takes it");
    let waited = tokio::time::timeout(Duration::from_millis(300), third.read_u8()).await;
    assert!(waited.is_err(), "the third was served");
    drop(first);
    assert!(head(&mut third).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn http2_in_the_clear_serves_pushes_and_pulls() {
    let serving = serve(Config::default()).await;
    let stream = serving.connect().await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("it speaks h2");
    let connection = tokio::spawn(connection);
    let content = random(3 << 20);
    let digest = sha256(&content);
    let url = |path: &str| format!("http://localhost{path}");
    let push = Request::post(url(&format!("/v2/a/blobs/uploads/?digest={digest}")));
    let push = push.body(Full::from(content.clone()).boxed()).expect("a request");
    assert_eq!(sender.send_request(push).await.expect("an answer").status(), 201);
    let pull =
        Request::get(url(&format!("/v2/a/blobs/{digest}"))).body(Empty::<Bytes>::new().boxed()).expect("a request");
    let answer = sender.send_request(pull).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.into_body().collect().await.expect("the body").to_bytes(), content);
    drop(sender);
    connection.await.expect("no panic").expect("it ends well");
}

/// Reliability R6: a peer that never opens its window takes nothing.
#[tokio::test]
async fn an_http2_peer_that_takes_nothing_is_dropped() {
    let serving = serve(short()).await;
    let path = push_blob(&serving, &random(4 << 20)).await;
    let stream = serving.connect().await;
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(65_535)
        .handshake(TokioIo::new(stream))
        .await
        .expect("it speaks h2");
    let connection = tokio::spawn(connection);
    let pull = Request::get(format!("http://localhost{path}")).body(Empty::<Bytes>::new()).expect("a request");
    let answer = sender.send_request(pull).await.expect("an answer");
    let begun = Instant::now();
    // The body is not polled, so its window stays shut.
    let _ = tokio::time::timeout(Duration::from_secs(10), connection).await.expect("it is dropped");
    within(begun.elapsed(), 300, 4000);
    drop(answer);
}

#[tokio::test]
async fn a_drain_closes_the_door_and_then_the_house() {
    let limits = Limits { stall_timeout: Duration::from_secs(5), ..short().limits };
    let serving = serve(Config { limits, ..short() }).await;
    let mut open = serving.connect().await;
    let ask = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    open.write_all(ask).await.expect("it is taken");
    assert!(head(&mut open).await.starts_with("HTTP/1.1 200"));
    let location = open_upload(&serving).await;
    let mut pushing = serving.connect().await;
    let request = format!("PATCH {location} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    pushing.write_all(request.as_bytes()).await.expect("it is taken");

    let begun = Instant::now();
    serving.drain.begin();
    // Whoever comes is still let in, and told not to.
    assert!(serving.ask("GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.starts_with("HTTP/1.1 503"));
    for n in 0..5 {
        pushing.write_all(b"5\r\nhello\r\n").await.expect("it is taken");
        tokio::time::sleep(Duration::from_millis(100)).await;
        if n == 4 {
            // The door is closed, and an open connection still gets answers.
            assert!(TcpStream::connect(serving.address).await.is_err());
            let mut again = [0; 400];
            open.write_all(ask).await.expect("it is taken");
            let read = open.read(&mut again).await.expect("an answer");
            assert!(read > 0);
        }
    }
    // Whose body is cut learns that it is not his fault, when to come again and where he stands.
    let told = head(&mut pushing).await;
    assert!(told.starts_with("HTTP/1.1 503"), "{told}");
    for line in ["retry-after: 5", "connection: close", "range: 0-24", &format!("location: {location}")] {
        assert!(told.contains(line), "{line}: {told}");
    }
    drop(pushing);
    tokio::time::timeout(Duration::from_secs(5), serving.task).await.expect("it ends").expect("no panic");
    within(begun.elapsed(), 900, 3000);
    // What came before the cut is on record.
    let id = location.rsplit('/').next().expect("an id").parse().expect("an id");
    let name = "a".parse().expect("a name");
    let actor = larder_registry::Actor::anonymous(larder_registry::Rights::Everything);
    let status = serving.registry.upload_status(&actor, &name, &id).await.expect("it is there");
    assert_eq!(status.offset, 25);
}

/// A client that sends as fast as it can and only looks at the answer in between (docker, curl) gets it too.
#[tokio::test]
async fn the_answer_to_a_cut_push_reaches_a_client_that_is_still_writing() {
    let serving = serve(short()).await;
    let location = open_upload(&serving).await;
    let mut stream = serving.connect().await;
    let request = format!("PATCH {location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000000\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move { while writer.write_all(&[7; 100_000]).await.is_ok() {} });
    serving.drain.begin();
    let mut told = vec![0; 400];
    let read = reader.read(&mut told).await.expect("it is not reset");
    let told = String::from_utf8_lossy(&told[..read]);
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 5"), "{told}");
    writing.abort();
    let _ = writing.await;
    drop(reader);
    tokio::time::timeout(Duration::from_secs(8), serving.task).await.expect("it ends").expect("no panic");
}

/// Clients keep connections for later. They are let go at the beginning of a drain, not at its end; those in use go on.
#[tokio::test]
async fn a_drain_does_not_wait_for_connections_that_nobody_uses() {
    let long = Duration::from_secs(60);
    let serving = serve(Config { drain_delay: Duration::ZERO, drain_timeout: long, ..Config::default() }).await;
    let mut idle = serving.connect().await;
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is taken");
    assert!(head(&mut idle).await.starts_with("HTTP/1.1 200"));
    let mut silent = serving.connect().await;
    let location = open_upload(&serving).await;
    let mut pushing = serving.connect().await;
    let patch = format!("PATCH {location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n");
    pushing.write_all(patch.as_bytes()).await.expect("it is taken");
    tokio::time::sleep(Duration::from_millis(1200)).await;

    serving.drain.begin();
    within(closed_after(&mut idle).await, 0, 500);
    within(closed_after(&mut silent).await, 0, 500);
    // One whose request is under way goes on, and so does the next request on it.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    pushing.write_all(b"0123456789").await.expect("it is taken");
    assert!(head(&mut pushing).await.starts_with("HTTP/1.1 202"));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let put = format!(
        "PUT {location}?digest={} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        sha256(b"0123456789")
    );
    pushing.write_all(put.as_bytes()).await.expect("it is taken");
    assert!(head(&mut pushing).await.starts_with("HTTP/1.1 201"));
    tokio::time::timeout(Duration::from_secs(3), serving.task).await.expect("it ends").expect("no panic");
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let serving = serve(Config::default()).await;
    let _open = serving.connect().await;
    serving.drain.begin();
    serving.drain.hasten();
    tokio::time::timeout(Duration::from_secs(2), serving.task).await.expect("it ends").expect("no panic");
}

/// What the service manager opened is served like what was opened here.
#[tokio::test]
async fn a_socket_that_listens_already_is_taken_over() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("it has an address");
    // Queued before the server is there.
    let mut early = TcpStream::connect(address).await.expect("the kernel takes it");
    let mut server = Server::new(testing::in_memory().await, Config::default());
    server.adopt(Bound::tcp(socket).expect("it can be taken over"));
    server.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
    assert_eq!(server.addresses().len(), 2);
    let addresses = server.addresses().to_vec();
    let drain = server.drain();
    let task = tokio::spawn(server.serve());
    early.write_all(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("it is taken");
    assert!(head(&mut early).await.starts_with("HTTP/1.1 200"));
    TcpStream::connect(addresses[1]).await.expect("the other listens too");
    drain.hasten();
    task.await.expect("no panic");
}

#[tokio::test]
async fn the_control_socket_knows_its_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("larder.sock");
    std::fs::write(&path, "left by an earlier server").expect("it can be written");
    let mut server = Server::new(testing::in_memory().await, Config::default());
    server.listen_for_control(&path).expect("it can listen");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).expect("it is there").permissions());
    assert_eq!(mode & 0o777, 0o600);
    let drain = server.drain();
    let task = tokio::spawn(server.serve());
    let mut stream = UnixStream::connect(&path).await.expect("it listens");
    let request = "GET /api/v1/usage HTTP/1.1\r\nHost: control\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drain.hasten();
    task.await.expect("no panic");
}

#[tokio::test]
async fn figures_can_have_a_door_of_their_own() {
    let mut server = Server::new(testing::in_memory().await, Config::default());
    let main = server.listen("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
    let apart = server.listen_for_metrics("127.0.0.1:0".parse().expect("an address")).await.expect("a port");
    let drain = server.drain();
    let task = tokio::spawn(server.serve());
    for (address, path, status) in [
        (apart, "/metrics", 200),
        (apart, "/readyz", 200),
        (apart, "/v2/", 404),
        (apart, "/", 404),
        (main, "/metrics", 404),
        (main, "/v2/", 200),
    ] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is taken");
        assert!(head(&mut stream).await.starts_with(&format!("HTTP/1.1 {status}")), "{path}");
    }
    drain.hasten();
    task.await.expect("no panic");
}

/// What a client of HTTP/2 may send before it is asked for more, as it reads it off the wire (performance §1).
#[tokio::test]
async fn the_windows_of_http2_are_wide_enough_for_a_long_line() {
    let serving = serve(Config::default()).await;
    let mut stream = serving.connect().await;
    // The preface and empty settings.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("it is taken");
    let (mut stream_window, mut connection_window) = (None, None);
    while stream_window.is_none() || connection_window.is_none() {
        let (kind, payload) = frame(&mut stream).await;
        match kind {
            // SETTINGS: of its pairs of 2 and 4 bytes, SETTINGS_INITIAL_WINDOW_SIZE is number 4.
            4 => {
                stream_window =
                    stream_window.or(payload.chunks(6).find(|pair| pair[..2] == [0, 4]).map(|pair| number(&pair[2..])))
            }
            // WINDOW_UPDATE, and every connection begins with 65535 bytes.
            8 => connection_window = Some(65_535 + number(&payload)),
            _ => {}
        }
    }
    assert_eq!(stream_window, Some(4 << 20));
    assert_eq!(connection_window, Some(16 << 20));
}

/// Reads one frame of HTTP/2; answers its type and its payload. Both windows come on stream 0.
async fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 9];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_exact(&mut head));
    read.await.expect("a frame comes").expect("the connection stays");
    assert_eq!(head[5..], [0; 4], "a frame of the connection");
    let mut payload = vec![0; number(&head[..3]) as usize];
    stream.read_exact(&mut payload).await.expect("it is whole");
    (head[3], payload)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
