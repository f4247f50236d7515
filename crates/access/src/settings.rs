//! What an operator may set.

use std::path::PathBuf;
use std::time::Duration;

use crate::SecretKey;

/// The settings of [`Access`](crate::Access).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of this registry in tokens: their issuer and audience, and `service` in challenges. A token for another is refused.
    pub service: String,
    /// How long a bearer token lives (`token.ttl`, 60 s to 1 h).
    pub token_ttl: Duration,
    /// A password file of Apache's `htpasswd -B`.
    pub htpasswd: Option<PathBuf>,
    /// What its users may do while no account and no grant exists.
    pub htpasswd_rights: HtpasswdRights,
    /// A directory to ask.
    pub ldap: Option<Ldap>,
    /// Login for people by OpenID Connect.
    pub oidc_login: Option<OidcLogin>,
    /// Whether issuers and directories may be asked without TLS when they are on loopback (tests, and a provider on the same machine).
    pub plain_http_on_loopback: bool,
    /// Seals signing keys and client secrets, and keys what is compared in memory.
    pub secret_key: SecretKey,
}

impl Settings {
    /// The defaults for this name and key: local accounts only.
    pub fn new(service: impl Into<String>, secret_key: SecretKey) -> Self {
        Self {
            service: service.into(),
            token_ttl: Duration::from_secs(15 * 60),
            htpasswd: None,
            htpasswd_rights: HtpasswdRights::default(),
            ldap: None,
            oidc_login: None,
            plain_http_on_loopback: false,
            secret_key,
        }
    }
}

/// What the users of a password file may do beyond pull and push while no account and no grant exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HtpasswdRights {
    /// Delete tags, manifests and blobs (`REGISTRY_STORAGE_DELETE_ENABLED`).
    pub delete: bool,
}

/// A directory whose people may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Ldap {
    /// `ldaps://HOST[:PORT]` or `ldap://HOST[:PORT]`.
    pub url: String,
    /// Whether an `ldap://` connection is encrypted by StartTLS before anything is said. Without it, plain LDAP is refused unless on loopback.
    pub start_tls: bool,
    /// The account that searches; without one the search is anonymous.
    pub bind: Option<LdapBind>,
    /// Where people are.
    pub user_base: String,
    /// How a person is found: `(&(objectClass=person)(uid={name}))`. `{name}` is escaped.
    pub user_filter: String,
    /// The attribute with the mail address.
    pub mail_attribute: String,
    /// Where groups are; without it nobody's groups are asked for.
    pub group_base: Option<String>,
    /// How a person's groups are found: `(member={dn})`. `{dn}` and `{name}` are escaped.
    pub group_filter: String,
    /// The attribute with a group's name.
    pub group_attribute: String,
}

impl std::fmt::Debug for Ldap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ldap").field("url", &self.url).field("user_base", &self.user_base).finish_non_exhaustive()
    }
}

/// The account that searches a directory.
#[derive(Clone, PartialEq, Eq)]
pub struct LdapBind {
    /// Its distinguished name.
    pub dn: String,
    /// Its password.
    pub password: String,
}

impl std::fmt::Debug for LdapBind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LdapBind").field("dn", &self.dn).finish_non_exhaustive()
    }
}

/// Login for people by OpenID Connect: authorization code with PKCE for pages, device code for `larder login`.
#[derive(Clone, PartialEq, Eq)]
pub struct OidcLogin {
    /// The issuer, as its tokens write it.
    pub issuer: String,
    /// The client's id there.
    pub client_id: String,
    /// Its secret, for providers that want one beside PKCE.
    pub client_secret: Option<String>,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that is the user's name: `preferred_username`, `email` (what stands before the `@`).
    pub user_claim: String,
    /// The claim that lists groups. With it, membership in Larder's groups of these names follows each login, in both directions.
    pub groups_claim: Option<String>,
    /// Whether somebody unknown becomes a user at the first login.
    pub create_users: bool,
}

impl std::fmt::Debug for OidcLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcLogin").field("issuer", &self.issuer).field("client_id", &self.client_id).finish_non_exhaustive()
    }
}
