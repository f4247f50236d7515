//! Changes to accounts, groups, robots, grants, tokens and trusts, and who may make them.
//!
//! The catalog keeps rows consistent; what is decided here is who may change what, and what a value has to be. HTTP and the command line both come
//! through these methods.

mod explain;
mod grants;
mod groups;
mod quotas;
mod robots;
mod sessions;
mod tokens;
mod trusts;
mod users;

use std::net::IpAddr;
use std::sync::Arc;

use larder_catalog::model::access::{AuditEntry, AuditFilter, AuditPage};
use larder_catalog::model::{Origin as StampOrigin, Page, Stamp};
use larder_oci::RepositoryPattern;

pub use explain::{Explanation, WhoAmI};
pub use grants::NewPermission;
pub use robots::{NewRobotAccount, RobotSettings};
pub use tokens::NewCredential;
pub use trusts::NewTrust;
pub use users::{Account, NewAccount, UserSettings};

use crate::access::Access;
use crate::{AccountName, Caller, CallerKind, Origin, Problem, Refused, Rights};

/// What a method of administration answers.
pub type Answer<T> = Result<T, Problem>;

/// The most of a list that is given at once.
const PAGE: usize = 1_000;

/// Who makes a change, with what and from where.
#[derive(Clone, Debug)]
pub struct By {
    identity: String,
    credential: Option<String>,
    address: Option<IpAddr>,
    request_id: Option<String>,
    authority: Authority,
}

#[derive(Clone, Debug)]
enum Authority {
    /// Whoever owns the data folder.
    Operator,
    /// Somebody with these rights, until then.
    Caller { kind: CallerKind, rights: Arc<Rights>, until: Option<jiff::Timestamp> },
}

impl By {
    /// Whoever owns the data folder: the control socket, and commands with `--data`.
    pub fn operator(request_id: Option<String>) -> Self {
        let identity = "operator".to_owned();
        Self { identity, credential: None, address: None, request_id, authority: Authority::Operator }
    }

    /// A caller. With a bearer token of limited scope, or an expired one, nothing can be administered.
    pub fn of(caller: &Caller, origin: Origin, request_id: Option<String>) -> Self {
        let whole = caller.scope.is_none() && !caller.expired;
        let (kind, rights) =
            if whole { (caller.kind, Arc::clone(&caller.rights)) } else { (CallerKind::Anonymous, Arc::default()) };
        Self {
            identity: caller.identity.clone(),
            credential: Some(caller.credential.clone()),
            address: origin.address,
            request_id,
            authority: Authority::Caller { kind, rights, until: caller.until },
        }
    }

    /// The identity.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether accounts and trusts may be administered.
    pub fn is_administrator(&self) -> bool {
        match &self.authority {
            Authority::Operator => true,
            Authority::Caller { rights, .. } => rights.administrator(),
        }
    }

    fn is_operator(&self) -> bool {
        matches!(self.authority, Authority::Operator)
    }

    /// Whether everything that the pattern matches may be administered.
    fn administers(&self, pattern: &RepositoryPattern) -> bool {
        match &self.authority {
            Authority::Operator => true,
            Authority::Caller { rights, .. } => rights.administers(pattern),
        }
    }

    /// Whether this is the account of that identity, logged in.
    fn is(&self, identity: &str) -> bool {
        let known = matches!(&self.authority, Authority::Caller { kind, .. } if *kind != CallerKind::Anonymous);
        known && self.identity == identity
    }

    fn must_administer_accounts(&self) -> Answer<()> {
        if self.is_administrator() { Ok(()) } else { Err(Problem::NotAllowed("only administrators do this")) }
    }

    fn must_administer(&self, pattern: &RepositoryPattern) -> Answer<()> {
        let refused = || Problem::NotAllowed("only who administers everything that the pattern matches does this");
        if self.administers(pattern) { Ok(()) } else { Err(refused()) }
    }

    fn stamp(&self, access: &Access) -> Stamp {
        let address = self.address.map(|address| address.to_string());
        Stamp {
            identity: self.identity.clone(),
            at: access.inner.now(),
            request_id: self.request_id.clone(),
            origin: StampOrigin { credential: self.credential.clone(), address },
        }
    }
}

impl Access {
    /// Entries of the audit, the newest first. For administrators.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`].
    pub async fn audit(&self, by: &By, filter: &AuditFilter, before: Option<i64>, limit: usize) -> Answer<AuditPage> {
        by.must_administer_accounts()?;
        Ok(self.inner.catalog.audit(filter, before, limit.min(PAGE)).await?)
    }

    /// Writes an entry: of something that is no change of the catalog.
    ///
    /// # Errors
    ///
    /// [`Problem::Catalog`].
    pub async fn record(&self, entry: AuditEntry) -> Answer<()> {
        Ok(self.inner.catalog.record_audit(entry).await?)
    }
}

/// Rows that are read at once where others' may lie between.
const READ: usize = 200;

/// A page of what somebody may see of a list, however much of others' lies between. `fetch` reads on after a key, at most so many.
async fn seen<T, K, F>(
    wanted: usize,
    after: Option<K>,
    key: impl Fn(&T) -> K,
    may_see: impl Fn(&T) -> bool,
    fetch: impl Fn(Option<K>, usize) -> F,
) -> Answer<Page<T>>
where
    F: Future<Output = larder_catalog::Result<Page<T>>>,
{
    let wanted = wanted.min(PAGE);
    let (mut items, mut after) = (Vec::new(), after);
    loop {
        let page = fetch(after.take(), (wanted + 1).max(READ)).await?;
        after = page.items.last().map(&key);
        for item in page.items.into_iter().filter(|item| may_see(item)) {
            if items.len() == wanted {
                return Ok(Page { items, more: true });
            }
            items.push(item);
        }
        if !page.more {
            return Ok(Page { items, more: false });
        }
    }
}

fn named(name: &str) -> Answer<()> {
    name.parse::<AccountName>().map(drop).map_err(|error| Problem::Invalid(error.to_string()))
}

fn text(what: &str, value: &str, longest: usize) -> Answer<()> {
    if value.len() > longest || value.contains(char::is_control) {
        return Err(Problem::Invalid(format!("{what} is at most {longest} bytes, without line breaks")));
    }
    Ok(())
}

fn absent(what: &'static str, name: &str) -> Problem {
    Problem::Absent { what, name: name.to_owned() }
}

fn exists(what: &'static str, name: &str) -> Problem {
    Problem::Exists { what, name: name.to_owned() }
}

/// Where a change asks for something that identification also asks for.
impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Throttled { .. } => Self::Busy,
            Refused::Unavailable => Self::Catalog(larder_catalog::Error::Closed),
            Refused::Wrong | Refused::Expired | Refused::Disabled | Refused::Unfit(_) => {
                Self::NotAllowed("the credential does not hold")
            }
        }
    }
}
