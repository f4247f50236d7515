//! Where this user is logged in: `logins.json` in `~/.config/larder`, readable by the user alone.
//!
//! docker's and podman's files hold logins too ([`auth_files`](crate::auth_files)). What stands here is the server that commands mean when none is
//! named, and the tokens that `docker-credential-larder` hands out.

use std::collections::BTreeMap;
use std::env;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::outcome::{Failure, Result};

/// The file's content.
#[derive(Default, Deserialize, Serialize)]
pub struct Logins {
    /// The host that is meant when none is named: that of the last login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// By host, as it stands before a repository's name.
    #[serde(default)]
    pub servers: BTreeMap<String, Login>,
}

/// A login.
#[derive(Clone, Deserialize, Serialize)]
pub struct Login {
    /// The server's address.
    pub url: String,
    /// The user's name there.
    pub user: String,
    /// The token, or the password where the server gives no tokens.
    pub secret: String,
    /// The id of the token, for revoking it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// A token that was handed out, while it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handed_out: Option<HandedOut>,
}

/// A token for docker and the like, which ends by itself.
#[derive(Clone, Deserialize, Serialize)]
pub struct HandedOut {
    /// The token.
    pub secret: String,
    /// When it ends, in seconds since 1970.
    pub until: i64,
}

impl Logins {
    /// Those of this user; none when there is no home or no file.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn load() -> Result<Self> {
        match path() {
            Some(path) => Self::read(&path),
            None => Ok(Self::default()),
        }
    }

    fn read(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            // The parser's message could quote a token.
            Ok(text) => serde_json::from_slice(&text).map_err(|error| {
                Failure::failed(format!(
                    "{}:{}:{}: this is no list of logins",
                    path.display(),
                    error.line(),
                    error.column()
                ))
                .with_hint("Remove it and log in again.")
            }),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Self::default()),
            Err(error) => Err(Failure::failed(format!("{}: {error}", path.display()))),
        }
    }

    /// Writes them.
    pub fn save(&self) -> Result {
        let path =
            path().ok_or_else(|| Failure::failed("there is no home to keep logins in: set HOME or XDG_CONFIG_HOME"))?;
        write_private(&path, &serde_json::to_vec_pretty(self)?)
    }

    /// The address of the server that is meant when none is named.
    pub fn current_url(&self) -> Option<&str> {
        self.servers.get(self.current.as_ref()?).map(|login| login.url.as_str())
    }
}

fn path() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
    Some(config.join("larder/logins.json"))
}

/// Replaces a file that only its owner may read, in one step. A link stays one.
pub fn write_private(path: &Path, text: &[u8]) -> Result {
    let cannot = |error: std::io::Error| Failure::failed(format!("{}: {error}", path.display()));
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if let Some(folder) = target.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
    }
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let fresh = target.with_file_name(name);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).and_then(|mut file| {
        file.write_all(text)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&fresh, &target)
    });
    written.map_err(|error| {
        let _ = std::fs::remove_file(&fresh);
        cannot(error)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_private_file_is_replaced_through_a_link() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (real, link) = (folder.path().join("real/config.json"), folder.path().join("config.json"));
        write_private(&real, b"{}").expect("it can be written");
        std::os::unix::fs::symlink(&real, &link).expect("it can be made");
        write_private(&link, b"{\"a\":1}").expect("it can be written");
        assert!(link.symlink_metadata().expect("it is there").is_symlink());
        assert_eq!(std::fs::read_to_string(&real).expect("it is there"), "{\"a\":1}\n");
        assert_eq!(real.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_broken_file_is_told_without_its_content() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("logins.json");
        assert!(Logins::read(&path).expect("none is none").servers.is_empty());
        std::fs::write(&path, "{\"servers\":{\"a\":{\"secret\":ldr_planted}}}").expect("it can be written");
        let failure = Logins::read(&path).err().expect("it is broken");
        assert!(failure.message().contains("logins.json:1:") && !failure.message().contains("planted"), "{failure}");
    }
}
