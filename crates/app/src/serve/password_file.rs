//! `access.htpasswd`, perhaps one that only root may read (case 9): then a private copy is read in its place and follows it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Configuration;
use crate::outcome::{Failure, Result};
use crate::protected_files::{FileState, ProtectedFiles};

/// How often a file that is copied is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The password file.
pub struct PasswordFile {
    named: PathBuf,
    /// Where the copy is, if one is needed.
    copy: Option<PathBuf>,
    files: ProtectedFiles,
}

/// The file that is configured.
pub fn configured_file(configuration: &Configuration) -> Option<PathBuf> {
    configuration.text("access.htpasswd").map(PathBuf::from)
}

impl PasswordFile {
    /// The configured one. A copy lies in `run/` of the data folder.
    pub fn open(configuration: &Configuration, files: &ProtectedFiles, data: &Path) -> Result<Option<Self>> {
        let Some(named) = configured_file(configuration) else { return Ok(None) };
        let copy = files.is_beyond_us(&named).then(|| data.join("run").join("htpasswd"));
        let file = Self { named, copy, files: files.clone() };
        file.follow().map_err(|error| {
            Failure::failed(format!("access.htpasswd: {} cannot be read: {error}", file.named.display()))
                .with_hint("It is made with: htpasswd -Bbn NAME PASSWORD > FILE")
        })?;
        Ok(Some(file))
    }

    /// What is to be read.
    pub fn path(&self) -> &Path {
        self.copy.as_deref().unwrap_or(&self.named)
    }

    /// Copies the file again whenever it changes; returns at once where no copy is needed.
    pub async fn watch(self) {
        if self.copy.is_none() {
            return;
        }
        let mut clock = tokio::time::interval(LOOK);
        let (mut watched, mut copied): (Self, Option<Option<FileState>>) = (self, None);
        loop {
            clock.tick().await;
            let looked = tokio::task::spawn_blocking(move || {
                let state = watched.files.state(&watched.named);
                if copied.is_some_and(|copied| copied != state)
                    && let Err(error) = watched.follow()
                {
                    tracing::error!(file = %watched.named.display(), %error, "the password file cannot be read: its users stay those of before");
                }
                (watched, Some(state))
            });
            match looked.await {
                Ok(next) => (watched, copied) = next,
                // The runtime is ending.
                Err(_) => return,
            }
        }
    }

    fn follow(&self) -> io::Result<()> {
        let Some(copy) = &self.copy else { return std::fs::metadata(&self.named).map(drop) };
        let text = self.files.read(&self.named)?;
        let fresh = copy.with_extension("new");
        let _ = std::fs::remove_file(&fresh);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(&text)?;
        std::fs::rename(&fresh, copy)
    }
}

impl Drop for PasswordFile {
    fn drop(&mut self) {
        if let Some(copy) = &self.copy {
            // What is left is replaced at the next start.
            let _ = std::fs::remove_file(copy);
        }
    }
}
