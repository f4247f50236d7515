//! Manifests that were asked for lately, in memory: a pull of one asks no database.
//!
//! A tag is read as if from the database (**Invariant 3**): what is kept counts only while its repository's [share](crate::engine::Shares) stands at the
//! number it was read under. With PostgreSQL others write too, so nothing is kept there; nor by a reader beside another process.

use std::hash::{Hash, Hasher};

use larder_oci::{Reference, RepositoryName};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::engine::Engine;
use crate::model::Manifest;

/// Bytes of memory for manifests, and what one takes beside its own.
const ROOM: u64 = 16 << 20;
const OVERHEAD: u64 = 512;
/// A larger manifest is not kept.
const LARGEST: usize = 256 << 10;

/// What is kept.
#[derive(Debug)]
pub(crate) struct Recent(Cache<Key, Entry, Weight>);

/// Under which number a manifest is to be kept that is read now.
pub(crate) struct Reading(u64);

type Key = (RepositoryName, Reference);

#[derive(Clone, Debug)]
struct Entry {
    number: u64,
    manifest: Manifest,
}

#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Key, Entry> for Weight {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        OVERHEAD + entry.manifest.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)
    }
}

struct Wanted<'w>(&'w RepositoryName, &'w Reference);

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0, self.1).hash(state);
    }
}

impl Equivalent<Key> for Wanted<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        *self.0 == key.0 && *self.1 == key.1
    }
}

impl Default for Recent {
    fn default() -> Self {
        let items = usize::try_from(ROOM / (4 * OVERHEAD)).expect("it fits");
        Self(Cache::with_weighter(items, ROOM, Weight))
    }
}

impl Recent {
    /// The manifest, if it is kept and nothing of its repository was changed since.
    pub fn get(
        &self,
        engine: &Engine,
        repository: &RepositoryName,
        reference: &Reference,
        with_bytes: bool,
    ) -> Option<Manifest> {
        let Entry { number, mut manifest } = self.0.get(&Wanted(repository, reference))?;
        if with_bytes && manifest.bytes.is_none() {
            return None;
        }
        if engine.shares.number(repository) != Some(number) {
            return None;
        }
        if !with_bytes {
            manifest.bytes = None;
        }
        Some(manifest)
    }

    /// To be asked for before the database is read; `None` when the answer is not to be kept.
    pub fn reading(engine: &Engine, repository: &RepositoryName) -> Option<Reading> {
        if engine.is_postgres || engine.is_read_only() {
            return None;
        }
        engine.shares.number(repository).map(Reading)
    }

    /// Keeps what was read since.
    pub fn keep(&self, reading: &Reading, repository: &RepositoryName, reference: &Reference, manifest: &Manifest) {
        if manifest.bytes.as_ref().is_none_or(|bytes| bytes.len() <= LARGEST) {
            let entry = Entry { number: reading.0, manifest: manifest.clone() };
            self.0.insert((repository.clone(), reference.clone()), entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use larder_oci::Digest;

    use super::*;
    use crate::Catalog;
    use crate::engine::{Kind, Tx};
    use crate::fixture::{Fixture, at, manifest, name, stamp, tag};
    use crate::model::RollbackTo;

    /// What memory may know against what the database says, for each way to ask.
    async fn must_agree(catalog: &Catalog, of: &[Digest], after: &str) {
        let tags = ["t", "u"].map(|text| Reference::Tag(tag(text)));
        for reference in tags.into_iter().chain(of.iter().map(|digest| Reference::Digest(*digest))) {
            for with_bytes in [true, false] {
                let read = catalog.read_manifest(name("a"), reference.clone(), with_bytes).await.expect("read");
                let answered = catalog.manifest(&name("a"), &reference, with_bytes).await.expect("answered");
                assert_eq!(answered, read, "{reference}, {after}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_answered_without_the_database() {
        let fixture = Fixture::memory().await;
        let catalog = &fixture.catalog;
        fixture.push(manifest("a", 1, vec![], &["t"])).await;
        let (a, reference) = (name("a"), Reference::Tag(tag("t")));
        let first = catalog.manifest(&a, &reference, true).await.expect("answered");
        let (release, held) = mpsc::channel::<()>();
        let busy = catalog.clone();
        let busy = tokio::spawn(async move {
            let work = move |_: &mut Tx<'_>| {
                let _ = held.recv();
                Ok(())
            };
            busy.engine().write(Kind::Shrink, work).await
        });
        let again = catalog.manifest(&a, &reference, true);
        let again = tokio::time::timeout(Duration::from_secs(10), again).await.expect("nobody is waited for");
        assert_eq!(again.expect("answered"), first);
        let head = catalog.manifest(&a, &reference, false).await.expect("answered").expect("it is there");
        assert_eq!((head.bytes, head.size), (None, first.expect("it is there").size));
        drop(release);
        busy.await.expect("it ends").expect("committed");
    }

    /// Everything that changes what a pull reads, one after the other.
    #[tokio::test]
    async fn no_change_leaves_what_was_kept() {
        let fixture = Fixture::memory().await;
        let catalog = &fixture.catalog;
        let (one, two) = (manifest("a", 1, vec![], &["t", "u"]), manifest("a", 2, vec![], &["t"]));
        let (first, second) = (one.digest, two.digest);
        let both = [first, second];
        let (a, t) = (name("a"), tag("t"));
        fixture.push(one).await;
        must_agree(catalog, &both, "pushed").await;
        fixture.push(two).await;
        must_agree(catalog, &both, "pushed over").await;
        assert!(catalog.put_tag(&a, &t, &first, "retag", stamp(2)).await.expect("moved"));
        must_agree(catalog, &both, "retagged").await;
        catalog.rollback_tag(&a, &t, RollbackTo::Changes(1), true, stamp(3)).await.expect("rolled back");
        must_agree(catalog, &both, "rolled back").await;
        catalog.delete_tag(&a, &t, stamp(4)).await.expect("deleted");
        must_agree(catalog, &both, "the tag deleted").await;
        catalog.undelete_tag(&a, &t, None, stamp(5)).await.expect("undeleted");
        must_agree(catalog, &both, "the tag undeleted").await;
        catalog.delete_manifest(&a, &second, at(60), Some(at(600)), stamp(6)).await.expect("deleted");
        must_agree(catalog, &both, "the manifest deleted").await;
        catalog.undelete_manifest(&a, &second, stamp(7)).await.expect("undeleted");
        must_agree(catalog, &both, "the manifest undeleted").await;
        assert!(catalog.quarantine_manifest(&first, stamp(8)).await.expect("set aside"));
        must_agree(catalog, &both, "set aside").await;
        fixture.push(manifest("a", 1, vec![], &["u"])).await;
        must_agree(catalog, &both, "healed").await;
        let cut = move |tx: &mut Tx<'_>| {
            tx.execute("UPDATE manifest_bytes SET bytes = x'00'", crate::engine::values![]).map(drop)
        };
        catalog.engine().write(Kind::Shrink, cut).await.expect("flipped on the disk");
        must_agree(catalog, &both, "damaged").await;
        fixture.push(manifest("b", 1, vec![], &["elsewhere"])).await;
        must_agree(catalog, &both, "healed by another repository").await;
        catalog.pulled(&[(a.clone(), first, at(9))]).await.expect("noted");
        must_agree(catalog, &both, "pulled").await;
        catalog.remove_repository(&a, stamp(10), at(60), None).await.expect("removed");
        must_agree(catalog, &both, "removed").await;
    }
}
