//! From facts to decisions (behaviour §5): lease, protected tag or stage, reference from an index that stays, `keep`, then the rules by priority.
//!
//! All rules look at the repository as it is, then they are applied: an image belongs to the first rule whose tags it has, and only that one may act
//! on it; what another rule has marked counts as if it were not.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, Image};
use super::rule::{Act, Count, Policy, Rule, StorageClass};
use super::{TagPattern, TagStatus};
use larder_oci::{Digest, Tag, TagForm};

const DAY: i64 = 24 * 60 * 60 * 1000;

/// What becomes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It stays.
    Stays(Stay),
    /// It leaves the repository, by this rule.
    Expires {
        /// The rule's place in the policy.
        rule: u16,
    },
    /// It leaves with the image that it refers to.
    Follows {
        /// That image.
        subject: u32,
    },
    /// It would go to an archive, by this rule. Larder has none: it stays.
    Archived {
        /// The rule's place in the policy.
        rule: u16,
    },
}

/// Why an image stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// No rule is about it.
    Unmatched,
    /// A rule is about it and does not select it.
    Unselected {
        /// The rule.
        rule: u16,
    },
    /// A rule selects it, but it belongs to one before, which does not.
    Claimed {
        /// The rule that selects it.
        rule: u16,
        /// The one that it belongs to.
        by: u16,
    },
    /// A push in flight may rely on it.
    Leased {
        /// The rule that selects it.
        rule: u16,
        /// Until then.
        until: i64,
    },
    /// One of its tags is protected, or a stage protects it.
    Protected {
        /// The rule that selects it.
        rule: u16,
    },
    /// An index that stays names it.
    Held {
        /// The rule that selects it.
        rule: u16,
        /// The index.
        parent: u32,
    },
    /// A `keep` keeps it.
    Kept {
        /// The rule that selects it.
        rule: u16,
        /// The one that keeps it.
        by: u16,
    },
    /// The image that it refers to stays.
    WithSubject {
        /// That image.
        subject: u32,
    },
}

/// What a policy comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// One for each image, in the order of the facts.
    pub decisions: Vec<Decision>,
    /// What goes, in the order to remove it: the oldest first, each followed by what goes because of it, an index before its children.
    pub order: Vec<u32>,
    /// Where in `order` each group begins that should go at once: an image, what refers to it, and what only it holds.
    pub groups: Vec<u32>,
    /// Of each image, the one that it follows, if it follows one.
    pub follows: Vec<Option<u32>>,
}

/// Decides about each image at this time (unix milliseconds). `protected` are patterns beside the policy's own.
pub fn evaluate(policy: &Policy, protected: &[TagPattern], facts: &Facts, now: i64) -> Evaluation {
    let follows = followers(facts);
    let marks = Marks::of(policy, facts, &follows, now);
    let is_protected = |image: u32| {
        let Image { tags, staged, .. } = &facts.images[image as usize];
        *staged
            || tags
                .iter()
                .any(|tag| policy.protected.iter().chain(protected).any(|pattern| pattern.matches(tag.as_str())))
    };
    let mut decisions: Vec<Decision> =
        facts.places().map(|image| marks.wish(policy, facts, &follows, image, now, &is_protected)).collect();
    hold(facts, &follows, &marks, &mut decisions);
    let (order, groups) = removal_order(facts, &follows, &decisions);
    Evaluation { decisions, order, groups, follows }
}

impl Decision {
    /// Whether the image leaves.
    pub fn goes(&self) -> bool {
        matches!(self, Self::Expires { .. } | Self::Follows { .. })
    }
}

/// What the rules say of each image, without what holds it.
struct Marks {
    /// The first rule whose tags it has.
    claim: Vec<Option<u16>>,
    /// The first rule that selects it.
    selected: Vec<Option<u16>>,
    /// Whether the rule that it belongs to selects it.
    by_claim: Vec<bool>,
    /// The `keep` that selects it.
    kept: Vec<Option<u16>>,
}

impl Marks {
    fn of(policy: &Policy, facts: &Facts, follows: &[Option<u32>], now: i64) -> Self {
        let count = facts.images.len();
        let mut marks = Self {
            claim: vec![None; count],
            selected: vec![None; count],
            by_claim: vec![false; count],
            kept: vec![None; count],
        };
        let youngest_first = youngest_first(facts);
        for (number, rule) in policy.rules.iter().enumerate() {
            let number = u16::try_from(number).expect("a policy has at most 50 rules");
            let about = about(rule, facts, follows, &youngest_first);
            if rule.act != Act::Keep {
                for &image in &about {
                    marks.claim[image as usize].get_or_insert(number);
                }
            }
            for image in selected(rule.count, about, facts, now) {
                let image = image as usize;
                if rule.act == Act::Keep {
                    marks.kept[image].get_or_insert(number);
                } else {
                    marks.selected[image].get_or_insert(number);
                    marks.by_claim[image] |= marks.claim[image] == Some(number);
                }
            }
        }
        marks
    }

    /// What would become of an image if no index held it.
    fn wish(
        &self,
        policy: &Policy,
        facts: &Facts,
        follows: &[Option<u32>],
        image: u32,
        now: i64,
        is_protected: &dyn Fn(u32) -> bool,
    ) -> Decision {
        let place = image as usize;
        let lease = facts.images[place].leased_until.filter(|until| *until > now);
        match (follows[place], lease) {
            (Some(subject), Some(_)) => return Decision::Stays(Stay::WithSubject { subject }),
            (Some(subject), None) => return Decision::Follows { subject },
            (None, _) => {}
        }
        let Some(claim) = self.claim[place] else { return Decision::Stays(Stay::Unmatched) };
        if !self.by_claim[place] {
            return Decision::Stays(match self.selected[place] {
                Some(rule) => Stay::Claimed { rule, by: claim },
                None => Stay::Unselected { rule: claim },
            });
        }
        let rule = claim;
        match (lease, self.kept[place]) {
            (Some(until), _) => Decision::Stays(Stay::Leased { rule, until }),
            _ if is_protected(image) => Decision::Stays(Stay::Protected { rule }),
            (_, Some(by)) => Decision::Stays(Stay::Kept { rule, by }),
            _ if policy.rules[usize::from(rule)].act == Act::Archive => Decision::Archived { rule },
            _ => Decision::Expires { rule },
        }
    }
}

/// What a rule is about, in this order. It counts nothing that follows another image.
pub(super) fn about(rule: &Rule, facts: &Facts, follows: &[Option<u32>], order: &[u32]) -> Vec<u32> {
    let is_meant = |image: &u32| follows[*image as usize].is_none() && is_about(rule, facts, *image);
    order.iter().copied().filter(is_meant).collect()
}

fn is_about(rule: &Rule, facts: &Facts, image: u32) -> bool {
    let image = &facts.images[image as usize];
    let class = if image.archived.is_some() { StorageClass::Archive } else { StorageClass::Standard };
    match &rule.tags {
        _ if rule.class != class => false,
        // The tags of its referrers are none of its own.
        TagStatus::Any => true,
        status if image.tags.iter().all(|tag| fallback(tag.as_str()).is_none()) => status.includes(&image.tags),
        status => {
            let own: Vec<&str> = image.tags.iter().map(AsRef::as_ref).filter(|tag| fallback(tag).is_none()).collect();
            // Signatures of another repository's images have no other tags, and are not untagged.
            if own.is_empty() { status.includes(&image.tags) } else { status.includes(&own) }
        }
    }
}

/// The age that counts for the order: a restored image is as old as its restoring.
fn age_from(facts: &Facts, image: u32) -> i64 {
    let image = &facts.images[image as usize];
    image.archived.or(image.activated).unwrap_or(image.pushed)
}

/// Ties go by digest, so that the order is one.
pub(super) fn youngest_first(facts: &Facts) -> Vec<u32> {
    let mut all: Vec<u32> = facts.places().collect();
    all.sort_by_cached_key(|image| (std::cmp::Reverse(age_from(facts, *image)), facts.images[*image as usize].digest));
    all
}

/// What a rule selects of those it is about, the youngest first.
fn selected(count: Count, about: Vec<u32>, facts: &Facts, now: i64) -> Vec<u32> {
    let days = |days: u64| i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY);
    let first = |count: u64| usize::try_from(count).unwrap_or(usize::MAX).min(about.len());
    let which = |test: &dyn Fn(u32) -> bool| about.iter().copied().filter(|image| test(*image)).collect();
    let image = |place: u32| &facts.images[place as usize];
    let since = |from: i64| now.saturating_sub(from);
    match count {
        Count::All => about,
        Count::MoreThan(count) => about[first(count)..].to_vec(),
        Count::Newest(count) => about[..first(count)].to_vec(),
        Count::NewestPatches(count) => newest_patches(about, facts, count),
        Count::PushedBefore(age) => which(&|place| since(image(place).pushed) > days(age)),
        Count::PushedWithin(age) => which(&|place| since(image(place).pushed) <= days(age)),
        Count::PulledBefore(age) => which(&|place| since(last_use(facts, place)) > days(age)),
        Count::PulledWithin(age) => which(&|place| image(place).pulled.is_some_and(|at| since(at) <= days(age))),
        Count::ArchivedBefore(age) => which(&|place| image(place).archived.is_some_and(|at| since(at) > days(age))),
        Count::SizeMoreThan(bytes) => beyond(&about, facts, bytes),
    }
}

/// Images with a tag of one of the newest so many patch releases of its minor release, or of a build of one. Pre-releases, dates and versions of less than
/// three parts count for nothing.
fn newest_patches(about: Vec<u32>, facts: &Facts, count: u64) -> Vec<u32> {
    let releases = |image: u32| facts.images[image as usize].tags.iter().filter_map(release);
    let mut patches: BTreeMap<[u64; 2], BTreeSet<u64>> = BTreeMap::new();
    for [major, minor, patch] in about.iter().flat_map(|image| releases(*image)) {
        let newest = patches.entry([major, minor]).or_default();
        newest.insert(patch);
        if newest.len() as u64 > count {
            newest.pop_first();
        }
    }
    let is_newest = |[major, minor, patch]: [u64; 3]| patches[&[major, minor]].contains(&patch);
    about.into_iter().filter(|image| releases(*image).any(is_newest)).collect()
}

fn release(tag: &Tag) -> Option<[u64; 3]> {
    let form = TagForm::of(tag);
    let version = form.version().filter(|version| version.parts() == 3 && !version.is_pre_release())?;
    (!form.is_dated()).then(|| version.release())
}

/// When it was last pulled. Never: pushed. Restored and not pulled since: restored.
fn last_use(facts: &Facts, image: u32) -> i64 {
    let image = &facts.images[image as usize];
    let used = image.pulled.unwrap_or(image.pushed);
    image.activated.map_or(used, |restored| restored.max(used))
}

/// The oldest, from the one on with which the younger ones would exceed so many bytes. What several hold counts once.
fn beyond(about: &[u32], facts: &Facts, bytes: u64) -> Vec<u32> {
    let mut seen_blobs = vec![false; facts.blobs.len()];
    let mut seen_images = vec![false; facts.images.len()];
    let mut total = 0_u64;
    for (place, &image) in about.iter().enumerate() {
        let mut open = vec![image];
        while let Some(image) = open.pop() {
            if std::mem::replace(&mut seen_images[image as usize], true) {
                continue;
            }
            total = total.saturating_add(facts.images[image as usize].size);
            for &blob in facts.blobs_of(image) {
                if !std::mem::replace(&mut seen_blobs[blob as usize], true) {
                    total = total.saturating_add(facts.blobs[blob as usize].size);
                }
            }
            open.extend(facts.children(image));
        }
        if total > bytes {
            return about[place..].to_vec();
        }
    }
    Vec::new()
}

/// Of each image, the one that it follows: the subject that it names, or that its tag names (`sha256-<hex>`, with `.sig`, `.att` or `.sbom`). One with a
/// tag of somebody's choice follows nothing: it was meant for itself.
fn followers(facts: &Facts) -> Vec<Option<u32>> {
    let mut by_digest: Vec<u32> = Vec::new();
    let mut follows = vec![None; facts.images.len()];
    for place in facts.places() {
        let image = &facts.images[place as usize];
        let named: Option<Vec<&str>> = image.tags.iter().map(|tag| fallback(tag.as_str())).collect();
        let Some(named) = named else { continue };
        follows[place as usize] = match named.first() {
            None => image.subject,
            Some(first) if named.iter().all(|other| other == first) => {
                if by_digest.is_empty() {
                    by_digest = facts.places().collect();
                    by_digest.sort_by_key(|image| facts.images[*image as usize].digest);
                }
                image.subject.or_else(|| subject_of(facts, &by_digest, first))
            }
            Some(_) => None,
        }
        .filter(|subject| *subject != place);
    }
    break_circles(&mut follows);
    follows
}

/// The digest's text that a tag of the referrers tag schema begins with: `sha256-` and 64 digits.
fn fallback(tag: &str) -> Option<&str> {
    let rest = tag.strip_prefix("sha256-").or_else(|| tag.strip_prefix("sha512-"))?;
    let hex = rest.get(..64)?;
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    let is_known = matches!(&rest[64..], "" | ".sig" | ".att" | ".sbom");
    (is_hex && is_known).then(|| &tag[..7 + 64])
}

fn subject_of(facts: &Facts, by_digest: &[u32], named: &str) -> Option<u32> {
    let digest = |image: u32| &facts.images[image as usize].digest;
    let text = named.replacen('-', ":", 1);
    let found = match text.parse::<Digest>() {
        Ok(wanted) => by_digest.binary_search_by_key(&wanted, |image| *digest(*image)).ok(),
        // A tag has room for half of a sha512.
        Err(_) => by_digest.iter().position(|image| digest(*image).to_string().starts_with(&text)),
    };
    found.map(|place| by_digest[place])
}

/// Tags can be made to point in circles; who is in one follows nothing.
fn break_circles(follows: &mut [Option<u32>]) {
    let mut seen = vec![0_u32; follows.len()];
    for start in 0..follows.len() {
        let walk = u32::try_from(start).expect("fewer than 2^32 images") + 1;
        let mut at = start;
        while seen[at] == 0 {
            seen[at] = walk;
            let Some(next) = follows[at] else { break };
            at = next as usize;
        }
        if seen[at] == walk
            && let Some(mut next) = follows[at].take()
        {
            while let Some(after) = follows[next as usize].take() {
                next = after;
            }
        }
    }
}

/// How far an image goes.
fn reach(decision: &Decision) -> u8 {
    match decision {
        Decision::Stays(_) => 0,
        Decision::Archived { .. } => 1,
        Decision::Expires { .. } | Decision::Follows { .. } => 2,
    }
}

/// Takes back what cannot go: what an index that does not go as far names, and what refers to an image that does not.
fn hold(facts: &Facts, follows: &[Option<u32>], marks: &Marks, decisions: &mut [Decision]) {
    let followers = by_subject(follows, |_| true);
    let mut open: Vec<u32> = facts.places().filter(|image| reach(&decisions[*image as usize]) < 2).collect();
    while let Some(image) = open.pop() {
        let before = decisions[image as usize];
        for &child in facts.children(image) {
            let held = match (follows[child as usize], marks.claim[child as usize]) {
                (None, Some(rule)) => Decision::Stays(Stay::Held { rule, parent: image }),
                _ => with_subject(before, image),
            };
            take_back(decisions, &mut open, (child, before, held));
        }
        for follower in of_subject(&followers, image) {
            take_back(decisions, &mut open, (follower, before, with_subject(before, image)));
        }
    }
}

/// What follows an image goes as far as that.
fn with_subject(decision: Decision, subject: u32) -> Decision {
    match decision {
        Decision::Archived { .. } => decision,
        _ => Decision::Stays(Stay::WithSubject { subject }),
    }
}

fn take_back(decisions: &mut [Decision], open: &mut Vec<u32>, (image, before, held): (u32, Decision, Decision)) {
    let decision = &mut decisions[image as usize];
    if reach(decision) > reach(&before) {
        *decision = held;
        open.push(image);
    }
}

/// Pairs of subject and follower, in order.
fn by_subject(follows: &[Option<u32>], wanted: impl Fn(u32) -> bool) -> Vec<(u32, u32)> {
    let places = (0_u32..).zip(follows).filter(|(at, _)| wanted(*at));
    let mut pairs: Vec<(u32, u32)> = places.filter_map(|(at, subject)| Some(((*subject)?, at))).collect();
    pairs.sort_unstable();
    pairs
}

fn of_subject(pairs: &[(u32, u32)], subject: u32) -> impl Iterator<Item = u32> {
    let first = pairs.partition_point(|(of, _)| *of < subject);
    pairs[first..].iter().take_while(move |(of, _)| *of == subject).map(|(_, follower)| *follower)
}

/// The oldest first; with each image what follows it and what only it held, so that a run that ends early leaves nothing half.
fn removal_order(facts: &Facts, follows: &[Option<u32>], decisions: &[Decision]) -> (Vec<u32>, Vec<u32>) {
    let goes = |image: u32| decisions[image as usize].goes();
    let followers = by_subject(follows, goes);
    // After an image: its children, and what follows it, unless that names it as a child.
    let next = |image: u32| {
        let children = facts.children(image).iter().copied().filter(|child| goes(*child));
        let following = of_subject(&followers, image).filter(move |at| !facts.children(*at).contains(&image));
        children.chain(following).collect::<Vec<u32>>()
    };
    let mut going: Vec<u32> = facts.places().filter(|image| goes(*image)).collect();
    going.sort_by_cached_key(|image| (age_from(facts, *image), facts.images[*image as usize].digest));
    let mut waits = vec![0_u32; facts.images.len()];
    for &image in &going {
        next(image).into_iter().for_each(|after| waits[after as usize] += 1);
    }
    let roots: Vec<u32> = going.iter().copied().filter(|image| waits[*image as usize] == 0).collect();
    // Indexes that go and have not gone yet, by child: none of them can be left naming what is gone.
    let mut named = vec![0_u32; facts.images.len()];
    for &image in &going {
        facts.children(image).iter().for_each(|child| named[*child as usize] += 1);
    }
    let mut done = vec![false; facts.images.len()];
    let (mut order, mut groups) = (Vec::with_capacity(going.len()), Vec::new());
    // What is left waits in a circle of subjects, and begins where it is oldest. Indexes and their children are never in a circle.
    let begins = roots.into_iter().chain(std::iter::repeat_n(going.as_slice(), going.len()).flatten().copied());
    for root in begins {
        if order.len() == going.len() {
            break;
        }
        if done[root as usize] || named[root as usize] > 0 {
            continue;
        }
        groups.push(u32::try_from(order.len()).expect("fewer than 2^32 images"));
        let mut open = vec![root];
        while let Some(image) = open.pop() {
            if std::mem::replace(&mut done[image as usize], true) {
                continue;
            }
            order.push(image);
            for child in facts.children(image) {
                named[*child as usize] = named[*child as usize].saturating_sub(1);
            }
            for after in next(image) {
                let waiting = &mut waits[after as usize];
                *waiting = waiting.saturating_sub(1);
                if *waiting == 0 {
                    open.push(after);
                }
            }
        }
    }
    (order, groups)
}
