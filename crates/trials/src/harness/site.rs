//! Where a command line runs: this machine with the clients that apt installed, the folder that holds
//! the newer ones, or this machine with those built from the Go module proxy.
//!
//! Cases are written as the lines people type, so a site runs a shell. Everything it starts stands in a
//! process group of its own and dies with its guard.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::harness::isolation::SID_NAMESPACE;
use crate::harness::{During, Failure, Outcome};

/// Where a client comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Debian 12's packages.
    Apt,
    /// Debian unstable, in a folder.
    Sid,
    /// Built from the Go module proxy.
    Go,
}

impl Origin {
    /// As the table prints it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Apt => "old",
            Self::Sid => "new",
            Self::Go => "go",
        }
    }
}

/// Keeps the output of every command of a run.
#[derive(Debug)]
pub struct Log {
    folder: PathBuf,
    count: AtomicUsize,
}

impl Log {
    /// A log whose files go to `folder`.
    pub fn create(folder: PathBuf) -> Outcome<Arc<Self>> {
        std::fs::create_dir_all(&folder)?;
        Ok(Arc::new(Self { folder, count: AtomicUsize::new(0) }))
    }

    fn next(&self, line: &str) -> Outcome<PathBuf> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let stem = self.folder.join(format!("{number:04}"));
        std::fs::write(stem.with_extension("line"), line)?;
        Ok(stem)
    }
}

/// Where and with what a command line runs. Cheap to clone; the builders return changed copies.
#[derive(Clone, Debug)]
pub struct Site {
    origin: Origin,
    folder: PathBuf,
    environment: BTreeMap<String, String>,
    limit: Duration,
    log: Arc<Log>,
}

impl Site {
    /// A site whose clients come from `origin`, working in `folder`.
    pub fn new(origin: Origin, cache: &Path, folder: &Path, log: &Arc<Log>) -> Self {
        let system = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";
        let path = match origin {
            Origin::Apt => "/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            Origin::Sid => system.to_owned(),
            Origin::Go => format!("{}:{system}", cache.join("go/bin").display()),
        };
        let environment = BTreeMap::from([
            ("PATH".to_owned(), path),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("NO_COLOR".to_owned(), "1".to_owned()),
        ]);
        Self { origin, folder: folder.to_owned(), environment, limit: Duration::from_secs(120), log: Arc::clone(log) }
    }

    /// The same with a variable set.
    pub fn with(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        self.environment.insert(key.to_owned(), value.to_string());
        self
    }

    /// A variable's value; empty when it is not set.
    pub fn variable(&self, key: &str) -> &str {
        self.environment.get(key).map(String::as_str).unwrap_or_default()
    }

    /// The same with `program` found before every other of its name.
    pub fn with_program_folder(self, folder: &Path) -> Self {
        let path = format!("{}:{}", folder.display(), self.environment["PATH"]);
        self.with("PATH", path)
    }

    /// The same in another folder.
    pub fn at(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    /// The same with another limit of time for each line.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Where its clients come from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Runs a line that must succeed.
    pub fn sh(&self, line: &str) -> Outcome<Output> {
        let output = self.attempt(line)?;
        if output.succeeded() { Ok(output) } else { Err(output.unexpected()) }
    }

    /// Runs a line that must fail.
    pub fn refused(&self, line: &str) -> Outcome<Output> {
        let output = self.attempt(line)?;
        if output.succeeded() { Err(output.unexpected()) } else { Ok(output) }
    }

    /// Runs a line, however it ends.
    pub fn attempt(&self, line: &str) -> Outcome<Output> {
        self.start(line)?.finish(self.limit)
    }

    /// Starts a line that goes on.
    pub fn start(&self, line: &str) -> Outcome<Running> {
        let stem = self.log.next(line)?;
        let mut command = self.command(line);
        command
            .stdin(Stdio::null())
            .stdout(File::create(stem.with_extension("out"))?)
            .stderr(File::create(stem.with_extension("err"))?)
            .process_group(0);
        let child = command.spawn().during(|| format!("cannot start `{line}`"))?;
        Ok(Running { line: line.to_owned(), stem, child, ended: None })
    }

    fn command(&self, line: &str) -> Command {
        let mut command = match self.origin {
            Origin::Apt | Origin::Go => {
                let mut command = Command::new("/bin/sh");
                command.current_dir(&self.folder);
                command
            }
            Origin::Sid => {
                let mut command = Command::new("/usr/bin/nsenter");
                command.arg(format!("--mount={SID_NAMESPACE}")).args(["--", "/usr/bin/env", "-C"]);
                command.arg(&self.folder).arg("/bin/sh");
                command
            }
        };
        command.args(["-ec", line]).env_clear().envs(&self.environment);
        command
    }
}

/// A line that was started; dropping it kills all of its processes.
#[derive(Debug)]
pub struct Running {
    line: String,
    stem: PathBuf,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        self.poll().is_none()
    }

    /// What it printed until now, both streams.
    pub fn printed(&self) -> String {
        let read = |extension| std::fs::read(self.stem.with_extension(extension)).unwrap_or_default();
        let (out, err) = (read("out"), read("err"));
        format!("{}{}", String::from_utf8_lossy(&out), String::from_utf8_lossy(&err))
    }

    /// Waits for the end, and fails when it does not come in time.
    pub fn finish(mut self, limit: Duration) -> Outcome<Output> {
        let status = self.wait(limit).ok_or_else(|| {
            Failure::new(format!("`{}` did not end within {} s\n{}", self.line, limit.as_secs(), tail(&self.printed())))
        })?;
        let read = |extension| std::fs::read(self.stem.with_extension(extension));
        Ok(Output {
            line: self.line.clone(),
            status,
            out: String::from_utf8_lossy(&read("out")?).into_owned(),
            err: String::from_utf8_lossy(&read("err")?).into_owned(),
        })
    }

    /// Asks it to end, and makes it end after `patience`.
    pub fn stop(&mut self, patience: Duration) {
        self.signal(Signal::TERM);
        self.wait(patience);
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(10));
    }

    /// Sends a signal to the whole group.
    pub fn signal(&self, signal: Signal) {
        // A group that is gone already is what the signal was for.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }

    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(2);
        loop {
            if let Some(status) = self.poll() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Also after the leader's end: what it left behind is in its group.
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(10));
    }
}

/// How a line ended, and what it printed.
#[derive(Debug)]
pub struct Output {
    line: String,
    status: ExitStatus,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Output {
    /// Whether it ended with 0.
    pub fn succeeded(&self) -> bool {
        self.status.success()
    }

    /// The exit code, as a shell counts it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// Standard output without the white space around it.
    pub fn text(&self) -> &str {
        self.out.trim()
    }

    /// Both streams.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Fails unless one of the streams contains `words`.
    pub fn says(&self, words: &str) -> Outcome<&Self> {
        if self.out.contains(words) || self.err.contains(words) {
            return Ok(self);
        }
        Err(Failure::new(format!("`{}` does not say {words:?}\n{}", self.line, tail(&self.all()))))
    }

    /// This ending as a failure.
    pub fn unexpected(&self) -> Failure {
        Failure::new(format!("`{}` ended with {}\n{}", self.line, self.code(), tail(&self.all())))
    }
}

/// The last lines, which mostly tell why.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
