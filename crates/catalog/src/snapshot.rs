//! A copy of the whole catalog while it is in use, for backups; and what a copy without its store's leftovers has to forget (behaviour §7).

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::engine::{Done, Kind, Tx, values};
use crate::outbox::PRUNED;
use crate::{Catalog, Error, Result};

impl Catalog {
    /// Writes what is committed now into a new file at `path`, readable by its owner only and durable when this answers. Writers go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Database`] for a catalog in memory or on PostgreSQL, which has tools of its own for this.
    pub async fn snapshot(&self, path: &Path) -> Result<()> {
        let path = path.to_owned();
        self.engine().read(Kind::Read, move |tx| snapshot(tx, &path)).await
    }

    /// Forgets blobs that are on their way out or set aside: a backup does not hold their bytes. Answers how many.
    pub async fn forget_left_behind(&self) -> Result<u64> {
        let sql = "DELETE FROM blobs WHERE id IN (SELECT id FROM blobs WHERE state <> 0 ORDER BY id LIMIT $1)";
        self.prune(move |tx| tx.execute(sql, values![PRUNED])).await
    }
}

fn snapshot(tx: &mut Tx<'_>, path: &Path) -> Done<()> {
    let Tx::Sqlite(connection) = tx else {
        return Err(Error::Database("PostgreSQL is copied by its own tools".to_owned()).into());
    };
    let failed = |error: std::io::Error| Error::Database(format!("the copy of the catalog: {error}"));
    let target = path.to_str().ok_or_else(|| Error::Database("the copy's path is not UTF-8".to_owned()))?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    // Reading connections refuse to write, also into another file.
    connection.pragma_update(None, "query_only", false)?;
    let copied = connection.execute("VACUUM INTO $1", [target]);
    connection.pragma_update(None, "query_only", true)?;
    copied?;
    Ok(file.sync_all().map_err(failed)?)
}
