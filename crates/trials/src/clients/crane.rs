//! crane (go-containerregistry): chunks without `Content-Range`, deletes by tag, reads the catalogue.

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::fixtures::write_multi_context;
use crate::harness::layer::Entry;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// Push, validate what is there, copy an image and an index, list.
pub fn round_trip(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (site, host) = (trial.site(origin)?, trial.host());
    site.sh(&format!("crane push {} {host}/ml-model:1.0", known.archive.display()))?;
    site.sh(&format!("crane validate --remote {host}/ml-model:1.0"))?.says("PASS")?;
    site.sh(&format!("crane copy {host}/ml-model:1.0 {host}/team/ml-model:1.0"))?;
    let digest = site.sh(&format!("crane digest {host}/team/ml-model:1.0"))?.text().to_owned();
    ensure_eq!(digest, trial.observer.manifest("ml-model", "1.0")?.digest, "digest of the copy");

    push_index(trial, &format!("{host}/ml-model:multi"))?;
    site.sh(&format!("crane validate --remote {host}/ml-model:multi"))?.says("PASS")?;
    site.sh(&format!("crane copy {host}/ml-model:multi {host}/team/ml-model:multi"))?;
    trial.observer.check_whole("team/ml-model", "multi")?;

    ensure_eq!(site.sh(&format!("crane catalog {host}"))?.text(), "ml-model\nteam/ml-model", "the catalogue");
    ensure_eq!(site.sh(&format!("crane ls {host}/team/ml-model | sort"))?.text(), "1.0\nmulti", "the tags");
    site.sh(&format!("crane pull --format oci {host}/team/ml-model:1.0 pulled"))?;
    Image::from_layout(&trial.folder().join("pulled"))?.must_equal(&known.image, "the pulled image")?;
    Ok(None)
}

/// A label, a layer more, and a tag less.
pub fn change(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (site, host) = (trial.site(origin)?, trial.host());
    trial.seed(&known, "ml-model:1.0")?;
    site.sh(&format!("crane mutate {host}/ml-model:1.0 --label stage=prod -t {host}/ml-model:1.1"))?;
    std::fs::write(trial.folder().join("card.md"), "# A small model\n")?;
    site.sh("tar -cf layer.tar card.md")?;
    site.sh(&format!("crane append -b {host}/ml-model:1.1 -f layer.tar -t {host}/team/ml-model:1.2"))?;
    site.sh(&format!("crane tag {host}/ml-model:1.1 stable"))?;

    let image = Image::from_registry(&trial.observer, "team/ml-model", "1.2")?;
    ensure_eq!(image.config["Labels"]["stage"], "prod", "the label");
    ensure!(matches!(image.files.get("card.md"), Some(Entry::File(_, 16, _))), "the file is not there");
    ensure!(image.layers.starts_with(&known.image.layers), "the layers below changed");

    let manifest = trial.observer.manifest("ml-model", "stable")?.digest;
    site.sh(&format!("crane delete {host}/ml-model:stable"))?;
    ensure_eq!(trial.observer.tags("ml-model")?, ["1.0", "1.1"], "tags after a delete by tag");
    site.sh(&format!("crane delete {host}/ml-model@{manifest}"))?;
    ensure_eq!(trial.observer.tags("ml-model")?, ["1.0"], "tags after a delete by digest");
    trial.observer.check_whole("team/ml-model", "1.2")?;
    Ok(None)
}

/// Pushes an index for two platforms without attestations, which crane's validation does not know.
fn push_index(trial: &Trial<'_>, image: &str) -> Outcome {
    let context = trial.folder().join("context");
    write_multi_context(&context, 7, &trial.lab.cache)?;
    let engine = trial.engine(Origin::Sid)?;
    engine.sh(&format!(
        "docker buildx build --platform linux/amd64,linux/arm64 --provenance false -t {image} --push {}",
        context.display()
    ))?;
    Ok(())
}
