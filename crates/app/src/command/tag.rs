//! `larder tag`: tags and what they pointed to.

use clap::{Args, Subcommand};
use http::Method;
use larder_oci::{Tag, TagKind, VersionRange};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api_client::ApiClient;
use crate::config::rounded_size;
use crate::context::{Context, DataArg, Destructive};
use crate::named::Named;
use crate::outcome::{Failure, Result};
use crate::table::short_digest;

use super::listing::{self, Column, text, time};

/// What to do with tags.
#[derive(Debug, Subcommand)]
pub enum TagCommand {
    /// List the tags of a repository
    Ls(LsArgs),
    /// Give a manifest of a repository more tags: `tag add ml-model:1.2.0 prod latest`
    Add(AddArgs),
    /// Remove tags; their manifests stay and can be pulled by digest
    Rm(RmArgs),
    /// Show what a tag pointed to, newest first
    History(HistoryArgs),
    /// Point a tag at what it pointed to before
    Rollback(RollbackArgs),
    /// Bring a deleted tag or manifest back
    Undelete(UndeleteArgs),
}

/// Options of `tag ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// The repository: `team/model`
    pub name: String,
    /// In which order: by name, the newest version first, or the last moved first
    #[arg(long, value_name = "ORDER", default_value = "name", value_parser = ["name", "version", "time"])]
    pub sort: String,
    /// Only tags of a kind: version, build, commit, branch, stage, latest, date or other
    #[arg(long, value_name = "KIND")]
    pub kind: Option<TagKind>,
    /// Only versions and builds in a range: `>=1.2 <2`, `1.x`, `^1.4`
    #[arg(long, value_name = "RANGE")]
    pub range: Option<VersionRange>,
    /// Show what was deleted and can be brought back
    #[arg(long, conflicts_with_all = ["kind", "range"])]
    pub deleted: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `tag add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// What the tags will point to: `NAME:TAG` or `NAME@DIGEST`
    pub reference: String,
    /// The tags
    #[arg(required = true)]
    pub tags: Vec<Tag>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `tag rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The tags, each as `NAME:TAG`
    #[arg(required = true)]
    pub references: Vec<String>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

/// Options of `tag history`.
#[derive(Args, Debug)]
pub struct HistoryArgs {
    /// The tag, as `NAME:TAG`
    pub reference: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `tag rollback`.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// The tag, as `NAME:TAG`
    pub reference: String,
    /// How many changes back, a digest that the tag pointed to, or a time (`2026-11-01`, `2026-11-01T12:00:00Z`)
    #[arg(long, value_name = "N|DIGEST|TIME", default_value = "1")]
    pub to: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

/// Options of `tag undelete`.
#[derive(Args, Debug)]
pub struct UndeleteArgs {
    /// The tag as `NAME:TAG`, or the manifest as `NAME@DIGEST`, which brings its tags back too
    pub reference: String,
    /// Under another name
    #[arg(long = "as", value_name = "TAG")]
    pub name: Option<Tag>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

#[derive(Deserialize)]
struct History {
    changes: Vec<Value>,
}

impl TagCommand {
    /// Where it works.
    pub fn data(&self) -> &DataArg {
        match self {
            Self::Ls(args) => &args.data,
            Self::Add(args) => &args.data,
            Self::Rm(args) => &args.data,
            Self::History(args) => &args.data,
            Self::Rollback(args) => &args.data,
            Self::Undelete(args) => &args.data,
        }
    }
}

/// Runs `larder tag …`.
pub async fn run(command: TagCommand, context: &Context) -> Result {
    match command {
        TagCommand::Ls(args) => {
            let named = Named::repository(&args.name, &args.data, context)?;
            let path = named.path();
            let api = named.target.open().await?;
            let outcome = match args.deleted {
                true => listing::list(&api, &format!("{path}/-/trash"), "manifests", DELETED, context).await,
                false => list(&api, &path, &args, context).await,
            };
            super::closing(outcome, api).await
        }
        TagCommand::Rollback(args) => rollback(args, context).await,
        TagCommand::Undelete(args) => undelete(args, context).await,
        TagCommand::Add(args) => add(args, context).await,
        TagCommand::Rm(args) => remove(args, context).await,
        TagCommand::History(args) => {
            let (named, tag) = Named::tagged(&args.reference, &args.data, context)?;
            let path = format!("{}/-/tags/{tag}/history", named.path());
            let api = named.target.open().await?;
            super::closing(history(&api, &path, context).await, api).await
        }
    }
}

async fn list(api: &ApiClient, path: &str, args: &LsArgs, context: &Context) -> Result {
    let wanted = [
        ("sort", Some(args.sort.clone())),
        ("kind", args.kind.map(|kind| kind.to_string())),
        ("range", args.range.as_ref().map(VersionRange::to_string)),
    ];
    let path = listing::with_query(&format!("{path}/-/tags"), &wanted);
    listing::list(api, &path, "tags", TAGS, context).await
}

const TAGS: &[Column] = &[
    Column { title: "TAG", cell: |tag| text(&tag["name"]) },
    Column { title: "KIND", cell: |tag| text(&tag["kind"]) },
    Column { title: "IS NOW", cell: |tag| text(&tag["current_version"]) },
    Column { title: "DIGEST", cell: |tag| digest(&tag["digest"]) },
    Column { title: "SIZE", cell: |tag| rounded_size(tag["size"].as_u64().unwrap_or(0)) },
    Column { title: "UPDATED", cell: |tag| time(&tag["updated"]) },
    Column { title: "", cell: |tag| if tag["incomplete"] == true { "incomplete".to_owned() } else { String::new() } },
];

const DELETED: &[Column] = &[
    Column { title: "DIGEST", cell: |entry| text(&entry["digest"]) },
    Column { title: "TAGS", cell: |entry| text(&entry["tags"]) },
    Column { title: "SIZE", cell: |entry| rounded_size(entry["size"].as_u64().unwrap_or(0)) },
    Column { title: "DELETED", cell: |entry| time(&entry["deleted"]) },
    Column { title: "BY", cell: |entry| text(&entry["by"]) },
    Column { title: "UNTIL", cell: |entry| time(&entry["until"]) },
];

fn digest(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), short_digest)
}

async fn add(args: AddArgs, context: &Context) -> Result {
    let named = Named::read(&args.reference, &args.data, context)?;
    let path = named.path();
    let reference = match (&named.digest, &named.tag) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) => tag.to_string(),
        (None, None) => return Err(Failure::usage(format!("`{}`: write NAME:TAG or NAME@DIGEST", args.reference))),
    };
    let repository = named.repository.clone();
    let api = named.target.open().await?;
    let work = async {
        for tag in &args.tags {
            let moved: Value =
                api.send(Method::PUT, &format!("{path}/-/tags/{tag}"), &json!({ "reference": reference })).await?;
            let digest = moved["digest"].as_str().unwrap_or_default().to_owned();
            context.emit(&moved, |out| writeln!(out, "{repository}:{tag} -> {digest}"))?;
            let warnings = moved["warnings"].as_array().map_or(&[][..], Vec::as_slice);
            warnings.iter().for_each(|warning| context.note(format_args!("{repository}:{tag}: {}", text(warning))));
        }
        Ok(())
    };
    let outcome = work.await;
    super::closing(outcome, api).await
}

/// Looks at every tag before the first one goes, so that a typing error removes nothing.
async fn remove(args: RmArgs, context: &Context) -> Result {
    let mut paths = Vec::new();
    let mut target = None;
    for reference in &args.references {
        let (named, tag) = Named::tagged(reference, &args.data, context)?;
        paths.push((format!("{}:{tag}", named.repository), format!("{}/-/tags/{tag}", named.path())));
        target = Some(named.target);
    }
    let api = target.ok_or_else(|| Failure::usage("no tag was named"))?.open().await?;
    let work = async {
        let mut preview = String::from("These tags go; their manifests stay and can be pulled by digest:");
        for (name, path) in &paths {
            let found: Value = api.get(path).await.map_err(|failure| failure.about(name))?;
            preview.push_str(&format!("\n  {name} -> {}", found["digest"].as_str().unwrap_or_default()));
        }
        if !context.confirm(args.how, &preview, "Remove them?")? {
            return Ok(());
        }
        for (name, path) in &paths {
            api.delete(path).await.map_err(|failure| failure.about(name))?;
            context.emit(&json!({ "removed": name }), |out| writeln!(out, "{name}"))?;
        }
        Ok(())
    };
    let outcome = work.await;
    super::closing(outcome, api).await
}

async fn history(api: &ApiClient, path: &str, context: &Context) -> Result {
    let mut all = Vec::new();
    api.pages(path, |page: History| {
        all.extend(page.changes);
        Ok(())
    })
    .await?;
    context.emit_list(&all, |out| listing::table(out, CHANGES, &all))
}

const CHANGES: &[Column] = &[
    Column { title: "WHEN", cell: |change| time(&change["at"]) },
    Column { title: "HOW", cell: |change| text(&change["how"]) },
    Column { title: "FROM", cell: |change| digest(&change["from"]) },
    Column { title: "TO", cell: |change| digest(&change["to"]) },
    Column { title: "BY", cell: |change| text(&change["by"]) },
    Column { title: "VERSION", cell: |change| label(change, "org.opencontainers.image.version") },
    Column { title: "COMMIT", cell: |change| label(change, "org.opencontainers.image.revision") },
];

/// A label's value; its first characters are enough of a commit.
fn label(change: &Value, name: &str) -> String {
    change["labels"][name].as_str().map_or_else(|| "-".to_owned(), |value| value.chars().take(12).collect())
}

/// Asks what would happen, shows it, and does that: to the digest that was shown, whatever moves meanwhile.
async fn rollback(args: RollbackArgs, context: &Context) -> Result {
    let (named, tag) = Named::tagged(&args.reference, &args.data, context)?;
    let path = format!("{}/-/tags/{tag}/rollback", named.path());
    let api = named.target.open().await?;
    let work = async {
        let asked = json!({ "to": args.to, "dry_run": true });
        let found: Value = api.send(Method::POST, &path, &asked).await?;
        if found["from"] == found["to"] {
            return context.emit(&found, |out| writeln!(out, "{} is {} already", args.reference, text(&found["to"])));
        }
        let preview =
            format!("{} moves\n  from {}\n  to   {}", args.reference, text(&found["from"]), text(&found["to"]));
        if !context.confirm(args.how, &preview, "Move it?")? {
            return Ok(());
        }
        let moved: Value = api.send(Method::POST, &path, &json!({ "to": found["to"] })).await?;
        context.emit(&moved, |out| writeln!(out, "{} -> {}", args.reference, text(&moved["to"])))
    };
    let outcome = work.await;
    super::closing(outcome, api).await
}

async fn undelete(args: UndeleteArgs, context: &Context) -> Result {
    let named = Named::read(&args.reference, &args.data, context)?;
    let what = match (&named.tag, &named.digest, &args.name) {
        (Some(tag), None, _) => format!("tags/{tag}"),
        (None, Some(digest), None) => format!("manifests/{digest}"),
        (None, Some(_), Some(_)) => return Err(Failure::usage("--as is for a tag; a manifest keeps its digest")),
        _ => return Err(Failure::usage(format!("`{}`: write NAME:TAG or NAME@DIGEST", args.reference))),
    };
    let path = format!("{}/-/{what}/undelete", named.path());
    let repository = named.repository.clone();
    let api = named.target.open().await?;
    let work = async {
        let restored: Value = api.send(Method::POST, &path, &json!({ "as": args.name })).await?;
        context.emit(&restored, |out| match restored["tags"].as_array().map_or(&[][..], Vec::as_slice) {
            [] => writeln!(out, "{repository}@{}", text(&restored["digest"])),
            tags => tags
                .iter()
                .try_for_each(|tag| writeln!(out, "{repository}:{} -> {}", text(tag), text(&restored["digest"]))),
        })
    };
    let outcome = work.await;
    super::closing(outcome, api).await
}
