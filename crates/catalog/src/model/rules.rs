//! Values about rules: their texts, and what is asked and answered while tags change.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryPattern, Tag, VersionScope};

/// Rules as they were set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesRow {
    /// The repositories that they are for: one name, or a pattern.
    pub pattern: RepositoryPattern,
    /// Their text, as it was given.
    pub text: String,
    /// When they were set.
    pub set: Timestamp,
    /// Who set them.
    pub set_by: String,
}

/// Who decides about a change of tags. He is asked inside the transaction that makes the change, perhaps more than once: the same facts get the
/// same answer.
pub trait Door: fmt::Debug + Send + Sync {
    /// What he wants to know.
    fn asks(&self) -> &Asked;
    /// His decision.
    fn judge(&self, standing: &Standing) -> Judgement;
}

/// What a decision needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Where these tags point.
    pub places: Vec<Tag>,
    /// The newest release of each of these.
    pub newest: Vec<VersionScope>,
    /// All tags that point to the manifest in question.
    pub names: bool,
}

/// What stands in a repository while a decision is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The manifest in question: what tags are to point to, or what is to go.
    pub digest: Option<Digest>,
    /// Whether it names what the repository lacks.
    pub incomplete: bool,
    /// Of the tags asked for, those that are there.
    pub places: BTreeMap<Tag, TagPlace>,
    /// The newest release of each scope asked for, where there is one.
    pub newest: Vec<Option<(Tag, Digest)>>,
    /// The tags that point to the manifest in question.
    pub names: Vec<Tag>,
}

/// Where a tag points, and how it came there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPlace {
    /// Where it points.
    pub digest: Digest,
    /// How it was last moved, as its history has it.
    pub how: Option<String>,
}

/// A decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Why it may not be; empty when it may.
    pub refused: Vec<Told>,
    /// What to say although it may be.
    pub warned: Vec<Told>,
    /// Tags that move with it, in the order of their names.
    pub aliases: Vec<Tag>,
}

/// What a rule says about something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The rule.
    pub rule: &'static str,
    /// For which repositories it was set; `None` for what holds without being set.
    pub pattern: Option<RepositoryPattern>,
    /// The tag that it is about.
    pub tag: Option<Tag>,
    /// What is wrong.
    pub why: String,
    /// What would pass.
    pub instead: String,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, pattern, why, instead, .. } = self;
        match pattern {
            Some(pattern) => write!(f, "{why}: {instead} (rule {rule} of {pattern})"),
            None => write!(f, "{why}: {instead} (rule {rule})"),
        }
    }
}

/// What became of a change that was asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed<T> {
    /// It may not be; nothing was changed.
    Refused(Vec<Told>),
    /// It was made, or could not be.
    Done(T, Judgement),
}
