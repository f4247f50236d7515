//! A tag, and what it points to; a manifest by its digest; its bytes as they are.

use std::collections::BTreeMap;

use askama::Template;
use http::StatusCode;
use larder_oci::{Descriptor, Digest, ManifestKind, ParsedManifest, Reference, RepositoryName, Tag};
use larder_registry::{ManifestFacts, ManifestView, PageRequest};

use super::commands::{Command, Reach, Thing};
use super::format::{Moment, Short, Size};
use super::frame::{Frame, guard, page, person};
use super::image::{self, ImageConfig};
use super::layers::{self, File, Layer};
use super::secret::Veiled;
use super::{Result, Visit, markdown, platforms};
use crate::answer;

/// Referrers, indexes and entries of an index that one page shows.
const MOST: usize = 100;
/// Other tags that it shows.
const TAGS: usize = 30;
/// Bytes of the longest manifest that stands on its page.
const RAW: usize = 64 << 10;

#[derive(Template)]
#[template(path = "manifest.html")]
struct Page {
    frame: Frame,
    name: String,
    tag: Option<String>,
    digest: Short,
    whole_digest: String,
    what: &'static str,
    media_type: String,
    artifact_type: Option<String>,
    content: Size,
    pushed: Moment,
    by: String,
    pulled: Option<Moment>,
    incomplete: bool,
    pulls: Vec<Pull>,
    tags: Vec<String>,
    more_tags: bool,
    indexes: Vec<Short>,
    subject: Option<Short>,
    entries: Vec<Entry>,
    image: Option<Image>,
    layers: Vec<Layer>,
    files: Vec<File>,
    annotations: Vec<Note>,
    referrers: Vec<Referrer>,
    raw: Option<String>,
}

/// How one client fetches it.
struct Pull {
    client: String,
    /// What the tag points to at that time.
    by_tag: Option<Command>,
    /// These bytes and no others.
    by_digest: Option<Command>,
}

/// An entry of an index.
struct Entry {
    what: String,
    digest: Short,
    /// Whether the repository has it.
    there: bool,
    size: Size,
}

/// An image's configuration.
struct Image {
    platform: String,
    created: Option<Moment>,
    facts: Vec<(&'static str, String)>,
    env: Vec<Note>,
    labels: Vec<Note>,
}

/// A name and a value that somebody wrote into an image.
struct Note {
    name: String,
    value: Veiled,
    /// Whether the value is an address that one may follow.
    link: bool,
}

/// What refers to the manifest.
struct Referrer {
    what: &'static str,
    artifact_type: String,
    digest: Short,
    size: Size,
}

pub(super) async fn show_tag(visit: &Visit<'_>, name: RepositoryName, tag: Tag) -> Result {
    let view = visit.registry.view_manifest(visit.actor(), &name, &Reference::Tag(tag.clone())).await?;
    show(visit, &name, Some(tag), view).await
}

pub(super) async fn show_digest(visit: &Visit<'_>, name: RepositoryName, digest: Digest) -> Result {
    let view = visit.registry.view_manifest(visit.actor(), &name, &Reference::Digest(digest)).await?;
    show(visit, &name, None, view).await
}

/// The bytes as text: a browser must not take them for anything else.
pub(super) async fn show_raw(visit: &Visit<'_>, name: RepositoryName, digest: Digest) -> Result {
    let view = visit.registry.view_manifest(visit.actor(), &name, &Reference::Digest(digest)).await?;
    let mut response = answer::bytes(StatusCode::OK, "text/plain; charset=utf-8", view.bytes);
    guard(response.headers_mut());
    Ok(response)
}

async fn show(visit: &Visit<'_>, name: &RepositoryName, tag: Option<Tag>, view: ManifestView) -> Result {
    let ManifestView { facts, bytes } = view;
    let digest = facts.digest;
    let manifest = ParsedManifest::parse(&bytes, Some(&facts.media_type)).ok();
    let (registry, actor) = (visit.registry, visit.actor());
    let tags = registry.tags_of(actor, name, &digest, TAGS).await?;
    let indexes = registry.indexes_of(actor, name, &digest, MOST).await?;
    let config = match &manifest {
        Some(manifest) => image::config(visit, name, manifest).await?,
        None => None,
    };
    let thing = platforms::thing(&facts.media_type, facts.artifact_type.as_deref());
    let moment = |at| Moment { at, now: visit.now };
    let title = tag.as_ref().map_or_else(|| format!("{name}@{}", Short(digest).text()), |tag| format!("{name}:{tag}"));
    page(&Page {
        frame: visit.frame(title),
        name: name.to_string(),
        digest: Short(digest),
        whole_digest: digest.to_string(),
        what: platforms::word(&facts),
        content: Size(facts.content),
        pushed: moment(facts.pushed),
        by: person(&facts.pushed_by).to_owned(),
        pulled: facts.pulled.map(moment),
        incomplete: facts.incomplete,
        pulls: pulls(visit, name, tag.as_ref(), &facts),
        more_tags: tags.more,
        tags: others(tags.items, tag.as_ref()),
        indexes: indexes.into_iter().map(Short).collect(),
        subject: manifest.as_ref().and_then(|manifest| manifest.subject.as_ref()).map(|subject| Short(subject.digest)),
        entries: entries(visit, name, manifest.as_ref()).await?,
        layers: image_layers(visit, name, manifest.as_ref(), config.as_ref()).await?,
        image: config.map(|config| described(visit, config)),
        files: manifest.as_ref().map(|manifest| layers::files(&manifest.layers)).unwrap_or_default(),
        annotations: manifest.map(|manifest| notes(manifest.annotations)).unwrap_or_default(),
        referrers: referrers(visit, name, &digest).await?,
        raw: (bytes.len() <= RAW).then(|| String::from_utf8_lossy(&bytes).into_owned()),
        media_type: facts.media_type,
        // Of an image it says no more than the media type.
        artifact_type: facts.artifact_type.filter(|_| thing != Thing::Image),
        tag: tag.map(|tag| tag.to_string()),
    })
}

/// How to fetch it: by the tag, where one is shown, and by the digest.
fn pulls(visit: &Visit<'_>, name: &RepositoryName, tag: Option<&Tag>, facts: &ManifestFacts) -> Vec<Pull> {
    let thing = platforms::thing(&facts.media_type, facts.artifact_type.as_deref());
    let reach = Reach { host: visit.host(), secure: visit.site().is_secure() };
    let mut by_tag = tag.map(|tag| reach.pulls(thing, &format!("{name}:{tag}")).into_iter());
    let by_digest = reach.pulls(thing, &format!("{name}@{}", facts.digest)).into_iter();
    let pull = |by_digest: Command| Pull {
        client: by_digest.label.clone(),
        by_tag: by_tag.as_mut().and_then(Iterator::next).map(|command| command.called("by tag")),
        // Helm takes versions only.
        by_digest: (thing != Thing::Chart).then(|| by_digest.called("by digest")),
    };
    by_digest.map(pull).collect()
}

fn others(tags: Vec<Tag>, own: Option<&Tag>) -> Vec<String> {
    tags.into_iter().filter(|tag| Some(tag) != own).map(|tag| tag.to_string()).collect()
}

async fn entries(visit: &Visit<'_>, name: &RepositoryName, manifest: Option<&ParsedManifest>) -> Result<Vec<Entry>> {
    let Some(index) = manifest.filter(|manifest| manifest.kind == ManifestKind::Index) else { return Ok(Vec::new()) };
    let shown = &index.manifests[..index.manifests.len().min(MOST)];
    let digests: Vec<Digest> = shown.iter().map(|entry| entry.digest).collect();
    let facts = visit.registry.manifest_facts(visit.actor(), name, &digests).await?;
    let entry = |(entry, facts): (&Descriptor, Option<ManifestFacts>)| Entry {
        what: what(entry, shown),
        digest: Short(entry.digest),
        there: facts.is_some(),
        size: Size(facts.map_or(entry.size, |facts| facts.content)),
    };
    Ok(shown.iter().zip(facts).map(entry).collect())
}

/// What an entry is: its platform, or what an attestation is about.
fn what(entry: &Descriptor, all: &[Descriptor]) -> String {
    if let Some(platform) = platforms::of_entry(entry) {
        return platform;
    }
    let about = entry.annotations.get("vnd.docker.reference.digest").and_then(|digest| digest.parse::<Digest>().ok());
    let about = about.and_then(|digest| all.iter().find(|other| other.digest == digest)).and_then(platforms::of_entry);
    match (about, entry.artifact_type.as_deref()) {
        (Some(platform), _) => format!("Attestation of {platform}"),
        (None, Some(artifact_type)) => platforms::referrer_word(artifact_type).to_owned(),
        (None, None) => "No platform named".to_owned(),
    }
}

async fn image_layers(
    visit: &Visit<'_>,
    name: &RepositoryName,
    manifest: Option<&ParsedManifest>,
    config: Option<&ImageConfig>,
) -> Result<Vec<Layer>> {
    let is_image = |manifest: &&ParsedManifest| manifest.config.as_ref().is_some_and(image::is_config);
    let Some(manifest) = manifest.filter(is_image) else { return Ok(Vec::new()) };
    let digests: Vec<Digest> = manifest.layers.iter().take(MOST).map(|layer| layer.digest).collect();
    let uses = visit.registry.layer_uses(visit.actor(), name, &digests).await?;
    let steps = config.map_or(&[][..], |config| config.steps.as_slice());
    Ok(layers::layers(&manifest.layers, steps, &uses))
}

fn described(visit: &Visit<'_>, config: ImageConfig) -> Image {
    let platform = config.platform();
    let facts = [
        ("Entry point", config.entry_point),
        ("Command", config.command),
        ("User", config.user),
        ("Working directory", config.working_dir),
        ("Ports", config.ports.join(", ")),
        ("Volumes", config.volumes.join(", ")),
        ("Stop signal", config.stop_signal),
        ("Author", config.author),
    ];
    Image {
        platform,
        created: config.created.map(|at| Moment { at, now: visit.now }),
        facts: facts.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        env: config.env.iter().map(|(name, value)| note(name, value)).collect(),
        labels: notes(config.labels),
    }
}

fn notes(notes: BTreeMap<String, String>) -> Vec<Note> {
    notes.iter().take(MOST).map(|(name, value)| note(name, value)).collect()
}

fn note(name: &str, value: &str) -> Note {
    let value_shown = Veiled::value(name, value);
    Note { name: name.to_owned(), link: !value_shown.is_hidden() && markdown::may_lead_to(value), value: value_shown }
}

/// What refers to it by its subject, and by the tags that older clients use for that.
async fn referrers(visit: &Visit<'_>, name: &RepositoryName, digest: &Digest) -> Result<Vec<Referrer>> {
    let request = PageRequest { limit: MOST, after: None };
    let found = visit.registry.referrers(visit.actor(), name, digest, None, &request).await?;
    let mut all: Vec<Referrer> = found.items.into_iter().map(referrer).collect();
    let beginning = digest.to_string().replace(':', "-");
    let tagged = visit.registry.named_tags(visit.actor(), name, &beginning, &request).await?;
    for tag in tagged.items {
        let what = match tag.name.as_str().strip_prefix(beginning.as_str()) {
            Some(".sig") => "Signature",
            Some(".att") => "Attestation",
            Some(".sbom") => "SBOM",
            _ => continue,
        };
        let artifact_type = format!("tag {}", tag.name);
        let (digest, size) = (Short(tag.manifest.digest), Size(tag.manifest.content));
        all.push(Referrer { what, artifact_type, digest, size });
    }
    Ok(all)
}

fn referrer(descriptor: Descriptor) -> Referrer {
    let artifact_type = descriptor.artifact_type.unwrap_or(descriptor.media_type);
    let what = platforms::referrer_word(&artifact_type);
    Referrer { what, artifact_type, digest: Short(descriptor.digest), size: Size(descriptor.size) }
}
