//! Moving aliases: which tags follow a version, as a pure function of facts.
//!
//! `1.4.2` takes `1.4`, `1` and the names that the rule gives along, only forward: a release that is newer than all others of its minor version moves
//! `1.4`, and so on. What a person moved by hand stays where he put it.

use std::collections::{BTreeMap, BTreeSet};

use larder_catalog::model::rules::{Asked, Standing};
use larder_oci::{Digest, Tag, TagForm, TagKind, VersionScope};

use super::judge::{Change, short};
use super::{Aliases, Level};

/// What follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Tags that move, in the order of their names.
    pub moves: BTreeSet<Tag>,
    /// What there is to say: how much it weighs, about which tag, why, and what to do instead.
    pub told: Vec<(Level, Tag, String, String)>,
}

/// The newest release of each scope that has one.
type Newest = BTreeMap<VersionScope, (Tag, Digest)>;

/// What a plan for these tags needs to know.
pub(super) fn asks(rule: &Aliases, tags: &[Tag], asked: &mut Asked) {
    let followers = tags.iter().flat_map(|tag| followers(rule, tag));
    let pushed = tags.iter().filter_map(|tag| Some((tag.clone(), scope_of(rule, tag)?)));
    for (tag, scope) in followers.chain(pushed) {
        if !asked.places.contains(&tag) {
            asked.places.push(tag);
        }
        if !asked.newest.contains(&scope) {
            asked.newest.push(scope);
        }
    }
    asked.names = true;
}

/// The versions that a tag stands for as an alias; `None` for what is none.
pub(super) fn scope_of(rule: &Aliases, tag: &Tag) -> Option<VersionScope> {
    if rule.names.contains(tag) {
        return Some(VersionScope::of(&[]));
    }
    let form = TagForm::of(tag);
    let version = form.version().filter(|version| form.kind() == TagKind::Version && version.parts() < 3)?;
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_plain(version.as_str().trim_start_matches('v')).then(|| VersionScope::of(&version.release()[..version.parts()]))
}

/// The aliases of a release, and the versions that each stands for. Anything else has none.
fn followers(rule: &Aliases, tag: &Tag) -> Vec<(Tag, VersionScope)> {
    let Some([major, minor, _]) = TagForm::of(tag).release() else { return Vec::new() };
    let v = if tag.as_str().starts_with('v') { "v" } else { "" };
    let versions = [(format!("{v}{major}.{minor}"), vec![major, minor]), (format!("{v}{major}"), vec![major])];
    let versions =
        versions.into_iter().filter_map(|(name, parts)| Some((name.parse().ok()?, VersionScope::of(&parts))));
    versions.chain(rule.names.iter().map(|name| (name.clone(), VersionScope::of(&[])))).collect()
}

/// Decides which tags follow.
pub(super) fn plan(rule: &Aliases, change: &Change, standing: &Standing, newest: &Newest) -> Plan {
    let mut plan = Plan::default();
    for tag in &change.tags {
        backwards(&mut plan, rule, tag, standing, newest);
        let Some(release) = TagForm::of(tag).release() else { continue };
        for (alias, scope) in followers(rule, tag) {
            let newer = newest.get(&scope).and_then(|(tag, _)| TagForm::of(tag).release());
            if newer.is_some_and(|newer| newer > release) || change.tags.contains(&alias) {
                continue;
            }
            match standing.places.get(&alias) {
                None => drop(plan.moves.insert(alias)),
                Some(place) if Some(place.digest) == standing.digest => {}
                Some(place) if place.how.as_deref() != Some("alias") && !rule.adopt => {
                    let why = format!("{alias} was moved by hand to {} and stays there", short(&place.digest));
                    let instead = "delete it, or set `adopt`, and it follows again".to_owned();
                    plan.told.push((Level::Warn, alias, why, instead));
                }
                Some(_) if !change.moves_tags => {
                    let why = format!("{alias} stays where it is, for moving it needs the right tag-move");
                    plan.told.push((Level::Warn, alias, why, "ask for a grant of tag-move".to_owned()));
                }
                Some(_) => drop(plan.moves.insert(alias)),
            }
        }
    }
    plan
}

/// An alias that somebody pushes himself: where it is, or to what is newest, is plain; to an older release is backwards.
fn backwards(plan: &mut Plan, rule: &Aliases, tag: &Tag, standing: &Standing, newest: &Newest) {
    let Some(scope) = scope_of(rule, tag) else { return };
    let Some((newest, digest)) = newest.get(&scope) else { return };
    let stays = standing.places.get(tag).map(|place| place.digest) == standing.digest;
    if stays || Some(*digest) == standing.digest {
        return;
    }
    let releases = standing.names.iter().filter_map(|name| TagForm::of(name).release());
    let Some(release) = releases.filter(|release| scope.holds(release)).max() else { return };
    if TagForm::of(newest).release().is_some_and(|newest| newest > release) {
        let [major, minor, patch] = release;
        let why = format!("{tag} goes back to {major}.{minor}.{patch}, and {newest} is there");
        plan.told.push((rule.level, tag.clone(), why, format!("push {newest} as {tag}")));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use larder_catalog::model::rules::TagPlace;
    use larder_oci::Algorithm;
    use proptest::prelude::*;

    use super::super::Act;
    use super::*;

    fn tag(text: &str) -> Tag {
        text.parse().expect("a tag")
    }

    fn digest(number: u8) -> Digest {
        Digest::new(Algorithm::Sha256, &[number; 32]).expect("a digest")
    }

    fn rule() -> Aliases {
        Aliases { level: Level::Warn, names: vec![tag("stable")], adopt: false }
    }

    /// A repository as the plan sees it: tags, where they point, and how they came there.
    #[derive(Clone, Debug, Default)]
    struct Shelf(BTreeMap<Tag, (Digest, &'static str)>);

    impl Shelf {
        fn push(&mut self, name: &str, to: u8) -> Plan {
            let (rule, tags, to) = (rule(), vec![tag(name)], digest(to));
            let mut asked = Asked { places: tags.clone(), ..Asked::default() };
            asks(&rule, &tags, &mut asked);
            let place = |tag: &Tag| {
                let (digest, how) = self.0.get(tag)?;
                Some((tag.clone(), TagPlace { digest: *digest, how: Some((*how).to_owned()) }))
            };
            let names = self.0.iter().filter(|(_, (at, _))| *at == to).map(|(tag, _)| tag.clone());
            let standing = Standing {
                digest: Some(to),
                places: asked.places.iter().filter_map(place).collect(),
                names: names.collect(),
                ..Standing::default()
            };
            let newest = asked.newest.iter().filter_map(|scope| {
                let released = self.0.iter().filter_map(|(tag, at)| Some((TagForm::of(tag).release()?, tag, at.0)));
                let (_, tag, at) = released.filter(|(release, ..)| scope.holds(release)).max_by_key(|found| found.0)?;
                Some((scope.clone(), (tag.clone(), at)))
            });
            let change = Change {
                act: Act::Push,
                repository: "ml-model".parse().expect("a name"),
                tags,
                content: None,
                moves_tags: true,
            };
            let plan = plan(&rule, &change, &standing, &newest.collect());
            if self.0.get(&tag(name)).is_none_or(|(at, _)| *at != to) {
                self.0.insert(tag(name), (to, "push"));
            }
            self.0.extend(plan.moves.iter().map(|alias| (alias.clone(), (to, "alias"))));
            plan
        }

        fn at(&self, name: &str) -> Option<Digest> {
            self.0.get(&tag(name)).map(|(at, _)| *at)
        }
    }

    #[test]
    fn a_late_patch_moves_its_minor_version_alone() {
        let mut shelf = Shelf::default();
        shelf.push("1.3.8", 1);
        shelf.push("1.4.2", 2);
        let plan = shelf.push("1.3.9", 3);
        assert_eq!(plan.moves.iter().map(Tag::as_str).collect::<Vec<_>>(), ["1.3"]);
        assert_eq!((shelf.at("1"), shelf.at("stable")), (Some(digest(2)), Some(digest(2))));
    }

    #[test]
    fn what_ci_pushes_itself_is_plain_and_backwards_is_told() {
        let mut shelf = Shelf::default();
        shelf.push("1.2.2", 1);
        shelf.push("1.2.3", 2);
        assert_eq!(shelf.push("1.2", 2), Plan::default(), "where it is");
        assert_eq!(shelf.push("1.2", 3), Plan::default(), "where it will be");
        assert_eq!(shelf.push("1.2.4", 3).moves.iter().map(Tag::as_str).collect::<Vec<_>>(), ["1", "stable"]);
        let back = shelf.push("1.2", 1);
        assert_eq!((back.told.len(), back.told[0].2.as_str()), (1, "1.2 goes back to 1.2.2, and 1.2.4 is there"));
        let next = shelf.push("1.2.5", 4);
        assert!(!next.moves.contains(&tag("1.2")) && next.told[0].2.contains("by hand"), "{next:?}");
    }

    fn tags() -> impl Strategy<Value = String> {
        let release = (0..3_u8, 0..3_u8, 0..4_u8).prop_map(|(a, b, c)| format!("{a}.{b}.{c}"));
        prop_oneof![
            6 => release.clone(),
            1 => release.clone().prop_map(|release| format!("{release}-rc.1")),
            1 => release.clone().prop_map(|release| format!("{release}-0123456")),
            1 => release.prop_map(|release| format!("{release}_cu118")),
            1 => (0..3_u8, 0..3_u8).prop_map(|(a, b)| format!("{a}.{b}")),
            1 => Just("stable".to_owned()),
            1 => Just("latest".to_owned()),
        ]
    }

    proptest! {
        /// Whatever is pushed in which order: an alias that nobody pushed by hand is the newest release that was pushed of its versions, no
        /// pre-release and no build moves anything, and what was pushed by hand stays.
        #[test]
        fn aliases_follow_the_newest_release(pushes in prop::collection::vec(tags(), 1..40)) {
            let mut shelf = Shelf::default();
            for (number, name) in pushes.iter().enumerate() {
                let before = shelf.clone();
                let plan = shelf.push(name, u8::try_from(number).expect("few"));
                prop_assert!(TagForm::of(&tag(name)).release().is_some() || plan.moves.is_empty(), "{name}: {plan:?}");
                for moved in &plan.moves {
                    prop_assert_ne!(before.0.get(moved).map(|(_, how)| *how), Some("push"), "{} by hand", moved);
                    prop_assert!(scope_of(&rule(), moved).is_some(), "{} is no alias", moved);
                }
            }
            for (alias, (at, how)) in shelf.0.iter().filter(|(_, (_, how))| *how == "alias") {
                let scope = scope_of(&rule(), alias).expect("an alias");
                let released = shelf.0.iter().filter_map(|(tag, at)| Some((TagForm::of(tag).release()?, at.0)));
                let newest = released.filter(|(release, _)| scope.holds(release)).max_by_key(|found| found.0);
                prop_assert_eq!(newest.map(|(_, at)| at), Some(*at), "{} by {}", alias, how);
            }
        }
    }
}
