//! Who may do what, as rows: accounts, groups, grants, credentials, trusts, and the audit.
//!
//! Nothing here decides: what the rows come to is the business of another crate. Each change writes its event and its row of the audit, and counts the
//! version up that decisions are kept under, in one transaction (**Invariant 3**). On PostgreSQL changes take turns; the making and removing of a
//! repository waits for them, and they for it, because both write which patterns match which repositories.

mod assertions;
mod audit;
mod grants;
mod groups;
mod invitations;
mod making;
mod patterns;
mod robots;
mod sessions;
mod sign_ups;
mod signing_keys;
mod tokens;
mod trusts;
mod users;

pub(crate) use self::audit::note;
pub(crate) use self::making::{repository_going, repository_made, repository_removed};
pub(crate) use self::patterns::find as find_pattern;

use larder_oci::RepositoryName;
use serde_json::Value as Json;

use crate::engine::{Done, Fault, Kind, Tx, announce, values};
use crate::model::Stamp;
use crate::outbox;
use crate::{Catalog, Error, Result};

impl Catalog {
    /// The version of everything that decisions depend on: it counts up with each change, whichever process makes it.
    pub async fn access_version(&self) -> Result<i64> {
        self.engine().read(Kind::Read, version).await
    }

    /// How many changes of what decisions depend on this process has committed. It moves after the commit and before the change is answered: whoever
    /// keeps decisions while it stands still keeps none that this process has overtaken.
    pub fn access_version_hint(&self) -> u64 {
        self.engine().changes()
    }

    /// Whether there is any user, robot or grant: else the server is in its open state (behaviour §4).
    pub async fn accounts_exist(&self) -> Result<bool> {
        self.engine().read(Kind::Read, accounts_exist).await
    }

    /// Runs a unit that changes what decisions depend on.
    async fn change<T, F>(&self, kind: Kind, mut work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Done<T> + Send + 'static,
    {
        let unit = move |tx: &mut Tx<'_>| {
            take_turn(tx, Turn::Change)?;
            work(tx)
        };
        self.engine().write(kind, unit).await
    }
}

fn version(tx: &mut Tx<'_>) -> Done<i64> {
    let sql = "SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'access_version'";
    let version = tx.row(sql, values![], |row| row.int(0))?;
    version.ok_or(Fault::Error(Error::Unreadable { what: "access version", value: "nothing".to_owned() }))
}

fn accounts_exist(tx: &mut Tx<'_>) -> Done<bool> {
    let sql = "SELECT CASE WHEN EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM robots) OR EXISTS (SELECT 1 FROM grants) THEN 1 ELSE 0 END";
    Ok(tx.row(sql, values![], |row| row.flag(0))?.unwrap_or(false))
}

/// How a unit takes part in the turns of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It is a change: nothing else goes on meanwhile.
    Change,
    /// It makes or removes a repository: beside others that do, but beside no change.
    Repository,
}

/// Waits for the turn of a change that another module makes.
pub(crate) fn take_turn_of_changes(tx: &mut Tx<'_>) -> Done<()> {
    take_turn(tx, Turn::Change)
}

/// Waits for this unit's turn, which ends with it. SQLite has one writer.
fn take_turn(tx: &mut Tx<'_>, turn: Turn) -> Done<()> {
    let Tx::Postgres(session) = tx else { return Ok(()) };
    let sql = match turn {
        Turn::Change => "SELECT pg_advisory_xact_lock(hashtextextended('larder access ' || current_schema(), 0))",
        Turn::Repository => {
            "SELECT pg_advisory_xact_lock_shared(hashtextextended('larder access ' || current_schema(), 0))"
        }
    };
    session.query(sql, &[])?;
    Ok(())
}

/// A change was made: writes its event and its row of the audit, and counts the version up. The last statement of its unit, for everybody waits for
/// the row of the version.
pub(crate) fn changed(
    tx: &mut Tx<'_>,
    kind: &'static str,
    repository: Option<&RepositoryName>,
    payload: &Json,
    stamp: &Stamp,
) -> Done<()> {
    outbox::record(tx, kind, repository, payload, stamp)?;
    raise_version(tx)
}

fn raise_version(tx: &mut Tx<'_>) -> Done<()> {
    let sql = "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = 'access_version'";
    tx.execute(sql, values![])?;
    announce();
    Ok(())
}
