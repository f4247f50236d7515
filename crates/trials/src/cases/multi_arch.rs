//! Case 16: one tag, two architectures.

use crate::clients::case::Note;
use crate::harness::Outcome;
use crate::harness::content::Image;
use crate::harness::fixtures::write_multi_context;
use crate::harness::layer::Entry;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;
use crate::{ensure, ensure_eq};

/// Built and pushed by buildx; each platform's pull gives its own content, and a sweep takes none of it.
pub fn both_platforms(trial: &mut Trial<'_>, origin: Origin) -> Outcome<Note> {
    let host = trial.host();
    let context = trial.folder().join("context");
    write_multi_context(&context, 9, &trial.lab.cache)?;
    let builder = trial.engine(origin)?;
    let site = builder.site().clone().at(&context);
    site.sh(&format!("docker buildx build --platform linux/amd64,linux/arm64 -t {host}/ml-model:1.0.0 --push ."))?;
    drop(builder);

    let index = trial.observer.manifest("ml-model", "1.0.0")?;
    let (amd64, arm64) = (index.child("amd64")?, index.child("arm64")?);
    ensure!(amd64 != arm64, "both platforms have one manifest");
    if trial.lab.implementation.larder().is_some() {
        let data = trial.server()?.data().display().to_string();
        trial.larder()?.sh(&format!("larder sweep --data {data}"))?;
    }
    for origin in [Origin::Apt, Origin::Sid] {
        let engine = trial.engine(origin)?;
        for (architecture, digest) in [("amd64", &amd64), ("arm64", &arm64)] {
            engine.sh(&format!("docker pull --platform linux/{architecture} {host}/ml-model:1.0.0"))?;
            let image = match origin {
                Origin::Sid => content(trial, &engine, architecture)?,
                Origin::Apt | Origin::Go => engine.content(&format!("{host}/ml-model:1.0.0"))?,
            };
            let pushed = Image::from_registry_for(&trial.observer, "ml-model", digest, architecture)?;
            image.must_equal(&pushed, architecture)?;
            ensure_eq!(image.platform, format!("linux/{architecture}"), "platform");
            ensure_eq!(image.files.get("bin/busybox"), Some(&program(&context, architecture)?), "the program");
        }
    }
    trial.observer.check_whole("ml-model", "1.0.0")?;
    Ok(None)
}

/// The containerd store keeps both platforms under one name, so saving asks for one.
fn content(trial: &Trial<'_>, engine: &crate::harness::engine::Engine, architecture: &str) -> Outcome<Image> {
    let archive = trial.folder().join(format!("{architecture}.tar"));
    let (host, file) = (trial.host(), archive.display());
    engine.sh(&format!("docker save --platform linux/{architecture} -o {file} {host}/ml-model:1.0.0"))?;
    Image::from_archive(&archive)
}

fn program(context: &std::path::Path, architecture: &str) -> Outcome<Entry> {
    use sha2::Digest as _;
    let bytes = std::fs::read(context.join("bin").join(architecture).join("busybox"))?;
    let hash = crate::harness::observer::hex(&sha2::Sha256::digest(&bytes));
    Ok(Entry::File(0o755, bytes.len() as u64, hash))
}
