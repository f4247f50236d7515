//! Who the caller is at a registry: passwords and tokens that `docker login` or `podman login` left behind.
//!
//! Looked at in this order: `DOCKER_AUTH_CONFIG` (the file's text itself, as GitLab has it), `REGISTRY_AUTH_FILE`, docker's `config.json`
//! (`DOCKER_CONFIG` or `~/.docker`), podman's `auth.json` (`$XDG_RUNTIME_DIR/containers`, `~/.config/containers`). The first that knows the
//! host wins.

mod config_file;
mod helper;

use std::env;
use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;

use self::config_file::{ConfigFile, Found};
use crate::error::{Error, Result};

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What proves who the caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A user name with a password or an access token.
    Password {
        /// The user name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A refresh token: exchanged at the token service (docker's `identitytoken`).
    IdentityToken(Secret),
    /// A bearer token for the registry itself (docker's `registrytoken`).
    RegistryToken(Secret),
}

/// Finds credentials.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The credential for `host` (as in a reference, with its port), where one repository may have its own.
    async fn find(&self, host: &str, repository: Option<&str>) -> Result<Option<Credential>>;
}

/// Nobody: every request is anonymous.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

#[async_trait]
impl Credentials for Anonymous {
    async fn find(&self, _host: &str, _repository: Option<&str>) -> Result<Option<Credential>> {
        Ok(None)
    }
}

/// One credential for one host, for instance from the command line. Other hosts never see it.
#[derive(Clone, Debug)]
pub struct Fixed {
    host: String,
    credential: Credential,
}

impl Fixed {
    /// `credential` for `host` only.
    pub fn new(host: impl Into<String>, credential: Credential) -> Self {
        Self { host: canonical_host(&host.into()).to_owned(), credential }
    }
}

#[async_trait]
impl Credentials for Fixed {
    async fn find(&self, host: &str, _repository: Option<&str>) -> Result<Option<Credential>> {
        Ok((canonical_host(host) == self.host).then(|| self.credential.clone()))
    }
}

/// Credentials of docker and podman.
#[derive(Clone, Debug, Default)]
pub struct DockerCredentials {
    inline: Option<String>,
    files: Vec<PathBuf>,
    helpers: Option<PathBuf>,
}

impl DockerCredentials {
    /// Those of this user, as the environment says.
    pub fn from_environment() -> Self {
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = path("HOME");
        let docker = path("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
        let config = path("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        let files = [
            path("REGISTRY_AUTH_FILE"),
            docker.map(|folder| folder.join("config.json")),
            path("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
            config.map(|folder| folder.join("containers/auth.json")),
        ];
        let inline = env::var("DOCKER_AUTH_CONFIG").ok().filter(|text| !text.trim().is_empty());
        Self { inline, files: files.into_iter().flatten().collect(), helpers: None }
    }

    /// Those in the given files, in that order; a missing file is passed over.
    pub fn from_files(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { inline: None, files: files.into_iter().collect(), helpers: None }
    }

    /// Takes credential helpers from this folder instead of `PATH`.
    #[must_use]
    pub fn with_helpers_in(mut self, folder: PathBuf) -> Self {
        self.helpers = Some(folder);
        self
    }

    /// Everything that is configured, read when asked for: a login meanwhile counts.
    async fn configurations(&self) -> Result<Vec<ConfigFile>> {
        let mut found = Vec::new();
        if let Some(text) = &self.inline {
            found.push(ConfigFile::parse("DOCKER_AUTH_CONFIG", text.as_bytes())?);
        }
        for path in &self.files {
            match tokio::fs::read(path).await {
                Ok(text) => found.push(ConfigFile::parse(&path.display().to_string(), &text)?),
                Err(error) if absent(&error) => {}
                Err(error) => return Err(Error::io(path, error)),
            }
        }
        Ok(found)
    }
}

fn absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

#[async_trait]
impl Credentials for DockerCredentials {
    async fn find(&self, host: &str, repository: Option<&str>) -> Result<Option<Credential>> {
        for configuration in self.configurations().await? {
            let found = match configuration.look_up(host, repository)? {
                Some(Found::Credential(credential)) => Some(credential),
                Some(Found::Helper { name, server, otherwise }) => {
                    helper::ask(&name, &server, host, self.helpers.as_deref()).await?.or(otherwise)
                }
                None => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

/// Docker Hub goes by several names and is stored under one.
pub(crate) fn canonical_host(host: &str) -> &str {
    match host {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io",
        other => other,
    }
}
