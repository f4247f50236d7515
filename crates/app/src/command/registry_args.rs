//! What `push`, `pull`, `copy` and `inspect` have in common: how registries are spoken to, and what their failures mean.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use larder_client::credentials::DockerCredentials;
use larder_client::{Client, Error, Kind, Options, Ranges, TransferOptions};

use crate::config::parse_size;
use crate::context::Context;
use crate::outcome::{Exit, Failure, Result};

use super::reference_arg::ServerAddress;

/// What to do about a certificate that is not trusted.
const UNTRUSTED: &str = "--ca FILE trusts a further authority, SSL_CERT_FILE names a file of authorities instead of the system's, \
     --insecure accepts any certificate.";

/// How registries are spoken to.
#[derive(Args, Clone, Debug, Default)]
pub struct RegistryArgs {
    /// A registry that speaks plain HTTP, as `host` or `host:port`; those on this machine do without being named
    #[arg(long, value_name = "HOST", help_heading = "Registries")]
    pub plain_http: Vec<String>,
    /// A PEM file with a certificate authority to trust besides the system's
    #[arg(long, env = "LARDER_CA", value_name = "FILE", help_heading = "Registries")]
    pub ca: Vec<PathBuf>,
    /// Accept any certificate
    #[arg(long, help_heading = "Registries")]
    pub insecure: bool,
}

/// How content moves.
#[derive(Args, Clone, Debug)]
pub struct TransferArgs {
    /// Layers on their way at once; a large one is fetched by as many requests while there are fewer
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
    /// Send layers in pieces of this size, where a proxy limits request bodies (`90MiB`)
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub chunk_size: Option<u64>,
}

impl RegistryArgs {
    /// A client with the credentials that `docker login` and `podman login` left.
    pub fn client(&self, chunk: Option<u64>, context: &Context) -> Result<Client> {
        let mut options = Options {
            plain_http: self.plain_http.clone(),
            ca_files: self.ca.clone(),
            insecure: self.insecure,
            chunk: chunk.filter(|size| *size > 0),
            sessions: sessions(),
            ..Options::default()
        };
        if let Some(server) = ServerAddress::of(context)? {
            let list = if server.secure { &mut options.https } else { &mut options.plain_http };
            list.push(server.host);
        }
        Ok(Client::new(options, Arc::new(DockerCredentials::from_environment())))
    }
}

impl TransferArgs {
    /// How a registry's large layers are fetched.
    pub fn ranges(&self) -> Ranges {
        Ranges { streams: self.jobs.into(), ..Ranges::default() }
    }

    /// The transfer's options.
    pub fn options(&self) -> TransferOptions {
        TransferOptions { jobs: self.jobs.into(), ..TransferOptions::default() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self::new(exit_of(&error), error.to_string());
        match error {
            Error::Untrusted { .. } => failure.with_hint(UNTRUSTED),
            _ => failure,
        }
    }
}

/// Where upload sessions are remembered between two tries of the same push.
fn sessions() -> Option<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")));
    Some(state?.join("larder/uploads"))
}

/// The exit code of a client's failure.
pub fn exit_of(error: &Error) -> Exit {
    match error.kind() {
        Kind::NotFound => Exit::NotFound,
        Kind::Denied => Exit::NotAllowed,
        Kind::Policy => Exit::Policy,
        Kind::Unreachable => Exit::Unreachable,
        Kind::Failed => Exit::Failed,
    }
}
