//! Who asks, and what he may: the part of a decision that the domain needs.

use std::fmt;
use std::sync::Arc;

use larder_catalog::model::{Origin, RepositoryFilter};
use larder_oci::{Action, RepositoryName, RepositoryPattern};

/// What grants say about one action in one repository. They know nothing of what exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is granted.
    Allowed,
    /// It is refused, whatever else holds.
    Denied,
    /// They say nothing: a public repository may be pulled, anything else not.
    Silent,
}

/// Which repositories a list may show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visible {
    /// Names that may be pulled.
    pub allow: Vec<RepositoryPattern>,
    /// Of these and of the public ones, names that may not.
    pub deny: Vec<RepositoryPattern>,
    /// Whether public repositories are shown beside them.
    pub public: bool,
}

/// The compiled grants of an identity. The seam to accounts: this crate does not know how they are kept.
pub trait Judge: fmt::Debug + Send + Sync {
    /// Whether the grants allow `action` in `repository`.
    fn verdict(&self, action: Action, repository: &RepositoryName) -> Verdict;
    /// What lists may show.
    fn visible(&self) -> Visible;
    /// Whether the credential that was shown leaves `action` to its owner, be it granted to him or not.
    fn leaves(&self, action: Action, repository: &RepositoryName) -> bool;
    /// Whether this identity looks after the server itself.
    fn administrator(&self) -> bool;
}

/// What an identity may do. Without accounts there are only the rights of the open state (behaviour §4).
#[derive(Clone, Debug)]
pub enum Rights {
    /// Pull, push, delete and administer every repository.
    Everything,
    /// Pull every repository.
    ReadOnly,
    /// Nothing at all.
    Nothing,
    /// What grants say.
    Granted(Arc<dyn Judge>),
}

impl PartialEq for Rights {
    /// Two sets of grants are equal when they are the same one.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everything, Self::Everything)
            | (Self::ReadOnly, Self::ReadOnly)
            | (Self::Nothing, Self::Nothing) => true,
            (Self::Granted(one), Self::Granted(another)) => Arc::ptr_eq(one, another),
            _ => false,
        }
    }
}

impl Eq for Rights {}

/// The party on whose behalf a domain call runs. Every call takes one; what it may is decided from it alone, never from what exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    identity: String,
    rights: Rights,
    operator: bool,
    request_id: Option<String>,
    origin: Origin,
}

impl Actor {
    /// Somebody without an account.
    pub fn anonymous(rights: Rights) -> Self {
        Self { identity: "anonymous".to_owned(), rights, operator: false, request_id: None, origin: Origin::default() }
    }

    /// Somebody who showed who he is, or a stranger, with what grants say about him.
    pub fn granted(identity: impl Into<String>, judge: Arc<dyn Judge>) -> Self {
        Self { identity: identity.into(), ..Self::anonymous(Rights::Granted(judge)) }
    }

    /// Whoever owns the data folder: the control socket and commands with `--data` act as this.
    pub fn operator() -> Self {
        Self { identity: "operator".to_owned(), operator: true, ..Self::anonymous(Rights::Everything) }
    }

    /// The server itself: background work.
    pub fn system() -> Self {
        Self { identity: "larder".to_owned(), operator: true, ..Self::anonymous(Rights::Everything) }
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

    /// The same actor, who showed this credential (its id, never itself) and comes from this address: the audit notes both.
    #[must_use]
    pub fn coming(mut self, credential: Option<String>, address: Option<String>) -> Self {
        self.origin = Origin { credential, address };
        self
    }

    /// The identity's stable name.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether it is somebody whom nobody knows.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.identity == "anonymous"
    }

    /// The request that this actor acts in.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What this actor's rights say about `action` in `repository`, without a look at the repository.
    pub fn verdict(&self, action: Action, repository: &RepositoryName) -> Verdict {
        match &self.rights {
            Rights::Everything => Verdict::Allowed,
            Rights::ReadOnly if action == Action::Pull => Verdict::Allowed,
            Rights::ReadOnly | Rights::Nothing => Verdict::Denied,
            Rights::Granted(judge) => judge.verdict(action, repository),
        }
    }

    /// Whether this actor's own rights allow `action` in `repository`. What is public anyway is not asked here.
    pub fn may(&self, action: Action, repository: &RepositoryName) -> bool {
        self.verdict(action, repository) == Verdict::Allowed
    }

    /// Whether the credential speaks for its owner in more than reading: a token that is cut to pulls does not.
    pub(crate) fn speaks_for_its_owner(&self, repository: &RepositoryName) -> bool {
        match &self.rights {
            Rights::Granted(judge) => {
                judge.leaves(Action::Push, repository) || judge.leaves(Action::TagMove, repository)
            }
            Rights::Everything => true,
            Rights::ReadOnly | Rights::Nothing => false,
        }
    }

    /// Whether this actor may look after the server itself: sweep, verify, usage.
    pub fn may_operate(&self) -> bool {
        match &self.rights {
            Rights::Granted(judge) => judge.administrator(),
            Rights::Everything | Rights::ReadOnly | Rights::Nothing => self.operator,
        }
    }

    /// Whether this actor owns the data folder, on this machine.
    pub(crate) fn owns_the_folder(&self) -> bool {
        self.operator && self.rights == Rights::Everything
    }

    /// The repositories that lists may show to this actor; `None` when he may list nothing at all.
    pub(crate) fn filter(&self) -> Option<RepositoryFilter> {
        match &self.rights {
            Rights::Everything | Rights::ReadOnly => Some(RepositoryFilter::All),
            Rights::Nothing => None,
            Rights::Granted(judge) => {
                let Visible { allow, deny, public } = judge.visible();
                Some(RepositoryFilter::Visible { allow, deny, public })
            }
        }
    }
}
