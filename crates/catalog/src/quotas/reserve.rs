//! Room for uploads, taken before their bytes are.

use larder_oci::{RepositoryName, UploadId};

use super::{Change, Quotas, signed, used};
use crate::engine::{Done, Kind, Tx, values};
use crate::model::{OverQuota, Reserved};
use crate::{Catalog, Result};

impl Catalog {
    /// Reserves at least `needed` bytes for an upload and at most `wanted`, counted from its beginning: what it has reserved before is part of them.
    pub async fn reserve(
        &self,
        id: &UploadId,
        repository: &RepositoryName,
        needed: u64,
        wanted: u64,
    ) -> Result<Reserved> {
        let (id, repository) = (*id, repository.clone());
        let work = move |tx: &mut Tx<'_>| reserve(tx, &id, &repository, needed, wanted.max(needed));
        self.engine().write(Kind::Grow, work).await
    }

    /// The quota over this repository in which nothing is left, if there is one.
    pub async fn full_quota(&self, repository: &RepositoryName) -> Result<Option<OverQuota>> {
        let repository = repository.clone();
        let work = move |tx: &mut Tx<'_>| {
            for bound in Quotas::over(tx, &repository)?.0 {
                let used = used(tx, bound.id)?;
                if let Some(over) = bound.exceeded(used, 1, 1) {
                    return Ok(Some(over));
                }
            }
            Ok(None)
        };
        self.engine().read(Kind::Snapshot, work).await
    }
}

fn reserve(tx: &mut Tx<'_>, id: &UploadId, name: &RepositoryName, needed: u64, wanted: u64) -> Done<Reserved> {
    let quotas = Quotas::over(tx, name)?;
    if quotas.is_empty() {
        return Ok(Reserved::NoQuota);
    }
    quotas.take_turn(tx)?;
    let sql = "SELECT reserved FROM uploads WHERE id = $1";
    let Some(held) = tx.row(sql, values![&id.as_bytes()[..]], |row| row.size(0))? else { return Ok(Reserved::Gone) };
    if held >= needed {
        return Ok(Reserved::Bytes(held));
    }
    let mut more = wanted - held;
    for bound in &quotas.0 {
        let used = used(tx, bound.id)?;
        if let Some(over) = bound.exceeded(used, needed - held, 0) {
            return Ok(Reserved::Over(over));
        }
        let taken = used.bytes.saturating_add(used.reserved);
        more = more.min(bound.bytes.map_or(u64::MAX, |limit| limit.saturating_sub(taken)));
    }
    let sql = "UPDATE uploads SET reserved = $1 WHERE id = $2";
    tx.execute(sql, values![held + more, &id.as_bytes()[..]])?;
    quotas.add(tx, Change { reserved: signed(more), ..Change::default() })?;
    Ok(Reserved::Bytes(held + more))
}
