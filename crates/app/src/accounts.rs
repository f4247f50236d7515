//! Access control of an opened data folder: settings, the secret key, and the way to identity providers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use larder_access::{
    Access, By, HtpasswdRights, Ldap, LdapBind, NewAccount, OidcLogin, PlainToken, Ports, SecretKey, Settings, SignUp,
    SystemClock,
};
use larder_catalog::Catalog;

use crate::config::Configuration;
use crate::fetch::HttpFetch;
use crate::mail::Mailer;
use crate::opened::chain;
use crate::outcome::{Failure, Result};
use crate::protected_files::ProtectedFiles;

/// How often what is due is looked at.
const TICK: Duration = Duration::from_secs(1);

/// Opens it. `htpasswd` is the password file to read; `data` the data folder.
pub async fn open(
    configuration: &Configuration,
    catalog: Catalog,
    data: &Path,
    htpasswd: Option<PathBuf>,
    files: &ProtectedFiles,
) -> Result<Access> {
    let settings = Settings {
        token_ttl: configuration.duration("token.ttl"),
        session_ttl: configuration.duration("session.ttl"),
        htpasswd,
        htpasswd_rights: HtpasswdRights { delete: configuration.switch("access.htpasswd_delete") },
        ldap: ldap(configuration),
        oidc_login: oidc(configuration),
        sign_up: sign_up(configuration)?,
        ..Settings::new(service(configuration), secret_key(configuration, data, files)?)
    };
    let ports = Ports { fetch: Arc::new(HttpFetch::default()), clock: Arc::new(SystemClock) };
    Access::open(catalog, settings, ports).await.map_err(|error| Failure::failed(chain(&error)))
}

/// The file of the key that is configured, if one is.
pub fn configured_key(configuration: &Configuration) -> Option<PathBuf> {
    configuration.text("access.secret_key_file").map(PathBuf::from)
}

fn secret_key(configuration: &Configuration, data: &Path, files: &ProtectedFiles) -> Result<SecretKey> {
    let path = configured_key(configuration).unwrap_or_else(|| data.join("secret.key"));
    if files.is_beyond_us(&path) {
        let wrong = |why: &str| Failure::failed(format!("the secret key {}: {why}", path.display()));
        let text = files.read(&path).map_err(|error| wrong(&error.to_string()))?;
        let key = String::from_utf8(text).ok().and_then(|text| SecretKey::parse(&text));
        return key.ok_or_else(|| wrong("it does not hold 64 hexadecimal digits"));
    }
    SecretKey::load_or_make(&path).map_err(|error| Failure::failed(chain(&error)))
}

/// What this registry is called in tokens: its public host, which stays the same behind every proxy.
fn service(configuration: &Configuration) -> String {
    let url = configuration.text("public_url").and_then(|url| url.split_once("://"));
    url.map_or_else(|| "larder".to_owned(), |(_, host)| host.to_owned())
}

fn ldap(configuration: &Configuration) -> Option<Ldap> {
    let text = |path: &str| configuration.text(path).map(str::to_owned);
    let given = |path: &str| text(path).unwrap_or_default();
    Some(Ldap {
        url: text("ldap.url")?,
        start_tls: configuration.switch("ldap.start_tls"),
        bind: text("ldap.bind_dn").map(|dn| LdapBind { dn, password: given("ldap.bind_password") }),
        user_base: given("ldap.user_base"),
        user_filter: given("ldap.user_filter"),
        mail_attribute: given("ldap.mail_attribute"),
        group_base: text("ldap.group_base"),
        group_filter: given("ldap.group_filter"),
        group_attribute: given("ldap.group_attribute"),
    })
}

fn oidc(configuration: &Configuration) -> Option<OidcLogin> {
    let text = |path: &str| configuration.text(path).map(str::to_owned);
    Some(OidcLogin {
        issuer: text("oidc.issuer")?,
        client_id: text("oidc.client_id").unwrap_or_default(),
        client_secret: text("oidc.client_secret"),
        scopes: configuration.list("oidc.scopes").to_vec(),
        user_claim: text("oidc.user_claim").unwrap_or_default(),
        groups_claim: text("oidc.groups_claim"),
        create_users: configuration.switch("oidc.create_users"),
    })
}

fn sign_up(configuration: &Configuration) -> Result<Option<SignUp>> {
    let mailer = Mailer::configured(configuration)?;
    let domains = configuration.list("signup.domains").to_vec();
    if domains.is_empty() {
        return Ok(None);
    }
    let needs = |key: &str, why: &str| Failure::usage(format!("signup.domains needs {key}: {why}"));
    let mailer = mailer.ok_or_else(|| needs("mail.server", "the link is mailed"))?;
    let site = configuration.text("public_url").ok_or_else(|| needs("public_url", "it says where the link leads"))?;
    Ok(Some(SignUp { domains, site: site.trim_end_matches('/').to_owned(), mail: Arc::new(mailer) }))
}

/// Whether the configuration itself says who may log in.
pub fn are_configured(configuration: &Configuration) -> bool {
    ["access.htpasswd", "ldap.url", "oidc.issuer"].iter().any(|path| configuration.text(path).is_some())
}

/// Makes the first user with a password of its own, which is answered and kept nowhere.
pub async fn make_first_user(access: &Access, name: &str) -> Result<String> {
    // As many random characters as a token has, without the mark that makes it one.
    let password: String = PlainToken::generate().reveal().chars().skip(4).take(24).collect();
    let new = NewAccount { name: name.to_owned(), password: Some(password.clone()), administrator: true, email: None };
    access.add_user(&By::operator(None), new).await.map_err(|error| Failure::failed(chain(&error)))?;
    Ok(password)
}

/// Does what is due, again and again.
pub async fn keep(access: Access) {
    loop {
        tokio::time::sleep(TICK).await;
        access.tick().await;
    }
}
