//! BuildKit through buildx in the engine: indexes with attestations, and the registry as a build cache.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::clients::case::Note;
use crate::harness::engine::Engine;
use crate::harness::fixtures::{copy_program, write_multi_context};
use crate::harness::site::Origin;
use crate::harness::trial::Trial;
use crate::harness::{During, Outcome};
use crate::{ensure, ensure_eq};

/// Writes a small SPDX document, as the scanner that BuildKit would download does.
const SCANNER: &str = r#"#!/bin/busybox sh
cat > "$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json" <<'DOCUMENT'
{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://spdx.dev/Document", "predicate": {
  "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "rootfs",
  "documentNamespace": "https://larder.invalid/sbom",
  "creationInfo": {"created": "2026-01-01T00:00:00Z", "creators": ["Tool: larder-trials"]},
  "packages": [{"name": "busybox", "SPDXID": "SPDXRef-Package-busybox", "downloadLocation": "NOASSERTION"}]}}
DOCUMENT
"#;

/// Two stages: only `mode=max` brings the first one's layers into the cache.
const STAGES: &str = r#"FROM scratch AS train
COPY bin/amd64/busybox /bin/busybox
COPY weights.tsv /
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox sort -k2 /weights.tsv > /sorted.tsv"]
FROM scratch
COPY --from=train /sorted.tsv /model/weights.tsv
"#;

/// An index of two platforms with provenance and an SBOM for each.
pub fn attestations(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (engine, host) = (bridged(trial, origin)?, trial.host());
    let scanner = trial.folder().join("scanner");
    std::fs::create_dir_all(&scanner)?;
    std::fs::write(scanner.join("scan"), SCANNER)?;
    copy_program(&scanner.join("scan"), &scanner.join("scan.sh"))?;
    copy_program("/bin/busybox".as_ref(), &scanner.join("busybox"))?;
    let dockerfile = "FROM scratch\nCOPY busybox /bin/busybox\nCOPY scan.sh /scan.sh\nENTRYPOINT [\"/scan.sh\"]\n";
    std::fs::write(scanner.join("Dockerfile"), dockerfile)?;
    engine
        .sh(&format!("docker buildx build --provenance false -t {host}/sbom/scanner:1 --push {}", scanner.display()))?;

    let context = trial.folder().join("context");
    write_multi_context(&context, 3, &trial.lab.cache)?;
    engine.sh(&format!(
        "docker buildx build --platform linux/amd64,linux/arm64 --provenance mode=max \
         --sbom generator={host}/sbom/scanner:1 -t {host}/ml-model:1.0.0 --push {}",
        context.display()
    ))?;

    let index = trial.observer.manifest("ml-model", "1.0.0")?;
    ensure_eq!(index.children().len(), 4, "children of the index");
    let attested = index
        .children()
        .iter()
        .filter(|child| child["annotations"]["vnd.docker.reference.type"] == "attestation-manifest");
    for child in attested {
        let subject = child["annotations"]["vnd.docker.reference.digest"].as_str().unwrap_or_default();
        trial.observer.manifest("ml-model", subject)?;
    }
    trial.observer.check_whole("ml-model", "1.0.0")?;
    let inspect = |what: &str| -> Outcome<Value> {
        let line = format!("docker buildx imagetools inspect --format '{{{{json .{what}}}}}' {host}/ml-model:1.0.0");
        Ok(serde_json::from_str(&engine.sh(&line)?.out)?)
    };
    let (bill, provenance) = (inspect("SBOM")?, inspect("Provenance")?);
    for platform in ["linux/amd64", "linux/arm64"] {
        ensure_eq!(bill[platform]["SPDX"]["packages"][0]["name"], "busybox", "SBOM of {platform}");
        ensure!(provenance[platform]["SLSA"].is_object(), "no provenance of {platform}");
    }
    Ok(Some("SBOM by a scanner image in the registry".to_owned()))
}

/// The cache as BuildKit writes it today, an image manifest.
pub fn cache(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let manifest = round_trip(trial, origin, "")?;
    ensure!(manifest["layers"].is_array(), "the cache is no image manifest: {manifest}");
    Ok(None)
}

/// The cache as older ones write it: an index whose entries are blobs without a platform.
pub fn cache_index(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let manifest = round_trip(trial, origin, ",image-manifest=false,oci-mediatypes=true")?;
    ensure!(manifest["manifests"].is_array(), "the cache is no index: {manifest}");
    Ok(None)
}

/// Steps that did not run: BuildKit says `CACHED`, or fetches the layer that such a step once made, just when it needs it.
fn from_cache(progress: &str) -> usize {
    let numbers = progress.lines().filter(|line| line.contains(" [train ") || line.contains(" [stage-1 "));
    let numbers: BTreeSet<&str> = numbers.filter_map(|line| line.split(' ').next()).collect();
    let says = |number: &str, what: &str| progress.lines().any(|line| line.starts_with(&format!("{number} {what}")));
    numbers.into_iter().filter(|number| says(number, "CACHED") || says(number, "sha256:")).count()
}

fn round_trip(trial: &Trial<'_>, origin: Origin, options: &str) -> Outcome<Value> {
    let host = trial.host();
    let context = trial.folder().join("context");
    write_multi_context(&context, 4, &trial.lab.cache)?;
    std::fs::write(context.join("Dockerfile"), STAGES)?;
    let reference = format!("{host}/ml-model:buildcache");
    let build = |engine: &Engine, tag: &str| {
        engine.sh(&format!(
            "docker buildx build --progress plain --cache-from type=registry,ref={reference} \
             --cache-to type=registry,ref={reference},mode=max{options} -t {host}/ml-model:{tag} --push {}",
            context.display()
        ))
    };
    let first = build(&bridged(trial, origin)?, "first")?;
    ensure!(!first.err.contains("CACHED"), "an empty engine found something in a cache");

    let second = build(&bridged(trial, origin)?, "second")?;
    ensure_eq!(from_cache(&second.err), 4, "steps taken from the cache by another engine, in\n{}", second.err);
    let layers = |tag: &str| -> Outcome<Value> {
        let index = trial.observer.manifest("ml-model", tag)?;
        Ok(trial.observer.manifest("ml-model", &index.child("amd64")?)?.document["layers"].clone())
    };
    ensure_eq!(layers("first")?, layers("second")?, "layers of the two builds");
    trial.observer.check_whole("ml-model", "second")?;
    Ok(trial.observer.manifest("ml-model", "buildcache").during(|| "the cache".to_owned())?.document)
}

fn bridged(trial: &Trial<'_>, origin: Origin) -> Outcome<Engine> {
    trial.bridged_engine(origin)
}
