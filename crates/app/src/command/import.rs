//! `larder import`: moving in from another registry, by its data folder or over the network.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::import_registry::{self, RegistryImportArgs};
use super::layouts::{self, OciArgs};
use super::upkeep::{Spinner, owner_only};
use crate::config::rounded_size;
use crate::context::{Context, DataArg, Destructive, Output};
use crate::outcome::{Exit, Failure, Result};
use crate::target::Target;

/// Entries of each list that are printed; `--output json` has more, the report's file all.
const SHOWN: usize = 50;

/// `larder import …`
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Take over the data folder of `registry:2`, without moving its bytes where the file system allows
    Registry2(Registry2Args),
    /// Push every image of an OCI layout into a repository, under the tags that they have in it
    Oci(OciArgs),
    /// Copy every repository and tag of a running registry
    Registry(RegistryImportArgs),
}

/// Options of `import registry2`.
#[derive(Args, Debug)]
pub struct Registry2Args {
    /// The old registry's root directory: the folder that has `docker/registry/v2` in it
    pub path: PathBuf,
    /// Remove the old tree, after a last look at it and a verification of everything stored
    #[arg(long)]
    pub release: bool,
    /// Do not ask
    #[arg(long, short, requires = "release")]
    pub yes: bool,
    /// Show what would be removed, and remove nothing
    #[arg(long, requires = "release")]
    pub dry_run: bool,
    /// Where to
    #[command(flatten)]
    pub data: DataArg,
}

impl ImportCommand {
    /// The data folder that is worked on.
    pub fn data(&self) -> Option<&DataArg> {
        match self {
            Self::Registry2(args) => Some(&args.data),
            Self::Registry(_) | Self::Oci(_) => None,
        }
    }
}

/// Runs `larder import`.
pub async fn run(command: ImportCommand, context: &Context) -> Result {
    match command {
        ImportCommand::Registry2(args) => registry2(args, context).await,
        ImportCommand::Oci(args) => layouts::import(args, context).await,
        ImportCommand::Registry(args) => import_registry::run(args, context).await,
    }
}

async fn registry2(args: Registry2Args, context: &Context) -> Result {
    let path =
        args.path.canonicalize().map_err(|error| Failure::not_found(format!("{}: {error}", args.path.display())))?;
    let how = Destructive { yes: args.yes, dry_run: args.dry_run };
    let question = format!("Remove the old registry's files in {}?", path.display());
    let preview = "Everything that was taken over is read back first; what was broken or belonged to no repository goes with the old files.";
    if args.release && !context.confirm(how, preview, &question)? {
        return Ok(());
    }
    let api = Target::choose(&args.data, context)?.open_or_make().await?;
    let progress = Spinner::of(context);
    let asked = json!({ "path": path, "release": args.release });
    let outcome = api
        .task("/api/v1/imports/registry2", &asked, |at| {
            progress.say(told(at));
            if context.output() == Output::Jsonl {
                // A reader that went away is noticed at the report.
                let _ = context.emit(&json!({ "progress": at }), |_| Ok(()));
            }
        })
        .await;
    progress.finish();
    let outcome =
        outcome.map_err(owner_only).and_then(|report| finished(&report, &path.display().to_string(), context));
    super::closing(outcome, api).await
}

fn finished(report: &Value, path: &str, context: &Context) -> Result {
    let import = if report["import"].is_object() { &report["import"] } else { report };
    let printed = |out: &mut dyn Write| {
        text(out, import)?;
        if report["released"] == true {
            let size = rounded_size(report["bytes"].as_u64().unwrap_or(0));
            return writeln!(out, "Removed the old registry's files in {path}: {size} came back.");
        }
        if let Some(why) = report["refused"].as_str() {
            return writeln!(out, "The old registry's files stay: {why}.");
        }
        writeln!(out, "The old registry's files are untouched; --release removes them.")
    };
    if context.output() == Output::Jsonl {
        context.emit(&json!({ "report": report }), |_| Ok(()))?;
    } else {
        context.emit(report, printed)?;
    }
    let written = import["written_since"]["total"].as_u64().unwrap_or(0);
    if written > 0 || report["released"] == false { Err(Failure::reported(Exit::Failed)) } else { Ok(()) }
}

/// A line of progress.
fn told(at: &Value) -> String {
    let size = |field: &str| rounded_size(at[field].as_u64().unwrap_or(0));
    match at["phase"].as_str() {
        Some("bytes") => format!("hashed {} of {}; {} broken", size("bytes"), size("bytes_total"), at["broken"]),
        Some("verify") => format!("read back {} blobs ({}); {} findings", at["blobs"], size("bytes"), at["broken"]),
        phase => format!(
            "{}: {} repositories, {} manifests, {} tags, {} blobs; {} broken",
            phase.unwrap_or("rows"),
            at["repositories"],
            at["manifests"],
            at["tags"],
            at["blobs"],
            at["broken"]
        ),
    }
}

fn text(out: &mut dyn Write, report: &Value) -> io::Result<()> {
    let counted = |field: &str| {
        let counted = &report[field];
        (counted["count"].as_u64().unwrap_or(0), rounded_size(counted["bytes"].as_u64().unwrap_or(0)))
    };
    writeln!(
        out,
        "Took over {} manifests ({} of them refer to others) and {} tags of {} repositories from {}.",
        report["manifests"],
        report["referrers"],
        report["tags"],
        report["repositories"],
        report["source"].as_str().unwrap_or_default()
    )?;
    for (field, how) in [
        ("linked", "blobs are second names of the old files"),
        ("reflinked", "blobs share their blocks with the old files"),
        ("copied", "blobs were copied"),
        ("verified", "blobs were hashed and are right"),
        ("unverified", "blobs could not be hashed"),
        ("unlinked", "old files belong to no repository and were left"),
    ] {
        let (count, size) = counted(field);
        if count > 0 {
            writeln!(out, "{count:>10} {size:>12}  {how}")?;
        }
    }
    for (field, what) in [
        ("known", "links to what was here already"),
        ("unnamed", "blobs are named by no manifest; they go when a lease's term is over"),
        ("uploads", "unfinished uploads were left"),
    ] {
        if report[field].as_u64().unwrap_or(0) > 0 {
            writeln!(out, "{:>10} {:>12}  {what}", report[field].to_string(), "")?;
        }
    }
    lists(out, report)?;
    match report["journal"].as_str() {
        Some(journal) => writeln!(out, "Every file and finding: {journal}"),
        None => Ok(()),
    }
}

fn lists(out: &mut dyn Write, report: &Value) -> io::Result<()> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list(out, &report["broken"], "Broken in the old registry", |out, broken| {
        let place = broken["repository"].as_str().map(|name| format!("{name}: ")).unwrap_or_default();
        let kind = word(&broken["kind"]).replace('_', " ");
        writeln!(out, "  {kind}: {place}{}: {}", word(&broken["object"]), word(&broken["why"]))?;
        broken["affects"]
            .as_array()
            .into_iter()
            .flatten()
            .try_for_each(|tag| writeln!(out, "    affects {}", word(tag)))
    })?;
    list(out, &report["kept"], "Tags that were moved or removed here, and stay so", |out, kept| {
        let here = kept["here"].as_str().unwrap_or("removed");
        writeln!(out, "  {}: {here} here, {} there", word(&kept["tag"]), word(&kept["there"]))
    })?;
    let written = "Written into the old registry since the last look, and taken over now; stop it, and import again";
    list(out, &report["written_since"], written, |out, entry| {
        writeln!(out, "  {} {}: {}", word(&entry["kind"]), word(&entry["repository"]), word(&entry["object"]))
    })
}

fn list(
    out: &mut dyn Write,
    told: &Value,
    title: &str,
    line: impl Fn(&mut dyn Write, &Value) -> io::Result<()>,
) -> io::Result<()> {
    let total = told["total"].as_u64().unwrap_or(0);
    if total == 0 {
        return Ok(());
    }
    writeln!(out, "{title} ({total}):")?;
    let shown = told["first"].as_array().map_or(&[][..], Vec::as_slice);
    for entry in shown.iter().take(SHOWN) {
        line(out, entry)?;
    }
    let more = total.saturating_sub(shown.len().min(SHOWN) as u64);
    if more > 0 { writeln!(out, "  … and {more} more") } else { Ok(()) }
}
