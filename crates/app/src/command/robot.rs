//! `larder robot`: accounts for machines.

use clap::{Args, Subcommand};
use http::Method;
use larder_oci::{Action, RepositoryPattern};
use serde_json::{Value, json};

use crate::context::{Context, DataArg, Destructive};
use crate::outcome::{Failure, Result};

use super::listing::{self, Column, Field, encoded, on, text, time};
use super::user::{ends_password_file, is_first};

/// What to do with robots.
#[derive(Debug, Subcommand)]
pub enum RobotCommand {
    /// List the robots
    Ls(LsArgs),
    /// Make a robot; `larder token create --owner robot:NAME` makes its tokens
    Add(AddArgs),
    /// Show a robot
    Show(NameArgs),
    /// Change a robot
    Set(SetArgs),
    /// Remove a robot with its grants and tokens
    Rm(RmArgs),
}

/// Options of `robot ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// A robot.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// The robot's name
    pub name: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `robot add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The robot's name
    pub name: String,
    /// What its rights never reach beyond, for example `team/**`; whoever administers that administers the robot
    #[arg(long = "repo", value_name = "PATTERN")]
    pub repositories: RepositoryPattern,
    /// What it may do there: `pull`, `push`, `delete`, `tag-move`, `admin`; several with commas
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',', default_value = "pull,push")]
    pub actions: Vec<Action>,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub description: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `robot set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The robot's name
    pub name: String,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// Refuse its tokens
    #[arg(long)]
    pub disable: bool,
    /// Take its tokens again
    #[arg(long, conflicts_with = "disable")]
    pub enable: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `robot rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The robot
    #[command(flatten)]
    pub named: NameArgs,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

impl RobotCommand {
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

/// Runs `larder robot …`.
pub async fn run(command: RobotCommand, context: &Context) -> Result {
    match command {
        RobotCommand::Ls(args) => {
            let columns = [
                Column { title: "NAME", cell: |robot| text(&robot["name"]) },
                Column { title: "REPOSITORIES", cell: |robot| text(&robot["repositories"]) },
                Column { title: "DISABLED", cell: |robot| text(&robot["disabled"]) },
                Column { title: "LAST SEEN", cell: |robot| time(&robot["last_seen"]) },
                Column { title: "DESCRIPTION", cell: |robot| text(&robot["description"]) },
            ];
            on(&args.data, context, async |api| listing::list(api, "/api/v1/robots", "robots", &columns, context).await)
                .await
        }
        RobotCommand::Add(args) => {
            let asked = json!({
                "name": args.name,
                "repositories": args.repositories,
                "actions": args.actions,
                "description": args.description,
            });
            on(&args.data, context, async |api| {
                if is_first(api).await? && !ends_password_file(api, args.yes, context).await? {
                    return Ok(());
                }
                let made: Value = api.send(Method::POST, "/api/v1/robots", &asked).await?;
                context.emit(&made, |out| writeln!(out, "{}", args.name))?;
                context.note(format_args!("Its token: larder token create --owner robot:{}", args.name));
                Ok(())
            })
            .await
        }
        RobotCommand::Show(args) => {
            on(&args.data, context, async |api| show(&api.get(&path(&args.name)).await?, context)).await
        }
        RobotCommand::Set(args) => set(args, context).await,
        RobotCommand::Rm(args) => {
            let (name, path) = (&args.named.name, path(&args.named.name));
            on(&args.named.data, context, async |api| {
                let _: Value = api.get(&path).await?;
                let preview = format!("Robot {name} goes, with its grants and tokens.");
                if !context.confirm(args.how, &preview, "Remove the robot?")? {
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
    format!("/api/v1/robots/{}", encoded(name))
}

fn show(robot: &Value, context: &Context) -> Result {
    let fields: &[Field] = &[
        ("name", |robot| text(&robot["name"])),
        ("repositories", |robot| text(&robot["repositories"])),
        ("disabled", |robot| text(&robot["disabled"])),
        ("description", |robot| text(&robot["description"])),
        ("created", |robot| time(&robot["created"])),
        ("created by", |robot| text(&robot["created_by"])),
        ("last seen", |robot| time(&robot["last_seen"])),
    ];
    listing::document(robot, fields, context)
}

async fn set(args: SetArgs, context: &Context) -> Result {
    let mut change = serde_json::Map::new();
    if let Some(description) = args.description {
        change.insert("description".to_owned(), description.into());
    }
    if args.disable || args.enable {
        change.insert("disabled".to_owned(), args.disable.into());
    }
    if change.is_empty() {
        return Err(Failure::usage("nothing is to be changed").with_hint("Write --description, --disable or --enable."));
    }
    on(&args.data, context, async |api| {
        show(&api.send(Method::PATCH, &path(&args.name), &Value::Object(change)).await?, context)
    })
    .await
}
