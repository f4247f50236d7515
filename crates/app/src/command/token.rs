//! `larder token`: what stands in a password's place.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::context::{Context, DataArg, Destructive};
use crate::outcome::{Failure, Result};

use super::listing::{self, Column, MayArgs, encoded, on, seconds, subject, text, time, with_query};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List tokens, without their secrets
    Ls(LsArgs),
    /// Make a token and print it, this once
    Create(CreateArgs),
    /// Print a fresh token that ends by itself, and nothing else: `larder token password | docker login -u NAME --password-stdin HOST`
    Password(PasswordArgs),
    /// Revoke tokens, with everything that was issued for them
    Rm(RmArgs),
}

/// Options of `token ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Whose: `user:NAME` or `robot:NAME`; without it, one's own
    #[arg(long, value_name = "WHO")]
    pub owner: Option<String>,
    /// Everybody's; for administrators
    #[arg(long, conflicts_with = "owner")]
    pub all: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `token create`.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// What to call it
    #[arg(default_value = "", hide_default_value = true)]
    pub name: String,
    /// Whom it speaks for: `robot:NAME`; without it, oneself
    #[arg(long, value_name = "WHO")]
    pub owner: Option<String>,
    /// What it is limited to; it never allows more than its owner may
    #[command(flatten)]
    pub may: MayArgs,
    /// How long it holds, for example `90d`; without it, until it is revoked
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub ttl: Option<u64>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `token password`.
#[derive(Args, Debug)]
pub struct PasswordArgs {
    /// How long it holds
    #[arg(long, value_name = "DURATION", value_parser = seconds, default_value = "12h")]
    pub ttl: u64,
    /// Whom it speaks for: `robot:NAME`; without it, oneself
    #[arg(long, value_name = "WHO")]
    pub owner: Option<String>,
    /// What it is limited to
    #[command(flatten)]
    pub may: MayArgs,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `token rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The ids, as `token ls` shows them
    #[arg(required = true)]
    pub ids: Vec<String>,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

impl TokenCommand {
    /// Where it works.
    pub fn data(&self) -> &DataArg {
        match self {
            Self::Ls(args) => &args.data,
            Self::Create(args) => &args.data,
            Self::Password(args) => &args.data,
            Self::Rm(args) => &args.data,
        }
    }
}

/// Runs `larder token …`.
pub async fn run(command: TokenCommand, context: &Context) -> Result {
    match command {
        TokenCommand::Ls(args) => {
            let owner = if args.all { Some("*".to_owned()) } else { args.owner.as_deref().map(subject) };
            let path = with_query("/api/v1/tokens", &[("owner", owner)]);
            on(&args.data, context, async |api| listing::list(api, &path, "tokens", COLUMNS, context).await).await
        }
        TokenCommand::Create(args) => {
            let asked = asked(args.name, args.owner, &args.may, args.ttl);
            on(&args.data, context, async |api| {
                let made: Value = api.send(Method::POST, "/api/v1/tokens", &asked).await?;
                context.emit(&made, |out| writeln!(out, "{}", text(&made["token"])))?;
                context.note(format_args!(
                    "It is shown this once. Its id is {}; it stands in a password's place, with any user name.",
                    text(&made["id"])
                ));
                Ok(())
            })
            .await
        }
        TokenCommand::Password(args) => {
            let asked = asked("password".to_owned(), args.owner, &args.may, Some(args.ttl));
            on(&args.data, context, async |api| {
                let made: Value = api.send(Method::POST, "/api/v1/tokens", &asked).await?;
                context.emit(&made, |out| writeln!(out, "{}", text(&made["token"])))
            })
            .await
        }
        TokenCommand::Rm(args) => remove(args, context).await,
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "ID", cell: |token| text(&token["id"]) },
    Column { title: "NAME", cell: |token| text(&token["name"]) },
    Column { title: "OWNER", cell: |token| text(&token["owner"]) },
    Column { title: "ACTIONS", cell: |token| text(&token["actions"]) },
    Column { title: "REPOSITORIES", cell: |token| text(&token["repositories"]) },
    Column { title: "EXPIRES", cell: |token| time(&token["expires"]) },
    Column { title: "LAST USED", cell: |token| time(&token["last_used"]) },
    Column { title: "REVOKED", cell: |token| time(&token["revoked"]) },
];

fn asked(name: String, owner: Option<String>, may: &MayArgs, ttl: Option<u64>) -> Value {
    json!({
        "name": name,
        "owner": owner.as_deref().map(subject),
        "actions": may.actions,
        "repositories": may.repositories,
        "expires_in": ttl,
    })
}

async fn remove(args: RmArgs, context: &Context) -> Result {
    let preview = format!("What was issued for these tokens ends with them: {}", args.ids.join(", "));
    if !context.confirm(args.how, &preview, "Revoke them?")? {
        return Ok(());
    }
    on(&args.data, context, async |api| {
        for id in &args.ids {
            if id.starts_with("ldr_") {
                return Err(
                    Failure::usage("this is a token itself, not its id").with_hint("larder token ls shows the ids.")
                );
            }
            api.delete(&format!("/api/v1/tokens/{}", encoded(id))).await.map_err(|failure| failure.about(id))?;
            context.emit(&json!({ "removed": id }), |out| writeln!(out, "{id}"))?;
        }
        Ok(())
    })
    .await
}
