//! The audit: who did what, and was refused what. Rows are only ever added, counted up within their minute, and pruned by age and number.

use jiff::{SignedDuration, Timestamp};
use larder_oci::{RepositoryName, RepositoryPattern};
use serde_json::Value as Json;

use crate::engine::{Done, Kind, Row, Tx, unreadable, values};
use crate::model::Stamp;
use crate::model::access::{AuditEntry, AuditFilter, AuditPage, Outcome};
use crate::outbox::PRUNED;
use crate::{Catalog, Result};

/// Rows that are looked at in one step, and for one page.
const STEP: usize = 500;
const LOOKED_AT: usize = 20_000;
/// Ids and times run together, but for clocks of several processes: by so much they may part.
const SLACK: SignedDuration = SignedDuration::from_mins(5);

impl Catalog {
    /// Writes an entry.
    pub async fn record_audit(&self, entry: AuditEntry) -> Result<()> {
        self.engine().write(Kind::Grow, move |tx| insert(tx, &entry, None)).await
    }

    /// Writes an entry about a refusal, or counts it up in the row of the same minute that has the same `fold_key` (the identity, or the network of
    /// an anonymous one), action and repository.
    pub async fn audit_denied(&self, entry: AuditEntry, fold_key: &str) -> Result<()> {
        let minute = entry.at.as_second().div_euclid(60);
        let repository = entry.repository.as_ref().map_or("", RepositoryName::as_str);
        let fold = format!("{minute} {} {repository} {fold_key}", entry.action);
        let work = move |tx: &mut Tx<'_>| {
            let sql = "UPDATE audit SET count = count + $1 WHERE fold = $2";
            if tx.execute(sql, values![entry.count, &fold])? == 0 {
                insert(tx, &entry, Some(&fold))?;
            }
            Ok(())
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// Entries before this id, the newest first. A page looks at a bounded number of rows: it may hold fewer than were asked for and still go on.
    pub async fn audit(&self, filter: &AuditFilter, before: Option<i64>, limit: usize) -> Result<AuditPage> {
        let filter = filter.clone();
        self.engine().read(Kind::Snapshot, move |tx| list(tx, &filter, before, limit)).await
    }

    /// Removes entries from before this time, and the oldest beyond `max_rows`. Answers how many.
    pub async fn prune_audit(&self, before: Timestamp, max_rows: u64) -> Result<u64> {
        let work = move |tx: &mut Tx<'_>| {
            let newest = tx.row("SELECT MAX(id) FROM audit", values![], |row| row.opt_int(0))?.flatten().unwrap_or(0);
            let beyond = newest.saturating_sub(i64::try_from(max_rows).unwrap_or(i64::MAX));
            let sql = "DELETE FROM audit WHERE id IN (SELECT oldest.id FROM (SELECT id, at FROM audit ORDER BY id LIMIT $1) AS oldest
                       WHERE oldest.at < $2 OR oldest.id <= $3)";
            tx.execute(sql, values![PRUNED, before, beyond])
        };
        self.prune(work).await
    }
}

/// Notes a change that was made, in its own transaction (**Invariant 3**). Its payload holds no secret.
pub(crate) fn note(
    tx: &mut Tx<'_>,
    action: &str,
    repository: Option<&RepositoryName>,
    payload: &Json,
    stamp: &Stamp,
) -> Done<()> {
    let object = ["tag", "digest", "name", "user", "id"].iter().find_map(|key| payload.get(key));
    let object = object.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let is_empty = payload.as_object().is_some_and(serde_json::Map::is_empty);
    let detail = (!is_empty).then(|| payload.to_string());
    let entry = AuditEntry::new(stamp, action, Outcome::Allowed);
    insert(tx, &AuditEntry { repository: repository.cloned(), object, detail, ..entry }, None)
}

fn insert(tx: &mut Tx<'_>, entry: &AuditEntry, fold: Option<&str>) -> Done<()> {
    let sql = "INSERT INTO audit (at, identity, credential, address, action, repository, object, outcome, request_id, count, detail, fold)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
               ON CONFLICT (fold) WHERE fold IS NOT NULL DO UPDATE SET count = audit.count + excluded.count";
    let outcome = match entry.outcome {
        Outcome::Allowed => 0_i64,
        Outcome::Denied => 1,
        Outcome::Failed => 2,
    };
    let row = values![
        entry.at,
        &entry.identity,
        entry.credential.as_deref(),
        entry.address.as_deref(),
        &entry.action,
        entry.repository.as_ref(),
        entry.object.as_deref(),
        outcome,
        entry.request_id.as_deref(),
        entry.count,
        entry.detail.as_deref(),
        fold
    ];
    tx.execute(sql, row)?;
    Ok(())
}

fn list(tx: &mut Tx<'_>, filter: &AuditFilter, before: Option<i64>, limit: usize) -> Done<AuditPage> {
    let newest = tx.row("SELECT MAX(id) FROM audit", values![], |row| row.opt_int(0))?.flatten().unwrap_or(0);
    let mut before = before.unwrap_or(i64::MAX).min(newest.saturating_add(1));
    if let Some(until) = filter.until {
        before = before.min(first_since(tx, until.saturating_add(SLACK).unwrap_or(Timestamp::MAX), newest)?);
    }
    let end = match filter.since {
        Some(since) => first_since(tx, since.saturating_sub(SLACK).unwrap_or(Timestamp::MIN), newest)?,
        None => 0,
    };
    let mut items = Vec::new();
    for _ in 0..LOOKED_AT / STEP {
        let rows = step(tx, filter, before, end)?;
        let is_last = rows.len() < STEP;
        for entry in rows {
            if items.len() == limit {
                return Ok(AuditPage { items, next: Some(before) });
            }
            before = entry.id;
            if fits(filter, &entry) {
                items.push(entry);
            }
        }
        if is_last {
            return Ok(AuditPage { items, next: None });
        }
    }
    Ok(AuditPage { items, next: Some(before) })
}

/// The first id whose time is not before this one, as far as times follow ids: found by halving.
fn first_since(tx: &mut Tx<'_>, since: Timestamp, newest: i64) -> Done<i64> {
    let (mut low, mut high) = (0, newest.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let sql = "SELECT id, at FROM audit WHERE id >= $1 ORDER BY id LIMIT 1";
        match tx.row(sql, values![middle], |row| Ok((row.int(0)?, row.time(1)?)))? {
            Some((id, at)) if at < since => low = id + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

/// The next rows before an id, from the index that leaves out most.
fn step(tx: &mut Tx<'_>, filter: &AuditFilter, before: i64, end: i64) -> Done<Vec<AuditEntry>> {
    let literal = filter.repository.as_ref().filter(|pattern| pattern.is_literal());
    match (literal, &filter.identity) {
        (Some(repository), _) => {
            let sql = "SELECT id, at, identity, credential, address, action, repository, object, outcome, request_id, count, detail
                       FROM audit WHERE repository = $1 AND id < $2 AND id >= $3 ORDER BY id DESC LIMIT $4";
            tx.rows(sql, values![repository, before, end, STEP], read)
        }
        (None, Some(identity)) => {
            let sql = "SELECT id, at, identity, credential, address, action, repository, object, outcome, request_id, count, detail
                       FROM audit WHERE identity = $1 AND id < $2 AND id >= $3 ORDER BY id DESC LIMIT $4";
            tx.rows(sql, values![identity, before, end, STEP], read)
        }
        (None, None) => {
            let sql = "SELECT id, at, identity, credential, address, action, repository, object, outcome, request_id, count, detail
                       FROM audit WHERE id < $1 AND id >= $2 ORDER BY id DESC LIMIT $3";
            tx.rows(sql, values![before, end, STEP], read)
        }
    }
}

fn fits(filter: &AuditFilter, entry: &AuditEntry) -> bool {
    let is_under = |action: &String| {
        entry.action.strip_prefix(action.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let matches = |pattern: &RepositoryPattern| entry.repository.as_ref().is_some_and(|name| pattern.matches(name));
    filter.since.is_none_or(|since| entry.at >= since)
        && filter.until.is_none_or(|until| entry.at < until)
        && filter.identity.as_ref().is_none_or(|identity| *identity == entry.identity)
        && filter.outcome.is_none_or(|outcome| outcome == entry.outcome)
        && filter.action.as_ref().is_none_or(is_under)
        && filter.repository.as_ref().is_none_or(matches)
}

fn read(row: &Row<'_>) -> Done<AuditEntry> {
    Ok(AuditEntry {
        id: row.int(0)?,
        at: row.time(1)?,
        identity: row.text(2)?,
        credential: row.opt_text(3)?,
        address: row.opt_text(4)?,
        action: row.text(5)?,
        repository: row.opt_text(6)?.map(|_| row.repository(6)).transpose()?,
        object: row.opt_text(7)?,
        outcome: match row.int(8)? {
            0 => Outcome::Allowed,
            1 => Outcome::Denied,
            2 => Outcome::Failed,
            number => return Err(unreadable("outcome", number)),
        },
        request_id: row.opt_text(9)?,
        count: row.size(10)?,
        detail: row.opt_text(11)?,
    })
}
