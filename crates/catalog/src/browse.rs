//! What people look at: lists in the order in which people want them, and the facts that stand beside each entry.
//!
//! Nothing here counts without an end: what a page shows costs the same in a repository of ten tags and of a hundred thousand (**Invariant 10**).

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryName, Tag};

use crate::engine::{Done, Kind, Row, Tx, unreadable, values};
use crate::keys;
use crate::lookup::{self, Hold};
use crate::model::{
    COUNTED, FoundRepositories, ManifestFacts, Page, RepositoryFilter, RepositoryOutline, RepositorySearch,
    TaggedManifest,
};
use crate::page::page;
use crate::visibility::names;
use crate::{Catalog, Result};

/// Names that one search looks at before it answers with what it has.
const LOOKED_AT: usize = 20_000;
/// Names that one step of it reads.
const STEP: usize = 1_000;
/// Manifests of a repository that are counted when it is asked how many name a blob.
const SHARERS: usize = 100;

/// A manifest's row `m`, its digest `d`; of an index also what its entries come to, whose own sizes stand in it already.
macro_rules! facts {
    () => {
        "d.digest, m.media_type, m.artifact_type, m.size,
         CAST(m.total_size + COALESCE((SELECT SUM(c.total_size - c.size) FROM edges e
             JOIN manifests c ON c.repository_id = e.repository_id AND c.digest_id = e.child_id
             WHERE e.manifest_id = m.id AND e.kind = 3), 0) AS BIGINT),
         m.pushed_at, m.pushed_by, m.pulled_at, m.incomplete"
    };
}

impl Catalog {
    /// Tags that moved before `before` (and of those that moved with it, those before it by name), the newest first. `None`: there is no such repository.
    pub async fn newest_tags(
        &self,
        repository: &RepositoryName,
        before: Option<(Timestamp, Tag)>,
        limit: usize,
    ) -> Result<Option<Page<TaggedManifest>>> {
        let name = repository.clone();
        let (at, tag) = match before {
            Some((at, tag)) => (at.as_millisecond(), tag.as_str().to_owned()),
            None => (i64::MAX, String::new()),
        };
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(None) };
            let sql = concat!(
                "SELECT t.name, t.updated_at, ",
                facts!(),
                " FROM tags t JOIN manifests m ON m.repository_id = t.repository_id AND m.digest_id = t.digest_id
                 JOIN digests d ON d.id = t.digest_id
                 WHERE t.repository_id = $1 AND (t.updated_at, t.name) < ($2, $3)
                 ORDER BY t.updated_at DESC, t.name DESC LIMIT $4"
            );
            let rows = tx.rows(sql, values![id, at, &tag, limit + 1], tagged)?;
            Ok(Some(page(rows, limit)))
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Tags after `after` whose names begin with `beginning`, in the order of their bytes. `None`: there is no such repository.
    pub async fn named_tags(
        &self,
        repository: &RepositoryName,
        beginning: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Page<TaggedManifest>>> {
        let (name, after) = (repository.clone(), after.unwrap_or_default().to_owned());
        // `~` follows every character of a tag.
        let (begin, end) = (beginning.to_owned(), format!("{beginning}~"));
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(None) };
            let sql = concat!(
                "SELECT t.name, t.updated_at, ",
                facts!(),
                " FROM tags t JOIN manifests m ON m.repository_id = t.repository_id AND m.digest_id = t.digest_id
                 JOIN digests d ON d.id = t.digest_id
                 WHERE t.repository_id = $1 AND t.name > $2 AND t.name >= $3 AND t.name < $4 ORDER BY t.name LIMIT $5"
            );
            let rows = tx.rows(sql, values![id, &after, &begin, &end, limit + 1], tagged)?;
            Ok(Some(page(rows, limit)))
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// What is known of these manifests, in their order; nothing of those that the repository does not hold.
    pub async fn manifest_facts(
        &self,
        repository: &RepositoryName,
        digests: &[Digest],
    ) -> Result<Vec<Option<ManifestFacts>>> {
        let (name, digests) = (repository.clone(), digests.to_vec());
        let sql = concat!(
            "SELECT ",
            facts!(),
            " FROM digests d JOIN manifests m ON m.digest_id = d.id AND m.repository_id = $1 WHERE d.digest = $2"
        );
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(vec![None; digests.len()]) };
            let found = |digest| tx.row(sql, values![id, &keys::encode(digest)], |row| facts(row, 0));
            digests.iter().map(found).collect()
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Tags that point to a manifest.
    pub async fn tags_of(&self, repository: &RepositoryName, digest: &Digest, limit: usize) -> Result<Page<Tag>> {
        let (name, digest) = (repository.clone(), *digest);
        let sql = "SELECT t.name FROM repositories r JOIN digests d ON d.digest = $1
                   JOIN tags t ON t.repository_id = r.id AND t.digest_id = d.id WHERE r.name = $2 LIMIT $3";
        let work = move |tx: &mut Tx<'_>| {
            let mut tags = tx.rows(sql, values![&keys::encode(&digest), &name, limit + 1], |row| row.tag(0))?;
            tags.sort_unstable();
            Ok(page(tags, limit))
        };
        self.engine().read(Kind::Read, work).await
    }

    /// Indexes of a repository that have this manifest among their entries.
    pub async fn indexes_of(&self, repository: &RepositoryName, digest: &Digest, limit: usize) -> Result<Vec<Digest>> {
        let (name, digest) = (repository.clone(), *digest);
        let sql = "SELECT p.digest FROM repositories r JOIN digests d ON d.digest = $1
                   JOIN edges e ON e.child_id = d.id AND e.repository_id = r.id AND e.kind = 3
                   JOIN manifests m ON m.id = e.manifest_id JOIN digests p ON p.id = m.digest_id
                   WHERE r.name = $2 LIMIT $3";
        let work =
            move |tx: &mut Tx<'_>| tx.rows(sql, values![&keys::encode(&digest), &name, limit], |row| row.digest(0));
        self.engine().read(Kind::Snapshot, work).await
    }

    /// For each blob, how many manifests of the repository have it as a layer; counting ends at a hundred.
    pub async fn layer_uses(&self, repository: &RepositoryName, blobs: &[Digest]) -> Result<Vec<u64>> {
        let (name, blobs) = (repository.clone(), blobs.to_vec());
        let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM digests d JOIN edges e ON e.child_id = d.id AND e.repository_id = $1 AND e.kind = 2
                   WHERE d.digest = $2 LIMIT $3) AS page";
        let work = move |tx: &mut Tx<'_>| {
            let Some(id) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(vec![0; blobs.len()]) };
            let count = |blob| tx.row(sql, values![id, &keys::encode(blob), SHARERS], |row| row.size(0));
            blobs.iter().map(count).map(|count| Ok(count?.unwrap_or_default())).collect()
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// What a repository holds, as far as counting is cheap.
    pub async fn repository_outline(&self, repository: &RepositoryName) -> Result<Option<RepositoryOutline>> {
        let name = repository.clone();
        self.engine().read(Kind::Snapshot, move |tx| outline(tx, &name)).await
    }

    /// Repositories that somebody may see and that a search finds, in order of their names. A search that looked at many names answers with what it has
    /// and says where to go on, so that no page waits for the whole catalog.
    pub async fn search_repositories(
        &self,
        filter: &RepositoryFilter,
        search: RepositorySearch,
        after: Option<&str>,
        limit: usize,
    ) -> Result<FoundRepositories> {
        let (filter, after) = (filter.clone(), after.map(str::to_owned));
        let work = move |tx: &mut Tx<'_>| {
            let (found, next) = search_names(tx, &filter, &search, after.clone(), limit)?;
            let mut items = Vec::with_capacity(found.len());
            for name in &found {
                items.extend(outline(tx, name)?);
            }
            Ok(FoundRepositories { items, next })
        };
        self.engine().read(Kind::Snapshot, work).await
    }
}

/// At most `limit` names that the search finds, and after which name to go on.
fn search_names(
    tx: &mut Tx<'_>,
    filter: &RepositoryFilter,
    search: &RepositorySearch,
    after: Option<String>,
    limit: usize,
) -> Done<(Vec<RepositoryName>, Option<String>)> {
    let (mut found, mut last) = (Vec::new(), after);
    let step = if search.finds_all() { limit } else { STEP };
    for _ in 0..LOOKED_AT.div_ceil(step.max(1)) {
        let mut names = names(tx, filter, last.as_deref(), step)?;
        let more = names.len() > step;
        names.truncate(step);
        for (at, name) in names.iter().enumerate() {
            if finds(tx, search, name)? {
                found.push(name.parse().map_err(|_| unreadable("repository name", name))?);
            }
            if found.len() == limit {
                let rest = more || at + 1 < names.len();
                return Ok((found, rest.then(|| name.clone())));
            }
        }
        last = names.pop().or(last);
        if !more {
            return Ok((found, None));
        }
    }
    Ok((found, last))
}

fn finds(tx: &mut Tx<'_>, search: &RepositorySearch, name: &str) -> Done<bool> {
    if !search.words.iter().all(|word| name.contains(word.as_str())) {
        return Ok(false);
    }
    let Some(wanted) = search.public else { return Ok(true) };
    let public = tx.row("SELECT public FROM repositories WHERE name = $1", values![name], |row| row.flag(0))?;
    Ok(public == Some(wanted))
}

fn outline(tx: &mut Tx<'_>, name: &RepositoryName) -> Done<Option<RepositoryOutline>> {
    let sql = "SELECT id, created_at, public, description FROM repositories WHERE name = $1";
    let facts = tx.row(sql, values![name], |row| Ok((row.int(0)?, row.time(1)?, row.flag(2)?, row.text(3)?)))?;
    let Some((id, created, public, description)) = facts else { return Ok(None) };
    let sql = "SELECT COUNT(*) FROM (SELECT 1 FROM tags WHERE repository_id = $1 LIMIT $2) AS page";
    let tags = tx.row(sql, values![id, COUNTED], |row| row.size(0))?.unwrap_or_default();
    let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM
               (SELECT size FROM manifests WHERE repository_id = $1 LIMIT $2) AS page";
    let manifests = tx.row(sql, values![id, COUNTED], counted)?.unwrap_or_default();
    let sql = "SELECT COUNT(*), CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM
               (SELECT b.size FROM memberships m JOIN blobs b ON b.digest_id = m.digest_id AND b.state = 0
                WHERE m.repository_id = $1 LIMIT $2) AS page";
    let blobs = tx.row(sql, values![id, COUNTED], counted)?.unwrap_or_default();
    let whole = [manifests.0, blobs.0].iter().all(|count| *count < COUNTED as u64);
    let size = whole.then(|| manifests.1.saturating_add(blobs.1));
    let sql = "SELECT updated_at FROM tags WHERE repository_id = $1 ORDER BY updated_at DESC LIMIT 1";
    let changed = tx.row(sql, values![id], |row| row.time(0))?;
    let name = name.clone();
    Ok(Some(RepositoryOutline { name, created, public, description, tags, manifests: manifests.0, size, changed }))
}

fn counted(row: &Row<'_>) -> Done<(u64, u64)> {
    Ok((row.size(0)?, row.size(1)?))
}

fn tagged(row: &Row<'_>) -> Done<TaggedManifest> {
    Ok(TaggedManifest { name: row.tag(0)?, updated: row.time(1)?, manifest: facts(row, 2)? })
}

fn facts(row: &Row<'_>, at: usize) -> Done<ManifestFacts> {
    Ok(ManifestFacts {
        digest: row.digest(at)?,
        media_type: row.text(at + 1)?,
        artifact_type: row.opt_text(at + 2)?,
        size: row.size(at + 3)?,
        content: row.size(at + 4)?,
        pushed: row.time(at + 5)?,
        pushed_by: row.text(at + 6)?,
        pulled: row.opt_time(at + 7)?,
        incomplete: row.flag(at + 8)?,
    })
}
