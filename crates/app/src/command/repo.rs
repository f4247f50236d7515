//! `larder repo`: repositories.

use clap::{Args, Subcommand};
use http::Method;
use larder_oci::RepositoryName;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api_client::ApiClient;
use crate::config::rounded_size;
use crate::context::{Context, DataArg, Destructive, Output};
use crate::named::Named;
use crate::outcome::{Failure, Result};
use crate::table::{short_time, write_table};
use crate::target::Target;

/// What to do with repositories.
#[derive(Debug, Subcommand)]
pub enum RepoCommand {
    /// List the repositories
    Ls(LsArgs),
    /// Make an empty repository; a push makes one too
    Create(CreateArgs),
    /// Show what a repository holds
    Show(NameArgs),
    /// Change who may see a repository, and its description
    Set(SetArgs),
    /// Remove a repository with all its tags and manifests
    Rm(RmArgs),
    /// Bring a removed repository back with all that was in it
    Undelete(UndeleteArgs),
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

/// Options of `repo create`.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// The repository
    #[command(flatten)]
    pub named: NameArgs,
    /// Who sees it
    #[command(flatten)]
    pub visibility: Visibility,
    /// What it holds
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

/// Options of `repo set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The repository
    #[command(flatten)]
    pub named: NameArgs,
    /// Who sees it
    #[command(flatten)]
    pub visibility: Visibility,
    /// What it holds; an empty text takes it away
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

/// Who may pull from a repository.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Visibility {
    /// Anybody may pull, without logging in
    #[arg(long)]
    pub public: bool,
    /// Only who was granted it
    #[arg(long, conflicts_with = "public")]
    pub private: bool,
}

impl Visibility {
    /// What was said about it.
    fn wanted(self) -> Option<bool> {
        (self.public || self.private).then_some(self.public)
    }
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

/// Options of `repo undelete`.
#[derive(Args, Debug)]
pub struct UndeleteArgs {
    /// The name it had
    #[command(flatten)]
    pub named: NameArgs,
    /// Under another name
    #[arg(id = "as", long = "as", value_name = "NAME")]
    pub name: Option<RepositoryName>,
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
            Self::Show(args) => &args.data,
            Self::Create(args) => &args.named.data,
            Self::Set(args) => &args.named.data,
            Self::Rm(args) => &args.named.data,
            Self::Undelete(args) => &args.named.data,
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
            let named = Named::repository(&args.named.name, &args.named.data, context)?;
            let asked = json!({
                "name": named.repository,
                "public": args.visibility.wanted(),
                "description": args.description,
            });
            let api = named.target.open().await?;
            super::closing(create(&api, named.repository.as_str(), &asked, context).await, api).await
        }
        RepoCommand::Show(args) => {
            let named = Named::repository(&args.name, &args.data, context)?;
            let path = named.path();
            let api = named.target.open().await?;
            super::closing(show(&api, &path, context).await, api).await
        }
        RepoCommand::Set(args) => {
            let named = Named::repository(&args.named.name, &args.named.data, context)?;
            let path = named.path();
            let api = named.target.open().await?;
            super::closing(set(&api, &path, &args, context).await, api).await
        }
        RepoCommand::Undelete(args) => {
            let named = Named::repository(&args.named.name, &args.named.data, context)?;
            let path = format!("{}/-/undelete", named.path());
            let api = named.target.open().await?;
            super::closing(undelete(&api, &path, &args, context).await, api).await
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
                write_table(
                    out,
                    &["NAME", "VISIBILITY", "TAGS", "SIZE", "CREATED"],
                    &[false, false, true, true, false],
                    &rows,
                )
            }
        })
    };
    api.pages("/api/v1/repositories", take).await?;
    if context.output() == Output::Json { context.emit_list(&all, |_| Ok(())) } else { Ok(()) }
}

fn row(repository: &Value) -> Vec<String> {
    vec![
        repository["name"].as_str().unwrap_or_default().to_owned(),
        visibility(repository),
        repository["tags"].to_string(),
        rounded_size(repository["size"].as_u64().unwrap_or(0)),
        short_time(repository["created"].as_str().unwrap_or_default()),
    ]
}

fn visibility(repository: &Value) -> String {
    if repository["public"] == true { "public" } else { "private" }.to_owned()
}

async fn set(api: &ApiClient, path: &str, args: &SetArgs, context: &Context) -> Result {
    let mut change = serde_json::Map::new();
    if let Some(public) = args.visibility.wanted() {
        change.insert("public".to_owned(), public.into());
    }
    if let Some(description) = &args.description {
        change.insert("description".to_owned(), description.as_str().into());
    }
    if change.is_empty() {
        return Err(Failure::usage("nothing is to be changed").with_hint("Write --public, --private or --description."));
    }
    let changed: Value = api.send(Method::PATCH, path, &Value::Object(change)).await?;
    context.emit(&changed, |out| writeln!(out, "{}  {}", args.named.name, visibility(&changed)))
}

async fn undelete(api: &ApiClient, path: &str, args: &UndeleteArgs, context: &Context) -> Result {
    let restored: Value = api.send(Method::POST, path, &json!({ "as": args.name })).await?;
    context.emit(&restored, |out| {
        let name = restored["name"].as_str().unwrap_or_default();
        writeln!(out, "{name} is there again: {} tags, {} manifests", restored["tags"], restored["manifests"])
    })
}

async fn create(api: &ApiClient, name: &str, asked: &Value, context: &Context) -> Result {
    let made: Value = api.send(Method::POST, "/api/v1/repositories", asked).await?;
    context.emit(&made, |out| writeln!(out, "{name}"))
}

async fn show(api: &ApiClient, path: &str, context: &Context) -> Result {
    let found: Value = api.get(path).await?;
    context.emit(&found, |out| {
        writeln!(out, "name       {}", found["name"].as_str().unwrap_or_default())?;
        writeln!(out, "visibility {}", visibility(&found))?;
        if let Some(description) = found["description"].as_str().filter(|text| !text.is_empty()) {
            writeln!(out, "about      {description}")?;
        }
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
