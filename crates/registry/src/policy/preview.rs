//! What a policy would do, for people: what goes and why, what comes free, and what nearly went.

use super::evaluate::{Decision, Evaluation, Stay, about, youngest_first};
use super::facts::Facts;
use super::rule::{Count, Policy};

const DAY: i64 = 24 * 60 * 60 * 1000;
/// What goes within these days is told beforehand.
const SOON: i64 = 7;
/// Of each rule that counts images, so many are told that are next.
const NEXT: usize = 3;
/// Near misses that are told; the rest are counted.
const TOLD: usize = 100;

/// What a policy would do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Images in the repository.
    pub images: u64,
    /// What goes, the oldest first.
    pub going: Vec<Going>,
    /// Bytes that come free: what no image that stays and no other repository holds, each once.
    pub bytes: u64,
    /// Images that a rule would archive.
    pub archived: u64,
    /// Signatures and the like, which follow their subjects and which no rule counts.
    pub followers: u64,
    /// What nearly went; at most 100.
    pub near: Vec<Near>,
    /// How many there are of these.
    pub near_count: u64,
}

/// An image that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Going {
    /// Which.
    pub image: u32,
    /// The rule's place in the policy; that of its subject, for what follows one.
    pub rule: u16,
    /// The image that it follows.
    pub subject: Option<u32>,
    /// Bytes of its manifest and blobs, shared or not.
    pub size: u64,
}

/// An image that nearly went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Near {
    /// Which.
    pub image: u32,
    /// The rule that would take it.
    pub rule: u16,
    /// Why it stays.
    pub reason: NearReason,
}

/// Why an image stays for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NearReason {
    /// It belongs to this rule, which comes first and does not select it.
    Claimed(u16),
    /// A push in flight may rely on it, until then.
    Leased(i64),
    /// A tag of it is protected, or a stage protects it.
    Protected,
    /// This index names it and stays.
    Held(u32),
    /// This rule keeps it.
    Kept(u16),
    /// It goes when so many more were pushed.
    AfterPushes(u64),
    /// It goes then, unless it is pulled, where that counts.
    At(i64),
}

/// Tells what an evaluation of these facts at this time comes to.
pub fn preview(policy: &Policy, facts: &Facts, evaluation: &Evaluation, now: i64) -> Preview {
    let going: Vec<Going> = evaluation.order.iter().filter_map(|image| going(facts, evaluation, *image)).collect();
    let mut near: Vec<Near> = Vec::new();
    for image in facts.places() {
        let due = near_miss(policy, facts, evaluation.decisions[image as usize], image, now);
        near.extend(due.map(|(rule, reason)| Near { image, rule, reason }));
    }
    near.extend(next_in_line(policy, facts, evaluation));
    near.sort_by_key(|near| (facts.images[near.image as usize].pushed, facts.images[near.image as usize].digest));
    let near_count = near.len() as u64;
    near.truncate(TOLD);
    let archived = evaluation.decisions.iter().filter(|decision| matches!(decision, Decision::Archived { .. })).count();
    Preview {
        images: facts.images.len() as u64,
        bytes: freed(facts, &|image| evaluation.decisions[image as usize].goes()),
        going,
        archived: archived as u64,
        followers: evaluation.follows.iter().flatten().count() as u64,
        near,
        near_count,
    }
}

fn going(facts: &Facts, evaluation: &Evaluation, image: u32) -> Option<Going> {
    let mut at = image;
    let rule = loop {
        match evaluation.decisions[at as usize] {
            Decision::Expires { rule } => break rule,
            Decision::Follows { subject } => at = subject,
            Decision::Stays(_) | Decision::Archived { .. } => return None,
        }
    };
    let subject = evaluation.follows[image as usize];
    Some(Going { image, rule, subject, size: facts.size(image) })
}

/// What goes with these images, counted once.
pub(super) fn freed(facts: &Facts, goes: &dyn Fn(u32) -> bool) -> u64 {
    let mut held: Vec<bool> = facts.blobs.iter().map(|blob| blob.elsewhere).collect();
    for image in facts.places().filter(|image| !goes(*image)) {
        facts.blobs_of(image).iter().for_each(|blob| held[*blob as usize] = true);
    }
    let mut total = 0_u64;
    for image in facts.places().filter(|image| goes(*image)) {
        let manifest = &facts.images[image as usize];
        if !manifest.elsewhere {
            total = total.saturating_add(manifest.size);
        }
        for &blob in facts.blobs_of(image) {
            if !std::mem::replace(&mut held[blob as usize], true) {
                total = total.saturating_add(facts.blobs[blob as usize].size);
            }
        }
    }
    total
}

fn near_miss(policy: &Policy, facts: &Facts, decision: Decision, image: u32, now: i64) -> Option<(u16, NearReason)> {
    let Decision::Stays(stay) = decision else { return None };
    match stay {
        Stay::Unmatched | Stay::WithSubject { .. } => None,
        Stay::Claimed { rule, by } => Some((rule, NearReason::Claimed(by))),
        Stay::Leased { rule, until } => Some((rule, NearReason::Leased(until))),
        Stay::Protected { rule } => Some((rule, NearReason::Protected)),
        Stay::Held { rule, parent } => Some((rule, NearReason::Held(parent))),
        Stay::Kept { rule, by } => Some((rule, NearReason::Kept(by))),
        Stay::Unselected { rule } => {
            let image = &facts.images[image as usize];
            let (from, days) = match policy.rules[usize::from(rule)].count {
                Count::PushedBefore(days) => (image.pushed, days),
                Count::PulledBefore(days) => {
                    (image.pulled.unwrap_or(image.pushed).max(image.activated.unwrap_or(i64::MIN)), days)
                }
                _ => return None,
            };
            let at = from.saturating_add(i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY));
            (at.saturating_sub(now) <= SOON * DAY).then_some((rule, NearReason::At(at)))
        }
    }
}

/// Of each rule that keeps so many of the youngest, the oldest of them.
fn next_in_line(policy: &Policy, facts: &Facts, evaluation: &Evaluation) -> Vec<Near> {
    let order = youngest_first(facts);
    let mut near = Vec::new();
    for (number, rule) in (0_u16..).zip(&policy.rules) {
        let Count::MoreThan(count) = rule.count else { continue };
        let meant = about(rule, facts, &evaluation.follows, &order);
        let kept = meant.len().min(usize::try_from(count).unwrap_or(usize::MAX));
        // So many more may be pushed before one of these goes.
        let room = count - kept as u64;
        for (place, &image) in meant[..kept].iter().rev().take(NEXT).enumerate() {
            let pushes = room + place as u64 + 1;
            if evaluation.decisions[image as usize] == Decision::Stays(Stay::Unselected { rule: number })
                && pushes <= NEXT as u64
            {
                near.push(Near { image, rule: number, reason: NearReason::AfterPushes(pushes) });
            }
        }
    }
    near
}
