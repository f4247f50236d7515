//! `larder sweep`, `scrub`, `verify` and `usage`: looking after what is stored.

use std::time::Duration;

use clap::Args;
use http::Method;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::usage_by::{self, By};
use crate::config::rounded_size;
use crate::context::{Context, DataArg};
use crate::outcome::{Exit, Failure, Result};
use crate::target::Target;

/// What to do when a server on the network refuses what is its owner's.
const OWNER_ONLY: &str = "This is for whoever owns the data folder: run it on that machine with --data DIR.";

/// Options of `sweep`.
#[derive(Args, Debug)]
pub struct SweepArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `usage`.
#[derive(Args, Debug)]
pub struct UsageArgs {
    /// Add up every file by the reason that it is kept for, or say what each repository holds
    #[arg(long, value_enum, value_name = "WHAT")]
    pub by: Option<By>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `scrub`.
#[derive(Args, Debug)]
pub struct ScrubArgs {
    /// Begin a pass now, as fast as `scrub.rate` allows, unless one is under way
    #[arg(long)]
    pub now: bool,
    /// Go on with a pass that stopped because too much was wrong: what is wrong is set aside
    #[arg(long)]
    pub force: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Set aside what is wrong, forget what is gone, remove leftovers
    #[arg(long)]
    pub repair: bool,
    /// Go on however much is wrong
    #[arg(long)]
    pub force: bool,
    /// Declare this catalog to be the truth although its store has seen a newer one
    #[arg(long)]
    pub adopt: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Runs `larder sweep`.
pub async fn sweep(args: SweepArgs, context: &Context) -> Result {
    let api = Target::choose(&args.data, context)?.open().await?;
    let progress = Spinner::of(context);
    let outcome = api
        .task("/api/v1/sweep", &json!({}), |at| {
            progress.say(format!("{} looked at, {} blobs removed", at["reviewed"], at["blobs_removed"]));
        })
        .await;
    progress.finish();
    let outcome =
        outcome.map_err(owner_only).and_then(|report| context.emit(&report, |out| writeln!(out, "{}", swept(&report))));
    super::closing(outcome, api).await
}

pub(super) fn owner_only(failure: Failure) -> Failure {
    if failure.exit() == Exit::NotAllowed { failure.with_hint(OWNER_ONLY) } else { failure }
}

fn swept(report: &Value) -> String {
    let bytes = |field: &str| rounded_size(report[field].as_u64().unwrap_or(0));
    format!(
        "Removed {} blobs ({}) and {} leftovers ({}); gave up {} idle uploads; {} of {} looked at are still held.",
        report["blobs_removed"],
        bytes("bytes_removed"),
        report["orphans_removed"],
        bytes("orphan_bytes"),
        report["uploads_expired"],
        report["kept"],
        report["reviewed"],
    )
}

/// Runs `larder usage`.
pub async fn usage(args: UsageArgs, context: &Context) -> Result {
    let api = Target::choose(&args.data, context)?.open().await?;
    if let Some(by) = args.by {
        let outcome = usage_by::print(by, &api, context).await;
        return super::closing(outcome.map_err(owner_only), api).await;
    }
    let outcome = async {
        let found: Value = api.get("/api/v1/usage").await.map_err(owner_only)?;
        context.emit(&found, |out| {
            for (field, meaning) in [
                ("live", "blobs that are served"),
                ("unreferenced", "of these, blobs that no manifest names"),
                ("unverified", "of these, blobs taken over and not hashed yet"),
                ("trash", "of these, blobs that only the trash holds"),
                ("leaving", "blobs on their way out"),
                ("quarantined", "blobs set aside because they were wrong"),
                ("manifests", "manifests"),
                ("uploads", "open uploads"),
            ] {
                let size = rounded_size(found[field]["bytes"].as_u64().unwrap_or(0));
                writeln!(out, "{:>10} {size:>12}  {meaning}", found[field]["count"].to_string())?;
            }
            writeln!(
                out,
                "{:>10} {:>12}  entries in the sweep's queue, {} of them due",
                found["queue"]["waiting"].to_string(),
                "",
                found["queue"]["due"]
            )?;
            for tree in found["old_trees"].as_array().into_iter().flatten() {
                let size = |field: &str| rounded_size(tree[field].as_u64().unwrap_or(0));
                let path = tree["path"].as_str().unwrap_or_default();
                writeln!(
                    out,
                    "{:>10} {:>12}  files of the old registry in {path}; {} are in nothing else",
                    tree["files"].to_string(),
                    size("bytes"),
                    size("own_bytes"),
                )?;
            }
            match (found["available"].as_u64(), found["total"].as_u64()) {
                (Some(free), Some(total)) => {
                    writeln!(out, "{:>10} {:>12}  free of {}", "", rounded_size(free), rounded_size(total))
                }
                _ => Ok(()),
            }
        })
    };
    let outcome = outcome.await;
    super::closing(outcome, api).await
}

/// Runs `larder scrub`. Exit code 1 when the pass found something wrong.
pub async fn scrub(args: ScrubArgs, context: &Context) -> Result {
    let api = Target::choose(&args.data, context)?.open().await?;
    let outcome = async {
        let state: Value = if args.now || args.force {
            api.send(Method::POST, "/api/v1/scrub", &json!({ "force": args.force })).await.map_err(owner_only)?
        } else {
            api.get("/api/v1/scrub").await.map_err(owner_only)?
        };
        context.emit(&state, |out| {
            if args.now || args.force {
                writeln!(out, "Asked for: a server on this data folder begins within a minute.")?;
            }
            writeln!(out, "{}", scrubbed(&state))
        })?;
        if state["wrong"] == 0 && state["halted"] == false { Ok(()) } else { Err(Failure::reported(Exit::Failed)) }
    };
    let outcome = outcome.await;
    super::closing(outcome, api).await
}

fn scrubbed(state: &Value) -> String {
    let size = |value: &Value| rounded_size(value.as_u64().unwrap_or(0));
    let Some(began) = state["began_at"].as_str() else {
        return "Nothing was read back yet: the server does it in the background.".to_owned();
    };
    let stands = match (state["halted"] == true, state["ended_at"].as_str()) {
        (true, _) => "stopped, because so many wrong objects are a wrong disk (`--force` goes on)".to_owned(),
        (false, Some(ended)) => format!("ended {ended}"),
        (false, None) => "is under way".to_owned(),
    };
    format!(
        "The pass of {began} {stands}: {} of {} in {} blobs and {} manifests read; {} wrong and set aside, {} unreadable.",
        size(&state["read"]["bytes"]),
        size(&state["bytes_in_all"]),
        state["read"]["count"],
        state["manifests"],
        state["wrong"],
        state["unreadable"],
    )
}

/// Runs `larder verify`. Exit code 1 when something that was acknowledged is missing or wrong.
pub async fn verify(args: VerifyArgs, context: &Context) -> Result {
    let api = Target::choose(&args.data, context)?.open().await?;
    let progress = Spinner::of(context);
    let asked = json!({ "repair": args.repair, "force": args.force, "adopt": args.adopt });
    let outcome = api
        .task("/api/v1/verify", &asked, |at| {
            let read = rounded_size(at["bytes"].as_u64().unwrap_or(0));
            progress.say(format!(
                "{} blobs ({read}), {} manifests, {} findings",
                at["blobs"], at["manifests"], at["findings"]
            ));
        })
        .await;
    progress.finish();
    let outcome = outcome.map_err(owner_only).and_then(|report| {
        context.emit(&report, |out| verified(out, &report))?;
        if report["sound"] == true { Ok(()) } else { Err(Failure::reported(Exit::Failed)) }
    });
    super::closing(outcome, api).await
}

fn verified(out: &mut dyn std::io::Write, report: &Value) -> std::io::Result<()> {
    let findings = report["findings"].as_array().map_or(&[][..], Vec::as_slice);
    for finding in findings {
        let kind = finding["kind"].as_str().unwrap_or_default().replace('_', " ");
        let what = finding["digest"].as_str().or(finding["object"].as_str()).unwrap_or_default();
        let done = if finding["repaired"] == true { ", repaired" } else { "" };
        writeln!(out, "{kind}: {what} ({}{done})", rounded_size(finding["size"].as_u64().unwrap_or(0)))?;
        for affected in finding["affects"].as_array().into_iter().flatten() {
            writeln!(out, "  affects {}", affected.as_str().unwrap_or_default())?;
        }
    }
    let read = rounded_size(report["bytes"].as_u64().unwrap_or(0));
    let verdict =
        if report["sound"] == true { "everything is there and right" } else { "something is missing or wrong" };
    writeln!(out, "Read {} blobs ({read}) and {} manifests: {verdict}.", report["blobs"], report["manifests"])
}

/// A line of progress on a terminal, and nothing elsewhere.
pub(super) struct Spinner(Option<ProgressBar>);

impl Spinner {
    pub(super) fn of(context: &Context) -> Self {
        Self(context.shows_progress().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        }))
    }

    pub(super) fn say(&self, text: String) {
        if let Some(bar) = &self.0 {
            bar.set_message(text);
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
