//! A policy that was read and is right.

use larder_oci::{Tag, VersionRange};
use regex::Regex;

use super::TagPattern;

/// A lifecycle policy.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// By priority, the first one first.
    pub rules: Vec<Rule>,
    /// Tags that keep their images whatever the rules say (a key of our own).
    pub protected: Vec<TagPattern>,
    /// Stages whose images stay for a while after they left (a key of our own).
    pub protected_stages: Option<ProtectedStages>,
    /// Keys of our own that it uses: Amazon ECR would refuse it.
    pub own_keys: Vec<&'static str>,
}

/// Stages whose images stay. What stands in a stage stays in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedStages {
    /// The stages.
    pub names: Vec<Tag>,
    /// For so many days after they left.
    pub days: u64,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Lower ones are applied first.
    pub priority: i64,
    /// What it is for.
    pub description: Option<String>,
    /// Which tags it is about.
    pub tags: TagStatus,
    /// Which storage class it is about.
    pub class: StorageClass,
    /// Which of these it selects.
    pub count: Count,
    /// What becomes of them.
    pub act: Act,
}

/// Which images a rule is about, by their tags.
#[derive(Clone, Debug)]
pub enum TagStatus {
    /// Those of whose tags one matches each of these.
    Tagged(Vec<TagMatch>),
    /// Those without tags.
    Untagged,
    /// All.
    Any,
}

impl TagStatus {
    /// Whether an image with these tags is meant.
    pub fn includes<T: AsRef<str>>(&self, tags: &[T]) -> bool {
        match self {
            Self::Any => true,
            Self::Untagged => tags.is_empty(),
            Self::Tagged(all) => all.iter().all(|wanted| tags.iter().any(|tag| wanted.matches(tag.as_ref()))),
        }
    }
}

/// One requirement on tags.
#[derive(Clone, Debug)]
pub enum TagMatch {
    /// The tag begins with it.
    Prefix(String),
    /// The tag matches it.
    Pattern(TagPattern),
    /// The whole tag matches it (a key of our own).
    Expression(Regex),
    /// The tag is a version or a build in this range (a key of our own).
    Range(VersionRange),
}

impl TagMatch {
    fn matches(&self, tag: &str) -> bool {
        match self {
            Self::Prefix(prefix) => tag.starts_with(prefix.as_str()),
            Self::Pattern(pattern) => pattern.matches(tag),
            Self::Expression(expression) => expression.is_match(tag),
            Self::Range(range) => tag.parse::<Tag>().is_ok_and(|tag| range.matches_tag(&tag)),
        }
    }
}

/// Where an image's bytes are kept. Larder has one class; the other one is in the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageClass {
    /// At hand.
    Standard,
    /// Archived.
    Archive,
}

/// Which of the images that a rule is about it selects. Days are of 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// All but the youngest so many.
    MoreThan(u64),
    /// Those pushed longer ago than so many days.
    PushedBefore(u64),
    /// Those last pulled longer ago than so many days; pushed, if they never were.
    PulledBefore(u64),
    /// Those archived longer ago than so many days.
    ArchivedBefore(u64),
    /// The oldest, until the rest is within so many bytes (ours).
    SizeMoreThan(u64),
    /// All of them (ours, to keep).
    All,
    /// The youngest so many (ours, to keep).
    Newest(u64),
    /// Of each minor release the newest so many patch releases, by version (ours, to keep).
    NewestPatches(u64),
    /// Those pushed within so many days (ours, to keep).
    PushedWithin(u64),
    /// Those pulled within so many days (ours, to keep).
    PulledWithin(u64),
}

/// What becomes of what a rule selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It leaves the repository.
    Expire,
    /// It goes to the archive.
    Archive,
    /// It stays, whatever other rules say (ours).
    Keep,
}
