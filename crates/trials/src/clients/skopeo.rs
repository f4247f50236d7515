//! skopeo: copies between registries, archives and folders; deletes by digest.

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// Archive to registry to registry to layout, looked at on the way.
pub fn copy(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (site, host) = (trial.site(origin)?, trial.host());
    site.sh(&format!("skopeo copy docker-archive:{} docker://{host}/ml-model:1.0", known.archive.display()))?;
    site.sh(&format!("skopeo copy --format oci docker://{host}/ml-model:1.0 docker://{host}/team/ml-model:1.0"))?;
    site.sh(&format!("skopeo copy oci:{}:1.0 docker://{host}/team/ml-model:layout", known.layout.display()))?;
    site.sh(&format!("skopeo copy docker://{host}/team/ml-model:1.0 oci:copied:1.0"))?;
    Image::from_layout(&trial.folder().join("copied"))?.must_equal(&known.image, "the copied image")?;

    let tags = site.sh(&format!("skopeo list-tags docker://{host}/team/ml-model"))?;
    tags.says("\"1.0\"")?.says("\"layout\"")?;
    let inspected = site.sh(&format!("skopeo inspect docker://{host}/ml-model:1.0"))?;
    inspected.says(&trial.observer.manifest("ml-model", "1.0")?.digest)?;
    let raw = site.sh(&format!("skopeo inspect --raw docker://{host}/team/ml-model:1.0"))?;
    let manifest = trial.observer.manifest("team/ml-model", "1.0")?;
    ensure_eq!(serde_json::from_str::<serde_json::Value>(&raw.out)?, manifest.document, "the raw manifest");
    for (repository, tag) in [("ml-model", "1.0"), ("team/ml-model", "1.0"), ("team/ml-model", "layout")] {
        Image::from_registry(&trial.observer, repository, tag)?.must_equal(&known.image, repository)?;
    }
    Ok(None)
}

/// A repository with all of its tags into a folder, and from there and directly into another name.
pub fn sync(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (site, host) = (trial.site(origin)?, trial.host());
    trial.seed(&known, "ml-model:1.0")?;
    trial.seed(&known, "ml-model:latest")?;
    site.sh(&format!("skopeo sync --src docker --dest dir {host}/ml-model synced"))?;
    site.sh(&format!("skopeo sync --src dir --dest docker synced {host}/from-folder"))?;
    site.sh(&format!("skopeo sync --src docker --dest docker {host}/ml-model {host}/mirror"))?;
    for repository in ["from-folder/ml-model", "mirror/ml-model"] {
        let tags = trial.observer.tags(repository)?;
        ensure_eq!(tags, ["1.0", "latest"], "tags of {repository}");
        for tag in tags {
            Image::from_registry(&trial.observer, repository, &tag)?.must_equal(&known.image, repository)?;
        }
    }
    Ok(None)
}

/// A delete by tag is one by digest here: every tag of that image goes, and no other.
pub fn delete(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (site, host) = (trial.site(origin)?, trial.host());
    trial.seed(&known, "ml-model:1.0")?;
    trial.seed(&known, "ml-model:latest")?;
    let line = format!("skopeo copy --format oci docker://{host}/ml-model:1.0 docker://{host}/ml-model:other");
    site.sh(&line)?;
    site.sh(&format!("skopeo delete docker://{host}/ml-model:1.0"))?;
    ensure_eq!(trial.observer.tags("ml-model")?, ["other"], "tags that are left");
    let gone = site.refused(&format!("skopeo inspect docker://{host}/ml-model:latest"))?;
    ensure!(gone.err.contains("manifest unknown"), "unclear words: {}", gone.err);
    Image::from_registry(&trial.observer, "ml-model", "other")?.must_equal(&known.image, "the other image")?;
    Ok(None)
}
