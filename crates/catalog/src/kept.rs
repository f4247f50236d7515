//! Why the bytes of each object are kept, and which repositories hold them. For people who ask: what many manifests name is looked at manifest by
//! manifest.

use larder_oci::RepositoryName;

use crate::blobs::{LIVE, QUARANTINED};
use crate::engine::{Done, Kind, Tx, values};
use crate::model::{HeldBytes, Kept, KeptObject, Page};
use crate::page::page;
use crate::{Catalog, Result};

impl Catalog {
    /// Of each key why its bytes are kept: by the strongest reason there is, the first one of [`Kept`]. `None` for a key without a row.
    pub async fn kept(&self, keys: &[String]) -> Result<Vec<Option<KeptObject>>> {
        let keys = keys.to_vec();
        let work = move |tx: &mut Tx<'_>| keys.iter().map(|key| kept(tx, key)).collect();
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Repositories by name, after this one, with the bytes that they alone hold and those that others hold too.
    pub async fn held_bytes(&self, after: Option<&str>, limit: usize) -> Result<Page<HeldBytes>> {
        let after = after.unwrap_or_default().to_owned();
        let work = move |tx: &mut Tx<'_>| {
            let sql = "SELECT id, name FROM repositories WHERE name > $1 ORDER BY name LIMIT $2";
            let named = tx.rows(sql, values![&after, limit + 1], |row| Ok((row.int(0)?, row.repository(1)?)))?;
            let rows = named.into_iter().map(|(id, name)| held_by(tx, id, name)).collect::<Done<Vec<_>>>()?;
            Ok(page(rows, limit))
        };
        self.engine().read(Kind::Snapshot, work).await
    }
}

fn kept(tx: &mut Tx<'_>, key: &str) -> Done<Option<KeptObject>> {
    let sql = "SELECT digest_id, state FROM blobs WHERE key = $1";
    let Some((digest, state)) = tx.row(sql, values![key], |row| Ok((row.int(0)?, row.int(1)?)))? else {
        return Ok(None);
    };
    let why = match state {
        LIVE => live(tx, digest)?,
        QUARANTINED => Kept::Quarantined,
        _ => Kept::Leaving,
    };
    let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM memberships WHERE digest_id = $1 LIMIT 2) AS page";
    let holders = if state == LIVE { tx.row(sql, values![digest], |row| row.size(0))?.unwrap_or(0) } else { 0 };
    Ok(Some(KeptObject { why, holders }))
}

/// The manifests that name a digest, and the indexes above them.
macro_rules! above {
    ($select:literal) => {
        concat!(
            "WITH RECURSIVE up(id, repository_id, digest_id) AS (
               SELECT m.id, m.repository_id, m.digest_id FROM edges e JOIN manifests m ON m.id = e.manifest_id WHERE e.child_id = $1
               UNION
               SELECT p.id, p.repository_id, p.digest_id FROM up
               JOIN edges e ON e.child_id = up.digest_id AND e.repository_id = up.repository_id AND e.kind = 3
               JOIN manifests p ON p.id = e.manifest_id) ",
            $select
        )
    };
}

fn live(tx: &mut Tx<'_>, digest: i64) -> Done<Kept> {
    // Ends with the first one that is found: base layers have very many.
    let tagged = above!(
        "SELECT 1 FROM up JOIN manifests m ON m.id = up.id WHERE m.subject_id IS NULL
           AND (m.artifact_type IS NULL OR m.artifact_type <> 'application/vnd.buildkit.cacheconfig.v0')
           AND EXISTS (SELECT 1 FROM tags t WHERE t.repository_id = up.repository_id AND t.digest_id = up.digest_id) LIMIT 1"
    );
    if tx.any(tagged, values![digest])? {
        return Ok(Kept::Tag);
    }
    let others = above!(
        "SELECT MIN(CASE WHEN m.subject_id IS NOT NULL THEN 1
             WHEN m.artifact_type = 'application/vnd.buildkit.cacheconfig.v0' THEN 2 ELSE 3 END)
           FROM up JOIN manifests m ON m.id = up.id"
    );
    match tx.row(others, values![digest], |row| row.opt_int(0))?.flatten() {
        Some(1) => return Ok(Kept::Referrer),
        Some(2) => return Ok(Kept::Cache),
        Some(_) => return Ok(Kept::History),
        None => {}
    }
    let trash = tx.any("SELECT 1 FROM trash_edges WHERE child_id = $1 LIMIT 1", values![digest])?;
    Ok(if trash { Kept::Trash } else { Kept::Lease })
}

fn held_by(tx: &mut Tx<'_>, repository: i64, name: RepositoryName) -> Done<HeldBytes> {
    let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT), CAST(COALESCE(SUM(shared), 0) AS BIGINT),
                 CAST(COALESCE(SUM(shared * size), 0) AS BIGINT)
               FROM (SELECT b.size AS size, CASE WHEN EXISTS (SELECT 1 FROM memberships o
                       WHERE o.digest_id = m.digest_id AND o.repository_id <> m.repository_id) THEN 1 ELSE 0 END AS shared
                     FROM memberships m JOIN blobs b ON b.digest_id = m.digest_id AND b.state = 0 WHERE m.repository_id = $1) AS page";
    let sums = tx.row(sql, values![repository], |row| Ok((row.size(0)?, row.size(1)?, row.size(2)?, row.size(3)?)))?;
    let (count, bytes, shared_count, shared_bytes) = sums.unwrap_or_default();
    Ok(HeldBytes {
        repository: name,
        own: (count - shared_count, bytes - shared_bytes),
        shared: (shared_count, shared_bytes),
    })
}
