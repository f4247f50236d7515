//! Rules as rows, and who is asked while tags change.

use std::sync::{Arc, Mutex};

use larder_catalog::model::rules::{Asked, Door, Judgement, Passed, Standing, Told};
use larder_catalog::model::{AddTag, DeleteOutcome, PutManifest, PutManifestOutcome, RollbackOutcome, RollbackTo};
use larder_oci::{Tag, VersionScope};

use crate::fixture::{Fixture, at, manifest, name, pattern, stamp, tag};

crate::on_every_database!(
    rules_are_set_found_and_removed,
    who_is_asked_sees_what_stands,
    what_is_refused_changes_nothing,
    pushes_take_turns_where_somebody_decides,
);

async fn rules_are_set_found_and_removed(f: Fixture) {
    for text in ["**", "team/*", "team/model", "other"] {
        assert!(f.set_rules(&pattern(text), "{}", stamp(1)).await.expect("set"));
    }
    assert!(f.set_rules(&pattern("team/*"), "{new}", stamp(2)).await.expect("set"));
    let found = f.rules_for(&name("team/model")).await.expect("found");
    let texts: Vec<_> = found.iter().map(|row| (row.pattern.as_str(), row.text.as_str())).collect();
    assert_eq!(texts, [("**", "{}"), ("team/*", "{new}"), ("team/model", "{}")]);
    assert_eq!((found[1].set, found[1].set_by.as_str()), (at(2), "alice"));
    let page = f.rules(Some("other"), 1).await.expect("a page");
    assert_eq!((page.items[0].pattern.clone(), page.more), (pattern("team/*"), true));
    assert!(f.remove_rules(&pattern("**"), stamp(3)).await.expect("removed"));
    assert!(!f.remove_rules(&pattern("**"), stamp(3)).await.expect("answered"));
    let kinds: Vec<String> = f.events(0, 99).await.expect("events").items.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| *kind == "rules.set").count(), 5);
    assert_eq!(kinds.last().map(String::as_str), Some("rules.removed"));
}

/// Answers what it is told to, and remembers what it saw.
#[derive(Debug)]
struct Porter {
    asked: Asked,
    answer: Judgement,
    seen: Mutex<Option<Standing>>,
}

impl Porter {
    fn who(asked: Asked, answer: Judgement) -> Arc<Self> {
        Arc::new(Self { asked, answer, seen: Mutex::default() })
    }

    fn seen(&self) -> Standing {
        self.seen.lock().expect("no panic").clone().expect("he was asked")
    }
}

impl Door for Porter {
    fn asks(&self) -> &Asked {
        &self.asked
    }

    fn judge(&self, standing: &Standing) -> Judgement {
        *self.seen.lock().expect("no panic") = Some(standing.clone());
        self.answer.clone()
    }
}

fn told(tag: Tag) -> Told {
    Told { rule: "immutable", pattern: None, tag: Some(tag), why: "it stays".to_owned(), instead: "another".to_owned() }
}

fn through(push: PutManifest, door: Arc<Porter>) -> PutManifest {
    PutManifest { door: Some(door), ..push }
}

async fn who_is_asked_sees_what_stands(f: Fixture) {
    let one = manifest("a", 1, vec![], &["1.2.3", "1.2.3-0123456", "1.3.0-rc.1", "1", "prod"]);
    f.push(one.clone()).await;
    f.push(PutManifest { how: "alias", ..manifest("a", 2, vec![], &["2.0.0", "stable"]) }).await;
    let asked = Asked {
        places: vec![tag("stable"), tag("absent"), tag("prod")],
        newest: vec![VersionScope::of(&[1]), VersionScope::of(&[]), VersionScope::of(&[3])],
        names: true,
    };
    let answer = Judgement { aliases: vec![tag("1.2")], warned: vec![told(tag("1"))], ..Judgement::default() };
    let porter = Porter::who(asked, answer.clone());
    let push = through(manifest("a", 1, vec![], &["1.2.4"]), Arc::clone(&porter));
    let outcome = f.put_manifest(push).await.expect("answered");
    assert_eq!(outcome, PutManifestOutcome::Judged { missing: vec![], judgement: answer });
    let seen = porter.seen();
    assert_eq!((seen.digest, seen.incomplete), (Some(one.digest), false));
    let places: Vec<_> = seen.places.iter().map(|(tag, place)| (tag.as_str(), place.how.as_deref())).collect();
    assert_eq!(places, [("prod", Some("push")), ("stable", Some("alias"))]);
    let newest: Vec<_> = seen.newest.iter().map(|newest| newest.as_ref().map(|(tag, _)| tag.as_str())).collect();
    assert_eq!(newest, [Some("1.2.3"), Some("2.0.0"), None]);
    assert_eq!(seen.names.len(), 5);
    let history = f.tag_history(&name("a"), &tag("1.2"), None, 9).await.expect("a history");
    assert_eq!((history.items[0].how.as_str(), history.items[0].to), ("alias", Some(one.digest)));
    let kinds: Vec<String> = f.events(0, 99).await.expect("events").items.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds.last().map(String::as_str), Some("rules.warned"));
}

async fn what_is_refused_changes_nothing(f: Fixture) {
    let a = name("a");
    let (one, two) = (manifest("a", 1, vec![], &["prod"]), manifest("a", 2, vec![], &["prod"]));
    f.push(one.clone()).await;
    f.push(two.clone()).await;
    let refused = Judgement { refused: vec![told(tag("prod"))], ..Judgement::default() };
    let porter = Porter::who(Asked { names: true, ..Asked::default() }, refused.clone());
    let events = f.events(0, 99).await.expect("events").items.len();
    let no = f.put_manifest(through(manifest("a", 3, vec![], &["prod"]), Arc::clone(&porter))).await.expect("answered");
    assert_eq!(no, PutManifestOutcome::Refused(refused.refused.clone()));
    let door = || f.through(Arc::clone(&porter) as Arc<dyn Door>);
    let moved = door().put_tag(&a, &tag("prod"), &one.digest, "retag", false, stamp(3)).await.expect("answered");
    assert_eq!(moved, Passed::Refused(refused.refused.clone()));
    let back = door().rollback_tag(&a, &tag("prod"), RollbackTo::Changes(1), true, stamp(3)).await.expect("answered");
    assert!(matches!(back, Passed::Refused(_)), "{back:?}");
    let gone = door().delete_tag(&a, &tag("prod"), stamp(3)).await.expect("answered");
    assert!(matches!(gone, Passed::Refused(_)), "{gone:?}");
    let gone = door().delete_manifest(&a, &two.digest, at(9), None, stamp(3)).await.expect("answered");
    assert!(matches!(gone, Passed::Refused(_)), "{gone:?}");
    assert_eq!(porter.seen().names, [tag("prod")]);
    assert_eq!(f.events(0, 99).await.expect("events").items.len(), events);

    let porter = Porter::who(Asked::default(), Judgement::default());
    let door = || f.through(Arc::clone(&porter) as Arc<dyn Door>);
    let back = door().rollback_tag(&a, &tag("prod"), RollbackTo::Changes(1), true, stamp(4)).await.expect("answered");
    let to = RollbackOutcome::Moved { from: Some(two.digest), to: one.digest };
    assert_eq!(back, Passed::Done(to, Judgement::default()));
    let kept = door().put_tag(&a, &tag("prod"), &two.digest, "retag", true, stamp(5)).await.expect("answered");
    assert_eq!(kept, Passed::Done(AddTag::Kept, Judgement::default()), "who may not move a tag");
    let moved = door().put_tag(&a, &tag("prod"), &two.digest, "retag", false, stamp(5)).await.expect("answered");
    assert_eq!(moved, Passed::Done(AddTag::Added, Judgement::default()));
    let gone = door().delete_tag(&a, &tag("prod"), stamp(6)).await.expect("answered");
    assert_eq!(gone, Passed::Done(DeleteOutcome::Deleted, Judgement::default()));
    let gone = door().delete_manifest(&a, &two.digest, at(9), None, stamp(7)).await.expect("answered");
    assert_eq!(gone, Passed::Done(DeleteOutcome::Deleted, Judgement::default()));
}

/// Lets the newest of two win, whoever comes last: moves `alias` only where nothing newer is there.
#[derive(Debug)]
struct Forward(Asked, Tag);

impl Door for Forward {
    fn asks(&self) -> &Asked {
        &self.0
    }

    fn judge(&self, standing: &Standing) -> Judgement {
        let newer = standing.newest[0].as_ref().is_some_and(|(newest, _)| *newest > self.1);
        Judgement { aliases: if newer { vec![] } else { vec![tag("1")] }, ..Judgement::default() }
    }
}

async fn pushes_take_turns_where_somebody_decides(f: Fixture) {
    f.push(manifest("a", 0, vec![], &["1.0.0"])).await;
    let mut pushes = tokio::task::JoinSet::new();
    for number in 1..=9_u64 {
        let version = format!("1.0.{number}");
        let asked = Asked { newest: vec![VersionScope::of(&[1])], ..Asked::default() };
        let door: Arc<dyn Door> = Arc::new(Forward(asked, tag(&version)));
        let push = PutManifest { door: Some(door), ..manifest("a", number, vec![], &[&version]) };
        let catalog = f.catalog.clone();
        pushes.spawn(async move { catalog.put_manifest(push).await });
    }
    while let Some(outcome) = pushes.join_next().await {
        let outcome = outcome.expect("it runs to its end");
        assert!(matches!(outcome, Ok(PutManifestOutcome::Judged { .. })), "{outcome:?}");
    }
    let at = f.manifest(&name("a"), &"1".parse().expect("a tag"), false).await.expect("answered").expect("it is there");
    assert_eq!(at.digest, manifest("a", 9, vec![], &[]).digest);
}
