//! Versions through stages, by people who know docker alone and by those who promote.

use crate::clients::case::Note;
use crate::ensure_eq;
use crate::harness::Outcome;
use crate::harness::fixtures::write_context;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;

const GATED: &str =
    r#"{"stages":[{"name":"dev"},{"name":"staging"},{"name":"prod","gates":{"previous":true,"version":"release"}}]}"#;

/// docker moves `prod` while it has no gates, and is told what to type when it has; a promotion moves it then, and a rollback back.
pub fn beside_docker(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    if trial.lab.implementation.larder().is_none() {
        return Ok(None);
    }
    let (engine, host) = (trial.engine(origin)?, trial.host());
    let context = trial.folder().join("context");
    for (seed, version) in ["1.4.1", "1.4.2"].into_iter().enumerate() {
        write_context(&context, 30 + seed as u64, 64 << 10)?;
        engine.sh(&format!("docker build -t {host}/ml-model:{version} {}", context.display()))?;
        engine.sh(&format!("docker push {host}/ml-model:{version}"))?;
    }
    engine.sh(&format!("docker tag {host}/ml-model:1.4.1 {host}/ml-model:prod"))?;
    engine.sh(&format!("docker push {host}/ml-model:prod"))?;
    let larder = trial.larder()?.with("LARDER_SERVER", format!("http://{host}"));
    larder.sh("larder stage show ml-model")?.says("1.4.1")?.says("push")?;

    let file = trial.folder().join("stages.json");
    std::fs::write(&file, GATED)?;
    larder.sh(&format!("larder stage set ml-model --file {}", file.display()))?;
    engine.sh(&format!("docker tag {host}/ml-model:1.4.2 {host}/ml-model:prod"))?;
    let refused = engine.site().refused(&format!("docker push {host}/ml-model:prod"))?;
    refused.says("larder promote ml-model:VERSION --to prod")?;
    larder.refused("larder promote ml-model:1.4.2 --to prod")?.says("it was never in staging")?;
    larder
        .sh("larder promote ml-model:1.4.2 --to staging && larder promote ml-model:1.4.2 --to prod --reason trial")?;
    let digest = |tag: &str| -> Outcome<String> { Ok(trial.observer.manifest("ml-model", tag)?.digest.to_string()) };
    ensure_eq!(digest("prod")?, digest("1.4.2")?, "what stands in prod");

    engine.forget_everything()?;
    engine.sh(&format!("docker pull {host}/ml-model:prod"))?;
    larder.sh("larder stage who ml-model --stage prod")?.says("1.4.2")?;
    larder.sh("larder rollback ml-model --stage prod --yes")?;
    ensure_eq!(digest("prod")?, digest("1.4.1")?, "what stands in prod after the rollback");
    Ok(None)
}
