//! Pushes, deletes, mounts and the sweep at the same time: what was acknowledged holds (**Invariants 3 and 6**).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_catalog::Catalog;
use larder_catalog::model::{Blob, MountSource, PutManifest, PutManifestOutcome, TagListing};

use crate::fixture::{Fixture, at, blob, commit, layer, manifest, name, stamp, upload};

crate::on_every_database!(
    no_acknowledged_manifest_loses_a_blob_to_the_sweep,
    of_a_mount_and_a_sweep_one_comes_first,
    an_index_and_the_delete_of_its_child_do_not_both_succeed,
    pushes_and_removals_of_a_repository_leave_no_row_without_bytes,
);

async fn push_blob(catalog: &Catalog, repository: &str, blob: &Blob, lease: i64) {
    let session = upload(repository, "alice");
    catalog.create_upload(session.clone()).await.expect("a session");
    assert!(catalog.commit_blob(commit(&session, blob, lease)).await.expect("answered"));
}

/// Sweeps at minute 100 over and over; every lease that ends at 50 has expired by then.
fn sweeper(catalog: &Catalog, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    let (catalog, stop) = (catalog.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        let mut taken = 0;
        while !stop.load(Ordering::Relaxed) {
            let batch = catalog.sweep(at(100), 50).await.expect("a sweep");
            for blob in &batch.condemned {
                assert!(catalog.forget_blob(&blob.key).await.expect("answered"));
            }
            taken += batch.condemned.len() as u64;
            tokio::task::yield_now().await;
        }
        taken
    })
}

async fn no_acknowledged_manifest_loses_a_blob_to_the_sweep(f: Fixture) {
    let stop = Arc::new(AtomicBool::new(false));
    let sweeps = [sweeper(&f.catalog, &stop), sweeper(&f.catalog, &stop)];
    let pushers: Vec<_> = (0..4_u64)
        .map(|pusher| {
            let catalog = f.catalog.clone();
            tokio::spawn(async move {
                let (mut stored, mut refused) = (Vec::new(), 0);
                for n in 0..25 {
                    // Blobs are shared between pushers, and every other push has a lease that is over from the start.
                    let layers: Vec<Blob> = (0..3).map(|k| blob((n * 3 + k) % 10)).collect();
                    for (k, layer) in layers.iter().enumerate() {
                        push_blob(&catalog, "a", layer, if n % 2 == 0 && k == 1 { 50 } else { 500 }).await;
                    }
                    let push = manifest("a", pusher * 1_000 + n, layers.iter().map(layer).collect(), &["t"]);
                    let digests: Vec<_> = push.edges.iter().map(|edge| edge.child).collect();
                    match catalog.put_manifest(push.clone()).await.expect("answered") {
                        PutManifestOutcome::Stored { .. } => stored.push((push, digests)),
                        PutManifestOutcome::Missing(_) => refused += 1,
                        other => panic!("{other:?}"),
                    }
                    if n % 5 == 4
                        && let Some((push, _)) = stored.pop()
                    {
                        catalog
                            .delete_manifest(&name("a"), &push.digest, at(50), None, stamp(1))
                            .await
                            .expect("deleted");
                    }
                }
                (stored, refused)
            })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for pusher in pushers {
        acknowledged.extend(pusher.await.expect("a pusher").0);
    }
    stop.store(true, Ordering::Relaxed);
    for sweep in sweeps {
        sweep.await.expect("a sweeper");
    }
    f.sweep_all(1_000).await;
    assert!(!acknowledged.is_empty());
    let mut held = std::collections::BTreeSet::new();
    for (push, digests) in &acknowledged {
        let reference = push.digest.to_string().parse().expect("a reference");
        assert!(f.manifest(&name("a"), &reference, true).await.expect("answered").is_some());
        for digest in digests {
            assert!(f.is_member("a", digest).await, "a blob of an acknowledged manifest");
            held.insert(*digest);
        }
    }
    assert_eq!(f.usage(at(1_000)).await.expect("usage").live.0, held.len() as u64, "and nothing else is left");
}

async fn of_a_mount_and_a_sweep_one_comes_first(f: Fixture) {
    for round in 0..15 {
        let b = blob(round);
        f.push_blob("from", &b, 50).await;
        let (catalog, digest) = (f.catalog.clone(), b.digest);
        let to = format!("to{round}");
        let target = name(&to);
        let mount = tokio::spawn(async move {
            let source = MountSource::Repository(name("from"));
            catalog.mount(&target, &digest, &source, at(500), stamp(1)).await.expect("answered")
        });
        let catalog = f.catalog.clone();
        let sweep = tokio::spawn(async move { catalog.sweep(at(100), 100).await.expect("a sweep") });
        let (mounted, swept) = (mount.await.expect("no panic"), sweep.await.expect("no panic"));
        assert_eq!(swept.memberships_removed, 1);
        assert_eq!(mounted.is_some(), swept.condemned.is_empty(), "either it was mounted in time, or it went");
        assert_eq!(f.is_member(&to, &b.digest).await, mounted.is_some());
    }
}

async fn an_index_and_the_delete_of_its_child_do_not_both_succeed(f: Fixture) {
    for round in 0..15 {
        let inner = manifest("a", round, vec![], &[]);
        f.push(inner.clone()).await;
        let index = manifest("a", 500 + round, vec![crate::fixture::child(&inner)], &[]);
        let (catalog, push) = (f.catalog.clone(), index.clone());
        let pushed = tokio::spawn(async move { catalog.put_manifest(push).await.expect("answered") });
        let catalog = f.catalog.clone();
        let deleted = tokio::spawn(async move {
            catalog.delete_manifest(&name("a"), &inner.digest, at(9), None, stamp(1)).await.expect("answered")
        });
        let (pushed, deleted) = (pushed.await.expect("no panic"), deleted.await.expect("no panic"));
        let stored = matches!(pushed, PutManifestOutcome::Stored { .. });
        assert_eq!(stored, deleted != larder_catalog::model::DeleteOutcome::Deleted, "{pushed:?} {deleted:?}");
    }
}

async fn pushes_and_removals_of_a_repository_leave_no_row_without_bytes(f: Fixture) {
    let tasks: Vec<_> = (0..3_u64)
        .map(|task| {
            let catalog = f.catalog.clone();
            tokio::spawn(async move {
                let mine = format!("r{task}");
                for n in 0..15 {
                    // The same manifest in three repositories, one of which goes again and again.
                    let push = PutManifest { repository: name(&mine), ..manifest("x", n % 3, vec![], &["t"]) };
                    catalog.put_manifest(push.clone()).await.expect("pushed");
                    let shared = PutManifest { repository: name("shared"), ..push.clone() };
                    catalog.put_manifest(shared).await.expect("pushed");
                    let got = catalog
                        .manifest(&name(&mine), &push.digest.to_string().parse().expect("a reference"), true)
                        .await;
                    assert_eq!(got.expect("answered").expect("an acknowledged manifest").bytes, Some(push.bytes));
                    if n % 2 == task % 2 {
                        catalog.remove_repository(&name("shared"), stamp(1), at(9), None).await.expect("answered");
                    } else {
                        catalog
                            .delete_manifest(&name(&mine), &push.digest, at(9), None, stamp(1))
                            .await
                            .expect("answered");
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("a task");
    }
    let tags = f.repositories(&larder_catalog::model::RepositoryFilter::All, None, 100).await.expect("listed");
    for repository in tags.items {
        for row in f
            .tag_rows(&repository, &TagListing::default(), None, 100)
            .await
            .expect("rows")
            .expect("the repository")
            .items
        {
            let reference = row.name.as_str().parse().expect("a reference");
            assert!(f.manifest(&repository, &reference, true).await.expect("answered").is_some());
        }
    }
}
