//! Numbered steps of the schema. A step that was applied never changes; a catalog from the future is refused.

use sha2::{Digest as _, Sha256};

use super::{Done, Fault, Tx, values};
use crate::{Error, Result};

/// One step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    /// Counts up from 1 without gaps.
    pub version: i64,
    /// What it is about.
    pub name: &'static str,
    /// Its statements.
    pub text: &'static str,
}

/// SQLite's steps.
pub(crate) const SQLITE: &[Migration] = &[
    Migration { version: 1, name: "catalog", text: include_str!("../../migrations/sqlite/0001_catalog.sql") },
    Migration { version: 2, name: "access", text: include_str!("../../migrations/sqlite/0002_access.sql") },
    Migration { version: 3, name: "import", text: include_str!("../../migrations/sqlite/0003_import.sql") },
    Migration { version: 4, name: "incomplete", text: include_str!("../../migrations/sqlite/0004_incomplete.sql") },
    Migration { version: 5, name: "versions", text: include_str!("../../migrations/sqlite/0005_versions.sql") },
    Migration { version: 6, name: "policies", text: include_str!("../../migrations/sqlite/0006_policies.sql") },
    Migration { version: 7, name: "webhooks", text: include_str!("../../migrations/sqlite/0007_webhooks.sql") },
    Migration { version: 8, name: "limits", text: include_str!("../../migrations/sqlite/0008_limits.sql") },
    Migration { version: 9, name: "newest_tags", text: include_str!("../../migrations/sqlite/0009_newest_tags.sql") },
    Migration { version: 10, name: "rules", text: include_str!("../../migrations/sqlite/0010_rules.sql") },
    Migration { version: 11, name: "promotion", text: include_str!("../../migrations/sqlite/0011_promotion.sql") },
    Migration { version: 12, name: "sign_ups", text: include_str!("../../migrations/sqlite/0012_sign_ups.sql") },
    Migration { version: 13, name: "search", text: include_str!("../../migrations/sqlite/0013_search.sql") },
];

/// PostgreSQL's steps.
pub(crate) const POSTGRES: &[Migration] = &[
    Migration { version: 1, name: "catalog", text: include_str!("../../migrations/postgres/0001_catalog.sql") },
    Migration { version: 2, name: "access", text: include_str!("../../migrations/postgres/0002_access.sql") },
    Migration { version: 3, name: "import", text: include_str!("../../migrations/postgres/0003_import.sql") },
    Migration { version: 4, name: "incomplete", text: include_str!("../../migrations/postgres/0004_incomplete.sql") },
    Migration { version: 5, name: "versions", text: include_str!("../../migrations/postgres/0005_versions.sql") },
    Migration { version: 6, name: "policies", text: include_str!("../../migrations/postgres/0006_policies.sql") },
    Migration { version: 7, name: "webhooks", text: include_str!("../../migrations/postgres/0007_webhooks.sql") },
    Migration { version: 8, name: "limits", text: include_str!("../../migrations/postgres/0008_limits.sql") },
    Migration { version: 9, name: "newest_tags", text: include_str!("../../migrations/postgres/0009_newest_tags.sql") },
    Migration { version: 10, name: "rules", text: include_str!("../../migrations/postgres/0010_rules.sql") },
    Migration { version: 11, name: "promotion", text: include_str!("../../migrations/postgres/0011_promotion.sql") },
    Migration { version: 12, name: "sign_ups", text: include_str!("../../migrations/postgres/0012_sign_ups.sql") },
    Migration { version: 13, name: "search", text: include_str!("../../migrations/postgres/0013_search.sql") },
];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at BIGINT NOT NULL)";

/// The steps that are still to be taken.
pub(super) fn pending(tx: &mut Tx<'_>, known: &'static [Migration]) -> Done<Vec<&'static Migration>> {
    run(tx, TABLE)?;
    let applied = tx.rows("SELECT version, sha256 FROM schema_migrations ORDER BY version", values![], |row| {
        Ok((row.int(0)?, row.text(1)?))
    })?;
    Ok(compare(&applied, known)?)
}

/// Takes them, and gives a new catalog its identity.
pub(super) fn apply(tx: &mut Tx<'_>, steps: &[&Migration]) -> Done<()> {
    for step in steps {
        run(tx, step.text)?;
        let sum = checksum(step.text);
        let now = jiff::Timestamp::now();
        let values = values![step.version, step.name, &sum, now];
        tx.execute(
            "INSERT INTO schema_migrations (version, name, sha256, applied_at) VALUES ($1, $2, $3, $4)",
            values,
        )?;
    }
    let store = uuid::Uuid::new_v4().to_string();
    let sql = "INSERT INTO meta (key, value) VALUES ('store_id', $1) ON CONFLICT (key) DO NOTHING";
    tx.execute(sql, values![&store])?;
    tx.execute("INSERT INTO meta (key, value) VALUES ('generation', '0') ON CONFLICT (key) DO NOTHING", values![])?;
    Ok(())
}

/// What a catalog that may not be changed has to be already.
pub(super) fn require_current(tx: &mut Tx<'_>, known: &'static [Migration]) -> Done<()> {
    let sql = "SELECT version, sha256 FROM schema_migrations ORDER BY version";
    let applied = tx.rows(sql, values![], |row| Ok((row.int(0)?, row.text(1)?)))?;
    match compare(&applied, known)?.first() {
        None => Ok(()),
        Some(step) => {
            let text = format!(
                "schema step {} ({}) is to be taken first: start once without read-only",
                step.version, step.name
            );
            Err(Fault::Error(Error::Database(text)))
        }
    }
}

fn compare(applied: &[(i64, String)], known: &'static [Migration]) -> Result<Vec<&'static Migration>> {
    let newest = known.last().map_or(0, |step| step.version);
    if let Some((found, _)) = applied.iter().find(|(version, _)| *version > newest) {
        let found = applied.last().map_or(*found, |(version, _)| *version);
        return Err(Error::Newer { found, known: newest });
    }
    let mut steps = Vec::new();
    for step in known {
        match applied.iter().find(|(version, _)| *version == step.version) {
            None => steps.push(step),
            Some((_, sum)) if *sum == checksum(step.text) => {}
            Some(_) => return Err(Error::MigrationChanged { version: step.version, name: step.name.to_owned() }),
        }
    }
    Ok(steps)
}

fn run(tx: &mut Tx<'_>, text: &'static str) -> Done<()> {
    match tx {
        Tx::Sqlite(connection) => Ok(connection.execute_batch(text)?),
        Tx::Postgres(session) => session.batch(text),
    }
}

fn checksum(text: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
