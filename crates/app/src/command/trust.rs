//! `larder trust`: whose identity tokens are taken, so that a job in CI needs no secret.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::context::{Context, DataArg, Destructive};
use crate::outcome::{Failure, Result};

use super::listing::{self, Column, Field, MayArgs, encoded, on, seconds, text, time};

/// Issuers that have a name of their own.
const ISSUERS: &[(&str, &str)] =
    &[("github", "https://token.actions.githubusercontent.com"), ("gitlab", "https://gitlab.com")];

/// What to do with trusts.
#[derive(Debug, Subcommand)]
pub enum TrustCommand {
    /// List the trusts
    Ls(LsArgs),
    /// Take the tokens of an issuer
    Add(Box<AddArgs>),
    /// Show a trust
    Show(NameArgs),
    /// Take a trust out of use, or into use again
    Set(SetArgs),
    /// Remove a trust; what was issued for its tokens ends
    Rm(RmArgs),
}

/// Options of `trust ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// A trust.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// The trust's name
    pub name: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `trust add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The trust's name
    pub name: String,
    /// The issuer, exactly as its tokens write it; `github` and `gitlab` stand for theirs
    #[arg(long, value_name = "URL")]
    pub issuer: String,
    /// The audience that tokens must be for
    #[arg(long, value_name = "TEXT")]
    pub audience: String,
    /// What a claim must be, as `NAME=VALUE`, several values with commas, `*` for any characters; all of these together. On an issuer that
    /// everybody shares one fixes the owner by its id: `repository_owner_id=…` (GitHub), `namespace_id=…` (GitLab)
    #[arg(long = "claim", value_name = "NAME=VALUE", required = true, value_parser = claim)]
    pub claims: Vec<(String, Vec<String>)>,
    /// What it gives
    #[command(flatten)]
    pub may: MayArgs,
    /// How long what a token is exchanged for holds
    #[arg(long, value_name = "DURATION", value_parser = seconds, default_value = "1h")]
    pub ttl: u64,
    /// How old a token may be
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    pub max_age: Option<u64>,
    /// Take each token once; jobs that log in twice cannot use such a trust
    #[arg(long)]
    pub single_use: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `trust set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The trust's name
    pub name: String,
    /// Take no token under it
    #[arg(long)]
    pub disable: bool,
    /// Take tokens under it again
    #[arg(long, conflicts_with = "disable")]
    pub enable: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `trust rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The trust
    #[command(flatten)]
    pub named: NameArgs,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

impl TrustCommand {
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

/// Runs `larder trust …`.
pub async fn run(command: TrustCommand, context: &Context) -> Result {
    match command {
        TrustCommand::Ls(args) => {
            let columns = [
                Column { title: "NAME", cell: |trust| text(&trust["name"]) },
                Column { title: "ISSUER", cell: |trust| text(&trust["issuer"]) },
                Column { title: "CLAIMS", cell: claims },
                Column { title: "ACTIONS", cell: |trust| text(&trust["actions"]) },
                Column { title: "REPOSITORIES", cell: |trust| text(&trust["repositories"]) },
                Column { title: "DISABLED", cell: |trust| text(&trust["disabled"]) },
            ];
            on(&args.data, context, async |api| listing::list(api, "/api/v1/trusts", "trusts", &columns, context).await)
                .await
        }
        TrustCommand::Add(args) => add(*args, context).await,
        TrustCommand::Show(args) => {
            on(&args.data, context, async |api| show(&api.get(&path(&args.name)).await?, context)).await
        }
        TrustCommand::Set(args) => {
            if !args.disable && !args.enable {
                return Err(Failure::usage("nothing is to be changed").with_hint("Write --disable or --enable."));
            }
            let change = json!({ "disabled": args.disable });
            on(&args.data, context, async |api| {
                show(&api.send(Method::PATCH, &path(&args.name), &change).await?, context)
            })
            .await
        }
        TrustCommand::Rm(args) => {
            let (name, path) = (&args.named.name, path(&args.named.name));
            on(&args.named.data, context, async |api| {
                let _: Value = api.get(&path).await?;
                let preview = format!("Trust {name} goes; what was issued for its tokens ends.");
                if !context.confirm(args.how, &preview, "Remove the trust?")? {
                    return Ok(());
                }
                api.delete(&path).await?;
                context.emit(&json!({ "removed": name }), |out| writeln!(out, "{name}"))
            })
            .await
        }
    }
}

async fn add(args: AddArgs, context: &Context) -> Result {
    if args.may.repositories.is_empty() {
        return Err(Failure::usage("where it gives something is not said").with_hint("Write --repo 'team/**'."));
    }
    let issuer = ISSUERS.iter().find(|(name, _)| *name == args.issuer).map_or(args.issuer.as_str(), |(_, url)| url);
    let conditions: Vec<_> =
        args.claims.iter().map(|(claim, values)| json!({ "claim": claim, "values": values })).collect();
    let asked = json!({
        "name": args.name,
        "issuer": issuer,
        "audience": args.audience,
        "conditions": conditions,
        "actions": args.may.actions,
        "repositories": args.may.repositories,
        "single_use": args.single_use,
        "max_age": args.max_age,
        "expires_in": args.ttl,
    });
    on(&args.data, context, async |api| {
        let made: Value = api.send(Method::POST, "/api/v1/trusts", &asked).await?;
        context.emit(&made, |out| writeln!(out, "{}", args.name))
    })
    .await
}

fn path(name: &str) -> String {
    format!("/api/v1/trusts/{}", encoded(name))
}

/// `NAME=VALUE[,VALUE…]`.
fn claim(text: &str) -> std::result::Result<(String, Vec<String>), String> {
    let wrong = || format!("`{text}`: write NAME=VALUE, for example ref=refs/heads/main");
    let (name, values) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    let values: Vec<String> = values.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect();
    if values.is_empty() { Err(wrong()) } else { Ok((name.to_owned(), values)) }
}

fn claims(trust: &Value) -> String {
    let conditions = trust["conditions"].as_array().into_iter().flatten();
    let shown: Vec<_> = conditions.map(|one| format!("{}={}", text(&one["claim"]), text(&one["values"]))).collect();
    shown.join(" ")
}

fn show(trust: &Value, context: &Context) -> Result {
    let fields: &[Field] = &[
        ("name", |trust| text(&trust["name"])),
        ("issuer", |trust| text(&trust["issuer"])),
        ("audience", |trust| text(&trust["audience"])),
        ("claims", claims),
        ("actions", |trust| text(&trust["actions"])),
        ("repositories", |trust| text(&trust["repositories"])),
        ("single use", |trust| text(&trust["single_use"])),
        ("disabled", |trust| text(&trust["disabled"])),
        ("created", |trust| time(&trust["created"])),
        ("created by", |trust| text(&trust["created_by"])),
    ];
    listing::document(trust, fields, context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_has_a_name_and_values() {
        assert_eq!(
            claim("ref=refs/heads/main,refs/tags/*"),
            Ok(("ref".to_owned(), vec!["refs/heads/main".to_owned(), "refs/tags/*".to_owned()]))
        );
        assert_eq!(claim("sub=a=b"), Ok(("sub".to_owned(), vec!["a=b".to_owned()])));
        for wrong in ["ref", "=x", "ref="] {
            assert!(claim(wrong).is_err(), "{wrong}");
        }
    }
}
