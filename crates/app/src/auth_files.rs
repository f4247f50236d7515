//! docker's `config.json` and podman's `auth.json`, written as `docker login` and `podman login` write them. What else stands in them stays.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::logins::write_private;
use crate::outcome::{Failure, Result};

/// One such file.
pub struct AuthFile {
    path: PathBuf,
    document: Map<String, Value>,
}

/// docker's file.
pub fn docker() -> Option<PathBuf> {
    Some(folder("DOCKER_CONFIG").or_else(|| Some(folder("HOME")?.join(".docker")))?.join("config.json"))
}

/// podman's file, where podman would look: only when its place is there, since podman reads docker's otherwise.
pub fn podman() -> Option<PathBuf> {
    let named = env::var_os("REGISTRY_AUTH_FILE").map(PathBuf::from).filter(|path| !path.as_os_str().is_empty());
    let running =
        folder("XDG_RUNTIME_DIR").filter(|folder| folder.is_dir()).map(|folder| folder.join("containers/auth.json"));
    let lasting = || {
        let config = folder("XDG_CONFIG_HOME").or_else(|| Some(folder("HOME")?.join(".config")))?;
        Some(config.join("containers/auth.json")).filter(|path| path.exists())
    };
    named.or(running).or_else(lasting)
}

fn folder(name: &str) -> Option<PathBuf> {
    env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute())
}

impl AuthFile {
    /// Reads it; an absent one is empty.
    ///
    /// # Errors
    /// When it is there and is no JSON: it is somebody else's too, and is not written over.
    pub fn open(path: PathBuf) -> Result<Self> {
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Failure::failed(format!("{}: {error}", path.display()))),
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { path, document: Map::new() });
        }
        // The parser's message could quote a password.
        let document = serde_json::from_slice(&text).map_err(|error| {
            let place = format!("{}:{}:{}", path.display(), error.line(), error.column());
            Failure::failed(format!("{place}: this is no JSON; nothing was written"))
        })?;
        Ok(Self { path, document })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Logs a host in: in the helper that the file names for it, else in the file itself.
    pub fn log_in(&mut self, host: &str, user: &str, secret: &str) -> Result {
        match self.helper(host) {
            Some(helper) => {
                let given = json!({ "ServerURL": host, "Username": user, "Secret": secret }).to_string();
                run_helper(&helper, "store", &given)?;
                // docker lists a host that a helper knows like this.
                self.table("auths").insert(host.to_owned(), json!({}));
            }
            None => {
                let auth = STANDARD.encode(format!("{user}:{secret}"));
                self.table("auths").insert(host.to_owned(), json!({ "auth": auth }));
            }
        }
        self.save()
    }

    /// Logs a host out; whether it was logged in here.
    pub fn log_out(&mut self, host: &str) -> Result<bool> {
        if let Some(helper) = self.helper(host) {
            run_helper(&helper, "erase", host)?;
        }
        let known = self.document.get("auths").and_then(Value::as_object).is_some_and(|auths| auths.contains_key(host));
        if known {
            self.table("auths").remove(host);
            self.save()?;
        }
        Ok(known)
    }

    /// Has a helper asked about a host from now on.
    pub fn set_helper(&mut self, host: &str, helper: &str) -> Result {
        self.table("credHelpers").insert(host.to_owned(), Value::from(helper));
        // An entry of the file itself would be asked first by some.
        if self.document.get("auths").is_some() {
            self.table("auths").remove(host);
        }
        self.save()
    }

    /// The helper that is asked about a host.
    pub fn helper(&self, host: &str) -> Option<String> {
        let own = self.document.get("credHelpers").and_then(|helpers| helpers.get(host)).and_then(Value::as_str);
        let general = self.document.get("credsStore").and_then(Value::as_str);
        own.or(general).filter(|name| !name.is_empty()).map(str::to_owned)
    }

    fn table(&mut self, name: &str) -> &mut Map<String, Value> {
        let entry = self.document.entry(name).or_insert_with(|| Value::Object(Map::new()));
        if !entry.is_object() {
            *entry = Value::Object(Map::new());
        }
        entry.as_object_mut().expect("it was made one")
    }

    fn save(&self) -> Result {
        write_private(&self.path, &serde_json::to_vec_pretty(&self.document)?)
    }
}

/// Runs `docker-credential-NAME ACTION` with this input.
fn run_helper(name: &str, action: &str, input: &str) -> Result {
    let program = format!("docker-credential-{name}");
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Err(Failure::failed(format!("`{name}` is no name of a credential helper")));
    }
    let failed = |why: String| {
        Failure::failed(format!("{program} {action}: {why}")).with_hint(
            "docker's configuration names this helper (credsStore or credHelpers); install it, or take it out there.",
        )
    };
    let mut child = Command::new(&program)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input still answers.
        let _ = stdin.write_all(input.as_bytes());
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if status.success() || action == "erase" { Ok(()) } else { Err(failed(status.to_string())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_else_stands_in_the_file_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("config.json");
        std::fs::write(
            &path,
            r#"{"auths":{"a.example":{"auth":"eDp5"}},"HttpHeaders":{"x":"y"},"currentContext":"c"}"#,
        )
        .expect("it can be written");
        AuthFile::open(path.clone())
            .expect("it can be read")
            .log_in("localhost:5000", "alice", "s:p")
            .expect("it is written");
        let read = || serde_json::from_slice::<Value>(&std::fs::read(&path).expect("it is there")).expect("it is JSON");
        assert_eq!(
            read(),
            json!({
                "auths": { "a.example": { "auth": "eDp5" }, "localhost:5000": { "auth": STANDARD.encode("alice:s:p") } },
                "HttpHeaders": { "x": "y" },
                "currentContext": "c",
            })
        );
        let mut file = AuthFile::open(path.clone()).expect("it can be read");
        assert!(file.log_out("localhost:5000").expect("it can be written"));
        assert!(!file.log_out("localhost:5000").expect("nothing to do"));
        file.set_helper("a.example", "larder").expect("it can be written");
        assert_eq!(read()["credHelpers"], json!({ "a.example": "larder" }));
        assert_eq!(read()["auths"], json!({}));
    }

    #[test]
    fn a_file_that_is_no_json_is_left_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("config.json");
        std::fs::write(&path, "{\"auths\": planted}").expect("it can be written");
        let failure = AuthFile::open(path).err().expect("it is none");
        assert!(!failure.message().contains("planted"), "{failure}");
    }
}
