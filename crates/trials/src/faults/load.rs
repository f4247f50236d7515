//! Clients that push, move a tag, delete and sweep until they are stopped or their server is gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use larder_oci::Digest;
use rand::RngExt;

use crate::faults::ledger::{HOT, Image, Ledger, Session};
use crate::raw::content::{Content, image, sha256};
use crate::raw::registry::location;
use crate::raw::{Client, Connection, Larder, Payload, Reply};

/// Images beyond which old ones are deleted.
const KEPT: usize = 40;
/// Images that a script leaves.
const SPARED: usize = 4;
const KIB: u64 = 1 << 10;

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<bool>>,
}

/// What all clients of a load share.
#[derive(Clone, Debug)]
struct Shared {
    ledger: Arc<Ledger>,
    seeds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    port: u16,
    /// Whether the server may answer that something is broken.
    broken: bool,
}

impl Load {
    /// Two pushers, two who move the hot tag, one who deletes, one who uploads something big, one who sweeps. `broken`: the disk may
    /// be, so that 5xx is an answer.
    pub fn start(server: &Larder, ledger: &Arc<Ledger>, seeds: &Arc<AtomicU64>, broken: bool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (ledger, seeds) = (Arc::clone(ledger), Arc::clone(seeds));
        let shared = Shared { ledger, seeds, stop: Arc::clone(&stop), port: server.port(), broken };
        let works: [fn(&Shared) -> Option<()>; 6] =
            [push_images, push_images, move_tag, move_tag, delete_images, push_big];
        let mut threads: Vec<_> = works
            .into_iter()
            .map(|work| {
                let shared = shared.clone();
                std::thread::spawn(move || until_over(&shared, || work(&shared)))
            })
            .collect();
        let socket = server.data().join("run/larder.sock");
        threads.push(std::thread::spawn(move || until_over(&shared, || sweep(&socket))));
        Self { stop, threads }
    }

    /// Tells the clients to stop and waits until they have; answers how many had given up before.
    pub fn end(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        // A panic of a client was printed, and counts as giving up.
        self.threads.into_iter().map(|thread| thread.join().unwrap_or(true)).filter(|gave_up| *gave_up).count()
    }
}

/// Works until somebody says that it is enough; answers whether it gave up before.
fn until_over(shared: &Shared, mut work: impl FnMut() -> Option<()>) -> bool {
    while !shared.is_over() {
        if work().is_none() {
            return !shared.is_over();
        }
    }
    false
}

/// Every kind of work once, one after the other. On a disk that is not broken all of it is done, or trouble was noted.
pub fn script(server: &Larder, ledger: &Arc<Ledger>, seeds: &Arc<AtomicU64>, broken: bool) -> bool {
    let shared = Shared {
        ledger: Arc::clone(ledger),
        seeds: Arc::clone(seeds),
        stop: Arc::default(),
        port: server.port(),
        broken,
    };
    let works: [fn(&Shared) -> Option<()>; 4] = [move_tag, push_images, move_tag, delete_a_spare_one];
    let mut whole = true;
    for work in works {
        whole &= work(&shared).is_some();
    }
    whole & sweep(&server.data().join("run/larder.sock")).is_some()
}

impl Shared {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn content(&self, size: u64) -> Content {
        Content { seed: self.seeds.fetch_add(1, Ordering::SeqCst), size }
    }

    /// The reply when it is of the kind hoped for. A lost connection tells nothing; any other answer must be explained.
    fn hope(&self, doing: &str, answer: io::Result<Reply>, status: u16) -> Option<Reply> {
        let reply = answer.ok()?;
        if reply.status == status {
            return Some(reply);
        }
        let explained = self.broken && (reply.status >= 500 || reply.status == 404);
        if !explained {
            self.ledger.trouble(format!("{doing}: {} {}", reply.status, reply.text()));
        }
        None
    }
}

/// One image, its layers in chunks. `None`: this client has to stop.
fn push_images(shared: &Shared) -> Option<()> {
    let mut client = Client::new(shared.port);
    let repository = format!("team/model-{}", rand::rng().random_range(0..3));
    let mut layers = Vec::new();
    for _ in 0..2 {
        let large = rand::rng().random_ratio(1, 8);
        let size = rand::rng().random_range(if large { 1_024 * KIB..4_096 * KIB } else { 2..200 * KIB });
        layers.push(push_in_chunks(shared, &mut client, &repository, shared.content(size))?);
    }
    let config = shared.content(64);
    let digest = config.digest();
    shared.hope("push of a config", client.push(&repository, &digest, Payload::Bytes(&config.bytes())), 201)?;
    let tag = format!("v{}", config.seed);
    let manifest = image((&digest, config.size), &layers, &tag);
    shared.hope("push of a manifest", client.put_manifest(&repository, &tag, &manifest), 201)?;
    let blobs = layers.into_iter().chain([(digest, config.size)]).collect();
    let digest = sha256(&manifest);
    shared.ledger.pushed(Image { repository, tag, manifest, digest, blobs, at: Instant::now(), doomed: false });
    Some(())
}

/// Two chunks, the second without a length, and the rest with the closing request.
fn push_in_chunks(shared: &Shared, client: &mut Client, repository: &str, content: Content) -> Option<(Digest, u64)> {
    let (bytes, digest) = (content.bytes(), content.digest());
    let (first, second) = (content.size / 3, content.size * 2 / 3);
    let started = shared.hope("start of an upload", client.start_upload(repository), 202)?;
    let at = location(&started)?;
    let mut session =
        Session { repository: repository.to_owned(), content, acknowledged: (0, Instant::now()), closing: false };
    shared.ledger.session(&at, session.clone());
    if first > 1 {
        let chunk = Payload::Bytes(&bytes[..first as usize]);
        shared.hope("a chunk", client.patch(&at, Some((0, first - 1)), chunk), 202)?;
        session.acknowledged = (first, Instant::now());
        shared.ledger.session(&at, session.clone());
        let mut rest = &bytes[first as usize..second as usize];
        shared.hope("a streamed chunk", client.patch(&at, None, Payload::Chunked(&mut rest)), 202)?;
        session.acknowledged = (second, Instant::now());
    }
    let sent = session.acknowledged.0 as usize;
    shared.ledger.session(&at, Session { closing: true, ..session });
    shared.hope("the end of an upload", client.finish(&at, &digest, Payload::Bytes(&bytes[sent..])), 201)?;
    shared.ledger.forget_session(&at);
    Some((digest, content.size))
}

fn move_tag(shared: &Shared) -> Option<()> {
    let mut client = Client::new(shared.port);
    let seed = shared.content(0).seed;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"v":"{seed}"}}}}"#
    );
    let number = shared.ledger.writing(sha256(manifest.as_bytes()));
    let answer = client.put_manifest(HOT.0, HOT.1, manifest.as_bytes());
    shared.hope("a move of the hot tag", answer, 201)?;
    shared.ledger.written(number);
    Some(())
}

/// The manifest, and then its blobs, which frees their bytes for the next sweep.
fn delete_images(shared: &Shared) -> Option<()> {
    if shared.ledger.len() < KEPT {
        std::thread::sleep(Duration::from_millis(2));
        return Some(());
    }
    delete_one(shared)
}

/// Not the last few: they are there to be found whole.
fn delete_a_spare_one(shared: &Shared) -> Option<()> {
    if shared.ledger.len() > SPARED { delete_one(shared) } else { Some(()) }
}

fn delete_one(shared: &Shared) -> Option<()> {
    let Some(image) = shared.ledger.doom() else { return Some(()) };
    let mut client = Client::new(shared.port);
    let answer = client.delete_manifest(&image.repository, &image.digest.to_string());
    shared.hope("a delete of a manifest", answer, 202)?;
    shared.ledger.deleted(&image);
    for (digest, _) in &image.blobs {
        shared.hope("a delete of a blob", client.delete_blob(&image.repository, digest), 202)?;
    }
    Some(())
}

/// A layer of some 100 MiB, which hardly ever ends before the server does.
fn push_big(shared: &Shared) -> Option<()> {
    const CHUNK: u64 = 8 << 20;
    let mut client = Client::new(shared.port);
    let content = shared.content(rand::rng().random_range(64..160) << 20);
    let repository = "team/big";
    let started = shared.hope("start of a big upload", client.start_upload(repository), 202)?;
    let at = location(&started)?;
    let mut session =
        Session { repository: repository.to_owned(), content, acknowledged: (0, Instant::now()), closing: false };
    shared.ledger.session(&at, session.clone());
    let mut reader = content.reader(0);
    let mut sent = 0;
    while sent < content.size && !shared.is_over() {
        let end = (sent + CHUNK).min(content.size);
        let chunk = Payload::Sized(&mut reader, end - sent);
        shared.hope("a big chunk", client.patch(&at, Some((sent, end - 1)), chunk), 202)?;
        sent = end;
        session.acknowledged = (sent, Instant::now());
        shared.ledger.session(&at, session.clone());
    }
    if sent == content.size {
        let digest = content.digest();
        shared.ledger.session(&at, Session { closing: true, ..session });
        shared.hope("the end of a big upload", client.finish(&at, &digest, Payload::Empty), 201)?;
        shared.ledger.forget_session(&at);
        shared.hope("a delete of a big blob", client.delete_blob(repository, &digest), 202)?;
    }
    Some(())
}

fn sweep(socket: &std::path::Path) -> Option<()> {
    std::thread::sleep(Duration::from_millis(20));
    let mut connection = Connection::open_unix(socket).ok()?;
    connection
        .exchange("POST", "/api/v1/sweep", &[("Content-Type", "application/json")], Payload::Bytes(b"{}"))
        .ok()
        .map(drop)
}
