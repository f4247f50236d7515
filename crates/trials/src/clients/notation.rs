//! notation: signatures as referrers, with a test certificate.

use crate::clients::case::Note;
use crate::ensure_eq;
use crate::harness::Outcome;
use crate::harness::observer::string;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;

const POLICY: &str = r#"{"version": "1.0", "trustPolicies": [{"name": "all", "registryScopes": ["*"],
  "signatureVerification": {"level": "strict"}, "trustStores": ["ca:larder.test"], "trustedIdentities": ["*"]}]}"#;

/// Sign, list and verify, after a restart too; an image that was not signed does not verify.
pub fn sign(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (site, host) = (trial.site(origin)?, trial.host());
    trial.seed(&known, "ml-model:1.0")?;
    site.sh("notation cert generate-test --default larder.test")?;
    let home = trial.folder().join(format!("home-{}", origin.word())).join(".config/notation");
    std::fs::write(home.join("trustpolicy.json"), POLICY)?;

    let digest = trial.observer.manifest("ml-model", "1.0")?.digest;
    let image = format!("{host}/ml-model@{digest}");
    site.refused(&format!("notation verify --insecure-registry {image}"))?.says("no signature")?;
    // Its default is the fallback tag, although the registry has the API; once each way.
    for options in ["--signature-format jws", "--signature-format cose --force-referrers-tag=false"] {
        site.sh(&format!("notation sign --insecure-registry {options} {image}"))?;
    }
    trial.server()?.restart()?;
    site.sh(&format!("notation verify --insecure-registry {image}"))?.says("Successfully verified")?;
    let signatures = trial.observer.referrers("ml-model", &digest)?;
    ensure_eq!(signatures.len(), 2, "referrers of the image");
    for signature in &signatures {
        ensure_eq!(signature["artifactType"], "application/vnd.cncf.notary.signature", "artifact type");
    }
    ensure_eq!(trial.observer.tags("ml-model")?, ["1.0".to_owned(), digest.replace(':', "-")], "tags");
    let listed = site.sh(&format!("notation ls --insecure-registry {image}"))?;
    for signature in &signatures {
        listed.says(&string(signature, "digest"))?;
    }
    Ok(None)
}
