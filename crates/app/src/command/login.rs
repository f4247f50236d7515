//! `larder login`, `logout`, `whoami`: one login for this program, docker and podman.

use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use crate::api_client::ApiClient;
use crate::api_credential::{ApiCredential, host_of};
use crate::auth_files::{self, AuthFile};
use crate::context::{Context, DataArg};
use crate::identity_token;
use crate::logins::{Login, Logins};
use crate::outcome::{Exit, Failure, Result};
use crate::prompt;
use crate::target::server_url;

use super::listing::{self, Field, encoded, on, seconds, text, time};

/// The name by which docker and podman ask for this program as a helper.
pub const HELPER: &str = "larder";
/// What to write where there is no terminal.
const FROM_STDIN: &str = "Write --username NAME --password-stdin, --device, or --oidc in CI.";
/// Everything: a login is limited by its user's rights alone.
const ALL: [&str; 5] = ["pull", "push", "delete", "tag-move", "admin"];

/// Options of `login`.
#[derive(Args, Debug)]
pub struct LoginArgs {
    /// The server, as it stands before a repository's name
    pub host: Option<String>,
    /// The user's name
    #[arg(long, short, value_name = "NAME")]
    pub username: Option<String>,
    /// Read the password, or a token, from standard input instead of asking
    #[arg(long)]
    pub password_stdin: bool,
    /// Log in with the identity token of a job in CI: that of GitHub Actions, or `LARDER_ID_TOKEN`
    #[arg(long, conflicts_with_all = ["username", "password_stdin"])]
    pub oidc: bool,
    /// Log in at the server's identity provider: in any browser, with a code that is shown here
    #[arg(long, conflicts_with_all = ["username", "password_stdin", "oidc"])]
    pub device: bool,
    /// The trust to log in under; without it, the first that takes the token
    #[arg(long, value_name = "NAME", requires = "oidc")]
    pub trust: Option<String>,
    /// The audience to ask GitHub Actions for; without it, the host
    #[arg(long, value_name = "TEXT", requires = "oidc")]
    pub audience: Option<String>,
    /// How long the login holds
    #[arg(long, value_name = "DURATION", value_parser = seconds, default_value = "90d")]
    pub ttl: u64,
    /// Leave docker's and podman's files alone
    #[arg(long)]
    pub only_larder: bool,
}

/// Options of `logout`.
#[derive(Args, Debug)]
pub struct LogoutArgs {
    /// The server; without it, that of the last login
    pub host: Option<String>,
}

/// Options of `whoami`.
#[derive(Args, Debug)]
pub struct WhoamiArgs {
    /// Where
    #[command(flatten)]
    pub data: DataArg,
}

/// Somebody who proved who he is.
struct LoggedIn {
    user: String,
    secret: String,
    token: Option<String>,
    identity: String,
}

/// Runs `larder login`.
pub async fn login(args: LoginArgs, context: &Context) -> Result {
    let base = address(args.host.as_deref(), context)?;
    let host = host_of(&base).to_owned();
    let who = if args.oidc {
        by_identity_token(&base, &args).await?
    } else if args.device {
        by_device_code(&base, &args, context).await?
    } else {
        by_password(&base, &args, context).await?
    };
    let mut logins = Logins::load()?;
    let login =
        Login { url: base, user: who.user.clone(), secret: who.secret.clone(), token: who.token, handed_out: None };
    logins.servers.insert(host.clone(), login);
    logins.current = Some(host.clone());
    logins.save()?;
    let mut written = Vec::new();
    if !args.only_larder {
        for path in [auth_files::docker(), auth_files::podman()].into_iter().flatten() {
            let mut file = AuthFile::open(path)?;
            // A file that asks this program finds the login where it was just put.
            if file.helper(&host).as_deref() != Some(HELPER) {
                file.log_in(&host, &who.user, &who.secret)?;
            }
            written.push(file.path().display().to_string());
        }
    }
    let facts = json!({ "server": host, "identity": who.identity, "files": written });
    context.emit(&facts, |out| {
        writeln!(out, "Logged in to {host} as {}.", who.identity)?;
        if written.is_empty() { Ok(()) } else { writeln!(out, "docker and podman too: {}", written.join(", ")) }
    })
}

/// The address of a server that was named, or else of the one that is meant.
fn address(host: Option<&str>, context: &Context) -> Result<String> {
    let named = match host {
        Some(host) => Some(host.to_owned()),
        None => context.server_or_login()?,
    };
    let named = named.ok_or_else(|| {
        Failure::usage("it is not said which server is meant")
            .with_hint("Write larder login HOST, for example localhost:5000.")
    })?;
    Ok(server_url(&named).trim_end_matches('/').to_owned())
}

async fn by_password(base: &str, args: &LoginArgs, context: &Context) -> Result<LoggedIn> {
    let user = match &args.username {
        Some(user) => user.clone(),
        None => prompt::word("User name", FROM_STDIN)?,
    };
    let secret = if args.password_stdin { prompt::from_stdin()? } else { prompt::secret("Password", FROM_STDIN)? };
    let api = ApiClient::tcp_as(base, ApiCredential::Basic { user: user.clone(), secret: secret.clone() })?;
    let me = whoami_at(&api).await?;
    let identity = text(&me["identity"]);
    if me["kind"] == "anonymous" {
        return Err(Failure::failed(format!("{base} asks nobody to log in: no account exists there"))
            .with_hint("The first one is made by whoever owns the data folder: larder user add NAME --data DIR."));
    }
    let shown = me["credential"].as_str().unwrap_or_default();
    if let Some(id) = shown.strip_prefix("token:") {
        return Ok(LoggedIn { user, secret, token: Some(id.to_owned()), identity });
    }
    // A token in the password's place can be taken back alone, and ends by itself.
    let asked = json!({ "name": token_name(), "actions": ALL, "expires_in": args.ttl });
    match api.send::<Value>(Method::POST, "/api/v1/tokens", &asked).await {
        Ok(made) => {
            let token = Some(text(&made["id"]));
            Ok(LoggedIn { user, secret: text(&made["token"]), token, identity })
        }
        Err(failure) => {
            context.note(format_args!("No token is made for this login ({failure}); the password itself is kept."));
            Ok(LoggedIn { user, secret, token: None, identity })
        }
    }
}

/// What the token of a login on this machine is called.
fn token_name() -> String {
    format!("login on {}", rustix::system::uname().nodename().to_string_lossy())
}

async fn by_device_code(base: &str, args: &LoginArgs, context: &Context) -> Result<LoggedIn> {
    let api = ApiClient::tcp_as(base, ApiCredential::Nobody)?;
    let begun: Value = api.send(Method::POST, "/api/v1/oidc/device", &json!({})).await?;
    let place = begun["verification_uri_complete"].as_str().unwrap_or_default();
    let place = if place.is_empty() { text(&begun["verification_uri"]) } else { place.to_owned() };
    context.note(format_args!("Open {place} in a browser and enter the code {}", text(&begun["user_code"])));
    let asked = json!({ "handle": begun["handle"], "name": token_name(), "expires_in": args.ttl });
    let mut interval = Duration::from_secs(begun["interval"].as_u64().unwrap_or(5).clamp(1, 60));
    loop {
        tokio::time::sleep(interval).await;
        let answer: Value = api.send(Method::POST, "/api/v1/oidc/device/token", &asked).await?;
        match answer["state"].as_str() {
            Some("pending") => {}
            Some("slow-down") => interval += Duration::from_secs(5),
            Some("done") => {
                let identity = text(&answer["identity"]);
                let user = identity.strip_prefix("user:").unwrap_or("oidc").to_owned();
                return Ok(LoggedIn {
                    user,
                    secret: text(&answer["token"]),
                    token: Some(text(&answer["id"])),
                    identity,
                });
            }
            _ => return Err(Failure::failed("the server's answer is none about a login: is it a Larder?")),
        }
    }
}

async fn whoami_at(api: &ApiClient) -> Result<Value> {
    api.get("/api/v1/whoami").await.map_err(|failure| match failure.exit() {
        Exit::NotAllowed => Failure::new(Exit::NotAllowed, "the user name or the password is wrong"),
        Exit::NotFound => failure.with_hint("Is it a Larder? For other registries there is docker login."),
        _ => failure,
    })
}

async fn by_identity_token(base: &str, args: &LoginArgs) -> Result<LoggedIn> {
    let audience = args.audience.clone().unwrap_or_else(|| host_of(base).to_owned());
    let token = identity_token::find(&audience).await?;
    let api = ApiClient::tcp_as(base, ApiCredential::Nobody)?;
    let asked = json!({ "token": token, "trust": args.trust });
    let given: Value = api.send(Method::POST, "/api/v1/oidc/exchange", &asked).await?;
    Ok(LoggedIn {
        user: "oidc".to_owned(),
        secret: text(&given["token"]),
        token: None,
        identity: text(&given["identity"]),
    })
}

/// Runs `larder logout`.
pub async fn logout(args: LogoutArgs, context: &Context) -> Result {
    let base = address(args.host.as_deref(), context)?;
    let host = host_of(&base).to_owned();
    let mut logins = Logins::load()?;
    let login = logins.servers.remove(&host);
    if logins.current.as_deref() == Some(&host) {
        logins.current = None;
    }
    if let Some(login) = &login {
        logins.save()?;
        if let Err(failure) = revoke(login).await {
            context.note(format_args!("The token of this login was not revoked ({failure}); it ends by itself."));
        }
    }
    let mut known = login.is_some();
    for path in [auth_files::docker(), auth_files::podman()].into_iter().flatten() {
        let mut file = AuthFile::open(path)?;
        if file.helper(&host).as_deref() != Some(HELPER) {
            known |= file.log_out(&host)?;
        }
    }
    if !known {
        return Err(Failure::not_found(format!("there was no login to {host}")));
    }
    context.emit(&json!({ "server": host }), |out| writeln!(out, "Logged out of {host}."))
}

/// Revokes the token that a login made for itself.
async fn revoke(login: &Login) -> Result {
    let Some(id) = &login.token else { return Ok(()) };
    let credential = ApiCredential::Basic { user: login.user.clone(), secret: login.secret.clone() };
    let api = ApiClient::tcp_as(&login.url, credential)?;
    let mut ours = false;
    api.pages("/api/v1/tokens", |page: Value| {
        let mut tokens = page["tokens"].as_array().into_iter().flatten();
        ours |= tokens.any(|token| token["id"] == **id && text(&token["name"]).starts_with("login on "));
        Ok(())
    })
    .await?;
    // One that somebody gave us is his to revoke.
    if ours { api.delete(&format!("/api/v1/tokens/{}", encoded(id))).await } else { Ok(()) }
}

/// Runs `larder whoami`.
pub async fn whoami(args: WhoamiArgs, context: &Context) -> Result {
    on(&args.data, context, async |api| {
        let me: Value = api.get("/api/v1/whoami").await?;
        let fields: &[Field] = &[
            ("identity", |me| text(&me["identity"])),
            ("administrator", |me| text(&me["administrator"])),
            ("groups", |me| text(&me["groups"])),
            ("credential", |me| text(&me["credential"])),
            ("expires", |me| time(&me["expires"])),
        ];
        listing::document(&me, fields, context)
    })
    .await
}
