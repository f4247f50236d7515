//! Rules as rows: their texts, by repository or pattern. What they mean is not known here; [`door`](crate::door) asks who knows.

use larder_oci::{RepositoryName, RepositoryPattern};
use serde_json::json;

use crate::engine::{Done, Kind, Row, Tx, values};
use crate::model::rules::RulesRow;
use crate::model::{Page, Stamp};
use crate::outbox;
use crate::page::page;
use crate::{Catalog, Result};

/// Rules with wildcards that there may be: each is compared with a repository's name.
pub const WILDCARD_RULES: usize = 1_000;

impl Catalog {
    /// Sets the rules of a repository or a pattern. Answers `false` when there are too many patterns.
    pub async fn set_rules(&self, pattern: &RepositoryPattern, text: &str, stamp: Stamp) -> Result<bool> {
        let (pattern, text) = (pattern.clone(), text.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let wildcard = !pattern.is_literal();
            let known = tx.any("SELECT 1 FROM rules WHERE pattern = $1", values![&pattern])?;
            if wildcard && !known && with_wildcards(tx)?.len() >= WILDCARD_RULES {
                return Ok(false);
            }
            let sql = "INSERT INTO rules (pattern, wildcard, text, set_at, set_by) VALUES ($1, $2, $3, $4, $5)
                       ON CONFLICT (pattern) DO UPDATE SET text = excluded.text, set_at = excluded.set_at, set_by = excluded.set_by";
            tx.execute(sql, values![&pattern, wildcard, &text, stamp.at, &stamp.identity])?;
            note(tx, outbox::RULES_SET, &pattern, &stamp)?;
            Ok(true)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// Removes the rules of a repository or a pattern. Answers `false` when there are none.
    pub async fn remove_rules(&self, pattern: &RepositoryPattern, stamp: Stamp) -> Result<bool> {
        let pattern = pattern.clone();
        let work = move |tx: &mut Tx<'_>| {
            let found = tx.execute("DELETE FROM rules WHERE pattern = $1", values![&pattern])? > 0;
            if found {
                note(tx, outbox::RULES_REMOVED, &pattern, &stamp)?;
            }
            Ok(found)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Rules after `after`, in the order of their patterns' bytes.
    pub async fn rules(&self, after: Option<&str>, limit: usize) -> Result<Page<RulesRow>> {
        let after = after.unwrap_or_default().to_owned();
        let sql = "SELECT pattern, text, set_at, set_by FROM rules WHERE pattern > $1 ORDER BY pattern LIMIT $2";
        let work = move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![&after, limit + 1], row)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// All rules whose pattern matches the repository.
    pub async fn rules_for(&self, repository: &RepositoryName) -> Result<Vec<RulesRow>> {
        let name = repository.clone();
        let work = move |tx: &mut Tx<'_>| {
            let mut found = with_wildcards(tx)?;
            found.retain(|row| row.pattern.matches(&name));
            let sql = "SELECT pattern, text, set_at, set_by FROM rules WHERE pattern = $1";
            found.extend(tx.row(sql, values![&name], row)?);
            Ok(found)
        };
        self.engine().read(Kind::Snapshot, work).await
    }
}

fn with_wildcards(tx: &mut Tx<'_>) -> Done<Vec<RulesRow>> {
    let sql = "SELECT pattern, text, set_at, set_by FROM rules WHERE wildcard = 1 ORDER BY pattern LIMIT $1";
    tx.rows(sql, values![WILDCARD_RULES], row)
}

fn note(tx: &mut Tx<'_>, kind: &'static str, pattern: &RepositoryPattern, stamp: &Stamp) -> Done<()> {
    let repository = pattern.as_str().parse().ok().filter(|_| pattern.is_literal());
    outbox::record(tx, kind, repository.as_ref(), &json!({ "name": pattern.as_str() }), stamp)
}

fn row(row: &Row<'_>) -> Done<RulesRow> {
    let (pattern, text) = (row.parsed(0, "pattern")?, row.text(1)?);
    Ok(RulesRow { pattern, text, set: row.time(2)?, set_by: row.text(3)? })
}
