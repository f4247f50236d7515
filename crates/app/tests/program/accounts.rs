//! Accounts as people make and use them: by the data folder, by the control socket, over the network.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::larder::{Served, code, folders, larder, old_file, push, stderr, stdout, without_settings};

/// The settings of a person: a home, and nothing of docker's or podman's elsewhere.
fn at_home(mut command: Command, home: &Path) -> Command {
    for name in ["DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    command.env("HOME", home);
    command
}

/// Runs the program at home, with this on its standard input.
fn at(home: &Path, words: &[&str], input: &str) -> Output {
    fed(at_home(larder(words), home), input)
}

fn fed(mut command: Command, input: &str) -> Output {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program can be started");
    // A program that does not read its input still runs.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

#[track_caller]
fn done(output: &Output) -> String {
    assert_eq!(code(output), 0, "{}{}", stdout(output), stderr(output));
    stdout(output)
}

fn read(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("it is JSON")
}

async fn status(url: &str, login: Option<(&str, &str)>) -> u16 {
    let mut request = reqwest::Client::new().get(url);
    if let Some((user, password)) = login {
        request = request.basic_auth(user, Some(password));
    }
    request.send().await.expect("it is answered").status().as_u16()
}

/// A folder with an administrator `alice`, whose password is `correct horse`, and a home.
struct Place {
    parent: tempfile::TempDir,
    data: String,
}

impl Place {
    fn new() -> Self {
        let (parent, data) = folders();
        let place = Self { data: data.display().to_string(), parent };
        let made = place.run(&["user", "add", "alice", "--password-stdin", "--data", &place.data], "correct horse\n");
        assert_eq!(done(&made), "alice\n");
        assert!(stderr(&made).contains("administrator") && stderr(&made).contains("private"), "{}", stderr(&made));
        place
    }

    fn run(&self, words: &[&str], input: &str) -> Output {
        at(self.parent.path(), words, input)
    }

    fn serve(&self) -> Served {
        Served::start(Path::new(&self.data))
    }

    fn log_in(&self, served: &Served, user: &str, password: &str) -> Output {
        let host = host(served);
        self.run(&["login", &host, "--username", user, "--password-stdin"], &format!("{password}\n"))
    }
}

fn host(served: &Served) -> String {
    served.url().trim_start_matches("http://").to_owned()
}

#[tokio::test]
async fn the_first_user_is_made_while_the_server_is_stopped_and_ends_the_open_state() {
    let place = Place::new();
    let served = place.serve();
    let base = format!("{}/v2/", served.url());
    assert_eq!(status(&base, None).await, 401);
    assert_eq!(status(&base, Some(("alice", "wrong"))).await, 401);
    assert_eq!(status(&base, Some(("alice", "correct horse"))).await, 200);
    // While it runs, the same words go through its control socket.
    done(&place.run(&["user", "add", "bob", "--password-stdin", "--data", &place.data], "battery staple\n"));
    assert_eq!(status(&base, Some(("bob", "battery staple"))).await, 200);
    let list = done(&place.run(&["user", "ls", "--data", &place.data, "--output", "json"], ""));
    let list: Value = serde_json::from_str(&list).expect("it is JSON");
    let names: Vec<_> =
        list.as_array().expect("it is a list").iter().map(|user| (&user["name"], &user["administrator"])).collect();
    assert_eq!(names, [(&json!("alice"), &json!(true)), (&json!("bob"), &json!(false))]);
    done(&place.run(&["user", "set", "bob", "--disable", "--data", &place.data], ""));
    assert_eq!(status(&base, Some(("bob", "battery staple"))).await, 401);
    done(&place.run(&["user", "rm", "bob", "--yes", "--data", &place.data], ""));
    assert_eq!(code(&place.run(&["user", "show", "bob", "--data", &place.data], "")), 3);
    let last = place.run(&["user", "rm", "alice", "--yes", "--data", &place.data], "");
    assert_ne!(code(&last), 0, "the last administrator stays");
}

#[tokio::test]
async fn a_login_is_docker_s_too_and_its_token_ends_with_it() {
    let place = Place::new();
    let served = place.serve();
    let host = host(&served);
    let wrong = place.log_in(&served, "alice", "wrong");
    assert_eq!(code(&wrong), 4);
    assert!(stderr(&wrong).contains("the user name or the password is wrong"), "{}", stderr(&wrong));

    let docker = place.parent.path().join(".docker/config.json");
    std::fs::create_dir_all(docker.parent().expect("it has one")).expect("it can be made");
    std::fs::write(&docker, r#"{"HttpHeaders":{"x":"y"}}"#).expect("it can be written");
    done(&place.log_in(&served, "alice", "correct horse"));
    let config = read(&docker);
    assert_eq!(config["HttpHeaders"], json!({ "x": "y" }));
    let auth = config["auths"][&host]["auth"].as_str().expect("docker is logged in");
    let decoded = String::from_utf8(STANDARD.decode(auth).expect("it is base64")).expect("it is text");
    let (user, token) = decoded.split_once(':').expect("a user and a secret");
    assert!(user == "alice" && token.starts_with("ldr_"), "the password itself is not kept: {decoded}");
    assert_eq!(status(&format!("{}/v2/", served.url()), Some((user, token))).await, 200);

    // From now on this server is meant, also without a host before a name.
    let me = done(&place.run(&["whoami", "--output", "json"], ""));
    assert_eq!(serde_json::from_str::<Value>(&me).expect("it is JSON")["identity"], "user:alice");
    done(&place.run(&["repo", "create", "alice/model", "--public"], ""));
    assert_eq!(
        status(&format!("{}/v2/alice/model/tags/list", served.url()), Some(("alice", "correct horse"))).await,
        200
    );
    let shown = done(&place.run(&["repo", "set", "alice/model", "--private"], ""));
    assert!(shown.contains("private"), "{shown}");

    let token = token.to_owned();
    done(&place.run(&["logout", &host], ""));
    assert_eq!(read(&docker)["auths"], json!({}));
    assert_eq!(status(&format!("{}/v2/", served.url()), Some(("alice", &token))).await, 401, "it was revoked");
    assert_eq!(code(&place.run(&["logout", &host], "")), 3);
    assert_eq!(code(&place.run(&["whoami"], "")), 2, "no server is meant any more");
}

#[tokio::test]
async fn a_login_is_podman_s_too() {
    let place = Place::new();
    let served = place.serve();
    let (host, run) = (host(&served), place.parent.path().join("run"));
    std::fs::create_dir_all(run.join("containers")).expect("it can be made");
    let file = run.join("containers/auth.json");
    std::fs::write(&file, r#"{"auths":{"other.example":{"auth":"x"}}}"#).expect("it can be written");
    let as_podman_sees_it = |words: &[&str], input: &str| {
        let mut command = at_home(larder(words), place.parent.path());
        command.env("XDG_RUNTIME_DIR", &run);
        fed(command, input)
    };
    let words = ["login", &host, "--username", "alice", "--password-stdin"];
    done(&as_podman_sees_it(&words, "correct horse\n"));
    let auths = read(&file)["auths"].clone();
    assert_eq!(auths["other.example"], json!({ "auth": "x" }));
    let auth = auths[&host]["auth"].as_str().expect("podman is logged in");
    let decoded = String::from_utf8(STANDARD.decode(auth).expect("it is base64")).expect("it is text");
    let (user, token) = decoded.split_once(':').expect("a user and a secret");
    assert!(user == "alice" && token.starts_with("ldr_"), "{decoded}");
    assert_eq!(status(&format!("{}/v2/", served.url()), Some((user, token))).await, 200);
    done(&as_podman_sees_it(&["logout", &host], ""));
    assert_eq!(read(&file)["auths"], json!({ "other.example": { "auth": "x" } }));
}

#[tokio::test]
async fn docker_asks_this_program_for_tokens_that_end_by_themselves() {
    let place = Place::new();
    let served = place.serve();
    let host = host(&served);
    let bin = place.parent.path().join("bin");
    std::fs::create_dir(&bin).expect("it can be made");
    let bin_dir = bin.display().to_string();
    let configured = place.run(&["configure-docker", &host, "--bin-dir", &bin_dir], "");
    done(&configured);
    assert!(stderr(&configured).contains("larder login"), "{}", stderr(&configured));
    let config = read(&place.parent.path().join(".docker/config.json"));
    assert_eq!(config["credHelpers"][&host], "larder");

    let program = bin.join("docker-credential-larder").display().to_string();
    let ask = |action: &str, input: &str| {
        let mut command = at_home(without_settings(&program), place.parent.path());
        command.arg(action);
        fed(command, input)
    };
    let unknown = ask("get", &format!("{host}\n"));
    assert_eq!((code(&unknown), stdout(&unknown).trim()), (1, "credentials not found in native keychain"));

    done(&place.log_in(&served, "alice", "correct horse"));
    let config = read(&place.parent.path().join(".docker/config.json"));
    assert!(config["auths"].get(&host).is_none(), "the secret is not in docker's file: {config}");
    let got: Value = serde_json::from_str(&done(&ask("get", &format!("{host}\n")))).expect("it is JSON");
    assert_eq!((&got["ServerURL"], &got["Username"]), (&json!(host), &json!("alice")));
    let secret = got["Secret"].as_str().expect("there is one").to_owned();
    assert_eq!(status(&format!("{}/v2/", served.url()), Some(("alice", &secret))).await, 200);
    let again: Value = serde_json::from_str(&done(&ask("get", &format!("https://{host}\n")))).expect("it is JSON");
    assert_eq!(again["Secret"], json!(secret), "it is used as long as it holds");
    let logins = read(&place.parent.path().join(".config/larder/logins.json"));
    assert_ne!(logins["servers"][&host]["secret"], json!(secret), "the login's own token is not handed out");
    let listed: Value = serde_json::from_str(&done(&ask("list", ""))).expect("it is JSON");
    assert_eq!(listed, json!({ host.as_str(): "alice" }));

    let stored = json!({ "ServerURL": "other.example", "Username": "bob", "Secret": "s" }).to_string();
    done(&ask("store", &stored));
    let got: Value = serde_json::from_str(&done(&ask("get", "other.example"))).expect("it is JSON");
    assert_eq!(got["Secret"], "s");
    done(&ask("erase", "other.example"));
    assert_eq!(code(&ask("get", "other.example")), 1);
}

#[tokio::test]
async fn grants_groups_robots_and_tokens_are_made_over_the_network() {
    let place = Place::new();
    let served = place.serve();
    done(&place.log_in(&served, "alice", "correct horse"));
    let run = |words: &[&str]| done(&place.run(words, ""));
    done(&place.run(&["user", "add", "bob", "--password-stdin"], "battery staple\n"));
    run(&["group", "add", "ml", "--description", "models", "--member", "bob"]);
    assert!(run(&["group", "show", "ml"]).contains("bob"));
    let grant = run(&["grant", "add", "group:ml", "pull,push", "team/**"]);
    let explained = run(&["grant", "explain", "bob", "team/model"]);
    assert!(explained.contains("push") && explained.contains("group:ml"), "{explained}");
    let tags = format!("{}/v2/team/model/tags/list", served.url());
    run(&["repo", "create", "team/model"]);
    assert_eq!(status(&tags, Some(("bob", "battery staple"))).await, 200);
    run(&["grant", "rm", grant.trim(), "--yes"]);
    assert_ne!(status(&tags, Some(("bob", "battery staple"))).await, 200);

    run(&["robot", "add", "team-ci", "--repo", "team/**"]);
    let token = run(&["token", "create", "ci", "--owner", "robot:team-ci", "--ttl", "30d"]);
    assert_eq!(status(&tags, Some(("anything", token.trim()))).await, 200);
    assert!(run(&["robot", "ls"]).contains("team-ci"));
    let tokens: Value =
        serde_json::from_str(&run(&["token", "ls", "--owner", "robot:team-ci", "--output", "json"])).expect("JSON");
    let id = tokens[0]["id"].as_str().expect("it has one");
    run(&["token", "rm", id, "--yes"]);
    assert_eq!(status(&tags, Some(("anything", token.trim()))).await, 401);

    let password = run(&["token", "password", "--ttl", "1h"]);
    assert_eq!(password.lines().count(), 1);
    assert_eq!(status(&format!("{}/v2/", served.url()), Some(("AWS", password.trim()))).await, 200);

    run(&[
        "trust",
        "add",
        "main",
        "--issuer",
        "github",
        "--audience",
        "larder",
        "--claim",
        "repository_owner_id=42",
        "--claim",
        "ref=refs/heads/main",
        "--repo",
        "team/**",
    ]);
    assert!(run(&["trust", "ls"]).contains("repository_owner_id=42"));
    let shared = place.run(
        &[
            "trust",
            "add",
            "x",
            "--issuer",
            "github",
            "--audience",
            "larder",
            "--claim",
            "ref=refs/heads/main",
            "--repo",
            "team/**",
        ],
        "",
    );
    assert_ne!(code(&shared), 0, "everybody's jobs would be let in");

    let lines = run(&["audit", "--since", "1h", "--output", "jsonl"]);
    let entries: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    assert!(entries.len() > 5, "{lines}");
    assert!(!lines.contains(token.trim()) && !lines.contains("battery staple"), "{lines}");
}

#[tokio::test]
async fn an_invited_user_sets_a_password_once() {
    let place = Place::new();
    let served = place.serve();
    let made = place.run(&["user", "add", "carol", "--invite", "--data", &place.data], "");
    let invitation = done(&made).trim().to_owned();
    assert!(stderr(&made).contains("larder user accept"), "{}", stderr(&made));
    let accept = || {
        place.run(&["user", "accept", &invitation, "--password-stdin", "--server", served.url()], "purple elephant\n")
    };
    done(&accept());
    assert_eq!(status(&format!("{}/v2/", served.url()), Some(("carol", "purple elephant"))).await, 200);
    assert_ne!(code(&accept()), 0, "it is used up");
    done(&place.log_in(&served, "carol", "purple elephant"));
    let changed = place.run(&["user", "passwd", "--password-stdin"], "purple elephant\ngreen elephant\n");
    done(&changed);
    assert_eq!(status(&format!("{}/v2/", served.url()), Some(("carol", "green elephant"))).await, 200);
}

#[test]
fn without_a_terminal_nothing_waits_for_an_answer() {
    let place = Place::new();
    for words in [&["user", "add", "dave"][..], &["user", "rm", "alice"], &["user", "passwd", "alice"]] {
        let output = place.run(&[words, &["--data", &place.data]].concat(), "");
        assert_eq!(code(&output), 2, "{words:?}: {}", stderr(&output));
    }
    let output = place.run(&["login", "localhost:1", "--username", "a"], "");
    assert_eq!(code(&output), 2, "{}", stderr(&output));
}

/// Behaviour §7: the image, started without a word about who may log in.
#[tokio::test]
async fn the_image_makes_a_first_user_and_tells_the_password_once() {
    let (parent, data) = folders();
    let old = old_file(parent.path());
    let image = [("LARDER_CONFIG", old.as_str()), ("LARDER_LISTEN", "0.0.0.0:0")];
    let mut served = Served::start_with(&data, &[], &image);
    let password = served.greeting["first_user"]["password"].as_str().expect("it is told").to_owned();
    assert_eq!((served.greeting["first_user"]["name"].as_str(), password.len()), (Some("admin"), 24));
    let base = |served: &Served| format!("{}/v2/", served.url().replace("0.0.0.0", "127.0.0.1"));
    assert_eq!(status(&base(&served), None).await, 401);
    assert_eq!(status(&base(&served), Some(("admin", &password))).await, 200);
    served.stop();

    let served = Served::start_with(&data, &[], &image);
    assert_eq!(served.greeting["first_user"], Value::Null);
    assert_eq!(status(&base(&served), Some(("admin", &password))).await, 200);
    let data = data.display().to_string();
    done(
        &larder(&["grant", "add", "anonymous", "pull,push,delete,tag-move", "**", "--data", &data])
            .output()
            .expect("it runs"),
    );
    let model = parent.path().join("model.bin");
    std::fs::write(&model, "weights").expect("it can be written");
    let reference = format!("{}/ml-model:v1.0", host(&served).replace("0.0.0.0", "127.0.0.1"));
    done(&at(parent.path(), &["push", &model.display().to_string(), &reference], ""));
}

#[tokio::test]
async fn the_image_is_open_when_that_is_meant() {
    let (parent, data) = folders();
    let old = old_file(parent.path());
    let image = [("LARDER_CONFIG", old.as_str()), ("LARDER_LISTEN", "0.0.0.0:0"), ("LARDER_ACCESS__OPEN", "write")];
    let served = Served::start_with(&data, &[], &image);
    assert_eq!(served.greeting["first_user"], Value::Null);
    push(&served.url().replace("0.0.0.0", "127.0.0.1"), "ml-model", "v1.0").await;
}

/// `htpasswd -Bbn alice secret` writes such a hash.
const SECRET: &str = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";

/// Case 9 without TLS: everyone in the file may push, pull and list, DELETE is 405, and the first user ends that.
#[tokio::test]
async fn a_password_file_is_taken_as_registry_2_takes_it() {
    let (parent, data) = folders();
    let file = parent.path().join("htpasswd");
    std::fs::write(&file, format!("alice:{SECRET}\n")).expect("it can be written");
    let file = file.display().to_string();
    let old = old_file(parent.path());
    let settings = [
        ("LARDER_CONFIG", old.as_str()),
        ("LARDER_LISTEN", "0.0.0.0:0"),
        ("REGISTRY_AUTH", "htpasswd"),
        ("REGISTRY_AUTH_HTPASSWD_PATH", &file),
        ("REGISTRY_AUTH_HTPASSWD_REALM", "Registry Realm"),
    ];
    let served = Served::start_with(&data, &[], &settings);
    let base = served.url().replace("0.0.0.0", "127.0.0.1");
    let answer = reqwest::get(format!("{base}/v2/")).await.expect("it is answered");
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["www-authenticate"], "Basic realm=\"Registry Realm\"");
    assert_eq!(status(&format!("{base}/v2/"), Some(("alice", "secret"))).await, 200);
    assert_eq!(status(&format!("{base}/v2/_catalog"), Some(("alice", "secret"))).await, 200);
    assert_eq!(status(&format!("{base}/v2/"), Some(("alice", "wrong"))).await, 401);

    let data = data.display().to_string();
    // The server knows of the file; who types the command need not have its settings.
    let add = |words: &[&str]| fed(larder(&[words, &["--data", &data]].concat()), "correct horse\n");
    let user = ["user", "add", "root", "--password-stdin"];
    for words in
        [&user[..], &["grant", "add", "alice", "pull", "team/**"], &["robot", "add", "ci", "--repo", "team/**"]]
    {
        let asked = add(words);
        assert_eq!(code(&asked), 2, "{words:?} asks first: {}", stderr(&asked));
        assert!(stderr(&asked).contains("Until now everyone in"), "{}", stderr(&asked));
    }
    done(&add(&[&user[..], &["--yes"]].concat()));
    assert_eq!(status(&format!("{base}/v2/"), Some(("alice", "secret"))).await, 200, "alice can still log in");
    assert_ne!(status(&format!("{base}/v2/team/x/tags/list"), Some(("alice", "secret"))).await, 200);
}

#[tokio::test]
async fn quotas_are_set_listed_and_removed() {
    let place = Place::new();
    let served = place.serve();
    done(&place.log_in(&served, "alice", "correct horse"));
    let set = done(&place.run(&["quota", "set", "team/**", "--bytes", "1KiB", "--manifests", "2"], ""));
    assert!(set.contains("1.0 KiB") && set.contains("team/**"), "{set}");
    let list = done(&place.run(&["quota", "ls", "--output", "json"], ""));
    let list: Value = serde_json::from_str(&list).expect("it is JSON");
    assert_eq!(
        (&list[0]["bytes"], &list[0]["manifests"], &list[0]["used_bytes"]),
        (&json!(1024), &json!(2), &json!(0))
    );
    // With the server running and by its data folder: one and the same.
    assert!(done(&place.run(&["quota", "ls", "--data", &place.data], "")).contains("team/**"));
    let digest = crate::larder::sha256(&[7; 2000]);
    let client = reqwest::Client::new();
    let pushed = client.post(format!("{}/v2/team/a/blobs/uploads/?digest={digest}", served.url())).body(vec![7; 2000]);
    let pushed = pushed.basic_auth("alice", Some("correct horse")).send().await.expect("it is answered");
    assert_eq!(pushed.status(), 403);
    let said = pushed.text().await.expect("a body");
    assert!(said.contains("over the quota of team/**: 0 of 1024 bytes are used, and this needs 2000"), "{said}");
    let nothing = place.run(&["quota", "set", "team/**"], "");
    assert_eq!(code(&nothing), 2, "{}", stderr(&nothing));
    let preview = place.run(&["quota", "rm", "team/**", "--dry-run"], "");
    assert_eq!(code(&preview), 0, "{}", stderr(&preview));
    done(&place.run(&["quota", "rm", "team/**", "--yes"], ""));
    assert_eq!(code(&place.run(&["quota", "rm", "team/**", "--yes"], "")), 3);
}

#[tokio::test]
async fn limits_are_what_the_configuration_says() {
    let (_parent, data) = folders();
    let settings = [
        ("LARDER_LIMITS__ADDRESS_REQUESTS", "1"),
        ("LARDER_LIMITS__UPLOAD_BYTES", "1KiB"),
        ("LARDER_LIMITS__ADDRESS_UPLOADS", "5"),
        ("LARDER_LIMITS__ADDRESS_BYTES", "10MiB"),
    ];
    let served = Served::start_with(&data, &[], &settings);
    let client = reqwest::Client::new();
    let digest = crate::larder::sha256(&[7; 2000]);
    let pushed = client.post(format!("{}/v2/a/blobs/uploads/?digest={digest}", served.url())).body(vec![7; 2000]);
    assert_eq!(pushed.send().await.expect("it is answered").status(), 413);
    let mut last = 200;
    for _ in 0..12 {
        last = status(&format!("{}/v2/", served.url()), None).await;
    }
    assert_eq!(last, 429);
    assert_eq!(status(&format!("{}/healthz", served.url()), None).await, 200);
}
