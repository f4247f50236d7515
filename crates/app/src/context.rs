//! What every command gets: how to print, whether to ask, which server is meant. Commands write through it and nowhere else.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::logins::Logins;
use crate::outcome::{Failure, Result};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One JSON document per line.
    Jsonl,
}

/// Options that every command takes.
#[derive(Args, Clone, Debug, Default)]
pub struct Globals {
    /// How to print results
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORMAT", help_heading = "Everywhere")]
    pub output: Output,
    /// Print results only, no notes and no progress
    #[arg(long, short, global = true, help_heading = "Everywhere")]
    pub quiet: bool,
    /// The server to talk to, for example `http://localhost:5000`; also what a reference without a host means
    #[arg(long, global = true, env = "LARDER_SERVER", value_name = "URL", help_heading = "Everywhere")]
    pub server: Option<String>,
}

/// Where an administration command works: on the server of [`Globals::server`], or on a data folder of this machine.
#[derive(Args, Clone, Debug, Default)]
pub struct DataArg {
    /// Work on this data folder: through the server that runs on it, or alone under the folder's lock
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Options of commands that destroy something.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Destructive {
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The surroundings of a command.
pub struct Context {
    output: Output,
    quiet: bool,
    server: Option<String>,
    stdout: Mutex<Box<dyn Write + Send>>,
    stderr_is_terminal: bool,
    stdin_is_terminal: bool,
}

impl Context {
    /// The context of this process.
    pub fn new(globals: &Globals) -> Self {
        Self {
            output: globals.output,
            quiet: globals.quiet,
            server: globals.server.clone().filter(|server| !server.is_empty()),
            stdout: Mutex::new(Box::new(io::stdout())),
            stderr_is_terminal: io::stderr().is_terminal(),
            stdin_is_terminal: io::stdin().is_terminal(),
        }
    }

    /// How results are printed.
    pub fn output(&self) -> Output {
        self.output
    }

    /// Whether notes and progress are unwanted.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// The server of `--server` or `LARDER_SERVER`, as written.
    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// The same, or else the server of the last `larder login`.
    pub fn server_or_login(&self) -> Result<Option<String>> {
        match &self.server {
            Some(server) => Ok(Some(server.clone())),
            None => Ok(Logins::load()?.current_url().map(str::to_owned)),
        }
    }

    /// Whether standard input is a terminal, where a person can be asked.
    pub fn can_ask(&self) -> bool {
        self.stdin_is_terminal
    }

    /// Whether progress bars may be drawn: on a terminal's standard error, never into a pipe.
    pub fn shows_progress(&self) -> bool {
        self.stderr_is_terminal && !self.quiet && self.output == Output::Text
    }

    /// Whether standard error takes colours (`NO_COLOR`).
    pub fn colours(&self) -> bool {
        self.stderr_is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    /// Standard output. Hold it for one print only.
    pub fn stdout(&self) -> MutexGuard<'_, Box<dyn Write + Send>> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints one result: `value` as JSON, or `text` for people.
    pub fn emit<T: Serialize>(&self, value: &T, text: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result {
        let mut out = self.stdout();
        match self.output {
            Output::Text => text(&mut **out)?,
            Output::Json => {
                serde_json::to_writer_pretty(&mut **out, value)?;
                out.write_all(b"\n")?;
            }
            Output::Jsonl => {
                serde_json::to_writer(&mut **out, value)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(out.flush()?)
    }

    /// Prints a list: a JSON array, one JSON document per line, or whatever `text` makes of it.
    pub fn emit_list<T: Serialize>(&self, items: &[T], text: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result {
        match self.output {
            Output::Text | Output::Json => self.emit(&items, text),
            Output::Jsonl => {
                let mut out = self.stdout();
                for item in items {
                    serde_json::to_writer(&mut **out, item)?;
                    out.write_all(b"\n")?;
                }
                Ok(out.flush()?)
            }
        }
    }

    /// Says something beside the result, on standard error; `--quiet` silences it.
    pub fn note(&self, message: impl std::fmt::Display) {
        if !self.quiet {
            self.warn(message);
        }
    }

    /// Says something that `--quiet` does not silence, on standard error.
    pub fn warn(&self, message: impl std::fmt::Display) {
        // Nobody can be told that standard error is gone.
        let _ = writeln!(io::stderr().lock(), "{message}");
    }

    /// Shows what a destructive command would do and asks. `Ok(false)` means that it must not be done (`--dry-run`, or the answer
    /// was no). Without a terminal to ask on, `--yes` has to be written (exit 2).
    pub fn confirm(&self, how: Destructive, preview: &str, question: &str) -> Result<bool> {
        if how.dry_run {
            self.warn(preview);
            self.note("Nothing was done (--dry-run).");
            return Ok(false);
        }
        if how.yes {
            return Ok(true);
        }
        self.warn(preview);
        if !self.stdin_is_terminal {
            return Err(Failure::usage("this needs an answer and there is no terminal to ask on")
                .with_hint("write --yes to do it, or --dry-run to only see it"));
        }
        self.ask(question)
    }

    fn ask(&self, question: &str) -> Result<bool> {
        let mut err = io::stderr().lock();
        write!(err, "{question} [y/N] ")?;
        err.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
        if !yes {
            self.note("Nothing was done.");
        }
        Ok(yes)
    }
}

#[cfg(test)]
impl Context {
    /// A context that prints nowhere.
    pub fn silent(server: Option<&str>) -> Self {
        Self {
            output: Output::Text,
            quiet: true,
            server: server.map(str::to_owned),
            stdout: Mutex::new(Box::new(io::sink())),
            stderr_is_terminal: false,
            stdin_is_terminal: false,
        }
    }
}
