//! Who a request is from: what it presents, and what became of that.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use larder_oci::{Action, RepositoryName, Scopes};

use crate::Rights;

/// What a request presents.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented {
    /// No credential.
    Nothing,
    /// A name and a password; a token of ours, or an identity provider's, may stand in the password's place with any name.
    Basic {
        /// The name.
        user: String,
        /// The password, at most [`Presented::MAX_SECRET`] bytes.
        password: String,
    },
    /// A bearer token: one that the token service signed, or a token of ours as it is.
    Bearer(String),
    /// The name in a client certificate that the TLS listener has verified.
    Certificate(String),
    /// What a browser keeps of a login to the pages.
    Session(String),
}

impl Presented {
    /// The longest password or token that is looked at.
    pub const MAX_SECRET: usize = 16 * 1024;
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Basic { user, .. } => f.debug_struct("Basic").field("user", user).finish_non_exhaustive(),
            Self::Bearer(_) => f.write_str("Bearer"),
            Self::Session(_) => f.write_str("Session"),
            Self::Certificate(name) => f.debug_tuple("Certificate").field(name).finish(),
        }
    }
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address, as far as trusted proxies tell; nothing for the control socket.
    pub address: Option<IpAddr>,
}

/// What kind of party a caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallerKind {
    /// Nobody known.
    Anonymous,
    /// A person.
    User,
    /// A machine with tokens of its own.
    Robot,
    /// A machine that another issuer vouches for.
    Trust,
}

/// Somebody, with what he may do right now.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The stable name that owns upload sessions and leases: `anonymous`, `user:NAME`, `robot:NAME`, `trust:NAME#SUB`.
    pub identity: String,
    /// What kind of party.
    pub kind: CallerKind,
    /// The credential's id, for the audit: `password`, `htpasswd`, `ldap`, `oidc`, `certificate`, `token:ID`, `session:ID`, `jwt:JTI`; `none` for nobody.
    /// A signed token carries the credential that it was issued for.
    pub credential: String,
    /// What the identity may, within the limits of its credential.
    pub rights: Arc<Rights>,
    /// What a bearer token was issued for. Nothing where the credential itself was presented: its rights are the only limit.
    pub scope: Option<Scopes>,
    /// A bearer token that has merely expired. Only the routes of an upload session may go on with it (behaviour §4).
    pub expired: bool,
    /// When the credential stops to hold, if it does; a token issued for it lives no longer.
    pub until: Option<jiff::Timestamp>,
    /// The state of the account that the credential was checked against; a signed token carries it and ends when it changes.
    pub(crate) revision: i64,
    /// The credential that signed tokens name (`cred`); equal to `credential` unless that is a signed token itself.
    pub(crate) root: String,
}

impl Caller {
    /// Whether the scope of a bearer token, if there is one, covers the action. Moving a tag is part of `push` there: clients ask for no more.
    pub fn scope_allows(&self, action: Action, repository: &RepositoryName) -> bool {
        let Some(scope) = &self.scope else { return true };
        let word = action.as_str();
        scope.iter().any(|scope| {
            let covers = |actions: &std::collections::BTreeSet<String>| {
                actions.contains("*")
                    || actions.contains("admin")
                    || actions.contains(word)
                    || (action == Action::TagMove && actions.contains("push"))
            };
            scope.kind == "repository" && scope.name == repository.as_str() && covers(&scope.actions)
        })
    }

    /// Whether the scope covers the catalogue (`registry:catalog:*`, and `registry:catalog:search` as docker asks for it).
    pub fn scope_allows_catalog(&self) -> bool {
        let Some(scope) = &self.scope else { return true };
        let covers = |actions: &std::collections::BTreeSet<String>| actions.contains("*") || actions.contains("search");
        scope.iter().any(|scope| scope.kind == "registry" && scope.name == "catalog" && covers(&scope.actions))
    }

    /// Whether this is somebody known.
    pub fn is_known(&self) -> bool {
        self.kind != CallerKind::Anonymous
    }

    /// The account's own name: `alice` of `user:alice`.
    pub fn name(&self) -> Option<&str> {
        match self.kind {
            CallerKind::Anonymous => None,
            _ => self.identity.split_once(':').map(|(_, name)| name),
        }
    }
}

/// Why nobody came of what was presented. No text says which part was wrong (**Invariant 13**).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The credential is wrong, unknown or revoked: 401.
    #[error("the credential is wrong, unknown or revoked")]
    Wrong,
    /// The credential was right once: 401.
    #[error("the credential has expired")]
    Expired,
    /// The account is disabled. A stranger is told [`Wrong`](Self::Wrong); only the right password hears this.
    #[error("the account is disabled")]
    Disabled,
    /// Too many wrong ones: 429 with `Retry-After`.
    #[error("too many attempts, try again in {} s", retry_after.as_secs())]
    Throttled {
        /// How long to wait, at least a second.
        retry_after: Duration,
    },
    /// An identity token, of which the issuer's user may be told what did not fit: it is his own.
    #[error("{0}")]
    Unfit(String),
    /// The catalog, the directory or the issuer does not answer: 503.
    #[error("the credential cannot be checked now")]
    Unavailable,
}
