//! Case 17: cleaning up locally leaves the registry's images alone, and durations have one spelling.

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// An image of long ago is pruned from the engine, one of today stays; the registry keeps both.
pub fn local_beside_registry(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (engine, host) = (trial.engine(origin)?, trial.host());
    let site = trial.site(Origin::Apt)?;
    site.sh(&format!("skopeo copy oci:{}:1.0 oci:aged:1.0", known.layout.display()))?;
    site.sh("umoci config --image aged:1.0 --created 2020-02-02T00:00:00Z --history.created 2020-02-02T00:00:00Z")?;
    site.sh(&format!("skopeo copy oci:aged:1.0 docker://{host}/ml-model:old"))?;
    trial.seed(&known, "ml-model:new")?;
    for tag in ["old", "new"] {
        engine.sh(&format!("docker pull {host}/ml-model:{tag}"))?;
    }
    engine.sh("docker image prune --force -a --filter \"until=720h\"")?;
    let left = engine.sh(&format!("docker images --format '{{{{.Tag}}}}' {host}/ml-model | sort"))?;
    match origin {
        // The containerd store counts from the pull, and both were pulled just now.
        Origin::Sid => ensure_eq!(left.text(), "new\nold", "tags left on the engine"),
        Origin::Apt | Origin::Go => ensure_eq!(left.text(), "new", "tags left on the engine"),
    }
    engine.forget_everything()?;

    ensure_eq!(trial.observer.tags("ml-model")?, ["new", "old"], "tags in the registry");
    engine.sh(&format!("docker pull {host}/ml-model:old"))?;
    ensure_eq!(engine.run(&format!("{host}/ml-model:old"), "")?, known.prediction, "prediction of the old image");
    let old = Image::from_registry(&trial.observer, "ml-model", "old")?;
    old.must_have_files_of(&known.image, "the old image")?;
    engine.content(&format!("{host}/ml-model:old"))?.must_equal(&old, "the old image, pulled again")?;
    spellings(trial)
}

/// `720h` and `30d` are the same duration in Larder's settings.
fn spellings(trial: &Trial<'_>) -> Outcome<Note> {
    if trial.lab.implementation.larder().is_none() {
        return Ok(None);
    }
    for spelling in ["720h", "30d"] {
        let larder = trial.larder()?.with("LARDER_UPLOADS__IDLE", spelling);
        larder.sh("larder config check")?;
        let idle = larder.sh("larder config print | grep '^uploads.idle '")?;
        ensure!(idle.text().contains("\"30d\""), "{spelling} is read as {}", idle.text());
    }
    trial.larder()?.with("LARDER_UPLOADS__IDLE", "720 parsecs").refused("larder config check")?;
    Ok(None)
}
