//! `larder repo`: repositories.

use clap::{Args, Subcommand};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api_client::ApiClient;
use crate::config::rounded_size;
use crate::context::{Context, DataArg, Destructive, Output};
use crate::named::Named;
use crate::outcome::Result;
use crate::table::{short_time, write_table};
use crate::target::Target;

/// What to do with repositories.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// List the repositories
    Ls(LsArgs),
    /// Make an empty repository; a push makes one too
    Create(NameArgs),
    /// Show what a repository holds
    Show(NameArgs),
    /// Remove a repository with all its tags and manifests
    Rm(RmArgs),
}

/// Options of `repo ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// A repository.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// The repository: `team/model`
    pub name: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `repo rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The repository
    #[command(flatten)]
    pub named: NameArgs,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

#[derive(Deserialize)]
struct List {
    repositories: Vec<Value>,
}

impl RepoCommand {
    /// Where it works.
    pub fn data(&self) -> &DataArg {
        match self {
            Self::Ls(args) => &args.data,
            Self::Create(args) | Self::Show(args) => &args.data,
            Self::Rm(args) => &args.named.data,
        }
    }
}

/// Runs `larder repo …`.
pub async fn run(command: RepoCommand, context: &Context) -> Result {
    match command {
        RepoCommand::Ls(args) => {
            let api = Target::choose(&args.data, context)?.open().await?;
            super::closing(list(&api, context).await, api).await
        }
        RepoCommand::Create(args) => {
            let named = Named::repository(&args.name, &args.data, context)?;
            let api = named.target.open().await?;
            super::closing(create(&api, named.repository.as_str(), context).await, api).await
        }
        RepoCommand::Show(args) => {
            let named = Named::repository(&args.name, &args.data, context)?;
            let path = named.path();
            let api = named.target.open().await?;
            super::closing(show(&api, &path, context).await, api).await
        }
        RepoCommand::Rm(args) => {
            let named = Named::repository(&args.named.name, &args.named.data, context)?;
            let path = named.path();
            let api = named.target.open().await?;
            super::closing(remove(&api, &path, args.how, context).await, api).await
        }
    }
}

async fn list(api: &ApiClient, context: &Context) -> Result {
    let mut all = Vec::new();
    let take = |page: List| {
        if context.output() == Output::Json {
            all.extend(page.repositories);
            return Ok(());
        }
        context.emit_list(&page.repositories, |out| {
            let rows: Vec<_> = page.repositories.iter().map(row).collect();
            if rows.is_empty() {
                Ok(())
            } else {
                write_table(out, &["NAME", "TAGS", "SIZE", "CREATED"], &[false, true, true, false], &rows)
            }
        })
    };
    api.pages("/api/v1/repositories", take).await?;
    if context.output() == Output::Json { context.emit_list(&all, |_| Ok(())) } else { Ok(()) }
}

fn row(repository: &Value) -> Vec<String> {
    vec![
        repository["name"].as_str().unwrap_or_default().to_owned(),
        repository["tags"].to_string(),
        rounded_size(repository["size"].as_u64().unwrap_or(0)),
        short_time(repository["created"].as_str().unwrap_or_default()),
    ]
}

async fn create(api: &ApiClient, name: &str, context: &Context) -> Result {
    let made: Value = api.send(Method::POST, "/api/v1/repositories", &json!({ "name": name })).await?;
    context.emit(&made, |out| writeln!(out, "{name}"))
}

async fn show(api: &ApiClient, path: &str, context: &Context) -> Result {
    let found: Value = api.get(path).await?;
    context.emit(&found, |out| {
        writeln!(out, "name       {}", found["name"].as_str().unwrap_or_default())?;
        writeln!(out, "created    {}", short_time(found["created"].as_str().unwrap_or_default()))?;
        writeln!(out, "tags       {}", found["tags"])?;
        writeln!(out, "manifests  {}", found["manifests"])?;
        if found["incomplete"] != 0 {
            writeln!(out, "           {} of them incomplete: parts were missing at the push", found["incomplete"])?;
        }
        writeln!(out, "size       {}", rounded_size(found["size"].as_u64().unwrap_or(0)))
    })
}

async fn remove(api: &ApiClient, path: &str, how: Destructive, context: &Context) -> Result {
    let found: Value = api.get(path).await?;
    let name = found["name"].as_str().unwrap_or_default();
    let size = rounded_size(found["size"].as_u64().unwrap_or(0));
    let preview =
        format!("Repository {name} goes, with {} tags and {} manifests ({size}).", found["tags"], found["manifests"]);
    if !context.confirm(how, &preview, "Remove it?")? {
        return Ok(());
    }
    api.delete(path).await?;
    context.emit(&json!({ "removed": name }), |out| writeln!(out, "{name}"))
}
