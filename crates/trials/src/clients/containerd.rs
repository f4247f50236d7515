//! containerd through `ctr`: one PUT per blob, and the newer one pulls a layer in parallel ranges.

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// Pull, run, push elsewhere, pull that by digest.
pub fn round_trip(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let host = trial.host();
    trial.seed(&known, "ml-model:1.0")?;
    let containerd = trial.containerd(origin)?;
    let image = format!("{host}/ml-model:1.0");
    containerd.pull(&image)?;
    ensure_eq!(containerd.run(&image, "first")?, known.prediction, "prediction");

    containerd.ctr(&format!("images tag {image} {host}/team/ml-model:1.0"))?;
    containerd.ctr(&format!("images push --plain-http {host}/team/ml-model:1.0"))?;
    let digest = trial.observer.manifest("team/ml-model", "1.0")?.digest;
    ensure_eq!(digest, trial.observer.manifest("ml-model", "1.0")?.digest, "digest of the copy");

    let copy = format!("{host}/team/ml-model@{digest}");
    containerd.pull(&copy)?;
    ensure_eq!(containerd.run(&copy, "second")?, known.prediction, "prediction of the copy");
    Image::from_registry(&trial.observer, "team/ml-model", "1.0")?.must_equal(&known.image, "the copy")?;
    Ok(None)
}

/// A layer comes as many open-ended ranges, each closed after its part.
pub fn parallel_ranges(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.heavy(trial.lab)?;
    trial.seed(&known, "ml-model:1.0")?;
    let (containerd, proxy) = (trial.containerd(origin)?, trial.proxy()?);
    let image = format!("{}/ml-model:1.0", proxy.host());
    containerd.pull(&image)?;
    let ranges = proxy.take_seen().iter().filter(|seen| seen.range.is_some()).count();
    ensure!(ranges > 8, "only {ranges} requests asked for a range");
    ensure_eq!(containerd.run(&image, "ranges")?, known.prediction, "prediction");
    let archive = trial.folder().join("exported.tar");
    containerd.ctr(&format!("images export {} {image}", archive.display()))?;
    Image::from_archive(&archive)?.must_equal(&known.image, "the image pulled in ranges")?;
    Ok(Some(format!("{ranges} ranges")))
}
