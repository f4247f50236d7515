//! Finding images: by tag, by the beginning of a digest, by what they say about themselves.
//!
//! Each is a walk along an index from where the page before ended. What may not be seen is passed over, and a walk that passed over much answers with what
//! it has (**Invariant 10**).

use std::collections::BTreeMap;

use larder_oci::{Digest, RepositoryName};

use crate::engine::{Done, Kind, Row, Tx, unreadable, values};
use crate::keys;
use crate::model::{FoundImage, FoundImages, ImageSearch, RepositoryFilter, Sought};
use crate::{Catalog, Result};

/// Rows that one page looks at.
const LOOKED_AT: usize = 5_000;
/// Rows that one step of it reads.
const STEP: usize = 500;
/// Characters of a value that are kept.
const KEPT: usize = 128;
/// Bytes of the longest name, and words of one manifest.
const NAME: usize = 256;
const MOST: usize = 128;

/// Where a walk stands: it goes on behind this.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// The tag, the value, or the digest as text.
    text: String,
    /// The repository, or the manifest.
    id: i64,
    /// The label's name.
    name: String,
}

impl Place {
    fn read(written: &str) -> Option<Self> {
        let (text, id, name): (String, i64, String) = serde_json::from_str(written).ok()?;
        let is_plain = !text.contains('\0') && !name.contains('\0');
        is_plain.then_some(Self { text, id, name })
    }

    fn write(&self) -> String {
        serde_json::json!([self.text, self.id, self.name]).to_string()
    }
}

/// A row on the way, with whether its repository is public.
struct Passed {
    place: Place,
    image: FoundImage,
    public: bool,
}

/// Rows that were read, and where the walk stands behind them; `None` at its end.
struct Step {
    rows: Vec<Passed>,
    until: Option<Place>,
}

impl Step {
    fn of(rows: Vec<Passed>) -> Self {
        let until = rows.last().filter(|_| rows.len() == STEP).map(|row| row.place.clone());
        Self { rows, until }
    }
}

impl Catalog {
    /// Images that somebody may see and that a search finds. `after` is where a page before ended; what is no such place is the beginning.
    pub async fn search_images(
        &self,
        filter: &RepositoryFilter,
        search: ImageSearch,
        after: Option<&str>,
        limit: usize,
    ) -> Result<FoundImages> {
        let (filter, after) = (filter.clone(), after.and_then(Place::read));
        let work = move |tx: &mut Tx<'_>| find(tx, &filter, &search, after.clone(), limit);
        self.engine().read(Kind::Snapshot, work).await
    }
}

fn find(
    tx: &mut Tx<'_>,
    filter: &RepositoryFilter,
    search: &ImageSearch,
    after: Option<Place>,
    limit: usize,
) -> Done<FoundImages> {
    let (mut found, mut last) = (FoundImages::default(), after);
    for _ in 0..LOOKED_AT / STEP {
        let Step { rows, until } = step(tx, &search.sought, last.as_ref())?;
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            let name = &row.image.repository;
            if filter.allows(name, row.public) && search.words.iter().all(|word| name.as_str().contains(word)) {
                found.items.push(row.image);
            }
            if found.items.len() == limit {
                let goes_on = rows.peek().is_some() || until.is_some();
                found.next = goes_on.then(|| row.place.write());
                return Ok(found);
            }
        }
        last = until;
        if last.is_none() {
            return Ok(found);
        }
    }
    found.next = last.map(|place| place.write());
    Ok(found)
}

/// The next rows of the walk.
fn step(tx: &mut Tx<'_>, sought: &Sought, after: Option<&Place>) -> Done<Step> {
    match sought {
        Sought::Tag(beginning) => Ok(Step::of(tags(tx, beginning, after)?)),
        Sought::Digest(first, last) => digests(tx, (first, last), after),
        Sought::Said { name, value } => {
            let mut step = Step::of(said(tx, &lowered(value), after)?);
            if let Some(name) = name {
                step.rows.retain(|row| row.place.name.eq_ignore_ascii_case(name));
            }
            Ok(step)
        }
    }
}

/// Everything that begins so precedes this.
fn end_of(beginning: &str) -> String {
    format!("{beginning}{}", char::MAX)
}

fn tags(tx: &mut Tx<'_>, beginning: &str, after: Option<&Place>) -> Done<Vec<Passed>> {
    let sql = "SELECT t.name, t.repository_id, r.name, r.public, d.digest FROM tags t
               JOIN repositories r ON r.id = t.repository_id JOIN digests d ON d.id = t.digest_id
               WHERE (t.name, t.repository_id) > ($1, $2) AND t.name < $3 ORDER BY t.name, t.repository_id LIMIT $4";
    let (from, id) = after.map_or((beginning, -1), |place| (place.text.as_str(), place.id));
    tx.rows(sql, values![from, id, &end_of(beginning), STEP], |row| {
        let tag = row.tag(0)?;
        let place = Place { text: tag.as_str().to_owned(), id: row.int(1)?, name: String::new() };
        let image = FoundImage { repository: repository(row, 2)?, digest: row.digest(4)?, tag: Some(tag), said: None };
        Ok(Passed { place, image, public: row.flag(3)? })
    })
}

fn said(tx: &mut Tx<'_>, beginning: &str, after: Option<&Place>) -> Done<Vec<Passed>> {
    let sql = "SELECT w.value, w.manifest_id, w.name, r.name, r.public, d.digest FROM words w
               JOIN manifests m ON m.id = w.manifest_id
               JOIN repositories r ON r.id = m.repository_id JOIN digests d ON d.id = m.digest_id
               WHERE (w.value, w.manifest_id, w.name) > ($1, $2, $3) AND w.value < $4
               ORDER BY w.value, w.manifest_id, w.name LIMIT $5";
    let (from, id, name) =
        after.map_or((beginning, -1, ""), |place| (place.text.as_str(), place.id, place.name.as_str()));
    tx.rows(sql, values![from, id, name, &end_of(beginning), STEP], |row| {
        let place = Place { text: row.text(0)?, id: row.int(1)?, name: row.text(2)? };
        let said = Some((place.name.clone(), place.text.clone()));
        let image = FoundImage { repository: repository(row, 3)?, digest: row.digest(5)?, tag: None, said };
        Ok(Passed { place, image, public: row.flag(4)? })
    })
}

/// Digests of blobs lie between those of manifests: what a step reads of them counts too.
fn digests(tx: &mut Tx<'_>, (first, last): (&Digest, &Digest), after: Option<&Place>) -> Done<Step> {
    let stands = after.and_then(|place| Some((place.text.parse::<Digest>().ok()?, place.id)));
    let (from, mut behind) = stands.unwrap_or((*first, -1));
    let sql = "SELECT id, digest FROM digests WHERE digest >= $1 AND digest <= $2 ORDER BY digest LIMIT $3";
    let (low, high) = (keys::encode(&from), keys::encode(last));
    let known = tx.rows(sql, values![&low, &high, STEP], |row| Ok((row.int(0)?, row.digest(1)?)))?;
    let whole = known.len() < STEP;
    let (mut rows, mut until) = (Vec::new(), None);
    for (id, digest) in known {
        // Only of the first digest some were told before.
        let after = if digest == from { behind } else { -1 };
        behind = -1;
        let sql = "SELECT m.id, r.name, r.public FROM manifests m JOIN repositories r ON r.id = m.repository_id
                   WHERE m.digest_id = $1 AND m.id > $2 ORDER BY m.id LIMIT $3";
        rows.extend(tx.rows(sql, values![id, after, STEP - rows.len()], |row| {
            let place = Place { text: digest.to_string(), id: row.int(0)?, name: String::new() };
            let image = FoundImage { repository: repository(row, 1)?, digest, tag: None, said: None };
            Ok(Passed { place, image, public: row.flag(2)? })
        })?);
        if rows.len() == STEP {
            return Ok(Step::of(rows));
        }
        until = Some(Place { text: digest.to_string(), id: i64::MAX, name: String::new() });
    }
    Ok(Step { rows, until: until.filter(|_| !whole) })
}

fn repository(row: &Row<'_>, at: usize) -> Done<RepositoryName> {
    let name = row.text(at)?;
    name.parse().map_err(|_| unreadable("repository name", name))
}

/// Notes what a manifest says about itself: its labels and annotations, JSON objects of texts.
pub(crate) fn note(tx: &mut Tx<'_>, manifest: i64, documents: [Option<&str>; 2]) -> Done<()> {
    let mut words = BTreeMap::new();
    for document in documents.into_iter().flatten() {
        let texts: BTreeMap<String, serde_json::Value> = serde_json::from_str(document).unwrap_or_default();
        for (name, value) in texts {
            let value = value.as_str().map(lowered).unwrap_or_default();
            if !value.is_empty() && name.len() <= NAME && !name.contains('\0') {
                words.entry(name).or_insert(value);
            }
        }
    }
    let sql =
        "INSERT INTO words (manifest_id, name, value) VALUES ($1, $2, $3) ON CONFLICT (manifest_id, name) DO NOTHING";
    for (name, value) in words.into_iter().take(MOST) {
        tx.execute(sql, values![manifest, &name, &value])?;
    }
    Ok(())
}

/// A value as it is compared.
fn lowered(value: &str) -> String {
    let shown = value.trim().chars().filter(|c| !c.is_control()).take(KEPT);
    shown.map(|c| c.to_ascii_lowercase()).collect()
}
