//! `larder grant`: who may do what where.

use clap::{Args, Subcommand};
use http::Method;
use larder_oci::{Action, RepositoryName, RepositoryPattern};
use serde_json::{Value, json};

use crate::context::{Context, DataArg, Destructive};
use crate::outcome::Result;

use super::listing::{self, Column, on, subject, text, time, with_query};
use super::user::{ends_password_file, is_first};

/// What to do with grants.
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// List grants
    Ls(LsArgs),
    /// Allow something, or deny it: `grant add group:ml pull,push 'team/**'`
    Add(AddArgs),
    /// Take grants back
    Rm(RmArgs),
    /// Say what somebody may in a repository, and why
    Explain(ExplainArgs),
}

/// Options of `grant ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Only those about this user, `robot:NAME`, `group:NAME`, `signed-in` or `anonymous`
    #[arg(long, value_name = "WHO")]
    pub subject: Option<String>,
    /// Only those on exactly this pattern
    #[arg(long = "repo", value_name = "PATTERN")]
    pub repositories: Option<RepositoryPattern>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `grant add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// Who: a user's name, `robot:NAME`, `group:NAME`, `signed-in` or `anonymous`
    pub subject: String,
    /// What: `pull`, `push`, `delete`, `tag-move`, `admin`; several with commas
    #[arg(value_delimiter = ',', required = true)]
    pub actions: Vec<Action>,
    /// Where: a repository, or a pattern such as `team/**`
    #[arg(value_name = "PATTERN")]
    pub repositories: RepositoryPattern,
    /// Deny it, whatever else allows it
    #[arg(long)]
    pub deny: bool,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub note: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `grant rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The ids, as `grant ls` shows them
    #[arg(required = true)]
    pub ids: Vec<i64>,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `grant explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Who: a user's name, `robot:NAME` or `anonymous`
    pub identity: String,
    /// The repository, which need not exist
    pub repository: RepositoryName,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

impl GrantCommand {
    /// Where it works.
    pub fn data(&self) -> &DataArg {
        match self {
            Self::Ls(args) => &args.data,
            Self::Add(args) => &args.data,
            Self::Rm(args) => &args.data,
            Self::Explain(args) => &args.data,
        }
    }
}

/// Runs `larder grant …`.
pub async fn run(command: GrantCommand, context: &Context) -> Result {
    match command {
        GrantCommand::Ls(args) => {
            let repositories = args.repositories.as_ref().map(ToString::to_string);
            let filter = [("subject", args.subject.as_deref().map(subject)), ("repositories", repositories)];
            let path = with_query("/api/v1/grants", &filter);
            on(&args.data, context, async |api| listing::list(api, &path, "grants", COLUMNS, context).await).await
        }
        GrantCommand::Add(args) => {
            let asked = json!({
                "subject": subject(&args.subject),
                "actions": args.actions,
                "repositories": args.repositories,
                "effect": if args.deny { "deny" } else { "allow" },
                "note": args.note,
            });
            on(&args.data, context, async |api| {
                if is_first(api).await? && !ends_password_file(api, args.yes, context).await? {
                    return Ok(());
                }
                let made: Value = api.send(Method::POST, "/api/v1/grants", &asked).await?;
                context.emit(&made, |out| writeln!(out, "{}", made["id"]))
            })
            .await
        }
        GrantCommand::Rm(args) => remove(args, context).await,
        GrantCommand::Explain(args) => {
            let about =
                [("identity", Some(subject(&args.identity))), ("repository", Some(args.repository.to_string()))];
            let path = with_query("/api/v1/grants/explain", &about);
            on(&args.data, context, async |api| explain(&api.get(&path).await?, context)).await
        }
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "ID", cell: |grant| text(&grant["id"]) },
    Column { title: "SUBJECT", cell: |grant| text(&grant["subject"]) },
    Column { title: "EFFECT", cell: |grant| text(&grant["effect"]) },
    Column { title: "ACTIONS", cell: |grant| text(&grant["actions"]) },
    Column { title: "REPOSITORIES", cell: |grant| text(&grant["repositories"]) },
    Column { title: "CREATED", cell: |grant| time(&grant["created"]) },
    Column { title: "BY", cell: |grant| text(&grant["created_by"]) },
    Column { title: "NOTE", cell: |grant| text(&grant["note"]) },
];

async fn remove(args: RmArgs, context: &Context) -> Result {
    on(&args.data, context, async |api| {
        let mut found = Vec::new();
        for id in &args.ids {
            found.push(api.get::<Value>(&format!("/api/v1/grants/{id}")).await.map_err(|failure| failure.about(id))?);
        }
        let line = |grant: &Value| {
            let [effect, subject, actions, where_] =
                ["effect", "subject", "actions", "repositories"].map(|field| text(&grant[field]));
            format!("\n  {}: {effect} {subject} {actions} on {where_}", grant["id"])
        };
        let preview = format!("These grants go:{}", found.iter().map(line).collect::<String>());
        if !context.confirm(args.how, &preview, "Take them back?")? {
            return Ok(());
        }
        for id in &args.ids {
            api.delete(&format!("/api/v1/grants/{id}")).await.map_err(|failure| failure.about(id))?;
            context.emit(&json!({ "removed": id }), |out| writeln!(out, "{id}"))?;
        }
        Ok(())
    })
    .await
}

fn explain(found: &Value, context: &Context) -> Result {
    context.emit(found, |out| {
        let visibility = if found["public"] == true { "public" } else { "private" };
        writeln!(out, "{} in {} ({visibility}):", text(&found["identity"]), text(&found["repository"]))?;
        for action in found["actions"].as_array().into_iter().flatten() {
            writeln!(out, "  {:9} {}", text(&action["action"]), if action["allowed"] == true { "yes" } else { "no" })?;
            for reason in action["reasons"].as_array().into_iter().flatten() {
                writeln!(out, "            {}", text(&reason["text"]))?;
            }
        }
        Ok(())
    })
}
