//! Case 18: a name without a registry.

use crate::clients::case::Note;
use crate::ensure_eq;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;

/// docker means its hub, and says so.
pub fn docker_goes_to_its_hub(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let engine = trial.engine(origin)?;
    engine.sh(&format!("docker load -i {}", known.archive.display()))?;
    engine.site().refused("docker push ml-model:1.0")?.says("docker.io/library/ml-model")?;
    ensure_eq!(trial.observer.repositories()?, Vec::<String>::new(), "what the registry knows");
    Ok(None)
}

/// Larder means the server one is logged in to, or asks; and a push wants a tag.
pub fn larder_asks_for_one(trial: &mut Trial<'_>, _: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (larder, host) = (trial.larder()?, trial.host());
    let source = known.archive.display();
    for line in [format!("larder push {source} ml-model:1.0"), format!("larder push {source} {host}/ml-model")] {
        let output = larder.refused(&line)?;
        ensure_eq!(output.code(), 2, "exit code of `{line}`");
        output
            .says(&format!("{host}/ml-model:1.0"))
            .or_else(|_| output.says("HOST/ml-model:1.0"))
            .or_else(|_| output.says("localhost:5000/"))?;
    }
    ensure_eq!(trial.observer.repositories()?, Vec::<String>::new(), "what the registry knows");

    let served = larder.with("LARDER_SERVER", format!("http://{host}"));
    served.sh(&format!("larder push {source} ml-model:1.0"))?;
    Image::from_registry(&trial.observer, "ml-model", "1.0")?.must_equal(&known.image, "the pushed image")?;
    served.sh("larder pull ml-model:1.0 pulled")?;
    Image::from_layout(&trial.folder().join("pulled"))?.must_equal(&known.image, "the pulled image")?;
    Ok(None)
}
