//! `larder promote`, `larder approve`, `larder rollback`: versions into stages, and stages back.

use std::io::Write;

use clap::Args;
use http::Method;
use larder_oci::Tag;
use serde_json::{Value, json};

use super::listing::text;
use crate::config::rounded_size;
use crate::context::{Context, DataArg, Destructive};
use crate::named::Named;
use crate::outcome::{Exit, Failure, Result};
use crate::table::{short_digest, write_table};

/// New layers that are listed.
const LAYERS: usize = 20;

/// Options of `promote`.
#[derive(Args, Debug)]
pub struct PromoteArgs {
    /// What enters the stage: `ml-model:1.4.2` or `ml-model@DIGEST`
    pub reference: String,
    /// The stage
    #[arg(long, value_name = "STAGE")]
    pub to: Tag,
    /// Why; it stands in the history and in events
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Show what would change and what the stage asks, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `approve`.
#[derive(Args, Debug)]
pub struct ApproveArgs {
    /// What may enter the stage: `ml-model:1.4.2` or `ml-model@DIGEST`
    pub reference: String,
    /// The stage
    #[arg(long, value_name = "STAGE")]
    pub to: Tag,
    /// What there is to say about it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Take the approval back
    #[arg(long)]
    pub withdraw: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `rollback`.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// The repository: `team/model`
    pub name: String,
    /// The stage
    #[arg(long, value_name = "STAGE")]
    pub stage: Tag,
    /// To what: how many changes back, a digest that stood there, or a time (`2026-11-01`, `2026-11-01T12:00:00Z`)
    #[arg(long, value_name = "N|DIGEST|TIME", default_value = "1")]
    pub to: String,
    /// Why; it stands in the history and in events
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

/// A version or a digest of a repository, for the API.
fn reference(named: &Named, written: &str) -> Result<String> {
    match (&named.tag, &named.digest) {
        (_, Some(digest)) => Ok(digest.to_string()),
        (Some(tag), None) => Ok(tag.to_string()),
        (None, None) => Err(Failure::usage(format!("`{written}`: write NAME:TAG or NAME@DIGEST"))),
    }
}

/// Looks what would change, and lets that enter: the digest that was shown, in the place of what was shown, whatever moves meanwhile.
pub async fn promote(args: PromoteArgs, context: &Context) -> Result {
    let named = Named::read(&args.reference, &args.data, context)?;
    let reference = reference(&named, &args.reference)?;
    let path = format!("{}/-/promotions", named.path());
    let api = named.target.open().await?;
    let work = async {
        let asked = json!({ "reference": reference, "to": args.to, "dry_run": true });
        let seen: Value = api.send(Method::POST, &path, &asked).await?;
        let is_allowed = seen["allowed"] == true;
        if args.dry_run || !is_allowed {
            context.emit(&seen, |out| change(out, &seen))?;
            return if is_allowed { Ok(()) } else { Err(unmet(&args, &seen)) };
        }
        let from = seen["from"].as_str().unwrap_or("none");
        let asked = json!({ "reference": reference, "to": args.to, "from": from, "reason": args.reason });
        let done: Value = api.send(Method::POST, &path, &asked).await?;
        context.emit(&done, |out| {
            change(out, &done)?;
            match done["moved"] == true {
                true => writeln!(out, "{} -> {}", text(&done["target"]), text(&done["to"])),
                false => writeln!(out, "{} is {} already", text(&done["target"]), text(&done["to"])),
            }
        })
    };
    let outcome = work.await;
    super::closing(outcome, api).await
}

fn unmet(args: &PromoteArgs, seen: &Value) -> Failure {
    let failure = Failure::new(Exit::Policy, format!("{} may not enter {}", args.reference, args.to));
    let lacks = |gate: &str| {
        seen["gates"].as_array().is_some_and(|gates| gates.iter().any(|one| one["gate"] == gate && one["met"] == false))
    };
    if lacks("approvals") {
        return failure
            .with_hint(format!("Those who may approve it type: larder approve {} --to {}", args.reference, args.to));
    }
    failure
}

/// What changes, and what the stage asks.
fn change(out: &mut dyn Write, seen: &Value) -> std::io::Result<()> {
    writeln!(out, "{} into {}", text(&seen["source"]), text(&seen["target"]))?;
    writeln!(out, "  from {}", text(&seen["from"]))?;
    writeln!(out, "  to   {}", text(&seen["to"]))?;
    let layers = seen["new_layers"].as_array().map_or(&[][..], Vec::as_slice);
    let size = |value: &Value| rounded_size(value.as_u64().unwrap_or(0));
    writeln!(out, "  new  {} layers, {}", layers.len(), size(&seen["new_bytes"]))?;
    for layer in layers.iter().take(LAYERS) {
        writeln!(out, "       {}  {}", short_digest(&text(&layer["digest"])), size(&layer["size"]))?;
    }
    if layers.len() > LAYERS {
        writeln!(out, "       and {} more", layers.len() - LAYERS)?;
    }
    let gates = seen["gates"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |gate: &Value| {
        let met = if gate["met"] == true { "met" } else { "NOT MET" };
        vec![text(&gate["gate"]), met.to_owned(), text(&gate["said"])]
    };
    write_table(out, &["GATE", "", "WHY"], &[false; 3], &gates.iter().map(row).collect::<Vec<_>>())
}

/// Approves, or takes it back.
pub async fn approve(args: ApproveArgs, context: &Context) -> Result {
    let named = Named::read(&args.reference, &args.data, context)?;
    let reference = reference(&named, &args.reference)?;
    let path = format!("{}/-/approvals", named.path());
    let api = named.target.open().await?;
    let work = async {
        let asked = json!({ "reference": reference, "to": args.to, "reason": args.reason, "withdraw": args.withdraw });
        let done: Value = api.send(Method::POST, &path, &asked).await?;
        context.emit(&done, |out| {
            let said = if args.withdraw { "no longer approved" } else { "approved" };
            let (source, digest, stage) =
                (text(&done["source"]), short_digest(&text(&done["digest"])), text(&done["stage"]));
            writeln!(
                out,
                "{source} ({digest}) is {said} for {stage} by {}: {} of {}",
                text(&done["by"]),
                done["count"],
                done["asked"]
            )
        })
    };
    let outcome = work.await;
    super::closing(outcome, api).await
}

/// Asks what would happen, shows it, and does that: to the digest that was shown, whatever moves meanwhile.
pub async fn rollback(args: RollbackArgs, context: &Context) -> Result {
    let named = Named::repository(&args.name, &args.data, context)?;
    let path = format!("{}/-/stages/{}/rollback", named.path(), args.stage);
    let shown = format!("{} of {}", args.stage, named.repository);
    let api = named.target.open().await?;
    let work = async {
        let asked = json!({ "to": args.to, "dry_run": true });
        let found: Value = api.send(Method::POST, &path, &asked).await?;
        if found["from"] == found["to"] {
            return context.emit(&found, |out| writeln!(out, "{shown} is {} already", text(&found["to"])));
        }
        let preview = format!("{shown} goes back\n  from {}\n  to   {}", text(&found["from"]), text(&found["to"]));
        if !context.confirm(args.how, &preview, "Roll back?")? {
            return Ok(());
        }
        let asked = json!({ "to": found["to"], "reason": args.reason });
        let moved: Value = api.send(Method::POST, &path, &asked).await?;
        context.emit(&moved, |out| writeln!(out, "{shown} -> {}", text(&moved["to"])))
    };
    let outcome = work.await;
    super::closing(outcome, api).await
}
