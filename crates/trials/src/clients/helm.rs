//! helm: charts as OCI artifacts; versions come from the tag list, and `+` is written `_`.

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// Three versions of a chart; the newest is found, an older one comes byte for byte.
pub fn chart(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (site, host) = (trial.site(origin)?, trial.host());
    site.sh("mkdir pulled && helm create serving")?;
    for version in ["0.1.0", "0.1.0+build.7", "0.2.0"] {
        site.sh(&format!("helm package serving --version {version}"))?;
        site.sh(&format!("helm push --plain-http serving-{version}.tgz oci://{host}/charts"))?;
    }
    ensure_eq!(trial.observer.tags("charts/serving")?, ["0.1.0", "0.1.0_build.7", "0.2.0"], "tags");
    site.sh(&format!("helm pull --plain-http oci://{host}/charts/serving --version 0.1.0+build.7 -d pulled"))?;
    let file = "serving-0.1.0+build.7.tgz";
    let (before, after) =
        (std::fs::read(trial.folder().join(file))?, std::fs::read(trial.folder().join("pulled").join(file))?);
    ensure!(before == after, "the chart has changed");
    site.sh(&format!("helm show chart --plain-http oci://{host}/charts/serving"))?.says("version: 0.2.0")?;
    site.sh(&format!("helm show chart --plain-http oci://{host}/charts/serving --version '<0.2'"))?
        .says("version: 0.1.0")?;
    site.sh(&format!("helm template --plain-http model oci://{host}/charts/serving"))?.says("kind: Deployment")?;
    trial.observer.check_whole("charts/serving", "0.2.0")?;
    Ok(None)
}
