//! Cases 2, 3 and 4: semantic versions, git versions, both together.

use std::path::Path;

use crate::clients::case::Note;
use crate::harness::content::Image;
use crate::harness::engine::Engine;
use crate::harness::fixtures::write_context;
use crate::harness::site::{Origin, Running};
use crate::harness::trial::Trial;
use crate::harness::{Failure, Outcome};
use crate::{ensure, ensure_eq};

/// The releases of one team: initial, fix, feature, breaking.
const RELEASES: [&str; 4] = ["1.0.0", "1.0.1", "1.1.0", "2.0.0"];
/// The releases of another.
const OTHERS: [&str; 3] = ["v1.0", "v1.1", "v2.0"];

/// What CI makes of one build, within seconds.
const BURST: [&str; 11] =
    ["1.2.3", "1.2", "sha-abc123f", "abc123f", "1.2.3-abc123f", "main", "pr-2", "dev", "staging", "prod", "latest"];

/// Case 2: order, the range `1.x`, the newest; and each tag is the image that was pushed with it.
pub fn semantic(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (engine, host) = (trial.engine(origin)?, trial.host());
    let context = trial.folder().join("context");
    let mut predictions = Vec::new();
    for (seed, (repository, version)) in releases().enumerate() {
        write_context(&context, 10 + seed as u64, 64 << 10)?;
        engine.sh(&format!("docker build -t {host}/{repository}:{version} {}", context.display()))?;
        engine.sh(&format!("docker push {host}/{repository}:{version}"))?;
        predictions.push(engine.run(&format!("{host}/{repository}:{version}"), "")?);
    }
    let tags = |repository: &str| -> Outcome<Vec<String>> {
        let line = format!("crane ls {host}/{repository} | sort -V");
        Ok(trial.site(Origin::Go)?.sh(&line)?.text().lines().map(str::to_owned).collect())
    };
    let (ours, theirs) = (tags("ml-model")?, tags("other/ml-model")?);
    ensure_eq!(ours, RELEASES, "versions in order");
    ensure_eq!(theirs, OTHERS, "the other team's versions in order");
    if trial.lab.implementation.larder().is_some() {
        as_versions(trial)?;
    }

    engine.forget_everything()?;
    for ((repository, version), prediction) in releases().zip(predictions) {
        engine.sh(&format!("docker pull {host}/{repository}:{version}"))?;
        ensure_eq!(engine.run(&format!("{host}/{repository}:{version}"), "")?, prediction, "prediction of {version}");
        same(trial, &engine, repository, version)?;
    }
    Ok(None)
}

/// What Larder's own lists say of both teams' versions: the order, a range, and the newest, which comes first.
fn as_versions(trial: &Trial<'_>) -> Outcome {
    let (larder, host) = (trial.larder()?, trial.host());
    let listed = |arguments: &str| -> Outcome<Vec<String>> {
        let line = format!("larder tag ls {arguments} --server http://{host} --output jsonl | jq -r .name");
        Ok(larder.sh(&line)?.text().lines().map(str::to_owned).collect())
    };
    ensure_eq!(listed("ml-model --sort version")?, ["2.0.0", "1.1.0", "1.0.1", "1.0.0"], "the newest version first");
    ensure_eq!(listed("ml-model --sort version --range 1.x")?, ["1.1.0", "1.0.1", "1.0.0"], "the range 1.x");
    ensure_eq!(listed("other/ml-model --sort version")?, ["v2.0", "v1.1", "v1.0"], "the other team's newest first");
    ensure_eq!(listed("other/ml-model --sort version --range '>=1.0 <2'")?, ["v1.1", "v1.0"], "their range");
    Ok(())
}

fn releases() -> impl Iterator<Item = (&'static str, &'static str)> {
    let ours = RELEASES.iter().map(|version| ("ml-model", *version));
    ours.chain(OTHERS.iter().map(|version| ("other/ml-model", *version)))
}

/// Case 3: tags made by git.
pub fn git(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let (engine, host) = (trial.engine(origin)?, trial.host());
    let context = trial.folder().join("context");
    write_context(&context, 20, 64 << 10)?;
    let site = engine.site().clone().at(&context).with("GIT_CONFIG_GLOBAL", "/dev/null");
    site.sh(
        "git init -q -b main && git add . && git -c user.name=trial -c user.email=trial@larder.invalid commit -q -m model \
         && git tag v1.4.0 && git checkout -q -b feature/x",
    )?;
    let says = |line: &str| -> Outcome<String> { Ok(site.sh(line)?.text().to_owned()) };
    let branch = "git rev-parse --abbrev-ref HEAD";
    site.refused(&format!("docker build -t ml-model:$({branch}) ."))?.says("invalid")?;
    // As CI checks out: no branch at all.
    site.sh("git checkout -q --detach")?;
    let lines = ["git rev-parse --short HEAD", branch, "git describe --tags --abbrev=0"];
    let mut expected = Vec::new();
    for line in lines {
        site.sh(&format!("docker build -t ml-model:$({line}) ."))?;
        site.sh(&format!("docker tag ml-model:$({line}) {host}/ml-model:$({line})"))?;
        site.sh(&format!("docker push {host}/ml-model:$({line})"))?;
        expected.push(says(line)?);
    }
    ensure_eq!(expected[1..], ["HEAD", "v1.4.0"], "what git says");
    for tag in &expected {
        same(trial, &engine, "ml-model", tag)?;
    }
    expected.sort();
    ensure_eq!(trial.observer.tags("ml-model")?, expected, "tags");
    Ok(None)
}

/// Case 4: four tags by `--all-tags`, one digest, blobs stored once; then eleven tags at once.
pub fn combined(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let (engine, host) = (trial.engine(origin)?, trial.host());
    engine.sh(&format!("docker load -i {}", known.archive.display()))?;
    let site = engine.site().clone().with("VERSION", "1.2.0").with("SHA", "0a1b2c3");
    for tag in ["$VERSION", "$VERSION-$SHA", "latest", "prod"] {
        site.sh(&format!("docker tag ml-model:1.0 {host}/ml-model:{tag}"))?;
    }
    site.sh(&format!("docker push {host}/ml-model --all-tags"))?;
    one_digest(trial, &["1.2.0", "1.2.0-0a1b2c3", "latest", "prod"])?;
    stored_once(trial)?;

    for tag in BURST {
        engine.sh(&format!("docker tag ml-model:1.0 {host}/ml-model:{tag}"))?;
    }
    let pushes: Vec<(&str, Running)> = BURST
        .into_iter()
        .map(|tag| Ok((tag, site.start(&format!("docker push {host}/ml-model:{tag}"))?)))
        .collect::<Outcome<_>>()?;
    for (tag, push) in pushes {
        let output = push.finish(std::time::Duration::from_secs(120))?;
        ensure!(output.succeeded(), "the push of {tag}: {}", output.unexpected());
    }
    one_digest(trial, &BURST)?;
    stored_once(trial)?;
    Image::from_registry(&trial.observer, "ml-model", "pr-2")?.must_equal(&known.image, "the image")?;
    Ok(None)
}

fn one_digest(trial: &Trial<'_>, tags: &[&str]) -> Outcome {
    let digest = trial.observer.manifest("ml-model", tags[0])?.digest;
    for tag in tags {
        ensure_eq!(trial.observer.manifest("ml-model", tag)?.digest, digest, "digest of {tag}");
    }
    Ok(())
}

/// The data folder holds each blob once: together they are hardly more than the image itself.
fn stored_once(trial: &mut Trial<'_>) -> Outcome {
    let served = trial.observer.manifest("ml-model", "latest")?;
    let members = served.document["layers"].as_array().into_iter().flatten().chain(served.document.get("config"));
    let image: u64 = members.filter_map(|descriptor| descriptor["size"].as_u64()).sum();
    let stored = large_files(trial.server()?.data(), image / 100)?;
    ensure!(stored <= image, "{stored} bytes are stored for an image of {image}");
    Ok(())
}

/// The bytes of all files of at least this size, databases aside.
fn large_files(folder: &Path, least: u64) -> Outcome<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name().to_string_lossy().into_owned());
        if kind.is_dir() {
            total += large_files(&entry.path(), least)?;
        } else if kind.is_file() && !name.contains("catalog") && !name.contains("ballast") {
            let length = entry.metadata().map_err(Failure::from)?.len();
            total += if length >= least { length } else { 0 };
        }
    }
    Ok(total)
}

fn same(trial: &Trial<'_>, engine: &Engine, repository: &str, tag: &str) -> Outcome {
    let pushed = Image::from_registry(&trial.observer, repository, tag)?;
    engine.content(&format!("{}/{repository}:{tag}", trial.host()))?.must_equal(&pushed, tag)
}
