//! Tags and their history. Reading a tag is a linearizable register; every change of one passes through this module (**Invariant 3**).

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryName, Tag};
use serde_json::json;

use crate::engine::{Done, Fault, Kind, Row, Tx, values};
use crate::keys;
use crate::lookup::{self, Hold};
use crate::model::{DeleteOutcome, Origin, Page, Stamp, TagEvent, TagRow};
use crate::outbox;
use crate::page::page;
use crate::{Catalog, Result};

/// A repository as its tags need it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'p> {
    pub id: i64,
    pub name: &'p RepositoryName,
}

/// Points a tag at a manifest of the repository. Answers where it pointed before, if that is elsewhere or nowhere; `None` when nothing moved.
pub(crate) fn point(
    tx: &mut Tx<'_>,
    place: Place<'_>,
    tag: &Tag,
    to: (i64, &Digest),
    how: &str,
    stamp: &Stamp,
) -> Done<Option<Option<Digest>>> {
    // The row remembers where it pointed until this statement: whatever others do, each move knows its true predecessor.
    let sql = "INSERT INTO tags (repository_id, name, digest_id, updated_at) VALUES ($1, $2, $3, $4)
               ON CONFLICT (repository_id, name) DO UPDATE SET previous_id = tags.digest_id, digest_id = excluded.digest_id,
               updated_at = CASE WHEN tags.digest_id = excluded.digest_id THEN tags.updated_at ELSE excluded.updated_at END
               RETURNING previous_id";
    let previous = tx.row(sql, values![place.id, tag, to.0, stamp.at], |row| row.opt_int(0))?;
    let previous = previous.ok_or(Fault::Conflict("the tag came and went"))?;
    if previous == Some(to.0) {
        return Ok(None);
    }
    let from = previous.map(|id| digest_of(tx, id)).transpose()?;
    changed(tx, place.name, tag, from.as_ref(), Some(to.1), how, stamp)?;
    Ok(Some(from))
}

/// Removes a tag. Answers where it pointed.
fn remove(tx: &mut Tx<'_>, place: Place<'_>, tag: &Tag, how: &str, stamp: &Stamp) -> Done<Option<Digest>> {
    let sql = "DELETE FROM tags WHERE repository_id = $1 AND name = $2 RETURNING digest_id";
    let from = tx.row(sql, values![place.id, tag], |row| row.int(0))?.map(|id| digest_of(tx, id)).transpose()?;
    if let Some(from) = &from {
        changed(tx, place.name, tag, Some(from), None, how, stamp)?;
    }
    Ok(from)
}

/// In a statement of its own: on PostgreSQL the one that waited for another's move does not see what that one added.
fn digest_of(tx: &mut Tx<'_>, id: i64) -> Done<Digest> {
    let digest = tx.row("SELECT digest FROM digests WHERE id = $1", values![id], |row| row.digest(0))?;
    digest.ok_or(Fault::Conflict("the digest came and went"))
}

/// Removes all tags that point to a manifest, some at a time.
pub(crate) fn remove_pointing_to(
    tx: &mut Tx<'_>,
    place: Place<'_>,
    manifest: (i64, &Digest),
    how: &str,
    stamp: &Stamp,
) -> Done<()> {
    loop {
        let sql = "DELETE FROM tags WHERE repository_id = $1 AND name IN
                   (SELECT name FROM tags WHERE repository_id = $1 AND digest_id = $2 LIMIT 500) AND digest_id = $2 RETURNING name";
        let names = tx.rows(sql, values![place.id, manifest.0], |row| row.tag(0))?;
        if names.is_empty() {
            return Ok(());
        }
        for name in &names {
            changed(tx, place.name, name, Some(manifest.1), None, how, stamp)?;
        }
    }
}

/// The one place that every change of a tag passes: its history and its event.
fn changed(
    tx: &mut Tx<'_>,
    repository: &RepositoryName,
    tag: &Tag,
    from: Option<&Digest>,
    to: Option<&Digest>,
    how: &str,
    stamp: &Stamp,
) -> Done<()> {
    let sql = "INSERT INTO tag_events (repository, name, from_digest, to_digest, how, identity, at, request_id)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let (old, new) = (from.map(keys::encode), to.map(keys::encode));
    let request = stamp.request_id.as_deref();
    tx.execute(sql, values![repository, tag, old.as_ref(), new.as_ref(), how, &stamp.identity, stamp.at, request])?;
    let kind = if to.is_some() { outbox::TAG_MOVED } else { outbox::TAG_DELETED };
    let text = |digest: Option<&Digest>| digest.map(Digest::to_string);
    let payload = json!({ "tag": tag.as_str(), "from": text(from), "to": text(to), "how": how });
    outbox::record(tx, kind, Some(repository), &payload, stamp)
}

impl Catalog {
    /// Points a tag at a manifest that the repository has. Answers `false` when it has not.
    pub async fn put_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        how: &str,
        stamp: Stamp,
    ) -> Result<bool> {
        let (name, tag, wanted, how) = (repository.clone(), tag.clone(), *digest, how.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Share)? else { return Ok(false) };
            let Some(digest) = lookup::digest(tx, &wanted, Hold::Share)? else { return Ok(false) };
            if !tx.any("SELECT 1 FROM manifests WHERE repository_id = $1 AND digest_id = $2", values![id, digest])? {
                return Ok(false);
            }
            point(tx, Place { id, name: &name }, &tag, (digest, &wanted), &how, &stamp)?;
            Ok(true)
        };
        // A row or two: tags move on a full disk too (behaviour §6).
        self.engine().write(Kind::Shrink, work).await
    }

    /// Removes a tag; its manifest stays, and is pullable by its digest (behaviour §5).
    pub async fn delete_tag(&self, repository: &RepositoryName, tag: &Tag, stamp: Stamp) -> Result<DeleteOutcome> {
        let (name, tag) = (repository.clone(), tag.clone());
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Share)? else { return Ok(DeleteOutcome::Absent) };
            let from = remove(tx, Place { id, name: &name }, &tag, "delete", &stamp)?;
            Ok(from.map_or(DeleteOutcome::Absent, |_| DeleteOutcome::Deleted))
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Tags after `after`, in the order of their bytes. `None`: there is no such repository.
    pub async fn tags(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Page<Tag>>> {
        let (name, after) = (repository.clone(), after.unwrap_or_default().to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let Some(repository) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(None) };
            let sql = "SELECT name FROM tags WHERE repository_id = $1 AND name > $2 ORDER BY name LIMIT $3";
            let tags = tx.rows(sql, values![repository, &after, limit + 1], |row| row.tag(0))?;
            Ok(Some(page(tags, limit)))
        };
        self.engine().read(Kind::Read, work).await
    }

    /// Tags after `after` with their facts.
    pub async fn tag_rows(
        &self,
        repository: &RepositoryName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Page<TagRow>>> {
        let (name, after) = (repository.clone(), after.unwrap_or_default().to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let Some(repository) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(None) };
            let sql = "SELECT t.name, d.digest, m.media_type, m.total_size, t.updated_at, m.incomplete FROM tags t
                       JOIN manifests m ON m.repository_id = t.repository_id AND m.digest_id = t.digest_id
                       JOIN digests d ON d.id = t.digest_id
                       WHERE t.repository_id = $1 AND t.name > $2 ORDER BY t.name LIMIT $3";
            let rows = tx.rows(sql, values![repository, &after, limit + 1], |row| {
                let (name, digest, media_type) = (row.tag(0)?, row.digest(1)?, row.text(2)?);
                let (size, updated, incomplete) = (row.size(3)?, row.time(4)?, row.flag(5)?);
                Ok(TagRow { name, digest, media_type, size, updated, incomplete })
            })?;
            Ok(Some(page(rows, limit)))
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// A tag's moves before the event `before`, the newest first.
    pub async fn tag_history(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<TagEvent>> {
        let (repository, tag, before) = (repository.clone(), tag.clone(), before.unwrap_or(i64::MAX));
        let sql = "SELECT id, name, from_digest, to_digest, how, identity, at, request_id FROM tag_events
                   WHERE repository = $1 AND name = $2 AND id < $3 ORDER BY id DESC LIMIT $4";
        let work =
            move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![&repository, &tag, before, limit + 1], event)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// Forgets moves from before this time, and of each tag all but the newest `keep_per_tag`: whichever keeps less. Answers how many.
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

/// Tags that one unit of pruning looks at.
const TAGS: usize = 200;

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
        let sql = "DELETE FROM tag_events WHERE repository = $1 AND name = $2 AND (id < $3 OR at < $4)";
        removed += tx.execute(sql, values![&next.0, &next.1, kept, before])?;
        at = next;
    }
    Ok((removed, Some(at)))
}

fn event(row: &Row<'_>) -> Done<TagEvent> {
    Ok(TagEvent {
        id: row.int(0)?,
        name: row.tag(1)?,
        from: row.opt_digest(2)?,
        to: row.opt_digest(3)?,
        how: row.text(4)?,
        stamp: Stamp {
            identity: row.text(5)?,
            at: row.time(6)?,
            request_id: row.opt_text(7)?,
            origin: Origin::default(),
        },
    })
}
