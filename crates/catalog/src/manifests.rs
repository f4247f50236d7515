//! Manifests as they are pulled, listed and removed. A push is in [`push`](crate::push).

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use larder_oci::{Digest, Reference, RepositoryName};
use serde_json::json;

use crate::engine::{Done, Fault, Kind, Row, Tx, unseen, values};
use crate::keys;
use crate::leases;
use crate::lookup::{self, Hold};
use crate::model::{DeleteOutcome, Manifest, Page, Referrer, Stamp};
use crate::outbox;
use crate::page::page;
use crate::quotas::{self, Change, Quotas};
use crate::recent::Recent;
use crate::tags::{self, Place};
use crate::trash;
use crate::{Catalog, Result};

/// Pulls that one unit writes down.
const PULLS: usize = 500;

impl Catalog {
    /// The manifest that a tag or a digest names now.
    pub async fn manifest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        with_bytes: bool,
    ) -> Result<Option<Manifest>> {
        if let Some(kept) = self.recent().get(self.engine(), repository, reference, with_bytes) {
            return Ok(Some(kept));
        }
        let reading = Recent::reading(self.engine(), repository);
        let found = self.read_manifest(repository.clone(), reference.clone(), with_bytes).await?;
        if let (Some(reading), Some(found)) = (reading, &found) {
            self.recent().keep(&reading, repository, reference, found);
        }
        Ok(found)
    }

    /// The same, asked of the database.
    pub(crate) async fn read_manifest(
        &self,
        repository: RepositoryName,
        reference: Reference,
        with_bytes: bool,
    ) -> Result<Option<Manifest>> {
        let work = move |tx: &mut Tx<'_>| match (&reference, with_bytes) {
            (Reference::Tag(tag), true) => {
                let sql = "SELECT c.digest, m.media_type, m.size, m.incomplete, c.bytes FROM repositories r
                     JOIN tags t ON t.repository_id = r.id AND t.name = $1
                     JOIN manifests m ON m.repository_id = r.id AND m.digest_id = t.digest_id
                     JOIN manifest_bytes c ON c.digest_id = m.digest_id WHERE r.name = $2";
                tx.row(sql, values![tag, &repository], |row| read(row, true))
            }
            (Reference::Tag(tag), false) => {
                let sql = "SELECT d.digest, m.media_type, m.size, m.incomplete FROM repositories r
                     JOIN tags t ON t.repository_id = r.id AND t.name = $1
                     JOIN manifests m ON m.repository_id = r.id AND m.digest_id = t.digest_id
                     JOIN digests d ON d.id = m.digest_id WHERE r.name = $2";
                tx.row(sql, values![tag, &repository], |row| read(row, false))
            }
            (Reference::Digest(digest), true) => {
                let sql = "SELECT d.digest, m.media_type, m.size, m.incomplete, c.bytes FROM repositories r
                     JOIN digests d ON d.digest = $1
                     JOIN manifests m ON m.repository_id = r.id AND m.digest_id = d.id
                     JOIN manifest_bytes c ON c.digest_id = m.digest_id WHERE r.name = $2";
                tx.row(sql, values![&keys::encode(digest), &repository], |row| read(row, true))
            }
            (Reference::Digest(digest), false) => {
                let sql = "SELECT d.digest, m.media_type, m.size, m.incomplete FROM repositories r
                     JOIN digests d ON d.digest = $1
                     JOIN manifests m ON m.repository_id = r.id AND m.digest_id = d.id WHERE r.name = $2";
                tx.row(sql, values![&keys::encode(digest), &repository], |row| read(row, false))
            }
        };
        self.engine().read(Kind::Read, work).await
    }

    /// The labels that were noted of a manifest, as JSON.
    pub async fn manifest_labels(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<String>> {
        let (repository, key) = (repository.clone(), keys::encode(digest));
        let sql = "SELECT m.labels FROM repositories r JOIN digests d ON d.digest = $1
                   JOIN manifests m ON m.repository_id = r.id AND m.digest_id = d.id WHERE r.name = $2";
        let work = move |tx: &mut Tx<'_>| Ok(tx.row(sql, values![&key, &repository], |row| row.opt_text(0))?.flatten());
        self.engine().read(Kind::Read, work).await
    }

    /// Moves a manifest with its tags and edges into the trash until then, unless an index of the repository names it as a child; a subject does not
    /// hold its referrers' target. Blobs that no other manifest names are not to be read from then on. Without a time the manifest goes for good.
    /// Each blob that loses its last edge there gets a full lease for this identity and a look by the sweep at its end (**Invariant 6**).
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        lease_until: Timestamp,
        trash_until: Option<Timestamp>,
        stamp: Stamp,
    ) -> Result<DeleteOutcome> {
        let (name, digest) = (repository.clone(), *digest);
        let work = move |tx: &mut Tx<'_>| {
            let event = outbox::MANIFEST_DELETED;
            let hides = trash_until.is_some();
            let removal = Removal { how: "delete", event, lease_until, trash_until, hides, stamp: &stamp };
            delete(tx, &name, &digest, &removal)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Manifests whose subject this is, in the order of their digests. The subject need not exist.
    pub async fn referrers(
        &self,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<Referrer>> {
        let (name, subject) = (repository.clone(), *subject);
        let (artifact_type, after) = (artifact_type.map(str::to_owned), after.map(keys::encode));
        let work = move |tx: &mut Tx<'_>| {
            let none = Page { items: Vec::new(), more: false };
            let Some(repository) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(none) };
            let Some(subject) = lookup::digest(tx, &subject, Hold::Look)? else { return Ok(none) };
            let after = after.as_ref().map_or(&[][..], keys::DigestKey::as_slice);
            let rows = match &artifact_type {
                None => {
                    let sql = "SELECT f.digest, m.media_type, m.artifact_type, m.size, m.annotations FROM referrers f
                         JOIN manifests m ON m.id = f.manifest_id
                         WHERE f.subject_id = $1 AND f.repository_id = $2 AND f.digest > $3 ORDER BY f.digest LIMIT $4";
                    tx.rows(sql, values![subject, repository, after, limit + 1], referrer)?
                }
                Some(artifact_type) => {
                    let sql = "SELECT f.digest, m.media_type, m.artifact_type, m.size, m.annotations FROM referrers f
                         JOIN manifests m ON m.id = f.manifest_id
                         WHERE f.subject_id = $1 AND f.repository_id = $2 AND f.artifact_type = $3 AND f.digest > $4
                         ORDER BY f.digest LIMIT $5";
                    tx.rows(sql, values![subject, repository, artifact_type, after, limit + 1], referrer)?
                }
            };
            Ok(page(rows, limit))
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Writes down when manifests were pulled; an index counts as pulled when a child was (behaviour §5).
    pub async fn pulled(&self, pulls: &[(RepositoryName, Digest, Timestamp)]) -> Result<()> {
        for some in pulls.chunks(PULLS) {
            let some = some.to_vec();
            let work = move |tx: &mut Tx<'_>| {
                unseen();
                some.iter().try_for_each(|pull| note_pull(tx, pull))
            };
            self.engine().write(Kind::Shrink, work).await?;
        }
        Ok(())
    }
}

fn read(row: &Row<'_>, with_bytes: bool) -> Done<Manifest> {
    let bytes = with_bytes.then(|| row.bytes(4)).transpose()?.map(Bytes::from);
    Ok(Manifest {
        digest: row.digest(0)?,
        media_type: row.text(1)?,
        size: row.size(2)?,
        bytes,
        incomplete: row.flag(3)?,
    })
}

fn referrer(row: &Row<'_>) -> Done<Referrer> {
    let (artifact_type, annotations) = (row.opt_text(2)?, row.opt_text(4)?);
    Ok(Referrer { digest: row.digest(0)?, media_type: row.text(1)?, artifact_type, size: row.size(3)?, annotations })
}

fn note_pull(tx: &mut Tx<'_>, (name, digest, at): &(RepositoryName, Digest, Timestamp)) -> Done<()> {
    let Some(repository) = lookup::repository(tx, name, Hold::Look)? else { return Ok(()) };
    let Some(digest) = lookup::digest(tx, digest, Hold::Look)? else { return Ok(()) };
    let sql = "UPDATE manifests SET pulled_at = $1 WHERE repository_id = $2 AND digest_id = $3 AND (pulled_at IS NULL OR pulled_at < $1)";
    tx.execute(sql, values![*at, repository, digest])?;
    let sql = "UPDATE manifests SET pulled_at = $1 WHERE (pulled_at IS NULL OR pulled_at < $1) AND id IN
               (SELECT e.manifest_id FROM edges e WHERE e.child_id = $2 AND e.repository_id = $3 AND e.kind = 3)";
    tx.execute(sql, values![*at, digest, repository])?;
    Ok(())
}

/// Removes a manifest, whoever wants it gone.
pub(crate) fn delete(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    wanted: &Digest,
    removal: &Removal<'_>,
) -> Done<DeleteOutcome> {
    let Some(repository) = lookup::repository(tx, name, Hold::Share)? else { return Ok(DeleteOutcome::Absent) };
    let Some(found) = find(tx, repository, wanted)? else { return Ok(DeleteOutcome::Absent) };
    if let Some(parent) = parent_of(tx, repository, &found)? {
        return Ok(DeleteOutcome::InUse { parent });
    }
    remove(tx, Place { id: repository, name }, &found, removal)?;
    Ok(DeleteOutcome::Deleted)
}

/// An index of the repository that names the manifest as an entry.
pub(crate) fn parent_of(tx: &mut Tx<'_>, repository: i64, found: &Found) -> Done<Option<Digest>> {
    let sql =
        "SELECT d.digest FROM edges e JOIN manifests m ON m.id = e.manifest_id JOIN digests d ON d.id = m.digest_id
               WHERE e.child_id = $1 AND e.repository_id = $2 AND e.kind = 3 LIMIT 1";
    tx.row(sql, values![found.digest_id, repository], |row| row.digest(0))
}

/// A manifest that is to go, and what it holds. On PostgreSQL all these digests are locked.
pub(crate) struct Found {
    id: i64,
    digest: Digest,
    digest_id: i64,
    subject_id: Option<i64>,
    /// What it names: configs, layers, and entries of an index.
    pub blobs: Vec<i64>,
}

/// Finds a manifest in a repository and locks what its removal touches. What a manifest names never changes: it is a function of its digest.
pub(crate) fn find(tx: &mut Tx<'_>, repository: i64, wanted: &Digest) -> Done<Option<Found>> {
    let row_of = "SELECT m.id, m.digest_id, m.subject_id FROM digests d
                  JOIN manifests m ON m.repository_id = $1 AND m.digest_id = d.id WHERE d.digest = $2";
    let key = keys::encode(wanted);
    let read = |row: &Row<'_>| Ok((row.int(0)?, row.int(1)?, row.opt_int(2)?));
    let Some(seen) = tx.row(row_of, values![repository, &key], read)? else { return Ok(None) };
    let sql = "SELECT e.child_id, d.digest FROM edges e JOIN digests d ON d.id = e.child_id WHERE e.manifest_id = $1";
    let children = tx.rows(sql, values![seen.0], |row| Ok((row.int(0)?, row.digest(1)?)))?;
    let digests: BTreeSet<Digest> = children.iter().map(|(_, digest)| *digest).chain([*wanted]).collect();
    lookup::hold_digests(tx, &digests, Hold::Own)?;
    if matches!(tx, Tx::Postgres(_)) && tx.row(row_of, values![repository, &key], read)? != Some(seen) {
        return Err(Fault::Conflict("the manifest changed before it was locked"));
    }
    // An index's entry may be a blob (BuildKit's older cache format), so every child is looked at.
    let blobs: BTreeSet<i64> = children.iter().map(|(id, _)| *id).collect();
    let (id, digest_id, subject_id) = seen;
    Ok(Some(Found { id, digest: *wanted, digest_id, subject_id, blobs: blobs.into_iter().collect() }))
}

/// How and why a manifest goes.
pub(crate) struct Removal<'r> {
    pub how: &'static str,
    pub event: &'static str,
    pub lease_until: Timestamp,
    /// How long it can be brought back; `None` for not at all.
    pub trash_until: Option<Timestamp>,
    /// Whether blobs that no other manifest names are not to be read from now on.
    pub hides: bool,
    pub stamp: &'r Stamp,
}

/// Removes a manifest that [`find`] found.
pub(crate) fn remove(tx: &mut Tx<'_>, place: Place<'_>, found: &Found, removal: &Removal<'_>) -> Done<()> {
    if let Some(until) = removal.trash_until {
        trash::keep(tx, place, found.id, until, removal.stamp)?;
    }
    tags::remove_pointing_to(tx, place, (found.digest_id, &found.digest), removal.how, removal.stamp)?;
    if let Some(subject) = found.subject_id {
        let sql = "DELETE FROM referrers WHERE subject_id = $1 AND repository_id = $2 AND digest = $3";
        tx.execute(sql, values![subject, place.id, &keys::encode(&found.digest)])?;
    }
    tx.execute("DELETE FROM edges WHERE manifest_id = $1", values![found.id])?;
    let size = tx.row("DELETE FROM manifests WHERE id = $1 RETURNING size", values![found.id], |row| row.size(0))?;
    drop_bytes(tx, found.digest_id)?;
    let mut less = size.unwrap_or_default();
    for &blob in &found.blobs {
        less = less.saturating_add(release(tx, place.id, blob, removal)?);
    }
    Quotas::over(tx, place.name)?.add(tx, Change { manifests: -1, ..Change::less(less) })?;
    let payload = json!({ "digest": found.digest.to_string() });
    outbox::record(tx, removal.event, Some(place.name), &payload, removal.stamp)
}

/// Removes a manifest's bytes, unless a repository or the trash has it.
pub(crate) fn drop_bytes(tx: &mut Tx<'_>, digest: i64) -> Done<()> {
    let sql =
        "DELETE FROM manifest_bytes WHERE digest_id = $1 AND NOT EXISTS (SELECT 1 FROM manifests WHERE digest_id = $1)
               AND NOT EXISTS (SELECT 1 FROM trash WHERE digest_id = $1)";
    tx.execute(sql, values![digest])?;
    Ok(())
}

/// A blob may have lost its last edge: a full lease begins in the same transaction. Answers the bytes that count no longer.
fn release(tx: &mut Tx<'_>, repository: i64, blob: i64, removal: &Removal<'_>) -> Done<u64> {
    let held =
        tx.any("SELECT 1 FROM edges WHERE child_id = $1 AND repository_id = $2 LIMIT 1", values![blob, repository])?;
    let member = "SELECT 1 FROM memberships WHERE repository_id = $1 AND digest_id = $2";
    if !held && tx.any(member, values![repository, blob])? {
        leases::grant(tx, repository, blob, &removal.stamp.identity, removal.lease_until)?;
        if removal.hides {
            let sql = "UPDATE memberships SET hidden = 1 WHERE repository_id = $1 AND digest_id = $2";
            tx.execute(sql, values![repository, blob])?;
        }
        if quotas::discount(tx, repository, blob)? {
            return quotas::size_of(tx, blob);
        }
    }
    Ok(0)
}
