//! People of an LDAP directory: found by a search, proved by a bind as themselves, with the groups that the directory says.

use std::time::Duration;

use larder_catalog::model::access::UserSource;
use ldap3::{
    Ldap as Connection, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions, ldap_escape,
};

use crate::access::Access;
use crate::password::Stored;
use crate::settings::Ldap;
use crate::{AccountName, Refused};

const TIMEOUT: Duration = Duration::from_secs(10);
const GROUPS: i32 = 1_000;
/// The directory says that a name or a password is wrong (RFC 4511 §4.1.9: `noSuchObject`, `invalidCredentials`, `insufficientAccessRights`,
/// `unwillingToPerform`).
const WRONG: [u32; 4] = [32, 49, 50, 53];

/// Somebody whom the directory knows.
struct Person {
    mail: Option<String>,
    /// Nothing where groups are not asked for.
    groups: Option<Vec<String>>,
}

impl Access {
    /// Whether the directory takes this password for this name. Somebody new becomes a user here, without a password.
    pub(crate) async fn ask_directory(&self, user: &str, password: &str) -> Result<bool, Refused> {
        let Some(settings) = &self.inner.settings.ldap else { return Ok(false) };
        // A bind without a password is an anonymous one, which succeeds for everybody (RFC 4513 §5.1.2).
        let Some(name) = user.parse::<AccountName>().ok().filter(|_| !password.is_empty()) else { return Ok(false) };
        let asked = tokio::time::timeout(TIMEOUT, person(settings, user, password)).await;
        let person = match asked {
            Ok(Ok(Some(person))) => person,
            Ok(Ok(None)) => return Ok(false),
            Ok(Err(error)) => {
                tracing::error!(%error, "the directory cannot be asked");
                return Err(Refused::Unavailable);
            }
            Err(_) => {
                tracing::error!("the directory does not answer in time");
                return Err(Refused::Unavailable);
            }
        };
        self.welcome(&name, person.mail, person.groups.as_deref(), UserSource::Ldap, true).await?;
        self.inner.passwords.remember(user, &Stored::of_nobody(None), password, self.inner.now());
        Ok(true)
    }
}

/// Who has this name and this password.
async fn person(settings: &Ldap, user: &str, password: &str) -> Result<Option<Person>, LdapError> {
    let options = LdapConnSettings::new().set_conn_timeout(TIMEOUT).set_starttls(settings.start_tls);
    let (connection, mut ldap) = LdapConnAsync::with_settings(options, &settings.url).await?;
    let driver = tokio::spawn(async move { connection.drive().await });
    let person = look_up(&mut ldap, settings, user, password).await;
    ldap.unbind().await.ok();
    driver.abort();
    person
}

async fn look_up(
    ldap: &mut Connection,
    settings: &Ldap,
    user: &str,
    password: &str,
) -> Result<Option<Person>, LdapError> {
    if let Some(bind) = &settings.bind {
        ldap.simple_bind(&bind.dn, &bind.password).await?.success()?;
    }
    let filter = settings.user_filter.replace("{name}", &ldap_escape(user));
    // Two: a filter that finds two people finds nobody.
    let found = search(ldap, &settings.user_base, &filter, &[settings.mail_attribute.as_str()], 2).await?;
    let [entry] = found.as_slice() else { return Ok(None) };
    let answer = ldap.simple_bind(&entry.dn, password).await?;
    if WRONG.contains(&answer.rc) {
        return Ok(None);
    }
    answer.success()?;
    let groups = match &settings.group_base {
        Some(base) => Some(groups(ldap, settings, base, user, &entry.dn).await?),
        None => None,
    };
    let mail = entry.attrs.get(&settings.mail_attribute).and_then(|mails| mails.first().cloned());
    Ok(Some(Person { mail, groups }))
}

/// The groups, asked for by the account that searches where there is one: people may not be allowed to.
async fn groups(
    ldap: &mut Connection,
    settings: &Ldap,
    base: &str,
    user: &str,
    dn: &str,
) -> Result<Vec<String>, LdapError> {
    if let Some(bind) = &settings.bind {
        ldap.simple_bind(&bind.dn, &bind.password).await?.success()?;
    }
    let filter = settings.group_filter.replace("{dn}", &ldap_escape(dn)).replace("{name}", &ldap_escape(user));
    let found = search(ldap, base, &filter, &[settings.group_attribute.as_str()], GROUPS).await?;
    let names =
        found.into_iter().flat_map(|mut entry| entry.attrs.remove(&settings.group_attribute).unwrap_or_default());
    Ok(names.map(|name| name.to_ascii_lowercase()).collect())
}

async fn search(
    ldap: &mut Connection,
    base: &str,
    filter: &str,
    attributes: &[&str],
    limit: i32,
) -> Result<Vec<SearchEntry>, LdapError> {
    ldap.with_search_options(SearchOptions::new().sizelimit(limit));
    let result = ldap.search(base, Scope::Subtree, filter, attributes).await?;
    let ldap3::SearchResult(entries, outcome) = result;
    // 4: more than asked for; 32: the base is not there.
    if !matches!(outcome.rc, 0 | 4 | 32) {
        outcome.success()?;
    }
    let is_entry = |entry: &ldap3::ResultEntry| !entry.is_ref() && !entry.is_intermediate();
    Ok(entries.into_iter().filter(is_entry).map(SearchEntry::construct).collect())
}
