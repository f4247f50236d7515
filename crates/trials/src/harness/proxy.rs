//! A TCP proxy on loopback that writes down what a client asks for, and cuts connections.
//!
//! It makes every connection carry one request (it adds `Connection: close` on the way to the server), so
//! that what passes after a request's head is that request's body and its answer, and nothing else.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::harness::Outcome;

/// Longest request head that is let through.
const HEAD_LIMIT: usize = 64 << 10;
/// How a TLS connection begins.
const TLS_HANDSHAKE: u8 = 0x16;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the registry.
    Up,
    /// From the registry to the client.
    Down,
}

/// Cut a connection once this much of a body has passed.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The request's method.
    pub method: &'static str,
    /// A part of the request's path.
    pub path: &'static str,
    /// Which body counts.
    pub way: Way,
    /// After how many bytes.
    pub after: u64,
    /// How many times.
    pub times: usize,
}

/// One request that passed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Range` header.
    pub range: Option<String>,
    /// Bytes after the head, towards the registry.
    pub up: Arc<AtomicU64>,
    /// Bytes towards the client, the answer's head among them.
    pub down: Arc<AtomicU64>,
    /// Whether it was cut.
    pub cut: Arc<AtomicBool>,
}

/// The proxy; it ends with its guard.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: u16,
    cuts: Mutex<Vec<Cut>>,
    seen: Mutex<Vec<Seen>>,
    /// Bytes per second towards the registry; 0 for as many as come.
    pace: AtomicU64,
    over: AtomicBool,
}

impl Proxy {
    /// Listens on `port` before the registry at `upstream`.
    pub fn start(port: u16, upstream: u16) -> Outcome<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            upstream,
            cuts: Mutex::default(),
            seen: Mutex::default(),
            pace: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accepting.accept(&listener));
        Ok(Self { port, shared })
    }

    /// What clients call it.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Adds a cut to those that wait.
    pub fn cut(&self, cut: Cut) {
        lock(&self.shared.cuts).push(cut);
    }

    /// Lets so many bytes per second pass towards the registry, on each connection.
    pub fn pace(&self, bytes: u64) {
        self.shared.pace.store(bytes, Ordering::Relaxed);
    }

    /// Everything that passed since the last call.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *lock(&self.shared.seen))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        // Wakes the accept loop, which then sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming().flatten() {
            if self.over.load(Ordering::Acquire) {
                return;
            }
            let shared = Arc::clone(self);
            // A connection that breaks is the client's to notice.
            std::thread::spawn(move || shared.serve(client).ok());
        }
    }

    fn serve(self: &Arc<Self>, mut client: TcpStream) -> std::io::Result<()> {
        let Some((head, rest)) = read_head(&mut client)? else { return Ok(()) };
        let seen = Seen::new(&head);
        lock(&self.seen).push(seen.clone());
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.upstream))?;
        server.write_all(one_request(&head).as_bytes())?;
        server.write_all(&rest)?;
        seen.up.fetch_add(rest.len() as u64, Ordering::Relaxed);

        let (upward, shared) = (seen.clone(), Arc::clone(self));
        let (client_in, server_out) = (client.try_clone()?, server.try_clone()?);
        let sending = std::thread::spawn(move || shared.pump(&client_in, &server_out, &upward, Way::Up));
        self.pump(&server, &client, &seen, Way::Down);
        close(&client, &server);
        let _ = sending.join();
        Ok(())
    }

    /// Carries bytes one way until either side ends, or until it is time to cut.
    fn pump(&self, mut from: &TcpStream, mut to: &TcpStream, seen: &Seen, way: Way) {
        let passed = match way {
            Way::Up => &seen.up,
            Way::Down => &seen.down,
        };
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
            self.wait_after(read as u64, way);
            let total = passed.fetch_add(read as u64, Ordering::Relaxed) + read as u64;
            if self.claim(seen, way, total) {
                seen.cut.store(true, Ordering::Relaxed);
                break;
            }
        }
        close(from, to);
    }

    fn wait_after(&self, bytes: u64, way: Way) {
        let pace = self.pace.load(Ordering::Relaxed);
        if way == Way::Up && pace > 0 {
            std::thread::sleep(Duration::from_micros(bytes * 1_000_000 / pace));
        }
    }

    fn claim(&self, seen: &Seen, way: Way, passed: u64) -> bool {
        let mut cuts = lock(&self.cuts);
        let due = cuts.iter_mut().find(|cut| {
            let meant = cut.way == way && cut.method == seen.method && seen.path.contains(cut.path);
            meant && cut.times > 0 && passed >= cut.after
        });
        due.map(|cut| cut.times -= 1).is_some()
    }
}

impl Seen {
    fn new(head: &str) -> Self {
        let mut words = head.split_ascii_whitespace();
        let mut next = || words.next().unwrap_or_default().to_owned();
        let (method, path) = (next(), next());
        let range = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("range").then(|| value.trim().to_owned())
        });
        Self { method, path, range, up: Arc::default(), down: Arc::default(), cut: Arc::default() }
    }

    /// Whether it sends content: a part of a blob, or a manifest.
    pub fn sends(&self) -> bool {
        matches!(self.method.as_str(), "PATCH" | "PUT") || (self.method == "POST" && self.sent() > 0)
    }

    /// Bytes of the request's body that passed.
    pub fn sent(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Bytes of the answer that passed.
    pub fn received(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// Whether this request was cut.
    pub fn was_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

/// A request's head without its empty line, and what came with it. `None` when nothing came.
fn read_head(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    client.set_read_timeout(Some(Duration::from_secs(120)))?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 8 << 10];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let read = client.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..read]);
        if read == 0 || bytes.len() > HEAD_LIMIT {
            return Ok(None);
        }
        // Clients that prefer TLS fall back when an HTTP server is what answers.
        if bytes[0] == TLS_HANDSHAKE {
            client.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")?;
            return Ok(None);
        }
    };
    let rest = bytes.split_off(end + 4);
    bytes.truncate(end);
    Ok(Some((String::from_utf8_lossy(&bytes).into_owned(), rest)))
}

/// The same head for a connection that carries nothing after it.
fn one_request(head: &str) -> String {
    let kept = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let lines: Vec<&str> = kept.collect();
    format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n"))
}

fn close(one: &TcpStream, other: &TcpStream) {
    // Either may be closed already.
    let _ = one.shutdown(Shutdown::Both);
    let _ = other.shutdown(Shutdown::Both);
}

// A panic elsewhere leaves a list that is still a list.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every connection with a mebibyte.
    fn upstream() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                read_head(&mut client).unwrap();
                let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
                let _ = client.write_all(&vec![7; 1 << 20]);
            }
        });
        port
    }

    fn ask(port: u16) -> usize {
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        client.write_all(b"GET /v2/m/blobs/x HTTP/1.1\r\nHost: m\r\nRange: bytes=5-\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        answer.len()
    }

    #[test]
    fn a_connection_is_cut_as_often_as_asked_and_everything_is_written_down() {
        let proxy = Proxy::start(0, upstream()).unwrap();
        proxy.cut(Cut { method: "GET", path: "/blobs/", way: Way::Down, after: 1 << 18, times: 1 });
        assert!(ask(proxy.port) < 1 << 20);
        assert!(ask(proxy.port) > 1 << 20);
        let seen = proxy.take_seen();
        assert_eq!(seen.iter().map(Seen::was_cut).collect::<Vec<_>>(), [true, false]);
        assert_eq!(seen[0].range.as_deref(), Some("bytes=5-"));
    }
}
