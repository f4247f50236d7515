//! Changes of tags that somebody decides about inside their transaction. Who decides gets facts, and knows no rows.

use std::sync::Arc;

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryName, Tag, TagForm, VersionScope};
use serde_json::json;

use crate::engine::{Done, Kind, Tx, values};
use crate::history;
use crate::lookup::{self, Hold};
use crate::manifests::{self, Removal};
use crate::model::rules::{Asked, Door, Judgement, Passed, Standing, TagPlace};
use crate::model::{AddTag, DeleteOutcome, RollbackOutcome, RollbackTo, Stamp};
use crate::outbox;
use crate::tags::{self, Place};
use crate::{Catalog, Result};

/// Tags that are read at once.
const SOME: usize = 500;

/// The catalog as it is changed when somebody decides about it.
#[derive(Clone, Debug)]
pub struct Doorway<'c> {
    catalog: &'c Catalog,
    door: Arc<dyn Door>,
}

impl Catalog {
    /// Changes of tags that `door` decides about.
    pub fn through(&self, door: Arc<dyn Door>) -> Doorway<'_> {
        Doorway { catalog: self, door }
    }

    /// Where these tags point now and what else a decision would need, without a change.
    pub async fn standing(
        &self,
        repository: &RepositoryName,
        asked: &Asked,
        digest: Option<Digest>,
    ) -> Result<Standing> {
        let (name, asked) = (repository.clone(), asked.clone());
        let work = move |tx: &mut Tx<'_>| {
            let id = lookup::repository(tx, &name, Hold::Look)?.unwrap_or(0);
            let standing = Standing { digest, ..Standing::default() };
            stand(tx, Place { id, name: &name }, &asked, standing)
        };
        self.engine().read(Kind::Snapshot, work).await
    }
}

impl Doorway<'_> {
    /// [`Catalog::put_tag`], or [`Catalog::add_tag`] where a tag that points elsewhere is to be kept; aliases move with the tag.
    pub async fn put_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        how: &str,
        keep: bool,
        stamp: Stamp,
    ) -> Result<Passed<AddTag>> {
        let (name, tag, wanted, how) = (repository.clone(), tag.clone(), *digest, how.to_owned());
        let door = Arc::clone(&self.door);
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Turn)? else { return done(AddTag::Absent) };
            let place = Place { id, name: &name };
            let Some(manifest) = tags::live_manifest(tx, place, &wanted)? else { return done(AddTag::Absent) };
            if keep && tags::target(tx, id, &tag)?.is_some_and(|now| now != wanted) {
                return done(AddTag::Kept);
            }
            let sql = "SELECT incomplete FROM manifests WHERE repository_id = $1 AND digest_id = $2";
            let incomplete = tx.row(sql, values![id, manifest], |row| row.flag(0))?.unwrap_or(false);
            let standing = Standing { digest: Some(wanted), incomplete, ..Standing::default() };
            let judgement = judge(tx, place, door.as_ref(), standing)?;
            if !judgement.refused.is_empty() {
                return Ok(Passed::Refused(judgement.refused));
            }
            tags::point(tx, place, &tag, (manifest, &wanted), &how, &stamp)?;
            follow(tx, place, (manifest, &wanted), &judgement, &stamp)?;
            Ok(Passed::Done(AddTag::Added, judgement))
        };
        self.catalog.engine().write(Kind::Shrink, work).await
    }

    /// [`Catalog::rollback_tag`].
    pub async fn rollback_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        to: RollbackTo,
        apply: bool,
        stamp: Stamp,
    ) -> Result<Passed<RollbackOutcome>> {
        let (name, tag, door) = (repository.clone(), tag.clone(), Arc::clone(&self.door));
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Turn)? else { return done(RollbackOutcome::Unknown) };
            let place = Place { id, name: &name };
            let seen = history::roll_back(tx, &name, &tag, to, false, &stamp)?;
            let RollbackOutcome::Moved { to: target, .. } = seen else { return done(seen) };
            let standing = Standing { digest: Some(target), ..Standing::default() };
            let judgement = judge(tx, place, door.as_ref(), standing)?;
            if !judgement.refused.is_empty() {
                return Ok(Passed::Refused(judgement.refused));
            }
            if !apply {
                return Ok(Passed::Done(seen, judgement));
            }
            let outcome = history::roll_back(tx, &name, &tag, to, true, &stamp)?;
            say(tx, place, &judgement, &stamp)?;
            Ok(Passed::Done(outcome, judgement))
        };
        self.catalog.engine().write(Kind::Shrink, work).await
    }

    /// [`Catalog::delete_tag`].
    pub async fn delete_tag(
        &self,
        repository: &RepositoryName,
        tag: &Tag,
        stamp: Stamp,
    ) -> Result<Passed<DeleteOutcome>> {
        let (name, tag, door) = (repository.clone(), tag.clone(), Arc::clone(&self.door));
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Turn)? else { return done(DeleteOutcome::Absent) };
            let place = Place { id, name: &name };
            let judgement = judge(tx, place, door.as_ref(), Standing::default())?;
            if !judgement.refused.is_empty() {
                return Ok(Passed::Refused(judgement.refused));
            }
            let from = tags::remove(tx, place, &tag, "delete", &stamp)?;
            say(tx, place, &judgement, &stamp)?;
            let outcome = from.map_or(DeleteOutcome::Absent, |_| DeleteOutcome::Deleted);
            Ok(Passed::Done(outcome, judgement))
        };
        self.catalog.engine().write(Kind::Shrink, work).await
    }

    /// [`Catalog::delete_manifest`].
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        lease_until: Timestamp,
        trash_until: Option<Timestamp>,
        stamp: Stamp,
    ) -> Result<Passed<DeleteOutcome>> {
        let (name, digest, door) = (repository.clone(), *digest, Arc::clone(&self.door));
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Turn)? else { return done(DeleteOutcome::Absent) };
            let standing = Standing { digest: Some(digest), ..Standing::default() };
            let place = Place { id, name: &name };
            let judgement = judge(tx, place, door.as_ref(), standing)?;
            if !judgement.refused.is_empty() {
                return Ok(Passed::Refused(judgement.refused));
            }
            let (event, hides) = (outbox::MANIFEST_DELETED, trash_until.is_some());
            let removal = Removal { how: "delete", event, lease_until, trash_until, hides, stamp: &stamp };
            let outcome = manifests::delete(tx, &name, &digest, &removal)?;
            if outcome == DeleteOutcome::Deleted {
                say(tx, place, &judgement, &stamp)?;
            }
            Ok(Passed::Done(outcome, judgement))
        };
        self.catalog.engine().write(Kind::Shrink, work).await
    }
}

fn done<T>(outcome: T) -> Done<Passed<T>> {
    Ok(Passed::Done(outcome, Judgement::default()))
}

/// Asks for the decision. The repository is held for a turn by then: what stands in it stays until the commit.
pub(crate) fn judge(tx: &mut Tx<'_>, place: Place<'_>, door: &dyn Door, standing: Standing) -> Done<Judgement> {
    let standing = stand(tx, place, door.asks(), standing)?;
    Ok(door.judge(&standing))
}

/// Moves aliases, and notes what was said. A name that is a stage somewhere follows nothing: versions enter stages by promotion.
pub(crate) fn follow(
    tx: &mut Tx<'_>,
    place: Place<'_>,
    manifest: (i64, &Digest),
    judgement: &Judgement,
    stamp: &Stamp,
) -> Done<()> {
    for alias in &judgement.aliases {
        if tx.any("SELECT 1 FROM stage_names WHERE name = $1", values![alias])? {
            continue;
        }
        tags::point(tx, place, alias, manifest, "alias", stamp)?;
    }
    say(tx, place, judgement, stamp)
}

/// Notes what was said.
fn say(tx: &mut Tx<'_>, place: Place<'_>, judgement: &Judgement, stamp: &Stamp) -> Done<()> {
    for told in &judgement.warned {
        let tag = told.tag.as_ref().map(Tag::as_str);
        let payload = json!({ "tag": tag, "rule": told.rule, "why": told.why });
        outbox::record(tx, outbox::RULE_WARNED, Some(place.name), &payload, stamp)?;
    }
    Ok(())
}

fn stand(tx: &mut Tx<'_>, place: Place<'_>, asked: &Asked, mut standing: Standing) -> Done<Standing> {
    for tag in &asked.places {
        let sql = "SELECT d.digest FROM tags t JOIN digests d ON d.id = t.digest_id WHERE t.repository_id = $1 AND t.name = $2";
        let Some(digest) = tx.row(sql, values![place.id, tag], |row| row.digest(0))? else { continue };
        let sql = "SELECT how FROM tag_events WHERE repository = $1 AND name = $2 ORDER BY id DESC LIMIT 1";
        let how = tx.row(sql, values![place.name, tag], |row| row.text(0))?;
        standing.places.insert(tag.clone(), TagPlace { digest, how });
    }
    for scope in &asked.newest {
        standing.newest.push(newest(tx, place.id, scope)?);
    }
    if let Some(digest) = standing.digest.filter(|_| asked.names) {
        standing.names = names(tx, place.id, &digest)?;
    }
    Ok(standing)
}

fn names(tx: &mut Tx<'_>, repository: i64, digest: &Digest) -> Done<Vec<Tag>> {
    let Some(digest) = lookup::digest(tx, digest, Hold::Look)? else { return Ok(Vec::new()) };
    let sql = "SELECT name FROM tags WHERE repository_id = $1 AND digest_id = $2 ORDER BY name";
    tx.rows(sql, values![repository, digest], |row| row.tag(0))
}

/// The newest release: pre-releases and builds stand among the releases and are passed over, some at a time.
fn newest(tx: &mut Tx<'_>, repository: i64, scope: &VersionScope) -> Done<Option<(Tag, Digest)>> {
    let (from, mut below) = scope.keys();
    let mut at: Option<(Vec<u8>, Tag)> = None;
    loop {
        let read = |row: &crate::engine::Row<'_>| Ok((row.tag(0)?, row.digest(1)?, row.bytes(2)?));
        let mut rows = Vec::new();
        if let Some((key, name)) = &at {
            let sql = "SELECT t.name, d.digest, t.version_key FROM tags t JOIN digests d ON d.id = t.digest_id
                       WHERE t.repository_id = $1 AND t.version_key = $2 AND t.name > $3 ORDER BY t.name LIMIT $4";
            rows = tx.rows(sql, values![repository, &key[..], name, SOME], read)?;
        }
        if rows.is_empty() {
            let sql = "SELECT t.name, d.digest, t.version_key FROM tags t JOIN digests d ON d.id = t.digest_id
                       WHERE t.repository_id = $1 AND t.version_key >= $2 AND t.version_key < $3
                       ORDER BY t.version_key DESC, t.name LIMIT $4";
            rows = tx.rows(sql, values![repository, &from[..], &below[..], SOME], read)?;
        }
        let Some((name, _, key)) = rows.last().cloned() else { return Ok(None) };
        if let Some((tag, digest, _)) = rows.into_iter().find(|(tag, ..)| TagForm::of(tag).release().is_some()) {
            return Ok(Some((tag, digest)));
        }
        below.clone_from(&key);
        at = Some((key, name));
    }
}
