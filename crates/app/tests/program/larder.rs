//! A `larder` process for tests: its command line, and a server on a free port that ends with the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The program, with nothing of this environment's settings.
pub fn larder(arguments: &[&str]) -> Command {
    let mut command = without_settings(env!("CARGO_BIN_EXE_larder"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Any program that comes to start `larder`, with nothing of this environment's settings.
pub fn without_settings(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LARDER_") || name.to_string_lossy().starts_with("REGISTRY_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    larder(arguments).output().expect("the program can be started")
}

/// The exit code.
pub fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

/// Standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("it prints UTF-8")
}

/// Standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("it prints UTF-8")
}

/// A running server.
pub struct Served {
    child: Child,
    /// What it printed at its start.
    pub greeting: Value,
}

impl Served {
    /// Serves `folder` with a short drain.
    pub fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[], &[])
    }

    /// The same with further words and variables.
    pub fn start_with(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> Self {
        let data = folder.display().to_string();
        let mut command = larder(&["serve", "--data", &data, "--output", "jsonl"]);
        if !words.contains(&"--listen") && !variables.iter().any(|(name, _)| *name == "LARDER_LISTEN") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(words).env("LARDER_DRAIN__DELAY", "0s").env("LARDER_DRAIN__TIMEOUT", "500ms");
        command.envs(variables.iter().copied());
        Self::greeted(command)
    }

    /// Starts a command that ends in a server, and waits for its greeting.
    pub fn greeted(command: Command) -> Self {
        Self::logging_to(command, Stdio::null())
    }

    /// The same, with its log somewhere.
    pub fn logging_to(mut command: Command, log: impl Into<Stdio>) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().expect("the program can be started");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).expect("it can be read");
        let greeting =
            serde_json::from_str(&line).unwrap_or_else(|_| panic!("no greeting but {line:?}: {:?}", child.wait()));
        Self { child, greeting }
    }

    /// Its first address: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.greeting["addresses"][0].as_str().expect("it listens somewhere")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is running");
    }

    /// Waits for its end; the exit code, or `None` when a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the server did not end");
    }

    /// Stops it as a service manager would.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait(), Some(0));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder for one test, and the data folder in it.
pub fn folders() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().expect("a temporary folder can be made");
    let data = parent.path().join("data");
    (parent, data)
}

/// An old configuration that says nothing, so that the machine's own counts for nothing.
pub fn old_file(parent: &Path) -> String {
    let file = parent.join("config.yml");
    std::fs::write(&file, "version: 0.1\n").expect("it can be written");
    file.display().to_string()
}

/// Pushes an image of one small layer as `name:tag`; answers the manifest's digest.
pub async fn push(base: &str, name: &str, tag: &str) -> String {
    let client = reqwest::Client::new();
    let mut descriptors = Vec::new();
    for (media_type, bytes) in [
        ("application/vnd.oci.image.config.v1+json", "{}".to_owned()),
        ("application/vnd.oci.image.layer.v1.tar", format!("layer of {tag}")),
    ] {
        let digest = sha256(bytes.as_bytes());
        let size = bytes.len();
        let put = client.post(format!("{base}/v2/{name}/blobs/uploads/?digest={digest}")).body(bytes);
        let answer = put.header("content-type", "application/octet-stream").send().await.expect("it is answered");
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap_or_default());
        descriptors.push(serde_json::json!({ "mediaType": media_type, "digest": digest, "size": size }));
    }
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptors[0],
        "layers": [descriptors[1]],
    });
    let put = client.put(format!("{base}/v2/{name}/manifests/{tag}")).body(manifest.to_string());
    let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json");
    let answer = put.send().await.expect("it is answered");
    assert_eq!(answer.status(), 201);
    sha256(manifest.to_string().as_bytes())
}

/// `sha256:…` of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    let hex: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
