//! Bytes: push, pull, the time from the last byte to 201, and memory under a crowd of uploads.

use std::fs::File;
use std::io::{BufWriter, Read, Sink, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Instant;

use larder_oci::Digest;
use rustix::fs::Advice;
use sha2::Digest as _;

use super::peers::Peer;
use super::process::{Process, own_cpu};
use super::sheet::Better::{Less, More};
use super::{Bench, MIB};
use crate::harness::{During, Failure, Outcome};
use crate::raw::content::{Content, of_hash};
use crate::raw::registry::location;
use crate::raw::{Client, Connection, Payload};

/// Rows that others are compared with.
pub const HASH_ALONE: &str = "SHA-256 alone, CPU-s/GiB";
pub const RECEIVE_ALONE: &str = "receive and write alone, CPU-s/GiB";
/// How often a program that only receives and writes starts write-back, as Larder does.
const WRITE_BACK: u64 = 8 * MIB;

const GIB: f64 = (1u64 << 30) as f64;
const CONNECTIONS: [usize; 3] = [1, 4, 16];
/// A client's read buffer.
const PIECE: usize = 256 << 10;

/// A file of random bytes in the page cache, and its digest.
struct Sample {
    path: PathBuf,
    digest: Digest,
    size: u64,
}

pub fn measure(bench: &mut Bench<'_>, round: usize) -> Outcome {
    if bench.wants(HASH_ALONE) {
        hash_alone(bench, round)?;
    }
    if bench.wants(RECEIVE_ALONE) {
        receive_alone(bench, round)?;
    }
    for connections in CONNECTIONS {
        if bench.wants("push") || bench.wants("pull") {
            push_and_pull(bench, round, connections)?;
        }
    }
    if bench.wants("last byte") {
        commits(bench, round)?;
    }
    if bench.wants("memory") {
        crowd(bench, round)?;
    }
    Ok(())
}

/// The limit of every push: the bytes hashed from memory, and nothing else.
fn hash_alone(bench: &mut Bench<'_>, round: usize) -> Outcome {
    let bytes = Content { seed: round as u64, size: 64 * MIB }.bytes();
    let times = bench.scale.volume.div_ceil(64 * MIB);
    let mut hash = sha2::Sha256::new();
    let begun = own_cpu()?;
    (0..times).for_each(|_| hash.update(&bytes));
    let cost = (own_cpu()? - begun) / ((times * 64 * MIB) as f64 / GIB);
    // The digest is used, so that the work cannot be left out.
    std::hint::black_box(hash.finalize());
    bench.sheet.note(HASH_ALONE, Less, "limit", cost);
    Ok(())
}

/// The kernel's own part of every push: a thread that reads a connection, writes a file and syncs it, and does nothing else.
fn receive_alone(bench: &mut Bench<'_>, round: usize) -> Outcome {
    let sample = sample(bench, "received", 5_000 + round as u64, bench.scale.volume)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let path = bench.scratch.join("received");
    let cost = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&listener, &path));
        let mut connection = TcpStream::connect(address)?;
        std::io::copy(&mut File::open(&sample.path)?, &mut connection)?;
        drop(connection);
        receiver.join().map_err(|_| Failure::new("the receiver panicked"))?
    })?;
    bench.sheet.note(RECEIVE_ALONE, Less, "limit", cost / (sample.size as f64 / GIB));
    std::fs::remove_file(&path)?;
    Ok(std::fs::remove_file(&sample.path)?)
}

/// CPU seconds of receiving one connection into a file.
fn receive(listener: &TcpListener, path: &Path) -> Outcome<f64> {
    let (mut connection, _) = listener.accept()?;
    let (mut file, mut piece, begun) = (File::create(path)?, vec![0; PIECE], own_cpu()?);
    let (mut at, mut started) = (0, 0);
    while let read @ 1.. = connection.read(&mut piece)? {
        file.write_all(&piece[..read])?;
        at += read as u64;
        if at - started >= WRITE_BACK {
            rustix::fs::fadvise(&file, started, NonZeroU64::new(at - started), Advice::DontNeed)?;
            started = at;
        }
    }
    file.sync_data()?;
    Ok(own_cpu()? - begun)
}

fn push_and_pull(bench: &mut Bench<'_>, round: usize, connections: usize) -> Outcome {
    let samples = samples(bench, round, connections)?;
    for index in 0..bench.peers.len() {
        let peer = bench.peers[index].clone();
        let folder = bench.scratch.join(format!("server-{index}"));
        let paths = if peer.is_registry() {
            samples.iter().map(|sample| format!("/v2/bench/blobs/{}", sample.digest)).collect()
        } else {
            link(&samples, &folder)?
        };
        let (mut process, _) = peer.start(&folder)?;
        if peer.is_registry() {
            let row = format!("push, {connections} connections");
            timed(bench, &row, peer.name(), &process, |process| push_all(process, &samples))?;
            samples.iter().try_for_each(|sample| check(&process, sample))?;
        }
        let row = format!("pull, {connections} connections");
        timed(bench, &row, peer.name(), &process, |process| pull_all(process, &samples, &paths))?;
        process.stop()?;
        std::fs::remove_dir_all(&folder)?;
    }
    remove(&samples)
}

/// CPU per GiB and rate of moving the round's volume.
fn timed(
    bench: &mut Bench<'_>,
    row: &str,
    server: &str,
    process: &Process,
    work: impl FnOnce(&Process) -> Outcome,
) -> Outcome {
    let (cpu, begun) = (process.cpu(), Instant::now());
    work(process).during(|| format!("{row} of {server}"))?;
    let gibibytes = bench.scale.volume as f64 / GIB;
    bench.sheet.note(&format!("{row}, CPU-s/GiB"), Less, server, (process.cpu() - cpu) / gibibytes);
    bench.sheet.note(&format!("{row}, GiB/s"), More, server, gibibytes / begun.elapsed().as_secs_f64());
    Ok(())
}

fn push_all(process: &Process, samples: &[Sample]) -> Outcome {
    in_parallel(samples.len(), |index| push(process.client(), &samples[index]))
}

/// As docker pushes: POST, one streamed PATCH without a length, PUT.
fn push(mut client: Client, sample: &Sample) -> Outcome {
    let started = client.start_upload("bench")?;
    let session = location(&started).during(|| format!("POST answered {}", started.status))?;
    let mut file = File::open(&sample.path)?;
    let patched = client.patch(&session, None, Payload::Chunked(&mut file))?;
    let session = location(&patched).during(|| format!("PATCH answered {}: {}", patched.status, patched.text()))?;
    let finished = client.finish(&session, &sample.digest, Payload::Empty)?;
    if finished.status == 201 { Ok(()) } else { Err(Failure::new(format!("PUT answered {}", finished.status))) }
}

/// As containerd pushes: POST, then one PUT of known length, handed over by the kernel.
fn push_at_once(mut client: Client, sample: &Sample) -> Outcome {
    let file = File::open(&sample.path)?;
    let pushed = client.push("bench", &sample.digest, Payload::File(&file, sample.size))?;
    if pushed.status == 201 { Ok(()) } else { Err(Failure::new(format!("PUT answered {}", pushed.status))) }
}

fn pull_all(process: &Process, samples: &[Sample], paths: &[String]) -> Outcome {
    in_parallel(samples.len(), |index| {
        let mut sink = Counting { sink: std::io::sink(), bytes: 0 };
        let mut buffered = BufWriter::with_capacity(PIECE, &mut sink);
        let reply = process.client().send_into("GET", &paths[index], &[], Payload::Empty, &mut buffered)?;
        buffered.flush()?;
        drop(buffered);
        if reply.status == 200 && sink.bytes == samples[index].size {
            Ok(())
        } else {
            Err(Failure::new(format!("GET answered {} with {} bytes", reply.status, sink.bytes)))
        }
    })
}

/// What was pushed comes back with the right digest, and is in the page cache; not part of any time.
fn check(process: &Process, sample: &Sample) -> Outcome {
    let (status, digest, size) = process.client().blob("bench", &sample.digest)?;
    if (status, digest, size) == (200, sample.digest, sample.size) {
        Ok(())
    } else {
        Err(Failure::new(format!("a pull gave {status}, {size} bytes of {digest}")))
    }
}

/// From the last byte sent to the 201, for a small and a large blob.
fn commits(bench: &mut Bench<'_>, round: usize) -> Outcome {
    let (small, large) = bench.scale.commit;
    for (number, size) in [small, large].into_iter().enumerate() {
        let sample = sample(bench, "commit", 7_000 + 10 * round as u64 + number as u64, size)?;
        for index in 0..bench.peers.len() {
            let peer = bench.peers[index].clone();
            if !peer.is_registry() {
                continue;
            }
            let folder = bench.scratch.join(format!("server-{index}"));
            let (mut process, _) = peer.start(&folder)?;
            let milliseconds = commit(&process, &sample)?;
            let row = format!("last byte to 201, {} MiB, ms", size / MIB);
            bench.sheet.note(&row, Less, peer.name(), milliseconds);
            process.stop()?;
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::remove_file(&sample.path)?;
    }
    Ok(())
}

fn commit(process: &Process, sample: &Sample) -> Outcome<f64> {
    let started = process.client().start_upload("bench")?;
    let session = location(&started).during(|| format!("POST answered {}", started.status))?;
    let mut connection = Connection::open(process.port())?;
    let mut file = File::open(&sample.path)?;
    let kind = [("Content-Type", "application/octet-stream")];
    connection.send("PATCH", &session, &kind, Payload::Chunked(&mut file))?;
    let begun = Instant::now();
    let patched = connection.receive("PATCH")?;
    let session = location(&patched).during(|| format!("PATCH answered {}", patched.status))?;
    let path = crate::raw::registry::with_query(&session, &format!("digest={}", sample.digest));
    let finished = connection.exchange("PUT", &path, &kind, Payload::Empty)?;
    if finished.status != 201 {
        return Err(Failure::new(format!("PUT answered {}", finished.status)));
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Anonymous memory at its largest while many uploads run at once.
fn crowd(bench: &mut Bench<'_>, round: usize) -> Outcome {
    let (uploads, size) = bench.scale.crowd;
    let sample = sample(bench, "crowd", 9_000 + round as u64, size)?;
    for index in 0..bench.peers.len() {
        let peer: Peer = bench.peers[index].clone();
        if !peer.is_registry() {
            continue;
        }
        let folder = bench.scratch.join(format!("server-{index}"));
        let (mut process, _) = peer.start(&folder)?;
        let all = || in_parallel(uploads, |_| push_at_once(process.client(), &sample));
        let ((), peak) = process.peak_memory(all)?;
        let row = format!("memory (RssAnon) at {uploads} pushes of {} MiB, MiB", size / MIB);
        bench.sheet.note(&row, Less, peer.name(), peak as f64 / MIB as f64);
        process.stop()?;
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(std::fs::remove_file(&sample.path)?)
}

fn samples(bench: &Bench<'_>, round: usize, connections: usize) -> Outcome<Vec<Sample>> {
    let size = bench.scale.volume / connections as u64;
    let seed = (round * 1_000 + connections * 20) as u64;
    (0..connections).map(|number| sample(bench, "blob", seed + number as u64, size)).collect()
}

fn sample(bench: &Bench<'_>, name: &str, seed: u64, size: u64) -> Outcome<Sample> {
    let path = bench.scratch.join(format!("{name}-{seed}"));
    let mut reader = Content { seed, size }.reader(0);
    let (mut file, mut hash, mut piece) = (File::create(&path)?, sha2::Sha256::new(), vec![0; PIECE]);
    while let read @ 1.. = reader.read(&mut piece)? {
        hash.update(&piece[..read]);
        file.write_all(&piece[..read])?;
    }
    // Written back now, so that it does not disturb what is measured.
    file.sync_all()?;
    Ok(Sample { path, digest: of_hash(hash), size })
}

fn link(samples: &[Sample], folder: &Path) -> Outcome<Vec<String>> {
    std::fs::create_dir_all(folder)?;
    let mut paths = Vec::new();
    for (number, sample) in samples.iter().enumerate() {
        std::fs::hard_link(&sample.path, folder.join(number.to_string()))?;
        paths.push(format!("/{number}"));
    }
    Ok(paths)
}

fn remove(samples: &[Sample]) -> Outcome {
    for sample in samples {
        std::fs::remove_file(&sample.path)?;
    }
    Ok(())
}

/// Runs `work` for each index on a thread of its own.
pub fn in_parallel(count: usize, work: impl Fn(usize) -> Outcome + Sync) -> Outcome {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|index| {
                scope.spawn({
                    let work = &work;
                    move || work(index)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| Failure::new("a client panicked"))?)
    })
}

struct Counting {
    sink: Sink,
    bytes: u64,
}

impl Write for Counting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes += bytes.len() as u64;
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}
