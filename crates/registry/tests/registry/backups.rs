//! Backups beside the sweep, and what a backup makes of damage and of folders that are not its own.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use larder_blobs::BlobStore;
use larder_blobs::fs::FsStore;
use larder_catalog::Catalog;
use larder_catalog::model::Options;
use larder_oci::Digest;
use larder_registry::{
    Actor, Backup, BackupReport, Error, FindingKind, ManualClock, Registry, Rights, SweepReport, SystemClock,
    VerifyOptions, testing,
};

use crate::driver::{Driver, image as image_of, name, sha256};
use crate::hooked::{Hook, HookedStore, Step};

/// A registry on disk whose store can be watched.
async fn on_disk<H: Hook>(folder: &Path, hook: Arc<H>) -> Driver {
    let store: Arc<dyn BlobStore> = Arc::new(FsStore::open(&folder.join("blobs")).expect("a store"));
    let store = HookedStore::over(store, hook);
    let clock = Arc::new(ManualClock::starting("2026-11-21T12:00:00Z".parse().expect("a time")));
    let catalog = catalog(&folder.join("catalog.db")).await;
    let registry = Registry::open(testing::settings(), Arc::clone(&store), catalog, Arc::clone(&clock) as Arc<_>).await;
    let registry = registry.expect("they belong together");
    Driver { registry, store, clock, actor: Actor::anonymous(Rights::Everything) }
}

async fn catalog(path: &Path) -> Catalog {
    let options = Options { ballast: 0, ..Options::default() };
    Catalog::open_sqlite(path, &options).await.expect("a catalog")
}

async fn back_up(driver: &Driver, to: &Path) -> Result<BackupReport, Error> {
    driver.registry.back_up(&Actor::operator(), to, &|_| ()).await
}

/// Puts a backup back as the program does; the registry over it.
async fn restore(from: &Path, to: &Path) -> Registry {
    let backup = Backup::open(from).await.expect("a backup");
    let store = FsStore::open(&to.join("blobs")).expect("a store");
    backup.put_back(&store, &|_| ()).await.expect("it can be put back");
    std::fs::copy(backup.catalog(), to.join("catalog.db")).expect("it can be copied");
    let catalog = catalog(&to.join("catalog.db")).await;
    let registry = Registry::open(testing::settings(), Arc::new(store), catalog, Arc::new(SystemClock)).await;
    let registry = registry.expect("they belong together");
    registry.settle_restored(&Actor::operator()).await.expect("a new start");
    registry
}

struct Quiet;

impl Hook for Quiet {}

/// Deletes an image and sweeps when the first object is about to be copied.
#[derive(Default)]
struct SweepsAtTheFirstCopy {
    driver: OnceLock<(Driver, Digest)>,
    begun: AtomicBool,
    swept: Mutex<Option<SweepReport>>,
}

#[async_trait]
impl Hook for SweepsAtTheFirstCopy {
    async fn before(&self, step: &Step) {
        let (Step::Open(_), Some((driver, image))) = (step, self.driver.get()) else { return };
        if self.begun.swap(true, Ordering::SeqCst) {
            return;
        }
        driver.delete("team/model", &image.to_string()).await.expect("a delete");
        driver.pass_lease();
        let swept = driver.sweep().await;
        *self.swept.lock().expect("no panic") = Some(swept);
    }
}

#[tokio::test]
async fn what_is_deleted_and_swept_while_a_backup_runs_is_in_it_and_goes_afterwards() {
    let folder = tempfile::tempdir().expect("a folder");
    let hook = Arc::new(SweepsAtTheFirstCopy::default());
    let driver = on_disk(folder.path(), Arc::clone(&hook)).await;
    let image = driver.push_image("team/model", "v1", &[b"one", b"two"]).await;
    assert!(hook.driver.set((on_the_same(&driver), image)).is_ok());

    let to = folder.path().join("backup");
    let report = back_up(&driver, &to).await.expect("a backup");
    let swept = hook.swept.lock().expect("no panic").clone().expect("the sweep ran");
    assert_eq!((swept.blobs_removed, swept.held), (0, 3), "{swept:?}");
    assert_eq!((report.blobs.count, report.damaged.len()), (3, 0), "{report:?}");
    assert_eq!(driver.sweep().await.blobs_removed, 3, "nothing holds them any more");
    assert_eq!(driver.objects().await, 0);

    let restored = restore(&to, &tempfile::tempdir_in(folder.path()).expect("a folder").keep()).await;
    let manifest = restored.manifest(&driver.actor, &name("team/model"), &"v1".parse().expect("a tag")).await;
    assert!(manifest.is_ok(), "the state is that of the beginning");
    let verified = restored.verify(&Actor::operator(), VerifyOptions::default(), &|_| ()).await.expect("a pass");
    assert!(verified.is_sound() && verified.findings.is_empty(), "{verified:?}");
    assert_eq!(verified.blobs, 3);
}

/// The same registry once more, for a hook.
fn on_the_same(driver: &Driver) -> Driver {
    Driver {
        registry: driver.registry.clone(),
        store: Arc::clone(&driver.store),
        clock: Arc::clone(&driver.clock),
        actor: driver.actor.clone(),
    }
}

#[tokio::test]
async fn a_second_backup_copies_what_is_new_and_removes_what_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = on_disk(folder.path(), Arc::new(Quiet)).await;
    let image = driver.push_image("team/model", "v1", &[b"one"]).await;
    driver.push_image("team/model", "v2", &[b"two!"]).await;
    let to = folder.path().join("backup");
    let first = back_up(&driver, &to).await.expect("a backup");
    assert_eq!((first.copied.count, first.removed.count), (3, 0));
    driver.push_blob("team/model", b"three").await;
    driver.push_manifest("team/model", "v3", &image_of(&[b"two!", b"three"])).await.expect("a manifest push");
    driver.delete("team/model", &image.to_string()).await.expect("a delete");
    driver.pass_lease();
    driver.sweep().await;
    let second = back_up(&driver, &to).await.expect("a backup");
    assert_eq!((second.copied.count, second.copied.bytes), (1, 5), "{second:?}");
    assert_eq!((second.removed.count, second.removed.bytes), (1, 3), "{second:?}");
    let catalogs = std::fs::read_dir(&to).expect("a folder").flatten();
    let catalogs = catalogs.filter(|entry| entry.file_name().to_string_lossy().starts_with("catalog-")).count();
    assert_eq!(catalogs, 1, "the first one's is gone");
}

/// Invariant 14: yesterday's catalog beside today's store is recognised, also on the very day.
#[tokio::test]
async fn a_catalog_from_a_backup_is_older_than_the_store_it_came_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = on_disk(folder.path(), Arc::new(Quiet)).await;
    driver.push_image("team/model", "v1", &[b"one"]).await;
    let to = folder.path().join("backup");
    back_up(&driver, &to).await.expect("a backup");
    driver.registry.close().await.expect("an end");
    let backup = Backup::open(&to).await.expect("a backup");
    std::fs::copy(backup.catalog(), folder.path().join("old.db")).expect("it can be copied");
    let old = catalog(&folder.path().join("old.db")).await;
    let mixed = Registry::open(testing::settings(), driver.store.clone(), old, Arc::new(SystemClock)).await;
    let mixed = mixed.expect("it serves");
    let swept = mixed.sweep(&Actor::operator(), &|_| ()).await;
    assert!(matches!(swept, Err(Error::CatalogBehind)), "{swept:?}");
}

#[tokio::test]
async fn damage_is_named_and_everything_else_is_in_the_backup() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = on_disk(folder.path(), Arc::new(Quiet)).await;
    driver.push_image("team/model", "v1", &[b"one", b"two"]).await;
    let flip = |root: &Path, bytes: &[u8]| {
        let hex = sha256(bytes).hex().to_owned();
        let shard = root.join("blobs/sha256").join(&hex[..2]);
        let mut files = std::fs::read_dir(&shard).expect("a folder").flatten();
        let file = files.find(|entry| entry.file_name().to_string_lossy().starts_with(&hex)).expect("it is there");
        std::fs::write(file.path(), b"bad").expect("it can be written");
    };
    flip(&folder.path().join("blobs"), b"one");
    let to = folder.path().join("backup");
    let report = back_up(&driver, &to).await.expect("a backup");
    assert_eq!(report.blobs.count, 2);
    let damaged = &report.damaged[0];
    assert_eq!(
        (damaged.kind, damaged.digest.as_str()),
        (FindingKind::WrongDigest, sha256(b"one").to_string().as_str())
    );
    assert_eq!(damaged.affects, ["team/model:v1"]);

    flip(&to.join("store"), b"two");
    let backup = Backup::open(&to).await.expect("a backup");
    let store = FsStore::open(&folder.path().join("restored")).expect("a store");
    let report = backup.put_back(&store, &|_| ()).await.expect("it can be put back");
    let mut kinds: Vec<_> = report.damaged.iter().map(|damaged| (damaged.kind, damaged.digest.clone())).collect();
    kinds.sort_by_key(|(kind, _)| *kind == FindingKind::WrongDigest);
    let expected = [(FindingKind::Missing, sha256(b"one")), (FindingKind::WrongDigest, sha256(b"two"))];
    assert_eq!(kinds, expected.map(|(kind, digest)| (kind, digest.to_string())));
    assert_eq!(report.blobs.count, 1, "{{}} is right");
}

#[tokio::test]
async fn a_folder_of_something_else_and_a_half_backup_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let driver = on_disk(&folder.path().join("a"), Arc::new(Quiet)).await;
    driver.push_image("team/model", "v1", &[b"one"]).await;
    let is_refused = |outcome: Result<BackupReport, Error>| matches!(outcome, Err(Error::BackupRefused(_)));
    assert!(is_refused(back_up(&driver, &folder.path().join("a")).await), "its own data folder");
    let to = folder.path().join("backup");
    back_up(&driver, &to).await.expect("a backup");
    let other = on_disk(&folder.path().join("b"), Arc::new(Quiet)).await;
    assert!(is_refused(back_up(&other, &to).await), "another registry's");
    let denied = driver.registry.back_up(&driver.actor, &folder.path().join("c"), &|_| ()).await;
    assert!(matches!(denied, Err(Error::Denied)), "a path is the owner's to name");

    let catalog = Backup::open(&to).await.expect("a backup").catalog();
    std::fs::remove_file(to.join("larder-backup.json")).expect("it is there");
    assert!(matches!(Backup::open(&to).await, Err(Error::BackupRefused(_))), "it did not come to its end");
    driver.clock.advance(Duration::from_secs(1));
    back_up(&driver, &to).await.expect("what is there is used");
    assert!(!catalog.exists(), "what was half is gone");
    let catalog = Backup::open(&to).await.expect("a backup").catalog();
    let mut bytes = std::fs::read(&catalog).expect("it is there");
    bytes[5000] ^= 1;
    std::fs::write(&catalog, bytes).expect("it can be written");
    assert!(matches!(Backup::open(&to).await, Err(Error::BackupRefused(_))), "its catalog is damaged");
}
