//! oras: artifacts, what is attached to them, and copies of both.

use serde_json::Value;

use crate::clients::case::Note;
use crate::ensure_eq;
use crate::harness::Outcome;
use crate::harness::fixtures::noise;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;

/// Push files, attach to them, and to what was attached, copy the whole graph, pull it byte for byte.
pub fn artifact(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (site, host) = (trial.site(origin)?, trial.host());
    let model = trial.folder().join("model");
    std::fs::create_dir_all(&model)?;
    std::fs::write(model.join("config.json"), "{\"layers\": 2}\n")?;
    std::fs::write(model.join("model.safetensors"), noise(8, 3 << 20))?;
    let site = site.at(&model);
    site.sh(&format!(
        "oras push --plain-http {host}/ml-model:1 --artifact-type application/vnd.example.model \
         config.json:application/json model.safetensors:application/octet-stream"
    ))?;
    site.sh(&format!(
        "oras attach --plain-http {host}/ml-model:1 --artifact-type application/vnd.example.card config.json"
    ))?;
    let subject = trial.observer.manifest("ml-model", "1")?.digest;
    let card = trial.observer.referrers("ml-model", &subject)?[0]["digest"].as_str().unwrap_or_default().to_owned();
    site.sh(&format!(
        "oras attach --plain-http {host}/ml-model@{card} --artifact-type application/vnd.example.signature config.json"
    ))?;

    site.sh(&format!("oras copy -r --from-plain-http --to-plain-http {host}/ml-model:1 {host}/team/ml-model:1"))?;
    let found = site.sh(&format!("oras discover --plain-http --format json {host}/team/ml-model:1"))?;
    let graph: Value = serde_json::from_str(&found.out)?;
    let attached = &graph["referrers"][0];
    ensure_eq!(attached["artifactType"], "application/vnd.example.card", "what is attached to the copy");
    ensure_eq!(
        attached["referrers"][0]["artifactType"],
        "application/vnd.example.signature",
        "what is attached to that"
    );
    ensure_eq!(site.sh(&format!("oras repo tags --plain-http {host}/team/ml-model"))?.text(), "1", "tags of the copy");
    site.sh(&format!("oras repo ls --plain-http {host}"))?.says("team/ml-model")?;

    site.sh(&format!("oras pull --plain-http -o ../pulled {host}/team/ml-model:1"))?;
    for file in ["config.json", "model.safetensors"] {
        let (before, after) =
            (std::fs::read(model.join(file))?, std::fs::read(trial.folder().join("pulled").join(file))?);
        crate::ensure!(before == after, "{file} has changed");
    }
    trial.observer.check_whole("team/ml-model", "1")?;
    Ok(None)
}
