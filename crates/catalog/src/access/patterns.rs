//! Patterns that are no range of names, and the repositories that they match: what makes a list of 10 among 10^5 cost a page (behaviour §4).
//!
//! A row of `visible` stands for each such pattern in use and each repository that it matches; it is written with the repository and with the
//! pattern's first use, and goes with the repository and with the last use.

use larder_oci::{RepositoryName, RepositoryPattern};

use crate::engine::{Done, Fault, Tx, values};

/// Repositories that are looked at in one step.
const STEP: usize = 1_000;

/// Whether the pattern has rows: it is neither one name nor everything under one.
pub(super) fn has_rows(pattern: &RepositoryPattern) -> bool {
    !pattern.is_literal() && pattern.subtree().is_none()
}

/// Makes these the patterns that the owner (`grant:12`, `robot:ci`, `trust:gitlab`) uses. Part of a change, which waits for repositories being made.
pub(super) fn set_uses<'p>(
    tx: &mut Tx<'_>,
    owner: &str,
    patterns: impl IntoIterator<Item = &'p RepositoryPattern>,
) -> Done<()> {
    let sql = "DELETE FROM pattern_uses WHERE owner = $1 RETURNING pattern_id";
    let before = tx.rows(sql, values![owner], |row| row.int(0))?;
    for pattern in patterns.into_iter().filter(|pattern| has_rows(pattern)) {
        let id = ensure(tx, pattern)?;
        let sql =
            "INSERT INTO pattern_uses (owner, pattern_id) VALUES ($1, $2) ON CONFLICT (owner, pattern_id) DO NOTHING";
        tx.execute(sql, values![owner, id])?;
    }
    for id in before {
        if !tx.any("SELECT 1 FROM pattern_uses WHERE pattern_id = $1 LIMIT 1", values![id])? {
            tx.execute("DELETE FROM visible WHERE pattern_id = $1", values![id])?;
            tx.execute("DELETE FROM patterns WHERE id = $1", values![id])?;
        }
    }
    Ok(())
}

/// The pattern's id, with its rows.
fn ensure(tx: &mut Tx<'_>, pattern: &RepositoryPattern) -> Done<i64> {
    if let Some(id) = find(tx, pattern)? {
        return Ok(id);
    }
    let sql = "INSERT INTO patterns (pattern) VALUES ($1) RETURNING id";
    let id = tx.row(sql, values![pattern], |row| row.int(0))?.ok_or(Fault::Conflict("the pattern came and went"))?;
    // `~` follows every character of a name.
    let (mut from, end) = (pattern.stem().to_owned(), format!("{}~", pattern.stem()));
    loop {
        let sql = "SELECT name, id FROM repositories WHERE name >= $1 AND name < $2 ORDER BY name LIMIT $3";
        let step = tx.rows(sql, values![&from, &end, STEP], |row| Ok((row.repository(0)?, row.int(1)?)))?;
        for (name, repository) in step.iter().filter(|(name, _)| pattern.matches(name)) {
            insert(tx, id, name, *repository)?;
        }
        match step.last() {
            // `!` precedes every character of a name.
            Some((last, _)) if step.len() == STEP => from = format!("{last}!"),
            _ => return Ok(id),
        }
    }
}

/// The pattern's id, where it has rows.
pub(crate) fn find(tx: &mut Tx<'_>, pattern: &RepositoryPattern) -> Done<Option<i64>> {
    tx.row("SELECT id FROM patterns WHERE pattern = $1", values![pattern], |row| row.int(0))
}

/// A repository was made: notes which patterns match it.
pub(super) fn add_repository(tx: &mut Tx<'_>, repository: i64, name: &RepositoryName) -> Done<()> {
    let mut after = 0;
    loop {
        let sql = "SELECT id, pattern FROM patterns WHERE id > $1 ORDER BY id LIMIT $2";
        let step = tx.rows(sql, values![after, STEP], |row| {
            Ok((row.int(0)?, row.parsed::<RepositoryPattern>(1, "repository pattern")?))
        })?;
        for (pattern, _) in step.iter().filter(|(_, pattern)| pattern.matches(name)) {
            insert(tx, *pattern, name, repository)?;
        }
        match step.last() {
            Some((last, _)) if step.len() == STEP => after = *last,
            _ => return Ok(()),
        }
    }
}

fn insert(tx: &mut Tx<'_>, pattern: i64, name: &RepositoryName, repository: i64) -> Done<()> {
    let sql = "INSERT INTO visible (pattern_id, name, repository_id) VALUES ($1, $2, $3)";
    tx.execute(sql, values![pattern, name, repository])?;
    Ok(())
}

/// A repository is to go.
pub(super) fn remove_repository(tx: &mut Tx<'_>, repository: i64) -> Done<()> {
    tx.execute("DELETE FROM visible WHERE repository_id = $1", values![repository])?;
    Ok(())
}
