//! `larder export` and `larder import oci`: a repository with all its tags as one OCI layout, and back. What is there already is not moved again, so a
//! command that was cut off is simply given again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use larder_client::graph::Selection;
use larder_client::sink::LayoutSink;
use larder_client::source::{Layout, Remote, Source};
use larder_client::target::{RemoteTarget, Target};
use larder_client::{Destination, Item, Name, Progress, Repository, TransferOptions, transfer};
use larder_oci::{Descriptor, Digest, ImageReference, Reference, Tag};
use serde::Serialize;

use super::import_registry::digest_of;
use super::reference_arg::ServerAddress;
use super::registry_args::{RegistryArgs, TransferArgs};
use super::upkeep::Spinner;
use crate::config::rounded_size;
use crate::context::Context;
use crate::outcome::{Exit, Failure, Result};

/// The tag of an entry of a layout's index.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Options of `export`.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The repository, as [HOST/]NAME
    #[arg(value_name = "REPOSITORY")]
    pub repository: String,
    /// The layout's folder: new, empty, or a layout, to which what it lacks is added
    #[arg(value_name = "DIR")]
    pub to: PathBuf,
    /// Leave out what refers to the images: signatures, attestations
    #[arg(long)]
    pub no_referrers: bool,
    /// How it moves
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// How registries are spoken to
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Options of `import oci`.
#[derive(Args, Debug)]
pub struct OciArgs {
    /// The layout's folder
    #[arg(value_name = "DIR")]
    pub from: PathBuf,
    /// The repository, as [HOST/]NAME
    #[arg(value_name = "REPOSITORY")]
    pub repository: String,
    /// Leave out what refers to the images: signatures, attestations
    #[arg(long)]
    pub no_referrers: bool,
    /// How it moves
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// How registries are spoken to
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// What has gone through; the listener of all transfers.
#[derive(Default)]
struct Tally(AtomicU64);

impl Progress for Tally {
    fn advance(&self, _: &Item, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The outcome as scripts read it.
#[derive(Debug, Serialize)]
struct Report {
    from: String,
    to: String,
    images: u64,
    tags: u64,
    bytes: u64,
    failures: Vec<Failed>,
}

#[derive(Debug, Serialize)]
struct Failed {
    reference: String,
    error: String,
}

/// One image after the other into one target.
struct Moving<'c> {
    report: Report,
    options: TransferOptions,
    tally: Arc<Tally>,
    progress: Spinner,
    context: &'c Context,
}

/// Runs `larder export`. Exit code 1 when an image could not be exported.
pub async fn export(args: ExportArgs, context: &Context) -> Result {
    let reference = repository_of(&args.repository, context)?;
    let source = opened(&args.registry, &args.transfer, &reference, context)?;
    let images = by_digest(&source).await?;
    if images.is_empty() {
        return Err(Failure::not_found(format!("{reference} has no tags")));
    }
    let to = args.to.display().to_string();
    let mut moving = Moving::new(reference.to_string(), to, &args.transfer, !args.no_referrers, context);
    let layout = LayoutSink::new(&args.to, None);
    for (digest, tags) in images {
        let named = tags.iter().map(|tag| ImageReference { tag: Some(tag.clone()), ..reference.clone() });
        let image = Remote::new(source.clone(), Reference::Digest(digest)).with_ranges(args.transfer.ranges());
        let target: Arc<dyn Target> = Arc::new(layout.next(named.collect()));
        moving.image(&image, target, vec![Name { tag: None, digest: Some(digest) }], digest, tags.len()).await;
    }
    moving.finish()
}

/// Runs `larder import oci`. Exit code 1 when an image could not be imported.
pub async fn import(args: OciArgs, context: &Context) -> Result {
    let reference = repository_of(&args.repository, context)?;
    let target = opened(&args.registry, &args.transfer, &reference, context)?.for_push();
    let images = entries(&args.from).await?;
    let from = args.from.display().to_string();
    let mut moving = Moving::new(from, reference.to_string(), &args.transfer, !args.no_referrers, context);
    for (digest, tags) in images {
        let image = Layout::folder(&args.from, Some(&digest.to_string()))?;
        let named = |tag| Name { tag, digest: Some(digest) };
        let names = match tags.as_slice() {
            [] => vec![named(None)],
            tags => tags.iter().cloned().map(|tag| named(Some(tag))).collect(),
        };
        let target: Arc<dyn Target> = Arc::new(RemoteTarget::new(target.clone()));
        moving.image(&image, target, names, digest, tags.len()).await;
    }
    moving.finish()
}

impl<'c> Moving<'c> {
    fn new(from: String, to: String, transfer: &TransferArgs, referrers: bool, context: &'c Context) -> Self {
        let mut options = transfer.options();
        options.selection = Selection { platform: None, referrers };
        let report = Report { from, to, images: 0, tags: 0, bytes: 0, failures: Vec::new() };
        Self { report, options, tally: Arc::default(), progress: Spinner::of(context), context }
    }

    /// Moves an image. What fails of it is noted, and stops no other.
    async fn image(
        &mut self,
        source: &dyn Source,
        target: Arc<dyn Target>,
        names: Vec<Name>,
        digest: Digest,
        tags: usize,
    ) {
        let listener: Arc<dyn Progress> = Arc::clone(&self.tally) as _;
        let outcome = transfer(source, &[Destination { target, names }], &self.options, &listener).await;
        let named =
            outcome.and_then(|all| all.into_iter().flat_map(|one| one.names).try_for_each(|name| name.map(drop)));
        match named {
            Ok(()) => {
                self.report.images += 1;
                self.report.tags += tags as u64;
            }
            Err(error) => {
                self.report.failures.push(Failed { reference: digest.to_string(), error: error.to_string() });
            }
        }
        let Report { images, tags, .. } = &self.report;
        let moved = rounded_size(self.tally.0.load(Ordering::Relaxed));
        self.progress.say(format!("{images} images, {tags} tags, {moved}"));
    }

    fn finish(mut self) -> Result {
        self.progress.finish();
        self.report.bytes = self.tally.0.load(Ordering::Relaxed);
        for failed in &self.report.failures {
            self.context.warn(format_args!("larder: {}: {}", failed.reference, failed.error));
        }
        let report = &self.report;
        self.context.emit(report, |out| {
            let size = rounded_size(report.bytes);
            writeln!(
                out,
                "{} images with {} tags from {} to {}; {size} moved.",
                report.images, report.tags, report.from, report.to
            )
        })?;
        if report.failures.is_empty() { Ok(()) } else { Err(Failure::reported(Exit::Failed)) }
    }
}

/// A repository without a tag; without a host it is on the server that is meant.
fn repository_of(text: &str, context: &Context) -> Result<ImageReference> {
    let read: ImageReference =
        text.parse().map_err(|error: larder_oci::ParseError| Failure::usage(error.to_string()))?;
    if read.tag.is_some() || read.digest.is_some() {
        return Err(Failure::usage(format!("`{text}` names one image, and a whole repository is meant"))
            .with_hint("For one image there are `larder pull` and `larder push`."));
    }
    if read.host.is_some() {
        return Ok(read);
    }
    let server = ServerAddress::of(context)?.ok_or_else(|| {
        Failure::usage(format!("`{text}` names no registry, and there is no server to mean"))
            .with_hint("Write HOST/NAME, or --server http://localhost:5000.")
    })?;
    Ok(ImageReference { host: Some(server.host), ..read })
}

fn opened(
    registry: &RegistryArgs,
    transfer: &TransferArgs,
    reference: &ImageReference,
    context: &Context,
) -> Result<Repository> {
    let client = registry.client(transfer.chunk_size, context)?;
    Ok(client.repository(reference.host.as_deref().unwrap_or_default(), &reference.repository)?)
}

/// A repository's tags by what they point to.
async fn by_digest(source: &Repository) -> Result<BTreeMap<Digest, Vec<Tag>>> {
    let mut images: BTreeMap<Digest, Vec<Tag>> = BTreeMap::new();
    for tag in source.all_tags().await? {
        images.entry(digest_of(source, &tag).await?).or_default().push(tag);
    }
    Ok(images)
}

/// A layout's images and their tags. What has no name comes with what it refers to, or by its digest.
async fn entries(folder: &Path) -> Result<BTreeMap<Digest, Vec<Tag>>> {
    let all = Layout::entries(folder).await?;
    if all.is_empty() {
        return Err(Failure::not_found(format!("{} holds no images", folder.display())));
    }
    let mut images: BTreeMap<Digest, Vec<Tag>> = BTreeMap::new();
    for entry in &all {
        images.entry(entry.digest).or_default().extend(tag_of(entry));
    }
    Ok(images)
}

fn tag_of(entry: &Descriptor) -> Option<Tag> {
    let name = entry.annotations.get(REF_NAME)?;
    // Some write the whole name there.
    name.parse().ok().or_else(|| name.rsplit_once(':')?.1.parse().ok())
}
