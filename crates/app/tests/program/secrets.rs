//! Secrets stay where they are used (zot CVE-2025-48374, Harbor GHSA-prh4-vhfh-24mj): one of each kind is planted, everything is done that could
//! spill it, and then everything that the program wrote is looked through.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::larder::{Served, code, folders, larder, stderr, stdout, without_settings};

const LDAP: &str = "canary-of-the-directory";
const MAIL: &str = "planted-secret-of-the-mail-server";
const OIDC: &str = "canary-of-the-provider";
const PASSWORD: &str = "canary-of-alice-1";
const WRONG: &str = "canary-that-was-mistyped";
const CHANGED: &str = "canary-of-alice-2";

struct Place {
    parent: tempfile::TempDir,
    data: PathBuf,
    /// Everything that commands printed and answers said, but for what is meant to show a secret once.
    said: String,
}

impl Place {
    fn variables(&self) -> Vec<(String, String)> {
        let key = self.parent.path().join("key");
        [
            ("LARDER_LOG__LEVEL", "trace"),
            ("LARDER_LDAP__URL", "ldaps://127.0.0.1:1"),
            ("LARDER_LDAP__BIND_DN", "cn=reader"),
            ("LARDER_LDAP__BIND_PASSWORD", LDAP),
            ("LARDER_OIDC__ISSUER", "https://127.0.0.1:1"),
            ("LARDER_OIDC__CLIENT_ID", "larder"),
            ("LARDER_OIDC__CLIENT_SECRET", OIDC),
            ("LARDER_MAIL__SERVER", "smtps://127.0.0.1:1"),
            ("LARDER_MAIL__FROM", "registry@example.com"),
            ("LARDER_MAIL__USER", "registry"),
            ("LARDER_MAIL__PASSWORD", MAIL),
            ("LARDER_SECRET_KEY_FILE", key.to_str().expect("text")),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn run(&mut self, words: &[&str], input: &str) -> Output {
        let mut command = larder(words);
        command.envs(self.variables()).env("HOME", self.parent.path());
        let file = self.parent.path().join("input");
        std::fs::write(&file, input).expect("it can be written");
        let output = command.stdin(std::fs::File::open(file).expect("it is there")).output().expect("it runs");
        self.said.push_str(&stderr(&output));
        output
    }

    fn log(&self) -> PathBuf {
        self.parent.path().join("log")
    }

    /// A server whose log goes into a file.
    fn serve(&self) -> Served {
        let mut command = without_settings("sh");
        command.args([
            "-c",
            "exec \"$0\" \"$@\" 2>>\"$LOG\"",
            env!("CARGO_BIN_EXE_larder"),
            "serve",
            "--output",
            "jsonl",
        ]);
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(&self.data);
        command.envs(self.variables()).env("LOG", self.log()).env("LARDER_DRAIN__DELAY", "0s");
        command.env("LARDER_DRAIN__TIMEOUT", "500ms").stdin(std::process::Stdio::null());
        Served::greeted(command)
    }
}

struct Asked<'p> {
    base: String,
    place: &'p mut Place,
}

impl Asked<'_> {
    /// Asks, and notes what is answered.
    async fn ask(&mut self, method: &str, path: &str, login: Option<(&str, &str)>, body: Option<Value>) {
        let (status, text) = self.quietly(method, path, login, body).await;
        self.place.said.push_str(&format!("{status} {text}\n"));
    }

    /// The same for an answer that is meant to show a secret.
    async fn quietly(
        &self,
        method: &str,
        path: &str,
        login: Option<(&str, &str)>,
        body: Option<Value>,
    ) -> (u16, String) {
        let method = method.parse().expect("a method");
        let mut request = reqwest::Client::new().request(method, format!("{}{path}", self.base));
        if let Some((user, password)) = login {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.expect("it is answered");
        let (status, headers) = (answer.status().as_u16(), format!("{:?}", answer.headers()));
        (status, format!("{}\n{headers}", answer.text().await.unwrap_or_default()))
    }
}

/// Every file under a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("it can be read").flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

#[tokio::test]
async fn cve_2025_48374_planted_secrets_are_found_nowhere() {
    let (parent, data) = folders();
    let key = "7e".repeat(32);
    std::fs::write(parent.path().join("key"), &key).expect("it can be written");
    std::fs::set_permissions(parent.path().join("key"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("set");
    let mut place = Place { parent, data, said: String::new() };
    let folder = place.data.display().to_string();
    let made = place.run(&["user", "add", "alice", "--password-stdin", "--data", &folder], &format!("{PASSWORD}\n"));
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let mut secrets: Vec<String> =
        [LDAP, OIDC, MAIL, PASSWORD, WRONG, CHANGED, key.as_str()].map(str::to_owned).to_vec();

    let mut served = place.serve();
    let base = served.url().to_owned();
    let mut asked = Asked { base: base.clone(), place: &mut place };
    let alice = Some(("alice", PASSWORD));
    // Tokens of every kind, used rightly and wrongly.
    let (_, made) =
        asked.quietly("POST", "/api/v1/tokens", alice, Some(json!({ "name": "t", "actions": ["pull", "push"] }))).await;
    let made: Value = serde_json::from_str(made.lines().next().unwrap_or_default()).expect("it is JSON");
    let token = made["token"].as_str().expect("a token").to_owned();
    asked
        .ask(
            "POST",
            "/api/v1/robots",
            alice,
            Some(json!({ "name": "ci", "repositories": "alice/**", "actions": ["pull"] })),
        )
        .await;
    let (_, invited) = asked.quietly("POST", "/api/v1/users", alice, Some(json!({ "name": "bob" }))).await;
    let invited: Value = serde_json::from_str(invited.lines().next().unwrap_or_default()).expect("it is JSON");
    let invitation = invited["invitation"].as_str().expect("an invitation").to_owned();
    let (_, bearer) =
        asked.quietly("GET", "/token?service=larder&scope=repository:alice/a:pull,push", alice, None).await;
    let bearer: Value = serde_json::from_str(bearer.lines().next().unwrap_or_default()).expect("it is JSON");
    let bearer = bearer["token"].as_str().expect("a token").to_owned();
    secrets.extend([token.clone(), invitation.clone(), bearer.clone()]);
    for (user, password) in [
        ("alice", WRONG),
        ("nobody", WRONG),
        (WRONG, "x"),
        ("x", token.as_str()),
        ("y", &bearer),
        ("alice", "ldr_wrong"),
    ] {
        for path in ["/v2/", "/v2/alice/a/tags/list", "/token?service=larder", "/api/v1/whoami", "/api/v1/audit"] {
            asked.ask("GET", path, Some((user, password)), None).await;
        }
    }
    for path in ["/v2/", "/login", "/login/callback", "/api/v1/users", "/metrics", "/"] {
        asked
            .ask("GET", &format!("{path}?token={invitation}&password={WRONG}&code={bearer}&state={token}"), None, None)
            .await;
    }
    // Its own page has the invitation in its form, for whoever came with it.
    let (status, _) = asked.quietly("GET", &format!("/invitation?token={invitation}"), None, None).await;
    assert_eq!(status, 200);
    asked.ask("GET", "/login/oidc", None, None).await;
    asked.ask("POST", "/api/v1/oidc/exchange", None, Some(json!({ "token": bearer }))).await;
    asked.ask("POST", "/api/v1/oidc/device", None, Some(json!({}))).await;
    asked
        .ask("POST", "/api/v1/users", alice, Some(json!({ "name": "carol", "password": WRONG, "pasword": WRONG })))
        .await;
    asked.ask("POST", "/api/v1/invitations", None, Some(json!({ "invitation": token, "password": WRONG }))).await;
    let change = json!({ "password": CHANGED, "current": PASSWORD });
    asked.ask("PUT", "/api/v1/users/alice/password", alice, Some(change)).await;
    asked
        .ask(
            "PUT",
            "/api/v1/users/alice/password",
            Some(("alice", CHANGED)),
            Some(json!({ "password": WRONG, "current": WRONG })),
        )
        .await;
    let alice = Some(("alice", CHANGED));
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    for path in [
        "/api/v1/audit?limit=1000",
        "/api/v1/tokens",
        "/api/v1/users",
        "/api/v1/sessions",
        "/api/v1/grants",
        "/metrics",
    ] {
        asked.ask("GET", path, alice, None).await;
    }
    served.stop();

    for words in [&["config", "print"][..], &["config", "print", "--output", "json"], &["config", "check"]] {
        let output = place.run(words, "");
        place.said.push_str(&stdout(&output));
    }
    let output = place.run(&["audit", "--output", "jsonl", "--data", &folder], "");
    assert!(stdout(&output).contains("token.created") || stdout(&output).contains("token"), "{}", stdout(&output));
    place.said.push_str(&stdout(&output));
    let log = std::fs::read_to_string(place.log()).expect("there is a log");
    assert!(log.contains("TRACE") && log.contains("/v2/alice/a/tags/list"), "it says much");
    let mut written =
        vec![("what was said".to_owned(), place.said.clone().into_bytes()), ("the log".to_owned(), log.into_bytes())];
    let mut kept = Vec::new();
    files(&place.data, &mut kept);
    written.extend(kept.into_iter().map(|file| (file.display().to_string(), std::fs::read(&file).unwrap_or_default())));
    for secret in &secrets {
        for (place, text) in &written {
            let found = text.windows(secret.len()).position(|window| window == secret.as_bytes());
            let around = |at: usize| {
                String::from_utf8_lossy(&text[at.saturating_sub(200)..(at + 60).min(text.len())]).into_owned()
            };
            assert!(found.is_none(), "{secret} stands in {place}: {}", found.map(around).unwrap_or_default());
        }
    }
}
