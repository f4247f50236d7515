//! Blobs that rot, shrink, grow and vanish on the disk (reliability D15): found, told, set aside, healed by a push.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use larder_oci::Digest;
use rand::RngExt;
use serde_json::Value;

use crate::faults::{Held, Rig};
use crate::harness::{During, Outcome};
use crate::raw::content::{Content, image, sha256};
use crate::raw::{Client, Larder, Payload};
use crate::{ensure, ensure_eq};

const REPOSITORY: &str = "team/model";
/// Not more than what `verify` takes for single accidents.
const IMAGES: u64 = 60;
/// More than that.
const MANY: u64 = 130;

#[derive(Clone, Copy, Debug)]
enum Damage {
    FlippedBit,
    ZeroedPage,
    Truncated,
    Emptied,
    Grown,
    Removed,
}

const DAMAGES: [Damage; 6] =
    [Damage::FlippedBit, Damage::ZeroedPage, Damage::Truncated, Damage::Emptied, Damage::Grown, Damage::Removed];

struct Victim {
    layer: Content,
    digest: Digest,
    tag: String,
    damage: Option<Damage>,
}

/// Runs the trial.
pub fn blobs(rig: Rig<'_>) -> Outcome<Held> {
    let rounds = rig.rounds(2, 50);
    let mut server = rig.server()?.with("STORAGE__RESERVE", "1MiB");
    server.start()?;
    let mut damaged = 0;
    for round in 0..rounds {
        damaged += one_round(&server, round)?;
    }
    too_much(&server)?;
    server.stop()?;
    Held::after(
        damaged,
        "never 200 with a wrong length; verify found all and their tags; repaired; healed by a push; stops when too much is wrong",
    )
}

fn one_round(server: &Larder, round: u64) -> Outcome<u64> {
    let mut client = server.client();
    let mut victims = push(&mut client, round * 1_000, IMAGES)?;
    for victim in &mut victims {
        if rand::rng().random_ratio(2, 3) {
            let damage = DAMAGES[rand::rng().random_range(0..DAMAGES.len())];
            apply(server, &victim.digest, damage)?;
            victim.damage = Some(damage);
        }
    }
    for victim in &victims {
        look(&mut client, victim)?;
    }
    let report = server.verify(&[])?;
    ensure!(report["sound"] == false, "verify says that all is well: {report:#}");
    compare(&report, &victims, false)?;
    let repaired = server.verify(&["--repair"])?;
    compare(&repaired, &victims, true)?;
    ensure!(server.verify(&[])?["sound"] == true, "not sound after --repair");
    for victim in &victims {
        let (status, ..) = client.blob(REPOSITORY, &victim.digest)?;
        ensure_eq!(status, if victim.damage.is_some() { 404 } else { 200 }, "{:?} after --repair", victim.damage);
        if victim.damage.is_some() {
            let reply = client.push(REPOSITORY, &victim.digest, Payload::Bytes(&victim.layer.bytes()))?;
            ensure_eq!(reply.status, 201, "a push that heals: {}", reply.text());
        }
        let healed = client.blob(REPOSITORY, &victim.digest)?;
        ensure_eq!(healed, (200, victim.digest, victim.layer.size), "healed");
    }
    ensure!(server.verify(&[])?["sound"] == true, "not sound after healing");
    Ok(victims.iter().filter(|victim| victim.damage.is_some()).count() as u64)
}

fn push(client: &mut Client, seed: u64, count: u64) -> Outcome<Vec<Victim>> {
    let config = Content { seed: u64::MAX, size: 40 };
    client.push(REPOSITORY, &config.digest(), Payload::Bytes(&config.bytes()))?;
    let mut victims = Vec::new();
    for number in seed..seed + count {
        let layer = Content { seed: number, size: rand::rng().random_range(10..300_000) };
        let (digest, tag) = (layer.digest(), format!("v{number}"));
        client.push(REPOSITORY, &digest, Payload::Bytes(&layer.bytes()))?;
        let manifest = image((&config.digest(), config.size), &[(digest, layer.size)], &tag);
        let reply = client.put_manifest(REPOSITORY, &tag, &manifest)?;
        ensure_eq!(reply.status, 201, "a manifest: {}", reply.text());
        victims.push(Victim { layer, digest, tag, damage: None });
    }
    Ok(victims)
}

/// The object's file, by the digest in its name.
fn file_of(server: &Larder, digest: &Digest) -> Outcome<PathBuf> {
    let hex = digest.hex();
    let folder = server.data().join("blobs/blobs/sha256").join(&hex[..2]);
    for entry in std::fs::read_dir(&folder).during(|| format!("{}", folder.display()))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&hex)) {
            return Ok(path);
        }
    }
    Err(crate::harness::Failure::new(format!("no file of {digest} in {}", folder.display())))
}

fn apply(server: &Larder, digest: &Digest, damage: Damage) -> Outcome {
    let path = file_of(server, digest)?;
    if matches!(damage, Damage::Removed) {
        return Ok(std::fs::remove_file(path)?);
    }
    let file = std::fs::File::options().read(true).write(true).open(&path)?;
    let length = file.metadata()?.len();
    match damage {
        Damage::FlippedBit => {
            let at = rand::rng().random_range(0..length);
            let mut byte = [0];
            file.read_exact_at(&mut byte, at)?;
            file.write_all_at(&[byte[0] ^ (1 << rand::rng().random_range(0..8))], at)?;
        }
        Damage::ZeroedPage => {
            let page = length.min(4_096);
            file.write_all_at(&vec![0; page as usize], 0)?;
        }
        Damage::Truncated => file.set_len(length - 1)?,
        Damage::Emptied => file.set_len(0)?,
        Damage::Grown => file.set_len(length + 1)?,
        Damage::Removed => {}
    }
    Ok(file.sync_all()?)
}

/// Before anybody has looked: a wrong length is seen at once, wrong bytes of the right length may pass.
fn look(client: &mut Client, victim: &Victim) -> Outcome {
    let (status, digest, length) = client.blob(REPOSITORY, &victim.digest)?;
    let head = client.head(&format!("/v2/{REPOSITORY}/blobs/{}", victim.digest))?;
    match victim.damage {
        None => ensure_eq!((status, digest, length), (200, victim.digest, victim.layer.size), "an unharmed blob"),
        Some(Damage::FlippedBit | Damage::ZeroedPage) => {
            ensure!(status != 200 || length == victim.layer.size, "200 with {length} bytes of {}", victim.layer.size);
        }
        Some(wrong) => ensure_eq!((status, head), (404, 404), "{wrong:?}"),
    }
    Ok(())
}

/// Every damage is named with its tag, and nothing else is.
fn compare(report: &Value, victims: &[Victim], repaired: bool) -> Outcome {
    let findings = report["findings"].as_array().during(|| format!("no findings: {report:#}"))?;
    let mut named = BTreeSet::new();
    for finding in findings {
        let digest = finding["digest"].as_str().unwrap_or_default();
        let victim = victims.iter().find(|victim| victim.digest.to_string() == digest);
        let Some(victim) = victim.filter(|victim| victim.damage.is_some()) else {
            return Err(crate::harness::Failure::new(format!("verify accuses {finding:#}")));
        };
        let affected = format!("{REPOSITORY}:{}", victim.tag);
        let names_it = finding["affects"].as_array().is_some_and(|tags| tags.iter().any(|tag| *tag == affected));
        ensure!(names_it, "{affected} is not named: {finding:#}");
        ensure_eq!(finding["repaired"].as_bool(), Some(repaired), "{finding:#}");
        named.insert(victim.digest);
    }
    let harmed = victims.iter().filter(|victim| victim.damage.is_some()).count();
    ensure_eq!(named.len(), harmed, "damages that verify named");
    Ok(())
}

/// When so much is wrong that it must be the disk, `verify` stops and takes nothing away.
fn too_much(server: &Larder) -> Outcome {
    let mut client = server.client();
    let victims = push(&mut client, 1_000_000, MANY)?;
    for victim in &victims {
        apply(server, &victim.digest, Damage::Removed)?;
    }
    ensure!(server.verify(&["--repair"]).is_err(), "verify --repair went on although {MANY} objects are gone");
    let forced = server.verify(&["--repair", "--force"])?;
    ensure!(forced["findings"].as_array().is_some_and(|findings| !findings.is_empty()), "--force goes on: {forced:#}");
    ensure!(server.verify(&[])?["sound"] == true, "not sound after --repair --force");
    let manifest = client.manifest(REPOSITORY, &victims[0].tag)?;
    ensure_eq!(
        sha256(&manifest.body).to_string(),
        manifest.header("docker-content-digest").unwrap_or_default(),
        "manifest"
    );
    Ok(())
}
