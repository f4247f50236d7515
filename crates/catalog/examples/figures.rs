//! The catalog's figures on this machine: durable manifest pushes, manifest reads, and a page of tags in a small and in a large repository.
//!
//! `cargo run --release -p larder-catalog --example figures -- [FOLDER]`

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use larder_catalog::Catalog;
use larder_catalog::model::{Condition, NewEdge, NewJob, Options, Origin, PutManifest, Sparse, Stamp};
use larder_oci::{Algorithm, Digest, EdgeKind};

const PRODUCERS: u64 = 16;
const SECONDS: u64 = 5;
const LARGE: u64 = 100_000;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let folder = match std::env::args_os().nth(1) {
        Some(path) => tempfile::tempdir_in(path)?,
        None => tempfile::tempdir()?,
    };
    let catalog = match std::env::var("LARDER_TEST_POSTGRES") {
        Ok(url) => Catalog::open_postgres(&url, &Options::default()).await?,
        Err(_) => Catalog::open_sqlite(&folder.path().join("catalog.db"), &Options::default()).await?,
    };
    let outcome = measure(&catalog, &mut std::io::stdout().lock()).await;
    catalog.close().await;
    outcome
}

async fn measure(catalog: &Catalog, out: &mut impl Write) -> Outcome<()> {
    let next = Arc::new(AtomicU64::new(1));
    let before = catalog.statistics();
    let (rate, times) = pushes(catalog, &next).await?;
    let after = catalog.statistics();
    let commits = (after.commits - before.commits).max(1) as f64;
    let group = (after.units - before.units) as f64 / commits;
    let commit = (after.commit_seconds_total - before.commit_seconds_total) * 1_000.0 / commits;
    writeln!(
        out,
        "put_manifest, {PRODUCERS} producers: {rate:.0}/s, p50 {:?}, p99 {:?}",
        at(&times, 50),
        at(&times, 99)
    )?;
    writeln!(out, "  {group:.1} units per commit, {commit:.2} ms per commit")?;
    writeln!(out, "manifest by tag, 32 readers: {:.0}/s", reads(catalog, &next).await?)?;
    fill(catalog, "small", 1_000).await?;
    fill(catalog, "large", LARGE).await?;
    for (name, after) in [("small", None), ("large", None), ("large", Some(format!("t{:08}", LARGE * 9 / 10)))] {
        let mut times = Vec::new();
        for _ in 0..50 {
            let begun = Instant::now();
            let page = catalog.tags(&name.parse()?, after.as_deref(), 1_000).await?.ok_or("no repository")?;
            times.push(begun.elapsed());
            assert_eq!(page.items.len(), 1_000);
        }
        times.sort();
        writeln!(out, "page of 1,000 tags, {name}, after {after:?}: {:?}", at(&times, 50))?;
    }
    let (rate, times) = pushes(catalog, &next).await?;
    writeln!(out, "put_manifest beside {LARGE} tags: {rate:.0}/s, p50 {:?}, p99 {:?}", at(&times, 50), at(&times, 99))?;
    Ok(())
}

fn at(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

/// Manifest, six edges, tag, history, events and a job: as a push writes them.
async fn pushes(catalog: &Catalog, next: &Arc<AtomicU64>) -> Outcome<(f64, Vec<Duration>)> {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..PRODUCERS)
        .map(|_| {
            let (catalog, next) = (catalog.clone(), Arc::clone(next));
            tokio::spawn(async move {
                let mut times = Vec::new();
                while begun.elapsed() < Duration::from_secs(SECONDS) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let push = manifest(&format!("team/r{}", number % PRODUCERS), number, 6)?;
                    let sent = Instant::now();
                    catalog.put_manifest(push).await?;
                    times.push(sent.elapsed());
                }
                Outcome::Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    times.sort();
    Ok((times.len() as f64 / begun.elapsed().as_secs_f64(), times))
}

async fn reads(catalog: &Catalog, next: &Arc<AtomicU64>) -> Outcome<f64> {
    let (begun, top) = (Instant::now(), next.load(Ordering::Relaxed));
    let tasks: Vec<_> = (0..32_u64)
        .map(|reader| {
            let catalog = catalog.clone();
            tokio::spawn(async move {
                let (mut count, mut number) = (0_u64, reader);
                while begun.elapsed() < Duration::from_secs(SECONDS) {
                    number = (number * 25_214_903_917 + 11) % top;
                    let repository = format!("team/r{}", number % PRODUCERS).parse()?;
                    let found = catalog.manifest(&repository, &format!("t{number:08}").parse()?, true).await?;
                    count += u64::from(found.is_some());
                }
                Outcome::Ok(count)
            })
        })
        .collect();
    let mut total = 0;
    for task in tasks {
        total += task.await??;
    }
    Ok(total as f64 / begun.elapsed().as_secs_f64())
}

async fn fill(catalog: &Catalog, repository: &str, tags: u64) -> Outcome<()> {
    for from in (0..tags).step_by(500) {
        let mut push = manifest(repository, u64::MAX / 2, 0)?;
        push.tags = (from..from + 500).map(|number| format!("t{number:08}").parse()).collect::<Result<_, _>>()?;
        catalog.put_manifest(push).await?;
    }
    Ok(())
}

fn manifest(repository: &str, number: u64, layers: u64) -> Outcome<PutManifest> {
    let edge = |layer: u64| {
        Ok(NewEdge {
            kind: EdgeKind::Layer,
            child: digest(number.wrapping_mul(8) + layer + 1)?,
            size: 1_000_000,
            required: true,
        })
    };
    let now = Timestamp::now();
    Ok(PutManifest {
        repository: repository.parse()?,
        digest: digest(number.wrapping_mul(8))?,
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        artifact_type: None,
        subject: None,
        annotations: None,
        labels: None,
        bytes: Bytes::from(vec![b'm'; 2_000]),
        edges: (0..layers).map(edge).collect::<Outcome<_>>()?,
        tags: vec![format!("t{number:08}").parse()?],
        how: "push",
        condition: Condition::Any,
        keep_tags: false,
        sparse: Sparse::Accept,
        taken_since: now,
        stamp: Stamp { identity: "alice".to_owned(), at: now, request_id: None, origin: Origin::default() },
        door: None,
        jobs: vec![NewJob { kind: "notify".to_owned(), payload: "{}".to_owned(), run_after: now }],
    })
}

/// Spread over the whole range, as hashes are.
fn digest(number: u64) -> Outcome<Digest> {
    let mut bytes = [0; 32];
    for (n, part) in bytes.chunks_mut(8).enumerate() {
        let mixed = number.wrapping_add(n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        part.copy_from_slice(&(mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes());
    }
    Ok(Digest::new(Algorithm::Sha256, &bytes)?)
}
