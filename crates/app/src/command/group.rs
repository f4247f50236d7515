//! `larder group`: users whom grants mean together.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::context::{Context, DataArg, Destructive};
use crate::outcome::{Failure, Result};

use super::listing::{self, Column, Field, encoded, on, text};

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List the groups
    Ls(LsArgs),
    /// Make a group
    Add(AddArgs),
    /// Show a group with its members
    Show(NameArgs),
    /// Change a group: its description, who is in it
    Set(SetArgs),
    /// Remove a group with its grants
    Rm(RmArgs),
}

/// Options of `group ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// A group.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// The group's name
    pub name: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `group add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The group's name
    pub name: String,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub description: String,
    /// A user who is in it; may be given several times
    #[arg(long = "member", value_name = "USER")]
    pub members: Vec<String>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `group set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The group's name
    pub name: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Take a user in; may be given several times
    #[arg(long, value_name = "USER")]
    pub add: Vec<String>,
    /// Take a user out; may be given several times
    #[arg(long, value_name = "USER")]
    pub remove: Vec<String>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `group rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The group
    #[command(flatten)]
    pub named: NameArgs,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

impl GroupCommand {
    /// Where it works.
    pub fn data(&self) -> &DataArg {
        match self {
            Self::Ls(args) => &args.data,
            Self::Add(args) => &args.data,
            Self::Show(args) => &args.data,
            Self::Set(args) => &args.data,
            Self::Rm(args) => &args.named.data,
        }
    }
}

/// Runs `larder group …`.
pub async fn run(command: GroupCommand, context: &Context) -> Result {
    match command {
        GroupCommand::Ls(args) => {
            let columns = [
                Column { title: "NAME", cell: |group| text(&group["name"]) },
                Column { title: "DESCRIPTION", cell: |group| text(&group["description"]) },
            ];
            on(&args.data, context, async |api| listing::list(api, "/api/v1/groups", "groups", &columns, context).await)
                .await
        }
        GroupCommand::Add(args) => {
            let asked = json!({ "name": args.name, "description": args.description });
            on(&args.data, context, async |api| {
                let made: Value = api.send(Method::POST, "/api/v1/groups", &asked).await?;
                for user in &args.members {
                    api.tell(Method::PUT, &member(&args.name, user), &json!({}))
                        .await
                        .map_err(|failure| failure.about(user))?;
                }
                context.emit(&made, |out| writeln!(out, "{}", args.name))
            })
            .await
        }
        GroupCommand::Show(args) => on(&args.data, context, async |api| show(api, &args.name, context).await).await,
        GroupCommand::Set(args) => set(args, context).await,
        GroupCommand::Rm(args) => {
            let (name, path) = (&args.named.name, path(&args.named.name));
            on(&args.named.data, context, async |api| {
                let _: Value = api.get(&path).await?;
                let preview = format!("Group {name} goes, with all grants to it. Its members stay users.");
                if !context.confirm(args.how, &preview, "Remove the group?")? {
                    return Ok(());
                }
                api.delete(&path).await?;
                context.emit(&json!({ "removed": name }), |out| writeln!(out, "{name}"))
            })
            .await
        }
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/groups/{}", encoded(name))
}

fn member(group: &str, user: &str) -> String {
    format!("{}/members/{}", path(group), encoded(user))
}

async fn show(api: &crate::api_client::ApiClient, name: &str, context: &Context) -> Result {
    let mut group: Value = api.get(&path(name)).await?;
    let mut members = Vec::new();
    api.pages(&format!("{}/members", path(name)), |page: Value| {
        members.extend(page["members"].as_array().cloned().unwrap_or_default());
        Ok(())
    })
    .await?;
    group["members"] = Value::Array(members);
    let fields: &[Field] = &[
        ("name", |group| text(&group["name"])),
        ("description", |group| text(&group["description"])),
        ("members", |group| text(&group["members"])),
    ];
    listing::document(&group, fields, context)
}

async fn set(args: SetArgs, context: &Context) -> Result {
    if args.description.is_none() && args.add.is_empty() && args.remove.is_empty() {
        return Err(
            Failure::usage("nothing is to be changed").with_hint("Write --description, --add USER or --remove USER.")
        );
    }
    on(&args.data, context, async |api| {
        if let Some(description) = &args.description {
            let _: Value = api.send(Method::PATCH, &path(&args.name), &json!({ "description": description })).await?;
        }
        for user in &args.add {
            api.tell(Method::PUT, &member(&args.name, user), &json!({}))
                .await
                .map_err(|failure| failure.about(user))?;
        }
        for user in &args.remove {
            api.delete(&member(&args.name, user)).await.map_err(|failure| failure.about(user))?;
        }
        show(api, &args.name, context).await
    })
    .await
}
