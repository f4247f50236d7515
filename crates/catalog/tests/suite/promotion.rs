//! Stages as rows, what stands in them, and the one transaction that moves them.

use larder_catalog::model::promotion::{
    NotedPull, Promotion, PromotionOutcome, RequestKey, StageFacts, StagePlace, StageQuestion,
};
use larder_catalog::model::{NewQuota, PutManifest, Sparse};
use larder_oci::Digest;

use crate::fixture::{Fixture, at, blob, child, layer, manifest, name, pattern, stamp, stamp_of, tag};

crate::on_every_database!(
    the_most_specific_stages_come_first,
    each_move_of_a_stage_is_an_entry_and_a_stay,
    a_promotion_moves_history_event_and_audit_together,
    what_changed_since_the_look_moves_nothing,
    one_of_two_promotions_at_once_wins,
    a_key_is_answered_once,
    a_stage_that_is_a_repository_gets_references_and_counts_them,
    who_pulls_a_stage_is_noted_through_an_index,
);

fn question(digest: Digest) -> StageQuestion {
    StageQuestion {
        base: name("m"),
        stage: tag("prod"),
        source: name("m"),
        digest,
        target: (name("m"), tag("prod")),
        before: Some(StagePlace::Tag(name("m"), tag("staging"))),
        group: None,
    }
}

fn promotion(question: &StageQuestion, facts: &StageFacts, minute: i64) -> Promotion {
    Promotion {
        base: question.base.clone(),
        stage: question.stage.clone(),
        source: question.source.clone(),
        digest: question.digest,
        target: question.target.clone(),
        expected: facts.standing,
        version: facts.version,
        approved_by: Vec::new(),
        how: "promotion",
        reference: "1.0".to_owned(),
        reason: Some("release".to_owned()),
        key: None,
        stamp: stamp(minute),
    }
}

/// A manifest with a layer of its own.
async fn push(f: &Fixture, number: u64, tags: &[&str]) -> PutManifest {
    let layer_blob = blob(number);
    f.push_blob("m", &layer_blob, 10).await;
    let push = manifest("m", number, vec![layer(&layer_blob)], tags);
    f.push(push.clone()).await;
    push
}

async fn the_most_specific_stages_come_first(f: Fixture) {
    for text in ["**", "team/**", "team/m"] {
        let tags = [tag("canary")];
        assert!(f.set_stages(&pattern(text), text, (&tags, &tags), stamp(1)).await.expect("set"));
    }
    let found = f.stages_for(&name("team/m")).await.expect("found");
    assert_eq!(found.iter().map(|set| set.text.as_str()).collect::<Vec<_>>(), ["team/m", "team/**", "**"]);
    assert_eq!(found[0].tags, [tag("canary")]);
    assert_eq!(f.stages_for(&name("other")).await.expect("found").len(), 1);
    assert!(f.are_stages(vec!["canary".to_owned()]).await.expect("answered"));
    assert!(!f.are_stages(vec!["1.0".to_owned()]).await.expect("answered"));
    assert!(f.remove_stages(&pattern("**"), stamp(2)).await.expect("removed"));
    assert!(!f.remove_stages(&pattern("**"), stamp(2)).await.expect("answered"));
    let page = f.stage_sets(None, 1).await.expect("a page");
    assert_eq!((page.items[0].pattern.clone(), page.more), (pattern("team/**"), true));
}

async fn each_move_of_a_stage_is_an_entry_and_a_stay(f: Fixture) {
    let (first, second) = (push(&f, 1, &["1.0"]).await, push(&f, 2, &["2.0"]).await);
    for (digest, minute) in [(first.digest, 10), (second.digest, 15), (first.digest, 20)] {
        assert!(f.put_tag(&name("m"), &tag("staging"), &digest, "retag", stamp(minute)).await.expect("moved"));
    }
    let stay = async |digest| f.stage_facts(question(digest)).await.expect("facts").before.expect("it was there");
    let back = stay(first.digest).await;
    assert_eq!((back.entered, back.left, back.stood), (at(20), None, 5 * 60_000));
    let gone = stay(second.digest).await;
    assert_eq!((gone.entered, gone.left, gone.stood), (at(15), Some(at(20)), 5 * 60_000));
    let standing = f.stage_entry(&name("m"), &tag("staging")).await.expect("a look").expect("it stands there");
    assert_eq!((standing.digest, standing.how.as_str(), standing.by.as_str()), (first.digest, "retag", "alice"));
    f.put_tag(&name("m"), &tag("main"), &first.digest, "retag", stamp(21)).await.expect("moved");
    assert_eq!(f.staged_since(&name("m"), &tag("main"), at(0)).await.expect("a list"), [], "main is no stage");
    f.delete_tag(&name("m"), &tag("staging"), stamp(30)).await.expect("deleted");
    assert_eq!(f.stage_entry(&name("m"), &tag("staging")).await.expect("a look"), None);
    assert_eq!(stay(first.digest).await.stood, 15 * 60_000);
    let lately = f.staged_since(&name("m"), &tag("staging"), at(25)).await.expect("a list");
    assert_eq!(lately, [first.digest]);
    assert_eq!(f.prune_stages(at(26)).await.expect("pruned"), 1, "the second left before");
    // A tag that was there before it became a stage.
    f.put_tag(&name("m"), &tag("canary"), &first.digest, "retag", stamp(40)).await.expect("moved");
    f.set_stages(&pattern("m"), "{}", (&[tag("canary")], &[tag("canary")]), stamp(50)).await.expect("set");
    let canary = f.stage_entry(&name("m"), &tag("canary")).await.expect("a look").expect("it stands there");
    assert_eq!((canary.digest, canary.entered), (first.digest, at(40)));
}

async fn a_promotion_moves_history_event_and_audit_together(f: Fixture) {
    let (first, second) = (push(&f, 1, &["1.0", "prod"]).await, push(&f, 2, &["2.0"]).await);
    let asked = question(second.digest);
    let facts = f.stage_facts(asked.clone()).await.expect("facts");
    assert_eq!((facts.standing, facts.complete, facts.before.as_ref()), (Some(first.digest), Some(true), None));
    assert_eq!(
        (facts.tags.as_slice(), facts.new.as_slice()),
        ([tag("2.0")].as_slice(), [(blob(2).digest, 102)].as_slice())
    );
    assert_eq!(f.promote(promotion(&asked, &facts, 7)).await.expect("answered"), PromotionOutcome::Moved);
    let history = f.tag_history(&name("m"), &tag("prod"), None, 9).await.expect("a history").items;
    assert_eq!(
        (history[0].from, history[0].to, history[0].how.as_str()),
        (Some(first.digest), Some(second.digest), "promotion")
    );
    let event = f.events(0, 99).await.expect("events").items.pop().expect("one");
    let payload: serde_json::Value = serde_json::from_str(&event.payload).expect("it is JSON");
    assert_eq!(
        (event.kind.as_str(), payload["stage"].as_str(), payload["reason"].as_str()),
        ("tag.moved", Some("prod"), Some("release"))
    );
    let entry = f.stage_entry(&name("m"), &tag("prod")).await.expect("a look").expect("it stands there");
    assert_eq!((entry.digest, entry.entered, entry.reason.as_deref()), (second.digest, at(7), Some("release")));
}

async fn what_changed_since_the_look_moves_nothing(f: Fixture) {
    let (first, second) = (push(&f, 1, &["1.0", "prod"]).await, push(&f, 2, &["2.0"]).await);
    let asked = question(second.digest);
    let facts = f.stage_facts(asked.clone()).await.expect("facts");
    f.set_stages(&pattern("other"), "{}", (&[], &[]), stamp(1)).await.expect("set");
    let outcome = f.promote(promotion(&asked, &facts, 2)).await.expect("answered");
    assert_eq!(outcome, PromotionOutcome::Changed);
    let facts = f.stage_facts(asked.clone()).await.expect("facts");
    let relying = Promotion { approved_by: vec!["user:bob".to_owned()], ..promotion(&asked, &facts, 2) };
    assert_eq!(f.promote(relying.clone()).await.expect("answered"), PromotionOutcome::Changed, "bob did not approve");
    f.approve(&name("m"), &tag("prod"), &second.digest, None, stamp_of("user:bob", 2)).await.expect("approved");
    assert!(
        !f.approve(&name("m"), &tag("prod"), &second.digest, None, stamp_of("user:bob", 2)).await.expect("answered")
    );
    f.put_tag(&name("m"), &tag("prod"), &second.digest, "retag", stamp(2)).await.expect("moved");
    let outcome = f.promote(relying).await.expect("answered");
    assert_eq!(outcome, PromotionOutcome::Elsewhere(Some(second.digest)));
    let mut sparse = manifest("m", 3, vec![layer(&blob(33))], &["3.0"]);
    sparse.sparse = Sparse::Accept;
    f.push(sparse.clone()).await;
    let asked = question(sparse.digest);
    let facts = f.stage_facts(asked.clone()).await.expect("facts");
    assert_eq!(facts.complete, Some(false));
    assert_eq!(f.promote(promotion(&asked, &facts, 3)).await.expect("answered"), PromotionOutcome::Gone);
    assert_eq!(
        f.stage_entry(&name("m"), &tag("prod")).await.expect("a look").map(|entry| entry.digest),
        Some(second.digest)
    );
    assert_ne!(first.digest, second.digest);
}

async fn one_of_two_promotions_at_once_wins(f: Fixture) {
    for round in 0..8 {
        let (one, other) = (push(&f, 100 + round, &["1.0"]).await, push(&f, 200 + round, &["2.0"]).await);
        let (one, other) = (question(one.digest), question(other.digest));
        let (known, seen) =
            (f.stage_facts(one.clone()).await.expect("facts"), f.stage_facts(other.clone()).await.expect("facts"));
        let (first, second) =
            tokio::join!(f.promote(promotion(&one, &known, 5)), f.promote(promotion(&other, &seen, 5)));
        let outcomes = [first.expect("answered"), second.expect("answered")];
        let winner = f.stage_entry(&name("m"), &tag("prod")).await.expect("a look").expect("one stands there").digest;
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == PromotionOutcome::Moved).count(), 1, "{outcomes:?}");
        assert!(outcomes.contains(&PromotionOutcome::Elsewhere(Some(winner))), "{outcomes:?}");
    }
    let history = f.tag_history(&name("m"), &tag("prod"), None, 99).await.expect("a history").items;
    assert_eq!(history.len(), 8);
    assert!(history.windows(2).all(|pair| pair[0].from == pair[1].to));
}

async fn a_key_is_answered_once(f: Fixture) {
    let first = push(&f, 1, &["1.0"]).await;
    let asked = question(first.digest);
    let facts = f.stage_facts(asked.clone()).await.expect("facts");
    let key = RequestKey { key: "k".to_owned(), request: "{}".to_owned() };
    let keyed = Promotion { key: Some((key.clone(), "moved".to_owned())), ..promotion(&asked, &facts, 1) };
    let outcomes = tokio::join!(f.promote(keyed.clone()), f.promote(keyed.clone()), f.promote(keyed.clone()));
    let outcomes = [outcomes.0.expect("answered"), outcomes.1.expect("answered"), outcomes.2.expect("answered")];
    let repeated = PromotionOutcome::Repeated(key.clone(), "moved".to_owned());
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == PromotionOutcome::Moved).count(), 1, "{outcomes:?}");
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == repeated).count(), 2, "{outcomes:?}");
    assert_eq!(f.kept_answer("alice", "k").await.expect("a look"), Some((key, "moved".to_owned())));
    assert_eq!(f.kept_answer("bob", "k").await.expect("a look"), None);
    assert_eq!(f.prune_answers(at(9)).await.expect("pruned"), 1);
}

async fn a_stage_that_is_a_repository_gets_references_and_counts_them(f: Fixture) {
    let image = push(&f, 1, &[]).await;
    let index = manifest("m", 2, vec![child(&image)], &["1.0"]);
    f.push(index.clone()).await;
    let mut signature = manifest("m", 3, vec![], &[]);
    (signature.subject, signature.artifact_type) = (Some(image.digest), Some("application/x.signature".to_owned()));
    f.push(signature.clone()).await;
    let fallback = format!("sha256-{}.sig", index.digest.hex());
    let old_signature = manifest("m", 4, vec![], &[&fallback]);
    f.push(old_signature.clone()).await;
    let asked = StageQuestion { target: (name("prod/m"), tag("1.0")), before: None, ..question(index.digest) };
    let facts = f.stage_facts(asked.clone()).await.expect("facts");
    assert_eq!(facts.new, [(blob(1).digest, 101)], "through the index");

    let quota = NewQuota { pattern: pattern("prod/**"), bytes: Some(101), manifests: None };
    f.set_quota(quota.clone(), stamp(1)).await.expect("answered").expect("there is room");
    let refused = f.promote(promotion(&asked, &facts, 1)).await.expect("answered");
    assert!(matches!(refused, PromotionOutcome::OverQuota(_)), "{refused:?}");
    assert!(!f.repository_exists(&name("prod/m")).await.expect("a look"), "nothing was made");
    let made = f
        .set_quota(NewQuota { bytes: Some(4_096), ..quota }, stamp(1))
        .await
        .expect("answered")
        .expect("there is room");
    assert_eq!(f.promote(promotion(&asked, &facts, 2)).await.expect("answered"), PromotionOutcome::Moved);

    for digest in [image.digest, index.digest, signature.digest, old_signature.digest] {
        let found = f.manifest(&name("prod/m"), &digest.into(), true).await.expect("a look");
        assert!(found.is_some_and(|manifest| manifest.bytes.is_some()), "{digest} came along");
    }
    assert!(f.manifest(&name("prod/m"), &tag(&fallback).into(), false).await.expect("a look").is_some());
    assert!(f.is_member("prod/m", &blob(1).digest).await);
    let referrers = f.referrers(&name("prod/m"), &image.digest, None, None, 9).await.expect("a list").items;
    assert_eq!(referrers[0].digest, signature.digest);
    let manifests: u64 = [&image, &index, &signature, &old_signature].iter().map(|push| push.bytes.len() as u64).sum();
    let used = f.quota(made.id).await.expect("a look").expect("it is there");
    assert_eq!((used.used_bytes, used.used_manifests), (manifests + 101, 4));
    // Again, and without its source: nothing is counted twice, and nothing is lost.
    let facts = f.stage_facts(asked.clone()).await.expect("facts");
    f.promote(promotion(&asked, &facts, 3)).await.expect("answered");
    f.remove_repository(&name("m"), stamp(4), at(5), None).await.expect("removed");
    assert_eq!(f.sweep_all(20).await, []);
    let used = f.quota(made.id).await.expect("a look").expect("it is there");
    assert_eq!((used.used_bytes, used.used_manifests), (manifests + 101, 4));
}

async fn who_pulls_a_stage_is_noted_through_an_index(f: Fixture) {
    let image = push(&f, 1, &[]).await;
    let index = manifest("m", 2, vec![child(&image)], &["1.0", "prod"]);
    f.push(index.clone()).await;
    let other = push(&f, 3, &["2.0"]).await;
    let pull = |digest, identity: &str, minute| NotedPull {
        repository: name("m"),
        digest,
        identity: identity.to_owned(),
        at: at(minute),
        stage: None,
    };
    let pulls = vec![pull(index.digest, "user:b", 5), pull(image.digest, "user:a", 6), pull(other.digest, "user:c", 7)];
    f.stage_pulled(pulls).await.expect("noted");
    f.stage_pulled(vec![pull(image.digest, "user:a", 4)]).await.expect("noted");
    let page = f.stage_pulls(&name("m"), &tag("prod"), None, 1).await.expect("a page");
    assert_eq!(
        (page.items[0].identity.as_str(), page.items[0].digest, page.items[0].at, page.more),
        ("user:a", index.digest, at(6), true)
    );
    let page = f.stage_pulls(&name("m"), &tag("prod"), Some("user:a"), 9).await.expect("a page");
    assert_eq!(page.items.iter().map(|pull| pull.identity.as_str()).collect::<Vec<_>>(), ["user:b"]);
}
