//! Lists of tags by name, version and time. Each order is that of an index, and a page goes on after the last row of the one before
//! (**Invariant 10**): by version, the key of a tag follows from its name; by time, the page's end names both.

use jiff::Timestamp;
use larder_oci::{RepositoryName, Tag, TagKey};

use crate::engine::{Done, Kind, Row, Tx, Value, values};
use crate::lookup::{self, Hold};
use crate::model::{TagListing, TagOrder, TagRow, TagRows};
use crate::{Catalog, Result};

/// Tags that a page of a partial list looks at, at least.
const LOOKED_AT: usize = 1_000;
/// Tags whose keys one unit writes again.
const RENEWED: usize = 1_000;

impl Catalog {
    /// A page of the tags that `listing` shows, after the `next` of the page before. `None`: there is no such repository.
    ///
    /// By version and by time, a page that begins with something else than such a `next` begins with the first tag.
    pub async fn tag_rows(
        &self,
        repository: &RepositoryName,
        listing: &TagListing,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<TagRows>> {
        let (name, listing, after) = (repository.clone(), listing.clone(), after.map(str::to_owned));
        let work = move |tx: &mut Tx<'_>| {
            let Some(repository) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(None) };
            let looked_at = if listing.is_partial() { limit.max(LOOKED_AT) } else { limit };
            let rows = match listing.order {
                TagOrder::Name => by_name(tx, repository, after.as_deref().unwrap_or_default(), looked_at + 1)?,
                TagOrder::Version => by_version(tx, repository, after.as_deref(), looked_at + 1)?,
                TagOrder::Time => by_time(tx, repository, after.as_deref(), looked_at + 1)?,
            };
            Ok(Some(choose(rows, &listing, looked_at, limit)))
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Writes the keys of all tags again if those that stand there are of another edition.
    pub(crate) async fn renew_tag_keys(&self) -> Result<()> {
        let edition = TagKey::EDITION.to_string();
        let stored =
            |tx: &mut Tx<'_>| tx.row("SELECT value FROM meta WHERE key = 'tag_keys'", values![], |row| row.text(0));
        if self.engine().read(Kind::Read, stored).await?.as_deref() == Some(&edition) {
            return Ok(());
        }
        let mut after = Some((0, String::new()));
        while let Some(from) = after {
            after = self.engine().write(Kind::Shrink, move |tx| renew_some(tx, &from)).await?;
        }
        let sql = "INSERT INTO meta (key, value) VALUES ('tag_keys', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.engine().write(Kind::Shrink, move |tx| tx.execute(sql, values![&edition]).map(drop)).await
    }
}

/// The rows that are shown, and where the next page begins: after the last row that was looked at.
fn choose(mut rows: Vec<TagRow>, listing: &TagListing, looked_at: usize, limit: usize) -> TagRows {
    let mut more = rows.len() > looked_at;
    rows.truncate(looked_at);
    let (mut items, mut last) = (Vec::new(), None);
    for row in rows {
        if items.len() == limit {
            more = true;
            break;
        }
        last = Some(key(listing.order, &row));
        if !listing.is_partial() || listing.shows(&row.name) {
            items.push(row);
        }
    }
    TagRows { items, next: last.filter(|_| more) }
}

/// What a page goes on after.
fn key(order: TagOrder, row: &TagRow) -> String {
    match order {
        TagOrder::Name | TagOrder::Version => row.name.to_string(),
        TagOrder::Time => format!("{}:{}", row.updated.as_millisecond(), row.name),
    }
}

macro_rules! rows_of_tags {
    ($($rest:literal),*) => {
        concat!(
            "SELECT t.name, d.digest, m.media_type, m.total_size, t.updated_at, m.incomplete, m.labels FROM tags t
             JOIN manifests m ON m.repository_id = t.repository_id AND m.digest_id = t.digest_id
             JOIN digests d ON d.id = t.digest_id WHERE t.repository_id = $1 AND ",
            $($rest),*
        )
    };
}

fn by_name(tx: &mut Tx<'_>, repository: i64, after: &str, limit: usize) -> Done<Vec<TagRow>> {
    let sql = rows_of_tags!("t.name > $2 ORDER BY t.name LIMIT $3");
    tx.rows(sql, values![repository, after, limit], row)
}

/// Two ranges of the index: the rest of the tags that have the last one's key, and those with lesser keys.
fn by_version(tx: &mut Tx<'_>, repository: i64, after: Option<&str>, limit: usize) -> Done<Vec<TagRow>> {
    let last = after.and_then(|after| after.parse::<Tag>().ok()).map(|tag| (TagKey::of(&tag), tag));
    let above = [u8::MAX];
    let from = last.as_ref().map_or(&above[..], |(key, _)| key.as_bytes());
    let equals = rows_of_tags!("t.version_key = $2 AND t.name > $3 ORDER BY t.name LIMIT $4");
    let lesser = rows_of_tags!("t.version_key < $2 ORDER BY t.version_key DESC, t.name LIMIT $3");
    in_two(tx, repository, from.into(), last.as_ref().map(|(_, tag)| tag), limit, [equals, lesser])
}

fn by_time(tx: &mut Tx<'_>, repository: i64, after: Option<&str>, limit: usize) -> Done<Vec<TagRow>> {
    let last: Option<(Timestamp, Tag)> = after.and_then(|after| {
        let (millis, tag) = after.split_once(':')?;
        Some((Timestamp::from_millisecond(millis.parse().ok()?).ok()?, tag.parse().ok()?))
    });
    let from = last.as_ref().map_or(Value::Int(i64::MAX), |(at, _)| Value::from(*at));
    let equals = rows_of_tags!("t.updated_at = $2 AND t.name > $3 ORDER BY t.name LIMIT $4");
    let lesser = rows_of_tags!("t.updated_at < $2 ORDER BY t.updated_at DESC, t.name LIMIT $3");
    in_two(tx, repository, from, last.as_ref().map(|(_, tag)| tag), limit, [equals, lesser])
}

fn in_two(
    tx: &mut Tx<'_>,
    repository: i64,
    from: Value<'_>,
    last: Option<&Tag>,
    limit: usize,
    [equals, lesser]: [&'static str; 2],
) -> Done<Vec<TagRow>> {
    let mut rows = match last {
        Some(last) => tx.rows(equals, &[repository.into(), from, last.into(), limit.into()], row)?,
        None => Vec::new(),
    };
    if rows.len() < limit {
        rows.extend(tx.rows(lesser, &[repository.into(), from, (limit - rows.len()).into()], row)?);
    }
    Ok(rows)
}

fn row(row: &Row<'_>) -> Done<TagRow> {
    let (name, digest, media_type) = (row.tag(0)?, row.digest(1)?, row.text(2)?);
    let (size, updated, incomplete) = (row.size(3)?, row.time(4)?, row.flag(5)?);
    Ok(TagRow { name, digest, media_type, size, updated, incomplete, labels: row.opt_text(6)? })
}

/// Writes the keys of the next tags; answers after which to go on.
fn renew_some(tx: &mut Tx<'_>, from: &(i64, String)) -> Done<Option<(i64, String)>> {
    let sql = "SELECT repository_id, name FROM tags WHERE (repository_id, name) > ($1, $2) ORDER BY repository_id, name LIMIT $3";
    let tags = tx.rows(sql, values![from.0, &from.1, RENEWED], |row| Ok((row.int(0)?, row.tag(1)?)))?;
    for (repository, tag) in &tags {
        let sql = "UPDATE tags SET version_key = $1 WHERE repository_id = $2 AND name = $3";
        tx.execute(sql, values![TagKey::of(tag).as_bytes(), *repository, tag])?;
    }
    let is_last = tags.len() < RENEWED;
    Ok(tags.last().filter(|_| !is_last).map(|(repository, tag)| (*repository, tag.to_string())))
}

#[cfg(test)]
mod tests {
    use crate::engine::{Kind, Tx, values};
    use crate::fixture::{Fixture, manifest, name};
    use crate::model::{TagListing, TagOrder};

    #[tokio::test]
    async fn keys_of_another_edition_are_written_again() {
        let f = Fixture::memory().await;
        f.push(manifest("a", 1, vec![], &["1.2", "1.10"])).await;
        let outdated = |tx: &mut Tx<'_>| {
            tx.execute("UPDATE tags SET version_key = x''", values![])?;
            tx.execute("UPDATE meta SET value = '0' WHERE key = 'tag_keys'", values![])
        };
        f.catalog.engine().write(Kind::Shrink, outdated).await.expect("written");
        f.catalog.renew_tag_keys().await.expect("renewed");
        let listing = TagListing { order: TagOrder::Version, ..TagListing::default() };
        let rows = f.tag_rows(&name("a"), &listing, None, 9).await.expect("listed").expect("it is there");
        assert_eq!(rows.items.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["1.10", "1.2"]);
    }
}
