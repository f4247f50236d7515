//! Leases: what protects a blob between its push and the push of the manifest that names it (**Invariant 6**).
//!
//! Each lease has a row in the sweep's queue for as long as it stands; the sweep removes both.

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryName};

use crate::engine::{Done, Kind, Tx, values};
use crate::lookup::{self, Hold};
use crate::{Catalog, Result};

/// Writes or lengthens a lease, and queues its end for the sweep.
pub(crate) fn grant(tx: &mut Tx<'_>, repository: i64, digest: i64, identity: &str, until: Timestamp) -> Done<()> {
    let sql = "INSERT INTO leases (digest_id, repository_id, identity, until) VALUES ($1, $2, $3, $4)
               ON CONFLICT (digest_id, repository_id, identity)
               DO UPDATE SET until = CASE WHEN excluded.until > leases.until THEN excluded.until ELSE leases.until END";
    tx.execute(sql, values![digest, repository, identity, until])?;
    queue(tx, repository, digest, until)
}

/// Queues a look at a digest in a repository (0: in none). An earlier date stands: whoever comes too early queues again. Never `DO NOTHING`: on
/// PostgreSQL that would not hold the row that a sweep is about to drop.
pub(crate) fn queue(tx: &mut Tx<'_>, repository: i64, digest: i64, review_after: Timestamp) -> Done<()> {
    let sql = "INSERT INTO sweep_queue (digest_id, repository_id, review_after) VALUES ($1, $2, $3)
               ON CONFLICT (digest_id, repository_id) DO UPDATE SET review_after =
               CASE WHEN excluded.review_after < sweep_queue.review_after THEN excluded.review_after ELSE sweep_queue.review_after END";
    tx.execute(sql, values![digest, repository, review_after])?;
    Ok(())
}

/// Extends all leases of an identity in a repository.
pub(crate) fn extend(tx: &mut Tx<'_>, repository: &RepositoryName, identity: &str, until: Timestamp) -> Done<()> {
    if let Some(repository) = lookup::repository(tx, repository, Hold::Look)? {
        let sql = "UPDATE leases SET until = $1 WHERE repository_id = $2 AND identity = $3 AND until < $1";
        tx.execute(sql, values![until, repository, identity])?;
    }
    Ok(())
}

impl Catalog {
    /// Protects a member blob for this identity until then. Answers `false` when it is no longer a member: the client has to push it.
    pub async fn lease(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        identity: &str,
        until: Timestamp,
    ) -> Result<bool> {
        let (name, wanted, identity) = (repository.clone(), *digest, identity.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let Some(repository) = lookup::repository(tx, &name, Hold::Share)? else { return Ok(false) };
            let Some(digest) = lookup::digest(tx, &wanted, Hold::Share)? else { return Ok(false) };
            let sql = "SELECT 1 FROM memberships m JOIN blobs b ON b.digest_id = m.digest_id AND b.state = 0
                       WHERE m.repository_id = $1 AND m.digest_id = $2 AND m.hidden = 0";
            let member = tx.any(sql, values![repository, digest])?;
            if member {
                grant(tx, repository, digest, &identity, until)?;
            }
            Ok(member)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// Gives every lease its full term again, at the start of a server: a push that its absence interrupted goes on.
    pub async fn renew_all_leases(&self, until: Timestamp) -> Result<()> {
        let work = move |tx: &mut Tx<'_>| {
            tx.execute("UPDATE leases SET until = $1 WHERE until < $1", values![until]).map(drop)
        };
        self.engine().write(Kind::Shrink, work).await
    }
}
