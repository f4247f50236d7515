//! Transfers that are cut: a proxy closes connections in the middle of a body, and the client goes on.

use std::path::Path;
use std::sync::Arc;

use crate::clients::case::Note;
use crate::clients::regctl;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::fixtures::Known;
use crate::harness::proxy::{Cut, Proxy, Seen, Way};
use crate::harness::site::{Origin, Site};
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

const MIB: u64 = 1 << 20;

/// docker's classic store goes on with a range; so does the containerd store.
pub fn docker_pull(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (known, proxy) = cut_pulls(trial)?;
    let (engine, image) = (trial.engine(origin)?, format!("{}/ml-model:1.0", proxy.host()));
    engine.sh(&format!("docker pull {image}"))?;
    ensure_eq!(engine.run(&image, "")?, known.prediction, "prediction");
    engine.content(&image)?.must_equal(&known.image, "the image")?;
    resumed(&proxy)
}

/// containerd by itself.
pub fn ctr_pull(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    // The newer one asks for a mebibyte at a time.
    let after = if origin == Origin::Sid { MIB / 2 } else { 9 * MIB };
    let (known, proxy) = cut_pulls_after(trial, after)?;
    let (containerd, image) = (trial.containerd(origin)?, format!("{}/ml-model:1.0", proxy.host()));
    containerd.pull(&image)?;
    ensure_eq!(containerd.run(&image, "resumed")?, known.prediction, "prediction");
    let archive = trial.folder().join("exported.tar");
    containerd.ctr(&format!("images export {} {image}", archive.display()))?;
    Image::from_archive(&archive)?.must_equal(&known.image, "the image")?;
    resumed(&proxy)
}

/// skopeo, and with it podman and buildah, which share its library.
pub fn skopeo_pull(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (known, proxy) = cut_pulls(trial)?;
    let line = format!("skopeo copy docker://{}/ml-model:1.0 oci:pulled:1.0", proxy.host());
    let tries = insist(&trial.site(origin)?, &line)?;
    Image::from_layout(&trial.folder().join("pulled"))?.must_equal(&known.image, "the image")?;
    if origin == Origin::Apt {
        // The older library begins again, and does not even try by itself.
        return Ok(Some(format!("{tries} tries, as it resumes nothing")));
    }
    ensure_eq!(tries, 1, "tries");
    resumed(&proxy)
}

/// regctl.
pub fn regctl_pull(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (known, proxy) = cut_pulls(trial)?;
    let site = regctl::site(trial, origin, &[proxy.host()])?;
    site.sh(&format!("regctl image copy {}/ml-model:1.0 ocidir://pulled:1.0", proxy.host()))?;
    Image::from_layout(&trial.folder().join("pulled"))?.must_equal(&known.image, "the image")?;
    resumed(&proxy)
}

/// Larder's own client.
pub fn larder_pull(trial: &mut Trial<'_>, _: Origin) -> Outcome<Note> {
    let (known, proxy) = cut_pulls(trial)?;
    trial.larder()?.sh(&format!("larder pull {}/ml-model:1.0 pulled", proxy.host()))?;
    Image::from_layout(&trial.folder().join("pulled"))?.must_equal(&known.image, "the image")?;
    resumed(&proxy)
}

/// docker begins a layer again; the registry must take it.
pub fn docker_push(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (known, proxy) = cut_pushes(trial)?;
    let (engine, image) = (trial.engine(origin)?, format!("{}/ml-model:1.0", proxy.host()));
    engine.sh(&format!("docker load -i {} && docker tag ml-model:1.0 {image}", known.archive.display()))?;
    let tries = insist(engine.site(), &format!("docker push {image}"))?;
    // The containerd store mostly gives up when it is cut.
    ensure!(tries == 1 || origin == Origin::Sid, "docker gave up");
    let note = arrived(trial, &known, &proxy, None)?;
    Ok(note.map(|note| format!("{note}, {tries} tries")))
}

/// skopeo takes a broken connection for final; what people do then is to push again.
pub fn skopeo_push(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (known, proxy) = cut_pushes(trial)?;
    let line = format!("skopeo copy docker-archive:{} docker://{}/ml-model:1.0", known.archive.display(), proxy.host());
    let tries = insist(&trial.site(origin)?, &line)?;
    let note = arrived(trial, &known, &proxy, None)?;
    Ok(note.map(|note| format!("{note}, {tries} tries")))
}

/// regctl asks for the state of the upload and goes on.
pub fn regctl_push(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (known, proxy) = cut_pushes(trial)?;
    let site = regctl::site(trial, origin, &[proxy.host()])?;
    site.sh(&format!("regctl image copy ocidir://{}:1.0 {}/ml-model:1.0", known.layout.display(), proxy.host()))?;
    arrived(trial, &known, &proxy, None)
}

/// Larder's own client goes on near where it was cut: two cuts cost little more than the image.
pub fn larder_push(trial: &mut Trial<'_>, _: Origin) -> Outcome<Note> {
    let (known, proxy) = cut_pushes(trial)?;
    trial.larder()?.sh(&format!("larder push {} {}/ml-model:1.0", known.archive.display(), proxy.host()))?;
    arrived(trial, &known, &proxy, Some(125))
}

/// Runs a line until it succeeds, at most three times, and tells how often that was.
fn insist(site: &Site, line: &str) -> Outcome<usize> {
    for tries in 1..3 {
        if site.attempt(line)?.succeeded() {
            return Ok(tries);
        }
    }
    site.sh(line)?;
    Ok(3)
}

/// A registry that holds the heavy image behind a proxy that cuts its layer twice.
fn cut_pulls(trial: &Trial<'_>) -> Outcome<(Arc<Known>, Proxy)> {
    cut_pulls_after(trial, 9 * MIB)
}

fn cut_pulls_after(trial: &Trial<'_>, after: u64) -> Outcome<(Arc<Known>, Proxy)> {
    let known = trial.lab.fixtures.heavy(trial.lab)?;
    trial.seed(&known, "ml-model:1.0")?;
    let proxy = trial.proxy()?;
    proxy.cut(Cut { method: "GET", path: "/blobs/", way: Way::Down, after, times: 2 });
    Ok((known, proxy))
}

/// A proxy before an empty registry that cuts two uploads, whether they come by PATCH or by PUT.
fn cut_pushes(trial: &Trial<'_>) -> Outcome<(Arc<Known>, Proxy)> {
    let known = trial.lab.fixtures.heavy(trial.lab)?;
    let proxy = trial.proxy()?;
    for method in ["PATCH", "PUT"] {
        proxy.cut(Cut { method, path: "/blobs/uploads/", way: Way::Up, after: 20 * MIB, times: 1 });
    }
    Ok((known, proxy))
}

/// Both cuts happened, and what came after them began where they were.
fn resumed(proxy: &Proxy) -> Outcome<Note> {
    let seen = proxy.take_seen();
    let cuts = seen.iter().filter(|seen| seen.was_cut()).count();
    ensure_eq!(cuts, 2, "connections cut");
    let later = seen.iter().filter_map(start).filter(|start| *start >= MIB).count();
    ensure!(later >= 1, "nobody asked for the rest: {seen:#?}");
    let down: u64 = seen.iter().map(Seen::received).sum();
    Ok(Some(format!("{later} resumed ranges, {} MiB in all", down / MIB)))
}

fn start(seen: &Seen) -> Option<u64> {
    seen.range.as_deref()?.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
}

/// A cut happened and the image is whole; `most` bounds the bytes sent, in percent of it.
fn arrived(trial: &Trial<'_>, known: &Known, proxy: &Proxy, most: Option<u64>) -> Outcome<Note> {
    let seen = proxy.take_seen();
    let cuts = seen.iter().filter(|seen| seen.was_cut()).count();
    ensure!(cuts >= 1, "nothing was cut");
    Image::from_registry(&trial.observer, "ml-model", "1.0")?.must_equal(&known.image, "the image")?;
    trial.observer.check_whole("ml-model", "1.0")?;
    let sent: u64 = seen.iter().map(Seen::sent).sum();
    let whole = size(&known.layout)?;
    if let Some(percent) = most {
        ensure!(sent * 100 < whole * percent, "{sent} bytes were sent for an image of {whole}: it was not resumed");
    }
    Ok(Some(format!("{cuts} cuts, {} MiB sent of {}", sent / MIB, whole / MIB)))
}

fn size(layout: &Path) -> Outcome<u64> {
    let mut total = 0;
    for blob in std::fs::read_dir(layout.join("blobs/sha256"))? {
        total += blob?.metadata()?.len();
    }
    Ok(total)
}
