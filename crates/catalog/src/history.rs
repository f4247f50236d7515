//! What tags pointed to: their history, where they pointed at a time, and the way back.

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryName, Tag};

use crate::engine::{Done, Kind, Row, Tx, values};
use crate::keys;
use crate::lookup::{self, Hold};
use crate::model::{Origin, Page, RollbackOutcome, RollbackTo, Stamp, TagEvent, TagThen};
use crate::page::page;
use crate::tags::{self, Place};
use crate::trash;
use crate::{Catalog, Result};

/// Tags that one unit of pruning looks at.
const TAGS: usize = 200;

impl Catalog {
    /// A tag's moves before the event `before`, the newest first.
    pub async fn tag_history(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<TagEvent>> {
        let (repository, tag, before) = (repository.clone(), tag.clone(), before.unwrap_or(i64::MAX));
        let sql = "SELECT id, name, from_digest, to_digest, how, identity, at, request_id, labels FROM tag_events
                   WHERE repository = $1 AND name = $2 AND id < $3 ORDER BY id DESC LIMIT $4";
        let work =
            move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![&repository, &tag, before, limit + 1], event)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// Where a tag pointed at a time.
    pub async fn tag_then(&self, repository: &RepositoryName, tag: &Tag, at: Timestamp) -> Result<TagThen> {
        let (repository, tag) = (repository.clone(), tag.clone());
        self.engine().read(Kind::Snapshot, move |tx| then(tx, &repository, &tag, at)).await
    }

    /// Where a tag points, or where it pointed when it was last removed.
    pub async fn last_digest(&self, repository: &RepositoryName, tag: &Tag) -> Result<Option<Digest>> {
        let (repository, tag) = (repository.clone(), tag.clone());
        let work = move |tx: &mut Tx<'_>| {
            if let Some((digest, _)) = standing(tx, &repository, &tag)? {
                return Ok(Some(digest));
            }
            let sql = "SELECT from_digest FROM tag_events WHERE repository = $1 AND name = $2 ORDER BY id DESC LIMIT 1";
            Ok(tx.row(sql, values![&repository, &tag], |row| row.opt_digest(0))?.flatten())
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Points a tag at what it pointed to before, in one transaction with the look into its history; a manifest that is in the trash comes back with
    /// it. Without `apply` nothing changes.
    pub async fn rollback_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        to: RollbackTo,
        apply: bool,
        stamp: Stamp,
    ) -> Result<RollbackOutcome> {
        let (name, tag) = (repository.clone(), tag.clone());
        self.engine().write(Kind::Shrink, move |tx| roll_back(tx, &name, &tag, to, apply, &stamp)).await
    }

    /// Forgets moves from before this time, and of each tag all but the newest `keep_per_tag`: whichever keeps less. What a tag pointed to at that
    /// time stays known: the last move before it goes only if it took the tag away. Answers how many went.
    pub async fn prune_tag_events(&self, before: Timestamp, keep_per_tag: usize) -> Result<u64> {
        let (mut after, mut total) = ((String::new(), String::new()), 0);
        loop {
            let from = after.clone();
            let work = move |tx: &mut Tx<'_>| prune_some(tx, &from, before, keep_per_tag);
            let (removed, next) = self.engine().write(Kind::Shrink, work).await?;
            total += removed;
            match next {
                Some(next) => after = next,
                None => return Ok(total),
            }
        }
    }
}

fn then(tx: &mut Tx<'_>, repository: &RepositoryName, tag: &Tag, at: Timestamp) -> Done<TagThen> {
    let sql =
        "SELECT to_digest FROM tag_events WHERE repository = $1 AND name = $2 AND at <= $3 ORDER BY id DESC LIMIT 1";
    if let Some(to) = tx.row(sql, values![repository, tag, at], |row| row.opt_digest(0))? {
        return Ok(to.map_or(TagThen::Absent, TagThen::At));
    }
    let sql = "SELECT from_digest, at FROM tag_events WHERE repository = $1 AND name = $2 ORDER BY id LIMIT 1";
    match tx.row(sql, values![repository, tag], |row| Ok((row.opt_digest(0)?, row.time(1)?)))? {
        Some((Some(_), since)) => Ok(TagThen::Forgotten { since }),
        Some((None, _)) => Ok(TagThen::Absent),
        None => Ok(standing(tx, repository, tag)?.map_or(TagThen::Absent, |(digest, since)| {
            if since <= at { TagThen::At(digest) } else { TagThen::Forgotten { since } }
        })),
    }
}

/// Where a tag points, and since when.
fn standing(tx: &mut Tx<'_>, repository: &RepositoryName, tag: &Tag) -> Done<Option<(Digest, Timestamp)>> {
    let sql = "SELECT d.digest, t.updated_at FROM repositories r JOIN tags t ON t.repository_id = r.id AND t.name = $1
               JOIN digests d ON d.id = t.digest_id WHERE r.name = $2";
    tx.row(sql, values![tag, repository], |row| Ok((row.digest(0)?, row.time(1)?)))
}

pub(crate) fn roll_back(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    tag: &Tag,
    to: RollbackTo,
    apply: bool,
    stamp: &Stamp,
) -> Done<RollbackOutcome> {
    let Some(id) = lookup::repository(tx, name, Hold::Share)? else { return Ok(RollbackOutcome::Unknown) };
    let place = Place { id, name };
    let Some(target) = earlier(tx, name, tag, to)? else { return Ok(RollbackOutcome::Unknown) };
    let from = standing(tx, name, tag)?.map(|(digest, _)| digest);
    if from == Some(target) {
        return Ok(RollbackOutcome::Same(target));
    }
    let live = tags::live_manifest(tx, place, &target)?;
    let known = live.is_some() || trash::holds(tx, place, &target)?;
    match (known, apply) {
        (false, _) => Ok(RollbackOutcome::Gone(target)),
        (true, false) => Ok(RollbackOutcome::Moved { from, to: target }),
        (true, true) => {
            let Some(manifest) = trash::live_again(tx, place, &target, stamp)? else {
                return Ok(RollbackOutcome::Gone(target));
            };
            tags::point(tx, place, tag, (manifest, &target), "rollback", stamp)?;
            Ok(RollbackOutcome::Moved { from, to: target })
        }
    }
}

/// What a tag pointed to, as far as its history knows.
fn earlier(tx: &mut Tx<'_>, repository: &RepositoryName, tag: &Tag, to: RollbackTo) -> Done<Option<Digest>> {
    match to {
        RollbackTo::Time(at) => match then(tx, repository, tag, at)? {
            TagThen::At(digest) => Ok(Some(digest)),
            TagThen::Absent | TagThen::Forgotten { .. } => Ok(None),
        },
        RollbackTo::Digest(digest) => {
            let key = keys::encode(&digest);
            let sql = "SELECT 1 FROM tag_events WHERE repository = $1 AND name = $2 AND (from_digest = $3 OR to_digest = $3) LIMIT 1";
            Ok(tx.any(sql, values![repository, tag, &key])?.then_some(digest))
        }
        // Each move tells where the tag came from: `changes` moves back is where the move before that many led from.
        RollbackTo::Changes(0) => Ok(standing(tx, repository, tag)?.map(|(digest, _)| digest)),
        RollbackTo::Changes(changes) => {
            let sql = "SELECT from_digest FROM tag_events WHERE repository = $1 AND name = $2 ORDER BY id DESC LIMIT 1 OFFSET $3";
            let skipped = i64::from(changes) - 1;
            Ok(tx.row(sql, values![repository, tag, skipped], |row| row.opt_digest(0))?.flatten())
        }
    }
}

/// Prunes the history of the next tags; answers after which to go on.
fn prune_some(
    tx: &mut Tx<'_>,
    from: &(String, String),
    before: Timestamp,
    keep: usize,
) -> Done<(u64, Option<(String, String)>)> {
    let (mut at, mut removed) = (from.clone(), 0);
    for _ in 0..TAGS {
        let sql = "SELECT repository, name FROM tag_events WHERE (repository, name) > ($1, $2) ORDER BY repository, name LIMIT 1";
        let Some(next) = tx.row(sql, values![&at.0, &at.1], |row| Ok((row.text(0)?, row.text(1)?)))? else {
            return Ok((removed, None));
        };
        let sql = "SELECT MIN(newest.id) FROM
                   (SELECT id FROM tag_events WHERE repository = $1 AND name = $2 ORDER BY id DESC LIMIT $3) AS newest";
        let kept = tx.row(sql, values![&next.0, &next.1, keep], |row| row.opt_int(0))?.flatten().unwrap_or(i64::MAX);
        let sql = "SELECT id, CASE WHEN to_digest IS NULL THEN 1 ELSE 0 END FROM tag_events
                   WHERE repository = $1 AND name = $2 AND at < $3 ORDER BY id DESC LIMIT 1";
        let last = tx.row(sql, values![&next.0, &next.1, before], |row| Ok((row.int(0)?, row.flag(1)?)))?;
        let standing = last.filter(|(_, removed)| !removed).map_or(0, |(id, _)| id);
        let sql = "DELETE FROM tag_events WHERE repository = $1 AND name = $2 AND (id < $3 OR (at < $4 AND id <> $5))";
        removed += tx.execute(sql, values![&next.0, &next.1, kept, before, standing])?;
        at = next;
    }
    Ok((removed, Some(at)))
}

fn event(row: &Row<'_>) -> Done<TagEvent> {
    let (from, to, how) = (row.opt_digest(2)?, row.opt_digest(3)?, row.text(4)?);
    let (identity, at, request_id) = (row.text(5)?, row.time(6)?, row.opt_text(7)?);
    let stamp = Stamp { identity, at, request_id, origin: Origin::default() };
    Ok(TagEvent { id: row.int(0)?, name: row.tag(1)?, from, to, how, stamp, labels: row.opt_text(8)? })
}
