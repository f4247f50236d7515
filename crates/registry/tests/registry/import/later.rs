//! Passes that were killed, that come again, and what was done meanwhile on either side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder_blobs::fault::{Fault, FaultKind, FaultyStore, Operation};
use larder_oci::Reference;
use larder_registry::{Actor, Error, ImportOptions, testing};

use super::tree::OldTree;
use super::{New, broken, reader};
use crate::driver::name;

/// Times of files tick coarsely, and a pass looks back a little.
async fn a_while() {
    tokio::time::sleep(Duration::from_millis(150)).await;
}

/// The registry's clock in these tests stands still, and files have the time of the disk.
async fn new_beside(_tree: &OldTree) -> New {
    let new = New::registry().await;
    let now = jiff::Timestamp::now();
    let there: jiff::Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
    new.clock.advance((now - there).try_into().unwrap_or_default());
    new
}

#[tokio::test]
async fn a_second_import_tells_what_was_written_since_and_takes_it_over() {
    let tree = OldTree::new();
    tree.tag("r", "v1", &tree.image("r", "one"));
    let new = new_beside(&tree).await;
    assert!(new.import(&tree).await.is_quiet());
    let again = new.import(&tree).await;
    assert!(again.is_quiet() && again.since.is_some(), "{again:?}");
    assert_eq!((again.manifests, again.tags, again.linked.count), (0, 0, 0));

    a_while().await;
    let two = tree.image("r", "two");
    tree.tag("r", "v1", &two);
    tree.tag("later", "v", &tree.image("later", "three"));
    let third = new.import(&tree).await;
    assert!(!third.is_quiet());
    let mut written: Vec<_> =
        third.written_since.first.iter().map(|w| format!("{} {}", w.kind, w.repository)).collect();
    written.sort();
    written.dedup();
    assert_eq!(written, ["blob later", "blob r", "manifest later", "manifest r", "tag later", "tag r"]);
    assert_eq!(third.written_since.total, 4 + 2 + 2);
    let moved = new.registry.manifest_head(&reader(), &name("r"), &"v1".parse::<Reference>().expect("a tag")).await;
    assert_eq!(moved.expect("the tag").digest, two);
    assert!(new.import(&tree).await.is_quiet());
}

#[tokio::test]
async fn what_was_done_here_since_stays() {
    let tree = OldTree::new();
    for tag in ["moved", "removed", "gone"] {
        tree.tag("r", tag, &tree.image("r", tag));
    }
    a_while().await;
    let new = new_beside(&tree).await;
    new.import(&tree).await;
    let (actor, r) = (Actor::operator(), name("r"));
    let gone = "gone".parse::<Reference>().expect("a tag");
    let gone = new.registry.manifest_head(&actor, &r, &gone).await.expect("it is there").digest;
    let moved = "moved".parse::<larder_oci::Tag>().expect("a tag");
    new.registry.move_tag(&actor, &r, &moved, &Reference::Digest(gone)).await.expect("moved");
    let removed = "removed".parse::<larder_oci::Tag>().expect("a tag");
    new.registry.delete_manifest(&actor, &r, &Reference::Tag(removed)).await.expect("removed");
    new.registry.delete_manifest(&actor, &r, &Reference::Digest(gone)).await.expect("removed");
    let before = new.tags("r").await;
    let report = new.import(&tree).await;
    assert!(report.is_quiet(), "{report:?}");
    assert_eq!(new.tags("r").await, before);

    // Now somebody writes there as well: here counts, and both are told.
    a_while().await;
    let other = tree.image("r", "other");
    tree.tag("r", "removed", &other);
    let report = new.import(&tree).await;
    assert_eq!(report.kept.first.iter().map(|kept| kept.tag.as_str()).collect::<Vec<_>>(), ["r:removed"]);
    assert_eq!(
        (report.kept.first[0].here.as_deref(), report.kept.first[0].there.as_str()),
        (None, &*other.to_string())
    );
    assert_eq!(new.tags("r").await, before);
}

/// Invariant 2: a pass that is killed anywhere is begun again, and what it left is garbage, not a promise.
#[tokio::test]
async fn a_pass_that_was_cut_off_goes_on_the_next_time() {
    let tree = OldTree::new();
    for number in 0..30 {
        let repository = format!("r{number}");
        tree.tag(&repository, "v", &tree.image(&repository, &repository));
    }
    for nth in [1, 5, 17] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = larder_blobs::fs::FsStore::open(folder.path()).expect("a store");
        let faulty = FaultyStore::new(Arc::new(store));
        faulty.inject(Fault::at(nth, FaultKind::Full).on(Operation::Adopt).after());
        let (registry, _clock) = testing::over(testing::settings(), Arc::new(faulty)).await;
        let import = async || {
            registry.import_registry2(&Actor::operator(), tree.root(), ImportOptions { verify: true }, &|_| {}).await
        };
        let failed = import().await;
        assert!(matches!(failed, Err(Error::StorageFull)), "{failed:?}");
        assert!(registry.has_to_take_over(tree.root()).await.expect("a look"));
        let report = import().await.expect("the second time it works");
        assert!(report.since.is_none() && report.is_quiet());
        assert_eq!((broken(&report), report.repositories), (vec![], 30));
        assert!(!registry.has_to_take_over(tree.root()).await.expect("a look"));
        let swept = registry.sweep(&Actor::system(), &|_| {}).await.expect("a sweep");
        let verified = registry.verify(&Actor::operator(), larder_registry::VerifyOptions::default(), &|_| {}).await;
        let verified = verified.expect("a verification");
        assert_eq!((verified.findings, verified.blobs), (vec![], 60), "{swept:?}");
    }
}

#[tokio::test]
async fn writes_beside_an_import_are_noticed_by_its_own_second_pass() {
    let tree = OldTree::new();
    for number in 0..20 {
        tree.tag("a", &format!("v{number}"), &tree.image("a", &number.to_string()));
    }
    let new = new_beside(&tree).await;
    // The old registry is still running: it writes as soon as the second pass begins.
    let wrote = AtomicBool::new(false);
    let tell = |at: larder_registry::ImportProgress| {
        if at.tags >= 20 && !wrote.swap(true, Ordering::SeqCst) {
            tree.tag("a", "late", &tree.image("a", "late"));
        }
    };
    let options = ImportOptions { verify: true };
    let report = new.registry.import_registry2(&Actor::operator(), tree.root(), options, &tell).await;
    let report = report.expect("taken over");
    // Whether the write came before or after its folder was read is chance; it is never lost for good.
    let next = new.import(&tree).await;
    assert!(wrote.load(Ordering::SeqCst));
    assert!(
        report.is_quiet() != next.is_quiet() || new.tags("a").await.contains(&"late".to_owned()),
        "{report:?} {next:?}"
    );
    assert!(new.tags("a").await.contains(&"late".to_owned()));
}

#[tokio::test]
async fn a_tree_is_released_once_nothing_depends_on_it() {
    let tree = OldTree::new();
    tree.tag("r", "v", &tree.image("r", "one"));
    tree.write(&tree.root().join("docker/notes.txt"), "somebody's");
    let new = new_beside(&tree).await;
    let operator = Actor::operator();
    let early = new.registry.release_registry2(&operator, tree.root(), &|_| {}).await;
    assert!(matches!(early, Err(Error::NotTakenOver)), "{early:?}");
    new.import(&tree).await;
    let held = new.registry.usage(&operator).await.expect("figures").old_trees;
    assert_eq!((held.len(), held[0].files, held[0].complete), (1, 3, true));
    assert!(held[0].own_bytes < held[0].bytes, "layers and configurations are shared, the manifest is not");

    a_while().await;
    tree.tag("r", "late", &tree.image("r", "late"));
    let refused = new.registry.release_registry2(&operator, tree.root(), &|_| {}).await.expect("answered");
    assert!(!refused.released && refused.refused.expect("why").contains("still run"));
    assert!(tree.v2().exists());

    let released = new.registry.release_registry2(&operator, tree.root(), &|_| {}).await.expect("answered");
    assert!(released.released, "{released:?}");
    assert!(!tree.v2().exists() && tree.root().join("docker/notes.txt").exists());
    assert_eq!(new.registry.usage(&operator).await.expect("figures").old_trees, []);
    assert_eq!(new.tags("r").await, ["late", "v"]);
    assert_eq!(new.blob("r", &super::sha256(b"layer of one")).await.expect("a blob"), b"layer of one");
}

#[tokio::test]
async fn a_tree_is_not_released_while_something_here_is_wrong() {
    let tree = OldTree::new();
    tree.tag("r", "v", &tree.image("r", "one"));
    let new = new_beside(&tree).await;
    new.import(&tree).await;
    // The bytes go bad after they were hashed: both names are one file, as with every link.
    tree.write(&tree.data(&super::sha256(b"layer of one")), "layer of onE");
    let refused = new.registry.release_registry2(&Actor::operator(), tree.root(), &|_| {}).await.expect("answered");
    assert!(!refused.released && refused.refused.expect("why").contains("wrong"));
    assert!(tree.v2().exists());
}
