//! Webhooks through the built program: a real listener hears what happens, signed, in order, and not at all where it may not be.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::larder::{PATIENCE, Served, code, folders, push, run, stderr, stdout};

/// What a listener heard.
#[derive(Clone, Debug)]
struct Heard {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Heard {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or_else(|| panic!("no {name} in {:?}", self.headers), |(_, value)| value.as_str())
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("it is JSON")
    }
}

/// Listens on a free port of this machine: answers with the statuses it was given, then with 204.
struct Listener {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Listener {
    fn answering(statuses: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it has one").port();
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (log, statuses) = (Arc::clone(&heard), Arc::new(Mutex::new(VecDeque::from(statuses.to_vec()))));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, statuses) = (Arc::clone(&log), Arc::clone(&statuses));
                std::thread::spawn(move || listen(stream, &log, &statuses));
            }
        });
        Self { port, heard }
    }

    /// Its address; it ends with the test.
    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("no panic").clone()
    }

    /// Waits until it has heard so much.
    #[track_caller]
    fn wait_for(&self, count: usize) -> Vec<Heard> {
        let begun = Instant::now();
        loop {
            let heard = self.heard();
            if heard.len() >= count {
                return heard;
            }
            assert!(begun.elapsed() < PATIENCE, "{} of {count} were heard", heard.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn listen(stream: TcpStream, log: &Mutex<Vec<Heard>>, statuses: &Mutex<VecDeque<u16>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut headers = Vec::new();
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
            if let Some((name, value)) = line.trim_end().split_once(": ") {
                headers.push((name.to_owned(), value.to_owned()));
            }
            line.clear();
        }
        let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let Some(length) = length.and_then(|(_, value)| value.parse().ok()) else { return };
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        log.lock().expect("no panic").push(Heard { headers, body });
        let status = statuses.lock().expect("no panic").pop_front().unwrap_or(204);
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// What `webhook-signature` has to be.
fn signature(secret: &str, heard: &Heard) -> String {
    let secret = secret.trim().strip_prefix("whsec_").expect("it is a webhook's secret");
    let mut key = STANDARD.decode(secret).expect("it is Base64");
    key.resize(64, 0);
    let pad = |with: u8| key.iter().map(|byte| byte ^ with).collect::<Vec<u8>>();
    let said = format!("{}.{}.", heard.header("webhook-id"), heard.header("webhook-timestamp"));
    let inner = Sha256::digest([&pad(0x36)[..], said.as_bytes(), &heard.body].concat());
    format!("v1,{}", STANDARD.encode(Sha256::digest([&pad(0x5c)[..], &inner].concat())))
}

/// Runs `larder webhook … --data DATA`.
fn webhook(data: &Path, words: &[&str]) -> Output {
    let data = data.display().to_string();
    run(&[&["webhook"], words, &["--data", &data]].concat())
}

#[track_caller]
fn done(output: &Output) -> String {
    assert_eq!(code(output), 0, "{}{}", stdout(output), stderr(output));
    stdout(output)
}

fn log(data: &Path, words: &[&str]) -> Vec<Value> {
    let printed = done(&webhook(data, &[&["deliveries", "ci", "--output", "json"], words].concat()));
    serde_json::from_str(&printed).expect("it is a list")
}

/// The log, once it is as it is to be: a listener hears a message before its answer is written down.
#[track_caller]
fn logged(data: &Path, is_so: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let log = log(data, &[]);
        if is_so(&log) {
            return log;
        }
        assert!(begun.elapsed() < PATIENCE, "{log:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn a_push_is_heard_signed_and_can_be_told_again() {
    let (_parent, data) = folders();
    let (served, listener) = (Served::start(&data), Listener::answering(&[]));
    let secret = done(&webhook(&data, &["add", "ci", &listener.url(), "--allow-private", "--repo", "team/*"]));
    push(served.url(), "other", "1").await;
    let digest = push(served.url(), "team/model", "1.0").await;
    let heard = listener.wait_for(2);
    let told: Vec<_> = heard.iter().map(|heard| heard.json()["type"].clone()).collect();
    assert_eq!(told, [json!("larder.manifest.pushed"), json!("larder.tag.moved")]);
    for one in &heard {
        assert_eq!(one.header("webhook-signature"), signature(&secret, one));
        assert_eq!(one.header("content-type"), "application/cloudevents+json; charset=utf-8");
        assert_eq!(one.json()["data"]["digest"], digest);
        assert_eq!(one.json()["id"], one.header("webhook-id"));
    }
    let log = logged(&data, |log| log.iter().filter(|one| one["state"] == "done").count() == 2);
    assert_eq!((&log[0]["event"]["tag"], &log[0]["status"]), (&json!("1.0"), &json!(204)));
    let id = log[0]["id"].to_string();
    let again = done(&webhook(&data, &["redeliver", "ci", &id]));
    assert_ne!(again.trim(), id, "it stands at the end of the log");
    let heard = listener.wait_for(3);
    assert_eq!(heard[2].header("webhook-id"), heard[1].header("webhook-id"));
    let metrics = reqwest::get(format!("{}/metrics", served.url())).await.expect("it is answered").text().await;
    let metrics = metrics.expect("it is text");
    assert!(metrics.contains("larder_webhook_deliveries_parked 0\n"), "{metrics}");
    let made = metrics.lines().find_map(|line| line.strip_prefix("larder_webhook_deliveries_total "));
    assert!(made.and_then(|made| made.parse::<u32>().ok()) >= Some(2), "{metrics}");
    assert_eq!(listener.heard().len(), 3, "what happens in other repositories is not told");
}

#[tokio::test]
async fn what_fails_is_tried_again_before_what_comes_after_it() {
    let (_parent, data) = folders();
    let (served, listener) = (Served::start(&data), Listener::answering(&[500, 503]));
    done(&webhook(&data, &["add", "ci", &listener.url(), "--allow-private", "--events", "tag"]));
    push(served.url(), "model", "1").await;
    push(served.url(), "model", "2").await;
    let tags: Vec<_> = listener.wait_for(4).iter().map(|heard| heard.json()["data"]["tag"].clone()).collect();
    assert_eq!(tags, ["1", "1", "1", "2"]);
}

#[tokio::test]
async fn a_stopped_server_tells_it_after_its_start() {
    let (_parent, data) = folders();
    let listener = Listener::answering(&[500]);
    let mut served = Served::start(&data);
    done(&webhook(&data, &["add", "ci", &listener.url(), "--allow-private", "--events", "push"]));
    push(served.url(), "model", "1").await;
    listener.wait_for(1);
    logged(&data, |log| log[0]["error"] == "answered 500");
    served.stop();
    let _served = Served::start(&data);
    let heard = listener.wait_for(2);
    assert_eq!(heard[0].header("webhook-id"), heard[1].header("webhook-id"));
}

/// The listener of the guide, run as it stands there.
#[test]
fn the_guide_s_listener_takes_what_is_ours_and_nothing_else() {
    let (_parent, data) = folders();
    let _served = Served::start(&data);
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/webhooks.md");
    let guide = std::fs::read_to_string(guide).expect("the guide is there");
    let program =
        guide.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has a listener");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port is free").port();
    let url = format!("http://127.0.0.1:{port}/");
    let secret = done(&webhook(&data, &["add", "ci", &url, "--allow-private"]));
    let mut python = std::process::Command::new("python3");
    python.args(["-c", program]).env("WEBHOOK_SECRET", secret.trim()).env("PORT", port.to_string());
    let child = python.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn();
    let mut child = Ended(child.expect("python3 is there"));
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the listener does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(done(&webhook(&data, &["test", "ci"])), "ci: answered 204\n");
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().expect("it is piped")).read_line(&mut line).expect("it can be read");
    assert_eq!(line, "larder.webhook.test\n");
    done(&webhook(&data, &["set", "ci", "--new-secret"]));
    let refused = webhook(&data, &["test", "ci"]);
    assert_eq!((code(&refused), stdout(&refused).as_str()), (1, "ci: answered 401\n"));
}

/// A program that ends with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn private_addresses_are_refused_unless_they_are_allowed() {
    let (_parent, data) = folders();
    let (_served, listener) = (Served::start(&data), Listener::answering(&[]));
    let refused = webhook(&data, &["add", "ci", &listener.url()]);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("no public address"), "{}", stderr(&refused));
    // Not seen to be an address until somebody looks it up.
    done(&webhook(&data, &["add", "ci", &format!("http://127.1:{}/", listener.port)]));
    let test = webhook(&data, &["test", "ci"]);
    assert_eq!(code(&test), 1);
    assert!(stdout(&test).contains("not public"), "{}", stdout(&test));
    assert!(listener.heard().is_empty());
    assert_eq!(log(&data, &["--state", "parked"]).len(), 1, "a test is tried once");
    done(&webhook(&data, &["set", "ci", "--allow-private"]));
    assert_eq!(done(&webhook(&data, &["test", "ci"])), "ci: answered 204\n");
    assert_eq!(listener.wait_for(1)[0].json()["type"], "larder.webhook.test");
    let again = done(&webhook(&data, &["redeliver", "ci", "--parked"]));
    assert_eq!(again.lines().count(), 1);
    listener.wait_for(2);
}

#[test]
fn webhooks_are_shown_changed_and_removed() {
    let (_parent, data) = folders();
    // A command that works alone needs a folder that is there.
    Served::start(&data).stop();
    let add = ["add", "chat", "https://hooks.example/x", "--format", "slack", "--events", "promote,quarantine"];
    let secret = done(&webhook(&data, &add));
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert_eq!(code(&webhook(&data, &add)), 1, "there is one");
    let shown = done(&webhook(&data, &["show", "chat", "--output", "json"]));
    let shown: Value = serde_json::from_str(&shown).expect("it is JSON");
    assert_eq!((&shown["format"], &shown["events"]), (&json!("slack"), &json!(["promote", "quarantine"])));
    assert!(shown.get("secret").is_none(), "it was shown once");
    let new =
        done(&webhook(&data, &["set", "chat", "--new-secret", "--tags", "prod", "--disable", "--output", "json"]));
    let new: Value = serde_json::from_str(&new).expect("it is JSON");
    assert_eq!((&new["tags"], &new["disabled"]), (&json!("prod"), &json!(true)));
    assert!(new["secret"].as_str().is_some_and(|new| new.starts_with("whsec_") && new != secret.trim()), "{new}");
    let all = done(&webhook(&data, &["set", "chat", "--all-tags"]));
    assert!(all.lines().any(|line| line.split_whitespace().eq(["tags", "-"])), "{all}");
    assert!(done(&webhook(&data, &["ls"])).contains("https://hooks.example/x"));
    assert_eq!(code(&webhook(&data, &["set", "chat"])), 2);
    assert_eq!(code(&webhook(&data, &["add", "x", "https://y.example", "--events", "nonsense"])), 2);
    assert_eq!(code(&webhook(&data, &["rm", "chat"])), 2, "nobody can be asked");
    done(&webhook(&data, &["rm", "chat", "--dry-run"]));
    assert_eq!(done(&webhook(&data, &["rm", "chat", "--yes"])), "chat\n");
    for words in [&["show", "chat"][..], &["deliveries", "chat"], &["redeliver", "chat", "1"], &["test", "chat"]] {
        assert_eq!(code(&webhook(&data, words)), 3, "{words:?}");
    }
}
