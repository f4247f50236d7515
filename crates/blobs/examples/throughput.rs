//! How fast the store on disk takes and gives bytes, beside SHA-256 alone. By hand:
//!
//! `cargo run --release -p larder-blobs --example throughput -- FOLDER [MIB]`
//!
//! Rates vary two- to fourfold from run to run on shared machines, CPU-seconds per GiB far less: compare those.
#![allow(clippy::print_stdout, reason = "it is run by hand for what it prints")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use larder_blobs::fs::FsStore;
use larder_blobs::hash::{Hasher, digest_of};
use larder_blobs::suite::{body, new_id};
use larder_blobs::{BlobStore as _, Checkpoint, Committed};
use larder_oci::{Algorithm, Digest};

/// What a server's connection hands over at once.
const PIECE: usize = 128 << 10;
const GIB: f64 = (1u64 << 30) as f64;
const ROUNDS: usize = 3;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder: PathBuf = arguments.next().ok_or("which folder?")?.into();
    let mib: usize = arguments.next().map_or(Ok(512), |mib| mib.parse())?;
    let folder = tempfile::tempdir_in(folder)?;
    let store = FsStore::open(folder.path())?;
    let bytes = body(1, mib << 20);
    let digest = digest_of(Algorithm::Sha256, &bytes);
    for round in 1..=ROUNDS {
        println!("round {round}");
        sha256_alone(&bytes);
        write_alone(folder.path(), &bytes)?;
        let committed = push(&store, &bytes, &digest).await?;
        for readers in [1, 4] {
            read(&store, &committed, readers).await?;
        }
        read_medium(&store, &committed).await?;
        store.remove(&committed.key).await?;
        small_blobs(&store).await?;
    }
    many_pushes(&store, &bytes, &digest).await?;
    Ok(())
}

fn sha256_alone(bytes: &Bytes) {
    let measure = Measure::begin();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    bytes.chunks(PIECE).for_each(|piece| hasher.update(piece));
    let _digest = std::hint::black_box(hasher.finish());
    measure.end("SHA-256 alone", bytes.len());
}

fn write_alone(folder: &std::path::Path, bytes: &Bytes) -> std::io::Result<()> {
    use std::io::Write as _;
    let measure = Measure::begin();
    let mut file = std::fs::File::create(folder.join("plain"))?;
    bytes.chunks(PIECE).try_for_each(|piece| file.write_all(piece))?;
    file.sync_data()?;
    measure.end("write and sync alone", bytes.len());
    std::fs::remove_file(folder.join("plain"))
}

async fn push(store: &FsStore, bytes: &Bytes, digest: &Digest) -> larder_blobs::Result<Committed> {
    let measure = Measure::begin();
    let mut upload = store.open_upload(&new_id(), Checkpoint::start(Algorithm::Sha256)).await?;
    for from in (0..bytes.len()).step_by(PIECE) {
        upload.write(bytes.slice(from..bytes.len().min(from + PIECE))).await?;
    }
    let last_byte = Instant::now();
    let committed = upload.commit(digest).await?;
    let commit = last_byte.elapsed();
    measure.end("push", bytes.len());
    println!("{:>24} {:8.1} ms after the last byte", "commit", commit.as_secs_f64() * 1e3);
    Ok(committed)
}

async fn read(store: &FsStore, committed: &Committed, readers: usize) -> Result<(), Box<dyn std::error::Error>> {
    let measure = Measure::begin();
    let tasks = (0..readers).map(|_| {
        let (store, committed) = (store.clone(), committed.clone());
        tokio::spawn(async move {
            let object = store.open(&committed.key, committed.size).await?;
            let mut stream = object.read(0..committed.size);
            while let Some(piece) = stream.next().await {
                std::hint::black_box(piece?);
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        })
    });
    for task in futures::future::join_all(tasks).await {
        task?.map_err(|error| error.to_string())?;
    }
    measure.end(&format!("read, {readers} at once"), committed.size as usize * readers);
    Ok(())
}

async fn read_medium(store: &FsStore, committed: &Committed) -> Result<(), Box<dyn std::error::Error>> {
    let measure = Measure::begin();
    let mut stream = store.open(&committed.key, committed.size).await?.read_medium();
    while let Some(piece) = stream.next().await {
        std::hint::black_box(piece?);
    }
    measure.end("read from the medium", committed.size as usize);
    Ok(())
}

async fn small_blobs(store: &FsStore) -> larder_blobs::Result<()> {
    let (bytes, count) = (body(2, 2000), 200);
    let digest = digest_of(Algorithm::Sha256, &bytes);
    let begun = Instant::now();
    for _ in 0..count {
        let mut upload = store.open_upload(&new_id(), Checkpoint::start(Algorithm::Sha256)).await?;
        upload.write(bytes.clone()).await?;
        let committed = upload.commit(&digest).await?;
        store.remove(&committed.key).await?;
    }
    let each = begun.elapsed().as_secs_f64() * 1e3 / f64::from(count);
    println!("{:>24} {each:8.2} ms each, pushed and removed", "2,000 bytes");
    Ok(())
}

async fn many_pushes(store: &FsStore, bytes: &Bytes, digest: &Digest) -> Result<(), Box<dyn std::error::Error>> {
    let before = status("VmRSS");
    let measure = Measure::begin();
    let tasks = (0..64).map(|_| {
        let (store, bytes, digest) = (store.clone(), bytes.clone(), *digest);
        tokio::spawn(async move {
            let mut upload = store.open_upload(&new_id(), Checkpoint::start(Algorithm::Sha256)).await?;
            for piece in bytes.chunks(PIECE) {
                // Each piece in memory of its own, as from a connection.
                upload.write(Bytes::copy_from_slice(piece)).await?;
            }
            let committed = upload.commit(&digest).await?;
            store.remove(&committed.key).await
        })
    });
    for task in futures::future::join_all(tasks).await {
        task??;
    }
    measure.end("64 pushes at once", bytes.len() * 64);
    let peak = status("VmHWM");
    println!("{:>24} {:8} MiB above the {before} MiB before", "peak memory", peak.saturating_sub(before));
    Ok(())
}

struct Measure {
    begun: Instant,
    cpu: Duration,
}

impl Measure {
    fn begin() -> Self {
        Self { begun: Instant::now(), cpu: cpu() }
    }

    fn end(self, what: &str, bytes: usize) {
        let gib = bytes as f64 / GIB;
        let (wall, cpu) = (self.begun.elapsed().as_secs_f64(), (cpu() - self.cpu).as_secs_f64());
        println!("{what:>24} {:8.2} GiB/s {:8.3} CPU-s/GiB", gib / wall, cpu / gib);
    }
}

/// CPU time of this process; the kernel counts it in hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks: u64 = after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// A line of this process's status, in MiB.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.chars().filter(char::is_ascii_digit).collect::<String>().parse::<u64>().unwrap_or(0) / 1024
}
