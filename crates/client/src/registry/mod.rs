//! Registries and repositories, one method per operation of the specification.

mod auth;
mod blobs;
mod certificate;
mod lists;
mod manifests;
mod origin;
mod ranges;
mod reply;
mod transport;
mod upload;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use http::Method;

use larder_oci::name::RepositoryName;
use larder_oci::reference::Reference;

pub use self::blobs::{Download, MountOutcome};
pub use self::lists::Page;
pub use self::manifests::{FetchedManifest, ManifestHead, ManifestPut};
pub use self::ranges::Ranges;
pub(crate) use self::ranges::{Lane, Lanes, Striped};
pub(crate) use self::reply::printable;
pub use self::upload::Upload;

use self::auth::Scopes;
use self::transport::{Call, Host, Hosts};
use crate::credentials::{Credentials, canonical_host};
use crate::error::Result;
use crate::options::Options;

/// A client of any number of registries. Cheap to clone; tokens and connections are shared.
#[derive(Clone)]
pub struct Client(Arc<Hosts>);

impl Client {
    /// A client with these settings and credentials.
    pub fn new(options: Options, credentials: Arc<dyn Credentials>) -> Self {
        Self(Arc::new(Hosts::new(options, credentials)))
    }

    /// The registry at `host`, written as in a reference: `localhost:5000`, `registry.example`, `docker.io`.
    pub fn registry(&self, host: &str) -> Result<Registry> {
        Ok(Registry { host: self.0.host(host)? })
    }

    /// A repository of the registry at `host`. Docker Hub's short names get their `library/`.
    pub fn repository(&self, host: &str, name: &RepositoryName) -> Result<Repository> {
        let short = canonical_host(host) == "docker.io" && !name.as_str().contains('/');
        let full = if short { format!("library/{name}").parse().ok() } else { None };
        Ok(Repository { host: self.0.host(host)?, name: full.unwrap_or_else(|| name.clone()), pushing: false })
    }
}

/// One registry.
#[derive(Clone)]
pub struct Registry {
    host: Arc<Host>,
}

impl Registry {
    /// Its address as written.
    pub fn host(&self) -> &str {
        &self.host.name
    }

    /// Asks whether it is there and speaks the protocol (end-1).
    pub async fn ping(&self) -> Result<()> {
        let call = Call::new(Method::GET, self.host.url("")?, Scopes::none(), self.host.name.clone());
        self.host.expect(&call, &[200]).await.map(drop)
    }
}

/// One repository of a registry.
#[derive(Clone)]
pub struct Repository {
    host: Arc<Host>,
    name: RepositoryName,
    /// Questions are asked as somebody who pushes.
    pushing: bool,
}

impl Repository {
    /// The registry's address as written.
    pub fn host(&self) -> &str {
        &self.host.name
    }

    /// Its name.
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// Another repository of the same registry.
    pub fn sibling(&self, name: RepositoryName) -> Self {
        Self { host: Arc::clone(&self.host), name, pushing: self.pushing }
    }

    /// The same repository, asked with the right to push: one token serves for everything, and a registry that protects what a pusher was
    /// told exists (a lease) knows that it talks to one.
    #[must_use]
    pub fn for_push(self) -> Self {
        Self { pushing: true, ..self }
    }

    /// Where upload sessions are remembered.
    pub(crate) fn sessions(&self) -> Option<&Path> {
        self.host.options.sessions.as_deref()
    }

    /// `HOST/NAME:TAG` or `HOST/NAME@DIGEST`.
    pub(crate) fn named(&self, reference: &Reference) -> String {
        match reference {
            Reference::Tag(tag) => format!("{self}:{tag}"),
            Reference::Digest(digest) => format!("{self}@{digest}"),
        }
    }

    fn subject(&self, what: impl fmt::Display) -> String {
        format!("{}/{} {what}", self.host.name, self.name)
    }

    fn pull(&self) -> Scopes {
        if self.pushing { self.push() } else { Scopes::repository(&self.name, "pull") }
    }

    fn push(&self) -> Scopes {
        Scopes::repository(&self.name, "pull,push")
    }

    fn delete(&self) -> Scopes {
        Scopes::repository(&self.name, "delete")
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({})", self.host.name)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({self})")
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host.name, self.name)
    }
}
