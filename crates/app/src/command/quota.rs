//! `larder quota`: how much the repositories of a pattern may hold.

use clap::{Args, Subcommand};
use http::Method;
use larder_oci::RepositoryPattern;
use serde_json::{Value, json};

use crate::config::{parse_size, rounded_size};
use crate::context::{Context, DataArg, Destructive};
use crate::outcome::{Exit, Failure, Result};

use super::listing::{self, Column, Field, on, text, time};

/// What to do with quotas.
#[derive(Debug, Subcommand)]
pub enum QuotaCommand {
    /// List quotas, with what is used of them
    Ls(LsArgs),
    /// Set a quota, or change it: `quota set 'team/**' --bytes 500GiB`
    Set(SetArgs),
    /// Remove a quota
    Rm(RmArgs),
}

/// Options of `quota ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `quota set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The repositories: one, or a pattern such as `team/**`
    #[arg(value_name = "PATTERN")]
    pub repositories: RepositoryPattern,
    /// Bytes that they may hold together: `500GiB`
    #[arg(long, value_name = "SIZE", value_parser = parse_size, required_unless_present = "manifests")]
    pub bytes: Option<u64>,
    /// Manifests that they may hold together
    #[arg(long, value_name = "COUNT")]
    pub manifests: Option<u64>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `quota rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The pattern, as `quota ls` shows it
    #[arg(value_name = "PATTERN")]
    pub repositories: RepositoryPattern,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

impl QuotaCommand {
    /// Where it works.
    pub fn data(&self) -> &DataArg {
        match self {
            Self::Ls(args) => &args.data,
            Self::Set(args) => &args.data,
            Self::Rm(args) => &args.data,
        }
    }
}

/// Runs `larder quota …`.
pub async fn run(command: QuotaCommand, context: &Context) -> Result {
    match command {
        QuotaCommand::Ls(args) => {
            on(&args.data, context, async |api| listing::list(api, "/api/v1/quotas", "quotas", COLUMNS, context).await)
                .await
        }
        QuotaCommand::Set(args) => {
            let asked = json!({ "repositories": args.repositories, "bytes": args.bytes, "manifests": args.manifests });
            on(&args.data, context, async |api| {
                let quota: Value = api.send(Method::PUT, "/api/v1/quotas", &asked).await?;
                listing::document(&quota, FIELDS, context)
            })
            .await
        }
        QuotaCommand::Rm(args) => remove(args, context).await,
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "REPOSITORIES", cell: |quota| text(&quota["repositories"]) },
    Column { title: "BYTES", cell: |quota| size(&quota["bytes"]) },
    Column { title: "USED", cell: |quota| size(&quota["used_bytes"]) },
    Column { title: "RESERVED", cell: |quota| size(&quota["reserved_bytes"]) },
    Column { title: "MANIFESTS", cell: |quota| text(&quota["manifests"]) },
    Column { title: "USED", cell: |quota| text(&quota["used_manifests"]) },
    Column { title: "SET", cell: |quota| time(&quota["changed"]) },
    Column { title: "BY", cell: |quota| text(&quota["changed_by"]) },
];

const FIELDS: &[Field] = &[
    ("repositories", |quota| text(&quota["repositories"])),
    ("bytes", |quota| size(&quota["bytes"])),
    ("used bytes", |quota| size(&quota["used_bytes"])),
    ("reserved bytes", |quota| size(&quota["reserved_bytes"])),
    ("manifests", |quota| text(&quota["manifests"])),
    ("used manifests", |quota| text(&quota["used_manifests"])),
];

fn size(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), rounded_size)
}

async fn remove(args: RmArgs, context: &Context) -> Result {
    on(&args.data, context, async |api| {
        let mut id = None;
        api.pages("/api/v1/quotas", |page: Value| {
            let quotas = page["quotas"].as_array().into_iter().flatten();
            let wanted = args.repositories.as_str();
            id = id.or_else(|| quotas.into_iter().find(|quota| quota["repositories"] == wanted)?["id"].as_i64());
            Ok(())
        })
        .await?;
        let Some(id) = id else {
            return Err(Failure::new(Exit::NotFound, format!("there is no quota of {}", args.repositories)));
        };
        let preview =
            format!("The repositories that {} matches may hold as much as there is room for.", args.repositories);
        if !context.confirm(args.how, &preview, "Remove the quota?")? {
            return Ok(());
        }
        api.delete(&format!("/api/v1/quotas/{id}")).await?;
        context.emit(&json!({ "removed": args.repositories }), |out| writeln!(out, "{}", args.repositories))
    })
    .await
}
