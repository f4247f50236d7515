//! buildah: images built step by step, and layers in zstd and zstd:chunked.

use serde_json::Value;

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::fixtures::write_context;
use crate::harness::observer::{Served, string};
use crate::harness::site::{Origin, Site};
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

const PREDICT: &str = "/bin/busybox awk -f /model/predict.awk /model/weights.tsv";

/// A container from an image of the registry, changed, committed, pushed, and pulled by another store.
pub fn round_trip(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (site, host) = (trial.site(origin)?, trial.host());
    trial.seed(&known, "ml-model:1.0")?;
    let from = |image: &str| -> Outcome<String> { Ok(site.sh(&format!("buildah from -q {image}"))?.text().to_owned()) };
    let container = from(&format!("{host}/ml-model:1.0"))?;
    ensure_eq!(site.sh(&format!("buildah run {container} -- {PREDICT}"))?.text(), known.prediction, "prediction");

    std::fs::write(trial.folder().join("card.md"), "# A small model\n")?;
    site.sh(&format!("buildah copy -q {container} card.md /model/card.md"))?;
    site.sh(&format!("buildah config --label stage=reviewed {container}"))?;
    site.sh(&format!("buildah commit -q {container} {host}/buildah/ml-model:2.0"))?;
    site.sh(&format!("buildah push {host}/buildah/ml-model:2.0"))?;
    site.sh("buildah rm --all && buildah rmi --all --force")?;

    let container = from(&format!("{host}/buildah/ml-model:2.0"))?;
    ensure_eq!(site.sh(&format!("buildah run {container} -- {PREDICT}"))?.text(), known.prediction, "prediction after");
    ensure_eq!(
        site.sh(&format!("buildah run {container} -- /bin/busybox cat /model/card.md"))?.out,
        "# A small model\n",
        "the file"
    );
    let image = Image::from_registry(&trial.observer, "buildah/ml-model", "2.0")?;
    // A run leaves mount points behind, so there may be more.
    for (path, entry) in &known.image.files {
        ensure_eq!(image.files.get(path), Some(entry), "{path}");
    }
    trial.observer.check_whole("buildah/ml-model", "2.0")?;
    Ok(None)
}

/// Layers compressed with zstd, pulled by the same client and by podman of the same age.
pub fn zstd(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (site, host) = (trial.site(origin)?, trial.host());
    let prediction = build(trial, &site)?;
    // The older one keeps the compression of blobs it has pushed before unless it sees none of them.
    site.sh(&format!("buildah push --compression-format zstd {host}/built:1 docker://{host}/zstd/ml-model:1"))?;
    let manifest = trial.observer.manifest("zstd/ml-model", "1")?;
    ensure!(
        layers(&manifest).iter().all(|layer| string(layer, "mediaType").ends_with("+zstd")),
        "no zstd: {}",
        manifest.document
    );
    pull_back(trial, &site, "zstd/ml-model:1", &prediction)
}

/// Layers with a table of contents in them; podman pulls only what it lacks, by many ranges in one request.
pub fn chunked(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (site, host) = (trial.site(origin)?, trial.host());
    let prediction = build(trial, &site)?;
    site.sh(&format!(
        "buildah push --compression-format zstd:chunked {host}/built:1 docker://{host}/chunked/ml-model:1"
    ))?;
    let manifest = trial.observer.manifest("chunked/ml-model", "1")?;
    let described =
        |layer: &Value| layer["annotations"]["io.github.containers.zstd-chunked.manifest-position"].is_string();
    ensure!(layers(&manifest).iter().all(described), "no table of contents: {}", manifest.document);
    pull_back(trial, &site, "chunked/ml-model:1", &prediction)
}

fn layers(manifest: &Served) -> &[Value] {
    manifest.document["layers"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Builds the small model as `HOST/built:1` and returns what it predicts.
fn build(trial: &Trial<'_>, site: &Site) -> Outcome<String> {
    let context = trial.folder().join("context");
    write_context(&context, 6, 6 << 20)?;
    let image = format!("{}/built:1", trial.host());
    site.sh(&format!("buildah bud --layers -t {image} {}", context.display()))?;
    let container = site.sh(&format!("buildah from -q {image}"))?.text().to_owned();
    Ok(site.sh(&format!("buildah run {container} -- {PREDICT}"))?.text().to_owned())
}

/// Pulls with an empty store, runs, and compares the files.
fn pull_back(trial: &Trial<'_>, site: &Site, reference: &str, prediction: &str) -> Outcome<Note> {
    let (host, proxy) = (trial.host(), trial.proxy()?);
    let (repository, tag) = reference.split_once(':').unwrap_or((reference, "latest"));
    let pushed = Image::from_registry(&trial.observer, repository, tag)?;
    let archive = trial.folder().join("built.tar");
    site.sh(&format!("buildah push {host}/built:1 docker-archive:{}:built:1", archive.display()))?;
    pushed.must_have_files_of(&Image::from_archive(&archive)?, "the pushed image")?;
    site.sh("buildah rm --all && buildah rmi --all --force")?;

    let container = site.sh(&format!("buildah from -q {}/{reference}", proxy.host()))?.text().to_owned();
    let again = site.sh(&format!("buildah run {container} -- {PREDICT}"))?;
    ensure_eq!(again.text(), prediction, "prediction after the pull");
    trial.observer.check_whole(repository, tag)?;
    let ranges = proxy.take_seen().iter().filter(|seen| seen.range.is_some()).count();
    Ok((ranges > 0).then(|| format!("{ranges} range requests")))
}
