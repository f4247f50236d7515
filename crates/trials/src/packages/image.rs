//! The image: loaded into engines of both ages, it stands in for `registry:2`.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cases::registry_image::{OWNER, by_its_first_account, mountpoint, start};
use crate::harness::engine::Engine;
use crate::harness::fixtures::noise;
use crate::harness::isolation::CONTROL_GROUP;
use crate::harness::site::Origin;
use crate::harness::{Failure, Outcome};
use crate::packages::Ground;
use crate::{ensure, ensure_eq};

/// Loads it into a docker engine and uses it as `registry:2` is used.
pub fn stands_in(ground: &Ground<'_>, origin: Origin) -> Outcome<String> {
    let trial = &ground.trial;
    let image = format!("larder:{}", ground.set.version);
    let engine = trial.bridged_engine(origin)?;
    // The newer engine has a root of its own, which knows the trial's folder.
    let archive = trial.folder().join("image.tar");
    std::fs::copy(&ground.set.image, &archive)?;
    engine.sh(&format!("docker load -i {}", archive.display()))?;
    engine.sh(&format!("docker tag {image} larder:trial"))?;
    looks_like_registry2(&engine, &image)?;
    ensure!(engine.run(&image, "version")?.contains(&ground.set.version), "another version");
    by_its_first_account(&engine, "larder:trial")?;

    start(trial, &engine)?;
    let model = trial.folder().join("model.bin");
    std::fs::write(&model, noise(6, 3_000_000))?;
    trial.larder()?.sh(&format!("larder push {} localhost:5000/team/ml-model:1.0", model.display()))?;
    engine
        .sh(&format!("docker tag {image} localhost:5000/larder:itself && docker push localhost:5000/larder:itself"))?;
    engine.sh("docker rmi localhost:5000/larder:itself && docker pull localhost:5000/larder:itself")?;
    engine.sh("docker exec registry /bin/registry garbage-collect /etc/docker/registry/config.yml")?;
    engine.sh("docker exec registry larder repo ls")?.says("team/ml-model")?;
    ensure_eq!(std::fs::metadata(mountpoint(&engine)?)?.uid(), OWNER, "the owner of a fresh volume");
    // Clients keep connections open; within docker's 10 s the server must have ended all the same.
    engine.sh("docker stop registry")?;
    let code = engine.sh("docker inspect -f '{{.State.ExitCode}}' registry")?;
    ensure_eq!(code.text(), "0", "the exit code of a stopped container");
    engine.sh("docker rm registry")?;

    // Another container on the same volume.
    start(trial, &engine)?;
    for (name, tag) in [("team/ml-model", "1.0"), ("larder", "itself")] {
        trial.observer.check_whole(name, tag)?;
    }
    engine.sh("docker rm -f registry")?;
    engine
        .sh(&format!("docker run --rm -v registry-data:/var/lib/registry {image} verify --data /var/lib/registry"))?;
    Ok("load, run, push and pull itself, stop, run again, verify".to_owned())
}

/// Port, volume, entry point: what others' compose files and charts count on.
fn looks_like_registry2(engine: &Engine, image: &str) -> Outcome {
    let inspected: Value = serde_json::from_str(engine.sh(&format!("docker image inspect {image}"))?.text())?;
    let config = &inspected[0]["Config"];
    ensure_eq!(config["ExposedPorts"], json!({ "5000/tcp": {} }), "ports");
    ensure_eq!(config["Volumes"], json!({ "/var/lib/registry": {} }), "volumes");
    ensure_eq!(config["Entrypoint"], json!(["/usr/bin/larder"]), "entry point");
    ensure_eq!(config["Cmd"], json!(["serve"]), "command");
    ensure_eq!(inspected[0]["Architecture"], "amd64", "architecture");
    Ok(())
}

/// Loads it into podman and serves on the machine's own network.
pub fn in_podman(ground: &Ground<'_>) -> Outcome<String> {
    let (trial, image) = (&ground.trial, format!("larder:{}", ground.set.version));
    let site = trial.site(Origin::Apt)?;
    site.sh(&format!("podman load -i {}", ground.set.image.display()))?;
    let run = format!("podman run --cgroup-parent /{CONTROL_GROUP}");
    site.sh(&format!("{run} --rm --network none {image} version"))?.says(&ground.set.version)?;
    let opened = "--network host -e LARDER_ACCESS__OPEN=write -v registry-data:/var/lib/registry";
    let mut server = site.start(&format!("exec {run} --rm --name registry {opened} {image}"))?;
    let deadline = Instant::now() + Duration::from_secs(30);
    while trial.observer.status("/v2/").ok() != Some(200) {
        if !server.alive() || Instant::now() > deadline {
            return Err(Failure::new(format!("the container does not answer\n{}", server.printed())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    site.sh(&format!("podman push {image} localhost:5000/larder:itself"))?;
    trial.observer.check_whole("larder", "itself")?;
    site.sh("podman stop registry")?;
    server.stop(Duration::from_secs(10));
    site.sh(&format!(
        "{run} --rm --network none -v registry-data:/var/lib/registry {image} verify --data /var/lib/registry"
    ))?;
    Ok("load, run, push itself, stop, verify".to_owned())
}

/// One layout of all platforms, as skopeo and whoever else reads one.
pub fn layout(ground: &Ground<'_>) -> Outcome<String> {
    let site = ground.trial.site(Origin::Apt)?;
    let source = format!("oci-archive:{}:{}", ground.set.layout.display(), ground.set.version);
    let index: Value = serde_json::from_str(site.sh(&format!("skopeo inspect --raw {source}"))?.text())?;
    let children = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut platforms: Vec<&str> =
        children.iter().filter_map(|child| child["platform"]["architecture"].as_str()).collect();
    platforms.sort_unstable();
    let expected: &[&str] = if ground.set.arm64.is_some() { &["amd64", "arm64"] } else { &["amd64"] };
    ensure!(expected.iter().all(|platform| platforms.contains(platform)), "platforms: {platforms:?}");
    for platform in &platforms {
        let line = format!("skopeo inspect --config --override-arch {platform} {source}");
        let config: Value = serde_json::from_str(site.sh(&line)?.text())?;
        ensure_eq!(config["architecture"], *platform, "architecture");
        let copy = ground.trial.folder().join(format!("copy-{platform}"));
        site.sh(&format!("skopeo copy --override-arch {platform} {source} dir:{}", copy.display()))?;
    }
    Ok(format!("skopeo reads {}", platforms.join(" and ")))
}
