//! Blobs whose bytes nobody has hashed since they were taken over: the one exception to invariant 12.

use crate::engine::{Kind, Tx, values};
use crate::model::{BlobRow, Page};
use crate::page::page;
use crate::verify::blob_row;
use crate::{Catalog, Result};

impl Catalog {
    /// Unverified blobs after this id, whatever their state.
    pub async fn unverified_blobs(&self, after: i64, limit: usize) -> Result<Page<BlobRow>> {
        let sql = "SELECT b.id, d.digest, b.key, b.size, b.state FROM blobs b JOIN digests d ON d.id = b.digest_id
                   WHERE b.unverified = 1 AND b.id > $1 ORDER BY b.id LIMIT $2";
        let work = move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![after, limit + 1], blob_row)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// Number and bytes of what may be served and is unverified.
    pub async fn unverified_totals(&self) -> Result<(u64, u64)> {
        let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM blobs WHERE unverified = 1 AND state IN (0, 1)";
        let work = move |tx: &mut Tx<'_>| {
            Ok(tx.row(sql, values![], |row| Ok((row.size(0)?, row.size(1)?)))?.unwrap_or_default())
        };
        self.engine().read(Kind::Read, work).await
    }

    /// Somebody hashed these objects and found them right.
    pub async fn mark_verified(&self, keys: &[String]) -> Result<()> {
        let keys = keys.to_vec();
        let work = move |tx: &mut Tx<'_>| {
            for key in &keys {
                tx.execute("UPDATE blobs SET unverified = 0 WHERE key = $1", values![key])?;
            }
            Ok(())
        };
        self.engine().write(Kind::Shrink, work).await
    }
}
