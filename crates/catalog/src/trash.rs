//! The trash: what was deleted can be brought back for a while.
//!
//! A manifest in it has no row among the live ones, so no read, list, mount or push check finds it; its own rows here keep its bytes, and those of the
//! blobs it names, from the sweep. Memberships of blobs that no other manifest names are hidden at once, for a push that relied on them may be under way
//! (**Invariant 6**); they go when their leases end, and come back with the manifest.

use std::collections::BTreeSet;

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryName, Tag};
use serde_json::json;

use crate::access;
use crate::engine::{Done, Fault, Kind, Row, Tx, values};
use crate::keys;
use crate::leases;
use crate::lookup::{self, Hold};
use crate::manifests::{self, Removal};
use crate::model::{Page, Purge, PurgeOutcome, RepositoryUndelete, Stamp, TrashRow, UndeleteOutcome};
use crate::outbox;
use crate::page::page;
use crate::quotas::{self, Change, Quotas};
use crate::search;
use crate::tags::{self, Place};
use crate::{Catalog, Result};

/// How tags come back, for their history.
const HOW: &str = "undelete";
/// Rows that one unit throws away.
const SOME: usize = 200;
/// Entries of entries of an index that come back with it.
const DEPTH: usize = 8;

impl Catalog {
    /// What the trash holds of a repository's name, after the row `after`; what went with a removed repository too.
    pub async fn trash(&self, repository: &RepositoryName, after: i64, limit: usize) -> Result<Page<TrashRow>> {
        let name = repository.clone();
        let work = move |tx: &mut Tx<'_>| {
            let sql = "SELECT id, digest, media_type, total_size, whole, deleted_at, deleted_by, until FROM trash
                       WHERE repository = $1 AND id > $2 ORDER BY id LIMIT $3";
            let mut rows = tx.rows(sql, values![&name, after, limit + 1], trash_row)?;
            for row in &mut rows {
                row.tags = tags_of(tx, row.id)?;
            }
            Ok(page(rows, limit))
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Brings a deleted tag back, under its name or as another; its manifest too, if that was deleted.
    pub async fn undelete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        name: Option<&Tag>,
        stamp: Stamp,
    ) -> Result<UndeleteOutcome> {
        let (repository, tag, wanted) = (repository.clone(), tag.clone(), name.unwrap_or(tag).clone());
        self.engine().write(Kind::Grow, move |tx| undelete_tag(tx, &repository, &tag, &wanted, &stamp)).await
    }

    /// Brings a deleted manifest back, with those of its tags whose names are not in use.
    pub async fn undelete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stamp: Stamp,
    ) -> Result<UndeleteOutcome> {
        let (repository, digest) = (repository.clone(), *digest);
        self.engine().write(Kind::Grow, move |tx| undelete_manifest(tx, &repository, &digest, &stamp)).await
    }

    /// Brings the last removed repository of a name back, with all that went with it, under its name or as another.
    pub async fn undelete_repository(
        &self,
        repository: &RepositoryName,
        name: Option<&RepositoryName>,
        stamp: Stamp,
    ) -> Result<RepositoryUndelete> {
        let (old, new) = (repository.clone(), name.unwrap_or(repository).clone());
        self.engine().write(Kind::Grow, move |tx| undelete_repository(tx, &old, &new, &stamp)).await
    }

    /// Who removed the last repository of this name that can be brought back.
    pub async fn removed_by(&self, repository: &RepositoryName) -> Result<Option<String>> {
        let name = repository.clone();
        let sql = "SELECT deleted_by FROM trash_repositories WHERE name = $1 ORDER BY id DESC LIMIT 1";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&name], |row| row.text(0))).await
    }

    /// Removes a manifest, or the trash of a name, without the trash's window. Leases stand; what nothing else holds is due for the sweep.
    pub async fn purge(&self, purge: Purge, stamp: Stamp) -> Result<PurgeOutcome> {
        let work = move |tx: &mut Tx<'_>| match &purge {
            Purge::Manifest(repository, digest) => purge_manifest(tx, repository, digest, &stamp),
            Purge::Trash(repository) => purge_trash(tx, repository, &stamp),
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Throws away what lay in the trash for its window. Answers how many manifests went.
    pub async fn empty_trash(&self, now: Timestamp) -> Result<u64> {
        let work = move |tx: &mut Tx<'_>| {
            tx.execute("DELETE FROM trash_repositories WHERE until <= $1", values![now])?;
            let sql = "SELECT id, digest_id, digest FROM trash WHERE until <= $1 ORDER BY until LIMIT $2";
            let due = tx.rows(sql, values![now, SOME], thrown)?;
            throw_away(tx, &due, now)?;
            Ok(due.len())
        };
        let mut total = 0;
        loop {
            let gone = self.engine().write(Kind::Shrink, work).await?;
            total += gone as u64;
            if gone < SOME {
                return Ok(total);
            }
        }
    }
}

/// A row that is to go for good.
struct Thrown {
    id: i64,
    digest_id: i64,
    digest: Digest,
}

fn thrown(row: &Row<'_>) -> Done<Thrown> {
    Ok(Thrown { id: row.int(0)?, digest_id: row.int(1)?, digest: row.digest(2)? })
}

fn trash_row(row: &Row<'_>) -> Done<TrashRow> {
    let (id, digest, media_type, size) = (row.int(0)?, row.digest(1)?, row.text(2)?, row.size(3)?);
    let (whole, deleted, deleted_by, until) = (row.flag(4)?, row.time(5)?, row.text(6)?, row.time(7)?);
    Ok(TrashRow { id, digest, media_type, size, tags: Vec::new(), whole, deleted, deleted_by, until })
}

fn tags_of(tx: &mut Tx<'_>, id: i64) -> Done<Vec<Tag>> {
    tx.rows("SELECT name FROM trash_tags WHERE trash_id = $1 ORDER BY name", values![id], |row| row.tag(0))
}

/// Copies a manifest that is about to be removed, with its edges and tags.
pub(crate) fn keep(tx: &mut Tx<'_>, place: Place<'_>, manifest: i64, until: Timestamp, stamp: &Stamp) -> Done<()> {
    let sql = "INSERT INTO trash (repository, repository_id, digest_id, digest, media_type, artifact_type, subject, size, total_size,
                 annotations, labels, incomplete, pushes, pushed_at, pushed_by, pulled_at, whole, deleted_at, deleted_by, until)
               SELECT CAST($1 AS TEXT), m.repository_id, m.digest_id, d.digest, m.media_type, m.artifact_type, s.digest, m.size,
                 m.total_size, m.annotations, m.labels, m.incomplete, m.pushes, m.pushed_at, m.pushed_by, m.pulled_at, 0,
                 CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS BIGINT)
               FROM manifests m JOIN digests d ON d.id = m.digest_id LEFT JOIN digests s ON s.id = m.subject_id WHERE m.id = $5
               RETURNING id";
    let row = values![place.name, stamp.at, &stamp.identity, until, manifest];
    let id = tx.row(sql, row, |row| row.int(0))?.ok_or(Fault::Conflict("the manifest came and went"))?;
    let sql = "INSERT INTO trash_edges (trash_id, child_id, kind, size)
               SELECT CAST($1 AS BIGINT), child_id, kind, size FROM edges WHERE manifest_id = $2";
    tx.execute(sql, values![id, manifest])?;
    let sql = "INSERT INTO trash_tags (trash_id, name) SELECT CAST($1 AS BIGINT), t.name FROM manifests m
               JOIN tags t ON t.repository_id = m.repository_id AND t.digest_id = m.digest_id WHERE m.id = $2";
    tx.execute(sql, values![id, manifest])?;
    Ok(())
}

/// The same for all manifests of a repository that is about to be removed, and for what is said about it.
pub(crate) fn keep_repository(tx: &mut Tx<'_>, place: Place<'_>, until: Timestamp, stamp: &Stamp) -> Done<()> {
    let sql = "INSERT INTO trash_repositories (id, name, created_at, public, description, deleted_at, deleted_by, until)
               SELECT id, name, created_at, public, description, CAST($1 AS BIGINT), CAST($2 AS TEXT), CAST($3 AS BIGINT)
               FROM repositories WHERE id = $4";
    tx.execute(sql, values![stamp.at, &stamp.identity, until, place.id])?;
    let sql = "INSERT INTO trash (repository, repository_id, digest_id, digest, media_type, artifact_type, subject, size, total_size,
                 annotations, labels, incomplete, pushes, pushed_at, pushed_by, pulled_at, whole, deleted_at, deleted_by, until)
               SELECT CAST($1 AS TEXT), m.repository_id, m.digest_id, d.digest, m.media_type, m.artifact_type, s.digest, m.size,
                 m.total_size, m.annotations, m.labels, m.incomplete, m.pushes, m.pushed_at, m.pushed_by, m.pulled_at, 1,
                 CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS BIGINT)
               FROM manifests m JOIN digests d ON d.id = m.digest_id LEFT JOIN digests s ON s.id = m.subject_id
               WHERE m.repository_id = $5";
    tx.execute(sql, values![place.name, stamp.at, &stamp.identity, until, place.id])?;
    let sql = "INSERT INTO trash_edges (trash_id, child_id, kind, size)
               SELECT x.id, e.child_id, e.kind, e.size FROM manifests m
               JOIN trash x ON x.repository_id = m.repository_id AND x.digest_id = m.digest_id
               JOIN edges e ON e.manifest_id = m.id WHERE m.repository_id = $1";
    tx.execute(sql, values![place.id])?;
    let sql = "INSERT INTO trash_tags (trash_id, name) SELECT x.id, t.name FROM tags t
               JOIN trash x ON x.repository_id = t.repository_id AND x.digest_id = t.digest_id WHERE t.repository_id = $1";
    tx.execute(sql, values![place.id])?;
    Ok(())
}

/// The row of a manifest that was deleted from a repository that is there.
fn find(tx: &mut Tx<'_>, repository: i64, digest: &Digest) -> Done<Option<i64>> {
    let sql =
        "SELECT x.id FROM digests d JOIN trash x ON x.repository_id = $1 AND x.digest_id = d.id WHERE d.digest = $2";
    tx.row(sql, values![repository, &keys::encode(digest)], |row| row.int(0))
}

/// Whether a manifest can be brought back.
pub(crate) fn holds(tx: &mut Tx<'_>, place: Place<'_>, digest: &Digest) -> Done<bool> {
    Ok(find(tx, place.id, digest)?.is_some())
}

/// Live blobs that a manifest in the trash names, with their sizes: a push of that manifest may rely on them.
pub(crate) fn blobs_of(tx: &mut Tx<'_>, repository: i64, digest: &Digest) -> Done<Vec<(Digest, u64)>> {
    let Some(id) = find(tx, repository, digest)? else { return Ok(Vec::new()) };
    let sql = "SELECT d.digest, b.size FROM trash_edges e JOIN digests d ON d.id = e.child_id
               JOIN blobs b ON b.digest_id = e.child_id AND b.state = 0 WHERE e.trash_id = $1";
    tx.rows(sql, values![id], |row| Ok((row.digest(0)?, row.size(1)?)))
}

/// A push made a manifest live again that lay in the trash: its blobs are members again, and its row goes.
pub(crate) fn pushed_again(tx: &mut Tx<'_>, place: Place<'_>, digest: &Digest, stamp: &Stamp) -> Done<()> {
    match find(tx, place.id, digest)? {
        Some(id) => {
            // What was hidden counts again by the push itself.
            let joined = join_blobs(tx, place, id, stamp)?;
            Quotas::over(tx, place.name)?.add(tx, Change::more(joined))?;
            forget(tx, id)
        }
        None => Ok(()),
    }
}

/// Answers the bytes of those that were no members any more: they count from now on.
fn join_blobs(tx: &mut Tx<'_>, place: Place<'_>, id: i64, stamp: &Stamp) -> Done<u64> {
    let sql = "INSERT INTO memberships (repository_id, digest_id, created_at)
               SELECT CAST($1 AS BIGINT), e.child_id, CAST($2 AS BIGINT) FROM trash_edges e
               JOIN blobs b ON b.digest_id = e.child_id AND b.state = 0 WHERE e.trash_id = $3
               ON CONFLICT (repository_id, digest_id) DO NOTHING RETURNING digest_id";
    let mut bytes = 0_u64;
    for digest in tx.rows(sql, values![place.id, stamp.at, id], |row| row.int(0))? {
        bytes = bytes.saturating_add(quotas::size_of(tx, digest)?);
    }
    let sql = "UPDATE memberships SET hidden = 0 WHERE repository_id = $1 AND hidden = 1
               AND digest_id IN (SELECT child_id FROM trash_edges WHERE trash_id = $2)";
    tx.execute(sql, values![place.id, id])?;
    Ok(bytes)
}

fn forget(tx: &mut Tx<'_>, id: i64) -> Done<()> {
    tx.execute("DELETE FROM trash_edges WHERE trash_id = $1", values![id])?;
    tx.execute("DELETE FROM trash_tags WHERE trash_id = $1", values![id])?;
    tx.execute("DELETE FROM trash WHERE id = $1", values![id])?;
    Ok(())
}

/// The digest's id of a manifest that is live, or is so again from now on; `None` when it is neither live nor in the trash.
pub(crate) fn live_again(tx: &mut Tx<'_>, place: Place<'_>, digest: &Digest, stamp: &Stamp) -> Done<Option<i64>> {
    if let Some(id) = tags::live_manifest(tx, place, digest)? {
        return Ok(Some(id));
    }
    let Some(id) = find(tx, place.id, digest)? else { return Ok(None) };
    revive(tx, place, id, stamp, DEPTH)?;
    tags::live_manifest(tx, place, digest)
}

/// Makes a manifest live again, and what of an index's entries lies in the trash too.
fn revive(tx: &mut Tx<'_>, place: Place<'_>, id: i64, stamp: &Stamp, depth: usize) -> Done<()> {
    let sql = "SELECT e.child_id, d.digest, e.kind FROM trash_edges e JOIN digests d ON d.id = e.child_id WHERE e.trash_id = $1";
    let children = tx.rows(sql, values![id], |row| Ok((row.digest(1)?, row.int(2)?)))?;
    let sql = "SELECT digest, subject, size FROM trash WHERE id = $1";
    let (digest, subject, size) = tx
        .row(sql, values![id], |row| Ok((row.digest(0)?, row.opt_digest(1)?, row.size(2)?)))?
        .ok_or(Fault::Conflict("the trash was emptied"))?;
    let held: BTreeSet<Digest> = children.iter().map(|(child, _)| *child).chain([digest]).collect();
    lookup::hold_digests(tx, &held, Hold::Share)?;
    let subject = subject.map(|subject| lookup::ensure_digest(tx, &subject, Hold::Share)).transpose()?;
    let sql = "INSERT INTO manifests (repository_id, digest_id, media_type, artifact_type, subject_id, size, total_size, annotations, labels,
                 incomplete, pushes, pushed_at, pushed_by, pulled_at)
               SELECT CAST($1 AS BIGINT), digest_id, media_type, artifact_type, CAST($2 AS BIGINT), size, total_size, annotations, labels,
                 incomplete, pushes, pushed_at, pushed_by, pulled_at FROM trash WHERE id = $3 RETURNING id, artifact_type, labels, annotations";
    let read = |row: &Row<'_>| Ok((row.int(0)?, row.opt_text(1)?, [row.opt_text(2)?, row.opt_text(3)?]));
    let made = tx.row(sql, values![place.id, subject, id], read)?;
    let (manifest, artifact_type, said) = made.ok_or(Fault::Conflict("the trash was emptied"))?;
    search::note(tx, manifest, said.each_ref().map(Option::as_deref))?;
    let sql = "INSERT INTO edges (manifest_id, child_id, kind, repository_id, size)
               SELECT CAST($1 AS BIGINT), child_id, kind, CAST($2 AS BIGINT), size FROM trash_edges WHERE trash_id = $3";
    tx.execute(sql, values![manifest, place.id, id])?;
    if let Some(subject) = subject {
        let sql = "INSERT INTO referrers (subject_id, repository_id, digest, artifact_type, manifest_id) VALUES ($1, $2, $3, $4, $5)";
        let artifact_type = artifact_type.as_deref().unwrap_or_default();
        tx.execute(sql, values![subject, place.id, &keys::encode(&digest), artifact_type, manifest])?;
    }
    let mut bytes = size.saturating_add(join_blobs(tx, place, id, stamp)?);
    for child in self::children(tx, id)? {
        if quotas::count(tx, place.id, child)? {
            bytes = bytes.saturating_add(quotas::size_of(tx, child)?);
        }
    }
    Quotas::over(tx, place.name)?.add(tx, Change { manifests: 1, ..Change::more(bytes) })?;
    forget(tx, id)?;
    let payload = json!({ "digest": digest.to_string() });
    outbox::record(tx, outbox::MANIFEST_UNDELETED, Some(place.name), &payload, stamp)?;
    for (child, _) in children.iter().filter(|(_, kind)| *kind == 3 && depth > 0) {
        if let Some(id) = find(tx, place.id, child)? {
            revive(tx, place, id, stamp, depth - 1)?;
        }
    }
    Ok(())
}

fn undelete_tag(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    tag: &Tag,
    wanted: &Tag,
    stamp: &Stamp,
) -> Done<UndeleteOutcome> {
    let Some(id) = lookup::repository(tx, name, Hold::Share)? else { return Ok(UndeleteOutcome::Unknown) };
    let place = Place { id, name };
    if tx.any("SELECT 1 FROM tags WHERE repository_id = $1 AND name = $2", values![id, wanted])? {
        return Ok(UndeleteOutcome::InUse);
    }
    let sql = "SELECT from_digest FROM tag_events WHERE repository = $1 AND name = $2 AND to_digest IS NULL ORDER BY id DESC LIMIT 1";
    let deleted = tx.row(sql, values![name, tag], |row| row.opt_digest(0))?.flatten();
    let Some(digest) = deleted else { return Ok(UndeleteOutcome::Unknown) };
    let Some(manifest) = live_again(tx, place, &digest, stamp)? else { return Ok(UndeleteOutcome::Gone(digest)) };
    tags::point(tx, place, wanted, (manifest, &digest), HOW, stamp)?;
    Ok(UndeleteOutcome::Restored { digest, tags: vec![wanted.clone()] })
}

fn undelete_manifest(tx: &mut Tx<'_>, name: &RepositoryName, digest: &Digest, stamp: &Stamp) -> Done<UndeleteOutcome> {
    let Some(id) = lookup::repository(tx, name, Hold::Share)? else { return Ok(UndeleteOutcome::Unknown) };
    let place = Place { id, name };
    if tags::live_manifest(tx, place, digest)?.is_some() {
        return Ok(UndeleteOutcome::InUse);
    }
    let Some(row) = find(tx, id, digest)? else { return Ok(UndeleteOutcome::Unknown) };
    let names = tags_of(tx, row)?;
    let Some(manifest) = live_again(tx, place, digest, stamp)? else { return Ok(UndeleteOutcome::Unknown) };
    let mut tags = Vec::new();
    for tag in names {
        if !tx.any("SELECT 1 FROM tags WHERE repository_id = $1 AND name = $2", values![id, &tag])? {
            tags::point(tx, place, &tag, (manifest, digest), HOW, stamp)?;
            tags.push(tag);
        }
    }
    Ok(UndeleteOutcome::Restored { digest: *digest, tags })
}

fn undelete_repository(
    tx: &mut Tx<'_>,
    old: &RepositoryName,
    new: &RepositoryName,
    stamp: &Stamp,
) -> Done<RepositoryUndelete> {
    if lookup::repository(tx, new, Hold::Look)?.is_some() {
        return Ok(RepositoryUndelete::InUse);
    }
    let sql =
        "SELECT id, created_at, public, description FROM trash_repositories WHERE name = $1 ORDER BY id DESC LIMIT 1";
    let found = tx.row(sql, values![old], |row| Ok((row.int(0)?, row.time(1)?, row.flag(2)?, row.text(3)?)))?;
    let Some((gone, created, public, description)) = found else { return Ok(RepositoryUndelete::Unknown) };
    let (id, true) = lookup::ensure_repository(tx, new, stamp)? else {
        return Err(Fault::Conflict("the repository was made meanwhile"));
    };
    let place = Place { id, name: new };
    let sql = "UPDATE repositories SET created_at = $1, public = $2, description = $3 WHERE id = $4";
    tx.execute(sql, values![created, public, &description, id])?;
    // Everything that lies in the trash under the old repository belongs to this one; what went with it comes back.
    tx.execute(
        "UPDATE trash SET repository_id = $1, repository = $2 WHERE repository_id = $3",
        values![id, new, gone],
    )?;
    tx.execute("DELETE FROM trash_repositories WHERE id = $1", values![gone])?;
    let mut manifests = 0;
    loop {
        let sql = "SELECT id, digest_id, digest FROM trash WHERE repository_id = $1 AND whole = 1 LIMIT $2";
        let rows = tx.rows(sql, values![id, SOME], thrown)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let names = tags_of(tx, row.id)?;
            revive(tx, place, row.id, stamp, 0)?;
            for tag in &names {
                tags::point(tx, place, tag, (row.digest_id, &row.digest), HOW, stamp)?;
            }
            manifests += 1;
        }
    }
    access::repository_made(tx, id, new, stamp)?;
    Ok(RepositoryUndelete::Restored { manifests })
}

fn purge_manifest(tx: &mut Tx<'_>, name: &RepositoryName, digest: &Digest, stamp: &Stamp) -> Done<PurgeOutcome> {
    let (mut manifests, mut held_until) = (0, None);
    if let Some(id) = lookup::repository(tx, name, Hold::Share)?
        && let Some(found) = manifests::find(tx, id, digest)?
    {
        if let Some(parent) = manifests::parent_of(tx, id, &found)? {
            return Ok(PurgeOutcome::InUse { digest: *digest, parent });
        }
        held_until = lease_of(tx, &found.blobs, stamp.at)?;
        // No lease begins: those of pushes under way stand, and who was told of these bytes by a manifest sends them again.
        let (event, lease_until) = (outbox::MANIFEST_DELETED, stamp.at);
        let removal = Removal { how: "purge", event, lease_until, trash_until: None, hides: true, stamp };
        manifests::remove(tx, Place { id, name }, &found, &removal)?;
        manifests += 1;
    }
    let sql = "SELECT x.id, x.digest_id, x.digest FROM digests d JOIN trash x ON x.digest_id = d.id
               WHERE d.digest = $1 AND x.repository = $2";
    let rows = tx.rows(sql, values![&keys::encode(digest), name], thrown)?;
    for row in &rows {
        let children = children(tx, row.id)?;
        held_until = held_until.max(lease_of(tx, &children, stamp.at)?);
    }
    manifests += throw_away(tx, &rows, stamp.at)?;
    note_purge(tx, name, manifests, stamp)?;
    Ok(PurgeOutcome::Purged { manifests, held_until })
}

fn purge_trash(tx: &mut Tx<'_>, name: &RepositoryName, stamp: &Stamp) -> Done<PurgeOutcome> {
    tx.execute("DELETE FROM trash_repositories WHERE name = $1", values![name])?;
    let (mut manifests, mut held_until) = (0, None);
    loop {
        let sql = "SELECT id, digest_id, digest FROM trash WHERE repository = $1 ORDER BY id LIMIT $2";
        let rows = tx.rows(sql, values![name, SOME], thrown)?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            let children = children(tx, row.id)?;
            held_until = held_until.max(lease_of(tx, &children, stamp.at)?);
        }
        manifests += throw_away(tx, &rows, stamp.at)?;
    }
    note_purge(tx, name, manifests, stamp)?;
    Ok(PurgeOutcome::Purged { manifests, held_until })
}

fn children(tx: &mut Tx<'_>, id: i64) -> Done<Vec<i64>> {
    tx.rows("SELECT child_id FROM trash_edges WHERE trash_id = $1", values![id], |row| row.int(0))
}

/// When the last lease of any of these ends.
fn lease_of(tx: &mut Tx<'_>, digests: &[i64], now: Timestamp) -> Done<Option<Timestamp>> {
    let mut last = None;
    for digest in digests {
        let sql = "SELECT MAX(until) FROM leases WHERE digest_id = $1 AND until > $2";
        last = last.max(tx.row(sql, values![*digest, now], |row| row.opt_time(0))?.flatten());
    }
    Ok(last)
}

fn note_purge(tx: &mut Tx<'_>, name: &RepositoryName, manifests: u64, stamp: &Stamp) -> Done<()> {
    if manifests > 0 {
        outbox::record(tx, outbox::TRASH_PURGED, Some(name), &json!({ "manifests": manifests }), stamp)?;
    }
    Ok(())
}

/// Removes rows of the trash for good, and lets the sweep look at what they held.
fn throw_away(tx: &mut Tx<'_>, rows: &[Thrown], now: Timestamp) -> Done<u64> {
    lookup::hold_digests(tx, rows.iter().map(|row| &row.digest).collect::<BTreeSet<_>>(), Hold::Own)?;
    for row in rows {
        for child in children(tx, row.id)? {
            leases::queue(tx, 0, child, now)?;
        }
        forget(tx, row.id)?;
        manifests::drop_bytes(tx, row.digest_id)?;
    }
    Ok(rows.len() as u64)
}

/// A manifest's bytes turned out to be wrong: nothing of it can be brought back.
pub(crate) fn throw_away_everywhere(tx: &mut Tx<'_>, digest: &Digest, now: Timestamp) -> Done<()> {
    let sql =
        "SELECT x.id, x.digest_id, x.digest FROM digests d JOIN trash x ON x.digest_id = d.id WHERE d.digest = $1";
    let rows = tx.rows(sql, values![&keys::encode(digest)], thrown)?;
    throw_away(tx, &rows, now).map(drop)
}
