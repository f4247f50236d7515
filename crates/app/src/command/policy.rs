//! `larder policy`: which images a repository lets go of, seen before it happens.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use larder_oci::RepositoryPattern;
use larder_registry::policy::{Origin, Policy, Translated, translate};
use serde_json::{Value, json};

use super::listing::{self, Column, on, text, time};
use crate::api_client::ApiClient;
use crate::config::rounded_size;
use crate::context::{Context, DataArg, Destructive, Output};
use crate::named::Named;
use crate::outcome::{Failure, Result};
use crate::table::{short_digest, short_time, write_table};
use crate::target::Target;

/// Images on a page of a preview.
const PAGE: usize = 1_000;
/// Bytes of the longest file that is read.
const LONGEST: u64 = 64 << 10;

/// What to do with lifecycle policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// List every policy, of repositories and of patterns
    Ls(LsArgs),
    /// Show which policy decides in a repository, and which others match
    Show(NameArgs),
    /// Set a policy: Amazon ECR's JSON, with Larder's own keys if you like
    Set(SetArgs),
    /// Remove a policy
    Rm(RmArgs),
    /// Show what a policy would remove now, why, and what comes free
    Preview(PreviewArgs),
    /// Apply a repository's policy now
    Apply(ApplyArgs),
    /// Say the clean-up rules of another registry as a policy, and name what cannot be said exactly
    Import(ImportArgs),
    /// Show what policies removed, newest first
    Runs(NameArgs),
    /// Let policies go on after a clock that moved paused them
    Resume(LsArgs),
}

/// Options of `policy ls` and `policy resume`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `policy show` and `policy runs`.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// The repository: `team/model`
    pub name: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `policy set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The repository, or a pattern such as `team/**` for all that have no rules of their own
    pub name: String,
    /// The policy; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `policy rm`.
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

/// Options of `policy preview`.
#[derive(Args, Debug)]
pub struct PreviewArgs {
    /// The repository: `team/model`
    pub name: String,
    /// Try this policy, without setting it; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `policy apply`.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// The repository: `team/model`
    pub name: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

/// Options of `policy import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The rules as the other registry has them, in JSON; `-` reads standard input
    pub file: PathBuf,
    /// Whose rules: `artifact-registry`, `harbor`, `zot`, `quay`, `gitlab` or `gitea`
    #[arg(long, value_name = "REGISTRY")]
    pub from: Origin,
    /// Set the policy of this repository or pattern too, not only print it
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

impl PolicyCommand {
    /// Where it works.
    pub fn data(&self) -> &DataArg {
        match self {
            Self::Ls(args) | Self::Resume(args) => &args.data,
            Self::Show(args) | Self::Runs(args) => &args.data,
            Self::Set(args) => &args.data,
            Self::Rm(args) => &args.data,
            Self::Preview(args) => &args.data,
            Self::Apply(args) => &args.data,
            Self::Import(args) => &args.data,
        }
    }
}

/// Runs `larder policy …`.
pub async fn run(command: PolicyCommand, context: &Context) -> Result {
    match command {
        PolicyCommand::Ls(args) => {
            on(&args.data, context, async |api| {
                listing::list(api, "/api/v1/policies", "policies", COLUMNS, context).await
            })
            .await
        }
        PolicyCommand::Show(args) => {
            let (target, path) = place(&args.name, &args.data, context)?;
            at(target, async |api| show(&api.get(&format!("{path}/-/policy")).await?, context)).await
        }
        PolicyCommand::Set(args) => set(args, context).await,
        PolicyCommand::Rm(args) => remove(args, context).await,
        PolicyCommand::Preview(args) => {
            let (target, path) = place(&args.name, &args.data, context)?;
            let tried = args.file.as_deref().map(read).transpose()?;
            at(target, async |api| {
                let found = previewed(api, &path, tried.as_deref()).await?;
                context.emit(&found, |out| preview(out, &found))
            })
            .await
        }
        PolicyCommand::Apply(args) => apply(args, context).await,
        PolicyCommand::Import(args) => import(args, context).await,
        PolicyCommand::Runs(args) => {
            let (target, path) = place(&args.name, &args.data, context)?;
            let path = format!("{path}/-/policy/runs");
            at(target, async |api| listing::list(api, &path, "runs", RUN_COLUMNS, context).await).await
        }
        PolicyCommand::Resume(args) => {
            on(&args.data, context, async |api| {
                api.tell(Method::POST, "/api/v1/policies/-/resume", &json!({})).await?;
                context.emit(&json!({ "resumed": true }), |out| writeln!(out, "Policies go on."))
            })
            .await
        }
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "FOR", cell: |policy| text(&policy["pattern"]) },
    Column { title: "SET", cell: |policy| time(&policy["set"]) },
    Column { title: "BY", cell: |policy| text(&policy["set_by"]) },
    Column { title: "OWN KEYS", cell: |policy| text(&policy["own_keys"]) },
];

const RUN_COLUMNS: &[Column] = &[
    Column { title: "ID", cell: |run| text(&run["id"]) },
    Column { title: "WHEN", cell: |run| time(&run["started"]) },
    Column { title: "BY", cell: |run| text(&run["by"]) },
    Column { title: "POLICY", cell: |run| text(&run["report"]["pattern"]) },
    Column { title: "IMAGES", cell: |run| text(&run["report"]["images"]) },
    Column { title: "WENT", cell: |run| text(&run["report"]["expired"]) },
    Column { title: "FREED", cell: |run| size(&run["report"]["bytes"]) },
    Column { title: "LEFT", cell: |run| text(&run["report"]["left"]) },
];

fn size(bytes: &Value) -> String {
    rounded_size(bytes.as_u64().unwrap_or(0))
}

/// A repository's server and its path in the API.
fn place(name: &str, data: &DataArg, context: &Context) -> Result<(Target, String)> {
    let named = Named::repository(name, data, context)?;
    let path = named.path();
    Ok((named.target, path))
}

/// The same for its policy, or a pattern's.
fn policy_place(name: &str, data: &DataArg, context: &Context) -> Result<(Target, String)> {
    if !name.contains('*') {
        let (target, path) = place(name, data, context)?;
        return Ok((target, format!("{path}/-/policy")));
    }
    let pattern: RepositoryPattern =
        name.parse().map_err(|error: larder_oci::ParseError| Failure::usage(error.to_string()))?;
    Ok((Target::choose(data, context)?, format!("/api/v1/policies/{pattern}")))
}

async fn at(target: Target, work: impl AsyncFnOnce(&ApiClient) -> Result) -> Result {
    let api = target.open().await?;
    let outcome = work(&api).await;
    super::closing(outcome, api).await
}

/// A file's text.
fn text_of(file: &Path) -> Result<String> {
    let shown = file.display();
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(LONGEST).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(LONGEST).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::usage(format!("{shown} cannot be read: {error}")))?;
    Ok(text)
}

/// A policy's text, after a look at it: what is wrong is told before anything is asked of a server.
fn read(file: &Path) -> Result<String> {
    let (shown, text) = (file.display(), text_of(file)?);
    match Policy::read(&text) {
        Ok(_) => Ok(text),
        Err(problems) => {
            let told: Vec<String> = problems.0.iter().map(|problem| format!("{shown}: {problem}")).collect();
            Err(Failure::usage(told.join("\n")))
        }
    }
}

async fn set(args: SetArgs, context: &Context) -> Result {
    let (target, path) = policy_place(&args.name, &args.data, context)?;
    let text = read(&args.file)?;
    at(target, async |api| {
        api.tell_text(Method::PUT, &path, &text).await?;
        context.emit(&json!({ "set": args.name }), |out| writeln!(out, "{}", args.name))?;
        if !args.name.contains('*') {
            context.note(format!("See what it would remove: larder policy preview {}", args.name));
        }
        Ok(())
    })
    .await
}

async fn remove(args: RmArgs, context: &Context) -> Result {
    let (target, path) = policy_place(&args.name, &args.data, context)?;
    let preview = format!("The policy of {} goes, with what it protects.", args.name);
    if !context.confirm(args.how, &preview, "Remove it?")? {
        return Ok(());
    }
    at(target, async |api| {
        api.delete(&path).await?;
        context.emit(&json!({ "removed": args.name }), |out| writeln!(out, "{}", args.name))
    })
    .await
}

/// Prints what another registry's rules come to here; with `--set`, sets it.
async fn import(args: ImportArgs, context: &Context) -> Result {
    let text = text_of(&args.file)?;
    let found = translate(args.from, &text).map_err(|why| Failure::usage(format!("{}: {why}", args.file.display())))?;
    let values: Vec<Value> = found.iter().map(translated).collect();
    context.emit_list(&values, |out| {
        found.iter().filter_map(|one| one.policy.as_ref()).try_for_each(|policy| out.write_all(policy.as_bytes()))
    })?;
    for one in &found {
        if !one.repositories.is_empty() {
            context.note(format!("For: {}", one.repositories.join(", ")));
        }
        one.differences.iter().for_each(|difference| context.note(format!("Not exactly: {difference}.")));
    }
    let Some(name) = &args.set else { return Ok(()) };
    let [Translated { policy: Some(policy), .. }] = found.as_slice() else {
        return Err(Failure::usage("these rules come to several policies, or to none: set them one by one"));
    };
    let (target, path) = policy_place(name, &args.data, context)?;
    at(target, async |api| api.tell_text(Method::PUT, &path, policy).await).await
}

fn translated(one: &Translated) -> Value {
    let policy = one.policy.as_deref().and_then(|policy| serde_json::from_str::<Value>(policy).ok());
    json!({ "repositories": one.repositories, "policy": policy, "differences": one.differences })
}

/// Shows what goes, asks, and applies.
async fn apply(args: ApplyArgs, context: &Context) -> Result {
    let (target, path) = place(&args.name, &args.data, context)?;
    at(target, async |api| {
        let found = previewed(api, &path, None).await?;
        let mut shown = Vec::new();
        preview(&mut shown, &found)?;
        let shown = String::from_utf8_lossy(&shown).into_owned();
        if args.how.dry_run && context.output() != Output::Text {
            return context.emit(&found, |_| Ok(()));
        }
        if !context.confirm(args.how, shown.trim_end(), "Remove them?")? {
            return Ok(());
        }
        let report: Value = api.send(Method::POST, &format!("{path}/-/policy/apply"), &json!({})).await?;
        context.emit(&report, |out| writeln!(out, "{}", applied(&report)))
    })
    .await
}

fn applied(report: &Value) -> String {
    let mut said =
        format!("{} of {} images went; {} come free.", report["expired"], report["images"], size(&report["bytes"]));
    if report["skipped"].as_u64() > Some(0) {
        said.push_str(&format!(" {} changed meanwhile and stayed.", report["skipped"]));
    }
    if report["left"].as_u64() > Some(0) {
        said.push_str(&format!(" {} are left to the next run.", report["left"]));
    }
    said
}

/// All pages of a preview as one document.
async fn previewed(api: &ApiClient, path: &str, tried: Option<&str>) -> Result<Value> {
    let page = async |path: &str| match tried {
        Some(text) => api.page_of_text::<Value>(path, text).await,
        None => api.page::<Value>(path).await,
    };
    let (mut found, mut next) = page(&format!("{path}/-/policy/preview?limit={PAGE}")).await?;
    while let Some(path) = next {
        let (mut more, following) = page(&path).await?;
        if let (Some(all), Some(more)) = (found["going"].as_array_mut(), more["going"].as_array_mut()) {
            all.append(more);
        }
        next = following;
    }
    Ok(found)
}

fn preview(out: &mut dyn Write, found: &Value) -> std::io::Result<()> {
    let list = |field: &str| found[field].as_array().map_or(&[][..], Vec::as_slice);
    writeln!(
        out,
        "{} of {} images go by the policy of {}; {} come free.",
        found["expiring"],
        found["images"],
        found["pattern"].as_str().unwrap_or_default(),
        size(&found["bytes"])
    )?;
    let rows: Vec<_> = list("going").iter().map(going).collect();
    if !rows.is_empty() {
        let header = ["DIGEST", "TAGS", "PUSHED", "SIZE", "RULE", "LEAVES", "BYTES GO"];
        write_table(out, &header, &[false, false, false, true, false, false, false], &rows)?;
    }
    let near: Vec<_> = list("near").iter().map(nearly).collect();
    if !near.is_empty() {
        writeln!(out, "\nNearly ({} of {}):", near.len(), found["near_count"])?;
        write_table(out, &["DIGEST", "TAGS", "RULE", "WHY IT STAYS"], &[false; 4], &near)?;
    }
    if found["over_half"] == true {
        writeln!(out, "\nThis is more than half of the repository.")?;
    }
    for note in list("notes") {
        writeln!(out, "\nNote: {}.", note.as_str().unwrap_or_default())?;
    }
    Ok(())
}

fn going(image: &Value) -> Vec<String> {
    let rule = match image["follows"].as_str() {
        Some(subject) => format!("{} (with {})", rule(image), short_digest(subject)),
        None => rule(image),
    };
    vec![
        short_digest(image["digest"].as_str().unwrap_or_default()),
        text(&image["tags"]),
        short_time(image["pushed"].as_str().unwrap_or_default()),
        size(&image["size"]),
        rule,
        time(&image["leaves"]),
        time(&image["bytes_go"]),
    ]
}

fn nearly(image: &Value) -> Vec<String> {
    vec![
        short_digest(image["digest"].as_str().unwrap_or_default()),
        text(&image["tags"]),
        rule(image),
        text(&image["because"]),
    ]
}

fn rule(image: &Value) -> String {
    let priority = &image["rule"]["priority"];
    match image["rule"]["description"].as_str() {
        Some(description) => format!("{priority}: {description}"),
        None => priority.to_string(),
    }
}

fn show(found: &Value, context: &Context) -> Result {
    context.emit(found, |out| {
        match found["effective"].as_object() {
            None => writeln!(out, "No policy is about this repository: nothing ever goes by itself.")?,
            Some(policy) => {
                writeln!(
                    out,
                    "The policy of {}, set {} by {}{}:",
                    text(&policy["pattern"]),
                    time(&policy["set"]),
                    text(&policy["set_by"]),
                    own_keys(&policy["own_keys"])
                )?;
                writeln!(out, "{}", policy["text"].as_str().unwrap_or_default().trim_end())?;
            }
        }
        for other in found["others"].as_array().into_iter().flatten() {
            writeln!(out, "Also matching, without effect but for what it protects: {}", text(&other["pattern"]))?;
        }
        for protected in found["protected"].as_array().into_iter().flatten() {
            writeln!(out, "Protected by {}: {}", text(&protected["pattern"]), text(&protected["tags"]))?;
        }
        match found["paused"].as_str() {
            Some(why) => writeln!(out, "Paused: {why}. Look at `larder policy preview`, then `larder policy apply`."),
            None => Ok(()),
        }
    })
}

fn own_keys(keys: &Value) -> String {
    match keys.as_array() {
        Some(keys) if !keys.is_empty() => format!(" (not for Amazon ECR: {})", text(&Value::Array(keys.clone()))),
        _ => String::new(),
    }
}
