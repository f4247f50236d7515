//! Repositories as wholes, usage, and the catalog's own identity.

use larder_catalog::model::RepositorySummary;

use crate::fixture::{Fixture, at, blob, config, layer, manifest, name, stamp, tag};

crate::on_every_database!(
    a_summary_counts_what_a_repository_holds,
    an_emptied_repository_stays_listed_until_it_is_removed,
    a_removed_repository_takes_everything_but_its_history,
    usage_adds_up,
    the_generation_counts_up_beyond_what_the_store_has_seen,
    the_catalog_takes_writes,
);

async fn a_summary_counts_what_a_repository_holds(f: Fixture) {
    let (c, l) = (blob(1), blob(2));
    f.push_blob("a", &c, 60).await;
    f.push_blob("a", &l, 60).await;
    f.push_blob("b", &l, 60).await;
    let push = manifest("a", 1, vec![config(&c), layer(&l)], &["t", "u"]);
    f.push(push.clone()).await;
    let size = c.size + l.size + push.bytes.len() as u64;
    let expected = RepositorySummary {
        name: name("a"),
        created: at(0),
        tags: 2,
        manifests: 1,
        incomplete: 0,
        size,
        public: false,
        description: String::new(),
    };
    assert_eq!(f.repository_summary(&name("a")).await.expect("answered"), Some(expected));
    assert_eq!(f.repository_summary(&name("c")).await.expect("answered"), None);
}

async fn an_emptied_repository_stays_listed_until_it_is_removed(f: Fixture) {
    let push = manifest("a", 1, vec![], &["t"]);
    f.push(push.clone()).await;
    f.delete_manifest(&name("a"), &push.digest, at(9), None, stamp(2)).await.expect("deleted");
    assert!(f.repository_exists(&name("a")).await.expect("answered"));
    assert_eq!(f.tags(&name("a"), None, 9).await.expect("listed").expect("the repository").items, []);
    assert!(f.remove_repository(&name("a"), stamp(3), at(9), None).await.expect("answered"));
    assert!(!f.repository_exists(&name("a")).await.expect("answered"));
    assert!(!f.remove_repository(&name("a"), stamp(3), at(9), None).await.expect("answered"));
}

async fn a_removed_repository_takes_everything_but_its_history(f: Fixture) {
    let (own, shared) = (blob(1), blob(2));
    for (repository, blob) in [("a", &own), ("a", &shared), ("b", &shared)] {
        f.push_blob(repository, blob, 10).await;
    }
    let subject = manifest("a", 1, vec![layer(&own), layer(&shared)], &["t"]);
    f.push(subject.clone()).await;
    let mut signature = manifest("a", 2, vec![], &[]);
    signature.subject = Some(subject.digest);
    f.push(signature).await;
    let kept = manifest("b", 1, vec![layer(&shared)], &["t"]);
    f.put_manifest(larder_catalog::model::PutManifest { sparse: larder_catalog::model::Sparse::Accept, ..kept })
        .await
        .expect("pushed");
    assert!(f.remove_repository(&name("a"), stamp(5), at(50), None).await.expect("answered"));
    assert!(!f.is_member("a", &own.digest).await);
    assert_eq!(f.tags(&name("a"), None, 9).await.expect("listed"), None);
    let history = f.tag_history(&name("a"), &tag("t"), None, 9).await.expect("history").items;
    assert_eq!((history[0].from, history[0].to, history[0].how.as_str()), (Some(subject.digest), None, "delete"));
    assert_eq!(f.events(0, 100).await.expect("events").items.last().expect("an event").kind, "repository.deleted");
    assert!(f.sweep_all(49).await.iter().all(|blob| blob.digest != own.digest), "a removal begins a full lease");
    assert_eq!(f.sweep_all(50).await, [own]);
    assert!(f.is_member("b", &shared.digest).await);
    let other = f.manifest(&name("b"), &"t".parse().expect("a reference"), true).await.expect("answered");
    assert!(other.is_some(), "another repository's manifest keeps its bytes");
    f.push(manifest("a", 3, vec![], &["t"])).await;
    assert_eq!(f.referrers(&name("a"), &subject.digest, None, None, 9).await.expect("listed").items, []);
}

async fn usage_adds_up(f: Fixture) {
    let (one, two) = (blob(1), blob(2));
    f.push_blob("a", &one, 10).await;
    f.push_blob("b", &one, 10).await;
    f.push_blob("a", &two, 10).await;
    let push = manifest("a", 1, vec![layer(&one)], &["t"]);
    f.push(push.clone()).await;
    f.create_upload(crate::fixture::upload("a", "alice")).await.expect("a session");
    let usage = f.usage(at(5)).await.expect("answered");
    assert_eq!(usage.live, (2, one.size + two.size));
    assert_eq!(usage.leaving, (1, one.size), "the first upload's key");
    assert_eq!(usage.quarantined, (0, 0));
    assert_eq!(usage.manifests, (1, push.bytes.len() as u64));
    assert_eq!(usage.unreferenced, (1, two.size));
    assert_eq!(usage.uploads, (1, 0));
    assert_eq!(usage.queue, (3, 0));
    assert_eq!(f.usage(at(10)).await.expect("answered").queue, (3, 3));
}

/// **Invariant 14**.
async fn the_generation_counts_up_beyond_what_the_store_has_seen(f: Fixture) {
    let first = f.identity().await.expect("an identity");
    assert_eq!(first.generation, 0);
    assert_eq!(first.store_id.len(), 36);
    assert_eq!(f.raise_generation(0).await.expect("raised"), 1);
    assert_eq!(f.raise_generation(41).await.expect("raised"), 42);
    assert_eq!(f.raise_generation(7).await.expect("raised"), 43);
    let now = f.identity().await.expect("an identity");
    assert_eq!((now.store_id, now.generation), (first.store_id, 43));
    let other = Fixture::memory().await;
    assert_ne!(
        other.identity().await.expect("an identity").store_id,
        f.identity().await.expect("an identity").store_id
    );
}

async fn the_catalog_takes_writes(f: Fixture) {
    f.check_writable().await.expect("writable");
    let before = f.statistics();
    f.check_writable().await.expect("writable");
    assert_eq!(f.statistics().commits, before.commits + 1);
    f.close().await;
    assert!(matches!(f.check_writable().await, Err(larder_catalog::Error::Closed)));
}
