//! Blobs and who holds them. A blob is visible only through membership in a repository (**Invariant 5**), and only while its row is live.

use larder_oci::{Digest, RepositoryName};
use serde_json::json;

use crate::access;
use crate::engine::{Done, Kind, Row, Tx, values};
use crate::keys;
use crate::leases;
use crate::lookup::{self, Hold};
use crate::model::{Blob, CommitBlob, DeleteOutcome, MemberBlob, MountSource, RepositoryFilter, Stamp};
use crate::outbox;
use crate::quotas::{self, Change, Quotas};
use crate::uploads;
use crate::{Catalog, Result};

/// States of a blob's row, as they are stored.
pub(crate) const LIVE: i64 = 0;
pub(crate) const SUPERSEDED: i64 = 1;
pub(crate) const DELETING: i64 = 2;
pub(crate) const QUARANTINED: i64 = 3;

impl Catalog {
    /// Makes a verified blob live: its row, its membership and its lease; the session's row goes with them (**Invariant 2**). A live row of the
    /// same digest is superseded, so that a re-push heals. Answers `false`, with nothing applied, when the session is gone.
    pub async fn commit_blob(&self, commit: CommitBlob) -> Result<bool> {
        self.engine().write(Kind::Grow, move |tx| commit_blob(tx, &commit)).await
    }

    /// The blob as this repository sees it, and what protects it. Not one whose last manifest was deleted: who wants it sends it again.
    pub async fn member_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        identity: &str,
    ) -> Result<Option<MemberBlob>> {
        let (repository, digest, identity) = (repository.clone(), *digest, identity.to_owned());
        let sql = "SELECT b.key, b.size, b.unverified,
                     CASE WHEN EXISTS (SELECT 1 FROM edges e WHERE e.child_id = m.digest_id AND e.repository_id = m.repository_id) THEN 1 ELSE 0 END,
                     (SELECT l.until FROM leases l
                      WHERE l.digest_id = m.digest_id AND l.repository_id = m.repository_id AND l.identity = $1)
                   FROM repositories r JOIN digests d ON d.digest = $2
                   JOIN memberships m ON m.repository_id = r.id AND m.digest_id = d.id AND m.hidden = 0
                   JOIN blobs b ON b.digest_id = d.id AND b.state = 0
                   WHERE r.name = $3";
        let work = move |tx: &mut Tx<'_>| {
            tx.row(sql, values![&identity, &keys::encode(&digest), &repository], |row| {
                let blob = Blob { digest, key: row.text(0)?, size: row.size(1)? };
                let verified = !row.flag(2)?;
                Ok(MemberBlob { blob, verified, has_edge: row.flag(3)?, leased_until: row.opt_time(4)? })
            })
        };
        self.engine().read(Kind::Read, work).await
    }

    /// The blob that a mount would take from this source: for a look at its bytes before [`mount`](Self::mount) decides again.
    pub async fn mount_candidate(&self, digest: &Digest, source: &MountSource) -> Result<Option<Blob>> {
        let (digest, source) = (*digest, source.clone());
        self.engine().read(Kind::Snapshot, move |tx| candidate(tx, &digest, &source, Hold::Look)).await
    }

    /// Makes a blob of the source a member of `to`, with a lease. Answers `None` when the source does not hold it (any more), and where a quota has no
    /// room for it: what an upload answers then says why.
    pub async fn mount(
        &self,
        to: &RepositoryName,
        digest: &Digest,
        source: &MountSource,
        lease_until: jiff::Timestamp,
        stamp: Stamp,
    ) -> Result<Option<Blob>> {
        let (to, digest, source) = (to.clone(), *digest, source.clone());
        let work = move |tx: &mut Tx<'_>| mount(tx, &to, &digest, &source, lease_until, &stamp);
        self.engine().write(Kind::Grow, work).await
    }

    /// Removes a blob from a repository, unless a manifest there names it. Its bytes go with the next sweep if nothing else holds them.
    pub async fn delete_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stamp: Stamp,
    ) -> Result<DeleteOutcome> {
        let (repository, digest) = (repository.clone(), *digest);
        self.engine().write(Kind::Shrink, move |tx| delete_blob(tx, &repository, &digest, &stamp)).await
    }
}

fn mount(
    tx: &mut Tx<'_>,
    to: &RepositoryName,
    digest: &Digest,
    source: &MountSource,
    lease_until: jiff::Timestamp,
    stamp: &Stamp,
) -> Done<Option<Blob>> {
    let quotas = Quotas::over(tx, to)?;
    let Some(blob) = candidate(tx, digest, source, Hold::Share)? else { return Ok(None) };
    if !quotas.is_empty() && !is_counted(tx, to, digest)? && quotas.refuse(tx, Change::more(blob.size))?.is_some() {
        return Ok(None);
    }
    let (repository, made) = lookup::ensure_repository(tx, to, stamp)?;
    let id = lookup::ensure_digest(tx, digest, Hold::Share)?;
    let added = add_member(tx, repository, id, stamp)?;
    leases::grant(tx, repository, id, &stamp.identity, lease_until)?;
    if added.counts {
        quotas.add(tx, Change::more(blob.size))?;
    }
    if made {
        access::repository_made(tx, repository, to, stamp)?;
    }
    Ok(Some(blob))
}

fn is_counted(tx: &mut Tx<'_>, repository: &RepositoryName, digest: &Digest) -> Done<bool> {
    let sql = "SELECT 1 FROM repositories r JOIN digests d ON d.digest = $1
               JOIN memberships m ON m.repository_id = r.id AND m.digest_id = d.id WHERE r.name = $2 AND m.counted = 1";
    tx.any(sql, values![&keys::encode(digest), repository])
}

fn commit_blob(tx: &mut Tx<'_>, commit: &CommitBlob) -> Done<bool> {
    let CommitBlob { upload, repository: name, blob, stamp, .. } = commit;
    let quotas = Quotas::over(tx, name)?;
    let Some(reserved) = uploads::unregister(tx, upload, name)? else { return Ok(false) };
    let (repository, made) = lookup::ensure_repository(tx, name, stamp)?;
    let digest = lookup::ensure_digest(tx, &blob.digest, Hold::Own)?;
    let sql = "UPDATE blobs SET state = 1, review_after = $1 WHERE digest_id = $2 AND state = 0";
    tx.execute(sql, values![commit.supersede_review, digest])?;
    let sql = "INSERT INTO blobs (key, digest_id, size, state, created_at) VALUES ($1, $2, $3, 0, $4)";
    tx.execute(sql, values![&blob.key, digest, blob.size, stamp.at])?;
    let more =
        if add_member(tx, repository, digest, stamp)?.counts { Change::more(blob.size) } else { Change::default() };
    leases::grant(tx, repository, digest, &stamp.identity, commit.lease_until)?;
    quotas.add(tx, Change { reserved: -reserved, ..more })?;
    if made {
        access::repository_made(tx, repository, name, stamp)?;
    }
    Ok(true)
}

/// What a membership's making came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Added {
    /// It was no member before.
    pub is_new: bool,
    /// It counts towards quotas and did not before.
    pub counts: bool,
}

/// Makes a blob a member that counts.
pub(crate) fn add_member(tx: &mut Tx<'_>, repository: i64, digest: i64, stamp: &Stamp) -> Done<Added> {
    let sql = "INSERT INTO memberships (repository_id, digest_id, created_at) VALUES ($1, $2, $3)
               ON CONFLICT (repository_id, digest_id) DO NOTHING";
    if tx.execute(sql, values![repository, digest, stamp.at])? > 0 {
        return Ok(Added { is_new: true, counts: true });
    }
    let sql = "UPDATE memberships SET hidden = 0 WHERE repository_id = $1 AND digest_id = $2 AND hidden = 1";
    tx.execute(sql, values![repository, digest])?;
    Ok(Added { is_new: false, counts: quotas::count(tx, repository, digest)? })
}

/// The live blob, if the source holds it.
fn candidate(tx: &mut Tx<'_>, digest: &Digest, source: &MountSource, hold: Hold) -> Done<Option<Blob>> {
    let from = match source {
        MountSource::Repository(name) => match lookup::repository(tx, name, hold)? {
            Some(id) => Some(id),
            None => return Ok(None),
        },
        MountSource::Any { .. } => None,
    };
    let Some(id) = lookup::digest(tx, digest, hold)? else { return Ok(None) };
    let held = match (from, source) {
        (Some(repository), _) => {
            let sql = "SELECT 1 FROM memberships WHERE repository_id = $1 AND digest_id = $2 AND hidden = 0";
            tx.any(sql, values![repository, id])?
        }
        (None, MountSource::Any { filter: RepositoryFilter::All, .. }) => {
            tx.any("SELECT 1 FROM memberships WHERE digest_id = $1 AND hidden = 0 LIMIT 1", values![id])?
        }
        (None, MountSource::Any { filter, limit }) => {
            let sql = "SELECT r.name, r.public FROM memberships m JOIN repositories r ON r.id = m.repository_id
                       WHERE m.digest_id = $1 AND m.hidden = 0 ORDER BY m.id DESC LIMIT $2";
            let holders = tx.rows(sql, values![id, *limit], |row| Ok((row.repository(0)?, row.flag(1)?)))?;
            holders.iter().any(|(name, public)| filter.allows(name, *public))
        }
        (None, MountSource::Repository(_)) => false,
    };
    if !held {
        return Ok(None);
    }
    let read = |row: &Row<'_>| Ok(Blob { digest: *digest, key: row.text(0)?, size: row.size(1)? });
    tx.row("SELECT key, size FROM blobs WHERE digest_id = $1 AND state = 0", values![id], read)
}

fn delete_blob(tx: &mut Tx<'_>, name: &RepositoryName, wanted: &Digest, stamp: &Stamp) -> Done<DeleteOutcome> {
    let Some(repository) = lookup::repository(tx, name, Hold::Share)? else { return Ok(DeleteOutcome::Absent) };
    let Some(digest) = lookup::digest(tx, wanted, Hold::Own)? else { return Ok(DeleteOutcome::Absent) };
    let sql = "SELECT b.id FROM memberships m JOIN blobs b ON b.digest_id = m.digest_id AND b.state = 0
               WHERE m.repository_id = $1 AND m.digest_id = $2";
    if !tx.any(sql, values![repository, digest])? {
        return Ok(DeleteOutcome::Absent);
    }
    let sql =
        "SELECT d.digest FROM edges e JOIN manifests m ON m.id = e.manifest_id JOIN digests d ON d.id = m.digest_id
               WHERE e.child_id = $1 AND e.repository_id = $2 LIMIT 1";
    if let Some(parent) = tx.row(sql, values![digest, repository], |row| row.digest(0))? {
        return Ok(DeleteOutcome::InUse { parent });
    }
    if quotas::discount(tx, repository, digest)? {
        let less = Change::less(quotas::size_of(tx, digest)?);
        Quotas::over(tx, name)?.add(tx, less)?;
    }
    tx.execute("DELETE FROM memberships WHERE repository_id = $1 AND digest_id = $2", values![repository, digest])?;
    leases::queue(tx, repository, digest, stamp.at)?;
    outbox::record(tx, outbox::BLOB_DELETED, Some(name), &json!({ "digest": wanted.to_string() }), stamp)?;
    Ok(DeleteOutcome::Deleted)
}
