//! `larder copy REF REF [REF…]`: from one registry to others, or within one.

use clap::Args;
use larder_client::graph::Selection;
use larder_client::source::Remote;
use larder_client::{PlatformFilter, destinations, transfer};
use larder_oci::ImageReference;

use crate::context::Context;
use crate::outcome::{Failure, Result};

use super::arrivals;
use super::reference_arg::resolve;
use super::registry_args::{RegistryArgs, TransferArgs};
use super::transfer_progress::listener;

/// Options of `copy`.
#[derive(Args, Debug)]
pub struct CopyArgs {
    /// What to copy, as [HOST/]NAME:TAG or [HOST/]NAME@DIGEST
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Where to; what is on the way to several registries is read once
    #[arg(required = true, value_name = "TO")]
    pub to: Vec<String>,
    /// Only this platform of a multi-platform image (`linux/amd64`)
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<PlatformFilter>,
    /// Also copy what refers to the image: signatures, attestations
    #[arg(long)]
    pub referrers: bool,
    /// How it moves
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// How registries are spoken to
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Runs `larder copy`.
pub async fn run(args: CopyArgs, context: &Context) -> Result {
    let from = resolve(&args.from, context)?;
    let references: Vec<ImageReference> = args.to.iter().map(|text| resolve(text, context)).collect::<Result<_>>()?;
    let client = args.registry.client(args.transfer.chunk_size, context)?;
    let source = remote(&client, &from)?.with_ranges(args.transfer.ranges());
    let (all, positions) = destinations(&client, &references)?;
    let progress = listener(context, all.len() > 1);
    let mut options = args.transfer.options();
    options.selection = Selection { platform: args.platform, referrers: args.referrers };
    let outcomes = transfer(&source, &all, &options, &progress).await?;
    arrivals::report(&references, &positions, &outcomes, context)
}

/// A resolved reference as a source.
pub fn remote(client: &larder_client::Client, reference: &ImageReference) -> Result<Remote> {
    let (Some(host), Some(wanted)) = (reference.host.as_deref(), reference.reference()) else {
        return Err(Failure::usage(format!("`{reference}` is not whole")));
    };
    Ok(Remote::new(client.repository(host, &reference.repository)?, wanted))
}
