//! Blobs of the tree: who holds them, and which the catalog has already.

use larder_oci::{Digest, RepositoryName};

use super::{ImportBlob, ImportedBlob, KnownDigest};
use crate::access;
use crate::blobs::add_member;
use crate::engine::{Done, Kind, Row, Tx, Value, values};
use crate::keys::{self, DigestKey};
use crate::lookup::{self, Hold};
use crate::model::Stamp;
use crate::quotas::{self, Change, Quotas};
use crate::{Catalog, Result};

impl Catalog {
    /// What the repository and the catalog know of these digests, in their order.
    pub async fn known_digests(&self, repository: &RepositoryName, digests: &[Digest]) -> Result<Vec<KnownDigest>> {
        let (name, digests) = (repository.clone(), digests.to_vec());
        let work = move |tx: &mut Tx<'_>| {
            let repository = lookup::repository(tx, &name, Hold::Look)?.unwrap_or(0);
            digests.iter().map(|digest| known(tx, repository, digest)).collect()
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Makes blobs members of a repository, which is made if absent; those that came with an object become live, marked as unverified. One answer for
    /// each, in order. They get no lease: until [`queue_unnamed`](Self::queue_unnamed) nothing looks at them.
    pub async fn import_blobs(
        &self,
        repository: &RepositoryName,
        blobs: Vec<ImportBlob>,
        stamp: Stamp,
    ) -> Result<Vec<ImportedBlob>> {
        let name = repository.clone();
        self.engine().write(Kind::Grow, move |tx| import(tx, &name, &blobs, &stamp)).await
    }

    /// Has the sweep look, from `review_after` on, at every blob of the repository that no manifest there names. Answers how many there are.
    pub async fn queue_unnamed(&self, repository: &RepositoryName, review_after: jiff::Timestamp) -> Result<u64> {
        let name = repository.clone();
        let sql = "INSERT INTO sweep_queue (digest_id, repository_id, review_after)
                   SELECT m.digest_id, m.repository_id, CAST($1 AS BIGINT) FROM memberships m
                   WHERE m.repository_id = $2 AND NOT EXISTS
                   (SELECT 1 FROM edges e WHERE e.child_id = m.digest_id AND e.repository_id = m.repository_id)
                   ON CONFLICT (digest_id, repository_id) DO UPDATE SET review_after =
                   CASE WHEN excluded.review_after < sweep_queue.review_after THEN excluded.review_after ELSE sweep_queue.review_after END";
        let work = move |tx: &mut Tx<'_>| match lookup::repository(tx, &name, Hold::Share)? {
            Some(repository) => tx.execute(sql, values![review_after, repository]),
            None => Ok(0),
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// For each digest, whether the catalog has it: as a blob in any state but condemned, or as a manifest.
    pub async fn digests_held(&self, digests: &[Digest]) -> Result<Vec<bool>> {
        let digests = digests.to_vec();
        let sql = "SELECT 1 FROM digests d WHERE d.digest = $1 AND (EXISTS (SELECT 1 FROM blobs b WHERE b.digest_id = d.id AND b.state <> 2)
                   OR EXISTS (SELECT 1 FROM manifest_bytes f WHERE f.digest_id = d.id))";
        let work =
            move |tx: &mut Tx<'_>| digests.iter().map(|digest| tx.any(sql, values![&keys::encode(digest)])).collect();
        self.engine().read(Kind::Snapshot, work).await
    }
}

fn known(tx: &mut Tx<'_>, repository: i64, digest: &Digest) -> Done<KnownDigest> {
    let sql = "SELECT (SELECT b.size FROM blobs b WHERE b.digest_id = d.id AND b.state = 0),
                 CASE WHEN EXISTS (SELECT 1 FROM memberships m WHERE m.repository_id = $1 AND m.digest_id = d.id) THEN 1 ELSE 0 END,
                 CASE WHEN EXISTS (SELECT 1 FROM manifests f WHERE f.repository_id = $1 AND f.digest_id = d.id) THEN 1 ELSE 0 END
               FROM digests d WHERE d.digest = $2";
    let read = |row: &Row<'_>| {
        let live = row.opt_int(0)?.map(|size| u64::try_from(size).unwrap_or(0));
        Ok(KnownDigest { live, member: row.flag(1)?, manifest: row.flag(2)? })
    };
    Ok(tx.row(sql, values![repository, &keys::encode(digest)], read)?.unwrap_or_default())
}

fn import(tx: &mut Tx<'_>, name: &RepositoryName, blobs: &[ImportBlob], stamp: &Stamp) -> Done<Vec<ImportedBlob>> {
    let quotas = Quotas::over(tx, name)?;
    let (repository, made) = lookup::ensure_repository(tx, name, stamp)?;
    hold(tx, blobs)?;
    let mut more = 0;
    let mut imported = Vec::with_capacity(blobs.len());
    for blob in blobs {
        let digest = lookup::ensure_digest(tx, &blob.digest, Hold::Own)?;
        let live =
            tx.row("SELECT key FROM blobs WHERE digest_id = $1 AND state = 0", values![digest], |row| row.text(0))?;
        let made = live.is_none();
        let key = match (live, &blob.object) {
            (Some(key), _) => key,
            (None, Some((key, size))) => {
                let sql = "INSERT INTO blobs (key, digest_id, size, state, created_at, unverified) VALUES ($1, $2, $3, 0, $4, 1)";
                tx.execute(sql, values![key, digest, *size, stamp.at])?;
                key.clone()
            }
            (None, None) => {
                imported.push(ImportedBlob::Absent);
                continue;
            }
        };
        let added = add_member(tx, repository, digest, stamp)?;
        if added.counts && !quotas.is_empty() {
            more += quotas::size_of(tx, digest)?;
        }
        imported.push(ImportedBlob::Member { new: added.is_new, made, key });
    }
    quotas.add(tx, Change::more(more))?;
    if made {
        access::repository_made(tx, repository, name, stamp)?;
    }
    Ok(imported)
}

/// On PostgreSQL rows are made and held in the order of their digests, like everywhere.
fn hold(tx: &mut Tx<'_>, blobs: &[ImportBlob]) -> Done<()> {
    let Tx::Postgres(session) = tx else { return Ok(()) };
    let keys: Vec<DigestKey> = blobs.iter().map(|blob| keys::encode(&blob.digest)).collect();
    let slices: Vec<&[u8]> = keys.iter().map(DigestKey::as_slice).collect();
    let sql = "INSERT INTO digests (digest) SELECT d FROM unnest($1::bytea[]) AS d ORDER BY d ON CONFLICT (digest) DO NOTHING";
    session.execute(sql, &[Value::from(slices.as_slice())])?;
    lookup::hold_digests(tx, blobs.iter().map(|blob| &blob.digest), Hold::Own)
}
