//! Stages as rows: their texts, what stands and stood in them, who approved what, and who pulls it.

mod approvals;
mod copies;
mod entries;
mod facts;
mod moves;
mod pulls;

use jiff::Timestamp;
use larder_oci::{RepositoryName, RepositoryPattern, Tag};
use serde_json::json;

use crate::engine::{Done, Kind, Row, Tx, unreadable, values};
use crate::model::promotion::StageSetRow;
use crate::model::{Page, Stamp};
use crate::outbox::{self, PRUNED};
use crate::page::page;
use crate::{Catalog, Result};

pub(crate) use self::entries::{is_stage, moved};

/// Stages with wildcards that there may be: each is compared with a repository's name.
pub const WILDCARD_STAGES: usize = 1_000;
/// Stages of a repository for which nothing was set.
pub const DEFAULT_STAGES: [&str; 3] = ["dev", "staging", "prod"];
const VERSION: &str = "stages_version";

impl Catalog {
    /// Sets the stages of a repository or a pattern; `tags` are those that are tags, `names` all of them. Answers `false` when there are too many patterns.
    pub async fn set_stages(
        &self,
        pattern: &RepositoryPattern,
        text: &str,
        (tags, names): (&[Tag], &[Tag]),
        stamp: Stamp,
    ) -> Result<bool> {
        let (pattern, text, names) = (pattern.clone(), text.to_owned(), names.to_vec());
        let tags = json!(tags.iter().map(Tag::as_str).collect::<Vec<_>>()).to_string();
        let work = move |tx: &mut Tx<'_>| {
            let wildcard = !pattern.is_literal();
            let known = tx.any("SELECT 1 FROM stage_sets WHERE pattern = $1", values![&pattern])?;
            if wildcard && !known && with_wildcards(tx)?.len() >= WILDCARD_STAGES {
                return Ok(false);
            }
            let sql =
                "INSERT INTO stage_sets (pattern, wildcard, text, tags, set_at, set_by) VALUES ($1, $2, $3, $4, $5, $6)
                       ON CONFLICT (pattern) DO UPDATE SET text = excluded.text, tags = excluded.tags,
                         set_at = excluded.set_at, set_by = excluded.set_by";
            tx.execute(sql, values![&pattern, wildcard, &text, &tags, stamp.at, &stamp.identity])?;
            for name in &names {
                let sql = "INSERT INTO stage_names (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
                tx.execute(sql, values![name])?;
            }
            note(tx, outbox::STAGES_SET, &pattern, &stamp)?;
            Ok(true)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// Removes the stages of a repository or a pattern. Answers `false` when there are none.
    pub async fn remove_stages(&self, pattern: &RepositoryPattern, stamp: Stamp) -> Result<bool> {
        let pattern = pattern.clone();
        let work = move |tx: &mut Tx<'_>| {
            let found = tx.execute("DELETE FROM stage_sets WHERE pattern = $1", values![&pattern])? > 0;
            if found {
                note(tx, outbox::STAGES_REMOVED, &pattern, &stamp)?;
            }
            Ok(found)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Stages after `after`, in the order of their patterns' bytes.
    pub async fn stage_sets(&self, after: Option<&str>, limit: usize) -> Result<Page<StageSetRow>> {
        let after = after.unwrap_or_default().to_owned();
        let sql =
            "SELECT pattern, text, tags, set_at, set_by FROM stage_sets WHERE pattern > $1 ORDER BY pattern LIMIT $2";
        let work = move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![&after, limit + 1], set)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// All stages whose pattern matches the repository, the most specific first: those count, the others do not.
    pub async fn stages_for(&self, repository: &RepositoryName) -> Result<Vec<StageSetRow>> {
        let name = repository.clone();
        self.engine().read(Kind::Snapshot, move |tx| sets_for(tx, &name)).await
    }

    /// Whether any of these names is a stage somewhere.
    pub async fn are_stages(&self, names: Vec<String>) -> Result<bool> {
        let sql = "SELECT 1 FROM stage_names WHERE name = $1";
        let work = move |tx: &mut Tx<'_>| {
            for name in &names {
                if tx.any(sql, values![name])? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        self.engine().read(Kind::Read, work).await
    }

    /// Removes what is remembered of stages from before this time: what left them, approvals, pulls. Answers how much.
    pub async fn prune_stages(&self, before: Timestamp) -> Result<u64> {
        let statements = [
            "DELETE FROM stage_entries WHERE (repository, stage, digest) IN
             (SELECT repository, stage, digest FROM stage_entries WHERE left_at IS NOT NULL AND left_at < $1 ORDER BY left_at LIMIT $2)",
            "DELETE FROM approvals WHERE (repository, stage, digest, identity) IN
             (SELECT repository, stage, digest, identity FROM approvals WHERE at < $1 ORDER BY at LIMIT $2)",
            "DELETE FROM stage_pulls WHERE (repository, stage, identity) IN
             (SELECT repository, stage, identity FROM stage_pulls WHERE at < $1 ORDER BY at LIMIT $2)",
        ];
        let mut total = 0;
        for sql in statements {
            total += self.prune(move |tx| tx.execute(sql, values![before, PRUNED])).await?;
        }
        Ok(total)
    }

    /// Forgets answers to requests with a key from before this time; answers how many.
    pub async fn prune_answers(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM kept_answers WHERE (identity, key) IN
                   (SELECT identity, key FROM kept_answers WHERE at < $1 ORDER BY at LIMIT $2)";
        self.prune(move |tx| tx.execute(sql, values![before, PRUNED])).await
    }
}

/// A repository is removed: its stages go with it, and all that is known of them.
pub(crate) fn repository_removed(tx: &mut Tx<'_>, name: &RepositoryName) -> Done<()> {
    tx.execute("DELETE FROM stage_sets WHERE pattern = $1", values![name])?;
    tx.execute("DELETE FROM stage_entries WHERE repository = $1", values![name])?;
    tx.execute("DELETE FROM approvals WHERE repository = $1", values![name])?;
    tx.execute("DELETE FROM stage_pulls WHERE repository = $1", values![name])?;
    Ok(())
}

fn sets_for(tx: &mut Tx<'_>, name: &RepositoryName) -> Done<Vec<StageSetRow>> {
    let mut found = with_wildcards(tx)?;
    found.retain(|row| row.pattern.matches(name));
    let sql = "SELECT pattern, text, tags, set_at, set_by FROM stage_sets WHERE pattern = $1";
    found.extend(tx.row(sql, values![name], set)?);
    found.sort_by_cached_key(|row| std::cmp::Reverse(specificity(&row.pattern)));
    Ok(found)
}

/// A name before patterns, then by what stands before the first wildcard, then by length; the last decides between two like ones.
fn specificity(pattern: &RepositoryPattern) -> (bool, usize, usize, String) {
    let text = pattern.as_str();
    (pattern.is_literal(), pattern.stem().len(), text.len(), text.to_owned())
}

fn with_wildcards(tx: &mut Tx<'_>) -> Done<Vec<StageSetRow>> {
    let sql = "SELECT pattern, text, tags, set_at, set_by FROM stage_sets WHERE wildcard = 1 ORDER BY pattern LIMIT $1";
    tx.rows(sql, values![WILDCARD_STAGES], set)
}

fn set(row: &Row<'_>) -> Done<StageSetRow> {
    let names: Vec<String> = row.json(2, "list of tags")?;
    let tags = names.into_iter().map(|name| name.parse().map_err(|_| unreadable("tag", name))).collect::<Done<_>>()?;
    let (pattern, text) = (row.parsed(0, "pattern")?, row.text(1)?);
    Ok(StageSetRow { pattern, text, tags, set: row.time(3)?, set_by: row.text(4)? })
}

/// The version of all stages.
fn version(tx: &mut Tx<'_>) -> Done<i64> {
    let version = tx.row("SELECT value FROM meta WHERE key = $1", values![VERSION], |row| row.parsed(0, "version"))?;
    Ok(version.unwrap_or_default())
}

fn note(tx: &mut Tx<'_>, kind: &'static str, pattern: &RepositoryPattern, stamp: &Stamp) -> Done<()> {
    let next = (version(tx)? + 1).to_string();
    tx.execute("UPDATE meta SET value = $1 WHERE key = $2", values![&next, VERSION])?;
    let repository = pattern.as_str().parse().ok().filter(|_| pattern.is_literal());
    outbox::record(tx, kind, repository.as_ref(), &json!({ "name": pattern.as_str() }), stamp)
}
