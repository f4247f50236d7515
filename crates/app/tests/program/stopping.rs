//! Signals and restarts: nothing acknowledged is lost, and nobody who can be served is cut off.

use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::larder::{PATIENCE, Served, code, folders, push, run, sha256};

/// Begins an upload and sends its first chunk; answers where it goes on.
async fn begin(base: &str, chunk: &[u8]) -> String {
    let client = reqwest::Client::new();
    let begun = client.post(format!("{base}/v2/ml-model/blobs/uploads/")).send().await.expect("it is answered");
    let location = begun.headers()["location"].to_str().expect("it is text").to_owned();
    let patched = client.patch(absolute(base, &location)).body(chunk.to_vec()).send().await.expect("it is answered");
    assert_eq!(patched.status(), 202);
    patched.headers()["location"].to_str().expect("it is text").to_owned()
}

fn absolute(base: &str, location: &str) -> String {
    let path = location
        .strip_prefix("http://")
        .and_then(|rest| rest.find('/').map(|slash| &rest[slash..]))
        .unwrap_or(location);
    format!("{base}{path}")
}

async fn finish(base: &str, location: &str, rest: &[u8], whole: &[u8]) {
    let client = reqwest::Client::new();
    let url = absolute(base, location);
    let status = client.get(&url).send().await.expect("it is answered");
    assert_eq!(status.status(), 204);
    assert_eq!(status.headers()["range"], format!("0-{}", whole.len() - rest.len() - 1));
    let joint = if url.contains('?') { '&' } else { '?' };
    let put = client.put(format!("{url}{joint}digest={}", sha256(whole))).body(rest.to_vec());
    assert_eq!(put.send().await.expect("it is answered").status(), 201);
}

#[tokio::test]
async fn uploads_survive_a_restart_and_a_kill() {
    let (_parent, folder) = folders();
    let whole: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
    let mut served = Served::start(&folder);
    let first = begin(served.url(), &whole[..200_000]).await;
    let second = begin(served.url(), &whole[..100_000]).await;
    served.stop();
    let mut served = Served::start(&folder);
    finish(served.url(), &first, &whole[200_000..], &whole).await;
    served.signal(Signal::KILL);
    assert_eq!(served.wait(), None);
    let served = Served::start(&folder);
    finish(served.url(), &second, &whole[100_000..], &whole).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let (_parent, folder) = folders();
    let mut served = Served::start(&folder);
    let digest = push(served.url(), "ml-model", "1.0").await;
    served.signal(Signal::KILL);
    served.wait();
    let served = Served::start(&folder);
    let pulled = reqwest::get(format!("{}/v2/ml-model/manifests/1.0", served.url())).await.expect("it is answered");
    assert_eq!(pulled.headers()["docker-content-digest"], digest);
}

#[tokio::test]
async fn a_drain_serves_open_connections_and_says_that_it_is_not_ready() {
    let (_parent, folder) = folders();
    let mut served =
        Served::start_with(&folder, &[], &[("LARDER_DRAIN__DELAY", "600ms"), ("LARDER_DRAIN__TIMEOUT", "10s")]);
    let address = served.url().trim_start_matches("http://").to_owned();
    let mut slow = TcpStream::connect(&address).expect("it is listening");
    slow.set_read_timeout(Some(PATIENCE)).expect("it takes a timeout");
    let blob = b"slow and steady";
    let digest = sha256(blob);
    let head = format!(
        "POST /v2/ml-model/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        blob.len()
    );
    slow.write_all(head.as_bytes()).expect("it can be written");
    slow.write_all(&blob[..4]).expect("it can be written");
    // The request is open once the server has seen its head.
    tokio::time::sleep(Duration::from_millis(200)).await;

    served.signal(Signal::TERM);
    let begun = Instant::now();
    let ready = loop {
        let status =
            reqwest::get(format!("http://{address}/readyz")).await.expect("new connections are still let in").status();
        if status == 503 || begun.elapsed() > PATIENCE {
            break status;
        }
    };
    assert_eq!(ready, 503);
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(TcpStream::connect(&address).is_err(), "no new connection is let in");
    slow.write_all(&blob[4..]).expect("the open one goes on");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).expect("it is answered");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(served.wait(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (_parent, folder) = folders();
    let long = [("LARDER_DRAIN__DELAY", "30s"), ("LARDER_DRAIN__TIMEOUT", "60s")];
    let mut served = Served::start_with(&folder, &[], &long);
    served.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    served.signal(Signal::TERM);
    assert_eq!(served.wait(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(!folder.join("run/larder.sock").exists(), "the control socket is gone");
}

/// A write that finds the catalog damaged ends the process, whatever else it is doing: the restart recovers from what is durable (behaviour §6).
#[test]
fn a_catalog_that_breaks_ends_the_server_with_a_code_of_its_own() {
    let (_parent, folder) = folders();
    let repo = |url: &str, name: &str| run(&["repo", "create", name, "--server", url]);
    let mut served = Served::start(&folder);
    assert_eq!(code(&repo(served.url(), "team/model")), 0);
    served.stop();
    let mut served = Served::start(&folder);
    let path = folder.join("catalog.db");
    let length = std::fs::metadata(&path).expect("it is there").len();
    let mut database = std::fs::OpenOptions::new().write(true).open(path).expect("it is ours");
    // All but the first page, which tells what the file is.
    database.seek(SeekFrom::Start(4096)).expect("it is longer than a page");
    database.write_all(&vec![0xa5; usize::try_from(length).expect("it is small") - 4096]).expect("it can be damaged");
    drop(database);
    // Whether the answer still leaves the process is chance.
    assert_ne!(code(&repo(served.url(), "another/model")), 0, "nothing is acknowledged");
    assert_eq!(served.wait(), Some(70));
}
