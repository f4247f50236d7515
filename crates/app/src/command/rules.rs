//! `larder rules`: what may be pushed, moved, removed and pulled, and how a push would fare.

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use larder_oci::{RepositoryPattern, Tag};
use larder_registry::rules::read;
use serde_json::{Map, Value, json};

use super::listing::{self, Column, on, text, time};
use crate::api_client::ApiClient;
use crate::context::{Context, DataArg, Destructive};
use crate::named::Named;
use crate::outcome::{Exit, Failure, Result};
use crate::table::write_table;
use crate::target::Target;

/// Bytes of the longest file that is read.
const LONGEST: u64 = 64 << 10;

/// What to do with rules.
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// List all rules, of repositories and of patterns
    Ls(LsArgs),
    /// Show which rules hold in a repository, and where each comes from
    Show(ShowArgs),
    /// Set rules of a repository or a pattern
    Set(SetArgs),
    /// Remove the rules of a repository or a pattern, or some of them
    Rm(RmArgs),
    /// Show what rules would say to a push; nothing changes
    Test(TestArgs),
}

/// Options of `rules ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `rules show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// The repository: `team/model`
    pub name: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `rules set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The repository, or a pattern such as `team/**` for all that match
    pub name: String,
    /// Rules to set beside the others: `immutable=enforce`, `shape=semver`, `production=true`, `latest={"pull":"enforce"}`
    #[arg(value_name = "RULE=VALUE", required_unless_present = "file", conflicts_with = "file")]
    pub rules: Vec<String>,
    /// All rules, in JSON; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `rules rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The repository, or the pattern
    pub name: String,
    /// Only these rules
    #[arg(value_name = "RULE")]
    pub rules: Vec<String>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

/// Options of `rules test`.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The tag that would be pushed, as NAME:TAG; an image that is there under it is looked at
    pub reference: String,
    /// Look at the image of this tag instead
    #[arg(long = "image", value_name = "TAG")]
    pub image: Option<Tag>,
    /// Try these rules in the place of the repository's own; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

impl RulesCommand {
    /// Where it works.
    pub fn data(&self) -> &DataArg {
        match self {
            Self::Ls(args) => &args.data,
            Self::Show(args) => &args.data,
            Self::Set(args) => &args.data,
            Self::Rm(args) => &args.data,
            Self::Test(args) => &args.data,
        }
    }
}

/// Runs `larder rules …`.
pub async fn run(command: RulesCommand, context: &Context) -> Result {
    match command {
        RulesCommand::Ls(args) => {
            on(&args.data, context, async |api| listing::list(api, "/api/v1/rules", "rules", COLUMNS, context).await)
                .await
        }
        RulesCommand::Show(args) => {
            let named = Named::repository(&args.name, &args.data, context)?;
            let path = named.path();
            at(named.target, async |api| {
                let found: Value = api.get(&format!("{path}/-/rules")).await?;
                context.emit(&found, |out| show(out, &found))
            })
            .await
        }
        RulesCommand::Set(args) => set(args, context).await,
        RulesCommand::Rm(args) => remove(args, context).await,
        RulesCommand::Test(args) => test(args, context).await,
    }
}

const COLUMNS: &[Column] = &[
    Column { title: "FOR", cell: |set| text(&set["pattern"]) },
    Column { title: "SET", cell: |set| time(&set["set"]) },
    Column { title: "BY", cell: |set| text(&set["set_by"]) },
    Column { title: "RULES", cell: |set| named_in(&set["text"]) },
];

/// The names of the rules in a text.
fn named_in(set: &Value) -> String {
    let rules = set.as_str().and_then(|text| read(text).ok()).unwrap_or_default();
    rules.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// Where rules are set: their path in the API, and in which list their text is found.
struct Place {
    path: String,
    list: String,
    pattern: String,
}

fn place(name: &str, data: &DataArg, context: &Context) -> Result<(Target, Place)> {
    if !name.contains('*') {
        let named = Named::repository(name, data, context)?;
        let path = format!("{}/-/rules", named.path());
        let pattern = named.repository.to_string();
        return Ok((named.target, Place { list: path.clone(), path, pattern }));
    }
    let pattern: RepositoryPattern =
        name.parse().map_err(|error: larder_oci::ParseError| Failure::usage(error.to_string()))?;
    let (path, list) = (format!("/api/v1/rules/{pattern}"), "/api/v1/rules".to_owned());
    Ok((Target::choose(data, context)?, Place { path, list, pattern: pattern.to_string() }))
}

async fn at(target: Target, work: impl AsyncFnOnce(&ApiClient) -> Result) -> Result {
    let api = target.open().await?;
    let outcome = work(&api).await;
    super::closing(outcome, api).await
}

fn text_of(file: &Path) -> Result<String> {
    let shown = file.display();
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().take(LONGEST).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(LONGEST).read_to_string(&mut text))
    };
    read.map_err(|error| Failure::usage(format!("{shown} cannot be read: {error}")))?;
    Ok(text)
}

/// What is wrong is told before anything is asked of a server.
fn checked(text: &str, shown: &str) -> Result<Map<String, Value>> {
    read(text).map_err(|problems| {
        let told: Vec<String> = problems.0.iter().map(|problem| format!("{shown}: {problem}")).collect();
        Failure::usage(told.join("\n"))
    })
}

fn show(out: &mut dyn Write, found: &Value) -> std::io::Result<()> {
    let rules = found["rules"].as_array().map_or(&[][..], Vec::as_slice);
    if rules.is_empty() {
        return writeln!(out, "No rules hold here.");
    }
    let rows: Vec<_> =
        rules.iter().map(|rule| vec![text(&rule["rule"]), text(&rule["pattern"]), written(&rule["value"])]).collect();
    write_table(out, &["RULE", "SET FOR", "VALUE"], &[false; 3], &rows)
}

fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The rules that are set at a place itself.
async fn standing(api: &ApiClient, place: &Place) -> Result<Map<String, Value>> {
    let list = if place.list == place.path { "texts" } else { "rules" };
    let mut found = Map::new();
    api.pages(&place.list, |page: Value| {
        let texts = page[list].as_array().map_or(&[][..], Vec::as_slice);
        let own = texts.iter().find(|set| set["pattern"] == place.pattern.as_str());
        if let Some(text) = own.and_then(|set| set["text"].as_str()) {
            found = checked(text, &place.pattern)?;
        }
        Ok(())
    })
    .await?;
    Ok(found)
}

async fn set(args: SetArgs, context: &Context) -> Result {
    let (target, place) = place(&args.name, &args.data, context)?;
    let whole = match &args.file {
        Some(file) => {
            let text = text_of(file)?;
            checked(&text, &file.display().to_string())?;
            Some(text)
        }
        None => None,
    };
    let mut changes = Map::new();
    for rule in &args.rules {
        let (name, value) =
            rule.split_once('=').ok_or_else(|| Failure::usage(format!("`{rule}`: write RULE=VALUE")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        changes.insert(name.to_owned(), value);
    }
    checked(&Value::Object(changes.clone()).to_string(), &args.name)?;
    at(target, async |api| {
        let text = match whole {
            Some(text) => text,
            None => {
                let mut rules = standing(api, &place).await?;
                rules.extend(changes);
                Value::Object(rules).to_string()
            }
        };
        api.tell_text(Method::PUT, &place.path, &text).await?;
        context.emit(&json!({ "set": args.name }), |out| writeln!(out, "{}", args.name))
    })
    .await
}

async fn remove(args: RmArgs, context: &Context) -> Result {
    let (target, place) = place(&args.name, &args.data, context)?;
    let what = if args.rules.is_empty() { "All rules".to_owned() } else { args.rules.join(", ") };
    if !context.confirm(args.how, &format!("{what} set for {} go.", args.name), "Remove them?")? {
        return Ok(());
    }
    at(target, async |api| {
        let mut rules = if args.rules.is_empty() { Map::new() } else { standing(api, &place).await? };
        for rule in &args.rules {
            if rules.remove(rule).is_none() {
                return Err(Failure::not_found(format!("no rule {rule} is set for {}", args.name)));
            }
        }
        match rules.is_empty() {
            true => api.delete(&place.path).await?,
            false => api.tell_text(Method::PUT, &place.path, &Value::Object(rules).to_string()).await?,
        }
        context.emit(&json!({ "removed": args.name }), |out| writeln!(out, "{}", args.name))
    })
    .await
}

/// A refusal is the answer of exit code 5.
async fn test(args: TestArgs, context: &Context) -> Result {
    let (named, tag) = Named::tagged(&args.reference, &args.data, context)?;
    let rules = match &args.file {
        Some(file) => Some(Value::Object(checked(&text_of(file)?, &file.display().to_string())?)),
        None => None,
    };
    let path = format!("{}/-/rules/test", named.path());
    let reference = args.image.as_ref().unwrap_or(&tag).to_string();
    let asked = json!({ "tag": tag, "reference": reference, "rules": rules });
    at(named.target, async |api| {
        let tried: Value = api.send(Method::POST, &path, &asked).await?;
        context.emit(&tried, |out| told(out, &args.reference, &tried))?;
        if tried["passes"] == true {
            return Ok(());
        }
        Err(Failure::reported(Exit::Policy))
    })
    .await
}

fn told(out: &mut dyn Write, reference: &str, tried: &Value) -> std::io::Result<()> {
    let list = |field: &str| tried[field].as_array().map_or(&[][..], Vec::as_slice);
    if tried["digest"].is_null() {
        writeln!(out, "No image of {reference} is here: only its tag was looked at.")?;
    }
    for (field, word) in [("refused", "refused"), ("warned", "warned")] {
        for told in list(field) {
            writeln!(out, "{word} by {}: {}: {}", text(&told["rule"]), text(&told["why"]), text(&told["instead"]))?;
        }
    }
    if !list("aliases").is_empty() {
        writeln!(out, "with it would move: {}", text(&tried["aliases"]))?;
    }
    if tried["passes"] == true { writeln!(out, "A push of {reference} would pass.") } else { Ok(()) }
}
