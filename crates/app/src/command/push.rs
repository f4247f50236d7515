//! `larder push SOURCE REF [REF…]`: content of this machine, to one registry or several.

use std::path::PathBuf;

use clap::Args;
use larder_client::graph::Selection;
use larder_client::source::{OpenOptions, open};
use larder_client::{PlatformFilter, destinations, transfer};
use larder_oci::ImageReference;

use crate::context::Context;
use crate::outcome::Result;

use super::arrivals;
use super::reference_arg::resolve;
use super::registry_args::{RegistryArgs, TransferArgs};
use super::transfer_progress::listener;

/// Options of `push`.
#[derive(Args, Debug)]
pub struct PushArgs {
    /// An OCI layout (folder or tar), a `docker save` archive, or for a model a file or folder; `-` reads an archive from standard input
    pub source: PathBuf,
    /// Where to, as [HOST/]NAME:TAG; the source is read once for all of them
    #[arg(required = true, value_name = "REF")]
    pub references: Vec<String>,
    /// Which of several images in a layout or archive, by name, tag or digest
    #[arg(long, value_name = "NAME")]
    pub select: Option<String>,
    /// Push files as they are, also a tar that looks like an image
    #[arg(long)]
    pub as_files: bool,
    /// Only this platform of a multi-platform image (`linux/amd64`)
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<PlatformFilter>,
    /// Also push what refers to the image in the layout: signatures, attestations
    #[arg(long)]
    pub referrers: bool,
    /// Leave the plain tar layers of a `docker save` archive uncompressed
    #[arg(long)]
    pub no_compress: bool,
    /// How it moves
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// How registries are spoken to
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Runs `larder push`.
pub async fn run(args: PushArgs, context: &Context) -> Result {
    let references: Vec<ImageReference> =
        args.references.iter().map(|text| resolve(text, context)).collect::<Result<_>>()?;
    let client = args.registry.client(args.transfer.chunk_size, context)?;
    let (all, positions) = destinations(&client, &references)?;
    let progress = listener(context, all.len() > 1);
    let opening = OpenOptions {
        select: args.select,
        as_files: args.as_files,
        compress: !args.no_compress,
        jobs: args.transfer.jobs.into(),
        progress: progress.clone(),
    };
    let source = open(&args.source, &opening).await?;
    let mut options = args.transfer.options();
    options.selection = Selection { platform: args.platform, referrers: args.referrers };
    let outcomes = transfer(source.as_ref(), &all, &options, &progress).await?;
    arrivals::report(&references, &positions, &outcomes, context)
}
