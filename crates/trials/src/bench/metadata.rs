//! Manifests and tags: requests per second, pages, and start-up.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::Bench;
use super::blobs::in_parallel;
use super::peers::Peer;
use super::process::Process;
use super::sheet::Better::{Less, More};
use crate::harness::{During, Failure, Outcome};
use crate::raw::content::{image, sha256};
use crate::raw::{Client, Payload, Reply};

/// Tags of the small repository, and of one page.
const PAGE: usize = 1_000;
/// Tags set by one request where the server takes several.
const TAGS_AT_ONCE: usize = 100;
/// Times a page is asked for; the median counts.
const ASKED: usize = 21;

pub fn measure(bench: &mut Bench<'_>, round: usize) -> Outcome {
    for index in 0..bench.peers.len() {
        let peer = bench.peers[index].clone();
        let folder = bench.scratch.join(format!("server-{index}"));
        let (mut process, _) = peer.start(&folder)?;
        match &peer {
            Peer::Nginx { .. } => static_file(bench, &peer, &process, &folder)?,
            registry => requests(bench, registry, &process)?,
        }
        process.stop()?;
        if matches!(peer, Peer::Larder(_)) && bench.wants("start-up") {
            start_up(bench, &peer, &folder, round)?;
        }
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}

fn requests(bench: &mut Bench<'_>, peer: &Peer, process: &Process) -> Outcome {
    seed(&mut process.client(), "bench", "latest")?;
    if bench.wants("manifest GET") {
        let rate = wrk(process.port(), "/v2/bench/manifests/latest", bench.scale.seconds)?;
        bench.sheet.note("manifest GET by tag, 32 connections, per second", More, peer.name(), rate);
    }
    for connections in [1, 16] {
        if bench.wants("manifest PUT") {
            let rate = put_manifests(process, connections, bench.scale.seconds)?;
            let row = format!("durable manifest PUT, {connections} connections, per second");
            bench.sheet.note(&row, More, peer.name(), rate);
        }
    }
    if bench.wants("page of 1,000 tags") {
        tag_pages(bench, peer, process)?;
    }
    Ok(())
}

/// nginx with the same bytes: what this machine can answer at all.
fn static_file(bench: &mut Bench<'_>, peer: &Peer, process: &Process, folder: &Path) -> Outcome {
    if bench.wants("manifest GET") {
        std::fs::write(folder.join("manifest"), manifest_of("latest"))?;
        let rate = wrk(process.port(), "/manifest", bench.scale.seconds)?;
        bench.sheet.note("manifest GET by tag, 32 connections, per second", More, peer.name(), rate);
    }
    Ok(())
}

/// An image of an ordinary size with its blobs. Registries differ in what else they take; this they all do.
fn seed(client: &mut Client, repository: &str, tag: &str) -> Outcome<Vec<u8>> {
    for bytes in [b"{}".as_slice(), b"a layer"] {
        let reply = client.push(repository, &sha256(bytes), Payload::Bytes(bytes))?;
        expect(201, &reply, "PUT of a blob")?;
    }
    let manifest = manifest_of("latest");
    put(client, repository, tag, &manifest)?;
    Ok(manifest)
}

fn put(client: &mut Client, repository: &str, reference: &str, manifest: &[u8]) -> Outcome {
    expect(201, &client.put_manifest(repository, reference, manifest)?, "PUT of a manifest")
}

/// Ten layers: about two KiB, as images have.
fn manifest_of(note: &str) -> Vec<u8> {
    let layer = (sha256(b"a layer"), 7);
    image((&sha256(b"{}"), 2), &[layer; 10], note)
}

/// Requests per second of `wrk` with 32 connections.
fn wrk(port: u16, path: &str, seconds: u64) -> Outcome<f64> {
    let url = format!("http://127.0.0.1:{port}{path}");
    // Distribution says that there is nothing when the type is not asked for.
    let accept = format!("Accept: {}", larder_oci::media_type::OCI_MANIFEST);
    let output = Command::new("wrk").args(["-t2", "-c32", "-H", &accept, &format!("-d{seconds}s"), &url]).output();
    let text = String::from_utf8_lossy(&output.during(|| "wrk does not run".to_owned())?.stdout).into_owned();
    if text.contains("Non-2xx") {
        return Err(Failure::new(format!("{path} was refused: {text}")));
    }
    let rate = text.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok());
    rate.during(|| format!("wrk said no rate: {text}"))
}

/// New manifests, each with a tag of its own.
fn put_manifests(process: &Process, connections: usize, seconds: u64) -> Outcome<f64> {
    let (count, begun) = (AtomicU64::new(0), Instant::now());
    let limit = Duration::from_secs(seconds);
    in_parallel(connections, |_| {
        let mut client = process.client();
        while begun.elapsed() < limit {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let tag = format!("put-{connections}-{number}");
            put(&mut client, "bench", &tag, &manifest_of(&tag))?;
        }
        Ok(())
    })?;
    Ok(count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64())
}

/// The first page of a small repository, and for Larder pages of a large one: the others would take hours to fill it.
fn tag_pages(bench: &mut Bench<'_>, peer: &Peer, process: &Process) -> Outcome {
    let mut client = process.client();
    let large = matches!(peer, Peer::Larder(_)).then_some(("bench-many-tags", bench.scale.tags));
    for (repository, tags) in std::iter::once(("bench-tags", PAGE)).chain(large) {
        set_tags(peer, &mut client, repository, tags)?;
        let deep = tags.checked_sub(PAGE + 1).map(|before| format!("&last=t{before:07}"));
        let first = ("page of 1,000 tags", String::new());
        for (row, after) in std::iter::once(first).chain(deep.map(|deep| ("last page of 1,000 tags", deep))) {
            let path = format!("/v2/{repository}/tags/list?n={PAGE}{after}");
            let row = format!("{row} of {}, ms", grouped(tags));
            bench.sheet.note(&row, Less, peer.name(), ask(&mut client, &path)?);
        }
    }
    Ok(())
}

/// `t0000000` and so on, all of one image.
fn set_tags(peer: &Peer, client: &mut Client, repository: &str, tags: usize) -> Outcome {
    let manifest = seed(client, repository, "t0000000")?;
    let digest = sha256(&manifest);
    let at_once = if matches!(peer, Peer::Larder(_)) { TAGS_AT_ONCE } else { 1 };
    for first in (0..tags).step_by(at_once) {
        let mut wanted = (first..(first + at_once).min(tags)).map(|number| format!("t{number:07}"));
        if at_once == 1 {
            wanted.try_for_each(|tag| put(client, repository, &tag, &manifest))?;
        } else {
            let query: Vec<_> = wanted.map(|tag| format!("tag={tag}")).collect();
            put(client, repository, &format!("{digest}?{}", query.join("&")), &manifest)?;
        }
    }
    Ok(())
}

fn ask(client: &mut Client, path: &str) -> Outcome<f64> {
    let mut times = Vec::new();
    for _ in 0..ASKED {
        let begun = Instant::now();
        let reply = client.get(path)?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        let tags = reply.json()["tags"].as_array().map_or(0, Vec::len);
        if reply.status != 200 || tags != PAGE {
            return Err(Failure::new(format!("{path} gave {} and {tags} tags", reply.status)));
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[ASKED / 2])
}

/// From the start of the process to its first answer, with many manifests in its catalog.
fn start_up(bench: &mut Bench<'_>, peer: &Peer, folder: &Path, round: usize) -> Outcome {
    let (mut process, _) = peer.start(folder)?;
    let manifests = bench.scale.manifests;
    let next = AtomicU64::new(0);
    in_parallel(16, |_| {
        let mut client = process.client();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= manifests as u64 {
                return Ok(());
            }
            let tag = format!("s{round}-{number}");
            put(&mut client, "bench", &tag, &manifest_of(&tag))?;
        }
    })?;
    process.stop()?;
    let (mut process, took) = peer.start(folder)?;
    let row = format!("start-up with {} manifests, ms", grouped(manifests));
    bench.sheet.note(&row, Less, peer.name(), took.as_secs_f64() * 1e3);
    policy(bench, peer, &process)?;
    process.stop()
}

/// A preview of a policy that looks at every image of the repository: facts read, rules evaluated, what goes counted.
fn policy(bench: &mut Bench<'_>, peer: &Peer, process: &Process) -> Outcome {
    const POLICY: &[u8] = br#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":10},"action":{"type":"expire"}}]}"#;
    let path = "/api/v1/repositories/bench/-/policy/preview?limit=1";
    let begun = Instant::now();
    let headers = [("Content-Type", "application/json")];
    let answer = process
        .client()
        .send("POST", path, &headers, Payload::Bytes(POLICY))
        .during(|| "preview a policy".to_owned())?;
    let took = begun.elapsed();
    if !answer.is_success() {
        return Err(Failure::new(format!("preview of a policy: {} {}", answer.status, answer.text())));
    }
    let row = format!("policy previewed over {} images and more, s", grouped(bench.scale.manifests));
    bench.sheet.note(&row, Less, peer.name(), took.as_secs_f64());
    Ok(())
}

fn expect(wanted: u16, reply: &Reply, what: &str) -> Outcome {
    if reply.status == wanted {
        return Ok(());
    }
    Err(Failure::new(format!("{what} answered {}: {}", reply.status, reply.text())))
}

/// `1,000,000`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([7, 1_000, 1_234_567].map(super::grouped), ["7", "1,000", "1,234,567"]);
    }
}
