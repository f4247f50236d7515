//! Quotas: what counts, that it is counted once, and that nobody gets past them.

use larder_catalog::model::{Counted, MountSource, NewQuota, OverQuota, PutManifestOutcome, Quota, Reserved, Upload};

use crate::fixture::{Fixture, at, blob, commit, layer, manifest, name, pattern, stamp, upload};

crate::on_every_database!(
    what_is_live_counts_and_nothing_else,
    what_lies_in_the_trash_counts_when_it_comes_back,
    a_quota_counts_what_is_there_when_it_is_made,
    sixty_four_uploads_at_once_do_not_overshoot,
    uploads_of_unknown_length_take_what_is_left,
    manifests_are_counted_and_refused,
    a_mount_beyond_the_quota_is_no_mount,
    quotas_are_listed_changed_and_removed,
    an_upload_without_a_quota_reserves_nothing,
);

async fn quota(f: &Fixture, text: &str, bytes: Option<u64>, manifests: Option<u64>) -> Quota {
    let new = NewQuota { pattern: pattern(text), bytes, manifests };
    f.set_quota(new, stamp(1)).await.expect("answered").expect("there is room for a quota")
}

/// (bytes, reserved bytes, manifests) of the quota; the same must come out when everything is counted anew.
async fn used(f: &Fixture, id: i64) -> (u64, u64, u64) {
    let quota = f.quota(id).await.expect("answered").expect("there is one");
    let anew = self::quota(f, "te*m/**", None, None).await;
    let both = [&quota, &anew].map(|quota| (quota.used_bytes, quota.reserved_bytes, quota.used_manifests));
    assert_eq!(both[0], both[1], "counted bit by bit and anew");
    assert!(f.remove_quota(anew.id, stamp(1)).await.expect("answered"));
    both[0]
}

async fn open(f: &Fixture, repository: &str) -> Upload {
    let upload = upload(repository, "alice");
    f.create_upload(upload.clone()).await.expect("a session opens");
    upload
}

async fn what_is_live_counts_and_nothing_else(f: Fixture) {
    let id = quota(&f, "team/**", Some(10_000), None).await.id;
    let (one, two) = (blob(1), blob(2));
    f.push_blob("team/a", &one, 10).await;
    f.push_blob("team/a", &two, 10).await;
    f.push_blob("other", &blob(3), 10).await;
    assert_eq!(used(&f, id).await, (101 + 102, 0, 0), "what waits for its manifest counts");
    f.push_blob("team/a", &one, 10).await;
    assert_eq!(used(&f, id).await, (203, 0, 0), "pushed twice is held once");
    let first = manifest("team/a", 1, vec![layer(&one), layer(&two)], &["1"]);
    let second = manifest("team/a", 2, vec![layer(&one)], &["2"]);
    let length = first.bytes.len() as u64;
    f.push(first.clone()).await;
    f.push(first.clone()).await;
    f.push(second.clone()).await;
    assert_eq!(used(&f, id).await, (203 + 2 * length, 0, 2));
    // A blob counts in each repository that holds it.
    let source = MountSource::Repository(name("team/a"));
    for _ in 0..2 {
        assert!(f.mount(&name("team/b"), &one.digest, &source, at(10), stamp(1)).await.expect("answered").is_some());
    }
    assert_eq!(used(&f, id).await, (203 + 101 + 2 * length, 0, 2));
    // What is deleted makes room at once, though its bytes stay until the sweep.
    f.delete_manifest(&name("team/a"), &first.digest, at(50), None, stamp(2)).await.expect("answered");
    assert_eq!(used(&f, id).await, (101 + 101 + length, 0, 1));
    f.push(first.clone()).await;
    assert_eq!(used(&f, id).await, (203 + 101 + 2 * length, 0, 2), "revived by a push of the manifest alone");
    f.delete_manifest(&name("team/a"), &first.digest, at(50), None, stamp(2)).await.expect("answered");
    f.push_blob("team/a", &two, 10).await;
    assert_eq!(used(&f, id).await, (203 + 101 + length, 0, 1), "revived by a push of the blob");
    f.sweep_all(60).await;
    assert_eq!(used(&f, id).await, (101 + length, 0, 1), "swept: in a what no manifest took, in b all");
    f.push_blob("team/a", &two, 90).await;
    f.delete_blob(&name("team/a"), &two.digest, stamp(3)).await.expect("answered");
    assert_eq!(used(&f, id).await, (101 + length, 0, 1));
    let key = f.member_blob(&name("team/a"), &one.digest, "alice").await.expect("answered").expect("held").blob.key;
    assert!(f.forget_missing_blob(&key, stamp(3)).await.expect("answered"));
    assert_eq!(used(&f, id).await, (length, 0, 1));
    assert!(f.remove_repository(&name("team/a"), stamp(4), at(90), None).await.expect("answered"));
    assert_eq!(used(&f, id).await, (0, 0, 0));
}

async fn what_lies_in_the_trash_counts_when_it_comes_back(f: Fixture) {
    let id = quota(&f, "team/**", Some(10_000), None).await.id;
    let (a, one, two) = (name("team/a"), blob(1), blob(2));
    f.push_blob("team/a", &one, 10).await;
    f.push_blob("team/a", &two, 10).await;
    let first = manifest("team/a", 1, vec![layer(&one), layer(&two)], &["1"]);
    f.push(first.clone()).await;
    let whole = (203 + first.bytes.len() as u64, 0, 1);
    assert_eq!(used(&f, id).await, whole);
    let throw_away = async || {
        f.delete_manifest(&a, &first.digest, at(20), Some(at(900)), stamp(2)).await.expect("answered");
        assert_eq!(used(&f, id).await, (0, 0, 0), "what is in the trash is not live");
    };
    throw_away().await;
    f.undelete_manifest(&a, &first.digest, stamp(3)).await.expect("answered");
    assert_eq!(used(&f, id).await, whole, "undeleted");
    throw_away().await;
    f.push(first.clone()).await;
    assert_eq!(used(&f, id).await, whole, "pushed again while its blobs wait hidden");
    throw_away().await;
    f.sweep_all(60).await;
    f.push(first.clone()).await;
    assert_eq!(used(&f, id).await, whole, "pushed again after its blobs had left the repository");
    throw_away().await;
    f.sweep_all(60).await;
    f.undelete_manifest(&a, &first.digest, stamp(4)).await.expect("answered");
    assert_eq!(used(&f, id).await, whole, "undeleted after its blobs had left");
    f.remove_repository(&a, stamp(5), at(90), Some(at(900))).await.expect("answered");
    assert_eq!(used(&f, id).await, (0, 0, 0));
    f.undelete_repository(&a, None, stamp(6)).await.expect("answered");
    assert_eq!(used(&f, id).await, whole, "the repository came back");
}

async fn a_quota_counts_what_is_there_when_it_is_made(f: Fixture) {
    for n in 0..5 {
        f.push_blob(&format!("team/r{n}"), &blob(n), 10).await;
    }
    f.push_blob("team", &blob(9), 10).await;
    let first = quota(&f, "team/**", None, None).await;
    let session = open(&f, "team/r1").await;
    assert_eq!(f.reserve(&session.id, &name("team/r1"), 40, 40).await.expect("answered"), Reserved::Bytes(40));
    let second = quota(&f, "team/r*", Some(1_000), Some(3)).await;
    assert_eq!((first.used_bytes, second.used_bytes, second.reserved_bytes), (510, 510, 40));
    let literal = quota(&f, "team", Some(1), None).await;
    assert_eq!((literal.used_bytes, literal.reserved_bytes), (109, 0));
    assert!(f.full_quota(&name("team")).await.expect("answered").is_some());
    assert_eq!(f.full_quota(&name("team/r1")).await.expect("answered"), None);
}

async fn sixty_four_uploads_at_once_do_not_overshoot(f: Fixture) {
    let id = quota(&f, "team/**", Some(1_000), None).await.id;
    let mut tasks = Vec::new();
    for n in 0..64_u64 {
        let repository = format!("team/r{}", n % 8);
        let (catalog, session) = (f.catalog.clone(), open(&f, &repository).await);
        tasks.push(tokio::spawn(async move {
            let reserved = catalog.reserve(&session.id, &name(&repository), 100, 100).await.expect("answered");
            let granted = match reserved {
                Reserved::Bytes(100) => true,
                Reserved::Over(_) => false,
                other => panic!("{other:?}"),
            };
            if granted {
                let mut content = blob(n);
                content.size = 100;
                assert!(catalog.commit_blob(commit(&session, &content, 10)).await.expect("answered"));
            } else {
                assert!(catalog.delete_upload(&session.repository, &session.id).await.expect("answered"));
            }
            granted
        }));
    }
    let mut granted = 0;
    for task in tasks {
        granted += u32::from(task.await.expect("no panic"));
    }
    assert_eq!(granted, 10, "as many as fit, and no more");
    assert_eq!(used(&f, id).await, (1_000, 0, 0));
}

async fn uploads_of_unknown_length_take_what_is_left(f: Fixture) {
    let id = quota(&f, "team/**", Some(1_000), None).await.id;
    let team = name("team/a");
    let (one, two) = (open(&f, "team/a").await, open(&f, "team/a").await);
    assert_eq!(f.reserve(&one.id, &team, 10, 800).await.expect("answered"), Reserved::Bytes(800));
    assert_eq!(f.reserve(&two.id, &team, 10, 800).await.expect("answered"), Reserved::Bytes(200));
    assert_eq!(
        f.reserve(&two.id, &team, 150, 900).await.expect("answered"),
        Reserved::Bytes(200),
        "it has that already"
    );
    let over = OverQuota {
        pattern: pattern("team/**"),
        counted: Counted::Bytes,
        limit: 1_000,
        used: 0,
        reserved: 1_000,
        needed: 1,
    };
    assert_eq!(f.reserve(&two.id, &team, 201, 900).await.expect("answered"), Reserved::Over(over.clone()));
    let said =
        "over the quota of team/**: 0 of 1000 bytes are used, 1000 more are reserved by open uploads, and this needs 1";
    assert_eq!(over.to_string(), said);
    // What the first did not need is free again with its end.
    let mut content = blob(1);
    content.size = 300;
    assert!(f.commit_blob(commit(&one, &content, 10)).await.expect("answered"));
    assert_eq!(used(&f, id).await, (300, 200, 0));
    assert_eq!(f.reserve(&two.id, &team, 201, 900).await.expect("answered"), Reserved::Bytes(700));
    assert!(f.delete_upload(&team, &two.id).await.expect("answered"));
    assert_eq!(used(&f, id).await, (300, 0, 0));
    assert_eq!(f.reserve(&two.id, &team, 1, 1).await.expect("answered"), Reserved::Gone);
}

async fn manifests_are_counted_and_refused(f: Fixture) {
    let id = quota(&f, "team/**", None, Some(2)).await.id;
    for n in 1..=2 {
        f.push(manifest("team/a", n, vec![], &["t"])).await;
    }
    let third = manifest("team/b", 3, vec![], &["t"]);
    let PutManifestOutcome::OverQuota(over) = f.put_manifest(third.clone()).await.expect("answered") else {
        panic!("it is one too many");
    };
    assert_eq!((over.counted, over.limit, over.used, over.needed), (Counted::Manifests, 2, 2, 1));
    // A tag may still move to what is there.
    f.push(manifest("team/a", 1, vec![], &["u"])).await;
    f.delete_manifest(&name("team/a"), &manifest("team/a", 2, vec![], &[]).digest, at(9), None, stamp(2))
        .await
        .expect("gone");
    f.push(third).await;
    assert_eq!(used(&f, id).await.2, 2);
    // Bytes of manifests are bytes, and blobs that a manifest revives count again.
    let one = blob(1);
    f.push_blob("team/c", &one, 10).await;
    let fourth = manifest("team/c", 4, vec![layer(&one)], &[]);
    quota(&f, "team/**", None, Some(10)).await;
    f.push(fourth.clone()).await;
    f.delete_manifest(&name("team/c"), &fourth.digest, at(9), None, stamp(2)).await.expect("gone");
    let full = used(&f, id).await.0 + one.size;
    quota(&f, "team/**", Some(full), None).await;
    let outcome = f.put_manifest(fourth.clone()).await.expect("answered");
    assert!(matches!(outcome, PutManifestOutcome::OverQuota(_)), "{outcome:?}");
    quota(&f, "team/**", Some(full + fourth.bytes.len() as u64), None).await;
    f.push(fourth).await;
}

async fn a_mount_beyond_the_quota_is_no_mount(f: Fixture) {
    let one = blob(1);
    f.push_blob("other", &one, 10).await;
    quota(&f, "team/**", Some(100), None).await;
    let source = MountSource::Repository(name("other"));
    let mount = async || f.mount(&name("team/a"), &one.digest, &source, at(10), stamp(1)).await.expect("answered");
    assert_eq!(mount().await, None);
    assert!(!f.repository_exists(&name("team/a")).await.expect("answered"), "nothing was made for it");
    quota(&f, "team/**", Some(101), None).await;
    assert!(mount().await.is_some());
    assert!(mount().await.is_some(), "it is held already, and needs no more");
}

async fn quotas_are_listed_changed_and_removed(f: Fixture) {
    let one = quota(&f, "a/**", Some(5), None).await;
    let two = quota(&f, "b/**", None, Some(6)).await;
    let changed = quota(&f, "a/**", None, None).await;
    assert_eq!((changed.id, changed.bytes, changed.changed_by.as_str()), (one.id, None, "alice"));
    let page = f.quotas(None, 1).await.expect("listed");
    assert_eq!((page.items[0].id, page.more), (one.id, true));
    assert_eq!(f.quotas(Some(one.id), 9).await.expect("listed").items, std::slice::from_ref(&two));
    assert!(f.is_under_quota(&name("b/x")).await.expect("answered"));
    assert!(f.remove_quota(two.id, stamp(2)).await.expect("answered"));
    assert!(!f.remove_quota(two.id, stamp(2)).await.expect("answered"));
    assert_eq!(f.quota(two.id).await.expect("answered"), None);
    assert!(!f.is_under_quota(&name("b/x")).await.expect("answered"), "its own changes are known at once");
}

async fn an_upload_without_a_quota_reserves_nothing(f: Fixture) {
    let session = open(&f, "a").await;
    assert_eq!(f.reserve(&session.id, &name("a"), 10, 20).await.expect("answered"), Reserved::NoQuota);
    assert_eq!(f.full_quota(&name("a")).await.expect("answered"), None);
    assert!(!f.is_under_quota(&name("a")).await.expect("answered"));
}
