//! A full disk (behaviour §6): uploads are refused, everything else goes on, and space that comes back is enough.

use std::time::{Duration, Instant};

use crate::faults::loop_disk::LoopDisk;
use crate::faults::{Held, Rig};
use crate::harness::{During, Outcome};
use crate::raw::content::{Content, image, sha256};
use crate::raw::registry::location;
use crate::raw::{Client, Larder, Payload, Reply};
use crate::{ensure, ensure_eq};

const REPOSITORY: &str = "team/model";

/// A pushed image: its manifest and the layer's content.
struct Known {
    manifest: Vec<u8>,
    layer: Content,
}

/// `storage.reserve` is reached while the disk itself has room.
pub fn at_the_reserve(rig: Rig<'_>) -> Outcome<Held> {
    let rounds = rig.rounds(3, 30);
    let disk = LoopDisk::in_memory(rig.folder, 400)?;
    let server = rig.server_on(&disk)?;
    let mut server = server.with("STORAGE__RESERVE", "64MiB");
    server.start()?;
    for round in 0..rounds {
        let known = push(&server, &format!("a{round}"), round * 100)?;
        let opened = location(&server.client().start_upload(REPOSITORY)?).during(|| "no session".to_owned())?;
        let filler = disk.fill(40 << 20)?;
        refuses_uploads(&server, &opened)?;
        goes_on(&server, &known, &format!("b{round}"))?;
        unready(&server)?;
        drop(filler);
        works_again(&server, &known, round, &opened)?;
    }
    ends_sound(server)?;
    Held::after(rounds, "507 and Retry-After, no path; pulls, tag moves, deletes go on; works again by itself")
}

/// Not a byte is left, in the middle of a body; the catalog has to live on its reserve.
pub fn to_the_last_byte(rig: Rig<'_>) -> Outcome<Held> {
    let rounds = rig.rounds(3, 30);
    let disk = LoopDisk::create("ext4", rig.folder, 400)?;
    let server = rig.server_on(&disk)?;
    let mut server = server.with("STORAGE__RESERVE", "1B");
    server.start()?;
    for round in 0..rounds {
        let known = push(&server, &format!("a{round}"), round * 100)?;
        fills_up_meanwhile(&disk, &mut server, &known, &format!("a{round}"))?;
        let opened = location(&server.client().start_upload(REPOSITORY)?).during(|| "no session".to_owned())?;
        let filler = disk.fill(20 << 20)?;
        let stuck = runs_out_inside_a_body(&server, round)?;
        refuses_uploads(&server, &opened)?;
        goes_on(&server, &known, &format!("b{round}"))?;
        unready(&server)?;
        // It starts on a full disk, too.
        server.kill()?;
        server.start().during(|| "on a full disk".to_owned())?;
        pulls(&mut server.client(), &known, &format!("b{round}"))?;
        let gone = server.client().send("DELETE", &stuck, &[], Payload::Empty)?;
        ensure!(matches!(gone.status, 204 | 404), "a cancel on a full disk: {} {}", gone.status, gone.text());
        drop(filler);
        works_again(&server, &known, round, &opened)?;
    }
    ends_sound(server)?;
    Held::after(rounds, "507 inside a body; catalog lives on its reserve; starts while full; works again by itself")
}

fn push(server: &Larder, tag: &str, seed: u64) -> Outcome<Known> {
    let mut client = server.client();
    let (layer, config) = (Content { seed: seed + 1, size: 3 << 20 }, Content { seed: seed + 2, size: 50 });
    for content in [layer, config] {
        let reply = client.push(REPOSITORY, &content.digest(), Payload::Bytes(&content.bytes()))?;
        ensure_eq!(reply.status, 201, "a push with space left: {}", reply.text());
    }
    let manifest = image((&config.digest(), config.size), &[(layer.digest(), layer.size)], tag);
    let reply = client.put_manifest(REPOSITORY, tag, &manifest)?;
    ensure_eq!(reply.status, 201, "a manifest with space left: {}", reply.text());
    Ok(Known { manifest, layer })
}

/// It falls, somebody else takes the last byte, and it is to start by its reserve alone.
fn fills_up_meanwhile(disk: &LoopDisk, server: &mut Larder, known: &Known, tag: &str) -> Outcome {
    server.kill()?;
    let filler = disk.fill(0)?;
    server.start().during(|| "on a disk that filled up meanwhile".to_owned())?;
    pulls(&mut server.client(), known, tag)?;
    unready(server)?;
    drop(filler);
    readiness(server, 200).map(drop)
}

/// 507, when to come back, and nothing about this machine.
fn is_full(server: &Larder, reply: &Reply, doing: &str) -> Outcome {
    ensure_eq!(reply.status, 507, "{doing}: {}", reply.text());
    ensure_eq!(reply.json()["errors"][0]["code"].as_str(), Some("STORAGE_FULL"), "{doing}: its code");
    let seconds = reply.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
    ensure!(seconds.is_some_and(|seconds| seconds > 0), "{doing}: Retry-After is {:?}", reply.header("retry-after"));
    let said = reply.text();
    let path = server.data().display().to_string();
    ensure!(!said.contains(&path) && !said.contains("uploads/"), "{doing} names a path: {said}");
    Ok(())
}

fn refuses_uploads(server: &Larder, opened: &str) -> Outcome {
    let mut client = server.client();
    let content = Content { seed: 9_999, size: 1 << 20 };
    is_full(server, &client.start_upload(REPOSITORY)?, "a start of an upload")?;
    is_full(server, &client.patch(opened, None, Payload::Bytes(&content.bytes()))?, "a chunk")?;
    let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={}", content.digest());
    is_full(server, &client.send("POST", &path, &[], Payload::Bytes(&content.bytes()))?, "a single POST")
}

/// Everything that needs no space goes on.
fn goes_on(server: &Larder, known: &Known, tag: &str) -> Outcome {
    let mut client = server.client();
    let moved = client.put_manifest(REPOSITORY, tag, &known.manifest)?;
    ensure_eq!(moved.status, 201, "a tag move on a full disk: {}", moved.text());
    pulls(&mut client, known, tag)?;
    let head = client.head(&format!("/v2/{REPOSITORY}/blobs/{}", known.layer.digest()))?;
    ensure_eq!(head, 200, "a HEAD on a full disk");
    let other = client.put_manifest(REPOSITORY, &format!("{tag}-gone"), &known.manifest)?;
    ensure_eq!(other.status, 201, "another tag on a full disk: {}", other.text());
    let gone = client.delete_manifest(REPOSITORY, &format!("{tag}-gone"))?;
    ensure_eq!(gone.status, 202, "a delete of a tag on a full disk: {}", gone.text());
    ensure_eq!(client.get("/healthz")?.status, 200, "/healthz");
    Ok(())
}

fn pulls(client: &mut Client, known: &Known, tag: &str) -> Outcome {
    let manifest = client.manifest(REPOSITORY, tag)?;
    ensure!(manifest.status == 200 && manifest.body == known.manifest, "a pull: {}", manifest.status);
    let digest = known.layer.digest();
    ensure_eq!(client.blob(REPOSITORY, &digest)?, (200, digest, known.layer.size), "a blob");
    Ok(())
}

fn unready(server: &Larder) -> Outcome {
    let ready = readiness(server, 503)?;
    let named = ["space", "store", "catalog"].into_iter().any(|part| ready[part] == false);
    ensure!(named, "/readyz does not say what is missing: {ready}");
    Ok(())
}

/// What `/readyz` says once it has this status; it may be a second old.
fn readiness(server: &Larder, status: u16) -> Outcome<serde_json::Value> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let reply = server.client().get("/readyz")?;
        if reply.status == status {
            return Ok(reply.json());
        }
        ensure!(Instant::now() < deadline, "/readyz answers {} for {status}: {}", reply.status, reply.text());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The server is to be told nothing: no restart, no command.
fn works_again(server: &Larder, known: &Known, round: u64, opened: &str) -> Outcome {
    readiness(server, 200)?;
    let mut client = server.client();
    let content = Content { seed: round * 100 + 50, size: 2 << 20 };
    // A session from before may have been given up with its bytes; then it says so.
    let begun = client.get(opened)?;
    if begun.status == 204 {
        let offset = crate::raw::registry::offset(&begun).during(|| "no offset".to_owned())?;
        ensure_eq!(offset, 0, "bytes that were refused");
        let reply = client.finish(opened, &content.digest(), Payload::Bytes(&content.bytes()))?;
        ensure_eq!(reply.status, 201, "the session of before: {}", reply.text());
    } else {
        ensure_eq!(begun.status, 404, "the session of before");
    }
    push(server, &format!("c{round}"), round * 100 + 60)?;
    pulls(&mut client, known, &format!("a{round}"))?;
    // The next round needs the room.
    for tag in ["a", "c"] {
        let manifest = client.manifest(REPOSITORY, &format!("{tag}{round}"))?.body;
        let gone = client.delete_manifest(REPOSITORY, &sha256(&manifest).to_string())?;
        ensure_eq!(gone.status, 202, "a delete: {}", gone.text());
    }
    for content in [known.layer, content, Content { seed: round * 100 + 61, size: 3 << 20 }] {
        client.delete_blob(REPOSITORY, &content.digest())?;
    }
    server.sweep()?;
    Ok(())
}

/// A body whose length nobody knows, larger than what is left. Answers its session, which keeps the disk full.
fn runs_out_inside_a_body(server: &Larder, round: u64) -> Outcome<String> {
    let mut client = server.client();
    let content = Content { seed: round * 100 + 70, size: 64 << 20 };
    let started = client.start_upload(REPOSITORY)?;
    let at = location(&started).during(|| format!("no session: {} {}", started.status, started.text()))?;
    let reply = client.patch(&at, None, Payload::Chunked(&mut content.reader(0)))?;
    is_full(server, &reply, "a body that does not fit")?;
    Ok(at)
}

fn ends_sound(mut server: Larder) -> Outcome {
    let report = server.verify(&[])?;
    ensure!(report["sound"] == true, "verify: {report:#}");
    ensure_eq!(server.stop()?, Some(0), "the exit code");
    Ok(())
}
