//! `larder tag`: tags and what they pointed to.

use clap::{Args, Subcommand};
use http::Method;
use larder_oci::Tag;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api_client::ApiClient;
use crate::config::rounded_size;
use crate::context::{Context, DataArg, Destructive, Output};
use crate::named::Named;
use crate::outcome::{Failure, Result};
use crate::table::{short_digest, short_time, write_table};

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
}

/// Options of `tag ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// The repository: `team/model`
    pub name: String,
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

#[derive(Deserialize)]
struct List {
    tags: Vec<Value>,
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
            super::closing(list(&api, &path, context).await, api).await
        }
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

async fn list(api: &ApiClient, path: &str, context: &Context) -> Result {
    let mut all = Vec::new();
    let take = |page: List| {
        if context.output() == Output::Json {
            all.extend(page.tags);
            return Ok(());
        }
        context.emit_list(&page.tags, |out| {
            let rows: Vec<_> = page.tags.iter().map(row).collect();
            if rows.is_empty() {
                Ok(())
            } else {
                let header = ["TAG", "DIGEST", "SIZE", "UPDATED", ""];
                write_table(out, &header, &[false, false, true, false, false], &rows)
            }
        })
    };
    api.pages(&format!("{path}/-/tags"), take).await?;
    if context.output() == Output::Json { context.emit_list(&all, |_| Ok(())) } else { Ok(()) }
}

fn row(tag: &Value) -> Vec<String> {
    vec![
        tag["name"].as_str().unwrap_or_default().to_owned(),
        short_digest(tag["digest"].as_str().unwrap_or_default()),
        rounded_size(tag["size"].as_u64().unwrap_or(0)),
        short_time(tag["updated"].as_str().unwrap_or_default()),
        if tag["incomplete"] == true { "incomplete".to_owned() } else { String::new() },
    ]
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
    context.emit_list(&all, |out| {
        let rows: Vec<_> = all.iter().map(change).collect();
        write_table(out, &["WHEN", "HOW", "FROM", "TO", "BY"], &[false; 5], &rows)
    })
}

fn change(change: &Value) -> Vec<String> {
    let digest = |field: &str| change[field].as_str().map_or_else(|| "-".to_owned(), short_digest);
    vec![
        short_time(change["at"].as_str().unwrap_or_default()),
        change["how"].as_str().unwrap_or_default().to_owned(),
        digest("from"),
        digest("to"),
        change["by"].as_str().unwrap_or_default().to_owned(),
    ]
}
