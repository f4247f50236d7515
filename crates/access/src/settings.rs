//! What an operator may set.

use std::path::PathBuf;
use std::time::Duration;

use crate::{SecretKey, SignUp};

/// The settings of [`Access`](crate::Access).
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of this registry in tokens: their issuer and audience, and `service` in challenges. A token for another is refused.
    pub service: String,
    /// How long a bearer token lives (`token.ttl`, 60 s to 1 h).
    pub token_ttl: Duration,
    /// How long a login to the pages lasts (`session.ttl`).
    pub session_ttl: Duration,
    /// A password file of Apache's `htpasswd -B`.
    pub htpasswd: Option<PathBuf>,
    /// What its users may do while no account and no grant exists.
    pub htpasswd_rights: HtpasswdRights,
    /// A directory to ask.
    pub ldap: Option<Ldap>,
    /// Login for people by OpenID Connect.
    pub oidc_login: Option<OidcLogin>,
    /// Self sign-up, confirmed by mail.
    pub sign_up: Option<SignUp>,
    /// Whether issuers may be asked without TLS when they are on loopback (tests).
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
            session_ttl: Duration::from_secs(12 * 3600),
            htpasswd: None,
            htpasswd_rights: HtpasswdRights::default(),
            ldap: None,
            oidc_login: None,
            sign_up: None,
            plain_http_on_loopback: false,
            secret_key,
        }
    }

    /// Says what does not do.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.service.is_empty() || !self.service.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
        {
            return Err("the name of the service is printable ASCII without quotes".to_owned());
        }
        if !(60..=3600).contains(&self.token_ttl.as_secs()) {
            return Err("token.ttl is 60 s to 1 h".to_owned());
        }
        if let Some(login) = &self.oidc_login
            && !is_secure(&login.issuer, self.plain_http_on_loopback)
        {
            return Err(format!("the issuer {} is not an https:// address", login.issuer));
        }
        if let Some(sign_up) = &self.sign_up {
            sign_up.check()?;
            if self.ldap.is_some() || self.oidc_login.is_some() {
                // Who signed up as alice would have what the directory's alice was granted.
                return Err(
                    "people come from a directory, an identity provider or by signing up: set one of them".to_owned()
                );
            }
        }
        self.ldap.as_ref().map_or(Ok(()), Ldap::check)
    }
}

/// Whether what is said to this URL cannot be read or changed on the way: `https`, or `http` to this machine where that is allowed.
pub(crate) fn is_secure(url: &str, plain_http_on_loopback: bool) -> bool {
    let (plain, rest) = match url.split_once("://") {
        Some(("https", rest)) => (false, rest),
        Some(("http", rest)) if plain_http_on_loopback => (true, rest),
        _ => return false,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let odd = |b: u8| !b.is_ascii_graphic() || matches!(b, b'"' | b'<' | b'>' | b'\\');
    if authority.is_empty() || authority.contains('@') || url.bytes().any(odd) {
        return false;
    }
    !plain || is_loopback(authority)
}

/// Whether `HOST[:PORT]` is this machine.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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

impl Ldap {
    fn check(&self) -> Result<(), String> {
        let (plain, rest) = match self.url.split_once("://") {
            Some(("ldaps", rest)) => (false, rest),
            Some(("ldap", rest)) => (!self.start_tls, rest),
            _ => return Err("the directory's address begins with ldaps:// or ldap://".to_owned()),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        if plain && !is_loopback(authority) {
            return Err("passwords do not go to a directory in the clear: use ldaps:// or StartTLS".to_owned());
        }
        if !self.user_filter.contains("{name}") {
            return Err("the filter that finds a person contains {name}".to_owned());
        }
        Ok(())
    }
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
        f.debug_struct("OidcLogin")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_be_read_on_the_way_is_secure() {
        assert!(is_secure("https://issuer.example", false) && is_secure("https://issuer.example:8443/realms/x", false));
        assert!(
            is_secure("http://127.0.0.1:8080/x", true)
                && is_secure("http://[::1]:80", true)
                && is_secure("http://localhost", true)
        );
        assert!(!is_secure("http://127.0.0.1:8080/x", false));
        for bad in [
            "http://issuer.example",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "https://a@b",
            "https://",
            "ftp://x",
            "https:/x",
            "file:///etc/passwd",
            "https://a\\b",
            "https://a b",
            "http://169.254.169.254/",
            "http://[::ffff:7f00:1]@x/",
            "",
        ] {
            assert!(!is_secure(bad, true), "{bad}");
        }
    }

    #[test]
    fn passwords_do_not_travel_in_the_clear() {
        let ldap = |url: &str, start_tls| Ldap {
            url: url.to_owned(),
            start_tls,
            bind: None,
            user_base: "ou=people,dc=example".to_owned(),
            user_filter: "(uid={name})".to_owned(),
            mail_attribute: "mail".to_owned(),
            group_base: None,
            group_filter: "(member={dn})".to_owned(),
            group_attribute: "cn".to_owned(),
        };
        let check = |url, start_tls| ldap(url, start_tls).check().is_ok();
        assert!(check("ldaps://d.example", false) && check("ldap://d.example", true));
        assert!(
            check("ldap://127.0.0.1", false) && check("ldap://localhost:3890", false) && check("ldap://[::1]", false)
        );
        for bad in ["ldap://d.example", "ldap://192.0.2.1", "ldap://127.0.0.1.evil.example", "ldap://0.0.0.0"] {
            assert!(!check(bad, false), "{bad}");
        }
        assert!(!check("http://127.0.0.1", true));
    }
}
