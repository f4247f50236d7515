//! The collector against pushes (reliability G1, G2): layers that many images share lose their last image, run out of their lease and
//! are pushed again, while the sweep never rests. With `push.sparse = refuse`, or it would prove nothing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use larder_oci::Digest;
use rand::RngExt;

use crate::faults::{Held, Rig};
use crate::harness::{Failure, Outcome};
use crate::raw::content::{Content, image, sha256};
use crate::raw::{Client, Larder, Payload};
use crate::{ensure, ensure_eq};

const PUSHERS: u64 = 3;
const REPOSITORIES: u64 = 2;
/// So many that about a third of them is left alone for the term of a lease, and collected.
const LAYERS: u64 = 6_000;
/// The shortest that the configuration takes.
const LEASE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Shared {
    port: u16,
    over: AtomicBool,
    pushes: AtomicU64,
    /// Images in flight or being deleted, which others keep away from.
    busy: Mutex<BTreeSet<(u64, [u64; 3])>>,
}

/// Runs the trial.
pub fn sweep_against_pushes(rig: Rig<'_>) -> Outcome<Held> {
    let (pushes, least) = rig.rounds((10_000, LEASE + Duration::from_secs(25)), (1_000_000, LEASE * 10));
    let server = rig
        .server()?
        .with("PUSH__SPARSE", "refuse")
        .with("LEASE__TTL", "60s")
        .with("TRASH__WINDOW", "0s")
        .with("STORAGE__RESERVE", "1MiB");
    let mut server = server.with("SWEEP__BACKGROUND", "false");
    server.start()?;
    let shared = Arc::new(Shared {
        port: server.port(),
        over: AtomicBool::new(false),
        pushes: AtomicU64::new(0),
        busy: Mutex::default(),
    });
    let threads: Vec<_> = (0..PUSHERS)
        .map(|pusher| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || push_until_over(&shared, pusher))
        })
        .collect();
    let swept = sweep_until(&server, &shared, pushes, least, rig);
    shared.over.store(true, Ordering::SeqCst);
    for thread in threads {
        thread.join().map_err(|_| Failure::new("a pusher panicked"))??;
    }
    let (sweeps, removed) = swept?;
    ensure!(removed > 50, "only {removed} blobs were collected: this proves nothing");
    let report = server.verify(&[])?;
    ensure!(report["sound"] == true, "verify: {report:#}");
    server.stop()?;
    let pushed = shared.pushes.load(Ordering::SeqCst);
    Held::after(pushed, format!("pushes whole, none refused, during {sweeps} sweeps that took {removed} blobs"))
}

/// Collects without a pause, until enough was pushed in enough time. Answers sweeps and blobs that they took.
fn sweep_until(server: &Larder, shared: &Shared, pushes: u64, least: Duration, rig: Rig<'_>) -> Outcome<(u64, u64)> {
    let begun = Instant::now();
    let (mut sweeps, mut removed) = (0, 0);
    loop {
        let enough = shared.pushes.load(Ordering::SeqCst) >= pushes || (rig.short && begun.elapsed() > least * 2);
        if (enough && begun.elapsed() > least) || !rig.has_time() || shared.over.load(Ordering::SeqCst) {
            return Ok((sweeps, removed));
        }
        let reply = server.control("POST", "/api/v1/sweep")?;
        let text = reply.text();
        let last: serde_json::Value =
            text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        ensure!(last["report"].is_object(), "a sweep: {} {text}", reply.status);
        removed += last["report"]["blobs_removed"].as_u64().unwrap_or(0);
        sweeps += 1;
        // The walk over the store costs; without a breath the pushers would be measured, not tried.
        std::thread::sleep(Duration::from_millis(15));
    }
}

fn push_until_over(shared: &Shared, pusher: u64) -> Outcome {
    let result = (|| {
        let mut client = Client::new(shared.port);
        while !shared.over.load(Ordering::SeqCst) {
            one_push(shared, &mut client, pusher)?;
            shared.pushes.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    })();
    if result.is_err() {
        shared.over.store(true, Ordering::SeqCst);
    }
    result
}

/// Says HEAD as clients do, sends or mounts what is missing, names it in a manifest, reads it back, and mostly deletes the image again.
fn one_push(shared: &Shared, client: &mut Client, pusher: u64) -> Outcome {
    let mut random = rand::rng();
    let number = random.random_range(0..REPOSITORIES);
    let repository = format!("team/model-{number}");
    let mut layers = [(); 3].map(|()| random.random_range(0..LAYERS));
    layers.sort_unstable();
    let busy = || shared.busy.lock().unwrap_or_else(PoisonError::into_inner);
    if !busy().insert((number, layers)) {
        return Ok(());
    }
    let mut named = Vec::new();
    for seed in layers {
        let content = Content { seed, size: 600 + seed % 3_000 };
        named.push((provide(client, &repository, content, &mut random)?, content.size));
    }
    let config = Content { seed: u64::MAX - pusher, size: 30 };
    let config_digest = provide(client, &repository, config, &mut random)?;
    let manifest = image((&config_digest, config.size), &named, "");
    let reply = client.put_manifest(&repository, &format!("p{pusher}"), &manifest)?;
    ensure_eq!(reply.status, 201, "a manifest whose blobs were acknowledged: {}", reply.text());
    let digest = sha256(&manifest).to_string();
    ensure_eq!(client.manifest(&repository, &digest)?.body, manifest, "the manifest");
    for (digest, size) in &named {
        ensure_eq!(client.blob(&repository, digest)?, (200, *digest, *size), "a blob of an acknowledged image");
    }
    if random.random_ratio(19, 20) {
        let reply = client.delete_manifest(&repository, &digest)?;
        ensure_eq!(reply.status, 202, "a delete: {}", reply.text());
    }
    busy().remove(&(number, layers));
    Ok(())
}

fn provide(client: &mut Client, repository: &str, content: Content, random: &mut impl rand::Rng) -> Outcome<Digest> {
    let digest = content.digest();
    match client.head(&format!("/v2/{repository}/blobs/{digest}"))? {
        200 => return Ok(digest),
        404 => {}
        other => return Err(Failure::new(format!("HEAD of a blob: {other}"))),
    }
    let mount = random.random_ratio(1, 2);
    let reply = if mount {
        let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}");
        let reply = client.send("POST", &path, &[], Payload::Empty)?;
        match (reply.status, crate::raw::registry::location(&reply)) {
            (202, Some(location)) => client.finish(&location, &digest, Payload::Bytes(&content.bytes()))?,
            _ => reply,
        }
    } else {
        client.push(repository, &digest, Payload::Bytes(&content.bytes()))?
    };
    ensure_eq!(reply.status, 201, "a blob: {}", reply.text());
    Ok(digest)
}
