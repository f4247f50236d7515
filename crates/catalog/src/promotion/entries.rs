//! What stands in a stage and what stood there: written by every move of a tag that is one.

use larder_oci::{Digest, RepositoryName, Tag};

use super::{DEFAULT_STAGES, sets_for};
use crate::engine::{Done, Kind, Row, Tx, values};
use crate::keys;
use crate::model::Stamp;
use crate::model::promotion::StageEntry;
use crate::tags::{Place, Told};
use crate::{Catalog, Result};

/// Whether a tag of a repository is one of its stages.
pub(crate) fn is_stage(tx: &mut Tx<'_>, repository: &RepositoryName, tag: &Tag) -> Done<bool> {
    if !tx.any("SELECT 1 FROM stage_names WHERE name = $1", values![tag])? {
        return Ok(false);
    }
    let sets = sets_for(tx, repository)?;
    Ok(sets.first().map_or_else(|| DEFAULT_STAGES.contains(&tag.as_str()), |set| set.tags.contains(tag)))
}

/// A tag that is a stage points elsewhere: what stood there leaves, and what it points to enters.
pub(crate) fn moved(
    tx: &mut Tx<'_>,
    place: Place<'_>,
    stage: &Tag,
    to: Option<&Digest>,
    told: &Told<'_>,
    stamp: &Stamp,
) -> Done<()> {
    let sql = "UPDATE stage_entries SET left_at = $1, stood = stood + ($1 - entered_at)
               WHERE repository = $2 AND stage = $3 AND left_at IS NULL";
    tx.execute(sql, values![stamp.at, place.name, stage])?;
    let Some(to) = to else { return Ok(()) };
    let sql = "INSERT INTO stage_entries (repository, stage, digest, entered_at, stood, how, identity, reason)
               VALUES ($1, $2, $3, $4, 0, $5, $6, $7)
               ON CONFLICT (repository, stage, digest) DO UPDATE SET entered_at = excluded.entered_at, left_at = NULL,
                 how = excluded.how, identity = excluded.identity, reason = excluded.reason";
    let (how, reason) = (told.how, told.reason);
    tx.execute(sql, values![place.name, stage, &keys::encode(to), stamp.at, how, &stamp.identity, reason])?;
    Ok(())
}

impl Catalog {
    /// What stands in a stage that is a tag.
    pub async fn stage_entry(&self, repository: &RepositoryName, stage: &Tag) -> Result<Option<StageEntry>> {
        let (name, stage) = (repository.clone(), stage.clone());
        self.engine().read(Kind::Snapshot, move |tx| standing(tx, &name, &stage)).await
    }

    /// Manifests that stand in a stage of a repository, or left it after this time.
    pub async fn staged_since(
        &self,
        repository: &RepositoryName,
        stage: &Tag,
        since: jiff::Timestamp,
    ) -> Result<Vec<Digest>> {
        let (name, stage) = (repository.clone(), stage.clone());
        let sql = "SELECT digest FROM stage_entries WHERE repository = $1 AND stage = $2 AND (left_at IS NULL OR left_at >= $3)";
        let work = move |tx: &mut Tx<'_>| tx.rows(sql, values![&name, &stage, since], |row| row.digest(0));
        self.engine().read(Kind::Read, work).await
    }
}

/// What stands in a stage.
fn standing(tx: &mut Tx<'_>, repository: &RepositoryName, stage: &Tag) -> Done<Option<StageEntry>> {
    let sql = "SELECT digest, entered_at, left_at, stood, how, identity, reason FROM stage_entries
               WHERE repository = $1 AND stage = $2 AND left_at IS NULL";
    if let Some(entry) = tx.row(sql, values![repository, stage], entry)? {
        return Ok(Some(entry));
    }
    before_entries(tx, repository, stage)
}

/// The stay of a manifest in a stage.
pub(super) fn stay(
    tx: &mut Tx<'_>,
    repository: &RepositoryName,
    stage: &Tag,
    digest: &Digest,
) -> Done<Option<StageEntry>> {
    let sql = "SELECT digest, entered_at, left_at, stood, how, identity, reason FROM stage_entries
               WHERE repository = $1 AND stage = $2 AND digest = $3";
    if let Some(entry) = tx.row(sql, values![repository, stage, &keys::encode(digest)], entry)? {
        return Ok(Some(entry));
    }
    Ok(before_entries(tx, repository, stage)?.filter(|entry| entry.digest == *digest))
}

/// Where a tag points that was there before it became a stage.
fn before_entries(tx: &mut Tx<'_>, repository: &RepositoryName, stage: &Tag) -> Done<Option<StageEntry>> {
    let sql = "SELECT d.digest, t.updated_at FROM repositories r JOIN tags t ON t.repository_id = r.id AND t.name = $1
               JOIN digests d ON d.id = t.digest_id WHERE r.name = $2";
    tx.row(sql, values![stage, repository], |row| {
        let (digest, entered) = (row.digest(0)?, row.time(1)?);
        let (how, by) = ("push".to_owned(), String::new());
        Ok(StageEntry { digest, entered, left: None, stood: 0, how, by, reason: None })
    })
}

fn entry(row: &Row<'_>) -> Done<StageEntry> {
    let (digest, entered, left) = (row.digest(0)?, row.time(1)?, row.opt_time(2)?);
    let (how, by, reason) = (row.text(4)?, row.text(5)?, row.opt_text(6)?);
    Ok(StageEntry { digest, entered, left, stood: row.size(3)?, how, by, reason })
}
