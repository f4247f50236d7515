//! Limits on what the server may use and on how long it waits: descriptors, and peers that stall.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::larder::{PATIENCE, Served, folders, push, without_settings};

/// A server under a limit on open files: `-n` is both limits, `-Sn` the soft one.
fn limited(folder: &Path, limit: &str) -> Served {
    let mut command = without_settings("sh");
    let script = format!("ulimit {limit}; exec \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_larder"), "serve", "--output", "jsonl"]);
    command.args(["--listen", "127.0.0.1:0", "--data", &folder.display().to_string()]);
    command.env("LARDER_DRAIN__DELAY", "0s").env("LARDER_DRAIN__TIMEOUT", "500ms");
    Served::greeted(command)
}

fn descriptors(served: &Served) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", served.pid())).expect("it runs").count()
}

/// Hundredths of a second that it has worked.
fn worked(served: &Served) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", served.pid())).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name in brackets").split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<u64>().expect("a number");
    ticks(11) + ticks(12)
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test]
async fn without_descriptors_it_waits_for_one_and_goes_on() {
    let (_parent, folder) = folders();
    let served = limited(&folder, "-n 128");
    let idle = descriptors(&served);
    let address = served.url().trim_start_matches("http://");
    let held: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).expect("the kernel takes it")).collect();
    until("all descriptors are taken", || descriptors(&served) >= 128);
    let before = worked(&served);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let spent = worked(&served) - before;
    assert!(spent < 40, "{spent} hundredths of a second in two seconds of nothing to do");
    assert!(descriptors(&served) >= 128, "those who wait still do");
    drop(held);
    until("the descriptors are free again", || descriptors(&served) <= idle + 2);
    push(served.url(), "ml-model", "1.0").await;
}

/// Shells leave the soft limit low for programs that cannot take more; this one can.
#[tokio::test]
async fn the_soft_limit_on_descriptors_is_raised() {
    let (_parent, folder) = folders();
    let served = limited(&folder, "-Sn 64");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", served.pid())).expect("it runs");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("there is such a limit");
    let values: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(values[0], values[1], "soft and hard");
    assert_ne!(values[0], "64");
    let address = served.url().trim_start_matches("http://");
    let _held: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).expect("it is taken")).collect();
    push(served.url(), "ml-model", "1.0").await;
    until("all are let in", || descriptors(&served) > 100);
}

#[test]
fn a_stalled_peer_is_dropped_after_the_time_that_is_set() {
    let (_parent, folder) = folders();
    let served = Served::start_with(&folder, &[], &[("LARDER_LIMITS__STALL_TIMEOUT", "1s")]);
    let mut stalled = TcpStream::connect(served.url().trim_start_matches("http://")).expect("it is listening");
    stalled.set_read_timeout(Some(PATIENCE)).expect("it takes a timeout");
    let head = "POST /v2/a/blobs/uploads/?digest=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a HTTP/1.1\r\n\
                Host: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\n{";
    let begun = Instant::now();
    stalled.write_all(head.as_bytes()).expect("it can be written");
    let mut answer = Vec::new();
    // However it is told, the connection ends.
    let _ = stalled.read_to_end(&mut answer);
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(6), "{took:?}");
    assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
}
