//! Each client with each kind of credential: whether it may is ours to say, and its words are compared with the recorded ones.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::access::accounts::{Accounts, Token};
use crate::access::clients::{Client, Ground, Login};
use crate::access::words::{Blur, Words};
use crate::clients::case::Note;
use crate::ensure;
use crate::harness::Outcome;
use crate::harness::site::{Origin, Output, Site};
use crate::harness::trial::Trial;

/// Nobody is to wait for a refusal: docker tries for 50 s when it does not understand one.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who has an account; the first one is the administrator.
pub const PEOPLE: &[(&str, &str)] =
    &[("root", "for root alone"), ("alice", "what alice knows"), ("bob", "what bob knows")];

/// What somebody shows, and what he may with it.
#[derive(Debug)]
struct Credential {
    name: &'static str,
    user: &'static str,
    secret: String,
    may_log_in: bool,
    may_push: bool,
    may_pull: bool,
}

/// The files and names that one credential works with.
struct Attempt<'a> {
    client: &'a Client,
    site: &'a Site,
    folder: PathBuf,
    host: String,
}

/// Logs in, pushes and pulls with every credential.
pub fn each_credential(trial: &mut Trial<'_>, origin: Origin, client: &Client) -> Outcome<Note> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let accounts = Accounts::of(trial)?;
    accounts.users(PEOPLE)?;
    let standing = client.stand(trial, origin, &known)?;
    let host = trial.host();
    let mut words = Words::default();
    for credential in credentials(&accounts)? {
        let folder = trial.folder().join("logins").join(credential.name.replace(' ', "-"));
        let own = credential.name.replace(' ', "-");
        let blur = Blur::new(vec![
            (host.clone(), "HOST"),
            (trial.folder().display().to_string(), "FOLDER"),
            (format!("alice/{own}/"), "alice/denied/"),
            (format!("alice%2F{own}%2F"), "alice%2Fdenied%2F"),
        ]);
        let attempt = Attempt { client, site: &standing.site, folder, host: host.clone() };
        attempt.run(&credential, &blur, &mut words)?;
    }
    drop(standing);
    let title = format!("{}, {}", client.name, origin.word());
    words.settle(&title, &trial.folder().with_file_name("words"))?;
    Ok(None)
}

fn credentials(accounts: &Accounts) -> Outcome<Vec<Credential>> {
    let expired = accounts.token("user:alice", "--ttl 1s")?;
    let revoked = accounts.token("user:alice", "")?;
    let reading = accounts.token("user:alice", "--actions pull")?;
    accounts.revoke(&revoked)?;
    std::thread::sleep(Duration::from_millis(1_500));
    let of = |name, user, secret: &str, may_log_in, may_push, may_pull| Credential {
        name,
        user,
        secret: secret.to_owned(),
        may_log_in,
        may_push,
        may_pull,
    };
    let token = |token: Token| token.secret;
    Ok(vec![
        of("right", "alice", PEOPLE[1].1, true, true, true),
        of("none", "", "", false, false, false),
        of("wrong", "alice", "not her password", false, false, false),
        of("expired", "alice", &token(expired), false, false, false),
        of("revoked", "alice", &token(revoked), false, false, false),
        of("read only", "alice", &token(reading), true, false, true),
        of("of a stranger", "bob", PEOPLE[2].1, true, false, false),
    ])
}

impl Attempt<'_> {
    fn run(&self, credential: &Credential, blur: &Blur, words: &mut Words) -> Outcome {
        let place = if credential.may_push {
            format!("{}/alice", self.host)
        } else {
            format!("{}/alice/{}", self.host, credential.name.replace(' ', "-"))
        };
        let known = format!("{}/alice", self.host);
        if let Login::Checked(line) | Login::Unchecked(line) = self.client.login
            && !credential.user.is_empty()
        {
            let asks = matches!(self.client.login, Login::Checked(_));
            let output = self.attempt(line, credential, &known, "first")?;
            words.note(&format!("{}, login", credential.name), &output, blur);
            judge(&output, credential.may_log_in || !asks, "login", credential)?;
        }
        let auth = if credential.may_push { "first" } else { "kept" };
        if auth == "kept" || self.client.login == Login::Absent {
            write_secret(&self.folder.join(auth), &self.host, credential)?;
        }
        let pushed = self.attempt(self.client.push, credential, &place, auth)?;
        words.note(&format!("{}, push", credential.name), &pushed, blur);
        judge(&pushed, credential.may_push, "push", credential)?;
        let pulled = self.attempt(self.client.pull, credential, &known, auth)?;
        words.note(&format!("{}, pull", credential.name), &pulled, blur);
        judge(&pulled, credential.may_pull, "pull", credential)
    }

    fn attempt(&self, line: &str, credential: &Credential, place: &str, auth: &str) -> Outcome<Output> {
        let folder = self.folder.join(auth);
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("config.json");
        let site = self.site.clone().with("WHO", credential.user).with("SECRET", &credential.secret);
        let site = site.with("PLACE", place).with("IMAGE", format!("{place}/ml-model:1.0.0"));
        let site = site.with("DOCKER_CONFIG", folder.display()).with("REGISTRY_AUTH_FILE", file.display());
        let site = site.with("HELM_REGISTRY_CONFIG", file.display()).within(PATIENCE);
        // Where Larder's own logins are; the others find their settings by this variable.
        let own = self.client.ground == Ground::Larder;
        let site = if own { site.with("XDG_CONFIG_HOME", folder.display()) } else { site };
        site.attempt(line)
    }
}

/// Logins as `kubectl create secret docker-registry` writes them, and the kubelet hands them on: nobody asked whether they are right.
fn write_secret(folder: &Path, host: &str, credential: &Credential) -> Outcome {
    std::fs::create_dir_all(folder)?;
    let Credential { user, secret, .. } = credential;
    let auths = match user.is_empty() {
        true => json!({}),
        false => {
            json!({ host: { "username": user, "password": secret, "auth": crate::access::base64(&format!("{user}:{secret}")) } })
        }
    };
    Ok(std::fs::write(folder.join("config.json"), json!({ "auths": auths }).to_string())?)
}

fn judge(output: &Output, may: bool, deed: &str, credential: &Credential) -> Outcome {
    let Credential { name, .. } = credential;
    if may && !output.succeeded() {
        return Err(output.unexpected());
    }
    ensure!(may || !output.succeeded(), "a {deed} with a credential that is {name} is let through");
    Ok(())
}
