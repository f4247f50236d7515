//! Credential helpers: `docker-credential-NAME get`, the server on its standard input, JSON on its standard output.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Credential, Secret};
use crate::error::{Error, Result};

/// A helper may ask its user something; it may not hang for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a helper prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// Asks the helper `name` about `server`. `Ok(None)`: it knows nothing of it.
pub(super) async fn ask(name: &str, server: &str, host: &str, folder: Option<&Path>) -> Result<Option<Credential>> {
    let fail = |why: String| Error::Credentials { host: host.to_owned(), why };
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(fail(format!("`{name}` is no name of a credential helper")));
    }
    let program = format!("docker-credential-{name}");
    let mut command = match folder {
        Some(folder) => Command::new(folder.join(&program)),
        None => Command::new(&program),
    };
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| fail(format!("{program} cannot be started: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input still answers.
        let _ = stdin.write_all(format!("{server}\n").as_bytes()).await;
    }
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
        .await
        .map_err(|_| fail(format!("{program} did not answer within {} s", PATIENCE.as_secs())))?
        .map_err(|error| fail(format!("{program}: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        let unknown =
            ["credentials not found", "no credentials", "No stored credential"].iter().any(|text| said.contains(text));
        return if unknown { Ok(None) } else { Err(fail(format!("{program} failed ({})", output.status))) };
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|_| fail(format!("{program} answered something other than credentials")))?;
    Ok(match (answer.username.as_str(), answer.secret) {
        (_, secret) if secret.is_empty() => None,
        ("<token>", secret) => Some(Credential::IdentityToken(Secret::new(secret))),
        (_, secret) => Some(Credential::Password { user: answer.username, password: Secret::new(secret) }),
    })
}
