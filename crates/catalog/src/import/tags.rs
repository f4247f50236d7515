//! Tags of the tree. What was done here since the last pass stays.

use larder_oci::RepositoryName;

use super::{HOW, ImportTag, ImportedTag};
use crate::engine::{Done, Kind, Tx, values};
use crate::lookup::{self, Hold};
use crate::model::Stamp;
use crate::tags::{Place, point};
use crate::{Catalog, Result};

impl Catalog {
    /// Points tags where the tree says, unless somebody else than an import moved or removed them here. One answer for each, in order; all in one
    /// transaction, with their history.
    pub async fn import_tags(
        &self,
        repository: &RepositoryName,
        mut tags: Vec<ImportTag>,
        stamp: Stamp,
    ) -> Result<Vec<(ImportTag, ImportedTag)>> {
        // In the order of their names, like every change of several.
        tags.sort_by(|a, b| a.tag.cmp(&b.tag));
        let name = repository.clone();
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Share)? else {
                return Ok(tags.iter().map(|tag| (tag.clone(), ImportedTag::NoManifest)).collect());
            };
            let place = Place { id, name: &name };
            tags.iter().map(|tag| Ok((tag.clone(), import(tx, place, tag, &stamp)?))).collect()
        };
        self.engine().write(Kind::Grow, work).await
    }
}

fn import(tx: &mut Tx<'_>, place: Place<'_>, wanted: &ImportTag, stamp: &Stamp) -> Done<ImportedTag> {
    let ImportTag { tag, digest, at } = wanted;
    let sql =
        "SELECT d.digest FROM tags t JOIN digests d ON d.id = t.digest_id WHERE t.repository_id = $1 AND t.name = $2";
    let current = tx.row(sql, values![place.id, tag], |row| row.digest(0))?;
    if current == Some(*digest) {
        return Ok(ImportedTag::Same);
    }
    let Some(target) = lookup::digest(tx, digest, Hold::Share)? else { return Ok(ImportedTag::NoManifest) };
    let sql = "SELECT 1 FROM manifests WHERE repository_id = $1 AND digest_id = $2";
    if !tx.any(sql, values![place.id, target])? {
        return Ok(ImportedTag::NoManifest);
    }
    let sql = "SELECT how FROM tag_events WHERE repository = $1 AND name = $2 ORDER BY id DESC LIMIT 1";
    let last = tx.row(sql, values![place.name, tag], |row| row.text(0))?;
    let ours = match (&current, &last) {
        (None, None) => true,
        (_, Some(how)) => how == HOW,
        // Its history is pruned: nobody knows who moved it.
        (Some(_), None) => false,
    };
    if !ours {
        return Ok(ImportedTag::Kept { current });
    }
    let stamp = Stamp { at: *at, ..stamp.clone() };
    point(tx, place, tag, (target, digest), HOW, &stamp)?;
    Ok(ImportedTag::Set { from: current })
}
