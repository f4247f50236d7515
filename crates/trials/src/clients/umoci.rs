//! umoci: unpacks an image that skopeo fetched, changes it, and packs it again.

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::layer::Entry;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// Registry to layout to file system and back.
pub fn repack(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (site, host) = (trial.site(origin)?, trial.host());
    trial.seed(&known, "ml-model:1.0")?;
    site.sh(&format!("skopeo copy docker://{host}/ml-model:1.0 oci:layout:1.0"))?;
    site.sh("umoci unpack --image layout:1.0 bundle")?;
    let weights = std::fs::read(trial.folder().join("bundle/rootfs/model/weights.tsv"))?;
    ensure_eq!(Some(weights.len() as u64), length(&known.image, "model/weights.tsv"), "length of the unpacked weights");

    site.sh("echo tuned > bundle/rootfs/model/note.txt && umoci repack --image layout:1.1 bundle")?;
    site.sh("umoci config --image layout:1.1 --config.label stage=tuned")?;
    site.sh(&format!("skopeo copy oci:layout:1.1 docker://{host}/ml-model:1.1"))?;
    let image = Image::from_registry(&trial.observer, "ml-model", "1.1")?;
    ensure_eq!(length(&image, "model/note.txt"), Some(6), "length of the added file");
    ensure_eq!(image.files.get("model/weights.tsv"), known.image.files.get("model/weights.tsv"), "the weights");
    ensure_eq!(image.config["Labels"]["stage"], "tuned", "the label");
    ensure!(image.layers.starts_with(&known.image.layers), "the layers below changed");
    Ok(None)
}

fn length(image: &Image, path: &str) -> Option<u64> {
    match image.files.get(path) {
        Some(Entry::File(_, length, _)) => Some(*length),
        _ => None,
    }
}
