//! Who pulls what stands in a stage: the last pull of each identity, written down some at a time.

use larder_oci::{Digest, RepositoryName, Tag};

use super::is_stage;
use crate::engine::{Done, Kind, Tx, values};
use crate::keys;
use crate::lookup::{self, Hold};
use crate::model::Page;
use crate::model::promotion::{NotedPull, StagePull};
use crate::page::page;
use crate::{Catalog, Result};

/// Pulls that one unit writes down.
const PULLS: usize = 200;
/// Tags at a manifest, and indexes that name it, that are looked at.
const TAGS: usize = 100;

impl Catalog {
    /// Writes down who pulled what stands in a stage now; other pulls are forgotten.
    pub async fn stage_pulled(&self, pulls: Vec<NotedPull>) -> Result<()> {
        for some in pulls.chunks(PULLS) {
            let some = some.to_vec();
            self.engine().write(Kind::Shrink, move |tx| some.iter().try_for_each(|pull| note(tx, pull))).await?;
        }
        Ok(())
    }

    /// The last pull of each identity from a stage, after this identity, in order.
    pub async fn stage_pulls(
        &self,
        repository: &RepositoryName,
        stage: &Tag,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<StagePull>> {
        let (name, stage, after) = (repository.clone(), stage.clone(), after.unwrap_or_default().to_owned());
        let sql = "SELECT identity, digest, at FROM stage_pulls WHERE repository = $1 AND stage = $2 AND identity > $3
                   ORDER BY identity LIMIT $4";
        let work = move |tx: &mut Tx<'_>| {
            let rows = tx.rows(sql, values![&name, &stage, &after, limit + 1], |row| {
                Ok(StagePull { identity: row.text(0)?, digest: row.digest(1)?, at: row.time(2)? })
            })?;
            Ok(page(rows, limit))
        };
        self.engine().read(Kind::Read, work).await
    }
}

fn note(tx: &mut Tx<'_>, pull: &NotedPull) -> Done<()> {
    if let Some((base, stage)) = &pull.stage {
        return write(tx, (base, stage), &pull.digest, pull);
    }
    let Some(repository) = lookup::repository(tx, &pull.repository, Hold::Look)? else { return Ok(()) };
    let Some(digest) = lookup::digest(tx, &pull.digest, Hold::Look)? else { return Ok(()) };
    for (tag, standing) in tags(tx, repository, digest)? {
        if is_stage(tx, &pull.repository, &tag)? {
            write(tx, (&pull.repository, &tag), &standing, pull)?;
        }
    }
    Ok(())
}

/// The tags at a manifest, or at an index that names it: a client asks for the index and then for its own entry.
fn tags(tx: &mut Tx<'_>, repository: i64, digest: i64) -> Done<Vec<(Tag, Digest)>> {
    let sql =
        "SELECT t.name, d.digest FROM tags t JOIN stage_names s ON s.name = t.name JOIN digests d ON d.id = t.digest_id
               WHERE t.repository_id = $1 AND t.digest_id = $2 LIMIT $3";
    let mut found = tx.rows(sql, values![repository, digest, TAGS], |row| Ok((row.tag(0)?, row.digest(1)?)))?;
    let parents = "SELECT m.digest_id FROM edges e JOIN manifests m ON m.id = e.manifest_id
                   WHERE e.child_id = $1 AND e.repository_id = $2 AND e.kind = 3 LIMIT $3";
    for parent in tx.rows(parents, values![digest, repository, TAGS], |row| row.int(0))? {
        found.extend(tx.rows(sql, values![repository, parent, TAGS], |row| Ok((row.tag(0)?, row.digest(1)?)))?);
    }
    Ok(found)
}

fn write(
    tx: &mut Tx<'_>,
    (repository, stage): (&RepositoryName, &Tag),
    standing: &Digest,
    pull: &NotedPull,
) -> Done<()> {
    let sql = "INSERT INTO stage_pulls (repository, stage, identity, digest, at) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (repository, stage, identity) DO UPDATE SET digest = excluded.digest, at = excluded.at
               WHERE stage_pulls.at <= excluded.at";
    tx.execute(sql, values![repository, stage, &pull.identity, &keys::encode(standing), pull.at])?;
    Ok(())
}
