//! `larder pull REF DEST`: an image as an OCI layout or an archive, a model as the files that it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use larder_client::graph::Selection;
use larder_client::sink::{ArchiveSink, FilesSink, LayoutSink, is_files};
use larder_client::source::{Remote, Source as _};
use larder_client::target::Target;
use larder_client::{Destination, Name, PlatformFilter, transfer};
use larder_oci::{ImageReference, ParsedManifest, Reference};
use serde::Serialize;

use crate::context::Context;
use crate::outcome::{Failure, Result};

use super::copy::remote;
use super::reference_arg::resolve;
use super::registry_args::{RegistryArgs, TransferArgs};
use super::transfer_progress::listener;

/// Options of `pull`.
#[derive(Args, Debug)]
pub struct PullArgs {
    /// What to pull, as [HOST/]NAME:TAG or [HOST/]NAME@DIGEST
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Where to: a folder, or a file for an archive and for a model of one file
    #[arg(value_name = "DEST")]
    pub destination: PathBuf,
    /// What to make of it
    #[arg(long, value_enum, default_value = "auto", value_name = "FORMAT")]
    pub format: Format,
    /// Only this platform of a multi-platform image (`linux/amd64`)
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<PlatformFilter>,
    /// Also pull what refers to the image: signatures, attestations
    #[arg(long)]
    pub referrers: bool,
    /// Replace files that are there with other content
    #[arg(long)]
    pub force: bool,
    /// How it moves
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// How registries are spoken to
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// What a pull makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Files for a model, an archive for a DEST that ends in `.tar`, a layout for everything else
    Auto,
    /// The files of a model or of another artifact of files
    Files,
    /// An OCI image layout; several images can live in one
    Layout,
    /// One tar file: an OCI layout that `docker load` and `podman load` read too
    Archive,
}

/// What came, as scripts read it.
#[derive(Debug, Serialize)]
struct Pulled<'a> {
    reference: String,
    digest: String,
    destination: &'a Path,
    format: Format,
}

/// Runs `larder pull`.
pub async fn run(args: PullArgs, context: &Context) -> Result {
    let reference = resolve(&args.reference, context)?;
    let client = args.registry.client(None, context)?;
    let named = remote(&client, &reference)?;
    let (root, warnings) = named.look().await?;
    warnings.iter().for_each(|warning| context.note(format_args!("{reference}: {warning}")));
    let manifest = ParsedManifest::parse(&root.bytes, Some(&root.descriptor.media_type))
        .map_err(|error| Failure::failed(format!("{reference}: {error}")))?;
    let format = chosen(&args, &manifest);
    let target = target(&args, format, &reference);
    // From here on by digest: a tag that moves meanwhile changes nothing.
    let repository =
        named.repository().cloned().ok_or_else(|| Failure::failed(format!("{reference} is no repository")))?;
    let source = Remote::new(repository, Reference::Digest(root.descriptor.digest)).with_ranges(args.transfer.ranges());
    let mut options = args.transfer.options();
    options.selection = Selection { platform: args.platform.clone(), referrers: args.referrers };
    let destination = Destination { target, names: vec![Name::default()] };
    let outcomes = transfer(&source, &[destination], &options, &listener(context, false)).await?;
    let arrived = outcomes.into_iter().flat_map(|outcome| outcome.names).next();
    let arrived = arrived.ok_or_else(|| Failure::failed(format!("{reference}: nothing came")))??;
    let pulled = Pulled {
        reference: reference.to_string(),
        digest: arrived.digest.to_string(),
        destination: &args.destination,
        format,
    };
    context
        .emit(&pulled, |out| writeln!(out, "{} {} -> {}", pulled.reference, pulled.digest, args.destination.display()))
}

fn chosen(args: &PullArgs, manifest: &ParsedManifest) -> Format {
    match args.format {
        Format::Auto if is_files(manifest) => Format::Files,
        Format::Auto if args.destination.extension().is_some_and(|extension| extension == "tar") => Format::Archive,
        Format::Auto => Format::Layout,
        format => format,
    }
}

fn target(args: &PullArgs, format: Format, reference: &ImageReference) -> Arc<dyn Target> {
    let name = Some(reference.clone());
    match format {
        Format::Files => Arc::new(FilesSink::new(&args.destination, args.force)),
        Format::Archive => Arc::new(ArchiveSink::new(&args.destination, name, args.force)),
        Format::Layout | Format::Auto => Arc::new(LayoutSink::new(&args.destination, name)),
    }
}
