//! Collection: how fast bytes go, and what requests notice of it. Distribution collects with its server stopped; Larder while it serves.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Bench;
use super::blobs::in_parallel;
use super::peers::Peer;
use super::sheet::Better::{Less, More};
use crate::harness::{During, Failure, Outcome};
use crate::raw::content::{Content, image, sha256};
use crate::raw::larder::{Larder, program};
use crate::raw::{Client, Payload};

/// The small blobs of the figure.
const SMALL: u64 = 64 << 10;
/// Connections that push, and those that ask while it is swept.
const PUSHERS: usize = 4;
const ASKERS: usize = 4;
/// A sweep takes what has had no lease for so long; nothing but the command sweeps.
const LEASE: Duration = Duration::from_secs(2);

/// Rows of the table.
pub const SWEPT_SMALL: &str = "removed in a collection, blobs of 64 KiB a second";
pub const P99: [&str; 2] =
    ["p99 at a third of the peak: HEAD of a blob, ms", "p99 at a third of the peak: manifest GET, ms"];
pub const P99_SWEEPING: [&str; 2] =
    ["p99 while a sweep removes: HEAD of a blob, ms", "p99 while a sweep removes: manifest GET, ms"];

pub fn measure(bench: &mut Bench<'_>, round: usize) -> Outcome {
    if !bench.wants("collection") && !bench.wants("p99") {
        return Ok(());
    }
    let (blobs, large) = bench.scale.collected;
    for index in 0..bench.peers.len() {
        let peer = bench.peers[index].clone();
        let folder = bench.scratch.join(format!("collection-{index}"));
        match &peer {
            Peer::Larder(binary) => {
                std::fs::create_dir_all(&folder)?;
                larder(bench, binary, &folder, round, blobs, large)?;
            }
            Peer::Distribution2 => distribution(bench, &peer, &folder, round, blobs)?,
            Peer::Distribution3(_) | Peer::Zot(_) | Peer::Nginx { .. } => continue,
        }
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

fn larder(bench: &mut Bench<'_>, binary: &Path, folder: &Path, round: usize, blobs: u64, large: (u64, u64)) -> Outcome {
    let mut server = Larder::new(binary, &folder.join("data"))?
        .with("LEASE__TTL", &format!("{}s", LEASE.as_secs()))
        .with("SWEEP__EVERY", "24h")
        .with("LOG__LEVEL", "warn");
    server.start()?;
    let held = held_image(&mut server.client())?;
    let kinds = [format!("/v2/held/blobs/{held}"), "/v2/held/manifests/latest".to_owned()];
    push_unnamed(|| server.client(), seed(round, 0), blobs, SMALL)?;
    let peak: Vec<f64> = kinds.iter().map(|path| peak(&server, path, bench.scale.seconds)).collect::<Outcome<_>>()?;
    for ((path, row), peak) in kinds.iter().zip(P99).zip(&peak) {
        let done = AtomicBool::new(false);
        let idle = std::thread::scope(|scope| {
            let asked = scope.spawn(|| latencies(&server, path, peak / 3.0, &done));
            std::thread::sleep(Duration::from_secs(bench.scale.seconds));
            done.store(true, Ordering::Relaxed);
            asked.join().map_err(|_| Failure::new("a client panicked"))?
        })?;
        bench.sheet.note(row, Less, "Larder", p99(idle));
    }
    std::thread::sleep(LEASE);
    let done = AtomicBool::new(false);
    let (swept, asked) = std::thread::scope(|scope| {
        let asked: Vec<_> = kinds
            .iter()
            .zip(&peak)
            .map(|(path, peak)| {
                let (server, done, rate) = (&server, &done, peak / 6.0);
                scope.spawn(move || latencies(server, path, rate, done))
            })
            .collect();
        let swept = sweep(&server, blobs);
        done.store(true, Ordering::Relaxed);
        let asked: Vec<_> = asked.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        (swept, asked)
    });
    bench.sheet.note(SWEPT_SMALL, More, "Larder", blobs as f64 / swept?.as_secs_f64());
    for (row, asked) in P99_SWEEPING.iter().zip(asked) {
        bench.sheet.note(row, Less, "Larder", p99(asked.map_err(|_| Failure::new("a client panicked"))??));
    }
    let (count, size) = large;
    push_unnamed(|| server.client(), seed(round, 1), count, size)?;
    std::thread::sleep(LEASE * 2);
    let took = sweep(&server, count)?;
    let row = format!("removed in a collection, files of {} MiB a second", size >> 20);
    bench.sheet.note(&row, More, "Larder", count as f64 / took.as_secs_f64());
    server.stop().map(drop)
}

/// `registry garbage-collect` marks and removes with the server stopped; it knows blobs of repositories alone.
fn distribution(bench: &mut Bench<'_>, peer: &Peer, folder: &Path, round: usize, blobs: u64) -> Outcome {
    let (mut process, _) = peer.start(folder)?;
    held_image(&mut process.client())?;
    push_unnamed(|| process.client(), seed(round, 0), blobs, SMALL)?;
    process.stop()?;
    let begun = Instant::now();
    let mut command = program(Path::new("/usr/bin/docker-registry"));
    let output = command.arg("garbage-collect").arg(folder.join("config.yml")).output()?;
    let took = begun.elapsed();
    if !output.status.success() {
        return Err(Failure::new(format!("garbage-collect: {}", String::from_utf8_lossy(&output.stderr))));
    }
    bench.sheet.note(SWEPT_SMALL, More, peer.name(), blobs as f64 / took.as_secs_f64());
    Ok(())
}

fn seed(round: usize, part: u64) -> u64 {
    (round as u64 + 1) << 40 | (part + 1) << 36
}

/// An image that stays; the digest of its layer.
fn held_image(client: &mut Client) -> Outcome<larder_oci::Digest> {
    let (config, layer) = (b"{}".to_vec(), Content { seed: 7, size: SMALL }.bytes());
    for bytes in [&config, &layer] {
        let answer = client.push("held", &sha256(bytes), Payload::Bytes(bytes)).during(|| "push a blob".to_owned())?;
        must(answer.status, 201, "push a blob")?;
    }
    let manifest = image((&sha256(&config), 2), &[(sha256(&layer), SMALL)], "held");
    must(
        client.put_manifest("held", "latest", &manifest).during(|| "push a manifest".to_owned())?.status,
        201,
        "push a manifest",
    )?;
    Ok(sha256(&layer))
}

/// Pushes blobs that no manifest will name.
fn push_unnamed(client: impl Fn() -> Client + Sync, seed: u64, count: u64, size: u64) -> Outcome {
    let next = AtomicU64::new(0);
    in_parallel(PUSHERS, |_| {
        let mut client = client();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let content = Content { seed: seed + number, size };
            let digest = content.digest();
            let mut reader = content.reader(0);
            let answer =
                client.push("swept", &digest, Payload::Sized(&mut reader, size)).during(|| "push a blob".to_owned())?;
            must(answer.status, 201, "push a blob")?;
        }
    })
}

fn sweep(server: &Larder, expected: u64) -> Outcome<Duration> {
    let begun = Instant::now();
    let report = server.sweep()?;
    let took = begun.elapsed();
    match report["blobs_removed"].as_u64() {
        Some(removed) if removed >= expected => Ok(took),
        _ => Err(Failure::new(format!("{expected} blobs were to go: {report}"))),
    }
}

/// Requests a second that the askers reach together without a pause.
fn peak(server: &Larder, path: &str, seconds: u64) -> Outcome<f64> {
    let (count, end) = (AtomicU64::new(0), Instant::now() + Duration::from_secs(seconds));
    in_parallel(ASKERS, |_| {
        let mut client = server.client();
        while Instant::now() < end {
            ask(&mut client, path)?;
            count.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })?;
    Ok(count.into_inner() as f64 / seconds as f64)
}

/// Asks at this rate until it is done; how long each answer took from the moment when it was due, so that a stall counts for all that it delays.
fn latencies(server: &Larder, path: &str, rate: f64, done: &AtomicBool) -> Outcome<Vec<Duration>> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let pause = Duration::from_secs_f64(ASKERS as f64 / rate.max(1.0));
    in_parallel(ASKERS, |_| {
        let (mut client, mut due, mut took) = (server.client(), Instant::now(), Vec::new());
        while !done.load(Ordering::Relaxed) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            ask(&mut client, path)?;
            took.push(due.elapsed());
            due += pause;
        }
        all.lock().map_err(|_| Failure::new("a client panicked"))?.append(&mut took);
        Ok(())
    })?;
    let taken = std::mem::take(&mut *all.lock().map_err(|_| Failure::new("a client panicked"))?);
    Ok(taken)
}

fn ask(client: &mut Client, path: &str) -> Outcome {
    let status = if path.contains("/blobs/") {
        client.head(path).during(|| "HEAD of a blob".to_owned())?
    } else {
        client.get(path).during(|| "GET of a manifest".to_owned())?.status
    };
    must(status, 200, path)
}

fn must(status: u16, expected: u16, what: &str) -> Outcome {
    if status == expected { Ok(()) } else { Err(Failure::new(format!("{what}: {status}"))) }
}

/// In milliseconds.
fn p99(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    let place = (took.len() * 99 / 100).min(took.len().saturating_sub(1));
    took.get(place).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}
