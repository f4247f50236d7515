//! Case 1: build, tag, push, pull on another engine, run. With a real image: Python, scikit-learn, a model
//! trained while the image is built.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::engine::Engine;
use crate::harness::layer::Entry;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// What a real image has at least, uncompressed.
const REAL: u64 = 300 << 20;

/// The five steps, on three engines.
pub fn five_steps(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let host = trial.host();
    let engine = trial.engine(origin)?;
    import_base(trial, &engine)?;
    let site = engine.site().clone().at(&sources()).within(Duration::from_secs(600));
    site.sh("docker build -t mlmodel:1.0 .")?;
    let prediction = engine.run("mlmodel:1.0", "")?;
    ensure!(prediction.contains("species"), "an odd prediction: {prediction}");

    site.sh(&format!("docker tag mlmodel:1.0 {host}/mlproject/mlmodel:1.0"))?;
    ensure_eq!(trial.observer.repositories()?, Vec::<String>::new(), "what the registry knows before the push");
    site.sh(&format!("docker push {host}/mlproject/mlmodel:1.0"))?;
    ensure_eq!(trial.observer.tags("mlproject/mlmodel")?, ["1.0"], "tags after the push");
    let images = site.sh("docker images --format '{{.Repository}}:{{.Tag}}'")?;
    images.says("mlmodel:1.0\n")?.says(&format!("{host}/mlproject/mlmodel:1.0\n"))?;

    let built = engine.content("mlmodel:1.0")?;
    let size = size(&built);
    ensure!(size > REAL, "the image has only {} MiB", size >> 20);
    Image::from_registry(&trial.observer, "mlproject/mlmodel", "1.0")?.must_equal(&built, "the registry's image")?;
    site.sh(&format!("docker rmi mlmodel:1.0 {host}/mlproject/mlmodel:1.0"))?;
    site.refused("docker run --rm --network none --pull never mlmodel:1.0")?;
    drop(engine);

    let second = trial.engine(Origin::Apt)?;
    second.must_be_empty()?;
    second.sh(&format!("docker pull {host}/mlproject/mlmodel:1.0"))?;
    ensure_eq!(second.run(&format!("{host}/mlproject/mlmodel:1.0"), "")?, prediction, "prediction on another engine");
    second.content(&format!("{host}/mlproject/mlmodel:1.0"))?.must_equal(&built, "the other engine's image")?;
    drop(second);

    let third = trial.engine(Origin::Sid)?;
    third.must_be_empty()?;
    let direct = third.run(&format!("{host}/mlproject/mlmodel:1.0"), "")?;
    ensure_eq!(direct, prediction, "prediction on a newer engine without a pull");
    third.content(&format!("{host}/mlproject/mlmodel:1.0"))?.must_equal(&built, "the newer engine's image")?;
    Ok(Some(format!("{} MiB, {prediction}", size >> 20)))
}

/// Gives an engine what `FROM python:3.11-slim` means here.
fn import_base(trial: &Trial<'_>, engine: &Engine) -> Outcome {
    let base = trial.lab.cache.join("python-base.tar");
    engine.sh(&format!("docker import -c 'CMD [\"python3\"]' {} python:3.11-slim", base.display()))?;
    Ok(())
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/first-model")
}

fn size(image: &Image) -> u64 {
    let length = |entry: &Entry| match entry {
        Entry::File(_, length, _) => *length,
        _ => 0,
    };
    image.files.values().map(length).sum()
}
