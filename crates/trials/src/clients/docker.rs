//! docker: the classic store of 20.10 and the containerd store of 28.

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// Names of one, two, three and more components are all ordinary.
pub fn names(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (engine, host) = (trial.engine(origin)?, trial.host());
    engine.sh(&format!("docker load -i {}", known.archive.display()))?;
    let names = ["ml-model", "mlproject/mlmodel", "my-project/ml-models/ml-model", "a/b.c/d_e/f__g/h-i-j"];
    for name in names {
        engine.sh(&format!("docker tag ml-model:1.0 {host}/{name}:1.0"))?;
        engine.sh(&format!("docker push {host}/{name}:1.0"))?;
    }
    let mut expected = names.map(str::to_owned);
    expected.sort();
    ensure_eq!(trial.observer.repositories()?, expected, "the catalogue");
    engine.forget_everything()?;
    for name in names {
        engine.sh(&format!("docker pull {host}/{name}:1.0"))?;
        ensure_eq!(engine.run(&format!("{host}/{name}:1.0"), "")?, known.prediction, "prediction of {name}");
        Image::from_registry(&trial.observer, name, "1.0")?.must_equal(&known.image, name)?;
    }
    Ok(None)
}

/// A second push of the same image sends no layer, also under another tag.
pub fn repush(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (engine, proxy) = (trial.engine(origin)?, trial.proxy()?);
    let host = proxy.host();
    engine.sh(&format!("docker load -i {}", known.archive.display()))?;
    engine.sh(&format!("docker tag ml-model:1.0 {host}/ml-model:1.0 && docker push {host}/ml-model:1.0"))?;
    let first = proxy.take_seen();
    ensure!(first.iter().any(|seen| seen.sends() && seen.path.contains("/blobs/")), "the first push sent no blob");

    engine.sh(&format!("docker push {host}/ml-model:1.0"))?;
    engine.sh(&format!("docker tag ml-model:1.0 {host}/ml-model:again && docker push {host}/ml-model:again"))?;
    for seen in proxy.take_seen() {
        let blob = seen.path.contains("/blobs/") && seen.method != "HEAD" && seen.method != "GET";
        ensure!(!blob, "the second push asked for {} {}", seen.method, seen.path);
    }
    let (one, other) = (trial.observer.manifest("ml-model", "1.0")?, trial.observer.manifest("ml-model", "again")?);
    ensure_eq!(one.digest, other.digest, "digests of the two tags");
    Image::from_registry(&trial.observer, "ml-model", "again")?.must_equal(&known.image, "the registry's image")?;
    Ok(None)
}

/// An image is pulled by its digest, also when its tag has moved on and the registry was restarted.
pub fn by_digest(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (engine, host) = (trial.engine(origin)?, trial.host());
    engine.sh(&format!("docker load -i {}", known.archive.display()))?;
    engine.sh(&format!("docker tag ml-model:1.0 {host}/ml-model:1.0 && docker push {host}/ml-model:1.0"))?;
    let digest = trial.observer.manifest("ml-model", "1.0")?.digest;

    engine.sh(&format!("printf 'FROM ml-model:1.0\\nLABEL moved=on\\n' | docker build -t {host}/ml-model:1.0 -"))?;
    engine.sh(&format!("docker push {host}/ml-model:1.0"))?;
    ensure!(trial.observer.manifest("ml-model", "1.0")?.digest != digest, "the tag did not move");
    engine.forget_everything()?;
    trial.server()?.restart()?;

    let image = format!("{host}/ml-model@{digest}");
    engine.sh(&format!("docker pull {image}"))?.says(&digest)?;
    ensure_eq!(engine.run(&image, "")?, known.prediction, "prediction");
    engine.content(&image)?.must_equal(&known.image, "the image pulled by digest")?;
    Ok(None)
}

/// `docker search` finds what is there, by a part of its name.
pub fn search(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    trial.seed(&known, "team/ml-model:1.0")?;
    let (engine, host) = (trial.engine(origin)?, trial.host());
    engine.sh(&format!("docker search {host}/ml-mod"))?.says("team/ml-model")?;
    let nothing = engine.sh(&format!("docker search {host}/nothing-like-it"))?;
    ensure!(!nothing.text().contains("ml-model"), "it found {}", nothing.text());
    Ok(None)
}
