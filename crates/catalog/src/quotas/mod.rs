//! Quotas: how much the repositories of a pattern may hold, and how much they do (behaviour §6).
//!
//! What counts is live: blobs that a manifest of the repository names or that were pushed for one to come, and manifests. Open uploads reserve. Every
//! unit that changes what a repository holds adds the difference to the quotas over it, each time in another one of a few rows, so that no row is
//! everybody's; only who is about to take more waits for others of the same quota to have taken theirs (on PostgreSQL; SQLite has one writer).

mod manage;
mod reserve;

use std::sync::atomic::{AtomicU64, Ordering};

use larder_oci::{RepositoryName, RepositoryPattern};

use crate::engine::{Done, Tx, values};
use crate::model::{Counted, OverQuota};

pub(crate) use self::manage::Known;

/// Quotas that there can be.
const MOST: usize = 1_000;
/// Rows that what is used of a quota is spread over.
const SHARDS: u64 = 16;

/// What changes: positive for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub bytes: i64,
    pub reserved: i64,
    pub manifests: i64,
}

impl Change {
    /// So many bytes more.
    pub fn more(bytes: u64) -> Self {
        Self { bytes: signed(bytes), ..Self::default() }
    }

    /// So many bytes less.
    pub fn less(bytes: u64) -> Self {
        Self { bytes: -signed(bytes), ..Self::default() }
    }
}

/// A quota, as decisions need it.
#[derive(Clone, Debug)]
struct Bound {
    id: i64,
    pattern: RepositoryPattern,
    bytes: Option<u64>,
    manifests: Option<u64>,
}

/// The quotas over a repository.
#[derive(Debug)]
pub(crate) struct Quotas(Vec<Bound>);

impl Quotas {
    /// Reads them. From then on, on PostgreSQL, none comes or goes until the unit's end.
    pub fn over(tx: &mut Tx<'_>, repository: &RepositoryName) -> Done<Self> {
        let mut all = Self::all(tx)?;
        all.0.retain(|bound| bound.pattern.matches(repository));
        Ok(all)
    }

    /// The quotas over whatever repository.
    pub fn all(tx: &mut Tx<'_>) -> Done<Self> {
        if let Tx::Postgres(session) = tx {
            let sql = "SELECT pg_advisory_xact_lock_shared(hashtextextended('larder quotas ' || current_schema(), 0))";
            session.query(sql, &[])?;
        }
        let sql = "SELECT id, pattern, bytes, manifests FROM quotas ORDER BY id LIMIT $1";
        let bounds = tx.rows(sql, values![MOST], |row| {
            let limit = |column| Ok::<_, crate::engine::Fault>(row.opt_int(column)?.map(unsigned));
            Ok(Bound {
                id: row.int(0)?,
                pattern: row.parsed(1, "repository pattern")?,
                bytes: limit(2)?,
                manifests: limit(3)?,
            })
        })?;
        Ok(Self(bounds))
    }

    /// Those of them over this repository.
    pub fn of(&self, repository: &RepositoryName) -> Self {
        Self(self.0.iter().filter(|bound| bound.pattern.matches(repository)).cloned().collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first quota that so much more would exceed. Until the unit's end nobody else takes more of any of them.
    pub fn refuse(&self, tx: &mut Tx<'_>, more: Change) -> Done<Option<OverQuota>> {
        if more.bytes <= 0 && more.manifests <= 0 {
            return Ok(None);
        }
        self.take_turn(tx)?;
        for bound in &self.0 {
            let used = used(tx, bound.id)?;
            if let Some(over) = bound.exceeded(used, unsigned(more.bytes), unsigned(more.manifests)) {
                return Ok(Some(over));
            }
        }
        Ok(None)
    }

    /// Notes a change. The last statements of a unit: others wait for them.
    pub fn add(&self, tx: &mut Tx<'_>, change: Change) -> Done<()> {
        if change == Change::default() {
            return Ok(());
        }
        let shard = shard();
        for bound in &self.0 {
            let sql = "INSERT INTO quota_use (quota_id, shard, bytes, reserved, manifests) VALUES ($1, $2, $3, $4, $5)
                       ON CONFLICT (quota_id, shard) DO UPDATE SET bytes = quota_use.bytes + excluded.bytes,
                         reserved = quota_use.reserved + excluded.reserved, manifests = quota_use.manifests + excluded.manifests";
            tx.execute(sql, values![bound.id, shard, change.bytes, change.reserved, change.manifests])?;
        }
        Ok(())
    }

    fn take_turn(&self, tx: &mut Tx<'_>) -> Done<()> {
        let Tx::Postgres(session) = tx else { return Ok(()) };
        for bound in &self.0 {
            let sql = "SELECT pg_advisory_xact_lock(hashtextextended('larder quota ' || current_schema(), $1))";
            session.query(sql, values![bound.id])?;
        }
        Ok(())
    }
}

impl Bound {
    fn exceeded(&self, used: Used, bytes: u64, manifests: u64) -> Option<OverQuota> {
        let over = |counted, limit, used: u64, reserved: u64, needed| OverQuota {
            pattern: self.pattern.clone(),
            counted,
            limit,
            used,
            reserved,
            needed,
        };
        let room = |limit: u64, used: u64| limit.saturating_sub(used);
        match (self.bytes, self.manifests) {
            (Some(limit), _) if bytes > room(limit, used.bytes.saturating_add(used.reserved)) => {
                Some(over(Counted::Bytes, limit, used.bytes, used.reserved, bytes))
            }
            (_, Some(limit)) if manifests > room(limit, used.manifests) => {
                Some(over(Counted::Manifests, limit, used.manifests, 0, manifests))
            }
            _ => None,
        }
    }
}

/// What is used of a quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    bytes: u64,
    reserved: u64,
    manifests: u64,
}

fn used(tx: &mut Tx<'_>, quota: i64) -> Done<Used> {
    let sql = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT), CAST(COALESCE(SUM(reserved), 0) AS BIGINT),
                 CAST(COALESCE(SUM(manifests), 0) AS BIGINT) FROM quota_use WHERE quota_id = $1";
    let used = tx.row(sql, values![quota], |row| {
        Ok(Used { bytes: unsigned(row.int(0)?), reserved: unsigned(row.int(1)?), manifests: unsigned(row.int(2)?) })
    })?;
    Ok(used.unwrap_or_default())
}

/// A repository has lost a blob that counted.
pub(crate) fn lost(tx: &mut Tx<'_>, all: &Quotas, repository: i64, digest: i64) -> Done<()> {
    if all.is_empty() {
        return Ok(());
    }
    let sql = "SELECT name FROM repositories WHERE id = $1";
    let Some(name) = tx.row(sql, values![repository], |row| row.repository(0))? else { return Ok(()) };
    let less = Change::less(size_of(tx, digest)?);
    all.of(&name).add(tx, less)
}

/// The length of a digest's blob, which every one of its rows has.
pub(crate) fn size_of(tx: &mut Tx<'_>, digest: i64) -> Done<u64> {
    let size = tx.row("SELECT MAX(size) FROM blobs WHERE digest_id = $1", values![digest], |row| row.opt_int(0))?;
    Ok(size.flatten().map_or(0, unsigned))
}

/// A blob of a repository counts from now on. Answers whether it did not before.
pub(crate) fn count(tx: &mut Tx<'_>, repository: i64, digest: i64) -> Done<bool> {
    let sql = "UPDATE memberships SET counted = 1 WHERE repository_id = $1 AND digest_id = $2 AND counted = 0";
    Ok(tx.execute(sql, values![repository, digest])? > 0)
}

/// A blob of a repository counts no longer. Answers whether it did before.
pub(crate) fn discount(tx: &mut Tx<'_>, repository: i64, digest: i64) -> Done<bool> {
    let sql = "UPDATE memberships SET counted = 0 WHERE repository_id = $1 AND digest_id = $2 AND counted = 1";
    Ok(tx.execute(sql, values![repository, digest])? > 0)
}

fn shard() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
