//! `larder inspect REF`: what a reference points at, without pulling it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::Args;
use larder_client::Repository;
use larder_client::model_pack;
use larder_client::source::{Remote, Source as _};
use larder_oci::{Descriptor, Digest, ImageReference, ParsedManifest, media_type};
use serde::Serialize;
use serde_json::Value;

use crate::config::rounded_size;
use crate::context::Context;
use crate::outcome::{Failure, Result};
use crate::table::write_table;

use super::copy::remote;
use super::reference_arg::{now, resolve_then};
use super::registry_args::RegistryArgs;

/// A configuration larger than this is not looked into.
const CONFIG_LIMIT: u64 = 4 << 20;

/// Options of `inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// What to look at, as [HOST/]NAME:TAG or [HOST/]NAME@DIGEST; on a Larder also [HOST/]NAME:TAG@TIME, what the tag was then
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Print the manifest's bytes and nothing else
    #[arg(long)]
    pub raw: bool,
    /// How registries are spoken to
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// What a reference points at, as scripts read it (`docs/guide/push-and-pull.md`).
#[derive(Debug, Serialize)]
struct Inspected {
    reference: String,
    digest: Digest,
    /// Of `latest` and of stages, the version that they are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// What the registry has to say about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    media_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    /// Bytes of the manifest with its configuration and layers; of an index, of itself alone.
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Config>,
    layers: Vec<Layer>,
    platforms: Vec<Platform>,
    referrers: Vec<Referrer>,
}

#[derive(Debug, Serialize)]
struct Config {
    digest: Digest,
    media_type: String,
    size: u64,
    /// What is in it, if it is JSON of a kind that is known: an image's or a model's configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<Value>,
}

#[derive(Debug, Serialize)]
struct Layer {
    digest: Digest,
    media_type: String,
    size: u64,
    /// The file's path, in a model.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
}

#[derive(Debug, Serialize)]
struct Platform {
    /// `linux/arm64/v8`; nothing where the index names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    digest: Digest,
    media_type: String,
    size: u64,
}

#[derive(Debug, Serialize)]
struct Referrer {
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// Runs `larder inspect`.
pub async fn run(args: InspectArgs, context: &Context) -> Result {
    let reference = resolve_then(&args.reference, context).await?;
    let client = args.registry.client(None, context)?;
    // By digest where the registry says what the tag is: a rule may forbid to pull it, not to look.
    let now = now(&reference, context).await;
    let looked_at = match &now {
        Some(now) => ImageReference { tag: None, digest: Some(now.digest), ..reference.clone() },
        None => reference.clone(),
    };
    let source: Remote = remote(&client, &looked_at)?;
    let (root, warnings) = source.look().await?;
    if args.raw {
        let mut out = context.stdout();
        out.write_all(&root.bytes)?;
        return Ok(out.flush()?);
    }
    let manifest = ParsedManifest::parse(&root.bytes, Some(&root.descriptor.media_type))
        .map_err(|error| Failure::failed(format!("{reference}: {error}")))?;
    let repository = source.repository().ok_or_else(|| Failure::failed(format!("{reference} is no repository")))?;
    let referrers = repository.referrers(&root.descriptor.digest, None).await?;
    let config = match &manifest.config {
        Some(config) => Some(look_into(repository, config).await?),
        None => None,
    };
    // Of an image without a type of its own its configuration's stands in.
    let config_type = manifest.config.as_ref().map(|config| config.media_type.clone());
    let parts = manifest.config.iter().chain(&manifest.layers).map(|part| part.size).sum::<u64>();
    let (version, told) = now.map(|now| (now.version, now.warnings)).unwrap_or_default();
    let warnings: Vec<String> = warnings.into_iter().chain(told).collect();
    warnings.iter().for_each(|warning| context.note(format_args!("{reference}: {warning}")));
    let inspected = Inspected {
        reference: reference.to_string(),
        version,
        warnings,
        digest: root.descriptor.digest,
        media_type: manifest.media_type,
        artifact_type: manifest.artifact_type.filter(|own| config_type.as_ref() != Some(own)),
        size: root.descriptor.size + parts,
        annotations: manifest.annotations,
        subject: manifest.subject.map(|subject| subject.digest),
        config,
        layers: manifest.layers.iter().map(layer).collect(),
        platforms: manifest.manifests.iter().map(platform).collect(),
        referrers: referrers.into_iter().map(referrer).collect(),
    };
    context.emit(&inspected, |out| print(&inspected, out))
}

async fn look_into(repository: &Repository, config: &Descriptor) -> larder_client::Result<Config> {
    let known = [media_type::OCI_CONFIG, media_type::DOCKER_CONFIG, model_pack::CONFIG];
    let facts = if known.contains(&config.media_type.as_str()) && config.size <= CONFIG_LIMIT {
        let bytes = repository.blob_bytes(&config.digest, config.size, CONFIG_LIMIT).await?;
        serde_json::from_slice(&bytes).ok().map(|value| facts(&config.media_type, value))
    } else {
        None
    };
    Ok(Config { digest: config.digest, media_type: config.media_type.clone(), size: config.size, facts })
}

/// What people ask of a configuration; its history and its layers' digests are left out.
fn facts(media_type: &str, mut value: Value) -> Value {
    let unwanted: &[&str] = match media_type {
        model_pack::CONFIG => &["modelfs"],
        _ => &["history", "rootfs", "container", "container_config", "docker_version"],
    };
    if let Some(members) = value.as_object_mut() {
        members.retain(|name, _| !unwanted.contains(&name.as_str()));
    }
    value
}

fn layer(layer: &Descriptor) -> Layer {
    let path = [model_pack::FILEPATH, model_pack::TITLE].iter().find_map(|key| layer.annotations.get(*key));
    Layer { digest: layer.digest, media_type: layer.media_type.clone(), size: layer.size, path: path.cloned() }
}

fn platform(entry: &Descriptor) -> Platform {
    let platform = entry.platform.as_ref().map(|platform| {
        let variant = platform.variant.iter().map(String::as_str);
        let parts: Vec<&str> = [platform.os.as_str(), &platform.architecture].into_iter().chain(variant).collect();
        parts.join("/")
    });
    Platform { platform, digest: entry.digest, media_type: entry.media_type.clone(), size: entry.size }
}

fn referrer(entry: Descriptor) -> Referrer {
    let Descriptor { digest, artifact_type, size, annotations, .. } = entry;
    Referrer { digest, artifact_type, size, annotations }
}

/// Text from a registry, fit for a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn print(inspected: &Inspected, out: &mut dyn Write) -> io::Result<()> {
    let mut line = |name: &str, value: &str| writeln!(out, "{:<14} {}", name, plain(value));
    line("reference", &inspected.reference)?;
    line("digest", &inspected.digest.to_string())?;
    if let Some(version) = &inspected.version {
        line("version", version)?;
    }
    line("type", &inspected.media_type)?;
    if let Some(artifact_type) = &inspected.artifact_type {
        line("artifact type", artifact_type)?;
    }
    line("size", &rounded_size(inspected.size))?;
    if let Some(subject) = &inspected.subject {
        line("refers to", &subject.to_string())?;
    }
    for (name, value) in inspected.config.iter().filter_map(|config| config.facts.as_ref()).flat_map(flatten) {
        line(&name, &value)?;
    }
    for (name, value) in &inspected.annotations {
        line("annotation", &format!("{name} = {value}"))?;
    }
    let rows = |cells: Vec<[String; 3]>| {
        cells.into_iter().map(|row| row.map(|cell| plain(&cell)).to_vec()).collect::<Vec<_>>()
    };
    let mut table = |title: &str, header: [&str; 3], cells: Vec<[String; 3]>| -> io::Result<()> {
        if cells.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{title}")?;
        write_table(out, &header, &[false, true, false], &rows(cells))
    };
    let size = rounded_size;
    let platforms = inspected.platforms.iter();
    let platforms = platforms.map(|p| [p.digest.to_string(), size(p.size), p.platform.clone().unwrap_or_default()]);
    table("platforms", ["digest", "size", "platform"], platforms.collect())?;
    let layers = inspected.layers.iter();
    let layers =
        layers.map(|l| [l.digest.to_string(), size(l.size), l.path.clone().unwrap_or_else(|| l.media_type.clone())]);
    table("layers", ["digest", "size", "file or type"], layers.collect())?;
    let referrers = inspected.referrers.iter();
    let referrers =
        referrers.map(|r| [r.digest.to_string(), size(r.size), r.artifact_type.clone().unwrap_or_default()]);
    table("referrers", ["digest", "size", "artifact type"], referrers.collect())
}

/// Facts as lines: members of members with their names joined, lists with commas.
fn flatten(value: &Value) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => {
                lines.extend(flatten(value).into_iter().map(|(inner, text)| (format!("{name}.{inner}"), text)))
            }
            other => lines.push((name.clone(), text_of(other))),
        }
    }
    lines.retain(|(_, text)| !text.is_empty());
    lines
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_are_what_people_ask_for() {
        let config = json!({"architecture": "amd64", "rootfs": {"diff_ids": []}, "history": [], "config": {"Cmd": ["run", "it"], "User": ""}});
        let lines = flatten(&facts(media_type::OCI_CONFIG, config));
        assert_eq!(
            lines,
            [("architecture".to_owned(), "amd64".to_owned()), ("config.Cmd".to_owned(), "run, it".to_owned())]
        );
    }

    #[test]
    fn what_a_registry_says_cannot_speak_to_the_terminal() {
        assert_eq!(plain("a\u{1b}]0;x\u{7}"), "a?]0;x?");
    }
}
