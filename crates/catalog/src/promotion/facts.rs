//! What is asked before a manifest enters a stage: one look.

use std::collections::BTreeMap;

use larder_oci::{Digest, RepositoryName, Tag};

use super::{approvals, entries, version};
use crate::engine::{Done, Kind, Tx, values};
use crate::keys;
use crate::lookup::{self, Hold};
use crate::model::promotion::{StageEntry, StageFacts, StagePlace, StageQuestion};
use crate::{Catalog, Result};

/// Tags of a manifest that are looked at.
const TAGS: usize = 100;
/// What a manifest names, as far as it is looked at.
const PARTS: usize = 10_000;
/// Entries of entries of an index.
const DEPTH: usize = 8;

impl Catalog {
    /// Everything that gates ask about a manifest, and what its coming would change.
    pub async fn stage_facts(&self, question: StageQuestion) -> Result<StageFacts> {
        self.engine().read(Kind::Snapshot, move |tx| facts(tx, &question)).await
    }
}

fn facts(tx: &mut Tx<'_>, asked: &StageQuestion) -> Done<StageFacts> {
    let named = parts(tx, &asked.source, &asked.digest)?;
    let standing = standing(tx, &asked.target.0, &asked.target.1)?;
    let there = match &standing {
        Some(digest) => parts(tx, &asked.target.0, digest)?.map(|(_, blobs)| blobs).unwrap_or_default(),
        None => BTreeMap::new(),
    };
    let complete = named.as_ref().map(|(complete, _)| *complete);
    let mut new = named.map(|(_, blobs)| blobs).unwrap_or_default();
    new.retain(|digest, _| !there.contains_key(digest));
    let before = match &asked.before {
        None => None,
        Some(StagePlace::Tag(repository, tag)) => entries::stay(tx, repository, tag, &asked.digest)?,
        Some(StagePlace::Repository(repository)) => held(tx, repository, &asked.digest)?,
    };
    Ok(StageFacts {
        version: version(tx)?,
        standing,
        complete,
        before,
        tags: tags(tx, &asked.source, &asked.digest)?,
        approvals: approvals::of(tx, asked)?,
        new: new.into_iter().collect(),
    })
}

/// Where a tag points.
pub(super) fn standing(tx: &mut Tx<'_>, repository: &RepositoryName, tag: &Tag) -> Done<Option<Digest>> {
    let sql = "SELECT d.digest FROM repositories r JOIN tags t ON t.repository_id = r.id AND t.name = $1
               JOIN digests d ON d.id = t.digest_id WHERE r.name = $2";
    tx.row(sql, values![tag, repository], |row| row.digest(0))
}

fn tags(tx: &mut Tx<'_>, repository: &RepositoryName, digest: &Digest) -> Done<Vec<Tag>> {
    let sql = "SELECT t.name FROM repositories r JOIN digests d ON d.digest = $1
               JOIN tags t ON t.repository_id = r.id AND t.digest_id = d.id WHERE r.name = $2 LIMIT $3";
    let mut tags = tx.rows(sql, values![&keys::encode(digest), repository, TAGS], |row| row.tag(0))?;
    tags.sort_unstable();
    Ok(tags)
}

/// Since when a repository that is a stage has a manifest under a tag of people: what has none, or one as signatures have, was not let in as a version.
fn held(tx: &mut Tx<'_>, repository: &RepositoryName, digest: &Digest) -> Done<Option<StageEntry>> {
    let sql = "SELECT m.pushed_at, m.pushed_by FROM repositories r JOIN digests d ON d.digest = $1
               JOIN manifests m ON m.repository_id = r.id AND m.digest_id = d.id WHERE r.name = $2
               AND EXISTS (SELECT 1 FROM tags t WHERE t.repository_id = r.id AND t.digest_id = m.digest_id AND t.name NOT LIKE 'sha256-%')";
    tx.row(sql, values![&keys::encode(digest), repository], |row| {
        let (entered, how, by) = (row.time(0)?, "push".to_owned(), row.text(1)?);
        Ok(StageEntry { digest: *digest, entered, left: None, stood: 0, how, by, reason: None })
    })
}

/// Whether a manifest and its entries are complete, and the blobs that they name with their lengths.
fn parts(tx: &mut Tx<'_>, repository: &RepositoryName, digest: &Digest) -> Done<Option<(bool, BTreeMap<Digest, u64>)>> {
    let Some(repository) = lookup::repository(tx, repository, Hold::Look)? else { return Ok(None) };
    let Some(root) = manifest(tx, repository, digest)? else { return Ok(None) };
    let (mut complete, mut blobs, mut level) = (true, BTreeMap::new(), vec![root]);
    for _ in 0..DEPTH {
        let mut below = Vec::new();
        for (id, incomplete) in level {
            complete &= !incomplete;
            let sql = "SELECT d.digest, e.size, e.kind FROM edges e JOIN digests d ON d.id = e.child_id WHERE e.manifest_id = $1 LIMIT $2";
            let edges = tx.rows(sql, values![id, PARTS], |row| Ok((row.digest(0)?, row.size(1)?, row.int(2)?)))?;
            for (child, size, kind) in edges {
                match manifest(tx, repository, &child)?.filter(|_| kind == 3) {
                    Some(entry) => below.push(entry),
                    None => drop(blobs.insert(child, size)),
                }
            }
        }
        if below.is_empty() || blobs.len() > PARTS {
            break;
        }
        level = below;
    }
    Ok(Some((complete, blobs)))
}

fn manifest(tx: &mut Tx<'_>, repository: i64, digest: &Digest) -> Done<Option<(i64, bool)>> {
    let sql = "SELECT m.id, m.incomplete FROM digests d JOIN manifests m ON m.repository_id = $1 AND m.digest_id = d.id WHERE d.digest = $2";
    tx.row(sql, values![repository, &keys::encode(digest)], |row| Ok((row.int(0)?, row.flag(1)?)))
}
