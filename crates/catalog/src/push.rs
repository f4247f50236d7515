//! A manifest's push: one transaction for bytes, edges, tags, history, events and jobs (**Invariant 3**).
//!
//! It reads first, under locks that the sweep and every delete take too, and writes only when nothing is left to refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use larder_oci::{Digest, EdgeKind, Reference, Tag};
use serde_json::json;

use crate::access;
use crate::door;
use crate::engine::{Done, Fault, Kind, Row, Tx, Value, everywhere, values, within};
use crate::import::ImportedManifest;
use crate::keys::{self, DigestKey};
use crate::lookup::{self, Hold};
use crate::model::rules::{Judgement, Standing};
use crate::model::{Condition, NewEdge, PutManifest, PutManifestOutcome, Sparse};
use crate::outbox;
use crate::quotas::{self, Change, Quotas};
use crate::search;
use crate::tags::{self, Place};
use crate::trash;
use crate::{Catalog, Error, Result};

impl Catalog {
    /// Stores a manifest and points its tags at it, unless its condition, a false size or absent targets forbid it. In any outcome but
    /// [`Stored`](PutManifestOutcome::Stored) nothing was changed.
    ///
    /// What the repository has already may be pushed on a full disk too, for that is how clients move a tag (behaviour §6).
    pub async fn put_manifest(&self, push: PutManifest) -> Result<PutManifestOutcome> {
        let push = Arc::new(push);
        let first = Arc::clone(&push);
        match self.engine().write(Kind::Grow, move |tx| put(tx, &first)).await {
            Err(Error::Full) => {}
            answered => return answered,
        }
        let reference = Reference::Digest(push.digest);
        if self.manifest(&push.repository, &reference, false).await?.is_none() {
            return Err(Error::Full);
        }
        self.engine().write(Kind::Shrink, move |tx| put(tx, &push)).await
    }
}

/// The same for a manifest that another registry took before: what is wrong with it marks it and is answered, nothing is refused.
pub(crate) fn take_over(tx: &mut Tx<'_>, push: &PutManifest) -> Done<ImportedManifest> {
    let quotas = Quotas::over(tx, &push.repository)?;
    let repository = lookup::repository(tx, &push.repository, Hold::Share)?;
    let known = look(tx, repository.unwrap_or(0), push)?;
    let false_sizes = false_sizes(push, &known);
    let (missing, _) = absent(push, &known);
    let wrong = missing.iter().copied().chain(false_sizes.iter().map(|(child, ..)| *child)).collect();
    let created = match store(tx, push, (repository, &quotas), &known, wrong, None)? {
        PutManifestOutcome::Stored { created, .. } => created,
        _ => false,
    };
    Ok(ImportedManifest { created, missing, false_sizes })
}

/// What the repository knows of a digest that a manifest names.
#[derive(Clone, Copy, Default)]
struct Facts {
    id: Option<i64>,
    /// The size of the live blob, if it is a member.
    blob: Option<u64>,
    /// The size of the manifest, if the repository has it.
    manifest: Option<u64>,
    /// When the sweep or the quarantine took it.
    taken: Option<i64>,
    /// The size of the live blob, if this manifest named it when it was deleted: it joins the repository again with its manifest.
    trashed: Option<u64>,
    /// Whether it is a member that does not count towards quotas: nothing names it any more.
    uncounted: bool,
}

type Known = BTreeMap<Digest, Facts>;

fn put(tx: &mut Tx<'_>, push: &PutManifest) -> Done<PutManifestOutcome> {
    within(&push.repository);
    let quotas = Quotas::over(tx, &push.repository)?;
    let hold = if push.door.is_some() { Hold::Turn } else { Hold::Share };
    let repository = lookup::repository(tx, &push.repository, hold)?;
    let known = look(tx, repository.unwrap_or(0), push)?;
    let observed = match &push.condition {
        Condition::Any => None,
        condition => {
            let current = current(tx, repository.unwrap_or(0), push, &known)?;
            if !holds(condition, current.as_ref()) {
                return Ok(PutManifestOutcome::ConditionFailed(current));
            }
            Some(current)
        }
    };
    if push.keep_tags
        && let Some(tag) = elsewhere(tx, repository.unwrap_or(0), push)?
    {
        return Ok(PutManifestOutcome::TagKept(tag));
    }
    if let Some(mismatch) = false_size(push, &known) {
        return Ok(mismatch);
    }
    let (missing, refused) = absent(push, &known);
    if refused {
        return Ok(PutManifestOutcome::Missing(missing));
    }
    let judgement = match &push.door {
        Some(door) => {
            let place = Place { id: repository.unwrap_or(0), name: &push.repository };
            let standing =
                Standing { digest: Some(push.digest), incomplete: !missing.is_empty(), ..Standing::default() };
            Some(door::judge(tx, place, door.as_ref(), standing)?)
        }
        None => None,
    };
    if let Some(judgement) = judgement.as_ref().filter(|judgement| !judgement.refused.is_empty()) {
        return Ok(PutManifestOutcome::Refused(judgement.refused.clone()));
    }
    if !quotas.is_empty()
        && let Some(over) = quotas.refuse(tx, weigh(push, &known))?
    {
        return Ok(PutManifestOutcome::OverQuota(over));
    }
    let stored = store(tx, push, (repository, &quotas), &known, missing, observed)?;
    match (stored, judgement) {
        (PutManifestOutcome::Stored { missing, .. }, Some(judgement)) => {
            follow(tx, push, &judgement)?;
            Ok(PutManifestOutcome::Judged { missing, judgement })
        }
        (stored, _) => Ok(stored),
    }
}

/// What follows from the decision once the manifest is there.
fn follow(tx: &mut Tx<'_>, push: &PutManifest, judgement: &Judgement) -> Done<()> {
    let gone = || Fault::Conflict("what was stored is gone");
    let id = lookup::repository(tx, &push.repository, Hold::Look)?.ok_or_else(gone)?;
    let own = lookup::digest(tx, &push.digest, Hold::Look)?.ok_or_else(gone)?;
    let place = Place { id, name: &push.repository };
    door::follow(tx, place, (own, &push.digest), judgement, &push.stamp)
}

/// Reads what there is to know about the manifest and all it names; on PostgreSQL their rows are locked first.
fn look(tx: &mut Tx<'_>, repository: i64, push: &PutManifest) -> Done<Known> {
    let wanted: BTreeSet<Digest> = push.edges.iter().map(|edge| edge.child).chain([push.digest]).collect();
    lookup::hold_digests(tx, &wanted, Hold::Share)?;
    let mut known: Known = wanted.iter().map(|digest| (*digest, Facts::default())).collect();
    match tx {
        Tx::Sqlite(_) => {
            for (digest, facts) in &mut known {
                let sql = "SELECT d.id,
                     (SELECT b.size FROM memberships m JOIN blobs b ON b.digest_id = m.digest_id AND b.state = 0
                      WHERE m.repository_id = $1 AND m.digest_id = d.id),
                     (SELECT f.size FROM manifests f WHERE f.repository_id = $1 AND f.digest_id = d.id),
                     (SELECT t.at FROM taken t WHERE t.digest_id = d.id AND t.repository_id = $1),
                     (SELECT m.counted FROM memberships m WHERE m.repository_id = $1 AND m.digest_id = d.id)
                   FROM digests d WHERE d.digest = $2";
                if let Some(found) = tx.row(sql, values![repository, &keys::encode(digest)], facts_of)? {
                    *facts = found;
                }
            }
        }
        Tx::Postgres(_) => {
            let keys: Vec<DigestKey> = wanted.iter().map(keys::encode).collect();
            let keys: Vec<&[u8]> = keys.iter().map(DigestKey::as_slice).collect();
            let sql = "SELECT d.id,
                 (SELECT b.size FROM memberships m JOIN blobs b ON b.digest_id = m.digest_id AND b.state = 0
                  WHERE m.repository_id = $1 AND m.digest_id = d.id),
                 (SELECT f.size FROM manifests f WHERE f.repository_id = $1 AND f.digest_id = d.id),
                 (SELECT t.at FROM taken t WHERE t.digest_id = d.id AND t.repository_id = $1),
                 (SELECT m.counted FROM memberships m WHERE m.repository_id = $1 AND m.digest_id = d.id), d.digest
               FROM digests d WHERE d.digest = ANY($2)";
            known.extend(
                tx.rows(sql, values![repository, keys.as_slice()], |row| Ok((row.digest(5)?, facts_of(row)?)))?,
            );
        }
    }
    if known.get(&push.digest).is_some_and(|own| own.id.is_some() && own.manifest.is_none()) {
        for (digest, size) in trash::blobs_of(tx, repository, &push.digest)? {
            if let Some(facts) = known.get_mut(&digest) {
                facts.trashed = Some(size);
            }
        }
    }
    Ok(known)
}

fn facts_of(row: &Row<'_>) -> Done<Facts> {
    let size = |column| Ok::<_, Fault>(row.opt_int(column)?.map(|size| u64::try_from(size).unwrap_or(0)));
    let uncounted = row.opt_int(4)? == Some(0);
    let (id, taken) = (row.opt_int(0)?, row.opt_int(3)?);
    Ok(Facts { id, blob: size(1)?, manifest: size(2)?, taken, trashed: None, uncounted })
}

/// What the condition is about: the first tag, or the manifest itself when there is none.
fn current(tx: &mut Tx<'_>, repository: i64, push: &PutManifest, known: &Known) -> Done<Option<Digest>> {
    let Some(tag) = push.tags.first() else {
        return Ok(known.get(&push.digest).and_then(|facts| facts.manifest).map(|_| push.digest));
    };
    tags::target(tx, repository, tag)
}

/// A tag of the push that points at something else.
fn elsewhere(tx: &mut Tx<'_>, repository: i64, push: &PutManifest) -> Done<Option<Tag>> {
    for tag in &push.tags {
        let now = tags::target(tx, repository, tag)?;
        if now.is_some_and(|now| now != push.digest) {
            return Ok(Some(tag.clone()));
        }
    }
    Ok(None)
}

fn holds(condition: &Condition, current: Option<&Digest>) -> bool {
    match condition {
        Condition::Any => true,
        Condition::IfMatch(digests) => current.is_some_and(|digest| digests.contains(digest)),
        Condition::IfAbsent => current.is_none(),
    }
}

/// What the repository itself holds under the digest, as this kind of edge means it. Other repositories are never asked (behaviour §3).
fn stored_size(kind: EdgeKind, facts: &Facts) -> Option<u64> {
    match kind {
        EdgeKind::Config | EdgeKind::Layer => facts.blob.or(facts.trashed),
        // An index of BuildKit's older cache format names layers as its entries.
        EdgeKind::Child => facts.manifest.or(facts.blob).or(facts.trashed),
        EdgeKind::Subject => facts.manifest,
    }
}

fn false_size(push: &PutManifest, known: &Known) -> Option<PutManifestOutcome> {
    let (child, stated, actual) = push.edges.iter().find_map(|edge| falsehood(edge, known))?;
    Some(PutManifestOutcome::SizeMismatch { child, stated, actual })
}

fn false_sizes(push: &PutManifest, known: &Known) -> Vec<(Digest, u64, u64)> {
    push.edges.iter().filter_map(|edge| falsehood(edge, known)).collect()
}

/// What an edge states and what is stored, where they differ.
fn falsehood(edge: &NewEdge, known: &Known) -> Option<(Digest, u64, u64)> {
    let actual = stored_size(edge.kind, known.get(&edge.child)?)?;
    (actual != edge.size).then_some((edge.child, edge.size, actual))
}

/// Required targets that are absent, and whether the push is refused for them: what was taken from this repository lately always is.
fn absent(push: &PutManifest, known: &Known) -> (Vec<Digest>, bool) {
    let facts = |digest: &Digest| known.get(digest).copied().unwrap_or_default();
    let required = push.edges.iter().filter(|edge| edge.required);
    let missing: BTreeSet<Digest> =
        required.filter(|edge| stored_size(edge.kind, &facts(&edge.child)).is_none()).map(|edge| edge.child).collect();
    let since = push.taken_since.as_millisecond();
    let taken: Vec<Digest> =
        missing.iter().filter(|digest| facts(digest).taken.is_some_and(|at| at >= since)).copied().collect();
    match push.sparse {
        Sparse::Refuse if !missing.is_empty() => (missing.into_iter().collect(), true),
        _ if !taken.is_empty() => (taken, true),
        _ => (missing.into_iter().collect(), false),
    }
}

/// What a manifest adds to what its repository holds: itself, and the blobs that nothing there named any more.
fn weigh(push: &PutManifest, known: &Known) -> Change {
    if known.get(&push.digest).is_some_and(|facts| facts.manifest.is_some()) {
        return Change::default();
    }
    let again = revived(push, known).filter_map(|facts| facts.blob).sum::<u64>();
    Change { manifests: 1, ..Change::more(again.saturating_add(push.bytes.len() as u64)) }
}

/// Blobs that count again from now on.
fn revived<'k>(push: &'k PutManifest, known: &'k Known) -> impl Iterator<Item = &'k Facts> {
    let children: BTreeSet<Digest> =
        push.edges.iter().filter(|edge| edge.kind != EdgeKind::Subject).map(|edge| edge.child).collect();
    children.into_iter().filter_map(|child| known.get(&child)).filter(|facts| facts.uncounted)
}

fn store(
    tx: &mut Tx<'_>,
    push: &PutManifest,
    (looked_at, quotas): (Option<i64>, &Quotas),
    known: &Known,
    missing: Vec<Digest>,
    observed: Option<Option<Digest>>,
) -> Done<PutManifestOutcome> {
    let (repository, made) = match looked_at {
        Some(id) => (id, false),
        None => match lookup::ensure_repository(tx, &push.repository, &push.stamp)? {
            (id, true) => (id, true),
            (_, false) => return Err(Fault::Conflict("the repository was made while it was looked at")),
        },
    };
    let mut ids: BTreeMap<Digest, Option<i64>> = known.iter().map(|(digest, facts)| (*digest, facts.id)).collect();
    lookup::ensure_digests(tx, &mut ids)?;
    let id_of = |digest: &Digest| ids.get(digest).copied().flatten().ok_or(Fault::Conflict("a digest came and went"));
    let own = id_of(&push.digest)?;
    write_bytes(tx, own, push)?;
    let subject = push.subject.as_ref().map(|subject| lookup::ensure_digest(tx, subject, Hold::Share)).transpose()?;
    let (manifest, created) = write_row(tx, repository, own, subject, !missing.is_empty(), push)?;
    if !created && push.tags.is_empty() && observed == Some(None) {
        return Err(Fault::Conflict("the manifest was pushed while its condition was looked at"));
    }
    if created || push.labels.is_some() {
        search::note(tx, manifest, [push.labels.as_deref(), push.annotations.as_deref()])?;
    }
    if created {
        trash::pushed_again(tx, Place { id: repository, name: &push.repository }, &push.digest, &push.stamp)?;
        write_edges(tx, repository, manifest, push, &id_of)?;
        let sql = "UPDATE memberships SET hidden = 0 WHERE repository_id = $1 AND hidden = 1
                   AND digest_id IN (SELECT child_id FROM edges WHERE manifest_id = $2)";
        tx.execute(sql, values![repository, manifest])?;
        write_referrer(tx, repository, manifest, subject, push)?;
        let payload =
            json!({ "digest": push.digest.to_string(), "mediaType": push.media_type, "size": push.bytes.len() });
        outbox::record(tx, outbox::MANIFEST_PUSHED, Some(&push.repository), &payload, &push.stamp)?;
        for id in revived(push, known).filter_map(|facts| facts.id) {
            quotas::count(tx, repository, id)?;
        }
        quotas.add(tx, weigh(push, known))?;
    }
    let moved = move_tags(tx, repository, own, push, observed)?;
    for job in &push.jobs {
        outbox::enqueue(tx, job)?;
    }
    if made {
        access::repository_made(tx, repository, &push.repository, &push.stamp)?;
    }
    let missing = if push.sparse == Sparse::Accept { Vec::new() } else { missing };
    Ok(PutManifestOutcome::Stored { created, missing, moved })
}

/// Byte for byte (**Invariant 8**). Bytes that went bad are healed by a push of the right ones.
fn write_bytes(tx: &mut Tx<'_>, own: i64, push: &PutManifest) -> Done<()> {
    let sql = "SELECT 1 FROM manifest_bytes WHERE digest_id = $1 AND bytes <> $2";
    if tx.any(sql, values![own, &push.bytes[..]])? {
        // They are healed for all repositories that have the manifest.
        everywhere();
    }
    let sql = "INSERT INTO manifest_bytes (digest_id, digest, bytes) VALUES ($1, $2, $3)
               ON CONFLICT (digest_id) DO UPDATE SET bytes = excluded.bytes WHERE manifest_bytes.bytes <> excluded.bytes";
    tx.execute(sql, values![own, &keys::encode(&push.digest), &push.bytes[..]])?;
    Ok(())
}

/// The manifest's row; answers its id and whether it is new in this repository.
fn write_row(
    tx: &mut Tx<'_>,
    repository: i64,
    own: i64,
    subject: Option<i64>,
    incomplete: bool,
    push: &PutManifest,
) -> Done<(i64, bool)> {
    let size = push.bytes.len() as u64;
    let named: BTreeMap<Digest, u64> =
        push.edges.iter().filter(|edge| edge.kind != EdgeKind::Subject).map(|edge| (edge.child, edge.size)).collect();
    let total = named.values().fold(size, |total, size| total.saturating_add(*size));
    let sql = "INSERT INTO manifests (repository_id, digest_id, media_type, artifact_type, subject_id, size, total_size, annotations,
                 labels, incomplete, pushes, pushed_at, pushed_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $12)
               ON CONFLICT (repository_id, digest_id) DO UPDATE SET pushes = manifests.pushes + 1,
                 renewed_at = CASE WHEN CAST($13 AS BIGINT) = 1 THEN excluded.pushed_at ELSE manifests.renewed_at END,
                 media_type = excluded.media_type, incomplete = excluded.incomplete, labels = COALESCE(excluded.labels, manifests.labels)
               RETURNING id, pushes";
    let row = values![
        repository,
        own,
        &push.media_type,
        push.artifact_type.as_deref(),
        subject,
        size,
        total,
        push.annotations.as_deref(),
        push.labels.as_deref(),
        incomplete,
        push.stamp.at,
        &push.stamp.identity,
        // Without a tag it is part of something that is yet to come.
        push.tags.is_empty()
    ];
    let row = tx.row(sql, row, |row| Ok((row.int(0)?, row.int(1)? == 1)))?;
    row.ok_or(Fault::Conflict("the manifest came and went"))
}

fn write_edges(
    tx: &mut Tx<'_>,
    repository: i64,
    manifest: i64,
    push: &PutManifest,
    id_of: &dyn Fn(&Digest) -> Done<i64>,
) -> Done<()> {
    let mut edges: BTreeMap<(i64, i64), u64> = BTreeMap::new();
    for edge in &push.edges {
        if let Some(kind) = keys::edge_number(edge.kind) {
            edges.insert((id_of(&edge.child)?, kind), edge.size);
        }
    }
    match tx {
        Tx::Sqlite(_) => {
            let sql =
                "INSERT INTO edges (manifest_id, child_id, kind, repository_id, size) VALUES ($1, $2, $3, $4, $5)";
            for ((child, kind), size) in edges {
                tx.execute(sql, values![manifest, child, kind, repository, size])?;
            }
        }
        Tx::Postgres(session) if !edges.is_empty() => {
            let children: Vec<i64> = edges.keys().map(|(child, _)| *child).collect();
            let kinds: Vec<i64> = edges.keys().map(|(_, kind)| *kind).collect();
            let sizes: Vec<i64> = edges.values().map(|size| i64::try_from(*size).unwrap_or(i64::MAX)).collect();
            let sql = "INSERT INTO edges (manifest_id, child_id, kind, repository_id, size)
                       SELECT $1, e.child, e.kind, $2, e.size FROM unnest($3::bigint[], $4::bigint[], $5::bigint[]) AS e (child, kind, size)";
            let lists = [Value::Ints(&children), Value::Ints(&kinds), Value::Ints(&sizes)];
            session.execute(sql, &[manifest.into(), repository.into(), lists[0], lists[1], lists[2]])?;
        }
        Tx::Postgres(_) => {}
    }
    Ok(())
}

/// The subject's list of referrers has the digest in its own index: its pages are in that order.
fn write_referrer(
    tx: &mut Tx<'_>,
    repository: i64,
    manifest: i64,
    subject: Option<i64>,
    push: &PutManifest,
) -> Done<()> {
    let Some(subject) = subject else { return Ok(()) };
    let sql = "INSERT INTO referrers (subject_id, repository_id, digest, artifact_type, manifest_id) VALUES ($1, $2, $3, $4, $5)";
    let artifact_type = push.artifact_type.as_deref().unwrap_or_default();
    tx.execute(sql, values![subject, repository, &keys::encode(&push.digest), artifact_type, manifest])?;
    Ok(())
}

fn move_tags(
    tx: &mut Tx<'_>,
    repository: i64,
    own: i64,
    push: &PutManifest,
    observed: Option<Option<Digest>>,
) -> Done<Vec<(Tag, Option<Digest>)>> {
    let place = Place { id: repository, name: &push.repository };
    let conditional = push.tags.first().filter(|_| observed.is_some()).cloned();
    let mut moved = Vec::new();
    // In the order of their names: two pushes of the same tags never wait for each other in a circle.
    for tag in push.tags.iter().collect::<BTreeSet<_>>() {
        let from = tags::point(tx, place, tag, (own, &push.digest), push.how, &push.stamp)?;
        if conditional.as_ref() == Some(tag) {
            let before = from.unwrap_or(Some(push.digest));
            if observed != Some(before) {
                return Err(Fault::Conflict("the tag moved while its condition was looked at"));
            }
        }
        if push.keep_tags && matches!(from, Some(Some(_))) {
            return Err(Fault::Conflict("the tag was made while it was looked at"));
        }
        moved.extend(from.map(|from| (tag.clone(), from)));
    }
    Ok(moved)
}
