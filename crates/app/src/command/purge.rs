//! `larder purge`: what must not stay.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use crate::config::rounded_size;
use crate::context::{Context, DataArg, Destructive};
use crate::named::Named;
use crate::outcome::{Failure, Result};
use crate::table::short_time;

use super::upkeep::owner_only;

/// Options of `purge`.
#[derive(Args, Debug)]
pub struct PurgeArgs {
    /// A manifest as `NAME:TAG` or `NAME@DIGEST`; `NAME` alone is all that lies in the trash under that name
    #[arg(value_name = "REF")]
    pub reference: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

/// Runs `larder purge`.
pub async fn run(args: PurgeArgs, context: &Context) -> Result {
    let named = Named::read(&args.reference, &args.data, context)?;
    let reference = match (&named.tag, &named.digest) {
        (Some(tag), None) => Some(tag.to_string()),
        (None, Some(digest)) => Some(digest.to_string()),
        (None, None) => None,
        _ => return Err(Failure::usage(format!("`{}`: write NAME:TAG or NAME@DIGEST", args.reference))),
    };
    let preview = match &reference {
        Some(_) => {
            format!("{} goes for good, with every tag that points to it. Nobody can bring it back.", args.reference)
        }
        None => format!("All that was deleted under {} goes for good. Nobody can bring it back.", args.reference),
    };
    if !context.confirm(args.how, &preview, "Remove it for good?")? {
        return Ok(());
    }
    let asked = json!({ "repository": named.repository, "reference": reference });
    let api = named.target.open().await?;
    let work = async {
        let report: Value = api.send(Method::POST, "/api/v1/purge", &asked).await.map_err(owner_only)?;
        context.emit(&report, |out| {
            let freed = rounded_size(report["bytes_removed"].as_u64().unwrap_or(0));
            writeln!(
                out,
                "{} manifests are gone; {} blobs ({freed}) were removed.",
                report["manifests"], report["blobs_removed"]
            )?;
            match report["held_until"].as_str() {
                Some(until) => writeln!(out, "Pushes under way keep some of their blobs until {}.", short_time(until)),
                None => Ok(()),
            }
        })
    };
    let outcome = work.await;
    super::closing(outcome, api).await
}
