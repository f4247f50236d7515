//! Tags and their history. Reading a tag is a linearizable register; every change of one passes through this module (**Invariant 3**).

use larder_oci::{Digest, RepositoryName, Tag, TagKey};
use serde_json::{Value as Json, json};

use crate::engine::{Done, Fault, Kind, Tx, values};
use crate::keys;
use crate::lookup::{self, Hold};
use crate::model::{AddTag, DeleteOutcome, Page, Stamp};
use crate::outbox;
use crate::page::page;
use crate::promotion;
use crate::{Catalog, Result};

/// A repository as its tags need it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'p> {
    pub id: i64,
    pub name: &'p RepositoryName,
}

/// How a tag comes to change, and what else there is to tell of it.
pub(crate) struct Told<'t> {
    pub how: &'t str,
    pub reason: Option<&'t str>,
    /// More for the event.
    pub details: Json,
}

impl<'t> Told<'t> {
    pub fn how(how: &'t str) -> Self {
        Self { how, reason: None, details: Json::Null }
    }
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
    point_told(tx, place, tag, to, &Told::how(how), stamp)
}

/// The same where there is more to tell.
pub(crate) fn point_told(
    tx: &mut Tx<'_>,
    place: Place<'_>,
    tag: &Tag,
    to: (i64, &Digest),
    told: &Told<'_>,
    stamp: &Stamp,
) -> Done<Option<Option<Digest>>> {
    // The row remembers where it pointed until this statement: whatever others do, each move knows its true predecessor.
    let sql = "INSERT INTO tags (repository_id, name, digest_id, updated_at, version_key) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (repository_id, name) DO UPDATE SET previous_id = tags.digest_id, digest_id = excluded.digest_id,
               updated_at = CASE WHEN tags.digest_id = excluded.digest_id THEN tags.updated_at ELSE excluded.updated_at END
               RETURNING previous_id";
    let key = TagKey::of(tag);
    let previous = tx.row(sql, values![place.id, tag, to.0, stamp.at, key.as_bytes()], |row| row.opt_int(0))?;
    let previous = previous.ok_or(Fault::Conflict("the tag came and went"))?;
    if previous == Some(to.0) {
        return Ok(None);
    }
    let from = previous.map(|id| digest_of(tx, id)).transpose()?;
    changed(tx, place, tag, from.as_ref(), Some(to), told, stamp)?;
    Ok(Some(from))
}

/// Where a tag points.
pub(crate) fn target(tx: &mut Tx<'_>, repository: i64, tag: &Tag) -> Done<Option<Digest>> {
    let sql =
        "SELECT d.digest FROM tags t JOIN digests d ON d.id = t.digest_id WHERE t.repository_id = $1 AND t.name = $2";
    tx.row(sql, values![repository, tag], |row| row.digest(0))
}

/// Removes a tag. Answers where it pointed.
pub(crate) fn remove(tx: &mut Tx<'_>, place: Place<'_>, tag: &Tag, how: &str, stamp: &Stamp) -> Done<Option<Digest>> {
    let sql = "DELETE FROM tags WHERE repository_id = $1 AND name = $2 RETURNING digest_id";
    let from = tx.row(sql, values![place.id, tag], |row| row.int(0))?.map(|id| digest_of(tx, id)).transpose()?;
    if let Some(from) = &from {
        changed(tx, place, tag, Some(from), None, &Told::how(how), stamp)?;
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
            changed(tx, place, name, Some(manifest.1), None, &Told::how(how), stamp)?;
        }
    }
}

/// The one place that every change of a tag passes: its history and its event.
fn changed(
    tx: &mut Tx<'_>,
    place: Place<'_>,
    tag: &Tag,
    from: Option<&Digest>,
    to: Option<(i64, &Digest)>,
    told: &Told<'_>,
    stamp: &Stamp,
) -> Done<()> {
    let sql = "INSERT INTO tag_events (repository, name, from_digest, to_digest, how, identity, at, request_id, labels)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let labels = match to {
        None => None,
        Some((manifest, _)) => {
            let sql = "SELECT labels FROM manifests WHERE repository_id = $1 AND digest_id = $2";
            tx.row(sql, values![place.id, manifest], |row| row.opt_text(0))?.flatten()
        }
    };
    let (to, how) = (to.map(|(_, digest)| digest), told.how);
    let (old, new) = (from.map(keys::encode), to.map(keys::encode));
    let (request, labels) = (stamp.request_id.as_deref(), labels.as_deref());
    let row = values![place.name, tag, old.as_ref(), new.as_ref(), how, &stamp.identity, stamp.at, request, labels];
    tx.execute(sql, row)?;
    let kind = if to.is_some() { outbox::TAG_MOVED } else { outbox::TAG_DELETED };
    let text = |digest: Option<&Digest>| digest.map(Digest::to_string);
    let mut payload = json!({ "tag": tag.as_str(), "from": text(from), "to": text(to), "how": how });
    if let (Json::Object(payload), Json::Object(details)) = (&mut payload, &told.details) {
        payload.extend(details.clone());
    }
    if promotion::is_stage(tx, place.name, tag)? {
        payload["stage"] = tag.as_str().into();
        promotion::moved(tx, place, tag, to, told, stamp)?;
    }
    outbox::record(tx, kind, Some(place.name), &payload, stamp)
}

/// The id of the digest of a manifest that the repository has now.
pub(crate) fn live_manifest(tx: &mut Tx<'_>, place: Place<'_>, wanted: &Digest) -> Done<Option<i64>> {
    let Some(digest) = lookup::digest(tx, wanted, Hold::Share)? else { return Ok(None) };
    let sql = "SELECT 1 FROM manifests WHERE repository_id = $1 AND digest_id = $2";
    Ok(tx.any(sql, values![place.id, digest])?.then_some(digest))
}

impl Catalog {
    /// Points a tag that is nowhere yet at a manifest that the repository has.
    pub async fn add_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        how: &str,
        stamp: Stamp,
    ) -> Result<AddTag> {
        let (name, tag, wanted, how) = (repository.clone(), tag.clone(), *digest, how.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Share)? else { return Ok(AddTag::Absent) };
            let place = Place { id, name: &name };
            let Some(digest) = live_manifest(tx, place, &wanted)? else { return Ok(AddTag::Absent) };
            if target(tx, id, &tag)?.is_some_and(|now| now != wanted) {
                return Ok(AddTag::Kept);
            }
            match point(tx, place, &tag, (digest, &wanted), &how, &stamp)? {
                Some(Some(_)) => Err(Fault::Conflict("the tag was made while it was looked at")),
                _ => Ok(AddTag::Added),
            }
        };
        self.engine().write(Kind::Shrink, work).await
    }

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
            let place = Place { id, name: &name };
            let Some(digest) = live_manifest(tx, place, &wanted)? else { return Ok(false) };
            point(tx, place, &tag, (digest, &wanted), &how, &stamp)?;
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
}
