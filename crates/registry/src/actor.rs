//! Who asks, and what he may: the part of a decision that the domain needs.

use larder_oci::RepositoryName;

/// What a caller wants to do with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Upload blobs and manifests, move tags.
    Push,
    /// Remove manifests, tags and blobs.
    Delete,
    /// Create, describe and remove repositories.
    Manage,
}

/// What an identity may do, compiled from its grants. Without accounts there are only the rights of the open state (behaviour §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Pull, push, delete and manage every repository.
    Everything,
    /// Pull every repository.
    ReadOnly,
    /// Nothing at all.
    Nothing,
}

/// The party on whose behalf a domain call runs. Every call takes one; what it may is decided from it alone, never from what exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    identity: String,
    rights: Rights,
    operator: bool,
    request_id: Option<String>,
}

impl Actor {
    /// Somebody without an account.
    pub fn anonymous(rights: Rights) -> Self {
        Self { identity: "anonymous".to_owned(), rights, operator: false, request_id: None }
    }

    /// Whoever owns the data folder: the control socket and commands with `--data` act as this.
    pub fn operator() -> Self {
        Self { identity: "operator".to_owned(), rights: Rights::Everything, operator: true, request_id: None }
    }

    /// The server itself: background work.
    pub fn system() -> Self {
        Self { identity: "larder".to_owned(), rights: Rights::Everything, operator: true, request_id: None }
    }

    /// The same actor under another stable name. Upload sessions and leases belong to identities.
    #[must_use]
    pub fn named(mut self, identity: impl Into<String>) -> Self {
        self.identity = identity.into();
        self
    }

    /// The same actor, acting in this request (history and events note it).
    #[must_use]
    pub fn in_request(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    /// The identity's stable name.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The request that this actor acts in.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Whether this actor may do `action` in `repository`.
    pub fn may(&self, action: Action, _repository: &RepositoryName) -> bool {
        match self.rights {
            Rights::Everything => true,
            Rights::ReadOnly => action == Action::Pull,
            Rights::Nothing => false,
        }
    }

    /// Whether this actor may look after the server itself: sweep, verify, usage.
    pub fn may_operate(&self) -> bool {
        self.operator
    }

    /// Whether this actor may list repositories at all.
    pub fn may_list(&self) -> bool {
        self.rights != Rights::Nothing
    }
}
