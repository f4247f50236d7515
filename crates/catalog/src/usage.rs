//! Where the bytes are. Reads whole tables: for people who ask, not for a hot path.

use jiff::Timestamp;

use crate::engine::{Done, Kind, Tx, Value, values};
use crate::model::UsageTotals;
use crate::{Catalog, Result, uploads};

impl Catalog {
    /// Totals over everything; `now` tells which rows of the sweep's queue are overdue.
    pub async fn usage(&self, now: Timestamp) -> Result<UsageTotals> {
        self.engine().read(Kind::Snapshot, move |tx| usage(tx, now)).await
    }

    /// Manifests whose required targets were absent at their push. Costs as much as there are.
    pub async fn incomplete_manifests(&self) -> Result<u64> {
        let sql = "SELECT COUNT(*) FROM manifests WHERE incomplete = 1";
        let work = move |tx: &mut Tx<'_>| Ok(tx.row(sql, values![], |row| row.size(0))?.unwrap_or_default());
        self.engine().read(Kind::Read, work).await
    }
}

fn usage(tx: &mut Tx<'_>, now: Timestamp) -> Done<UsageTotals> {
    Ok(UsageTotals {
        live: pair(
            tx,
            "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM blobs WHERE state = 0",
            values![],
        )?,
        leaving: pair(
            tx,
            "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM blobs WHERE state IN (1, 2)",
            values![],
        )?,
        quarantined: pair(
            tx,
            "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM blobs WHERE state = 3",
            values![],
        )?,
        manifests: pair(
            tx,
            "SELECT COUNT(*), CAST(COALESCE(SUM(LENGTH(bytes)), 0) AS BIGINT) FROM manifest_bytes",
            values![],
        )?,
        unreferenced: pair(
            tx,
            "SELECT COUNT(*), CAST(COALESCE(SUM(b.size), 0) AS BIGINT) FROM blobs b WHERE b.state = 0
             AND NOT EXISTS (SELECT 1 FROM edges e WHERE e.child_id = b.digest_id)
             AND NOT EXISTS (SELECT 1 FROM trash_edges x WHERE x.child_id = b.digest_id)",
            values![],
        )?,
        trash: pair(
            tx,
            "SELECT COUNT(*), CAST(COALESCE(SUM(b.size), 0) AS BIGINT) FROM blobs b WHERE b.state = 0
             AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.digest_id = b.digest_id)
             AND EXISTS (SELECT 1 FROM trash_edges x WHERE x.child_id = b.digest_id)",
            values![],
        )?,
        uploads: uploads::totals(tx)?,
        queue: pair(
            tx,
            "SELECT (SELECT COUNT(*) FROM sweep_queue), (SELECT COUNT(*) FROM sweep_queue WHERE review_after <= $1)",
            values![now],
        )?,
    })
}

fn pair(tx: &mut Tx<'_>, sql: &'static str, values: &[Value<'_>]) -> Done<(u64, u64)> {
    Ok(tx.row(sql, values, |row| Ok((row.size(0)?, row.size(1)?)))?.unwrap_or_default())
}
