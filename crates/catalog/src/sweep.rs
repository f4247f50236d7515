//! The sweep: what has neither edge nor lease goes, and nothing else (**Invariant 6**).
//!
//! There is no mark phase: whoever changes something that may orphan a blob queues a row in the same transaction, and the sweep re-checks each row
//! under the locks that a push takes. It marks only; bytes are removed by the caller, and then their rows (**Invariant 2**).

use std::collections::BTreeSet;

use jiff::Timestamp;
use larder_oci::Digest;

use crate::blobs::{DELETING, LIVE, SUPERSEDED};
use crate::engine::{Done, Kind, Row, Tx, Value, values};
use crate::lookup::{self, Hold};
use crate::model::{Blob, SweepBatch};
use crate::outbox::PRUNED;
use crate::quotas::{self, Quotas};
use crate::{Catalog, Result};

impl Catalog {
    /// Looks at up to `limit` rows that are due at `now`.
    ///
    /// A row whose digest has an edge in its repository is dropped; one with an unexpired lease is queued again for the lease's end; of any other the
    /// membership goes and is written down as taken. A digest without any membership and lease is condemned, and so are superseded blobs that are due.
    pub async fn sweep(&self, now: Timestamp, limit: usize) -> Result<SweepBatch> {
        self.engine().write(Kind::Shrink, move |tx| sweep(tx, now, limit)).await
    }

    /// Blobs whose bytes are to be removed: what a sweep condemned before the process ended.
    pub async fn condemned(&self, limit: usize) -> Result<Vec<Blob>> {
        let sql = "SELECT d.digest, b.key, b.size FROM blobs b JOIN digests d ON d.id = b.digest_id WHERE b.state = 2 ORDER BY b.id LIMIT $1";
        self.engine().read(Kind::Read, move |tx| tx.rows(sql, values![limit], blob)).await
    }

    /// The bytes of a condemned blob are gone: its row goes too. Answers `false` for a key that is not condemned.
    pub async fn forget_blob(&self, key: &str) -> Result<bool> {
        let key = key.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            let sql = "DELETE FROM blobs WHERE key = $1 AND state = 2 RETURNING digest_id";
            let Some(digest) = tx.row(sql, values![&key], |row| row.int(0))? else { return Ok(false) };
            forget_digest(tx, digest)?;
            Ok(true)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Queues live blobs that no repository holds and that nothing has queued. There should be none. Answers how many there are.
    pub async fn queue_unreferenced(&self, now: Timestamp) -> Result<u64> {
        let (mut after, mut total) = (0, 0);
        loop {
            let sql = "SELECT MAX(page.id) FROM (SELECT id FROM blobs WHERE id > $1 ORDER BY id LIMIT $2) AS page";
            let work = move |tx: &mut Tx<'_>| tx.row(sql, values![after, PRUNED], |row| row.opt_int(0));
            let Some(last) = self.engine().read(Kind::Read, work).await?.flatten() else { return Ok(total) };
            let sql = "INSERT INTO sweep_queue (digest_id, repository_id, review_after)
                       SELECT b.digest_id, 0, CAST($1 AS BIGINT) FROM blobs b WHERE b.id > $2 AND b.id <= $3 AND b.state = 0
                       AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.digest_id = b.digest_id)
                       AND NOT EXISTS (SELECT 1 FROM trash_edges x WHERE x.child_id = b.digest_id)
                       AND NOT EXISTS (SELECT 1 FROM sweep_queue q WHERE q.digest_id = b.digest_id)
                       ON CONFLICT (digest_id, repository_id) DO UPDATE SET review_after = excluded.review_after";
            let work = move |tx: &mut Tx<'_>| tx.execute(sql, values![now, after, last]);
            total += self.engine().write(Kind::Shrink, work).await?;
            after = last;
        }
    }

    /// When the next row comes due.
    pub async fn next_review(&self) -> Result<Option<Timestamp>> {
        let sql = "SELECT MIN(next.at) FROM (SELECT (SELECT MIN(review_after) FROM sweep_queue) AS at
                   UNION ALL SELECT (SELECT MIN(review_after) FROM blobs WHERE state = 1)) AS next";
        let work = move |tx: &mut Tx<'_>| Ok(tx.row(sql, values![], |row| row.opt_time(0))?.flatten());
        self.engine().read(Kind::Read, work).await
    }

    /// Forgets what was taken before this time, and digests that nothing names any more. Answers how many rows went.
    pub async fn prune_taken(&self, before: Timestamp) -> Result<u64> {
        let sql = match self.engine().is_postgres {
            false => {
                "DELETE FROM taken WHERE (digest_id, repository_id) IN
                 (SELECT digest_id, repository_id FROM taken WHERE at < $1 ORDER BY at LIMIT $2)"
            }
            true => "DELETE FROM taken WHERE ctid IN (SELECT ctid FROM taken WHERE at < $1 ORDER BY at LIMIT $2)",
        };
        let total = self.prune(move |tx| tx.execute(sql, values![before, PRUNED])).await?;
        Ok(total + self.collect_digests().await?)
    }

    /// Walks all digests and removes those that nothing names. Some at a time: pushes get in between.
    async fn collect_digests(&self) -> Result<u64> {
        let (mut after, mut total) = (0, 0);
        loop {
            let work = move |tx: &mut Tx<'_>| {
                let sql = "SELECT d.id, d.digest FROM digests d WHERE d.id > $1 ORDER BY d.id LIMIT $2";
                tx.rows(sql, values![after, PRUNED], |row| row.int(0))
            };
            let ids = self.engine().read(Kind::Read, work).await?;
            let Some(&last) = ids.last() else { return Ok(total) };
            let work = move |tx: &mut Tx<'_>| {
                let mut gone = 0;
                for &id in &ids {
                    gone += u64::from(forget_digest(tx, id)?);
                }
                Ok(gone)
            };
            total += self.engine().write(Kind::Shrink, work).await?;
            after = last;
        }
    }
}

/// Removes a digest's row unless something names it. Answers whether it went.
pub(crate) fn forget_digest(tx: &mut Tx<'_>, digest: i64) -> Done<bool> {
    let free = "SELECT d.id FROM digests d WHERE d.id = $1
        AND NOT EXISTS (SELECT 1 FROM blobs WHERE digest_id = $1) AND NOT EXISTS (SELECT 1 FROM memberships WHERE digest_id = $1)
        AND NOT EXISTS (SELECT 1 FROM edges WHERE child_id = $1) AND NOT EXISTS (SELECT 1 FROM manifest_bytes WHERE digest_id = $1)
        AND NOT EXISTS (SELECT 1 FROM leases WHERE digest_id = $1) AND NOT EXISTS (SELECT 1 FROM sweep_queue WHERE digest_id = $1)
        AND NOT EXISTS (SELECT 1 FROM taken WHERE digest_id = $1) AND NOT EXISTS (SELECT 1 FROM referrers WHERE subject_id = $1)
        AND NOT EXISTS (SELECT 1 FROM trash_edges WHERE child_id = $1)";
    if !tx.any(free, values![digest])? {
        return Ok(false);
    }
    if let Tx::Postgres(session) = tx {
        session.query("SELECT id FROM digests WHERE id = $1 FOR UPDATE", values![digest])?;
        if !tx.any(free, values![digest])? {
            return Ok(false);
        }
    }
    Ok(tx.execute("DELETE FROM digests WHERE id = $1", values![digest])? > 0)
}

/// A row of the queue.
struct Due {
    repository: i64,
    digest: i64,
    name: Digest,
}

fn sweep(tx: &mut Tx<'_>, now: Timestamp, limit: usize) -> Done<SweepBatch> {
    let sql = "SELECT q.repository_id, q.digest_id, d.digest FROM sweep_queue q JOIN digests d ON d.id = q.digest_id
               WHERE q.review_after <= $1 ORDER BY q.review_after LIMIT $2";
    let due = tx.rows(sql, values![now, limit], |row| {
        Ok(Due { repository: row.int(0)?, digest: row.int(1)?, name: row.digest(2)? })
    })?;
    let quotas = Quotas::all(tx)?;
    hold(tx, &due)?;
    let mut batch = SweepBatch::default();
    for row in &due {
        review(tx, row, &quotas, now, &mut batch)?;
    }
    let left = limit.saturating_sub(due.len());
    if left > 0 {
        supersede(tx, now, left, &mut batch)?;
    }
    Ok(batch)
}

/// On PostgreSQL the rows are read again once this holds them: another sweep, or a push, may have been there.
fn hold(tx: &mut Tx<'_>, due: &[Due]) -> Done<()> {
    if let Tx::Postgres(session) = tx {
        let repositories: BTreeSet<i64> = due.iter().map(|row| row.repository).collect();
        let repositories: Vec<i64> = repositories.into_iter().collect();
        let sql = "SELECT id FROM repositories WHERE id = ANY($1) ORDER BY name FOR KEY SHARE";
        session.query(sql, &[Value::Ints(&repositories)])?;
    }
    let digests: BTreeSet<&Digest> = due.iter().map(|row| &row.name).collect();
    lookup::hold_digests(tx, digests, Hold::Own)
}

fn review(tx: &mut Tx<'_>, row: &Due, quotas: &Quotas, now: Timestamp, batch: &mut SweepBatch) -> Done<()> {
    let key = values![row.digest, row.repository];
    let still = "SELECT 1 FROM sweep_queue WHERE digest_id = $1 AND repository_id = $2 AND review_after <= $3";
    if matches!(tx, Tx::Postgres(_)) && !tx.any(still, values![row.digest, row.repository, now])? {
        return Ok(());
    }
    batch.reviewed += 1;
    tx.execute(
        "DELETE FROM leases WHERE digest_id = $1 AND repository_id = $2 AND until <= $3",
        values![row.digest, row.repository, now],
    )?;
    let latest = "SELECT MAX(until) FROM leases WHERE digest_id = $1 AND repository_id = $2";
    if let Some(until) = tx.row(latest, key, |found| found.opt_time(0))?.flatten() {
        batch.kept += 1;
        let sql = "UPDATE sweep_queue SET review_after = $1 WHERE digest_id = $2 AND repository_id = $3";
        tx.execute(sql, values![until, row.digest, row.repository])?;
        return Ok(());
    }
    tx.execute("DELETE FROM sweep_queue WHERE digest_id = $1 AND repository_id = $2", key)?;
    if tx.any("SELECT 1 FROM edges WHERE child_id = $1 AND repository_id = $2 LIMIT 1", key)? {
        batch.kept += 1;
        return Ok(());
    }
    let gone = "DELETE FROM memberships WHERE digest_id = $1 AND repository_id = $2 RETURNING counted";
    if let Some(counted) = tx.row(gone, key, |found| found.flag(0))? {
        batch.memberships_removed += 1;
        if counted {
            quotas::lost(tx, quotas, row.repository, row.digest)?;
        }
        take(tx, row.repository, row.digest, now)?;
    }
    condemn(tx, row, batch)
}

/// Writes down that a repository lost a digest without its asking.
pub(crate) fn take(tx: &mut Tx<'_>, repository: i64, digest: i64, at: Timestamp) -> Done<()> {
    let sql = "INSERT INTO taken (digest_id, repository_id, at) VALUES ($1, $2, $3)
               ON CONFLICT (digest_id, repository_id) DO UPDATE SET at = excluded.at";
    tx.execute(sql, values![digest, repository, at])?;
    Ok(())
}

/// Marks the live blob, if nobody holds the digest any more, nor the trash. A lease elsewhere has its own row in the queue, which comes here again.
fn condemn(tx: &mut Tx<'_>, row: &Due, batch: &mut SweepBatch) -> Done<()> {
    let held = "SELECT 1 FROM memberships WHERE digest_id = $1 UNION ALL SELECT 1 FROM leases WHERE digest_id = $1
         UNION ALL SELECT 1 FROM trash_edges WHERE child_id = $1 LIMIT 1";
    if tx.any(held, values![row.digest])? {
        return Ok(());
    }
    let sql = "UPDATE blobs SET state = 2, review_after = NULL WHERE digest_id = $1 AND state = 0 RETURNING key, size";
    let gone = tx.rows(sql, values![row.digest], |found| {
        Ok(Blob { digest: row.name, key: found.text(0)?, size: found.size(1)? })
    })?;
    if gone.is_empty() {
        forget_digest(tx, row.digest)?;
    }
    batch.condemned.extend(gone);
    Ok(())
}

/// Keys that a newer upload of their digest replaced, once no reader can hold them any more.
fn supersede(tx: &mut Tx<'_>, now: Timestamp, limit: usize, batch: &mut SweepBatch) -> Done<()> {
    let sql = "UPDATE blobs SET state = 2, review_after = NULL WHERE state = 1 AND id IN
               (SELECT id FROM blobs WHERE state = 1 AND review_after <= $1 ORDER BY review_after LIMIT $2)
               RETURNING (SELECT d.digest FROM digests d WHERE d.id = blobs.digest_id), key, size";
    let gone = tx.rows(sql, values![now, limit], blob)?;
    batch.reviewed += gone.len() as u64;
    batch.condemned.extend(gone);
    Ok(())
}

fn blob(row: &Row<'_>) -> Done<Blob> {
    Ok(Blob { digest: row.digest(0)?, key: row.text(1)?, size: row.size(2)? })
}

/// The statements above name states by their numbers, so that SQLite uses its partial indexes.
const _: () = assert!(LIVE == 0 && SUPERSEDED == 1 && DELETING == 2);
