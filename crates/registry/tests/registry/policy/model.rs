//! The rules once more, naively, from their published words: each sentence is a loop over everything. Both must come to the same.

use std::collections::BTreeSet;

use larder_registry::policy::{Evaluation, Policy, evaluate};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::repository::{NOW, Repository, days_ago, digest};

/// An image before it has a place among the facts. Its number gives its digest; it refers only to smaller numbers.
#[derive(Clone, Debug)]
struct Described {
    tags: Vec<&'static str>,
    days: i64,
    pulled: Option<i64>,
    archived: Option<i64>,
    activated: Option<i64>,
    leased: bool,
    children: Vec<usize>,
    subject: Option<usize>,
}

const TAGS: [&str; 7] = ["prod-1", "prod-2", "dev-1", "beta-1", "prod-beta", "v1", "v2"];

fn described() -> impl Strategy<Value = Described> {
    let tags = prop::collection::vec(prop::sample::select(&TAGS[..]), 0..3);
    let days = || 0..12_i64;
    let long = prop_oneof![4 => Just(None), 1 => (80..120_i64).prop_map(Some)];
    let children = prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(0..64_usize, 1..4)];
    let subject = prop_oneof![4 => Just(None), 1 => (0..64_usize).prop_map(Some)];
    let times = (days(), prop::option::of(days()), long, prop_oneof![5 => Just(None), 1 => days().prop_map(Some)]);
    (tags, times, prop::bool::weighted(0.1), children, subject).prop_map(
        |(tags, (days, pulled, archived, activated), leased, children, subject)| Described {
            tags,
            days,
            pulled,
            archived,
            activated,
            leased,
            children,
            subject,
        },
    )
}

fn rule() -> impl Strategy<Value = Value> {
    let tags = prop_oneof![
        Just(json!({ "tagStatus": "untagged" })),
        Just(json!({ "tagStatus": "any" })),
        prop::sample::select(vec!["prod", "dev", "beta", "v", "prod-"])
            .prop_map(|prefix| json!({ "tagStatus": "tagged", "tagPrefixList": [prefix] })),
        prop::collection::vec(prop::sample::select(vec!["prod*", "*beta", "*-1", "v*", "*"]), 1..3)
            .prop_map(|list| json!({ "tagStatus": "tagged", "tagPatternList": list })),
    ];
    let transition = json!({ "type": "transition", "targetStorageClass": "archive" });
    let expire = json!({ "type": "expire" });
    let either = prop::sample::select(vec![expire.clone(), expire.clone(), transition.clone()]);
    let count = prop_oneof![
        (1..5_u64, either.clone()).prop_map(|(n, act)| (json!({ "countType": "imageCountMoreThan", "countNumber": n }), act)),
        (1..9_u64, either).prop_map(|(n, act)| (json!({ "countType": "sinceImagePushed", "countUnit": "days", "countNumber": n }), act)),
        (1..9_u64).prop_map(move |n| (json!({ "countType": "sinceImagePulled", "countUnit": "days", "countNumber": n }), transition.clone())),
        (90..110_u64).prop_map(move |n| {
            let selection = json!({ "countType": "sinceImageTransitioned", "storageClass": "archive", "countUnit": "days", "countNumber": n });
            (selection, expire.clone())
        }),
        (1..9_u64).prop_map(|n| (json!({ "countType": "pushedWithin", "countUnit": "days", "countNumber": n }), json!({ "type": "keep" }))),
    ];
    (tags, count).prop_map(|(mut selection, (count, action))| {
        for (key, value) in count.as_object().expect("an object") {
            selection[key] = value.clone();
        }
        json!({ "selection": selection, "action": action })
    })
}

/// Rules that may stand beside each other, with priorities in the order of their places; `any` comes last.
fn policy() -> impl Strategy<Value = Value> {
    prop::collection::vec(rule(), 1..6).prop_map(|mut rules| {
        rules.sort_by_key(|rule| rule["selection"]["tagStatus"] == "any");
        for (number, rule) in rules.iter_mut().enumerate() {
            rule["rulePriority"] = json!(number * 3);
        }
        let mut kept: Vec<Value> = Vec::new();
        for rule in rules {
            kept.push(rule);
            if Policy::read(&json!({ "rules": kept }).to_string()).is_err() {
                kept.pop();
            }
        }
        json!({ "rules": kept, "protectedTagPatternList": ["v2"] })
    })
}

/// The images as facts, in this order.
fn facts(images: &[Described], order: &[usize]) -> Repository {
    let mut r = Repository::default();
    let place = |number: usize| {
        u32::try_from(order.iter().position(|other| *other == number).expect("all are there")).expect("few")
    };
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let tags: Vec<Vec<&str>> =
        images.iter().map(|image| image.tags.iter().copied().filter(|tag| taken.insert(tag)).collect()).collect();
    for &number in order {
        let described = &images[number];
        let at = r.image(&tags[number], described.days) as usize;
        let image = &mut r.facts.images[at];
        image.digest = digest(u32::try_from(number).expect("few"));
        image.pulled = described.pulled.map(days_ago);
        image.archived = described.archived.map(days_ago);
        image.activated = described.activated.map(days_ago);
        image.leased_until = described.leased.then_some(NOW + 1000);
        image.subject = described.subject.filter(|_| number > 0).map(|subject| place(subject % number));
    }
    for &number in order {
        let children: BTreeSet<u32> =
            images[number].children.iter().filter(|_| number > 0).map(|child| place(child % number)).collect();
        r.facts.holds(place(number), children, []);
    }
    r
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|from| glob(rest, &text[from..])),
        ([p, pattern @ ..], [t, text @ ..]) => p == t && glob(pattern, text),
        _ => false,
    }
}

/// The published rules, one by one. Answers the numbers of what expires and of what is archived.
struct Naive<'a> {
    rules: &'a [Value],
    r: &'a Repository,
}

impl Naive<'_> {
    fn count(&self) -> usize {
        self.r.facts.images.len()
    }

    fn follows(&self, image: usize) -> Option<usize> {
        let image = &self.r.facts.images[image];
        image.subject.filter(|_| image.tags.is_empty()).map(|subject| subject as usize)
    }

    fn meets(&self, rule: &Value, image: usize) -> bool {
        let selection = &rule["selection"];
        let facts = &self.r.facts.images[image];
        let class = selection["storageClass"].as_str().unwrap_or("standard");
        if self.follows(image).is_some() || (class == "archive") != facts.archived.is_some() {
            return false;
        }
        let list = |key: &str| selection[key].as_array().cloned().unwrap_or_default();
        let any_tag = |test: &dyn Fn(&str) -> bool| facts.tags.iter().any(|tag| test(tag.as_str()));
        match selection["tagStatus"].as_str().expect("a text") {
            "any" => true,
            "untagged" => facts.tags.is_empty(),
            _ => {
                let text = |value: &Value| value.as_str().expect("a text").to_owned();
                list("tagPrefixList").iter().map(text).all(|prefix| any_tag(&|tag| tag.starts_with(&prefix)))
                    && list("tagPatternList")
                        .iter()
                        .map(text)
                        .all(|pattern| any_tag(&|tag| glob(pattern.as_bytes(), tag.as_bytes())))
            }
        }
    }

    fn born(&self, image: usize) -> i64 {
        let image = &self.r.facts.images[image];
        image.archived.or(image.activated).unwrap_or(image.pushed)
    }

    fn selects(&self, rule: &Value, image: usize) -> bool {
        if !self.meets(rule, image) {
            return false;
        }
        let number = rule["selection"]["countNumber"].as_i64().expect("a number");
        let older = |at: i64| NOW - at > number * 86_400_000;
        let facts = &self.r.facts.images[image];
        match rule["selection"]["countType"].as_str().expect("a text") {
            "imageCountMoreThan" => {
                let is_younger = |other: &usize| {
                    let of = |image: usize| self.r.facts.images[image].digest;
                    self.meets(rule, *other)
                        && (self.born(*other) > self.born(image)
                            || (self.born(*other) == self.born(image) && of(*other) < of(image)))
                };
                (0..self.count()).filter(is_younger).count() as i64 >= number
            }
            "sinceImagePushed" => older(facts.pushed),
            "pushedWithin" => !older(facts.pushed),
            "sinceImagePulled" => older(facts.activated.unwrap_or(i64::MIN).max(facts.pulled.unwrap_or(facts.pushed))),
            _ => facts.archived.is_some_and(older),
        }
    }

    /// What the first rule that an image meets does to it: 2 expire, 1 archive, 0 nothing.
    fn wanted(&self, image: usize) -> u8 {
        let facts = &self.r.facts.images[image];
        let acting = |rule: &&Value| rule["action"]["type"] != "keep";
        let Some(own) = self.rules.iter().filter(acting).find(|rule| self.meets(rule, image)) else { return 0 };
        let kept = self.rules.iter().any(|rule| rule["action"]["type"] == "keep" && self.selects(rule, image));
        let protected = facts.tags.iter().any(|tag| tag.as_str() == "v2");
        if !self.selects(own, image) || kept || protected || facts.leased_until.is_some() {
            return 0;
        }
        if own["action"]["type"] == "expire" { 2 } else { 1 }
    }

    fn outcome(&self) -> Vec<u8> {
        let mut reach: Vec<u8> = (0..self.count())
            .map(|image| match self.follows(image) {
                Some(_) => {
                    if self.r.facts.images[image].leased_until.is_some() {
                        0
                    } else {
                        2
                    }
                }
                None => self.wanted(image),
            })
            .collect();
        loop {
            let before = reach.clone();
            for (image, reach) in reach.iter_mut().enumerate() {
                if let Some(subject) = self.follows(image) {
                    *reach = (*reach).min(before[subject]);
                }
                for (parent, far) in before.iter().enumerate() {
                    let place = |number: usize| u32::try_from(number).expect("few");
                    if self.r.facts.children(place(parent)).contains(&place(image)) && far < reach {
                        // An image is expired or archived, or nothing.
                        *reach = if self.follows(image).is_some() { *far } else { 0 };
                    }
                }
            }
            if reach == before {
                return reach;
            }
        }
    }
}

fn reach_of(evaluation: &Evaluation) -> Vec<u8> {
    use larder_registry::policy::Decision;
    let of = |decision: &Decision| match decision {
        Decision::Stays(_) => 0,
        Decision::Archived { .. } => 1,
        Decision::Expires { .. } | Decision::Follows { .. } => 2,
    };
    evaluation.decisions.iter().map(of).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_come_to_what_their_words_say(images in prop::collection::vec(described(), 1..14), policy in policy(), seed in any::<u64>()) {
        let text = policy.to_string();
        let read = Policy::read(&text).expect("it is right");
        let order: Vec<usize> = (0..images.len()).collect();
        let r = facts(&images, &order);
        let evaluation = evaluate(&read, &[], &r.facts, NOW);
        let rules = policy["rules"].as_array().expect("a list");
        let expired = |reach: &[u8]| reach.iter().map(|reach| *reach == 2).collect::<Vec<_>>();
        let naive = Naive { rules, r: &r }.outcome();
        prop_assert_eq!(expired(&reach_of(&evaluation)), expired(&naive), "{}", text);
        let archived = |reach: &[u8]| (0..images.len()).filter(|image| reach[*image] == 1 && Naive { rules, r: &r }.follows(*image).is_none()).collect::<Vec<_>>();
        prop_assert_eq!(archived(&reach_of(&evaluation)), archived(&naive), "{}", text);

        // What goes stands once in the order, an index before its children and a subject before what follows it.
        let at = |image: u32| evaluation.order.iter().position(|other| *other == image);
        prop_assert_eq!(evaluation.order.len(), reach_of(&evaluation).iter().filter(|reach| **reach == 2).count());
        for &image in &evaluation.order {
            for &child in r.facts.children(image) {
                prop_assert!(at(child).is_none_or(|child| Some(child) > at(image)));
            }
        }

        // The order in which the facts came decides nothing.
        let mut other = order;
        let mut state = seed | 1;
        for place in (1..other.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            other.swap(place, usize::try_from(state >> 33).expect("31 bits") % (place + 1));
        }
        let shuffled = facts(&images, &other);
        let again = evaluate(&read, &[], &shuffled.facts, NOW);
        let digests = |r: &Repository, evaluation: &Evaluation| evaluation.order.iter().map(|image| r.digest(*image)).collect::<Vec<_>>();
        let set = |r: &Repository, evaluation: &Evaluation| digests(r, evaluation).into_iter().collect::<BTreeSet<_>>();
        prop_assert_eq!(set(&r, &evaluation), set(&shuffled, &again));
        prop_assert_eq!(&again, &evaluate(&read, &[], &shuffled.facts, NOW));
    }
}
