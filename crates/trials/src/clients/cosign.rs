//! cosign with a key of its own and no transparency log: signatures and attestations as referrers, and as
//! tags beside the image.

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::site::{Origin, Site};
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// The layout of cosign 3: bundles that refer to the image.
pub fn referrers(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let digest = sign(trial, origin, true)?;
    let bundles = trial.observer.referrers("ml-model", &digest)?;
    ensure_eq!(bundles.len(), 2, "referrers of the image");
    for bundle in &bundles {
        let kind = bundle["artifactType"].as_str().unwrap_or_default();
        ensure!(kind.starts_with("application/vnd.dev.sigstore.bundle"), "an odd referrer: {bundle}");
    }
    ensure_eq!(trial.observer.tags("ml-model")?, ["1.0"], "tags");
    Ok(None)
}

/// The layout of cosign 1 and 2: tags named after the digest.
pub fn tags(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let digest = sign(trial, origin, false)?.replace(':', "-");
    let tags = trial.observer.tags("ml-model")?;
    for suffix in ["sig", "att"] {
        ensure!(tags.contains(&format!("{digest}.{suffix}")), "no tag for {suffix}: {tags:?}");
    }
    Ok(None)
}

/// Signs, attests and verifies both, after a restart too, and with a key that must not fit.
fn sign(trial: &mut Trial<'_>, origin: Origin, bundle: bool) -> Outcome<String> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let site = trial.site(origin)?.with("COSIGN_PASSWORD", "");
    trial.seed(&known, "ml-model:1.0")?;
    let digest = trial.observer.manifest("ml-model", "1.0")?.digest;
    let image = format!("{}/ml-model@{digest}", trial.host());
    for key in ["cosign", "other"] {
        site.sh(&format!("cosign generate-key-pair --output-key-prefix {key}"))?;
    }
    std::fs::write(trial.folder().join("facts.json"), "{\"accuracy\": 0.97}\n")?;
    let options = format!("--allow-insecure-registry --new-bundle-format={bundle}");
    let making = format!("--key cosign.key --use-signing-config=false --tlog-upload=false -y {options}");
    site.sh(&format!("cosign sign {making} {image}"))?;
    site.sh(&format!("cosign attest {making} --predicate facts.json --type https://example.org/facts {image}"))?;
    trial.server()?.restart()?;
    verify(&site, "cosign.pub", &options, &image)?;
    let other = format!("cosign verify --key other.pub --insecure-ignore-tlog {options} {image}");
    site.refused(&other)?;
    trial.observer.check_whole("ml-model", "1.0")?;
    Ok(digest)
}

fn verify(site: &Site, key: &str, options: &str, image: &str) -> Outcome {
    let verified = site.sh(&format!("cosign verify --key {key} --insecure-ignore-tlog {options} {image}"))?;
    verified.says("docker-manifest-digest")?;
    let line = "cosign verify-attestation --insecure-ignore-tlog --type https://example.org/facts";
    site.sh(&format!("{line} --key {key} {options} {image}"))?.says("payload")?;
    Ok(())
}
