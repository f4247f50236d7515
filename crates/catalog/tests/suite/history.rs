//! What tags pointed to at a time, and the way back.

use larder_catalog::model::{PutManifest, RollbackOutcome, RollbackTo, TagThen};
use larder_oci::Digest;

use crate::fixture::{Fixture, at, blob, digest, layer, manifest, name, stamp, tag};

crate::on_every_database!(
    a_tag_is_known_at_any_time_since_its_history_begins,
    a_tag_goes_back_by_number_digest_and_time,
    a_rollback_brings_a_deleted_manifest_back,
    labels_stand_in_the_history_when_the_image_is_gone,
);

/// `prod` pointed to the manifests 1, 2 and 3 from the minutes 10, 20 and 30 on, and was removed at 40. Answers their digests.
async fn moved(f: &Fixture) -> [Digest; 3] {
    let mut digests = [digest(0); 3];
    for (n, known) in (1..).zip(&mut digests) {
        let push = PutManifest { stamp: stamp(n * 10), ..manifest("a", n.unsigned_abs(), vec![], &["prod"]) };
        *known = push.digest;
        f.push(push).await;
    }
    f.delete_tag(&name("a"), &tag("prod"), stamp(40)).await.expect("deleted");
    digests
}

async fn a_tag_is_known_at_any_time_since_its_history_begins(f: Fixture) {
    let [one, two, three] = moved(&f).await;
    let then = async |minute| f.tag_then(&name("a"), &tag("prod"), at(minute)).await.expect("answered");
    for (minute, expected) in
        [(9, None), (10, Some(one)), (19, Some(one)), (20, Some(two)), (39, Some(three)), (40, None)]
    {
        assert_eq!(then(minute).await, expected.map_or(TagThen::Absent, TagThen::At), "minute {minute}");
    }
    // What stood when the window began stays known; what was before is forgotten.
    f.prune_tag_events(at(25), 20).await.expect("pruned");
    assert_eq!(then(25).await, TagThen::At(two));
    assert_eq!(then(20).await, TagThen::At(two));
    assert_eq!(then(15).await, TagThen::Forgotten { since: at(20) });
    // A removal that is older than the window needs no memory.
    f.prune_tag_events(at(50), 20).await.expect("pruned");
    assert_eq!(f.tag_history(&name("a"), &tag("prod"), None, 9).await.expect("history").items, []);
    assert_eq!(then(60).await, TagThen::Absent);
    assert_eq!(f.tag_then(&name("b"), &tag("prod"), at(60)).await.expect("answered"), TagThen::Absent);
}

async fn a_tag_goes_back_by_number_digest_and_time(f: Fixture) {
    let [one, two, three] = moved(&f).await;
    let back =
        async |to, apply| f.rollback_tag(&name("a"), &tag("prod"), to, apply, stamp(50)).await.expect("answered");
    let preview = back(RollbackTo::Changes(1), false).await;
    assert_eq!(preview, RollbackOutcome::Moved { from: None, to: three });
    assert_eq!(f.tags(&name("a"), None, 9).await.expect("listed").expect("there").items, [], "a look changes nothing");
    assert_eq!(back(RollbackTo::Changes(1), true).await, preview);
    assert_eq!(back(RollbackTo::Changes(3), true).await, RollbackOutcome::Moved { from: Some(three), to: two });
    assert_eq!(back(RollbackTo::Digest(one), true).await, RollbackOutcome::Moved { from: Some(two), to: one });
    assert_eq!(back(RollbackTo::Digest(one), true).await, RollbackOutcome::Same(one));
    assert_eq!(back(RollbackTo::Time(at(25)), true).await, RollbackOutcome::Moved { from: Some(one), to: two });
    for unknown in
        [RollbackTo::Changes(99), RollbackTo::Digest(digest(7)), RollbackTo::Time(at(5)), RollbackTo::Time(at(45))]
    {
        assert_eq!(back(unknown, true).await, RollbackOutcome::Unknown, "{unknown:?}");
    }
    let history = f.tag_history(&name("a"), &tag("prod"), None, 1).await.expect("history").items;
    assert_eq!((history[0].how.as_str(), history[0].from, history[0].to), ("rollback", Some(one), Some(two)));
    let elsewhere = f.rollback_tag(&name("b"), &tag("prod"), RollbackTo::Changes(1), true, stamp(50)).await;
    assert_eq!(elsewhere.expect("answered"), RollbackOutcome::Unknown);
}

async fn a_rollback_brings_a_deleted_manifest_back(f: Fixture) {
    let b = blob(1);
    f.push_blob("a", &b, 5).await;
    let (old, new) = (manifest("a", 1, vec![layer(&b)], &["prod"]), manifest("a", 2, vec![], &["prod"]));
    f.push(old.clone()).await;
    f.push(new.clone()).await;
    f.delete_manifest(&name("a"), &old.digest, at(20), Some(at(90)), stamp(10)).await.expect("deleted");
    f.sweep_all(30).await;
    let back = async || {
        f.rollback_tag(&name("a"), &tag("prod"), RollbackTo::Changes(1), true, stamp(40)).await.expect("answered")
    };
    assert_eq!(back().await, RollbackOutcome::Moved { from: Some(new.digest), to: old.digest });
    assert!(f.is_member("a", &b.digest).await);
    f.delete_manifest(&name("a"), &new.digest, at(50), Some(at(60)), stamp(45)).await.expect("deleted");
    f.empty_trash(at(61)).await.expect("emptied");
    let forward = f.rollback_tag(&name("a"), &tag("prod"), RollbackTo::Digest(new.digest), true, stamp(62)).await;
    assert_eq!(forward.expect("answered"), RollbackOutcome::Gone(new.digest));
}

async fn labels_stand_in_the_history_when_the_image_is_gone(f: Fixture) {
    let labels = Some(r#"{"org.opencontainers.image.revision":"abc123f"}"#.to_owned());
    let push = PutManifest { labels: labels.clone(), ..manifest("a", 1, vec![], &["1.0"]) };
    f.push(push.clone()).await;
    f.put_tag(&name("a"), &tag("prod"), &push.digest, "retag", stamp(2)).await.expect("moved");
    assert_eq!(f.manifest_labels(&name("a"), &push.digest).await.expect("answered"), labels);
    f.push(PutManifest { labels: None, ..push.clone() }).await;
    assert_eq!(f.manifest_labels(&name("a"), &push.digest).await.expect("answered"), labels, "nobody looked");
    f.delete_manifest(&name("a"), &push.digest, at(9), None, stamp(3)).await.expect("deleted");
    for name_of_tag in ["1.0", "prod"] {
        let events = f.tag_history(&name("a"), &tag(name_of_tag), None, 9).await.expect("history").items;
        assert_eq!((events[0].labels.as_ref(), events[1].labels.as_ref()), (None, labels.as_ref()));
    }
}
