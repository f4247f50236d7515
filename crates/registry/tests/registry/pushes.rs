//! Manifests: stored as they are, checked against what is there.

use std::time::Duration;

use larder_oci::Reference;
use larder_registry::{Condition, Error, PageRequest, Settings, Sparse, testing};

use crate::driver::{Driver, image, index, name, sha256, sha512, tag};

/// Invariant 8: not a byte of a manifest changes between push and pull.
#[tokio::test]
async fn a_manifest_comes_back_byte_for_byte() {
    let driver = Driver::new().await;
    let mut odd = b" {\n \"annotations\" : {\"z\":\"1\",  \"a\":\"\\u0041\"},\t".to_vec();
    odd.extend_from_slice(&image(&[])[1..]);
    driver.push_blob("team/model", b"{}").await;
    let pushed = driver.push_manifest("team/model", "1.0", &odd).await.expect("an odd but valid manifest");
    let got = driver.registry.manifest(&driver.actor, &name("team/model"), &Reference::Tag(tag("1.0"))).await;
    assert_eq!(got.expect("the manifest").bytes, odd);
    assert_eq!(pushed.digest, sha256(&odd));
}

/// Invariant 7: a digest comes back in the algorithm it was pushed with, by tag too.
#[tokio::test]
async fn a_sha512_manifest_stays_sha512() {
    let driver = Driver::new().await;
    driver.push_blob("team/model", b"{}").await;
    let bytes = image(&[]);
    let digest = sha512(&bytes);
    let push = larder_registry::ManifestPush {
        reference: Reference::Digest(digest),
        extra_tags: vec![tag("a"), tag("b"), tag("a")],
        content_type: None,
        bytes: bytes.clone().into(),
        condition: Condition::Any,
    };
    let pushed = driver.registry.push_manifest(&driver.actor, &name("team/model"), push).await.expect("a push");
    assert_eq!((pushed.digest, pushed.tags), (digest, vec![tag("a"), tag("b")]));
    assert_eq!(driver.resolve("team/model", "b").await, Some(digest));
    assert_eq!(driver.resolve("team/model", &sha256(&bytes).to_string()).await, None);
}

/// Invariant 3: tag, history and manifest change together.
#[tokio::test]
async fn a_moved_tag_leaves_its_history() {
    let driver = Driver::new().await;
    let first = driver.push_image("team/model", "prod", &[b"one"]).await;
    driver.clock.advance(Duration::from_secs(60));
    let second = driver.push_image("team/model", "prod", &[b"two"]).await;
    let history = driver.registry.tag_history(&driver.actor, &name("team/model"), &tag("prod"), None, 10).await;
    let moves: Vec<_> = history.expect("a history").items.iter().map(|event| (event.from, event.to)).collect();
    assert_eq!(moves, vec![(Some(first), Some(second)), (None, Some(first))]);
    assert_eq!(driver.resolve("team/model", &first.to_string()).await, Some(first), "the old image stays pullable");
}

#[tokio::test]
async fn a_false_size_is_refused_and_stores_nothing() {
    let driver = Driver::new().await;
    driver.push_image("team/model", "1.0", &[b"weights"]).await;
    let lie = String::from_utf8(image(&[b"weights"])).expect("text").replace("\"size\":7", "\"size\":5");
    let refused = driver.push_manifest("team/model", "2.0", lie.as_bytes()).await;
    assert!(matches!(refused, Err(Error::SizeInvalid { stated: 5, actual: 7, .. })), "{refused:?}");
    assert_eq!(driver.resolve("team/model", "2.0").await, None);
    // Another repository is never consulted: that would tell what it holds.
    let elsewhere = driver.push_manifest("other/model", "2.0", lie.as_bytes()).await.expect("sparse data is taken");
    assert_eq!(elsewhere.warnings.len(), 1);
}

#[tokio::test]
async fn absent_targets_are_warned_about_refused_or_taken() {
    for (sparse, taken, warnings) in [(Sparse::Accept, true, 0), (Sparse::Warn, true, 1), (Sparse::Refuse, false, 0)] {
        let driver = Driver::with(Settings { sparse, ..testing::settings() }).await;
        driver.push_blob("team/model", b"{}").await;
        match driver.push_manifest("team/model", "1.0", &image(&[b"never sent"])).await {
            Ok(pushed) => assert_eq!((taken, pushed.warnings.len()), (true, warnings), "{sparse:?}"),
            Err(Error::TargetsUnknown(missing)) => {
                assert_eq!((taken, missing), (false, vec![sha256(b"never sent")]), "{sparse:?}");
            }
            Err(other) => panic!("{sparse:?}: {other}"),
        }
    }
}

/// What the sweep took is never accepted as "absent but fine": its pusher believes that it is here.
#[tokio::test]
async fn what_the_sweep_took_lately_is_always_refused() {
    let driver = Driver::with(Settings { sparse: Sparse::Accept, ..testing::settings() }).await;
    driver.push_blob("team/model", b"{}").await;
    driver.push_blob("team/model", b"weights").await;
    driver.pass_lease();
    driver.sweep().await;
    driver.push_blob("team/model", b"{}").await;
    let refused = driver.push_manifest("team/model", "1.0", &image(&[b"weights"])).await;
    assert!(matches!(refused, Err(Error::TargetsUnknown(_))), "{refused:?}");
    driver.clock.advance(driver.registry.settings().taken_memory + Duration::from_secs(1));
    driver.push_blob("team/model", b"{}").await;
    driver.push_manifest("team/model", "1.0", &image(&[b"weights"])).await.expect("forgotten after a week");
}

#[tokio::test]
async fn conditions_are_decided_with_the_push() {
    let driver = Driver::new().await;
    let first = driver.push_image("team/model", "prod", &[b"one"]).await;
    let second = image(&[]);
    let exists = driver.push_manifest_if("team/model", "prod", &second, Condition::IfAbsent).await;
    assert!(matches!(exists, Err(Error::PreconditionFailed { current: Some(now) }) if now == first));
    let stale = Condition::IfMatch(vec![sha256(b"something else")]);
    assert!(driver.push_manifest_if("team/model", "prod", &second, stale).await.is_err());
    assert_eq!(driver.resolve("team/model", "prod").await, Some(first));
    let current = Condition::IfMatch(vec![first]);
    driver.push_manifest_if("team/model", "prod", &second, current).await.expect("the condition holds");
    driver.push_manifest_if("team/model", "new", &second, Condition::IfAbsent).await.expect("a new tag");
}

/// BuildKit's old cache format: an index whose entries are layers.
#[tokio::test]
async fn an_index_may_name_blobs_and_holds_them() {
    let driver = Driver::with(Settings { sparse: Sparse::Refuse, ..testing::settings() }).await;
    driver.push_blob("team/cache", b"a layer").await;
    let cache = driver.push_manifest("team/cache", "buildcache", &index(&[b"a layer"])).await.expect("a cache index");
    driver.pass_lease();
    driver.sweep().await;
    assert_eq!(driver.read_blob("team/cache", &sha256(b"a layer")).await.expect("the layer"), b"a layer");
    driver.delete("team/cache", &cache.digest.to_string()).await.expect("a delete");
    driver.pass_lease();
    driver.sweep().await;
    assert_eq!(driver.objects().await, 0, "and lets them go");
}

#[tokio::test]
async fn a_subject_may_come_after_what_refers_to_it() {
    let driver = Driver::with(Settings { sparse: Sparse::Refuse, ..testing::settings() }).await;
    driver.push_blob("team/model", b"{}").await;
    let (repository, target) = (name("team/model"), image(&[]));
    let subject = sha256(&target);
    let everything = PageRequest { limit: 100, after: None };
    let none = driver.registry.referrers(&driver.actor, &repository, &subject, None, &everything).await;
    assert!(none.expect("an empty list, even before the repository exists").items.is_empty());

    let text = String::from_utf8(image(&[])).expect("text");
    let referring = text.replacen(
        '{',
        &format!(
            r#"{{"artifactType":"application/x.test","annotations":{{"k":"v"}},"subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{subject}","size":{}}},"#,
            target.len()
        ),
        1,
    );
    let pushed = driver.push_manifest("team/model", "sig", referring.as_bytes()).await.expect("a dangling subject");
    assert_eq!(pushed.subject, Some(subject));
    driver.push_manifest("team/model", "1.0", &target).await.expect("the subject");
    let listed = driver.registry.referrers(&driver.actor, &repository, &subject, None, &everything).await;
    let listed = listed.expect("a list").items;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].artifact_type.as_deref(), Some("application/x.test"));
    assert_eq!(listed[0].annotations.get("k").map(String::as_str), Some("v"));
    let other = Some("application/x.other");
    let filtered = driver.registry.referrers(&driver.actor, &repository, &subject, other, &everything).await;
    assert!(filtered.expect("a list").items.is_empty());
}
