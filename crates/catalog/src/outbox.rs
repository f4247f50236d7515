//! What happened, and what is to be done about it: events and jobs, written by the transaction that caused them (**Invariant 3**).

use jiff::Timestamp;
use larder_oci::RepositoryName;
use serde_json::Value as Json;

use crate::access;
use crate::engine::{Done, Kind, Row, Tx, values};
use crate::model::webhooks::SampledPull;
use crate::model::{Event, Job, NewJob, Origin, Page, Stamp};
use crate::page::page;
use crate::{Catalog, Result};

pub(crate) const MANIFEST_PUSHED: &str = "manifest.pushed";
pub(crate) const MANIFEST_PULLED: &str = "manifest.pulled";
pub(crate) const MANIFEST_DELETED: &str = "manifest.deleted";
pub(crate) const MANIFEST_QUARANTINED: &str = "manifest.quarantined";
pub(crate) const MANIFEST_UNDELETED: &str = "manifest.undeleted";
pub(crate) const TRASH_PURGED: &str = "trash.purged";
pub(crate) const TAG_MOVED: &str = "tag.moved";
pub(crate) const TAG_DELETED: &str = "tag.deleted";
pub(crate) const BLOB_DELETED: &str = "blob.deleted";
pub(crate) const BLOB_QUARANTINED: &str = "blob.quarantined";
pub(crate) const STAGES_SET: &str = "stages.set";
pub(crate) const STAGES_REMOVED: &str = "stages.removed";
pub(crate) const APPROVED: &str = "promotion.approved";
pub(crate) const APPROVAL_WITHDRAWN: &str = "promotion.approval-withdrawn";
pub(crate) const POLICY_SET: &str = "policy.set";
pub(crate) const POLICY_REMOVED: &str = "policy.removed";
pub(crate) const POLICY_APPLIED: &str = "policy.applied";
pub(crate) const POLICY_PAUSED: &str = "policy.paused";
pub(crate) const POLICY_RESUMED: &str = "policy.resumed";
pub(crate) const RULES_SET: &str = "rules.set";
pub(crate) const RULES_REMOVED: &str = "rules.removed";
pub(crate) const RULE_WARNED: &str = "rules.warned";
pub(crate) const REPOSITORY_CREATED: &str = "repository.created";
pub(crate) const REPOSITORY_CHANGED: &str = "repository.changed";
pub(crate) const REPOSITORY_DELETED: &str = "repository.deleted";

/// Rows that one unit of pruning removes.
pub(crate) const PRUNED: usize = 1_000;

/// Writes an event, and its row of the audit.
pub(crate) fn record(
    tx: &mut Tx<'_>,
    kind: &'static str,
    repository: Option<&RepositoryName>,
    payload: &Json,
    stamp: &Stamp,
) -> Done<()> {
    append(tx, kind, repository, &payload.to_string(), stamp)?;
    access::note(tx, kind, repository, payload, stamp)
}

/// Writes an event that is no change, and so nothing for the audit.
fn append(
    tx: &mut Tx<'_>,
    kind: &'static str,
    repository: Option<&RepositoryName>,
    payload: &str,
    stamp: &Stamp,
) -> Done<()> {
    // On PostgreSQL ids are given out before the commit. Who reads waits for those who hold this lock, and so never passes over one that comes late.
    let sql = match tx {
        Tx::Sqlite(_) => "INSERT INTO events (kind, repository, payload, identity, at, request_id) VALUES ($1, $2, $3, $4, $5, $6)",
        Tx::Postgres(_) => {
            "WITH numbered AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(hashtextextended('larder events ' || current_schema(), 0)))
             INSERT INTO events (kind, repository, payload, identity, at, request_id)
             SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS BIGINT), CAST($6 AS TEXT) FROM numbered"
        }
    };
    tx.execute(sql, values![kind, repository, payload, &stamp.identity, stamp.at, stamp.request_id.as_deref()])?;
    Ok(())
}

/// Queues a job.
pub(crate) fn enqueue(tx: &mut Tx<'_>, job: &NewJob) -> Done<()> {
    let sql = "INSERT INTO jobs (kind, payload, run_after, attempts) VALUES ($1, $2, $3, 0)";
    tx.execute(sql, values![&job.kind, &job.payload, job.run_after])?;
    Ok(())
}

impl Catalog {
    /// Queues follow-up work that no other change causes.
    pub async fn enqueue_job(&self, job: NewJob) -> Result<()> {
        self.engine().write(Kind::Grow, move |tx| enqueue(tx, &job)).await
    }

    /// Takes up to `limit` jobs of these kinds that may run at `now`, oldest first. Until `lease_until` nobody else gets them; who has neither
    /// finished nor put them off by then has died, and they run again.
    pub async fn claim_jobs(
        &self,
        kinds: &[&str],
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>> {
        let kinds: Vec<String> = kinds.iter().map(|&kind| kind.to_owned()).collect();
        let work = move |tx: &mut Tx<'_>| {
            let mut jobs = Vec::new();
            for kind in &kinds {
                jobs.extend(claim(tx, kind, now, lease_until, limit - jobs.len())?);
            }
            Ok(jobs)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// A job is done. Answers whether it was there and not done yet.
    pub async fn finish_job(&self, id: i64, at: Timestamp) -> Result<bool> {
        let sql = "UPDATE jobs SET done_at = $1, error = NULL WHERE id = $2 AND done_at IS NULL";
        self.engine().write(Kind::Shrink, move |tx| Ok(tx.execute(sql, values![at, id])? > 0)).await
    }

    /// A job failed and runs again, not before `run_after`.
    pub async fn retry_job(&self, id: i64, run_after: Timestamp, error: &str) -> Result<bool> {
        let error = error.to_owned();
        let sql = "UPDATE jobs SET run_after = $1, error = $2 WHERE id = $3 AND done_at IS NULL";
        self.engine().write(Kind::Shrink, move |tx| Ok(tx.execute(sql, values![run_after, &error, id])? > 0)).await
    }

    /// Events after this id, in the order of their commits: nothing appears later with an id that was passed.
    pub async fn events(&self, after: i64, limit: usize) -> Result<Page<Event>> {
        let work = move |tx: &mut Tx<'_>| {
            let newest = newest_event(tx)?;
            let sql = "SELECT id, kind, repository, payload, identity, at, request_id FROM events
                       WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3";
            Ok(page(tx.rows(sql, values![after, newest, limit + 1], event)?, limit))
        };
        self.engine().read(Kind::Read, work).await
    }

    /// Writes pulls down as events, in one transaction: a bounded sample of them.
    pub async fn record_pulls(&self, pulls: Vec<SampledPull>) -> Result<()> {
        let work = move |tx: &mut Tx<'_>| {
            pulls
                .iter()
                .try_for_each(|pull| append(tx, MANIFEST_PULLED, Some(&pull.repository), &pull.payload, &pull.stamp))
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// Removes events from before this time; answers how many.
    pub async fn prune_events(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM events WHERE id IN (SELECT oldest.id FROM (SELECT id, at FROM events ORDER BY id LIMIT $1) AS oldest
                   WHERE oldest.at < $2)";
        self.prune(move |tx| tx.execute(sql, values![PRUNED, before])).await
    }

    /// Removes jobs that were done before this time; answers how many.
    pub async fn prune_jobs(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM jobs WHERE id IN
                   (SELECT id FROM jobs WHERE done_at IS NOT NULL AND done_at < $1 ORDER BY done_at LIMIT $2)";
        self.prune(move |tx| tx.execute(sql, values![before, PRUNED])).await
    }

    /// Runs a unit that removes at most [`PRUNED`] rows until it removes fewer: pushes get in between.
    pub(crate) async fn prune<F>(&self, work: F) -> Result<u64>
    where
        F: FnMut(&mut Tx<'_>) -> Done<u64> + Clone + Send + 'static,
    {
        let mut total = 0;
        loop {
            let removed = self.engine().write(Kind::Shrink, work.clone()).await?;
            total += removed;
            if removed < PRUNED as u64 {
                return Ok(total);
            }
        }
    }
}

/// The newest event of which every predecessor is committed or never will be. On PostgreSQL that is the newest there is while no writer holds a number.
fn newest_event(tx: &mut Tx<'_>) -> Done<i64> {
    let Tx::Postgres(session) = tx else { return Ok(i64::MAX) };
    session.query("SELECT pg_advisory_lock(hashtextextended('larder events ' || current_schema(), 0))", &[])?;
    let newest = session.query("SELECT COALESCE(MAX(id), 0) FROM events", &[]);
    session.query("SELECT pg_advisory_unlock(hashtextextended('larder events ' || current_schema(), 0))", &[])?;
    match newest?.first() {
        Some(row) => Ok(row.try_get(0)?),
        None => Ok(0),
    }
}

fn claim(tx: &mut Tx<'_>, kind: &str, now: Timestamp, lease_until: Timestamp, limit: usize) -> Done<Vec<Job>> {
    let sql = match tx {
        Tx::Sqlite(_) => {
            "UPDATE jobs SET run_after = $1, attempts = attempts + 1 WHERE id IN
             (SELECT id FROM jobs WHERE kind = $2 AND done_at IS NULL AND run_after <= $3 ORDER BY run_after LIMIT $4)
             RETURNING id, kind, payload, attempts"
        }
        Tx::Postgres(_) => {
            "WITH ready AS MATERIALIZED
             (SELECT id FROM jobs WHERE kind = $2 AND done_at IS NULL AND run_after <= $3 ORDER BY run_after LIMIT $4 FOR UPDATE SKIP LOCKED)
             UPDATE jobs SET run_after = $1, attempts = attempts + 1 WHERE id IN (SELECT id FROM ready)
             RETURNING id, kind, payload, attempts"
        }
    };
    let mut jobs = tx.rows(sql, values![lease_until, kind, now, limit], |row| {
        let attempts = u32::try_from(row.int(3)?).unwrap_or(u32::MAX);
        Ok(Job { id: row.int(0)?, kind: row.text(1)?, payload: row.text(2)?, attempts })
    })?;
    jobs.sort_by_key(|job| job.id);
    Ok(jobs)
}

fn event(row: &Row<'_>) -> Done<Event> {
    let repository = row.opt_text(2)?.map(|_| row.repository(2)).transpose()?;
    let (identity, at, request_id) = (row.text(4)?, row.time(5)?, row.opt_text(6)?);
    let stamp = Stamp { identity, at, request_id, origin: Origin::default() };
    Ok(Event { id: row.int(0)?, kind: row.text(1)?, repository, payload: row.text(3)?, stamp })
}
