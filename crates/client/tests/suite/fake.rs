//! A registry in memory over plain sockets, with a hook before every request that can make it fail.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use larder_client::credentials::{Anonymous, Credentials};
use larder_client::{Client, Hasher, Options, Repository};
use larder_oci::digest::{Algorithm, Digest};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came, without its body.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.path.split_once('?')?;
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.replace("%3A", ":").replace("%2F", "/"))
    }
}

/// What the hook makes of a request.
pub enum Act {
    /// Answer this instead.
    Reply(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Take so many bytes of the body, then hang up.
    CutBody(usize),
    /// Answer as always, but hang up after so many bytes of the body.
    CutReply(usize),
    /// Answer as always, with one byte of the body flipped.
    Flip,
    /// Say nothing more.
    Hang,
    /// Answer as always, once all that the barrier wants are here; 500 when they do not come.
    Meet(Arc<tokio::sync::Barrier>),
}

type Hook = Box<dyn FnMut(&Seen) -> Option<Act> + Send>;

#[derive(Default)]
pub struct State {
    pub blobs: HashMap<(String, String), Vec<u8>>,
    pub manifests: HashMap<(String, String), (String, Vec<u8>)>,
    uploads: HashMap<String, Vec<u8>>,
    pub log: Vec<Seen>,
    hook: Option<Hook>,
    next: u64,
    pub ranges: bool,
}

#[derive(Clone)]
pub struct Fake {
    pub host: String,
    pub state: Arc<Mutex<State>>,
}

type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let fake = Self { host, state: Arc::new(Mutex::new(State { ranges: true, ..State::default() })) };
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = serving.clone();
                tokio::spawn(async move { fake.connection(stream).await });
            }
        });
        fake
    }

    pub fn hook(&self, hook: impl FnMut(&Seen) -> Option<Act> + Send + 'static) -> &Self {
        self.state.lock().expect("unpoisoned").hook = Some(Box::new(hook));
        self
    }

    pub fn client(&self) -> Client {
        self.client_as(Arc::new(Anonymous))
    }

    pub fn client_as(&self, credentials: Arc<dyn Credentials>) -> Client {
        Client::new(options(), credentials)
    }

    pub fn repository(&self, name: &str) -> Repository {
        self.client().repository(&self.host, &name.parse().expect("a name")).expect("a repository")
    }

    pub fn put_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = Hasher::digest(Algorithm::Sha256, bytes);
        let key = (repository.to_owned(), digest.to_string());
        self.state.lock().expect("unpoisoned").blobs.insert(key, bytes.to_vec());
        digest
    }

    pub fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) -> Digest {
        let digest = Hasher::digest(Algorithm::Sha256, bytes);
        let mut state = self.state.lock().expect("unpoisoned");
        for reference in [tag.to_owned(), digest.to_string()] {
            state.manifests.insert((repository.to_owned(), reference), (media_type.to_owned(), bytes.to_vec()));
        }
        digest
    }

    pub fn blob(&self, repository: &str, digest: &Digest) -> Option<Vec<u8>> {
        self.state.lock().expect("unpoisoned").blobs.get(&(repository.to_owned(), digest.to_string())).cloned()
    }

    pub fn manifest(&self, repository: &str, reference: &str) -> Option<Vec<u8>> {
        let state = self.state.lock().expect("unpoisoned");
        state.manifests.get(&(repository.to_owned(), reference.to_owned())).map(|(_, bytes)| bytes.clone())
    }

    pub fn log(&self) -> Vec<Seen> {
        self.state.lock().expect("unpoisoned").log.clone()
    }

    /// How many requests had this method and a path with `part`.
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.log().iter().filter(|seen| seen.method == method && seen.path.contains(part)).count()
    }

    async fn connection(&self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while self.request(&mut stream).await.is_some() {}
    }

    /// `None` ends the connection.
    async fn request(&self, stream: &mut BufReader<TcpStream>) -> Option<()> {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|count| *count > 0)?;
        let mut words = line.split_ascii_whitespace();
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok().filter(|count| *count > 0)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let seen = Seen { method, path, headers };
        let act = {
            let mut state = self.state.lock().expect("unpoisoned");
            state.log.push(seen.clone());
            let mut hook = state.hook.take();
            let act = hook.as_mut().and_then(|hook| hook(&seen));
            state.hook = hook;
            act
        };
        let length: usize = seen.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let taken = match act {
            Some(Act::CutBody(count)) => count.min(length),
            Some(Act::Hang) => {
                tokio::time::sleep(std::time::Duration::from_secs(600)).await;
                return None;
            }
            _ => length,
        };
        let mut body = vec![0; taken];
        stream.read_exact(&mut body).await.ok()?;
        if matches!(act, Some(Act::CutBody(_))) {
            self.append(&seen, &body);
            return None;
        }
        let flip = matches!(act, Some(Act::Flip));
        let cut = if let Some(Act::CutReply(count)) = act { Some(count) } else { None };
        let (status, headers, mut reply) = match act {
            Some(Act::Reply(status, headers, reply)) => (status, headers, reply),
            Some(Act::Meet(barrier)) if !met(&barrier).await => (500, vec![], vec![]),
            _ => self.answer(&seen, body),
        };
        if flip {
            let middle = reply.len() / 2;
            reply[middle] ^= 1;
        }
        let mut head = format!("HTTP/1.1 {status} X\r\n");
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            head.push_str(&format!("content-length: {}\r\n", reply.len()));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        if seen.method == "HEAD" {
            return Some(());
        }
        if let Some(count) = cut.filter(|count| *count < reply.len()) {
            stream.write_all(&reply[..count]).await.ok()?;
            stream.flush().await.ok()?;
            return None;
        }
        stream.write_all(&reply).await.ok()
    }

    fn append(&self, seen: &Seen, bytes: &[u8]) {
        let mut state = self.state.lock().expect("unpoisoned");
        if let Some(session) = seen.path.rsplit('/').next().and_then(|id| state.uploads.get_mut(id)) {
            session.extend_from_slice(bytes);
        }
    }

    fn answer(&self, seen: &Seen, body: Vec<u8>) -> Answer {
        let mut state = self.state.lock().expect("unpoisoned");
        let path = seen.path.split('?').next().unwrap_or_default().trim_start_matches("/v2/").to_owned();
        if path.is_empty() {
            return (200, vec![], b"{}".to_vec());
        }
        if let Some((name, id)) = path.split_once("/blobs/uploads/") {
            return state.upload(seen, name, id, body);
        }
        if let Some((name, digest)) = path.split_once("/blobs/") {
            return state.blob(seen, name, digest);
        }
        if let Some((name, reference)) = path.split_once("/manifests/") {
            return state.manifest(seen, name, reference, body);
        }
        (404, vec![], b"{}".to_vec())
    }
}

async fn met(barrier: &tokio::sync::Barrier) -> bool {
    tokio::time::timeout(std::time::Duration::from_secs(10), barrier.wait()).await.is_ok()
}

impl State {
    fn upload(&mut self, seen: &Seen, name: &str, id: &str, body: Vec<u8>) -> Answer {
        let place = |id: &str| ("location", format!("/v2/{name}/blobs/uploads/{id}"));
        let range = |bytes: &Vec<u8>| ("range", format!("0-{}", bytes.len().max(1) - 1));
        match seen.method.as_str() {
            "POST" => {
                if let (Some(digest), Some(from)) = (seen.query("mount"), seen.query("from"))
                    && let Some(bytes) = self.blobs.get(&(from, digest.clone())).cloned()
                {
                    self.blobs.insert((name.to_owned(), digest.clone()), bytes);
                    return (201, vec![("location", format!("/v2/{name}/blobs/{digest}"))], vec![]);
                }
                self.next += 1;
                let id = format!("session-{}", self.next);
                self.uploads.insert(id.clone(), Vec::new());
                (202, vec![place(&id), ("range", "0-0".into())], vec![])
            }
            "PATCH" => {
                let Some(bytes) = self.uploads.get_mut(id) else { return (404, vec![], vec![]) };
                let start = seen.header("content-range").and_then(|range| range.split('-').next()?.parse().ok());
                if start.is_some_and(|start: usize| start != bytes.len()) {
                    return (416, vec![place(id), range(bytes)], vec![]);
                }
                bytes.extend(body);
                (202, vec![place(id), range(bytes)], vec![])
            }
            "GET" => match self.uploads.get(id) {
                Some(bytes) => (204, vec![place(id), range(bytes)], vec![]),
                None => (404, vec![], vec![]),
            },
            "PUT" => {
                let Some(mut bytes) = self.uploads.remove(id) else { return (404, vec![], vec![]) };
                bytes.extend(body);
                let digest: Digest = seen.query("digest").expect("a digest").parse().expect("a digest");
                if Hasher::digest(digest.algorithm(), &bytes) != digest {
                    let error = br#"{"errors":[{"code":"DIGEST_INVALID","message":"other bytes"}]}"#;
                    return (400, vec![], error.to_vec());
                }
                self.blobs.insert((name.to_owned(), digest.to_string()), bytes);
                (201, vec![("location", format!("/v2/{name}/blobs/{digest}"))], vec![])
            }
            _ => {
                self.uploads.remove(id);
                (204, vec![], vec![])
            }
        }
    }

    fn blob(&self, seen: &Seen, name: &str, digest: &str) -> Answer {
        let Some(bytes) = self.blobs.get(&(name.to_owned(), digest.to_owned())) else { return (404, vec![], vec![]) };
        let wanted = seen.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let wanted = wanted.map(|(from, to)| (from.parse().expect("a number"), to.parse().unwrap_or(bytes.len() - 1)));
        match wanted {
            Some((from, to)) if self.ranges => {
                let range: (&str, String) = ("content-range", format!("bytes {from}-{to}/{}", bytes.len()));
                (206, vec![range], bytes[from..=to].to_vec())
            }
            _ => (200, vec![], bytes.clone()),
        }
    }

    fn manifest(&mut self, seen: &Seen, name: &str, reference: &str, body: Vec<u8>) -> Answer {
        let digest = |bytes: &[u8]| ("docker-content-digest", Hasher::digest(Algorithm::Sha256, bytes).to_string());
        if seen.method == "PUT" {
            let media_type = seen.header("content-type").unwrap_or_default().to_owned();
            let by_digest = digest(&body);
            for reference in [reference.to_owned(), by_digest.1.clone()] {
                self.manifests.insert((name.to_owned(), reference), (media_type.clone(), body.clone()));
            }
            return (201, vec![by_digest], vec![]);
        }
        match self.manifests.get(&(name.to_owned(), reference.to_owned())) {
            Some((media_type, bytes)) => {
                (200, vec![("content-type", media_type.clone()), digest(bytes)], bytes.clone())
            }
            None => (404, vec![], br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.to_vec()),
        }
    }
}

/// Those of someone who waits for what takes its time.
pub fn patient() -> Options {
    Options { idle: std::time::Duration::from_secs(60), ..options() }
}

/// Options that make a test quick.
pub fn options() -> Options {
    let mut options = Options { idle: std::time::Duration::from_millis(400), ..Options::default() };
    options.retry.first = std::time::Duration::from_millis(5);
    options
}

/// Bytes that do not repeat.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
