//! regctl (regclient), which uses more of the newer specification than any other client.

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::site::{Origin, Site};
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// A site whose regctl knows that the registry speaks plain HTTP.
pub fn site(trial: &Trial<'_>, origin: Origin, hosts: &[String]) -> Outcome<Site> {
    let site = trial.site(origin)?;
    for host in hosts {
        site.sh(&format!("regctl registry set --tls disabled {host}"))?;
    }
    Ok(site)
}

/// An image with artifacts attached goes to another repository and into a layout, and they go with it.
pub fn copy_with_referrers(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let host = trial.host();
    let site = site(trial, origin, &[trial.host()])?;
    site.sh(&format!("regctl image copy ocidir://{}:1.0 {host}/ml-model:1.0", known.layout.display()))?;
    for kind in ["sbom", "scan"] {
        site.sh(&format!(
            "echo '{{\"kind\": \"{kind}\"}}' | regctl artifact put --subject {host}/ml-model:1.0 \
             --artifact-type application/vnd.example.{kind} --file-media-type application/json"
        ))?;
    }
    let subject = trial.observer.manifest("ml-model", "1.0")?.digest;
    ensure_eq!(trial.observer.referrers("ml-model", &subject)?.len(), 2, "referrers of the image");

    site.sh(&format!("regctl image copy --referrers {host}/ml-model:1.0 {host}/team/ml-model:1.0"))?;
    ensure_eq!(trial.observer.referrers("team/ml-model", &subject)?.len(), 2, "referrers of the copy");
    let tags = trial.observer.tags("team/ml-model")?;
    ensure_eq!(tags, ["1.0"], "tags of the copy: no fallback tag is needed");
    let filter =
        format!("regctl artifact list {host}/team/ml-model:1.0 --filter-artifact-type application/vnd.example.scan");
    site.sh(&format!("{filter} --format '{{{{len .Descriptors}}}}'"))?.says("1")?;
    site.sh(&format!("regctl image copy --referrers {host}/team/ml-model:1.0 ocidir://copied:1.0"))?;
    Image::from_layout(&trial.folder().join("copied"))?.must_equal(&known.image, "the copied image")?;
    Ok(None)
}

/// Tags are removed without their image, and blobs come and go by themselves.
pub fn newer_features(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let host = trial.host();
    let site = site(trial, origin, &[trial.host()])?;
    trial.seed(&known, "ml-model:1.0")?;
    site.sh(&format!("regctl image copy {host}/ml-model:1.0 {host}/ml-model:1.1"))?;
    site.sh(&format!("regctl tag rm {host}/ml-model:1.0"))?;
    ensure_eq!(site.sh(&format!("regctl tag ls {host}/ml-model"))?.text(), "1.1", "tags after one was removed");
    Image::from_registry(&trial.observer, "ml-model", "1.1")?.must_equal(&known.image, "the other tag's image")?;

    let digest = site.sh(&format!("echo weights | regctl blob put {host}/ml-model"))?.text().to_owned();
    ensure_eq!(site.sh(&format!("regctl blob get {host}/ml-model {digest}"))?.text(), "weights", "the blob");
    site.sh(&format!("regctl blob delete {host}/ml-model {digest}"))?;
    site.refused(&format!("regctl blob head {host}/ml-model {digest}"))?;

    site.sh(&format!("regctl image mod {host}/ml-model:1.1 --digest-algo sha512 --create {host}/ml-model:sha512"))?;
    let digest = site.sh(&format!("regctl manifest head {host}/ml-model:sha512"))?.text().to_owned();
    ensure!(digest.starts_with("sha512:"), "the image is known as {digest}");
    site.sh(&format!("regctl image copy {host}/ml-model@{digest} ocidir://sha512:1.0"))?;
    let image = Image::from_layout(&trial.folder().join("sha512"))?;
    image.must_have_files_of(&known.image, "the image in sha512")?;
    Ok(None)
}
