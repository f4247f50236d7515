//! A preview in words, for whoever asked: digests, tags and times instead of places.

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryPattern, Tag};

use super::facts::Facts;
use super::preview::{Near, NearReason, Preview};
use super::rule::{Act, Policy};

/// What a policy would do to a repository now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyPreview {
    /// The policy that decides, by its repositories.
    pub pattern: RepositoryPattern,
    /// The time that it was asked at.
    pub at: Timestamp,
    /// Images in the repository.
    pub images: u64,
    /// Of these, images that go.
    pub expiring: u64,
    /// Bytes that come free, each counted once.
    pub bytes: u64,
    /// Images that a rule would archive; Larder has no archive, they stay.
    pub archived: u64,
    /// What nearly goes; at most 100.
    pub near: Vec<NearlyGoing>,
    /// How many there are of these.
    pub near_count: u64,
    /// Whether a run by itself would pause and ask, if this had not been shown.
    pub over_half: bool,
    /// What to know beside it.
    pub notes: Vec<String>,
    /// A page of the images that go, the oldest first.
    pub going: Vec<GoingImage>,
    /// Whether more follow.
    pub more: bool,
}

/// A rule, as a preview names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleName {
    /// Its priority.
    pub priority: i64,
    /// Its description.
    pub description: Option<String>,
}

/// An image that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoingImage {
    /// Its digest.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was first pushed.
    pub pushed: Timestamp,
    /// When it was last pulled.
    pub pulled: Option<Timestamp>,
    /// Bytes of its manifest and blobs, shared or not.
    pub size: u64,
    /// The rule that takes it.
    pub rule: RuleName,
    /// The image that it refers to and goes with.
    pub follows: Option<Digest>,
    /// When it leaves the lists by itself; nothing when policies do not run in the background.
    pub leaves: Option<Timestamp>,
    /// When its bytes go, if nothing else holds them.
    pub bytes_go: Option<Timestamp>,
}

/// An image that nearly goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearlyGoing {
    /// Its digest.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was first pushed.
    pub pushed: Timestamp,
    /// The rule that would take it.
    pub rule: RuleName,
    /// Why it stays for now, for programs: `claimed`, `leased`, `protected`, `held`, `kept`, `next`, `soon`.
    pub reason: &'static str,
    /// The same for people.
    pub because: String,
}

/// When what goes by itself goes.
#[derive(Clone, Copy)]
pub(super) struct Schedule {
    /// The next run in the background, and how long until the one after it.
    pub next: Option<(Timestamp, std::time::Duration)>,
    /// How many images one run lets go.
    pub cap: u64,
    /// How long bytes stay after that.
    pub grace: std::time::Duration,
}

impl Schedule {
    fn leaves(&self, place: usize) -> Option<Timestamp> {
        let (next, every) = self.next?;
        let runs = u32::try_from(place as u64 / self.cap.max(1)).unwrap_or(u32::MAX);
        next.checked_add(every.checked_mul(runs)?).ok()
    }
}

/// What a preview is about.
pub(super) struct Shown<'a> {
    pub pattern: &'a RepositoryPattern,
    pub policy: &'a Policy,
    pub facts: &'a Facts,
    pub preview: &'a Preview,
    pub at: Timestamp,
    pub schedule: Schedule,
}

impl Shown<'_> {
    /// The page of images that begins after this one.
    pub fn tell(&self, after: Option<&Digest>, limit: usize) -> PolicyPreview {
        let going = &self.preview.going;
        let digest = |place: usize| self.facts.images[going[place].image as usize].digest;
        let start =
            after.and_then(|after| (0..going.len()).find(|place| digest(*place) == *after)).map_or(0, |at| at + 1);
        let end = going.len().min(start + limit);
        PolicyPreview {
            pattern: self.pattern.clone(),
            at: self.at,
            images: self.preview.images,
            expiring: going.len() as u64,
            bytes: self.preview.bytes,
            archived: self.preview.archived,
            near: self.preview.near.iter().map(|near| self.near(near)).collect(),
            near_count: self.preview.near_count,
            over_half: is_over_half(going.len() as u64, self.preview.images),
            notes: self.notes(),
            going: (start..end).map(|place| self.going(place)).collect(),
            more: end < going.len(),
        }
    }

    fn going(&self, place: usize) -> GoingImage {
        let going = &self.preview.going[place];
        let image = &self.facts.images[going.image as usize];
        let leaves = self.schedule.leaves(place);
        GoingImage {
            digest: image.digest,
            tags: image.tags.clone(),
            pushed: time(image.pushed),
            pulled: image.pulled.map(time),
            size: going.size,
            rule: self.rule(going.rule),
            follows: going.subject.map(|subject| self.facts.images[subject as usize].digest),
            leaves,
            bytes_go: leaves.and_then(|leaves| leaves.checked_add(self.schedule.grace).ok()),
        }
    }

    fn near(&self, near: &Near) -> NearlyGoing {
        let image = &self.facts.images[near.image as usize];
        let (reason, because) = self.because(near.reason);
        let (tags, pushed) = (image.tags.clone(), time(image.pushed));
        NearlyGoing { digest: image.digest, tags, pushed, rule: self.rule(near.rule), reason, because }
    }

    fn because(&self, reason: NearReason) -> (&'static str, String) {
        let priority = |rule: u16| self.policy.rules[usize::from(rule)].priority;
        match reason {
            NearReason::Claimed(by) => {
                ("claimed", format!("it has the tags of rule {}, which comes first", priority(by)))
            }
            NearReason::Leased(until) => ("leased", format!("a push in flight may rely on it until {}", time(until))),
            NearReason::Protected => {
                ("protected", "a tag of it is protected, or it is in a stage, or lately was".to_owned())
            }
            NearReason::Held(parent) => {
                ("held", format!("index {} names it and stays", self.facts.images[parent as usize].digest))
            }
            NearReason::Kept(by) => ("kept", format!("rule {} keeps it", priority(by))),
            NearReason::AfterPushes(1) => ("next", "it goes after one more push".to_owned()),
            NearReason::AfterPushes(pushes) => ("next", format!("it goes after {pushes} more pushes")),
            NearReason::At(at) => ("soon", format!("it goes after {}", time(at))),
        }
    }

    fn rule(&self, rule: u16) -> RuleName {
        let rule = &self.policy.rules[usize::from(rule)];
        RuleName { priority: rule.priority, description: rule.description.clone() }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.policy.rules.iter().any(|rule| rule.act == Act::Archive) {
            let archived = self.preview.archived;
            notes.push(format!(
                "Larder has no archive: `transition` changes nothing, and {archived} images stay as they are"
            ));
        }
        if self.preview.followers > 0 {
            let count = self.preview.followers;
            notes.push(format!(
                "{count} signatures and the like follow their subjects and are not counted; Amazon ECR counts tags such as `sha256-….sig`"
            ));
        }
        if self.preview.going.len() as u64 > self.schedule.cap {
            notes.push(format!(
                "one run lets {} images go at most (`policy.cap`); the others go in later ones",
                self.schedule.cap
            ));
        }
        notes
    }
}

/// Whether it is more than half of a repository.
pub(super) fn is_over_half(going: u64, images: u64) -> bool {
    going.saturating_mul(2) > images
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}
