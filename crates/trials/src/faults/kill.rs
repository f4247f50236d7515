//! `SIGKILL` and `SIGSTOP` at any moment, and two servers on one folder.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use rand::RngExt;
use rustix::process::Signal;

use crate::faults::ledger::{Audit, Ledger, Look};
use crate::faults::load::Load;
use crate::faults::{Held, Rig};
use crate::harness::{Failure, Outcome};
use crate::raw::content::Content;
use crate::raw::registry::location;
use crate::raw::{Larder, Payload};
use crate::{ensure, ensure_eq};

/// A start on what a kill left, at most.
const QUICK: Duration = Duration::from_secs(5);
/// The shortest that the configuration takes.
const SHORT_LEASE: Duration = Duration::from_secs(60);
/// Bytes between two checkpoints inside one request (behaviour §2).
const CHECKPOINT: u64 = 256 << 20;

/// A server, what it acknowledged, and numbers for content: what one fault leaves to the next.
#[derive(Debug)]
pub struct World {
    /// The server.
    pub server: Larder,
    /// What it acknowledged.
    pub ledger: Arc<Ledger>,
    /// Where the next content comes from.
    pub seeds: Arc<AtomicU64>,
    /// What audits saw.
    pub seen: Audit,
    /// The longest start after a fall.
    pub slowest: Duration,
}

impl World {
    /// A new server with settings that keep its disk from standing in the way.
    pub fn new(server: Larder) -> Outcome<Self> {
        // Other seeds than another run's, so that a folder that was kept does not help.
        let seeds = Arc::new(AtomicU64::new(rand::rng().random::<u32>().into()));
        let mut world = Self {
            server: server.with("STORAGE__RESERVE", "1MiB"),
            ledger: Arc::default(),
            seeds,
            seen: Audit::default(),
            slowest: Duration::ZERO,
        };
        world.server.start()?;
        Ok(world)
    }

    /// The same, where a lease's end is seen.
    pub fn with_short_leases(server: Larder) -> Outcome<Self> {
        Self::new(server.with("LEASE__TTL", &format!("{}s", SHORT_LEASE.as_secs())).with("TRASH__WINDOW", "0s"))
    }

    /// Clients at work for as long as it says.
    pub fn load_for(&self, time: Duration, broken: bool) -> Load {
        let load = Load::start(&self.server, &self.ledger, &self.seeds, broken);
        std::thread::sleep(time);
        load
    }

    /// Starts again, and compares with what was acknowledged.
    pub fn recover(&mut self, look: Look) -> Outcome {
        let took = self.server.start()?;
        self.slowest = self.slowest.max(took);
        ensure!(took < QUICK, "the start took {took:?}\n{}", self.server.last_words());
        self.check(look)
    }

    /// Compares a running server with what was acknowledged.
    pub fn check(&mut self, look: Look) -> Outcome {
        let words = |failure: Failure, server: &Larder| {
            Failure::new(format!("{failure}\n--- the server's last words\n{}", server.last_words()))
        };
        let audit = self.ledger.audit(&self.server, look).map_err(|failure| words(failure, &self.server))?;
        self.seen.images += audit.images;
        self.seen.sessions += audit.sessions;
        let report = self.server.verify(&[])?;
        ensure!(report["sound"] == true, "verify: {report:#}\n{}", self.server.last_words());
        Ok(())
    }

    /// The server stands for a lease's term, which each start grants anew; then a sweep takes what was deleted, or the disk would fill up.
    pub fn rest(&mut self) -> Outcome {
        std::thread::sleep(SHORT_LEASE + Duration::from_secs(1));
        self.server.sweep()?;
        self.check(Look { all: true, ..Look::since(Instant::now()) })
    }

    /// In the end a sweep leaves nothing that no row knows.
    pub fn finish(mut self) -> Outcome<Audit> {
        self.server.sweep()?;
        let report = self.server.verify(&[])?;
        let findings = report["findings"].as_array().map(Vec::len);
        ensure_eq!(findings, Some(0), "findings after the last sweep: {report:#}");
        ensure_eq!(self.server.stop()?, Some(0), "the exit code of an orderly end");
        Ok(self.seen)
    }
}

/// Kills at random points under pushes, tag moves, deletes and sweeps.
pub fn under_load(rig: Rig<'_>) -> Outcome<Held> {
    let rounds = rig.rounds(50, 1_000);
    let mut world = World::with_short_leases(rig.server()?)?;
    let mut round = 0;
    while round < rounds && rig.has_time() {
        let since = Instant::now();
        let load = world.load_for(Duration::from_millis(rand::rng().random_range(15..350)), false);
        world.server.kill()?;
        load.end();
        world
            .recover(Look { all: round % 10 == 9, ..Look::since(since) })
            .map_err(|failure| Failure::new(format!("round {round}: {failure}")))?;
        round += 1;
        if round % 100 == 0 {
            world.rest()?;
        }
    }
    let slowest = world.slowest;
    let seen = world.finish()?;
    Held::after(
        round,
        format!(
            "{} images whole, {} uploads resumed, verify clean after each, slowest start {} ms",
            seen.images,
            seen.sessions,
            slowest.as_millis()
        ),
    )
}

/// Frozen under load, for longer and longer; nobody is refused because of it.
pub fn frozen(rig: Rig<'_>) -> Outcome<Held> {
    let pauses = rig.rounds(vec![1, 4], vec![1, 4, 15, 60, 60]);
    let mut world = World::new(rig.server()?)?;
    for pause in &pauses {
        let since = Instant::now();
        let load = world.load_for(Duration::from_millis(300), false);
        world.server.signal(Signal::STOP)?;
        std::thread::sleep(Duration::from_secs(*pause));
        world.server.signal(Signal::CONT)?;
        std::thread::sleep(Duration::from_millis(700));
        ensure_eq!(load.end(), 0, "clients that lost their connection over a pause of {pause} s");
        world.check(Look { all: true, ..Look::since(since) })?;
    }
    let seen = world.finish()?;
    let longest = pauses.iter().max().copied().unwrap_or_default();
    Held::after(pauses.len() as u64, format!("up to {longest} s, {} images whole, none refused", seen.images))
}

/// One PATCH of unknown length, as docker sends a layer, cut by a kill; the next one goes on near there.
pub fn inside_a_patch(rig: Rig<'_>) -> Outcome<Held> {
    let rounds = rig.rounds(2, 12);
    let mut server = rig.server()?.with("STORAGE__RESERVE", "1MiB");
    server.start()?;
    let mut nearest = u64::MAX;
    for round in 0..rounds {
        let content = Content { seed: round, size: 900 << 20 };
        let kept = cut_once(&mut server, content)?;
        nearest = nearest.min(kept);
    }
    server.stop()?;
    Held::after(rounds, format!("of 900 MiB at least {} MiB were kept, digest right", nearest >> 20))
}

/// Answers how many bytes were kept.
fn cut_once(server: &mut Larder, content: Content) -> Outcome<u64> {
    let at = location(&server.client().start_upload("team/large")?).ok_or_else(|| Failure::new("no session"))?;
    let until = content.size - (rand::rng().random_range(20..200) << 20);
    let sender = std::thread::spawn({
        let (mut client, at) = (server.client(), at.clone());
        move || {
            let mut endless = std::io::Read::chain(std::io::Read::take(content.reader(0), until), Never);
            client.patch(&at, None, Payload::Chunked(&mut endless)).is_err()
        }
    });
    // Until the bytes have reached its disk, whatever it says about them.
    let deadline = Instant::now() + Duration::from_secs(60);
    while stored(server)? + (24 << 20) < until {
        ensure!(Instant::now() < deadline, "the server does not take the body: {} of {until}", stored(server)?);
        std::thread::sleep(Duration::from_millis(5));
    }
    server.kill()?;
    ensure!(sender.join().unwrap_or(false), "a kill cuts the request");
    server.start()?;
    let mut client = server.client();
    let offset = match client.upload_offset(&at)? {
        Ok(offset) => offset,
        Err(reply) => return Err(Failure::new(format!("the session answers {}: {}", reply.status, reply.text()))),
    };
    ensure!(offset + 2 * CHECKPOINT > until, "only {offset} of {until} bytes were kept");
    ensure!(offset <= until, "{offset} bytes are there of {until} that were sent");
    let digest = content.digest();
    let mut rest = content.reader(offset);
    let reply = client.patch(&at, None, Payload::Chunked(&mut rest))?;
    ensure_eq!(reply.status, 202, "the rest: {}", reply.text());
    let reply = client.finish(&at, &digest, Payload::Empty)?;
    ensure_eq!(reply.status, 201, "the end: {}", reply.text());
    ensure_eq!(client.blob("team/large", &digest)?, (200, digest, content.size), "the blob");
    ensure_eq!(client.delete_blob("team/large", &digest)?.status, 202, "its delete");
    server.sweep()?;
    Ok(offset)
}

/// A body that does not go on.
#[derive(Debug)]
struct Never;

impl std::io::Read for Never {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("the body stops here"))
    }
}

/// Bytes of uploads on the server's disk.
fn stored(server: &Larder) -> Outcome<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(server.data().join("blobs/uploads"))? {
        total += entry?.metadata().map_or(0, |metadata| metadata.len());
    }
    Ok(total)
}

/// A second server on the folder ends at once and disturbs nobody.
pub fn twice(rig: Rig<'_>) -> Outcome<Held> {
    let mut server = rig.server()?;
    server.start()?;
    for _ in 0..3 {
        let mut second = rig.server()?;
        ensure!(second.start().is_err(), "a second server started on the same folder");
        ensure!(second.ended()?.is_some_and(|status| status.code() != Some(0)), "the second server did not say why");
    }
    ensure_eq!(server.client().get("/v2/")?.status, 200, "the first server");
    Held::after(3, "refused, the first goes on")
}
