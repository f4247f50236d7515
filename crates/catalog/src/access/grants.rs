//! Grants: who may, or may not, do what where.

use larder_oci::RepositoryPattern;
use serde_json::{Value as Json, json};

use super::{changed, patterns};
use crate::engine::{Done, Fault, Kind, Row, Tx, unreadable, values};
use crate::model::access::{Effect, Grant, GrantFilter, NewGrant, Subject};
use crate::model::{Page, Stamp};
use crate::page::page;
use crate::{Catalog, Result};

/// How many grants of one subject count.
const GRANTS: usize = 10_000;

impl Catalog {
    /// Makes a grant; answers its id.
    pub async fn add_grant(&self, grant: NewGrant, stamp: Stamp) -> Result<i64> {
        let work = move |tx: &mut Tx<'_>| {
            let id = insert(tx, &grant, false, &stamp)?;
            changed(tx, "grant.added", None, &payload(id, &grant), &stamp)?;
            Ok(id)
        };
        self.change(Kind::Grow, work).await
    }

    /// The grant of this id.
    pub async fn grant(&self, id: i64) -> Result<Option<Grant>> {
        let sql = "SELECT id, subject, actions, pattern, effect, creator, created_at, created_by, note FROM grants WHERE id = $1";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![id], read)).await
    }

    /// Removes a grant. Answers `false` when there is none of this id.
    pub async fn remove_grant(&self, id: i64, stamp: Stamp) -> Result<bool> {
        self.change(Kind::Shrink, move |tx| remove(tx, id, &stamp)).await
    }

    /// Grants after this id, in order.
    pub async fn grants(&self, filter: &GrantFilter, after: Option<i64>, limit: usize) -> Result<Page<Grant>> {
        let (filter, after) = (filter.clone(), after.unwrap_or(0));
        let work = move |tx: &mut Tx<'_>| Ok(page(list(tx, &filter, after, limit + 1)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// The grants about any of these subjects: of each at most the oldest ten thousand.
    pub async fn grants_for(&self, subjects: &[Subject]) -> Result<Vec<Grant>> {
        let subjects = subjects.to_vec();
        let work = move |tx: &mut Tx<'_>| {
            let mut grants = Vec::new();
            for subject in &subjects {
                let filter = GrantFilter { subject: Some(subject.clone()), pattern: None };
                grants.extend(list(tx, &filter, 0, GRANTS)?);
            }
            Ok(grants)
        };
        self.engine().read(Kind::Snapshot, work).await
    }
}

/// Writes the row of a grant and the rows of its pattern. The caller says that something changed.
pub(super) fn insert(tx: &mut Tx<'_>, grant: &NewGrant, creator: bool, stamp: &Stamp) -> Done<i64> {
    let sql = "INSERT INTO grants (subject, actions, pattern, effect, creator, created_at, created_by, note)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
    let (subject, actions, effect) =
        (grant.subject.to_string(), grant.actions.to_string(), effect_number(grant.effect));
    let row = values![&subject, &actions, &grant.pattern, effect, creator, stamp.at, &stamp.identity, &grant.note];
    let id = tx.row(sql, row, |row| row.int(0))?.ok_or(Fault::Conflict("the grant came and went"))?;
    patterns::set_uses(tx, &owner(id), [&grant.pattern])?;
    Ok(id)
}

/// What events and the audit say about a grant.
pub(super) fn payload(id: i64, grant: &NewGrant) -> Json {
    describe(id, &grant.subject, grant.actions.to_string(), &grant.pattern, grant.effect)
}

fn describe(id: i64, subject: &Subject, actions: String, pattern: &RepositoryPattern, effect: Effect) -> Json {
    json!({ "id": id, "name": subject.to_string(), "actions": actions, "pattern": pattern, "effect": effect })
}

fn owner(id: i64) -> String {
    format!("grant:{id}")
}

fn remove(tx: &mut Tx<'_>, id: i64, stamp: &Stamp) -> Done<bool> {
    let sql = "DELETE FROM grants WHERE id = $1
               RETURNING id, subject, actions, pattern, effect, creator, created_at, created_by, note";
    let Some(grant) = tx.row(sql, values![id], read)? else { return Ok(false) };
    patterns::set_uses(tx, &owner(id), [])?;
    let payload = describe(id, &grant.subject, grant.actions.to_string(), &grant.pattern, grant.effect);
    changed(tx, "grant.removed", None, &payload, stamp)?;
    Ok(true)
}

/// Removes every grant about a subject that goes. The caller says that something changed.
pub(super) fn remove_all(tx: &mut Tx<'_>, subject: &Subject) -> Done<()> {
    let sql = "DELETE FROM grants WHERE subject = $1 RETURNING id";
    for id in tx.rows(sql, values![&subject.to_string()], |row| row.int(0))? {
        patterns::set_uses(tx, &owner(id), [])?;
    }
    Ok(())
}

fn list(tx: &mut Tx<'_>, filter: &GrantFilter, after: i64, limit: usize) -> Done<Vec<Grant>> {
    let subject = filter.subject.as_ref().map(Subject::to_string);
    match (&subject, &filter.pattern) {
        (None, None) => {
            let sql = "SELECT id, subject, actions, pattern, effect, creator, created_at, created_by, note FROM grants
                       WHERE id > $1 ORDER BY id LIMIT $2";
            tx.rows(sql, values![after, limit], read)
        }
        (Some(subject), None) => {
            let sql = "SELECT id, subject, actions, pattern, effect, creator, created_at, created_by, note FROM grants
                       WHERE subject = $1 AND id > $2 ORDER BY id LIMIT $3";
            tx.rows(sql, values![subject, after, limit], read)
        }
        (None, Some(pattern)) => {
            let sql = "SELECT id, subject, actions, pattern, effect, creator, created_at, created_by, note FROM grants
                       WHERE pattern = $1 AND id > $2 ORDER BY id LIMIT $3";
            tx.rows(sql, values![pattern, after, limit], read)
        }
        (Some(subject), Some(pattern)) => {
            let sql = "SELECT id, subject, actions, pattern, effect, creator, created_at, created_by, note FROM grants
                       WHERE subject = $1 AND pattern = $2 AND id > $3 ORDER BY id LIMIT $4";
            tx.rows(sql, values![subject, pattern, after, limit], read)
        }
    }
}

fn effect_number(effect: Effect) -> i64 {
    match effect {
        Effect::Allow => 0,
        Effect::Deny => 1,
    }
}

fn read(row: &Row<'_>) -> Done<Grant> {
    Ok(Grant {
        id: row.int(0)?,
        subject: row.parsed(1, "subject of a grant")?,
        actions: row.parsed(2, "set of actions")?,
        pattern: row.parsed(3, "repository pattern")?,
        effect: match row.int(4)? {
            0 => Effect::Allow,
            1 => Effect::Deny,
            number => return Err(unreadable("effect of a grant", number)),
        },
        creator: row.flag(5)?,
        created: row.time(6)?,
        created_by: row.text(7)?,
        note: row.text(8)?,
    })
}
