//! A manifest comes into another repository by reference: rows alone, never bytes. What refers to it comes along.

use std::collections::{BTreeSet, VecDeque};

use larder_oci::{Digest, Tag};
use serde_json::json;

use crate::engine::{Done, Fault, Row, Tx, values};
use crate::keys;
use crate::lookup::{self, Hold};
use crate::model::{OverQuota, Stamp};
use crate::outbox;
use crate::quotas::{self, Change, Quotas};
use crate::search;
use crate::tags::{self, Place};
use crate::trash;

/// Manifests that come along at most.
const MANIFESTS: usize = 1_000;

/// A manifest that is copied.
struct Member {
    id: i64,
    digest_id: i64,
    digest: Digest,
    subject_id: Option<i64>,
    size: u64,
}

/// A manifest with its entries, what refers to any of them, and the tags that say so where clients know no referrers.
pub(super) struct Copy {
    members: Vec<Member>,
    tags: Vec<(Tag, i64, Digest)>,
}

/// Looks at what is to be copied. On PostgreSQL all of it is held from then on.
pub(super) fn look(tx: &mut Tx<'_>, source: Place<'_>, digest: &Digest) -> Done<Option<Copy>> {
    let Some(root) = member(tx, source, digest)? else { return Ok(None) };
    let (mut seen, mut waiting) = (BTreeSet::from([root.digest]), VecDeque::from([root]));
    let mut copy = Copy { members: Vec::new(), tags: Vec::new() };
    while let Some(next) = waiting.pop_front() {
        let mut named = entries(tx, source, next.id)?;
        named.extend(referrers(tx, source, next.digest_id)?);
        for (tag, id, target) in fallback_tags(tx, source, &next.digest)? {
            named.push(target);
            copy.tags.push((tag, id, target));
        }
        copy.members.push(next);
        for digest in named {
            if seen.len() < MANIFESTS && seen.insert(digest) {
                waiting.extend(member(tx, source, &digest)?);
            }
        }
    }
    lookup::hold_digests(tx, &seen, Hold::Share)?;
    Ok(Some(copy))
}

impl Copy {
    /// The first quota that the copy would exceed.
    pub fn refuse(&self, tx: &mut Tx<'_>, target: Option<i64>, quotas: &Quotas) -> Done<Option<OverQuota>> {
        if quotas.is_empty() {
            return Ok(None);
        }
        let target = target.unwrap_or(0);
        let (mut change, mut blobs) = (Change::default(), BTreeSet::new());
        for member in &self.members {
            let sql = "SELECT 1 FROM manifests WHERE repository_id = $1 AND digest_id = $2";
            if tx.any(sql, values![target, member.digest_id])? {
                continue;
            }
            (change.manifests, change.bytes) = (change.manifests + 1, change.bytes + Change::more(member.size).bytes);
            for child in children(tx, member.id)? {
                let sql = "SELECT 1 FROM memberships WHERE repository_id = $1 AND digest_id = $2 AND counted = 1";
                if blobs.insert(child) && !tx.any(sql, values![target, child])? {
                    change.bytes += Change::more(quotas::size_of(tx, child)?).bytes;
                }
            }
        }
        quotas.refuse(tx, change)
    }

    /// Writes the copy: rows, events and what counts towards quotas.
    pub fn write(
        &self,
        tx: &mut Tx<'_>,
        (source, target): (Place<'_>, Place<'_>),
        quotas: &Quotas,
        stamp: &Stamp,
    ) -> Done<()> {
        let mut change = Change::default();
        for member in &self.members {
            if let Some(bytes) = member.write(tx, source, target, stamp)? {
                (change.manifests, change.bytes) = (change.manifests + 1, change.bytes + Change::more(bytes).bytes);
            }
        }
        for (tag, id, digest) in &self.tags {
            tags::point(tx, target, tag, (*id, digest), super::moves::PROMOTION, stamp)?;
        }
        quotas.add(tx, change)
    }
}

impl Member {
    /// Answers the bytes that the repository holds more; `None` when it has the manifest already.
    fn write(&self, tx: &mut Tx<'_>, source: Place<'_>, target: Place<'_>, stamp: &Stamp) -> Done<Option<u64>> {
        let sql = "INSERT INTO manifests (repository_id, digest_id, media_type, artifact_type, subject_id, size, total_size, annotations,
                     labels, incomplete, pushes, pushed_at, pushed_by)
                   SELECT CAST($1 AS BIGINT), digest_id, media_type, artifact_type, subject_id, size, total_size, annotations,
                     labels, incomplete, 1, CAST($2 AS BIGINT), CAST($3 AS TEXT) FROM manifests WHERE id = $4
                   ON CONFLICT (repository_id, digest_id) DO NOTHING RETURNING id";
        let made = tx.row(sql, values![target.id, stamp.at, &stamp.identity, self.id], |row| row.int(0))?;
        let Some(made) = made else {
            let there = tags::live_manifest(tx, target, &self.digest)?.is_some();
            return if there { Ok(None) } else { Err(Fault::Conflict("the manifest went while it was copied")) };
        };
        trash::pushed_again(tx, target, &self.digest, stamp)?;
        let sql = "SELECT labels, annotations FROM manifests WHERE id = $1";
        let said = tx.row(sql, values![made], |row| Ok([row.opt_text(0)?, row.opt_text(1)?]))?.unwrap_or_default();
        search::note(tx, made, said.each_ref().map(Option::as_deref))?;
        let sql = "INSERT INTO edges (manifest_id, child_id, kind, repository_id, size)
                   SELECT CAST($1 AS BIGINT), child_id, kind, CAST($2 AS BIGINT), size FROM edges WHERE manifest_id = $3";
        tx.execute(sql, values![made, target.id, self.id])?;
        let bytes = self.join_blobs(tx, source, target, stamp)?;
        if let Some(subject) = self.subject_id {
            let sql = "INSERT INTO referrers (subject_id, repository_id, digest, artifact_type, manifest_id)
                       SELECT subject_id, CAST($1 AS BIGINT), digest, artifact_type, CAST($2 AS BIGINT) FROM referrers
                       WHERE subject_id = $3 AND repository_id = $4 AND digest = $5";
            tx.execute(sql, values![target.id, made, subject, source.id, &keys::encode(&self.digest)])?;
        }
        let payload =
            json!({ "digest": self.digest.to_string(), "size": self.size, "copiedFrom": source.name.as_str() });
        outbox::record(tx, outbox::MANIFEST_PUSHED, Some(target.name), &payload, stamp)?;
        Ok(Some(self.size.saturating_add(bytes)))
    }

    /// Blobs become members by reference (**Invariant 5**). Answers the bytes of those that count from now on.
    fn join_blobs(&self, tx: &mut Tx<'_>, source: Place<'_>, target: Place<'_>, stamp: &Stamp) -> Done<u64> {
        let mut bytes = 0_u64;
        for child in children(tx, self.id)? {
            let sql = "INSERT INTO memberships (repository_id, digest_id, created_at, counted)
                       SELECT CAST($1 AS BIGINT), m.digest_id, CAST($2 AS BIGINT), 0 FROM memberships m
                       JOIN blobs b ON b.digest_id = m.digest_id AND b.state = 0
                       WHERE m.repository_id = $3 AND m.digest_id = $4 AND m.hidden = 0
                       ON CONFLICT (repository_id, digest_id) DO UPDATE SET hidden = 0";
            tx.execute(sql, values![target.id, stamp.at, source.id, child])?;
            if quotas::count(tx, target.id, child)? {
                bytes = bytes.saturating_add(quotas::size_of(tx, child)?);
            }
        }
        Ok(bytes)
    }
}

fn member(tx: &mut Tx<'_>, place: Place<'_>, digest: &Digest) -> Done<Option<Member>> {
    let sql = "SELECT m.id, m.digest_id, d.digest, m.subject_id, m.size FROM digests d
               JOIN manifests m ON m.repository_id = $1 AND m.digest_id = d.id WHERE d.digest = $2";
    tx.row(sql, values![place.id, &keys::encode(digest)], |row: &Row<'_>| {
        let (id, digest_id, digest) = (row.int(0)?, row.int(1)?, row.digest(2)?);
        Ok(Member { id, digest_id, digest, subject_id: row.opt_int(3)?, size: row.size(4)? })
    })
}

/// The entries of an index that the repository has.
fn entries(tx: &mut Tx<'_>, place: Place<'_>, manifest: i64) -> Done<Vec<Digest>> {
    let sql = "SELECT d.digest FROM edges e JOIN manifests m ON m.repository_id = $1 AND m.digest_id = e.child_id
               JOIN digests d ON d.id = e.child_id WHERE e.manifest_id = $2 AND e.kind = 3 LIMIT $3";
    tx.rows(sql, values![place.id, manifest, MANIFESTS], |row| row.digest(0))
}

fn referrers(tx: &mut Tx<'_>, place: Place<'_>, subject: i64) -> Done<Vec<Digest>> {
    let sql = "SELECT digest FROM referrers WHERE subject_id = $1 AND repository_id = $2 ORDER BY digest LIMIT $3";
    tx.rows(sql, values![subject, place.id, MANIFESTS], |row| row.digest(0))
}

/// `sha256-<hex>`, and the same with an ending: how signatures are found without a list of referrers.
fn fallback_tags(tx: &mut Tx<'_>, place: Place<'_>, digest: &Digest) -> Done<Vec<(Tag, i64, Digest)>> {
    let first = format!("{}-{}", digest.algorithm(), digest.hex());
    let last = format!("{first}/");
    let sql = "SELECT t.name, t.digest_id, d.digest FROM tags t JOIN digests d ON d.id = t.digest_id
               WHERE t.repository_id = $1 AND t.name >= $2 AND t.name < $3 ORDER BY t.name LIMIT 20";
    tx.rows(sql, values![place.id, &first, &last], |row| Ok((row.tag(0)?, row.int(1)?, row.digest(2)?)))
}

fn children(tx: &mut Tx<'_>, manifest: i64) -> Done<BTreeSet<i64>> {
    let sql = "SELECT child_id FROM edges WHERE manifest_id = $1";
    Ok(tx.rows(sql, values![manifest], |row| row.int(0))?.into_iter().collect())
}
