//! Repositories: made with their first content, listed until they are removed.

use jiff::Timestamp;
use larder_oci::RepositoryName;
use serde_json::json;

use crate::access;
use crate::engine::{Done, Kind, Tx, unreadable, values};
use crate::lookup::{self, Hold};
use crate::manifests;
use crate::model::access::{RepositoryChange, RepositoryFacts};
use crate::model::{Page, RepositoryFilter, RepositorySummary, Stamp};
use crate::outbox;
use crate::page::page;
use crate::policies;
use crate::promotion;
use crate::quotas::Quotas;
use crate::tags::Place;
use crate::trash;
use crate::visibility::names;
use crate::{Catalog, Result};

impl Catalog {
    /// Makes an empty repository. Answers `false` when it is there already.
    pub async fn create_repository(&self, repository: &RepositoryName, stamp: Stamp) -> Result<bool> {
        let name = repository.clone();
        let work = move |tx: &mut Tx<'_>| {
            let (id, made) = lookup::ensure_repository(tx, &name, &stamp)?;
            if made {
                access::repository_made(tx, id, &name, &stamp)?;
            }
            Ok(made)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// Changes who may see a repository, or what is said about it. Answers `false` when there is none.
    pub async fn set_repository(
        &self,
        repository: &RepositoryName,
        change: RepositoryChange,
        stamp: Stamp,
    ) -> Result<bool> {
        let name = repository.clone();
        let work = move |tx: &mut Tx<'_>| {
            let sql = "UPDATE repositories SET public = COALESCE($1, public), description = COALESCE($2, description) WHERE name = $3";
            let found = tx.execute(sql, values![change.public, change.description.as_deref(), &name])? > 0;
            if found {
                let payload = json!({ "public": change.public, "described": change.description.is_some() });
                access::changed(tx, outbox::REPOSITORY_CHANGED, Some(&name), &payload, &stamp)?;
            }
            Ok(found)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// What decisions need to know of a repository: one look into an index.
    pub async fn repository_facts(&self, repository: &RepositoryName) -> Result<Option<RepositoryFacts>> {
        let name = repository.clone();
        let sql = "SELECT public, description, created_at, created_by FROM repositories WHERE name = $1";
        let work = move |tx: &mut Tx<'_>| {
            tx.row(sql, values![&name], |row| {
                let (public, description) = (row.flag(0)?, row.text(1)?);
                Ok(RepositoryFacts { public, description, created: row.time(2)?, created_by: row.opt_text(3)? })
            })
        };
        self.engine().read(Kind::Read, work).await
    }

    /// Removes a repository with everything in it, which lies in the trash until `trash_until`. The history of its tags stays until it is pruned; blobs
    /// that were its members are looked at by the sweep from `lease_until` on. Answers `false` when there is none.
    pub async fn remove_repository(
        &self,
        repository: &RepositoryName,
        stamp: Stamp,
        lease_until: Timestamp,
        trash_until: Option<Timestamp>,
    ) -> Result<bool> {
        let name = repository.clone();
        self.engine().write(Kind::Shrink, move |tx| remove(tx, &name, &stamp, lease_until, trash_until)).await
    }

    /// Whether it is there.
    pub async fn repository_exists(&self, repository: &RepositoryName) -> Result<bool> {
        let name = repository.clone();
        self.engine().read(Kind::Read, move |tx| Ok(lookup::repository(tx, &name, Hold::Look)?.is_some())).await
    }

    /// Names after `after`, in the order of their bytes.
    pub async fn repositories(
        &self,
        filter: &RepositoryFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<RepositoryName>> {
        let (filter, after) = (filter.clone(), after.map(str::to_owned));
        let work = move |tx: &mut Tx<'_>| {
            let names = names(tx, &filter, after.as_deref(), limit)?;
            let parse = |name: String| name.parse().map_err(|_| unreadable("repository name", name));
            Ok(page(names.into_iter().map(parse).collect::<Done<Vec<_>>>()?, limit))
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// What a repository holds. Counts its rows: for pages and people, not for a hot path.
    pub async fn repository_summary(&self, repository: &RepositoryName) -> Result<Option<RepositorySummary>> {
        let name = repository.clone();
        self.engine().read(Kind::Snapshot, move |tx| summary(tx, &name)).await
    }

    /// The same for a page of repositories.
    pub async fn repository_summaries(
        &self,
        filter: &RepositoryFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<RepositorySummary>> {
        let names = self.repositories(filter, after, limit).await?;
        let mut items = Vec::with_capacity(names.items.len());
        for name in &names.items {
            items.extend(self.repository_summary(name).await?);
        }
        Ok(Page { items, more: names.more })
    }
}

fn summary(tx: &mut Tx<'_>, name: &RepositoryName) -> Done<Option<RepositorySummary>> {
    let sql = "SELECT id, created_at, public, description FROM repositories WHERE name = $1";
    let facts = tx.row(sql, values![name], |row| Ok((row.int(0)?, row.time(1)?, row.flag(2)?, row.text(3)?)))?;
    let Some((id, created, public, description)) = facts else { return Ok(None) };
    let sql = "SELECT (SELECT COUNT(*) FROM tags WHERE repository_id = $1),
                 (SELECT COUNT(*) FROM manifests WHERE repository_id = $1),
                 (SELECT COUNT(*) FROM manifests WHERE repository_id = $1 AND incomplete = 1),
                 (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM manifests WHERE repository_id = $1),
                 (SELECT CAST(COALESCE(SUM(b.size), 0) AS BIGINT) FROM memberships m
                  JOIN blobs b ON b.digest_id = m.digest_id AND b.state = 0 WHERE m.repository_id = $1)";
    tx.row(sql, values![id], |row| {
        let (tags, manifests, incomplete) = (row.size(0)?, row.size(1)?, row.size(2)?);
        let size = row.size(3)?.saturating_add(row.size(4)?);
        let (name, description) = (name.clone(), description.clone());
        Ok(RepositorySummary { name, created, tags, manifests, incomplete, size, public, description })
    })
}

/// Set by set, so that its memory does not grow with the repository (**Invariant 9**).
fn remove(
    tx: &mut Tx<'_>,
    name: &RepositoryName,
    stamp: &Stamp,
    lease_until: Timestamp,
    trash_until: Option<Timestamp>,
) -> Done<bool> {
    let quotas = Quotas::over(tx, name)?;
    access::repository_going(tx)?;
    let Some(id) = lookup::repository(tx, name, Hold::Own)? else { return Ok(false) };
    quotas.leave(tx, id)?;
    if let Tx::Postgres(session) = tx {
        // Bytes of manifests go with their last row: nobody may add one meanwhile.
        let sql = "SELECT COUNT(*) FROM (SELECT d.id FROM manifests m JOIN digests d ON d.id = m.digest_id
                   WHERE m.repository_id = $1 ORDER BY d.digest FOR UPDATE OF d) AS held";
        session.query(sql, values![id])?;
    }
    if let Some(until) = trash_until {
        trash::keep_repository(tx, Place { id, name }, until, stamp)?;
    }
    let sql = "INSERT INTO tag_events (repository, name, from_digest, how, identity, at, request_id)
               SELECT CAST($1 AS TEXT), t.name, d.digest, 'delete', CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT)
               FROM tags t JOIN digests d ON d.id = t.digest_id WHERE t.repository_id = $5";
    tx.execute(sql, values![name, &stamp.identity, stamp.at, stamp.request_id.as_deref(), id])?;
    tx.execute("DELETE FROM tags WHERE repository_id = $1", values![id])?;
    let sql = "DELETE FROM referrers WHERE repository_id = $1 AND subject_id IN
               (SELECT subject_id FROM manifests WHERE repository_id = $1 AND subject_id IS NOT NULL)";
    tx.execute(sql, values![id])?;
    tx.execute(
        "DELETE FROM edges WHERE manifest_id IN (SELECT id FROM manifests WHERE repository_id = $1)",
        values![id],
    )?;
    remove_manifests(tx, id)?;
    let sql = "INSERT INTO sweep_queue (digest_id, repository_id, review_after)
               SELECT digest_id, repository_id, CAST($1 AS BIGINT) FROM memberships WHERE repository_id = $2
               ON CONFLICT (digest_id, repository_id) DO UPDATE SET review_after = excluded.review_after";
    tx.execute(sql, values![lease_until, id])?;
    tx.execute("DELETE FROM memberships WHERE repository_id = $1", values![id])?;
    tx.execute("DELETE FROM leases WHERE repository_id = $1", values![id])?;
    outbox::record(tx, outbox::REPOSITORY_DELETED, Some(name), &json!({}), stamp)?;
    policies::repository_removed(tx, id, name)?;
    promotion::repository_removed(tx, name)?;
    access::repository_removed(tx, id, name, stamp)?;
    tx.execute("DELETE FROM repositories WHERE id = $1", values![id])?;
    Ok(true)
}

/// The manifests' rows, and the bytes that no other repository's rows need.
fn remove_manifests(tx: &mut Tx<'_>, repository: i64) -> Done<()> {
    loop {
        let sql = "DELETE FROM manifests WHERE id IN (SELECT id FROM manifests WHERE repository_id = $1 LIMIT 1000) RETURNING digest_id";
        let digests = tx.rows(sql, values![repository], |row| row.int(0))?;
        if digests.is_empty() {
            return Ok(());
        }
        for digest in digests {
            manifests::drop_bytes(tx, digest)?;
        }
    }
}
