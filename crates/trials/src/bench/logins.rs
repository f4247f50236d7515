//! Pulls beside logins: what 32 logins a second of 8 accounts, whose passwords were verified a moment ago, cost those who pull.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use larder_oci::{Digest, media_type};

use super::Bench;
use super::peers::{self, Peer};
use super::process::Process;
use super::sheet::Better::Less;
use crate::harness::{During, Failure, Outcome};
use crate::raw::content::{image, sha256};
use crate::raw::larder::{free_port, program};
use crate::raw::{Client, Payload, Reply};

/// The rows of the sheet.
pub const IDLE: &str = "p99 of pulls, ms";
pub const BESIDE: &str = "p99 of pulls beside 32 logins a second, ms";

const ACCOUNTS: usize = 8;
const LOGINS: u32 = 32;
/// Clients that pull, and how often each does: enough for a p99, too little to be a load.
const PULLING: usize = 2;
const PULL_EVERY: Duration = Duration::from_millis(5);
const LAYER: usize = 64 << 10;
const REPOSITORY: &str = "user0/model";

/// Notes both figures.
pub fn measure(bench: &mut Bench<'_>) -> Outcome {
    let larder = bench.peers.iter().find_map(|peer| match peer {
        Peer::Larder(binary) => Some(binary.clone()),
        _ => None,
    });
    let (Some(larder), true) = (larder, bench.wants("p99 of pulls")) else { return Ok(()) };
    let folder = bench.scratch.join("logins");
    std::fs::create_dir_all(&folder)?;
    for account in 0..ACCOUNTS {
        add_user(&larder, &folder, account)?;
    }
    let port = free_port()?;
    let (mut process, _) = Process::start(peers::larder(&larder, &folder, port), port, "/readyz")?;
    let (token, layer) = seed(&mut process.client())?;
    for account in 0..ACCOUNTS {
        log_in(&mut process.client(), account)?;
    }
    let seconds = Duration::from_secs(bench.scale.seconds);
    let idle = pulls(&process, &token, &layer, seconds)?;
    let ended = AtomicBool::new(false);
    let beside = std::thread::scope(|scope| {
        let logins = scope.spawn(|| logins(&process, &ended));
        let beside = pulls(&process, &token, &layer, seconds);
        ended.store(true, Ordering::Relaxed);
        let made = logins.join().map_err(|_| Failure::new("a client panicked"))??;
        let expected = f64::from(LOGINS) * seconds.as_secs_f64();
        if f64::from(made) < expected * 0.9 {
            return Err(Failure::new(format!("{made} logins were made, not {expected}")));
        }
        beside
    })?;
    bench.sheet.note(IDLE, Less, "Larder", idle);
    bench.sheet.note(BESIDE, Less, "Larder", beside);
    process.stop()?;
    Ok(std::fs::remove_dir_all(&folder)?)
}

/// The limit of [`BESIDE`]: twice the idle figure, or 3 ms more.
pub fn limit(idle: f64) -> f64 {
    (2.0 * idle).max(idle + 3.0)
}

fn add_user(larder: &Path, folder: &Path, account: usize) -> Outcome {
    let mut command = program(larder);
    command.args(["user", "add", &format!("user{account}"), "--password-stdin", "--data"]).arg(folder.join("data"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut input = child.stdin.take().during(|| "it is piped".to_owned())?;
    writeln!(input, "{}", password(account))?;
    drop(input);
    if child.wait()?.success() { Ok(()) } else { Err(Failure::new("a user could not be made")) }
}

fn password(account: usize) -> String {
    format!("the password of user {account}")
}

fn basic(account: usize) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("user{account}:{}", password(account))))
}

/// A small image of the first user's; a token to pull it with, and its layer.
fn seed(client: &mut Client) -> Outcome<(String, Digest)> {
    let authorization = basic(0);
    let layer = vec![7; LAYER];
    let (config, digest) = (sha256(b"{}"), sha256(&layer));
    for (digest, bytes) in [(&config, b"{}".as_slice()), (&digest, &layer)] {
        let path = format!("/v2/{REPOSITORY}/blobs/uploads/?digest={digest}");
        let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/octet-stream")];
        expect(201, &client.send("POST", &path, &headers, Payload::Bytes(bytes))?)?;
    }
    let manifest = image((&config, 2), &[(digest, LAYER as u64)], "pulled");
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", media_type::OCI_MANIFEST)];
    let path = format!("/v2/{REPOSITORY}/manifests/1");
    expect(201, &client.send("PUT", &path, &headers, Payload::Bytes(&manifest))?)?;
    let path = format!("/token?service=larder&scope=repository:{REPOSITORY}:pull");
    let reply = client.send("GET", &path, &[("Authorization", &authorization)], Payload::Empty)?;
    expect(200, &reply)?;
    let token = reply.json()["token"].as_str().map(str::to_owned).during(|| "there is no token".to_owned())?;
    Ok((token, digest))
}

/// As `docker login` does: the challenge, a token for the password, and whether it is taken.
fn log_in(client: &mut Client, account: usize) -> Outcome {
    expect(401, &client.get("/v2/")?)?;
    let path = format!("/token?account=user{account}&client_id=docker&offline_token=false&service=larder");
    let reply = client.send("GET", &path, &[("Authorization", &basic(account))], Payload::Empty)?;
    expect(200, &reply)?;
    let token = format!("Bearer {}", reply.json()["token"].as_str().unwrap_or_default());
    expect(200, &client.send("GET", "/v2/", &[("Authorization", &token)], Payload::Empty)?)
}

/// Logs in again and again, each time over a connection of its own; says how often.
fn logins(process: &Process, ended: &AtomicBool) -> Outcome<u32> {
    let begun = Instant::now();
    let mut made = 0;
    while !ended.load(Ordering::Relaxed) {
        log_in(&mut process.client(), made as usize % ACCOUNTS)?;
        made += 1;
        std::thread::sleep((Duration::from_secs(1) / LOGINS * made).saturating_sub(begun.elapsed()));
    }
    Ok(made)
}

/// The p99 of manifest and layer, in milliseconds.
fn pulls(process: &Process, token: &str, layer: &Digest, seconds: Duration) -> Outcome<f64> {
    let times = Mutex::new(Vec::new());
    super::blobs::in_parallel(PULLING, |_| {
        let (mut client, mut own) = (process.client(), Vec::new());
        let authorization = format!("Bearer {token}");
        let headers = [("Authorization", authorization.as_str()), ("Accept", media_type::OCI_MANIFEST)];
        let begun = Instant::now();
        while begun.elapsed() < seconds {
            let asked = Instant::now();
            for path in [format!("/v2/{REPOSITORY}/manifests/1"), format!("/v2/{REPOSITORY}/blobs/{layer}")] {
                expect(200, &client.send("GET", &path, &headers, Payload::Empty)?)?;
            }
            own.push(asked.elapsed().as_secs_f64() * 1e3);
            std::thread::sleep(PULL_EVERY.saturating_sub(asked.elapsed()));
        }
        times.lock().map_err(|_| Failure::new("a client panicked"))?.append(&mut own);
        Ok(())
    })?;
    let mut times = times.into_inner().map_err(|_| Failure::new("a client panicked"))?;
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().during(|| "nothing was pulled".to_owned())
}

fn expect(wanted: u16, reply: &Reply) -> Outcome {
    if reply.status == wanted {
        return Ok(());
    }
    Err(Failure::new(format!("{} instead of {wanted}: {}", reply.status, reply.text())))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_limit_is_twice_the_idle_figure_or_three_milliseconds_more() {
        assert_eq!([1.0, 3.0, 5.0].map(super::limit), [4.0, 6.0, 10.0]);
    }
}
