//! Upload sessions. A session stays registered until the transaction that makes its blob live (**Invariant 2**).

use jiff::Timestamp;
use larder_oci::{RepositoryName, UploadId};

use crate::engine::{Done, Kind, Row, Tx, unreadable, values};
use crate::import;
use crate::keys;
use crate::leases;
use crate::model::{Page, Upload};
use crate::page::page;
use crate::quotas::{Change, Quotas};
use crate::{Catalog, Result};

impl Catalog {
    /// Registers a session.
    pub async fn create_upload(&self, upload: Upload) -> Result<()> {
        let sql =
            "INSERT INTO uploads (id, repository, identity, algorithm, durable, hash_state, started_at, touched_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let work = move |tx: &mut Tx<'_>| {
            let algorithm = i64::from(keys::algorithm_number(upload.algorithm));
            let row = values![
                &upload.id.as_bytes()[..],
                &upload.repository,
                &upload.identity,
                algorithm,
                upload.offset,
                upload.hash_state.as_slice(),
                upload.started,
                upload.touched
            ];
            tx.execute(sql, row).map(drop)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// The session, if it belongs to this repository.
    pub async fn upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<Option<Upload>> {
        let (repository, id) = (repository.clone(), *id);
        let sql = "SELECT id, repository, identity, algorithm, durable, hash_state, started_at, touched_at
                   FROM uploads WHERE id = $1 AND repository = $2";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&id.as_bytes()[..], &repository], read)).await
    }

    /// For each id, whether a session is registered: of an upload, or of a tree that is being taken over. Orphan removal asks this before it asks for keys.
    pub async fn uploads_exist(&self, ids: &[UploadId]) -> Result<Vec<bool>> {
        let ids = ids.to_vec();
        let work = move |tx: &mut Tx<'_>| {
            let upload = |tx: &mut Tx<'_>, id: &UploadId| {
                tx.any("SELECT 1 FROM uploads WHERE id = $1", values![&id.as_bytes()[..]])
            };
            ids.iter().map(|id| Ok(upload(tx, id)? || import::has_session(tx, id)?)).collect()
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Writes down what is durable, and extends every lease of the session's identity in its repository to at least `lease_until`
    /// (**Invariant 6**). An offset behind the row's is late news and changes nothing else, except 0: a start from nothing. Answers `false` when the
    /// session is gone.
    pub async fn checkpoint_upload(
        &self,
        id: &UploadId,
        offset: u64,
        hash_state: Vec<u8>,
        at: Timestamp,
        lease_until: Timestamp,
    ) -> Result<bool> {
        let id = *id;
        let work = move |tx: &mut Tx<'_>| {
            let sql = "UPDATE uploads SET
                         hash_state = CASE WHEN durable <= $1 OR $1 = 0 THEN $2 ELSE hash_state END,
                         durable = CASE WHEN durable <= $1 OR $1 = 0 THEN $1 ELSE durable END,
                         touched_at = CASE WHEN touched_at < $3 THEN $3 ELSE touched_at END
                       WHERE id = $4 RETURNING repository, identity";
            let row = values![offset, hash_state.as_slice(), at, &id.as_bytes()[..]];
            let Some((repository, identity)) = tx.row(sql, row, |row| Ok((row.repository(0)?, row.text(1)?)))? else {
                return Ok(false);
            };
            leases::extend(tx, &repository, &identity, lease_until)?;
            Ok(true)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Unregisters a session: it was cancelled, or has expired. Answers whether it was there.
    pub async fn delete_upload(&self, repository: &RepositoryName, id: &UploadId) -> Result<bool> {
        let (repository, id) = (repository.clone(), *id);
        let work = move |tx: &mut Tx<'_>| {
            let Some(reserved) = unregister(tx, &id, &repository)? else { return Ok(false) };
            if reserved > 0 {
                Quotas::over(tx, &repository)?.add(tx, Change { reserved: -reserved, ..Change::default() })?;
            }
            Ok(true)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Sessions that no byte reached since `touched_before`, the oldest first.
    pub async fn expired_uploads(&self, touched_before: Timestamp, limit: usize) -> Result<Vec<Upload>> {
        let sql = "SELECT id, repository, identity, algorithm, durable, hash_state, started_at, touched_at
                   FROM uploads WHERE touched_at <= $1 ORDER BY touched_at LIMIT $2";
        self.engine().read(Kind::Read, move |tx| tx.rows(sql, values![touched_before, limit], read)).await
    }

    /// How many sessions are open, and the bytes that are durable in them.
    pub async fn open_uploads(&self) -> Result<(u64, u64)> {
        self.engine().read(Kind::Read, totals).await
    }

    /// All sessions, by id.
    pub async fn uploads(&self, after: Option<UploadId>, limit: usize) -> Result<Page<Upload>> {
        let sql = "SELECT id, repository, identity, algorithm, durable, hash_state, started_at, touched_at
                   FROM uploads WHERE id > $1 ORDER BY id LIMIT $2";
        let work = move |tx: &mut Tx<'_>| {
            let after = after.as_ref().map_or(&[][..], |id| &id.as_bytes()[..]);
            Ok(page(tx.rows(sql, values![after, limit + 1], read)?, limit))
        };
        self.engine().read(Kind::Read, work).await
    }
}

/// All sessions, and the bytes that are durable in them.
pub(crate) fn totals(tx: &mut Tx<'_>) -> Done<(u64, u64)> {
    let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(durable), 0) AS BIGINT) FROM uploads";
    Ok(tx.row(sql, values![], |row| Ok((row.size(0)?, row.size(1)?)))?.unwrap_or_default())
}

/// Removes a session's row. Answers what it had reserved, if it was there.
pub(crate) fn unregister(tx: &mut Tx<'_>, id: &UploadId, repository: &RepositoryName) -> Done<Option<i64>> {
    let sql = "DELETE FROM uploads WHERE id = $1 AND repository = $2 RETURNING reserved";
    tx.row(sql, values![&id.as_bytes()[..], repository], |row| row.int(0))
}

fn read(row: &Row<'_>) -> Done<Upload> {
    let id = row.bytes(0)?;
    let number = row.int(3)?;
    Ok(Upload {
        id: <[u8; 16]>::try_from(id.as_slice())
            .map(UploadId::from_bytes)
            .map_err(|_| unreadable("upload id", format!("{id:02x?}")))?,
        repository: row.repository(1)?,
        identity: row.text(2)?,
        algorithm: keys::algorithm(number).ok_or_else(|| unreadable("algorithm", number))?,
        offset: row.size(4)?,
        hash_state: row.bytes(5)?,
        started: row.time(6)?,
        touched: row.time(7)?,
    })
}
