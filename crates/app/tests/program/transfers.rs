//! `push`, `pull`, `copy` and `inspect` against real servers.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use crate::larder::{Served, code, folders, larder, push, run, sha256, stderr, stdout, without_settings};

/// `127.0.0.1:PORT` of a server.
fn host(served: &Served) -> String {
    served.url().trim_start_matches("http://").to_owned()
}

/// Bytes that do not compress and do not repeat.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(length.div_ceil(8)).flatten().take(length).collect()
}

fn model(folder: &Path, size: usize) -> String {
    let path = folder.join("model.safetensors");
    std::fs::write(&path, noise(size, 1)).expect("it can be written");
    path.display().to_string()
}

/// Runs a command that has to succeed and answers its JSON.
fn json(words: &[&str]) -> Value {
    let output = run(&[words, &["--output", "json"]].concat());
    assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
    serde_json::from_str(&stdout(&output)).expect("it is JSON")
}

#[test]
fn a_model_goes_up_and_comes_back_byte_for_byte() {
    let (parent, data) = folders();
    let served = Served::start(&data);
    let reference = format!("{}/ml-model:1", host(&served));
    let path = model(parent.path(), 9_000_001);
    let pushed = json(&["push", &path, &reference]);
    assert_eq!((&pushed[0]["result"], &pushed[0]["reference"]), (&"done".into(), &Value::from(reference.as_str())));
    let here = parent.path().join("here").display().to_string();
    let pulled = json(&["pull", &reference, &here]);
    assert_eq!((&pulled["digest"], &pulled["format"]), (&pushed[0]["digest"], &"files".into()));
    let back = std::fs::read(parent.path().join("here/model.safetensors")).expect("it came");
    assert!(back == std::fs::read(&path).expect("it is there"));
    let seen = json(&["inspect", &reference]);
    assert_eq!(seen["artifact_type"], "application/vnd.cncf.model.manifest.v1+json");
    assert_eq!(
        (&seen["layers"][0]["path"], &seen["layers"][0]["size"]),
        (&"model.safetensors".into(), &9_000_001.into())
    );
    assert_eq!(seen["config"]["facts"]["config"]["format"], "safetensors");
    let raw = run(&["inspect", &reference, "--raw"]);
    assert_eq!(Value::from(sha256(&raw.stdout)), pushed[0]["digest"]);
    // Again: nothing moves, and the digest is the same.
    let again = run(&["push", &path, &reference]);
    assert_eq!((code(&again), stderr(&again).matches(": exists").count()), (0, 2), "{}", stderr(&again));
    assert_eq!(stdout(&again).trim(), format!("{reference} {}", pushed[0]["digest"].as_str().expect("text")));
}

#[tokio::test]
async fn an_image_goes_through_a_layout_and_an_archive_to_another_server() {
    let (parent, data) = folders();
    let (_other_parent, other_data) = folders();
    let (served, other) = (Served::start(&data), Served::start(&other_data));
    let digest = push(served.url(), "team/image", "1.0").await;
    let from = format!("{}/team/image:1.0", host(&served));
    for (name, format) in [("layout", "layout"), ("image.tar", "archive")] {
        let place = parent.path().join(name).display().to_string();
        let pulled = json(&["pull", &from, &place]);
        assert_eq!((&pulled["digest"], &pulled["format"]), (&Value::from(digest.as_str()), &Value::from(format)));
        let to = format!("{}/{format}:1", host(&other));
        assert_eq!(json(&["push", &place, &to])[0]["digest"], digest.as_str());
    }
    let (copied, here) = (format!("{}/copied:1", host(&other)), format!("{}/copied:1", host(&served)));
    let results = json(&["copy", &from, &copied, &here]);
    assert_eq!((&results[0]["digest"], &results[1]["digest"]), (&digest.as_str().into(), &digest.as_str().into()));
    assert_eq!(json(&["inspect", &copied])["digest"], digest.as_str());
}

/// Tags, untagged parts and what refers to images survive the way through a layout; done again, nothing moves.
#[tokio::test]
async fn a_repository_goes_through_a_layout_with_all_its_tags_and_referrers() {
    let (parent, data) = folders();
    let (_other_parent, other_data) = folders();
    let (served, other) = (Served::start(&data), Served::start(&other_data));
    let one = push(served.url(), "team/image", "1.0").await;
    let two = push(served.url(), "team/image", "2.0").await;
    let tagged = run(&["tag", "add", "team/image:2.0", "prod", "latest", "--server", served.url()]);
    assert_eq!(code(&tagged), 0, "{}", stderr(&tagged));
    let signature = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.example.signature", "digest": sha256(b"{}"), "size": 2 },
        "layers": [],
        "subject": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": one, "size": 431 },
    });
    let client = reqwest::Client::new();
    let head = client.head(format!("{}/v2/team/image/manifests/{one}", served.url())).send().await.expect("answered");
    let size: u64 = head.headers()["content-length"].to_str().expect("text").parse().expect("a number");
    let signature = signature.to_string().replace("431", &size.to_string());
    let put = client.put(format!("{}/v2/team/image/manifests/{}", served.url(), sha256(signature.as_bytes())));
    let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json").body(signature);
    assert_eq!(put.send().await.expect("answered").status(), 201);

    let (layout, from) = (parent.path().join("layout").display().to_string(), format!("{}/team/image", host(&served)));
    let exported = json(&["export", &from, &layout]);
    assert_eq!((&exported["images"], &exported["tags"]), (&2.into(), &4.into()), "{exported}");
    let again = json(&["export", &from, &layout]);
    assert_eq!((&again["tags"], &again["bytes"]), (&4.into(), &0.into()), "nothing moves: {again}");
    let index: Value =
        serde_json::from_slice(&std::fs::read(parent.path().join("layout/index.json")).expect("it is there"))
            .expect("JSON");
    assert_eq!(index["manifests"].as_array().map(Vec::len), Some(5), "four tags and a signature: {index}");

    let to = format!("{}/moved/image", host(&other));
    let imported = json(&["import", "oci", &layout, &to]);
    assert_eq!((&imported["tags"], &imported["failures"]), (&4.into(), &serde_json::json!([])), "{imported}");
    for (tag, digest) in [("1.0", &one), ("2.0", &two), ("prod", &two), ("latest", &two)] {
        assert_eq!(json(&["inspect", &format!("{to}:{tag}")])["digest"], digest.as_str());
    }
    let referrers =
        client.get(format!("{}/v2/moved/image/referrers/{one}", other.url())).send().await.expect("answered");
    let referrers: Value = referrers.json().await.expect("JSON");
    assert_eq!(referrers["manifests"].as_array().map(Vec::len), Some(1), "{referrers}");
    assert_eq!(code(&run(&["export", &format!("{from}:1.0"), &layout])), 2, "one image is for pull");
    assert_eq!(code(&run(&["export", &format!("{from}-none"), &layout])), 3);
}

#[test]
fn one_push_reaches_several_registries_and_one_failure_stops_no_other() {
    let (parent, first_data) = folders();
    let (_second_parent, second_data) = folders();
    let (_third_parent, third_data) = folders();
    let (first, second) = (Served::start(&first_data), Served::start(&second_data));
    let third = Served::start(&third_data);
    let path = model(parent.path(), 6_000_000);
    let references = [
        format!("{}/yourusername/ml-model:1.0.0", host(&first)),
        format!("{}/yourusername/ml-model:latest", host(&first)),
        format!("{}/ml-model:1.0.0", host(&second)),
        format!("{}/my-project/ml-models/ml-model:1.0.0", host(&third)),
    ];
    let words: Vec<&str> = ["push", &path].into_iter().chain(references.iter().map(String::as_str)).collect();
    let results = json(&words);
    assert!(results.as_array().expect("a list").iter().all(|result| result["digest"] == results[0]["digest"]));
    for reference in &references {
        assert_eq!(json(&["inspect", reference])["digest"], results[0]["digest"]);
    }
    drop(second);
    let output = run(&[&words[..], &["--output", "json"]].concat());
    assert_eq!(code(&output), 1, "one failure of several");
    let results: Value = serde_json::from_str(&stdout(&output)).expect("it is JSON");
    let results: Vec<&str> = results.as_array().expect("a list").iter().filter_map(|r| r["result"].as_str()).collect();
    assert_eq!(results, ["done", "done", "failed", "done"]);
    assert!(stderr(&output).contains("could not be reached"), "{}", stderr(&output));
}

#[test]
fn references_and_failures_have_the_pinned_exit_codes() {
    let (parent, data) = folders();
    let served = Served::start(&data);
    let path = model(parent.path(), 1000);
    let place = parent.path().join("out").display().to_string();
    let host = host(&served);
    for (words, exit, says) in [
        (vec!["push", &path, "ml-model:1.0"], 2, "localhost:5000/ml-model:1.0"),
        (vec!["push", &path, "ml-model", "--server", served.url()], 2, "neither tag nor digest"),
        (vec!["inspect", "no-such/image:1", "--server", served.url()], 3, "no-such/image:1"),
        (vec!["pull", "no-such/image:1", &place, "--server", served.url()], 3, "no-such/image:1"),
        (vec!["inspect", "127.0.0.1:9/image:1"], 6, "could not be reached"),
        (vec!["push", "/no/such/file", "a:1", "--server", served.url()], 1, "/no/such/file"),
    ] {
        let output = run(&words);
        assert_eq!(code(&output), exit, "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{words:?}: {}", stderr(&output));
    }
    // Without a host a name is the server's, whichever way the server was named.
    let output = larder(&["push", &path, "ml-model:1.0"]).env("LARDER_SERVER", &host).output().expect("it runs");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(json(&["inspect", &format!("{host}/ml-model:1.0")])["layers"][0]["size"], 1000);
}

#[test]
fn what_is_read_only_is_refused_as_a_rule() {
    let (parent, data) = folders();
    let mut served = Served::start(&data);
    served.stop();
    let served = Served::start_with(&data, &["--read-only"], &[]);
    let output = run(&["push", &model(parent.path(), 1000), &format!("{}/a:1", host(&served))]);
    assert_eq!(code(&output), 5, "{}", stderr(&output));
}

/// A way to a server that hangs up on its first connections once so many bytes of a body went through.
struct Cutter {
    host: String,
    server: Arc<Mutex<SocketAddr>>,
    cut: Arc<AtomicUsize>,
}

impl Cutter {
    /// Cuts `times` connections, each after `bytes` in the direction that `upward` says.
    fn start(served: &Served, upward: bool, bytes: usize, times: usize) -> Self {
        Self::start_at(host_address(served), upward, bytes, times, || ())
    }

    /// The same; `then` runs before the connection dies.
    fn start_at(
        server: SocketAddr,
        upward: bool,
        bytes: usize,
        times: usize,
        then: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let server = Arc::new(Mutex::new(server));
        let cut = Arc::new(AtomicUsize::new(0));
        let (at, count, then) = (Arc::clone(&server), Arc::clone(&cut), Arc::new(then));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let to = *at.lock().expect("unpoisoned");
                let Ok(server) = TcpStream::connect(to) else { continue };
                let (up, down) = (client.try_clone().expect("cloned"), server.try_clone().expect("cloned"));
                for (from, into, watched) in [(client, server, upward), (down, up, !upward)] {
                    let (count, then) = (Arc::clone(&count), Arc::clone(&then));
                    thread::spawn(move || {
                        let limit = if watched { bytes } else { usize::MAX };
                        if forward(&from, &into, limit, || count.load(Ordering::Relaxed) < times) {
                            count.fetch_add(1, Ordering::Relaxed);
                            then();
                        }
                        // Gone already, perhaps.
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = into.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { host, server, cut }
    }
}

fn host_address(served: &Served) -> SocketAddr {
    host(served).parse().expect("an address")
}

/// Copies until the end (`false`), or until `limit` bytes went through and `may_cut` agrees (`true`).
fn forward(mut from: &TcpStream, mut into: &TcpStream, limit: usize, may_cut: impl Fn() -> bool) -> bool {
    let (mut buffer, mut total) = (vec![0; 64 * 1024], 0);
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer) else { return false };
        if into.write_all(&buffer[..count]).is_err() {
            return false;
        }
        total += count;
        if total >= limit && may_cut() {
            return true;
        }
    }
}

#[test]
fn a_cut_push_goes_on_from_the_servers_offset() {
    let (parent, data) = folders();
    let served = Served::start(&data);
    let cutter = Cutter::start(&served, true, 20_000_000, 2);
    let path = model(parent.path(), 50_000_000);
    let output = run(&["push", &path, &format!("{}/a:1", cutter.host)]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(cutter.cut.load(Ordering::Relaxed), 2);
    assert!(stderr(&output).matches("again in").count() >= 2, "{}", stderr(&output));
    let back = parent.path().join("back").display().to_string();
    json(&["pull", &format!("{}/a:1", host(&served)), &back]);
    let back = std::fs::read(parent.path().join("back/model.safetensors")).expect("it came");
    assert_eq!(sha256(&back), sha256(&std::fs::read(&path).expect("it is there")));
}

#[test]
fn a_push_outlives_the_death_and_return_of_the_server() {
    let (parent, data) = folders();
    let served = Served::start(&data);
    let first = host_address(&served);
    let way = Arc::new(Mutex::new(None::<Arc<Mutex<SocketAddr>>>));
    let returned = Arc::new(Mutex::new(None));
    let (dying, to, keep) = (Mutex::new(Some(served)), Arc::clone(&way), Arc::clone(&returned));
    let restart = move || {
        let mut dead = dying.lock().expect("unpoisoned").take().expect("it dies once");
        dead.signal(Signal::KILL);
        dead.wait();
        let back = Served::start(&data);
        if let Some(server) = to.lock().expect("unpoisoned").as_ref() {
            *server.lock().expect("unpoisoned") = host_address(&back);
        }
        *keep.lock().expect("unpoisoned") = Some(back);
    };
    let cutter = Cutter::start_at(first, true, 20_000_000, 1, restart);
    *way.lock().expect("unpoisoned") = Some(Arc::clone(&cutter.server));
    let path = model(parent.path(), 50_000_000);
    let output = run(&["push", &path, &format!("{}/a:1", cutter.host)]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let mut returned = returned.lock().expect("unpoisoned");
    let url = host(returned.as_ref().expect("it came back"));
    assert_eq!(json(&["inspect", &format!("{url}/a:1")])["layers"][0]["size"], 50_000_000);
    // The cutter's threads outlive the test; the server must not.
    drop(returned.take());
}

/// A layer of 64 MiB and more comes by several requests at once, and each goes on by itself.
#[test]
fn a_large_layer_comes_by_ranges_at_once_through_cuts() {
    let (parent, data) = folders();
    let served = Served::start(&data);
    let path = model(parent.path(), 100_000_000);
    json(&["push", &path, &format!("{}/a:1", host(&served))]);
    let cutter = Cutter::start(&served, false, 7_000_000, 5);
    let back = parent.path().join("back");
    let output = run(&["pull", &format!("{}/a:1", cutter.host), &back.display().to_string()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(cutter.cut.load(Ordering::Relaxed), 5);
    let came = std::fs::read(back.join("model.safetensors")).expect("it came");
    assert!(came == std::fs::read(&path).expect("it is there"));
    let metrics = page(&format!("{}/metrics", served.url()));
    let ranges = metrics.lines().find_map(|line| {
        line.strip_prefix("larder_http_requests_total{route=\"blob\",method=\"GET\",status=\"206\"} ")
    });
    assert!(ranges.and_then(|count| count.parse::<usize>().ok()) >= Some(6), "{metrics}");
}

fn page(url: &str) -> String {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async { reqwest::get(url).await.expect("it is answered").text().await.expect("text") })
}

#[test]
fn a_cut_pull_goes_on_by_range() {
    let (parent, data) = folders();
    let served = Served::start(&data);
    let path = model(parent.path(), 30_000_000);
    json(&["push", &path, &format!("{}/a:1", host(&served))]);
    let cutter = Cutter::start(&served, false, 12_000_000, 2);
    let back = parent.path().join("back").display().to_string();
    let output = run(&["pull", &format!("{}/a:1", cutter.host), &back]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(cutter.cut.load(Ordering::Relaxed), 2);
    let back = std::fs::read(parent.path().join("back/model.safetensors")).expect("it came");
    assert_eq!(sha256(&back), sha256(&std::fs::read(&path).expect("it is there")));
}

/// From one server to another, cut on both ways: what is there is not moved again.
#[test]
fn a_cut_copy_goes_on_where_it_was() {
    let (parent, data) = folders();
    let (other_parent, other_data) = folders();
    let (from, to) = (Served::start(&data), Served::start(&other_data));
    let path = model(parent.path(), 50_000_000);
    json(&["push", &path, &format!("{}/a:1", host(&from))]);
    let down = Cutter::start(&from, false, 15_000_000, 1);
    let up = Cutter::start(&to, true, 20_000_000, 1);
    let output = run(&["copy", &format!("{}/a:1", down.host), &format!("{}/b:1", up.host)]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!((down.cut.load(Ordering::Relaxed), up.cut.load(Ordering::Relaxed)), (1, 1), "both ways were cut");
    let back = other_parent.path().join("back");
    json(&["pull", &format!("{}/b:1", host(&to)), &back.display().to_string()]);
    assert!(std::fs::read(back.join("model.safetensors")).expect("it came") == noise(50_000_000, 1));
    let metrics = page(&format!("{}/metrics", to.url()));
    let came = metrics.lines().filter(|line| line.starts_with("larder_http_received_bytes_total{"));
    let came: u64 = came.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert!((50_000_000..65_000_000).contains(&came), "{came} bytes came for 50,000,000:\n{metrics}");
}

/// A terminal of `script` (bsdutils, part of every Debian) sees a bar for the layer, then its line; a pipe sees the line alone.
#[test]
fn a_terminal_sees_bars_and_a_pipe_lines() {
    let (parent, data) = folders();
    let served = Served::start(&data);
    let path = model(parent.path(), 40_000_000);
    let reference = format!("{}/a:1", host(&served));
    let mut terminal = without_settings("script");
    let line = format!("{} push {path} {reference}", env!("CARGO_BIN_EXE_larder"));
    terminal.env("TERM", "xterm").args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let seen = terminal.output().expect("script runs");
    assert_eq!(code(&seen), 0, "{}", stderr(&seen));
    let seen = stdout(&seen);
    assert!(seen.contains("model.safetensors [") && seen.contains("/38.15 MiB"), "a bar: {seen}");
    assert!(seen.contains("model.safetensors: done"), "{seen}");
    std::fs::write(&path, noise(40_000_000, 2)).expect("another version");
    let piped = run(&["push", &path, &reference]);
    assert!(!stderr(&piped).contains('['), "no bar: {}", stderr(&piped));
    assert!(stderr(&piped).contains("model.safetensors: done"), "{}", stderr(&piped));
}
