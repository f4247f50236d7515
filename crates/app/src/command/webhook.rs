//! `larder webhook`: who is told of what happens here, and what was told.

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use http::Method;
use larder_oci::RepositoryPattern;
use serde_json::{Map, Value, json};

use crate::api_client::ApiClient;
use crate::context::{Context, DataArg, Destructive};
use crate::outcome::{Exit, Failure, Result};
use crate::prompt;

use super::listing::{self, Column, Field, encoded, on, text, time, with_query};

const FORMATS: [&str; 3] = ["cloudevents", "registry2", "slack"];
const KINDS: [&str; 8] = ["push", "pull", "tag", "delete", "promote", "policy", "scan", "quarantine"];
/// How long `webhook test` waits for the outcome, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// List the webhooks
    Ls(LsArgs),
    /// Have a listener told of what happens from now on; the secret that its messages are signed with is shown once
    Add(Box<AddArgs>),
    /// Show a webhook
    Show(NameArgs),
    /// Change a webhook
    Set(Box<SetArgs>),
    /// Remove a webhook, with what waits for it
    Rm(RmArgs),
    /// List what a webhook was told and what waits for it, the newest first
    Deliveries(DeliveriesArgs),
    /// Tell it again
    Redeliver(RedeliverArgs),
    /// Tell a webhook something that did not happen, and say how it went
    Test(NameArgs),
}

/// Options of `webhook ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// A webhook.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// The webhook's name
    pub name: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// What a webhook is told.
#[derive(Args, Debug)]
pub struct WantArgs {
    /// In which words: CloudEvents, those of `registry:2`, or a text as Slack takes it
    #[arg(long, value_parser = FORMATS)]
    pub format: Option<String>,
    /// Of which kinds of events, several with commas; without, of all that the format has words for, but pulls
    #[arg(long, value_name = "KINDS", value_delimiter = ',', value_parser = KINDS)]
    pub events: Vec<String>,
    /// Of which repositories: a name, or a pattern such as `team/**`; may be given several times
    #[arg(long = "repo", value_name = "PATTERN")]
    pub repositories: Vec<RepositoryPattern>,
    /// Of which tags, `*` for any characters; then it hears of nothing that has no tag
    #[arg(long, value_name = "PATTERN")]
    pub tags: Option<String>,
    /// Read the secret from standard input, where the listener has one already (`whsec_…`)
    #[arg(long)]
    pub secret_stdin: bool,
}

/// Options of `webhook add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The webhook's name
    pub name: String,
    /// Where it is told: `https://…` or `http://…`
    pub url: String,
    /// What it is told
    #[command(flatten)]
    pub wants: WantArgs,
    /// Let it be at an address that is not public
    #[arg(long)]
    pub allow_private: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `webhook set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The webhook's name
    pub name: String,
    /// Where it is told
    #[arg(long)]
    pub url: Option<String>,
    /// What it is told
    #[command(flatten)]
    pub wants: WantArgs,
    /// Tell it of every tag, and of what has none
    #[arg(long, conflicts_with = "tags")]
    pub all_tags: bool,
    /// Let it be at an address that is not public
    #[arg(long)]
    pub allow_private: bool,
    /// Keep it to public addresses again
    #[arg(long, conflicts_with = "allow_private")]
    pub deny_private: bool,
    /// Make a new secret, and show it once
    #[arg(long, conflicts_with = "secret_stdin")]
    pub new_secret: bool,
    /// Tell it nothing
    #[arg(long)]
    pub disable: bool,
    /// Tell it of what happens from now on
    #[arg(long, conflicts_with = "disable")]
    pub enable: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `webhook rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The webhook
    #[command(flatten)]
    pub named: NameArgs,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

/// Options of `webhook deliveries`.
#[derive(Args, Debug)]
pub struct DeliveriesArgs {
    /// The webhook
    #[command(flatten)]
    pub named: NameArgs,
    /// Only those in this state
    #[arg(long, value_parser = ["waiting", "done", "parked"])]
    pub state: Option<String>,
}

/// Options of `webhook redeliver`.
#[derive(Args, Debug)]
pub struct RedeliverArgs {
    /// The webhook
    #[command(flatten)]
    pub named: NameArgs,
    /// The ids of deliveries, as `webhook deliveries` shows them
    #[arg(value_name = "ID", required_unless_present = "parked")]
    pub ids: Vec<i64>,
    /// All that were given up, the oldest first
    #[arg(long, conflicts_with = "ids")]
    pub parked: bool,
}

impl WebhookCommand {
    /// Where it works.
    pub fn data(&self) -> &DataArg {
        match self {
            Self::Ls(args) => &args.data,
            Self::Add(args) => &args.data,
            Self::Show(args) | Self::Test(args) => &args.data,
            Self::Set(args) => &args.data,
            Self::Rm(args) => &args.named.data,
            Self::Deliveries(args) => &args.named.data,
            Self::Redeliver(args) => &args.named.data,
        }
    }
}

/// Runs `larder webhook …`.
pub async fn run(command: WebhookCommand, context: &Context) -> Result {
    match command {
        WebhookCommand::Ls(args) => ls(&args, context).await,
        WebhookCommand::Add(args) => add(*args, context).await,
        WebhookCommand::Show(args) => {
            on(&args.data, context, async |api| show(&api.get(&path(&args.name)).await?, context)).await
        }
        WebhookCommand::Set(args) => set(*args, context).await,
        WebhookCommand::Rm(args) => rm(&args, context).await,
        WebhookCommand::Deliveries(args) => deliveries(&args, context).await,
        WebhookCommand::Redeliver(args) => {
            on(&args.named.data, context, async |api| redeliver(api, &args, context).await).await
        }
        WebhookCommand::Test(args) => on(&args.data, context, async |api| test(api, &args.name, context).await).await,
    }
}

async fn ls(args: &LsArgs, context: &Context) -> Result {
    let columns = [
        Column { title: "NAME", cell: |webhook| text(&webhook["name"]) },
        Column { title: "URL", cell: |webhook| text(&webhook["url"]) },
        Column { title: "FORMAT", cell: |webhook| text(&webhook["format"]) },
        Column { title: "EVENTS", cell: |webhook| text(&webhook["events"]) },
        Column { title: "REPOSITORIES", cell: |webhook| text(&webhook["repositories"]) },
        Column { title: "WAITING", cell: |webhook| text(&webhook["waiting"]) },
        Column { title: "PARKED", cell: |webhook| text(&webhook["parked"]) },
        Column { title: "DISABLED", cell: |webhook| text(&webhook["disabled"]) },
    ];
    on(&args.data, context, async |api| listing::list(api, "/api/v1/webhooks", "webhooks", &columns, context).await)
        .await
}

async fn add(args: AddArgs, context: &Context) -> Result {
    let mut asked = wanted(&args.wants)?;
    asked.insert("name".to_owned(), args.name.as_str().into());
    asked.insert("url".to_owned(), args.url.into());
    asked.insert("private".to_owned(), args.allow_private.into());
    on(&args.data, context, async |api| {
        let made: Value = api.send(Method::POST, "/api/v1/webhooks", &Value::Object(asked.clone())).await?;
        if made["secret"].is_string() {
            context.note("The secret that its messages are signed with is shown this once.");
        }
        context.emit(&made, |out| match made["secret"].as_str() {
            Some(secret) => writeln!(out, "{secret}"),
            None => writeln!(out, "{}", args.name),
        })
    })
    .await
}

async fn set(args: SetArgs, context: &Context) -> Result {
    let mut change = wanted(&args.wants)?;
    let mut put = |name: &str, value: Value| drop(change.insert(name.to_owned(), value));
    if let Some(url) = args.url {
        put("url", url.into());
    }
    if args.all_tags {
        put("tags", Value::Null);
    }
    if args.allow_private || args.deny_private {
        put("private", args.allow_private.into());
    }
    if args.disable || args.enable {
        put("disabled", args.disable.into());
    }
    if args.new_secret {
        put("new_secret", true.into());
    }
    if change.is_empty() {
        return Err(
            Failure::usage("nothing is to be changed").with_hint("`larder webhook set --help` says what can be.")
        );
    }
    on(&args.data, context, async |api| {
        let changed = api.send(Method::PATCH, &path(&args.name), &Value::Object(change.clone())).await?;
        show(&changed, context)
    })
    .await
}

/// What is said about what a webhook is told.
fn wanted(wants: &WantArgs) -> Result<Map<String, Value>> {
    let mut asked = Map::new();
    if let Some(format) = &wants.format {
        asked.insert("format".to_owned(), format.as_str().into());
    }
    if !wants.events.is_empty() {
        asked.insert("events".to_owned(), json!(wants.events));
    }
    if !wants.repositories.is_empty() {
        let patterns: Vec<String> = wants.repositories.iter().map(ToString::to_string).collect();
        asked.insert("repositories".to_owned(), json!(patterns));
    }
    if let Some(tags) = &wants.tags {
        asked.insert("tags".to_owned(), tags.as_str().into());
    }
    if wants.secret_stdin {
        asked.insert("secret".to_owned(), prompt::from_stdin()?.into());
    }
    Ok(asked)
}

async fn rm(args: &RmArgs, context: &Context) -> Result {
    let (name, path) = (&args.named.name, path(&args.named.name));
    on(&args.named.data, context, async |api| {
        let webhook: Value = api.get(&path).await?;
        let preview = format!("Webhook {name} goes, and {} deliveries that wait with it.", text(&webhook["waiting"]));
        if !context.confirm(args.how, &preview, "Remove the webhook?")? {
            return Ok(());
        }
        api.delete(&path).await?;
        context.emit(&json!({ "removed": name }), |out| writeln!(out, "{name}"))
    })
    .await
}

async fn deliveries(args: &DeliveriesArgs, context: &Context) -> Result {
    let columns = [
        Column { title: "ID", cell: |delivery| text(&delivery["id"]) },
        Column { title: "QUEUED", cell: |delivery| time(&delivery["created"]) },
        Column { title: "EVENT", cell: |delivery| text(&delivery["event"]["event"]) },
        Column { title: "OF", cell: subject },
        Column { title: "STATE", cell: |delivery| text(&delivery["state"]) },
        Column { title: "ATTEMPTS", cell: |delivery| text(&delivery["attempts"]) },
        Column { title: "STATUS", cell: |delivery| text(&delivery["status"]) },
        Column { title: "ERROR", cell: |delivery| text(&delivery["error"]) },
    ];
    let path = with_query(&format!("{}/deliveries", path(&args.named.name)), &[("state", args.state.clone())]);
    on(&args.named.data, context, async |api| listing::list(api, &path, "deliveries", &columns, context).await).await
}

async fn redeliver(api: &ApiClient, args: &RedeliverArgs, context: &Context) -> Result {
    let path = format!("{}/deliveries", path(&args.named.name));
    let mut ids = args.ids.clone();
    if args.parked {
        let take = |page: Value| {
            ids.extend(page["deliveries"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_i64()));
            Ok(())
        };
        api.pages(&format!("{path}?state=parked&limit=1000"), take).await?;
        ids.sort_unstable();
    }
    let mut made = Vec::new();
    for id in ids {
        made.push(api.send::<Value>(Method::POST, &format!("{path}/{id}/redelivery"), &json!({})).await?);
    }
    context.emit_list(&made, |out| made.iter().try_for_each(|delivery| writeln!(out, "{}", text(&delivery["id"]))))
}

async fn test(api: &ApiClient, name: &str, context: &Context) -> Result {
    let path = path(name);
    let mut delivery: Value = api.send(Method::POST, &format!("{path}/test"), &json!({})).await?;
    let one = format!("{path}/deliveries/{}", text(&delivery["id"]));
    let begun = Instant::now();
    while delivery["state"] == "waiting" && begun.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
        delivery = api.get(&one).await?;
    }
    context.emit(&delivery, |out| writeln!(out, "{name}: {}", outcome(&delivery)))?;
    if delivery["state"] == "done" { Ok(()) } else { Err(Failure::reported(Exit::Failed)) }
}

fn outcome(delivery: &Value) -> String {
    match delivery["state"].as_str() {
        Some("done") => format!("answered {}", text(&delivery["status"])),
        Some("parked") => text(&delivery["error"]),
        _ => "not tried yet: does a server run on this data folder, and is the webhook in use?".to_owned(),
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/webhooks/{}", encoded(name))
}

/// What a delivery is about.
fn subject(delivery: &Value) -> String {
    let event = &delivery["event"];
    match (event["repository"].as_str(), event["tag"].as_str()) {
        (Some(repository), Some(tag)) => format!("{repository}:{tag}"),
        (Some(repository), None) => repository.to_owned(),
        (None, _) => "-".to_owned(),
    }
}

fn show(webhook: &Value, context: &Context) -> Result {
    let mut fields: Vec<Field> = vec![
        ("name", |webhook| text(&webhook["name"])),
        ("url", |webhook| text(&webhook["url"])),
        ("format", |webhook| text(&webhook["format"])),
        ("events", |webhook| text(&webhook["events"])),
        ("repositories", |webhook| text(&webhook["repositories"])),
        ("tags", |webhook| text(&webhook["tags"])),
        ("private addresses", |webhook| text(&webhook["private"])),
        ("disabled", |webhook| text(&webhook["disabled"])),
        ("waiting", |webhook| text(&webhook["waiting"])),
        ("parked", |webhook| text(&webhook["parked"])),
        ("created", |webhook| time(&webhook["created"])),
        ("created by", |webhook| text(&webhook["created_by"])),
    ];
    if webhook["secret"].is_string() {
        fields.push(("secret", |webhook| text(&webhook["secret"])));
    }
    listing::document(webhook, &fields, context)
}
