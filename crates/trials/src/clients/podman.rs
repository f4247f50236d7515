//! podman: streams one PATCH per layer, looks for blobs before it sends them.

use crate::clients::case::Note;
use crate::ensure_eq;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::fixtures::write_context;
use crate::harness::isolation::CONTROL_GROUP;
use crate::harness::site::{Origin, Site};
use crate::harness::trial::Trial;

/// Pull and run what docker built, push it elsewhere, build and push an image, pull it again.
pub fn round_trip(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (site, host) = (trial.site(origin)?, trial.host());
    trial.seed(&known, "ml-model:1.0")?;
    site.sh(&format!("podman pull {host}/ml-model:1.0"))?;
    ensure_eq!(run(&site, &format!("{host}/ml-model:1.0"))?, known.prediction, "prediction");
    site.sh(&format!("podman push {host}/ml-model:1.0 {host}/podman/ml-model:1.0"))?;
    Image::from_registry(&trial.observer, "podman/ml-model", "1.0")?.must_equal(&known.image, "the pushed image")?;

    let context = trial.folder().join("context");
    write_context(&context, 5, 1 << 20)?;
    site.sh(&format!("podman build -t {host}/podman/built:1.0 {}", context.display()))?;
    let prediction = run(&site, &format!("{host}/podman/built:1.0"))?;
    site.sh(&format!("podman push {host}/podman/built:1.0"))?;
    let digest = trial.observer.manifest("podman/built", "1.0")?.digest;
    site.sh("podman rmi --all --force")?;

    let image = format!("{host}/podman/built@{digest}");
    site.sh(&format!("podman pull {image}"))?;
    ensure_eq!(run(&site, &image)?, prediction, "prediction of the image that podman built");
    let archive = trial.folder().join("saved.tar");
    site.sh(&format!("podman save --format docker-archive -o {} {image}", archive.display()))?;
    let pushed = Image::from_registry(&trial.observer, "podman/built", "1.0")?;
    Image::from_archive(&archive)?.must_equal(&pushed, "the image pulled by digest")?;
    trial.observer.check_whole("podman/built", "1.0")?;
    Ok(None)
}

/// `podman search` finds what is there, by a part of its name.
pub fn search(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (site, host) = (trial.site(origin)?, trial.host());
    trial.seed(&known, "team/ml-model:1.0")?;
    site.sh(&format!("podman search {host}/ml-mod"))?.says(&format!("{host}/team/ml-model"))?;
    Ok(None)
}

/// Runs an image and returns what it printed.
pub fn run(site: &Site, image: &str) -> Outcome<String> {
    let line = format!("podman run --rm --network none --cgroup-parent /{CONTROL_GROUP} {image}");
    Ok(site.sh(&line)?.text().to_owned())
}
