//! Making, changing and removing quotas, and counting what is there when one is made.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use larder_oci::{RepositoryName, RepositoryPattern};
use serde_json::json;

use super::{Change, MOST, Quotas, shard, unsigned, used};
use crate::access::{changed, take_turn_of_changes};
use crate::engine::{Done, Fault, Kind, Row, Tx, values};
use crate::model::{NewQuota, Page, Quota, Stamp};
use crate::page::page;
use crate::visibility::span;
use crate::{Catalog, Result};

/// Repositories whose holdings are summed up at a time.
const SUMMED: usize = 1_000;
/// How long another process's change may stay unnoticed by who only asks whether there are quotas.
const KNOWN: Duration = Duration::from_millis(500);

/// The patterns of all quotas, as they were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Option<(u64, Instant, Vec<RepositoryPattern>)>>);

impl Catalog {
    /// Sets the quota of a pattern, or changes it; what is there already counts. Answers `None` where there are too many quotas.
    pub async fn set_quota(&self, quota: NewQuota, stamp: Stamp) -> Result<Option<Quota>> {
        self.engine().write(Kind::Grow, move |tx| set(tx, &quota, &stamp)).await
    }

    /// Removes a quota. Answers `false` when there is none of this id.
    pub async fn remove_quota(&self, id: i64, stamp: Stamp) -> Result<bool> {
        let work = move |tx: &mut Tx<'_>| {
            hold_all(tx)?;
            tx.execute("DELETE FROM quota_use WHERE quota_id = $1", values![id])?;
            let sql = "DELETE FROM quotas WHERE id = $1 RETURNING pattern";
            let Some(pattern) = tx.row(sql, values![id], |row| row.text(0))? else { return Ok(false) };
            changed(tx, "quota.removed", None, &json!({ "id": id, "pattern": pattern }), &stamp)?;
            Ok(true)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// The quota of this id.
    pub async fn quota(&self, id: i64) -> Result<Option<Quota>> {
        let sql = "SELECT id, pattern, bytes, manifests, changed_at, changed_by FROM quotas WHERE id = $1";
        let work = move |tx: &mut Tx<'_>| {
            let quota = tx.row(sql, values![id], read)?;
            quota.map(|quota| with_use(tx, quota)).transpose()
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Quotas after this id, in order, with what is used of them.
    pub async fn quotas(&self, after: Option<i64>, limit: usize) -> Result<Page<Quota>> {
        let after = after.unwrap_or(0);
        let sql = "SELECT id, pattern, bytes, manifests, changed_at, changed_by FROM quotas WHERE id > $1 ORDER BY id LIMIT $2";
        let work = move |tx: &mut Tx<'_>| {
            let rows = tx.rows(sql, values![after, limit + 1], read)?;
            let quotas: Done<Vec<Quota>> = rows.into_iter().map(|quota| with_use(tx, quota)).collect();
            Ok(page(quotas?, limit))
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Whether there is a quota over this repository: mostly from memory, at most half a second old.
    pub async fn is_under_quota(&self, repository: &RepositoryName) -> Result<bool> {
        let changes = self.access_version_hint();
        let over = |patterns: &[RepositoryPattern]| patterns.iter().any(|pattern| pattern.matches(repository));
        {
            let known = self.known_quotas().0.lock().expect("no panic happens under this lock");
            if let Some((at, since, patterns)) = known.as_ref()
                && *at == changes
                && since.elapsed() < KNOWN
            {
                return Ok(over(patterns));
            }
        }
        let sql = "SELECT pattern FROM quotas ORDER BY id LIMIT $1";
        let work = move |tx: &mut Tx<'_>| tx.rows(sql, values![MOST], |row| row.parsed(0, "repository pattern"));
        let patterns: Vec<RepositoryPattern> = self.engine().read(Kind::Read, work).await?;
        let answer = over(&patterns);
        *self.known_quotas().0.lock().expect("no panic happens under this lock") =
            Some((changes, Instant::now(), patterns));
        Ok(answer)
    }
}

fn set(tx: &mut Tx<'_>, new: &NewQuota, stamp: &Stamp) -> Done<Option<Quota>> {
    hold_all(tx)?;
    let sql = "UPDATE quotas SET bytes = $1, manifests = $2, changed_at = $3, changed_by = $4 WHERE pattern = $5 RETURNING id";
    let row = values![new.bytes, new.manifests, stamp.at, &stamp.identity, &new.pattern];
    let id = match tx.row(sql, row, |row| row.int(0))? {
        Some(id) => id,
        None if Quotas::all(tx)?.0.len() >= MOST => return Ok(None),
        None => {
            let sql = "INSERT INTO quotas (pattern, bytes, manifests, changed_at, changed_by) VALUES ($1, $2, $3, $4, $5) RETURNING id";
            let row = values![&new.pattern, new.bytes, new.manifests, stamp.at, &stamp.identity];
            let id = tx.row(sql, row, |row| row.int(0))?.ok_or(Fault::Conflict("the quota came and went"))?;
            let there = holdings(tx, &new.pattern)?;
            let sql = "INSERT INTO quota_use (quota_id, shard, bytes, reserved, manifests) VALUES ($1, $2, $3, $4, $5)";
            tx.execute(sql, values![id, shard(), there.bytes, there.reserved, there.manifests])?;
            id
        }
    };
    let payload = json!({ "id": id, "pattern": new.pattern, "bytes": new.bytes, "manifests": new.manifests });
    changed(tx, "quota.set", None, &payload, stamp)?;
    let sql = "SELECT id, pattern, bytes, manifests, changed_at, changed_by FROM quotas WHERE id = $1";
    let quota = tx.row(sql, values![id], read)?.ok_or(Fault::Conflict("the quota came and went"))?;
    with_use(tx, quota).map(Some)
}

/// Waits until no unit is under way that has read which quotas there are; only then for the turn of changes, which such units wait for.
fn hold_all(tx: &mut Tx<'_>) -> Done<()> {
    let Tx::Postgres(session) = tx else { return Ok(()) };
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended('larder quotas ' || current_schema(), 0))";
    session.query(sql, &[])?;
    take_turn_of_changes(tx)
}

/// What the repositories of a pattern hold and what uploads have reserved in them.
fn holdings(tx: &mut Tx<'_>, pattern: &RepositoryPattern) -> Done<Change> {
    let mut total = Change::default();
    let (mut start, end) = span(pattern);
    loop {
        let sql = "SELECT id, name FROM repositories WHERE name >= $1 AND name < $2 ORDER BY name LIMIT $3";
        let found = tx.rows(sql, values![&start, &end, SUMMED], |row| Ok((row.int(0)?, row.repository(1)?)))?;
        for (id, _) in found.iter().filter(|(_, name)| pattern.matches(name)) {
            let held = of_repository(tx, *id)?;
            (total.bytes, total.manifests) = (total.bytes + held.bytes, total.manifests + held.manifests);
        }
        match found.last() {
            // No name has a `!`, and it precedes every character of one.
            Some((_, name)) if found.len() == SUMMED => start = format!("{name}!"),
            _ => break,
        }
    }
    let sql = "SELECT repository, reserved FROM uploads WHERE reserved > 0";
    for (name, reserved) in tx.rows(sql, values![], |row| Ok((row.repository(0)?, row.int(1)?)))? {
        total.reserved += if pattern.matches(&name) { reserved } else { 0 };
    }
    Ok(total)
}

/// What counts of a repository.
fn of_repository(tx: &mut Tx<'_>, repository: i64) -> Done<Change> {
    let sql = "SELECT (SELECT CAST(COALESCE(SUM((SELECT MAX(b.size) FROM blobs b WHERE b.digest_id = m.digest_id)), 0) AS BIGINT)
                       FROM memberships m WHERE m.repository_id = $1 AND m.counted = 1),
                 (SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM manifests WHERE repository_id = $1),
                 (SELECT COUNT(*) FROM manifests WHERE repository_id = $1)";
    let held = tx.row(sql, values![repository], |row| {
        let bytes = row.int(0)?.saturating_add(row.int(1)?);
        Ok(Change { bytes, reserved: 0, manifests: row.int(2)? })
    })?;
    Ok(held.unwrap_or_default())
}

fn read(row: &Row<'_>) -> Done<Quota> {
    Ok(Quota {
        id: row.int(0)?,
        pattern: row.parsed(1, "repository pattern")?,
        bytes: row.opt_int(2)?.map(unsigned),
        manifests: row.opt_int(3)?.map(unsigned),
        used_bytes: 0,
        reserved_bytes: 0,
        used_manifests: 0,
        changed: row.time(4)?,
        changed_by: row.text(5)?,
    })
}

fn with_use(tx: &mut Tx<'_>, quota: Quota) -> Done<Quota> {
    let used = used(tx, quota.id)?;
    let (used_bytes, reserved_bytes, used_manifests) = (used.bytes, used.reserved, used.manifests);
    Ok(Quota { used_bytes, reserved_bytes, used_manifests, ..quota })
}

impl Quotas {
    /// A repository goes with all it holds.
    pub fn leave(&self, tx: &mut Tx<'_>, repository: i64) -> Done<()> {
        if self.is_empty() {
            return Ok(());
        }
        let held = of_repository(tx, repository)?;
        self.add(tx, Change { bytes: -held.bytes, reserved: 0, manifests: -held.manifests })
    }
}
