//! The command line of the program that is tried.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::text;
use crate::harness::{Failure, Outcome};

/// `larder`, with none of this process's own settings.
pub(super) struct Program {
    pub binary: PathBuf,
}

impl Program {
    pub fn new(binary: &Path) -> Self {
        Self { binary: binary.to_owned() }
    }

    /// `larder import registry2 PATH --data DATA`: its exit code and its report.
    pub fn import(&self, path: &Path, data: &Path, flags: &[&str]) -> Outcome<(i32, Value)> {
        let mut words = vec!["import", "registry2", text(path)?, "--data", text(data)?];
        words.extend(flags);
        self.run(&words)
    }

    /// Any command: its exit code and what it answered in JSON.
    pub fn run(&self, words: &[&str]) -> Outcome<(i32, Value)> {
        let mut command = Command::new(&self.binary);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("LARDER_") || variable.to_string_lossy().starts_with("REGISTRY_")
            {
                command.env_remove(variable);
            }
        }
        let output = command.args(["--output", "json", "--quiet"]).args(words).stdin(Stdio::null()).output()?;
        let code = output.status.code().unwrap_or(-1);
        let report = serde_json::from_slice(&output.stdout).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr);
            Failure::new(format!("larder {} ended with {code}: {said}", words.join(" ")))
        })?;
        Ok((code, report))
    }
}
