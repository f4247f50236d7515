//! Taking over the tree of another registry.

mod broken;
mod later;
mod tree;
mod unverified;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt as _;
use larder_blobs::BlobStore;
use larder_blobs::fs::FsStore;
use larder_oci::{Digest, Reference};
use larder_registry::{
    Actor, BrokenKind, Error, ImportOptions, ImportReport, ManualClock, PageRequest, Registry, Rights, Settings,
    testing,
};
use tempfile::TempDir;

use self::tree::{OldTree, sha256, sha512};
use crate::driver::name;

/// A registry on disk, empty, and whoever imports into it.
struct New {
    registry: Registry,
    clock: Arc<ManualClock>,
    store: FsStore,
    folder: TempDir,
}

impl New {
    async fn registry() -> Self {
        Self::with(testing::settings()).await
    }

    async fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = FsStore::open(&folder.path().join("blobs")).expect("a store");
        let (registry, clock) = testing::over(settings, Arc::new(store.clone()) as Arc<dyn BlobStore>).await;
        Self { registry, clock, store, folder }
    }

    /// Imports and hashes everything.
    async fn import(&self, tree: &OldTree) -> ImportReport {
        self.import_from(tree.root(), true).await.expect("the tree is taken over")
    }

    async fn import_from(&self, source: &Path, verify: bool) -> larder_registry::Result<ImportReport> {
        self.registry.import_registry2(&Actor::operator(), source, ImportOptions { verify }, &|_| {}).await
    }

    async fn tags(&self, repository: &str) -> Vec<String> {
        let page = PageRequest { limit: 1_000, after: None };
        let tags = self.registry.tags(&reader(), &name(repository), &page).await.expect("a list");
        tags.items.iter().map(|tag| tag.as_str().to_owned()).collect()
    }

    async fn repositories(&self) -> Vec<String> {
        let page = PageRequest { limit: 1_000, after: None };
        let names = self.registry.repositories(&reader(), &page).await.expect("a list");
        names.items.iter().map(|name| name.as_str().to_owned()).collect()
    }

    async fn manifest(&self, repository: &str, reference: &str) -> Option<Vec<u8>> {
        let reference: Reference = reference.parse().expect("a reference");
        match self.registry.manifest(&reader(), &name(repository), &reference).await {
            Ok(manifest) => Some(manifest.bytes.to_vec()),
            Err(Error::ManifestUnknown { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Reads a blob whole.
    async fn blob(&self, repository: &str, digest: &Digest) -> Result<Vec<u8>, String> {
        let blob = self.registry.blob(&reader(), &name(repository), digest).await.map_err(|error| error.to_string())?;
        let pieces: Vec<_> = blob.stream(0..blob.size).try_collect().await.map_err(|error| error.to_string())?;
        Ok(pieces.concat())
    }

    async fn referrers(&self, repository: &str, subject: &Digest) -> Vec<Digest> {
        let page = PageRequest { limit: 1_000, after: None };
        let found = self.registry.referrers(&reader(), &name(repository), subject, None, &page).await;
        found.expect("a list").items.iter().map(|referrer| referrer.digest).collect()
    }
}

fn reader() -> Actor {
    Actor::anonymous(Rights::Everything)
}

/// Kind and object of everything that is broken.
fn broken(report: &ImportReport) -> Vec<(BrokenKind, String)> {
    let mut broken: Vec<_> = report.broken.first.iter().map(|broken| (broken.kind, broken.object.clone())).collect();
    broken.sort();
    broken
}

#[tokio::test]
async fn everything_is_there_afterwards_and_the_original_is_untouched() {
    let tree = OldTree::new();
    let one = tree.image("ml-model", "one");
    let two = tree.image("ml-model", "two");
    tree.tag("ml-model", "1.0", &one);
    tree.tag("ml-model", "latest", &two);
    let both = tree.index("ml-model", &[one, two]);
    let outer = tree.index("ml-model", &[both]);
    tree.tag("ml-model", "all", &outer);
    // The same layer in another repository, below a name that is itself a repository.
    tree.tag("ml-model/nested/deep", "v1", &tree.image("ml-model/nested/deep", "one"));
    let loose = tree.blob("ml-model", b"linked, and in no manifest");
    std::fs::create_dir_all(tree.repository("empty").join("_layers/sha256")).expect("a folder");
    tree.write(&tree.repository("ml-model").join("_uploads/0b/data"), "half");
    let stray = tree.bytes(b"linked nowhere");
    let before = tree.snapshot();

    let new = New::registry().await;
    let report = new.import(&tree).await;
    assert_eq!(broken(&report), []);
    assert_eq!((report.repositories, report.manifests, report.tags), (3, 5, 4));
    assert_eq!((report.linked.count, report.copied.count, report.reflinked.count), (5, 0, 0), "{report:?}");
    assert_eq!((report.unnamed, report.uploads, report.unlinked.count), (1, 1, 1));
    assert_eq!((report.verified.count, report.unverified.count), (5, 0));
    assert!(report.is_quiet() && report.since.is_none());
    assert_eq!(tree.snapshot(), before);

    assert_eq!(new.repositories().await, ["empty", "ml-model", "ml-model/nested/deep"]);
    assert_eq!(new.tags("ml-model").await, ["1.0", "all", "latest"]);
    for digest in [one, two, both, outer] {
        let bytes = std::fs::read(tree.data(&digest)).expect("the original");
        assert_eq!(new.manifest("ml-model", &digest.to_string()).await, Some(bytes));
    }
    assert_eq!(sha256(&new.manifest("ml-model", "latest").await.expect("a tag")), two);
    assert_eq!(new.blob("ml-model", &loose).await.expect("a blob"), b"linked, and in no manifest");
    assert!(new.blob("ml-model", &stray).await.is_err(), "no repository holds it");
    assert!(new.blob("empty", &loose).await.is_err(), "invariant 5: another repository's");

    // A second name of the same file, as the report says.
    let layer = sha256(b"layer of one");
    assert_eq!(std::fs::metadata(tree.data(&layer)).expect("the original").nlink(), 2);
    // What no manifest names goes like after any push: when a lease's term is over.
    let sweep = async || new.registry.sweep(&Actor::system(), &|_| {}).await.expect("a sweep").blobs_removed;
    assert_eq!(sweep().await, 0);
    new.clock.advance(testing::settings().lease_ttl);
    assert_eq!(sweep().await, 1);
    assert!(new.blob("ml-model", &loose).await.is_err());
    assert_eq!(tree.snapshot(), before, "not from the tree");
    let verified = new.registry.verify(&Actor::operator(), larder_registry::VerifyOptions::default(), &|_| {}).await;
    assert_eq!(verified.expect("a verification").findings, []);
}

#[tokio::test]
async fn referrers_come_with_and_without_their_fallback_tag() {
    let tree = OldTree::new();
    let subject = tree.image("model", "subject");
    let signature = tree.referrer("model", &subject, "signature");
    let loose = tree.referrer("model", &subject, "in no fallback tag");
    let stranger = tree.image("model", "refers to nothing");
    let fallback = tree.index("model", &[signature, stranger]);
    let tag = larder_oci::fallback_tag(&subject).as_str().to_owned();
    tree.tag("model", &tag, &fallback);

    let new = New::registry().await;
    let report = new.import(&tree).await;
    assert_eq!(broken(&report), [(BrokenKind::FallbackEntry, tag.clone())]);
    assert!(report.broken.first[0].why.contains(&stranger.to_string()), "{report:?}");
    let mut expected = vec![signature, loose];
    expected.sort();
    assert_eq!((report.referrers, new.referrers("model", &subject).await), (2, expected));
    // It stays an ordinary tag: clients that look for it find it.
    assert_eq!(new.tags("model").await, [tag]);
}

#[tokio::test]
async fn a_blob_of_sha512_lies_under_its_sha256_and_comes_back_by_its_own_name() {
    let tree = OldTree::new();
    let bytes = b"pushed by its sha512";
    let (there, name) = (tree.bytes(bytes), sha512(bytes));
    tree.write(&tree.layer_link("model", &name), there.to_string());
    let new = New::registry().await;
    let report = new.import(&tree).await;
    assert_eq!((broken(&report), report.verified.count), (vec![], 1));
    assert_eq!(new.blob("model", &name).await.expect("a blob"), bytes);
}

#[tokio::test]
async fn blobs_and_tags_in_great_numbers_go_through_in_batches() {
    let tree = OldTree::new();
    let mut images = Vec::new();
    for number in 0..520 {
        images.push(tree.image("many", &number.to_string()));
        tree.tag("many", &format!("v{number}"), &images[number]);
    }
    tree.index("many", &images);
    for number in 0..40 {
        tree.tag(&format!("few/{number}"), "v", &tree.image(&format!("few/{number}"), "shared"));
    }
    let new = New::registry().await;
    let report = new.import(&tree).await;
    assert_eq!(broken(&report), []);
    assert_eq!((report.repositories, report.manifests, report.tags), (41, 520 + 1 + 40, 520 + 40));
    assert_eq!(report.linked.count, 2 * 520 + 2, "one object for what all share");
    assert_eq!(report.verified.count, report.linked.count);
    assert_eq!(new.store_objects().await, report.linked.count);
}

impl New {
    async fn store_objects(&self) -> u64 {
        let stored: Vec<_> = self.store.list().await.expect("a list").try_collect().await.expect("a list");
        stored.len() as u64
    }
}

#[tokio::test]
async fn only_who_owns_the_data_folder_may_import() {
    let tree = OldTree::new();
    let new = New::registry().await;
    let refused = new.registry.import_registry2(&reader(), tree.root(), ImportOptions::default(), &|_| {}).await;
    assert!(matches!(refused, Err(Error::Denied)), "{refused:?}");
    let nothing = new.import_from(new.folder.path(), true).await;
    assert!(matches!(nothing, Err(Error::NoTree)), "{nothing:?}");
    // The tree itself may be named too.
    assert_eq!(new.import_from(&tree.v2(), true).await.expect("taken over").repositories, 0);
}
