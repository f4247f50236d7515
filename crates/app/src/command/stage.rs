//! `larder stage`: which stages repositories have, what they ask, what stands in them, and who pulls it.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use larder_oci::{RepositoryPattern, Tag};
use larder_registry::promotion::Stages;
use serde_json::{Value, json};

use super::listing::{self, Column, on, text, time};
use crate::api_client::ApiClient;
use crate::context::{Context, DataArg, Destructive};
use crate::named::Named;
use crate::outcome::{Failure, Result};
use crate::table::{short_digest, short_time, write_table};
use crate::target::Target;

/// Bytes of the longest file that is read.
const LONGEST: u64 = 64 << 10;

/// What to do with stages.
#[derive(Debug, Subcommand)]
pub enum StageCommand {
    /// List all stages that were set, of repositories and of patterns
    Ls(LsArgs),
    /// Show the stages of a repository, what they ask, and what stands in them
    Show(NameArgs),
    /// Set the stages of a repository or a pattern
    Set(SetArgs),
    /// Remove stages that were set; dev, staging and prod are left, without gates
    Rm(RmArgs),
    /// Show who pulled what stands in a stage, and when last
    Who(WhoArgs),
}

/// Options of `stage ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `stage show`.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// The repository: `team/model`
    pub name: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `stage set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The repository, or a pattern such as `team/**` for all that have none of their own
    pub name: String,
    /// The document that lists them; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `stage rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The repository, or the pattern
    pub name: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

/// Options of `stage who`.
#[derive(Args, Debug)]
pub struct WhoArgs {
    /// The repository: `team/model`
    pub name: String,
    /// The stage
    #[arg(long, value_name = "STAGE", default_value = "prod")]
    pub stage: Tag,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

impl StageCommand {
    /// Where it works.
    pub fn data(&self) -> &DataArg {
        match self {
            Self::Ls(args) => &args.data,
            Self::Show(args) => &args.data,
            Self::Set(args) => &args.data,
            Self::Rm(args) => &args.data,
            Self::Who(args) => &args.data,
        }
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "FOR", cell: |set| text(&set["pattern"]) },
    Column { title: "SET", cell: |set| time(&set["set"]) },
    Column { title: "BY", cell: |set| text(&set["set_by"]) },
];

const PULL_COLUMNS: &[Column] = &[
    Column { title: "WHO", cell: |pull| text(&pull["identity"]) },
    Column { title: "LAST PULL", cell: |pull| time(&pull["at"]) },
    Column { title: "DIGEST", cell: |pull| short_digest(&text(&pull["digest"])) },
    Column { title: "TAGS", cell: |pull| text(&pull["tags"]) },
];

/// Runs `larder stage …`.
pub async fn run(command: StageCommand, context: &Context) -> Result {
    match command {
        StageCommand::Ls(args) => {
            on(&args.data, context, async |api| listing::list(api, "/api/v1/stages", "stages", COLUMNS, context).await)
                .await
        }
        StageCommand::Show(args) => {
            let named = Named::repository(&args.name, &args.data, context)?;
            let path = format!("{}/-/stages", named.path());
            at(named.target, async |api| {
                let found: Value = api.get(&path).await?;
                context.emit(&found, |out| show(out, &found))
            })
            .await
        }
        StageCommand::Set(args) => {
            let (target, path) = place(&args.name, &args.data, context)?;
            let text = read(&args.file)?;
            at(target, async |api| {
                api.tell_text(Method::PUT, &path, &text).await?;
                context.emit(&json!({ "set": args.name }), |out| writeln!(out, "{}", args.name))
            })
            .await
        }
        StageCommand::Rm(args) => {
            let (target, path) = place(&args.name, &args.data, context)?;
            let preview = format!("The stages of {} go, with what they ask.", args.name);
            if !context.confirm(args.how, &preview, "Remove them?")? {
                return Ok(());
            }
            at(target, async |api| {
                api.delete(&path).await?;
                context.emit(&json!({ "removed": args.name }), |out| writeln!(out, "{}", args.name))
            })
            .await
        }
        StageCommand::Who(args) => {
            let named = Named::repository(&args.name, &args.data, context)?;
            let path = format!("{}/-/stages/{}/pulls", named.path(), args.stage);
            at(named.target, async |api| listing::list(api, &path, "pulls", PULL_COLUMNS, context).await).await
        }
    }
}

async fn at(target: Target, work: impl AsyncFnOnce(&ApiClient) -> Result) -> Result {
    let api = target.open().await?;
    let outcome = work(&api).await;
    super::closing(outcome, api).await
}

/// The server, and the path of the stages of a repository or a pattern.
fn place(name: &str, data: &DataArg, context: &Context) -> Result<(Target, String)> {
    if !name.contains('*') {
        let named = Named::repository(name, data, context)?;
        let path = format!("{}/-/stages", named.path());
        return Ok((named.target, path));
    }
    let pattern: RepositoryPattern =
        name.parse().map_err(|error: larder_oci::ParseError| Failure::usage(error.to_string()))?;
    Ok((Target::choose(data, context)?, format!("/api/v1/stages/{pattern}")))
}

/// A document's text, after a look at it: what is wrong is told before anything is asked of a server.
fn read(file: &Path) -> Result<String> {
    let shown = file.display();
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(LONGEST).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(LONGEST).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::usage(format!("{shown} cannot be read: {error}")))?;
    match Stages::read(&text) {
        Ok(_) => Ok(text),
        Err(why) => Err(Failure::usage(format!("{shown}: {why}"))),
    }
}

fn show(out: &mut dyn Write, found: &Value) -> std::io::Result<()> {
    match &found["effective"] {
        Value::Null => writeln!(out, "These stages every repository has; nobody set others.")?,
        set => writeln!(
            out,
            "The stages of {}, set {} by {}.",
            text(&set["pattern"]),
            time(&set["set"]),
            text(&set["set_by"])
        )?,
    }
    for other in found["others"].as_array().into_iter().flatten() {
        writeln!(out, "Also matching, without effect: {}", text(&other["pattern"]))?;
    }
    let rows: Vec<_> = found["stages"].as_array().into_iter().flatten().map(stage).collect();
    write_table(out, &["STAGE", "ASKS", "STANDING", "TAGS", "SINCE", "BY", "HOW", "REASON"], &[false; 8], &rows)
}

fn stage(stage: &Value) -> Vec<String> {
    let standing = &stage["standing"];
    let digest = standing["digest"].as_str().map_or_else(|| "-".to_owned(), short_digest);
    let since = standing["since"].as_str().map_or_else(|| "-".to_owned(), short_time);
    vec![
        text(&stage["place"]),
        asks(&stage["gates"]),
        digest,
        text(&standing["tags"]),
        since,
        text(&standing["by"]),
        text(&standing["how"]),
        text(&standing["reason"]),
    ]
}

/// What a stage asks, in a few words.
fn asks(gates: &Value) -> String {
    let mut asked = Vec::new();
    if gates["previous"] == true {
        asked.push("the stage before".to_owned());
    }
    if let Some(seconds) = gates["minimum_age"].as_u64() {
        let text = crate::config::duration_text(std::time::Duration::from_secs(seconds));
        asked.push(format!("{text} there"));
    }
    if let Some(version) = gates["version"].as_str() {
        asked.push(if version == "any" { "a version" } else { "a release" }.to_owned());
    }
    if gates["signature"] == true {
        asked.push("a signature".to_owned());
    }
    if let Some(count) = gates["approvals"]["count"].as_u64() {
        let of = gates["approvals"]["group"].as_str().map_or_else(String::new, |group| format!(" of {group}"));
        asked.push(format!("{count} approvals{of}"));
    }
    if asked.is_empty() { "-".to_owned() } else { asked.join(", ") }
}
