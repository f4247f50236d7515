//! A `larder serve` process, to be killed.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::harness::{During, Failure, Outcome};
use crate::raw::{Client, Connection, Payload};

/// How long a start may take before it counts as failed.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A server, running or not, with its data folder.
#[derive(Debug)]
pub struct Larder {
    binary: PathBuf,
    data: PathBuf,
    log: PathBuf,
    port: u16,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Larder {
    /// A server that is not yet started. Its log goes to the folder beside its data.
    pub fn new(binary: &Path, data: &Path) -> Outcome<Self> {
        let log = data.with_extension("log");
        File::create(&log)?;
        Ok(Self {
            binary: binary.to_owned(),
            data: data.to_owned(),
            log,
            port: free_port()?,
            environment: Vec::new(),
            child: None,
        })
    }

    /// With its log in another folder, one that no fault reaches.
    pub fn logging_to(mut self, folder: &Path) -> Outcome<Self> {
        self.log = folder.join(format!("larder-{}.log", self.port));
        File::create(&self.log)?;
        Ok(self)
    }

    /// With a setting, as its environment variable names it: `STORAGE__RESERVE`.
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.environment.push((format!("LARDER_{setting}"), value.to_owned()));
        self
    }

    /// Starts it and waits until it answers; says how long that took.
    pub fn start(&mut self) -> Outcome<Duration> {
        let begun = Instant::now();
        self.spawn()?;
        self.wait_until_ready()?;
        Ok(begun.elapsed())
    }

    /// Starts it and does not wait.
    pub fn spawn(&mut self) -> Outcome {
        let log = File::options().append(true).open(&self.log)?;
        let mut command = self.program();
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port), "--data"])
            .arg(&self.data)
            .env("LARDER_DRAIN__DELAY", "0s")
            .env("LARDER_DRAIN__TIMEOUT", "2s")
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        self.child = Some(command.spawn().during(|| format!("cannot run {}", self.binary.display()))?);
        Ok(())
    }

    /// Waits until it answers requests.
    pub fn wait_until_ready(&mut self) -> Outcome {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if Client::new(self.port).get("/v2/").is_ok_and(|reply| reply.status == 200) {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                return Err(Failure::new(format!("the server ended with {status}\n{}", self.last_words())));
            }
            if Instant::now() > deadline {
                return Err(Failure::new(format!("the server does not answer\n{}", self.last_words())));
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// `SIGKILL`, and its grave.
    pub fn kill(&mut self) -> Outcome {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// `SIGTERM`, and its exit code.
    pub fn stop(&mut self) -> Outcome<Option<i32>> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                self.child = None;
                return Ok(status.code());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill()?;
        Err(Failure::new(format!("the server does not stop\n{}", self.last_words())))
    }

    /// Any signal.
    pub fn signal(&self, signal: Signal) -> Outcome {
        let pid = self.pid().during(|| "the server does not run".to_owned())?;
        kill_process(pid, signal)?;
        Ok(())
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(Some(ExitStatus::from_raw(0))),
        }
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.ended(), Ok(None))
    }

    /// Its process.
    pub fn pid(&self) -> Option<Pid> {
        self.child.as_ref().map(Pid::from_child)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::new(self.port)
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// `larder verify`: everything read back. The report, whatever it says.
    pub fn verify(&self, flags: &[&str]) -> Outcome<Value> {
        self.command("verify", flags)
    }

    /// `larder sweep`, and its report.
    pub fn sweep(&self) -> Outcome<Value> {
        self.command("sweep", &[])
    }

    /// A request to the control socket, without a process of its own.
    pub fn control(&self, method: &str, path: &str) -> std::io::Result<super::Reply> {
        let mut connection = Connection::open_unix(&self.data.join("run/larder.sock"))?;
        connection.exchange(method, path, &[("Content-Type", "application/json")], Payload::Bytes(b"{}"))
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn program(&self) -> Command {
        program(&self.binary)
    }

    /// An administration command with a JSON answer; whether it is content is for the caller to read.
    fn command(&self, command: &str, flags: &[&str]) -> Outcome<Value> {
        let output = self
            .program()
            .args(["--output", "json", "--quiet", command, "--data"])
            .arg(&self.data)
            .args(flags)
            .stdin(Stdio::null())
            .output()?;
        serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            Failure::new(format!("larder {command} ended with {}: {said}\n{}", output.status, self.last_words()))
        })
    }
}

impl Drop for Larder {
    fn drop(&mut self) {
        // Nothing more can be done about a process that cannot be killed.
        let _ = self.kill();
    }
}

/// A registry's program, with none of the settings that this process's own environment holds for one.
pub fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (variable, _) in std::env::vars_os() {
        if ["LARDER_", "REGISTRY_", "OTEL_"].iter().any(|prefix| variable.to_string_lossy().starts_with(prefix)) {
            command.env_remove(variable);
        }
    }
    command
}

/// A port that nobody listens on now.
pub fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
