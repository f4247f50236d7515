//! `larder user`: people.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::api_client::ApiClient;
use crate::config::{self, Configuration, SettingFlags};
use crate::context::{Context, DataArg, Destructive};
use crate::outcome::{Exit, Failure, Result};
use crate::prompt;

use super::listing::{self, Column, Field, encoded, on, text, time};

/// What to write where there is no terminal.
const FROM_STDIN: &str = "Give the password with --password-stdin.";

/// What to do with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List the users
    Ls(LsArgs),
    /// Make a user; the first one is an administrator
    Add(AddArgs),
    /// Show a user
    Show(NameArgs),
    /// Change a user
    Set(SetArgs),
    /// Remove a user with all grants and tokens; repositories stay
    Rm(RmArgs),
    /// Change a password: one's own, or for administrators anybody's
    Passwd(PasswdArgs),
    /// Accept an invitation by setting a password
    Accept(AcceptArgs),
}

/// Options of `user ls`.
#[derive(Args, Debug)]
pub struct LsArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// A user.
#[derive(Args, Debug)]
pub struct NameArgs {
    /// The user's name
    pub name: String,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `user add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The name; repositories under `NAME/` are the user's own
    pub name: String,
    /// Let the user administer everything
    #[arg(long)]
    pub administrator: bool,
    /// The mail address
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// Read the password from standard input instead of asking
    #[arg(long)]
    pub password_stdin: bool,
    /// Set no password: print what the user sets one with, once
    #[arg(long, conflicts_with = "password_stdin")]
    pub invite: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `user set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The user's name
    pub name: String,
    /// Whether the user administers everything
    #[arg(long, value_name = "YES", value_parser = clap::builder::BoolishValueParser::new())]
    pub administrator: Option<bool>,
    /// Refuse everything that the user shows, and end what was issued
    #[arg(long)]
    pub disable: bool,
    /// Take the user in again
    #[arg(long, conflicts_with = "disable")]
    pub enable: bool,
    /// The mail address; an empty one takes it away
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `user rm`.
#[derive(Args, Debug)]
pub struct RmArgs {
    /// The user
    #[command(flatten)]
    pub named: NameArgs,
    /// Whether to ask
    #[command(flatten)]
    pub how: Destructive,
}

/// Options of `user passwd`.
#[derive(Args, Debug)]
pub struct PasswdArgs {
    /// The user's name; without it, one's own
    pub name: Option<String>,
    /// Read passwords from standard input, a line each: for one's own the one until now, then the new one
    #[arg(long)]
    pub password_stdin: bool,
    /// Set none: print what the user sets one with, once
    #[arg(long, conflicts_with = "password_stdin", requires = "name")]
    pub invite: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `user accept`.
#[derive(Args, Debug)]
pub struct AcceptArgs {
    /// The invitation
    pub invitation: String,
    /// Read the password from standard input instead of asking
    #[arg(long)]
    pub password_stdin: bool,
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

impl UserCommand {
    /// Where it works.
    pub fn data(&self) -> &DataArg {
        match self {
            Self::Ls(args) => &args.data,
            Self::Show(args) => &args.data,
            Self::Add(args) => &args.data,
            Self::Set(args) => &args.data,
            Self::Rm(args) => &args.named.data,
            Self::Passwd(args) => &args.data,
            Self::Accept(args) => &args.data,
        }
    }
}

/// Runs `larder user …`.
pub async fn run(command: UserCommand, context: &Context) -> Result {
    match command {
        UserCommand::Ls(args) => {
            let columns = [
                Column { title: "NAME", cell: |user| text(&user["name"]) },
                Column { title: "ADMINISTRATOR", cell: |user| text(&user["administrator"]) },
                Column { title: "STATE", cell: state },
                Column { title: "SOURCE", cell: |user| text(&user["source"]) },
                Column { title: "CREATED", cell: |user| time(&user["created"]) },
                Column { title: "LAST SEEN", cell: |user| time(&user["last_seen"]) },
            ];
            on(&args.data, context, async |api| listing::list(api, "/api/v1/users", "users", &columns, context).await)
                .await
        }
        UserCommand::Add(args) => add(args, context).await,
        UserCommand::Show(args) => {
            let path = path(&args.name);
            on(&args.data, context, async |api| show(&api.get(&path).await?, context)).await
        }
        UserCommand::Set(args) => set(args, context).await,
        UserCommand::Rm(args) => remove(args, context).await,
        UserCommand::Passwd(args) => passwd(args, context).await,
        UserCommand::Accept(args) => {
            let password = new_password(args.password_stdin)?;
            let asked = json!({ "invitation": args.invitation, "password": password });
            on(&args.data, context, async |api| {
                let user: Value = api.send(Method::POST, "/api/v1/invitations", &asked).await?;
                context.emit(&user, |out| writeln!(out, "{}", text(&user["name"])))
            })
            .await
        }
    }
}

fn path(name: &str) -> String {
    format!("/api/v1/users/{}", encoded(name))
}

fn state(user: &Value) -> String {
    let disabled = user["disabled"] == true;
    let word = match (disabled, user["source"].as_str(), user["has_password"] == true) {
        (true, ..) => "disabled",
        (false, Some("local"), false) => "invited",
        _ => "active",
    };
    word.to_owned()
}

fn show(user: &Value, context: &Context) -> Result {
    let fields: &[Field] = &[
        ("name", |user| text(&user["name"])),
        ("administrator", |user| text(&user["administrator"])),
        ("state", state),
        ("email", |user| text(&user["email"])),
        ("source", |user| text(&user["source"])),
        ("created", |user| time(&user["created"])),
        ("last seen", |user| time(&user["last_seen"])),
    ];
    listing::document(user, fields, context)
}

fn new_password(from_stdin: bool) -> Result<String> {
    if from_stdin { prompt::from_stdin() } else { prompt::new_secret("New password", FROM_STDIN) }
}

async fn add(args: AddArgs, context: &Context) -> Result {
    if !args.invite && !args.password_stdin && !context.can_ask() {
        return Err(Failure::usage("there is no terminal to ask for a password on")
            .with_hint("Give it with --password-stdin, or let the user set it: --invite."));
    }
    let api = crate::target::Target::choose(&args.data, context)?.open_or_make().await?;
    let outcome = add_on(&api, args, context).await;
    super::closing(outcome, api).await
}

async fn add_on(api: &ApiClient, args: AddArgs, context: &Context) -> Result {
    let first = is_first(api).await?;
    if first && !ends_password_file(api, args.yes, context).await? {
        return Ok(());
    }
    let password = if args.invite { None } else { Some(new_password(args.password_stdin)?) };
    let asked = json!({
        "name": args.name,
        "password": password,
        "administrator": args.administrator,
        "email": args.email,
    });
    let user: Value = api.send(Method::POST, "/api/v1/users", &asked).await?;
    context.emit(&user, |out| match user["invitation"].as_str() {
        Some(invitation) => writeln!(out, "{invitation}"),
        None => writeln!(out, "{}", args.name),
    })?;
    if user["invitation"].is_string() {
        context.note(format_args!(
            "Pass this on to {0}, who sets a password with it, once and within three days:\n  larder user accept INVITATION --server URL",
            args.name
        ));
        if let Some(link) = user["link"].as_str() {
            context.note(format_args!("or in a browser:\n  {link}"));
        }
    }
    if first {
        context.note(format_args!(
            "{} is an administrator. From now on everybody has to log in, and all repositories are private: `larder repo set NAME --public` \
             or `larder grant add` open them.",
            args.name
        ));
    }
    Ok(())
}

/// Whether nothing says yet who may do what.
pub(super) async fn is_first(api: &ApiClient) -> Result<bool> {
    for (path, field) in
        [("/api/v1/users?limit=1", "users"), ("/api/v1/robots?limit=1", "robots"), ("/api/v1/grants?limit=1", "grants")]
    {
        let page: Value = match api.get(path).await {
            // Where somebody is told that he may not ask, there are accounts.
            Err(failure) if failure.exit() == Exit::NotAllowed => return Ok(false),
            answer => answer?,
        };
        if page[field].as_array().is_some_and(|items| !items.is_empty()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Says that the first user or grant ends what the users of a password file may, and asks. The server tells whether it knows one; for a folder that
/// none runs on, the configuration here does.
pub(super) async fn ends_password_file(api: &ApiClient, yes: bool, context: &Context) -> Result<bool> {
    let caller: Value = api.get("/api/v1/whoami").await?;
    let configured = Configuration::load(&SettingFlags::default(), &config::environment());
    let here = configured.is_ok_and(|loaded| loaded.text("access.htpasswd").is_some());
    if caller["password_file"] != true && !here {
        return Ok(true);
    }
    let preview = "Until now everyone in the password file (access.htpasswd) may push, pull and list everything. With the first user, robot or grant \
                   that ends: they can still log in, and may what grants say.";
    context.confirm(Destructive { yes, dry_run: false }, preview, "Go on?")
}

async fn set(args: SetArgs, context: &Context) -> Result {
    let mut change = serde_json::Map::new();
    if let Some(administrator) = args.administrator {
        change.insert("administrator".to_owned(), administrator.into());
    }
    if args.disable || args.enable {
        change.insert("disabled".to_owned(), args.disable.into());
    }
    if let Some(email) = args.email {
        change.insert("email".to_owned(), if email.is_empty() { Value::Null } else { email.into() });
    }
    if change.is_empty() {
        return Err(Failure::usage("nothing is to be changed")
            .with_hint("Write --administrator, --disable, --enable or --email."));
    }
    let path = path(&args.name);
    on(&args.data, context, async |api| {
        let user: Value = api.send(Method::PATCH, &path, &Value::Object(change)).await?;
        show(&user, context)
    })
    .await
}

async fn remove(args: RmArgs, context: &Context) -> Result {
    let (name, path) = (&args.named.name, path(&args.named.name));
    on(&args.named.data, context, async |api| {
        let _: Value = api.get(&path).await?;
        let preview =
            format!("User {name} goes, with all grants, memberships and tokens. Repositories under {name}/ stay.");
        if !context.confirm(args.how, &preview, "Remove the user?")? {
            return Ok(());
        }
        api.delete(&path).await?;
        context.emit(&json!({ "removed": name }), |out| writeln!(out, "{name}"))
    })
    .await
}

async fn passwd(args: PasswdArgs, context: &Context) -> Result {
    let (named, from_stdin, invite) = (args.name, args.password_stdin, args.invite);
    on(&args.data, context, async |api| {
        let me: Value = api.get("/api/v1/whoami").await?;
        let own = me["identity"].as_str().and_then(|identity| identity.strip_prefix("user:")).map(str::to_owned);
        let name = named.clone().or_else(|| own.clone()).ok_or_else(|| Failure::usage("whose password is not said"))?;
        if invite {
            let made: Value = api.send(Method::POST, &format!("{}/invitation", path(&name)), &json!({})).await?;
            context.emit(&made, |out| writeln!(out, "{}", text(&made["invitation"])))?;
            if let Some(link) = made["link"].as_str() {
                context.note(format_args!(
                    "A password is set with it by `larder user accept`, or in a browser:\n  {link}"
                ));
            }
            return Ok(());
        }
        let current = match own == Some(name.clone()) {
            true if from_stdin => Some(prompt::from_stdin()?),
            true => Some(prompt::secret("Password until now", FROM_STDIN)?),
            false => None,
        };
        let asked = json!({ "password": new_password(from_stdin)?, "current": current });
        api.tell(Method::PUT, &format!("{}/password", path(&name)), &asked).await?;
        context.note(format_args!("The password of {name} is changed; what was issued for the one before has ended."));
        Ok(())
    })
    .await
}
