//! `larder configure-docker`, and `docker-credential-larder`: the same program under the name by which docker, podman and others ask for logins.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api_client::ApiClient;
use crate::api_credential::{ApiCredential, host_of};
use crate::auth_files::{self, AuthFile};
use crate::context::Context;
use crate::logins::{HandedOut, Login, Logins};
use crate::outcome::{Exit, Failure, Result};
use crate::target::server_url;

use super::listing::text;
use super::login::HELPER;

/// The name of the program as a helper.
pub const PROGRAM: &str = "docker-credential-larder";
/// How long a token that is handed out holds, and how much of that is left when another one is made.
const HELD: i64 = 12 * 3600;
const RENEWED_BEFORE: i64 = 6 * 3600;
/// What helpers say, word for word, when they know nothing: docker looks for it.
const UNKNOWN: &str = "credentials not found in native keychain";

/// Options of `configure-docker`.
#[derive(Args, Debug)]
pub struct ConfigureArgs {
    /// The servers, as they stand before a repository's name
    #[arg(required = true)]
    pub hosts: Vec<String>,
    /// Where to put `docker-credential-larder`; without it, a folder of `PATH` that this user may write to
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
}

/// What docker asks for.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum HelperCommand {
    /// Print the login of the server on standard input
    Get,
    /// Keep the login on standard input
    Store,
    /// Forget the server on standard input
    Erase,
    /// Print all servers with their users
    List,
    /// Print the version
    Version,
}

/// What `store` is given.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    #[serde(rename = "ServerURL")]
    server: String,
    username: String,
    secret: String,
}

/// Runs `larder configure-docker`.
pub fn configure(args: &ConfigureArgs, context: &Context) -> Result {
    let program = install(args.bin_dir.as_deref())?;
    let mut written = Vec::new();
    for path in [auth_files::docker(), auth_files::podman()].into_iter().flatten() {
        let mut file = AuthFile::open(path)?;
        for host in &args.hosts {
            file.set_helper(host_of(host), HELPER)?;
        }
        written.push(file.path().display().to_string());
    }
    let logins = Logins::load()?;
    context.emit(&json!({ "helper": program, "files": written }), |out| {
        writeln!(
            out,
            "{} is asked about {} from now on ({}).",
            program.display(),
            args.hosts.join(", "),
            written.join(", ")
        )
    })?;
    for host in args.hosts.iter().filter(|host| !logins.servers.contains_key(host_of(host))) {
        context.note(format_args!("Now log in: larder login {host}"));
    }
    Ok(())
}

/// Puts the program under its other name where docker finds it.
fn install(folder: Option<&Path>) -> Result<PathBuf> {
    let this = env::current_exe()?;
    let on_path: Vec<PathBuf> = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    if folder.is_none() {
        let there = on_path.iter().map(|folder| folder.join(PROGRAM)).find(|program| program.exists());
        if let Some(program) = there.filter(|program| program.canonicalize().ok() == this.canonicalize().ok()) {
            return Ok(program);
        }
    }
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/bin"));
    let own = this.parent().map(Path::to_owned);
    let candidates: Vec<PathBuf> = match folder {
        Some(folder) => vec![folder.to_owned()],
        None => [own, home]
            .into_iter()
            .flatten()
            .chain(on_path.iter().cloned())
            .filter(|folder| on_path.contains(folder))
            .collect(),
    };
    for folder in &candidates {
        let program = folder.join(PROGRAM);
        let _ = std::fs::remove_file(&program);
        if std::os::unix::fs::symlink(&this, &program).is_ok() {
            return Ok(program);
        }
    }
    Err(Failure::failed(format!("{PROGRAM} can be put into no folder of PATH"))
        .with_hint("Name a folder with --bin-dir DIR, and add it to PATH."))
}

/// Runs `docker-credential-larder`.
pub async fn helper(command: HelperCommand, context: &Context) -> Result {
    match command {
        HelperCommand::Get => get(&input()?, context).await,
        HelperCommand::Store => {
            let text = input()?;
            // The parser's message could quote the secret.
            let given: Given = serde_json::from_str(&text)
                .map_err(|_| Failure::usage("this is no login: JSON with ServerURL, Username and Secret"))?;
            let mut logins = Logins::load()?;
            let login = Login {
                url: server_url(&given.server),
                user: given.username,
                secret: given.secret,
                token: None,
                handed_out: None,
            };
            logins.servers.insert(host_of(&given.server).to_owned(), login);
            logins.save()
        }
        HelperCommand::Erase => {
            let mut logins = Logins::load()?;
            if logins.servers.remove(host_of(input()?.trim())).is_some() {
                logins.save()?;
            }
            Ok(())
        }
        HelperCommand::List => {
            let logins = Logins::load()?;
            let users: BTreeMap<_, _> = logins.servers.iter().map(|(host, login)| (host, &login.user)).collect();
            print(&json!(users), context)
        }
        HelperCommand::Version => Ok(writeln!(context.stdout(), "{PROGRAM} {}", env!("CARGO_PKG_VERSION"))?),
    }
}

fn input() -> Result<String> {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(std::io::stdin().lock(), 64 << 10), &mut text)?;
    Ok(text)
}

fn print(value: &Value, context: &Context) -> Result {
    let mut out = context.stdout();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

async fn get(server: &str, context: &Context) -> Result {
    let host = host_of(server.trim());
    let mut logins = Logins::load()?;
    let Some(login) = logins.servers.get_mut(host) else {
        writeln!(context.stdout(), "{UNKNOWN}")?;
        return Err(Failure::reported(Exit::Failed));
    };
    let (secret, changed) = hand_out(login, Timestamp::now()).await;
    print(&json!({ "ServerURL": server.trim(), "Username": login.user, "Secret": secret }), context)?;
    if changed { logins.save() } else { Ok(()) }
}

/// A token that ends within hours, made with the login's own; the login's own where none can be made. Whether a new one was made.
async fn hand_out(login: &mut Login, now: Timestamp) -> (String, bool) {
    if login.token.is_none() {
        return (login.secret.clone(), false);
    }
    let fresh = |handed: &&HandedOut| handed.until - now.as_second() > RENEWED_BEFORE;
    if let Some(handed) = login.handed_out.as_ref().filter(fresh) {
        return (handed.secret.clone(), false);
    }
    match make(login).await {
        Ok(handed) => {
            let secret = handed.secret.clone();
            login.handed_out = Some(handed);
            (secret, true)
        }
        Err(failure) => {
            tracing::debug!(%failure, "no token could be made");
            (login.secret.clone(), false)
        }
    }
}

async fn make(login: &Login) -> Result<HandedOut> {
    let credential = ApiCredential::Basic { user: login.user.clone(), secret: login.secret.clone() };
    let api = ApiClient::tcp_as(&login.url, credential)?;
    let asked = json!({ "name": "docker", "actions": ["pull", "push", "delete", "tag-move"], "expires_in": HELD });
    let made: Value = api.send(Method::POST, "/api/v1/tokens", &asked).await?;
    let until = made["expires"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let until = until.ok_or_else(|| Failure::failed("the server's answer has no end: is it a Larder?"))?;
    Ok(HandedOut { secret: text(&made["token"]), until: until.as_second() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(token: Option<&str>, handed_out: Option<HandedOut>) -> Login {
        Login {
            url: "http://127.0.0.1:1".to_owned(),
            user: "alice".to_owned(),
            secret: "own".to_owned(),
            token: token.map(str::to_owned),
            handed_out,
        }
    }

    #[tokio::test]
    async fn a_token_is_handed_out_as_long_as_it_holds() {
        let now: Timestamp = "2026-11-21T09:00:00Z".parse().expect("it is a time");
        let until: Timestamp = "2026-11-21T20:00:00Z".parse().expect("it is a time");
        let handed = HandedOut { secret: "short".to_owned(), until: until.as_second() };
        assert_eq!(hand_out(&mut login(Some("1"), Some(handed.clone())), now).await, ("short".to_owned(), false));
        // What was stored by `docker login` is handed out as it is, and so is a login whose server does not answer.
        assert_eq!(hand_out(&mut login(None, None), now).await, ("own".to_owned(), false));
        let late: Timestamp = "2026-11-21T19:00:00Z".parse().expect("it is a time");
        assert_eq!(hand_out(&mut login(Some("1"), Some(handed)), late).await, ("own".to_owned(), false));
    }
}
