//! What verification asks and answers: rows to compare with bytes, and verdicts about them (behaviour §6).

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use larder_oci::{Digest, RepositoryName, Tag};
use serde_json::json;

use crate::blobs::{DELETING, LIVE, QUARANTINED, SUPERSEDED};
use crate::engine::{Done, Fault, Kind, Row, Tx, dialect, unreadable, values};
use crate::keys;
use crate::lookup::{self, Hold};
use crate::manifests::{self, Removal};
use crate::model::{AffectedTag, Blob, BlobRow, BlobState, Page, Stamp};
use crate::outbox;
use crate::page::page;
use crate::quotas::{self, Quotas};
use crate::sweep;
use crate::tags::Place;
use crate::trash;
use crate::{Catalog, Result};

/// Bytes of manifests in one page, beyond the first (**Invariant 9**).
const PAGE_BYTES: usize = 8 << 20;
/// How far up from a damaged object indexes are followed, and how many manifests are remembered on the way.
const DEPTH: usize = 32;
const VISITED: usize = 10_000;
/// Tags that an event names.
const TOLD: usize = 100;
/// Blobs that only a quarantined manifest named keep a full lease of the usual length.
const LEASE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

impl Catalog {
    /// Rows of blobs after this id, whatever their state.
    pub async fn blob_rows(&self, after: i64, limit: usize) -> Result<Page<BlobRow>> {
        let sql = "SELECT b.id, d.digest, b.key, b.size, b.state FROM blobs b JOIN digests d ON d.id = b.digest_id
                   WHERE b.id > $1 ORDER BY b.id LIMIT $2";
        let work = move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![after, limit + 1], blob_row)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// For each key, whether a row in any state knows it.
    pub async fn keys_known(&self, keys: &[String]) -> Result<Vec<bool>> {
        let keys = keys.to_vec();
        let work = move |tx: &mut Tx<'_>| {
            keys.iter().map(|key| tx.any("SELECT 1 FROM blobs WHERE key = $1", values![key])).collect()
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// A live or superseded blob's bytes are wrong: it is served no more and kept aside. A re-push of its digest heals every repository that holds it;
    /// until then a manifest that needs it is refused. Answers `false` when the key is no longer live.
    pub async fn quarantine_blob(&self, key: &str, stamp: Stamp) -> Result<bool> {
        let key = key.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            let Some((digest, name, state)) = own_blob(tx, &key)? else { return Ok(false) };
            let affects = told(tx, &name)?;
            tx.execute("UPDATE blobs SET state = 3, review_after = NULL WHERE key = $1", values![&key])?;
            if state == LIVE {
                take_from_all(tx, digest, &stamp)?;
            }
            let payload = json!({ "digest": name.to_string(), "affects": affects });
            outbox::record(tx, outbox::BLOB_QUARANTINED, None, &payload, &stamp)?;
            Ok(true)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// A live or superseded blob's bytes are not there: its row goes, and with a live one its memberships. Answers `false` when the key is no longer
    /// live.
    pub async fn forget_missing_blob(&self, key: &str, stamp: Stamp) -> Result<bool> {
        let key = key.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            let Some((digest, name, state)) = own_blob(tx, &key)? else { return Ok(false) };
            let affects = told(tx, &name)?;
            if state == LIVE {
                take_from_all(tx, digest, &stamp)?;
                lose_members(tx, digest)?;
            }
            tx.execute("DELETE FROM blobs WHERE key = $1", values![&key])?;
            let payload = json!({ "digest": name.to_string(), "missing": true, "affects": affects });
            outbox::record(tx, outbox::BLOB_QUARANTINED, None, &payload, &stamp)?;
            sweep::forget_digest(tx, digest)?;
            Ok(true)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// All manifests' bytes, once each, in the order of their digests: at most `limit` of them, and not many bytes.
    pub async fn manifest_bytes(&self, after: Option<&Digest>, limit: usize) -> Result<Page<(Digest, Bytes)>> {
        let after = after.map(keys::encode);
        let work = move |tx: &mut Tx<'_>| {
            let after = after.as_ref().map_or(&[][..], keys::DigestKey::as_slice);
            let sql = "SELECT digest, LENGTH(bytes) FROM manifest_bytes WHERE digest > $1 ORDER BY digest LIMIT $2";
            let listed = tx.rows(sql, values![after, limit + 1], |row| Ok((row.digest(0)?, row.int(1)?)))?;
            let (mut items, mut size) = (Vec::new(), 0);
            for (digest, length) in listed.iter().take(limit) {
                size += usize::try_from(*length).unwrap_or(0);
                if !items.is_empty() && size > PAGE_BYTES {
                    break;
                }
                let sql = "SELECT bytes FROM manifest_bytes WHERE digest = $1";
                let bytes = tx.row(sql, values![&keys::encode(digest)], |row| row.bytes(0))?;
                items.extend(bytes.map(|bytes| (*digest, Bytes::from(bytes))));
            }
            let more = listed.len() > items.len();
            Ok(Page { items, more })
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// A manifest's bytes do not match its digest: they are moved aside, and the manifest goes from every repository, with its tags (`quarantine` in
    /// their history). Answers `false` when there is no such manifest. A re-push brings it back.
    pub async fn quarantine_manifest(&self, digest: &Digest, stamp: Stamp) -> Result<bool> {
        let digest = *digest;
        self.engine().write(Kind::Shrink, move |tx| quarantine_manifest(tx, &digest, &stamp)).await
    }

    /// The tags that need this object: a blob or a manifest, directly or through indexes. At most `limit`.
    pub async fn affected_tags(&self, digest: &Digest, limit: usize) -> Result<Vec<AffectedTag>> {
        let digest = *digest;
        self.engine().read(Kind::Snapshot, move |tx| affected_tags(tx, &digest, limit)).await
    }
}

/// The tags that need this object, as an event names them.
fn told(tx: &mut Tx<'_>, digest: &Digest) -> Done<Vec<String>> {
    Ok(affected_tags(tx, digest, TOLD)?.iter().map(ToString::to_string).collect())
}

pub(crate) fn blob_row(row: &Row<'_>) -> Done<BlobRow> {
    let state = match row.int(4)? {
        LIVE => BlobState::Live,
        SUPERSEDED => BlobState::Superseded,
        DELETING => BlobState::Deleting,
        QUARANTINED => BlobState::Quarantined,
        other => return Err(unreadable("state of a blob", other)),
    };
    Ok(BlobRow { id: row.int(0)?, blob: Blob { digest: row.digest(1)?, key: row.text(2)?, size: row.size(3)? }, state })
}

/// A blob's digest and state, its digest's row held; `None` unless it is live or superseded.
fn own_blob(tx: &mut Tx<'_>, key: &str) -> Done<Option<(i64, Digest, i64)>> {
    let sql = "SELECT d.id, d.digest, b.state FROM blobs b JOIN digests d ON d.id = b.digest_id WHERE b.key = $1 AND b.state IN (0, 1)";
    let read = |row: &Row<'_>| Ok((row.int(0)?, row.digest(1)?, row.int(2)?));
    let Some(seen) = tx.row(sql, values![key], read)? else { return Ok(None) };
    if matches!(tx, Tx::Sqlite(_)) {
        return Ok(Some(seen));
    }
    lookup::hold_digests(tx, [&seen.1], Hold::Own)?;
    tx.row(sql, values![key], read)
}

/// No repository has the blob any more.
fn lose_members(tx: &mut Tx<'_>, digest: i64) -> Done<()> {
    let quotas = Quotas::all(tx)?;
    let sql = "DELETE FROM memberships WHERE digest_id = $1 RETURNING repository_id, counted";
    let members = tx.rows(sql, values![digest], |row| Ok((row.int(0)?, row.flag(1)?)))?;
    for (repository, _) in members.into_iter().filter(|(_, counted)| *counted) {
        quotas::lost(tx, &quotas, repository, digest)?;
    }
    Ok(())
}

fn take_from_all(tx: &mut Tx<'_>, digest: i64, stamp: &Stamp) -> Done<()> {
    let sql = "INSERT INTO taken (digest_id, repository_id, at)
               SELECT digest_id, repository_id, CAST($1 AS BIGINT) FROM memberships WHERE digest_id = $2
               ON CONFLICT (digest_id, repository_id) DO UPDATE SET at = excluded.at";
    tx.execute(sql, values![stamp.at, digest])?;
    Ok(())
}

fn quarantine_manifest(tx: &mut Tx<'_>, digest: &Digest, stamp: &Stamp) -> Done<bool> {
    let sql = dialect!(
        tx,
        "SELECT r.id, r.name FROM digests d JOIN manifests m ON m.digest_id = d.id
         JOIN repositories r ON r.id = m.repository_id WHERE d.digest = $1",
        " FOR KEY SHARE OF r"
    );
    let key = keys::encode(digest);
    let holders = tx.rows(sql, values![&key], |row| Ok((row.int(0)?, row.repository(1)?)))?;
    let sql = "INSERT INTO quarantined_manifests (digest, bytes, at) SELECT digest, bytes, CAST($1 AS BIGINT) FROM manifest_bytes WHERE digest = $2";
    let known = tx.execute(sql, values![stamp.at, &key])? > 0;
    let lease_until = stamp.at.saturating_add(LEASE).unwrap_or(stamp.at);
    for (repository, name) in &holders {
        let Some(found) = manifests::find(tx, *repository, digest)? else { continue };
        let id = lookup::ensure_digest(tx, digest, Hold::Own)?;
        sweep::take(tx, *repository, id, stamp.at)?;
        let event = outbox::MANIFEST_QUARANTINED;
        let removal = Removal { how: "quarantine", event, lease_until, trash_until: None, hides: false, stamp };
        manifests::remove(tx, Place { id: *repository, name }, &found, &removal)?;
    }
    trash::throw_away_everywhere(tx, digest, stamp.at)?;
    let sql = "SELECT 1 FROM manifests m JOIN digests d ON d.id = m.digest_id WHERE d.digest = $1";
    if tx.any(sql, values![&key])? {
        return Err(Fault::Conflict("another repository got the manifest"));
    }
    tx.execute("DELETE FROM manifest_bytes WHERE digest = $1", values![&key])?;
    Ok(known)
}

/// A manifest on the way up.
struct Step {
    id: i64,
    repository: i64,
    digest_id: i64,
    depth: usize,
}

fn affected_tags(tx: &mut Tx<'_>, digest: &Digest, limit: usize) -> Done<Vec<AffectedTag>> {
    let Some(id) = lookup::digest(tx, digest, Hold::Look)? else { return Ok(Vec::new()) };
    let sql = "SELECT m.id, m.repository_id, m.digest_id FROM manifests m WHERE m.digest_id = $1
               UNION ALL SELECT m.id, m.repository_id, m.digest_id FROM edges e JOIN manifests m ON m.id = e.manifest_id
               WHERE e.child_id = $1 LIMIT $2";
    let start = tx.rows(sql, values![id, VISITED], |row| step(row, 0))?;
    let mut visited: BTreeSet<i64> = start.iter().map(|step| step.id).collect();
    let (mut queue, mut affected) = (VecDeque::from(start), Vec::new());
    while let Some(at) = queue.pop_front() {
        if affected.len() >= limit {
            break;
        }
        affected.extend(tags_of(tx, &at, limit - affected.len())?);
        if at.depth >= DEPTH {
            continue;
        }
        let sql = "SELECT m.id, m.repository_id, m.digest_id FROM edges e JOIN manifests m ON m.id = e.manifest_id
                   WHERE e.child_id = $1 AND e.repository_id = $2 AND e.kind = 3 LIMIT $3";
        let parents = tx.rows(sql, values![at.digest_id, at.repository, VISITED], |row| step(row, at.depth + 1))?;
        for parent in parents {
            if visited.len() < VISITED && visited.insert(parent.id) {
                queue.push_back(parent);
            }
        }
    }
    Ok(affected)
}

fn step(row: &Row<'_>, depth: usize) -> Done<Step> {
    Ok(Step { id: row.int(0)?, repository: row.int(1)?, digest_id: row.int(2)?, depth })
}

fn tags_of(tx: &mut Tx<'_>, at: &Step, limit: usize) -> Done<Vec<AffectedTag>> {
    let sql = "SELECT r.name, d.digest FROM repositories r JOIN digests d ON d.id = $1 WHERE r.id = $2";
    let place = tx.row(sql, values![at.digest_id, at.repository], |row| Ok((row.repository(0)?, row.digest(1)?)))?;
    let Some((repository, manifest)): Option<(RepositoryName, Digest)> = place else { return Ok(Vec::new()) };
    let sql = "SELECT name FROM tags WHERE repository_id = $1 AND digest_id = $2 LIMIT $3";
    let tags = tx.rows(sql, values![at.repository, at.digest_id, limit], |row| row.tag(0))?;
    let affected = |tag: Option<Tag>| AffectedTag { repository: repository.clone(), tag, manifest };
    if tags.is_empty() {
        return Ok(vec![affected(None)]);
    }
    Ok(tags.into_iter().map(|tag| affected(Some(tag))).collect())
}
