//! Values about stages: what stands in them, who approved what, and who pulls it. What a gate asks for is not known here.

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryName, RepositoryPattern, Tag};

use super::{OverQuota, Stamp};

/// Stages as they were set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageSetRow {
    /// The repositories that they are for: one name, or a pattern.
    pub pattern: RepositoryPattern,
    /// Their text, as it was given.
    pub text: String,
    /// The stages that are tags.
    pub tags: Vec<Tag>,
    /// When they were set.
    pub set: Timestamp,
    /// Who set them.
    pub set_by: String,
}

/// What stands or stood in a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageEntry {
    /// The manifest.
    pub digest: Digest,
    /// When it last came.
    pub entered: Timestamp,
    /// When it left, if it did.
    pub left: Option<Timestamp>,
    /// Milliseconds of stays that are over.
    pub stood: u64,
    /// How it came: `promotion`, `push`, `retag`, `rollback`, ….
    pub how: String,
    /// Who brought it; nobody knows of what stood there before stages were written down.
    pub by: String,
    /// Why, if somebody said so.
    pub reason: Option<String>,
}

/// Where a stage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StagePlace {
    /// A tag.
    Tag(RepositoryName, Tag),
    /// A repository of its own.
    Repository(RepositoryName),
}

/// What is asked before a manifest enters a stage.
#[derive(Clone, Debug)]
pub struct StageQuestion {
    /// Whose stages these are.
    pub base: RepositoryName,
    /// The stage.
    pub stage: Tag,
    /// Where the manifest is.
    pub source: RepositoryName,
    /// The manifest.
    pub digest: Digest,
    /// The tag that would point to it.
    pub target: (RepositoryName, Tag),
    /// The stage before.
    pub before: Option<StagePlace>,
    /// The group whose approvals count.
    pub group: Option<String>,
}

/// The answer: one look at the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageFacts {
    /// Counts up with every change of stages.
    pub version: i64,
    /// Where the tag points.
    pub standing: Option<Digest>,
    /// Whether everything that the manifest names was there when it was pushed; `None` when the repository has no such manifest.
    pub complete: Option<bool>,
    /// Its stay in the stage before.
    pub before: Option<StageEntry>,
    /// Tags that point to it; at most a hundred.
    pub tags: Vec<Tag>,
    /// Who approved it.
    pub approvals: Vec<ApprovalRow>,
    /// Blobs that it names and the manifest in the stage does not, with their lengths.
    pub new: Vec<(Digest, u64)>,
}

/// An approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRow {
    /// Who.
    pub identity: String,
    /// When.
    pub at: Timestamp,
    /// What he said.
    pub reason: Option<String>,
    /// Whether he is in the group that was asked for; yes where none was.
    pub in_group: bool,
}

/// A key by which a repeated request is known, and what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The key.
    pub key: String,
    /// The request.
    pub request: String,
}

/// A manifest enters a stage: one transaction.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// Whose stages these are.
    pub base: RepositoryName,
    /// The stage.
    pub stage: Tag,
    /// Where the manifest is.
    pub source: RepositoryName,
    /// The manifest.
    pub digest: Digest,
    /// The tag that points to it from now on.
    pub target: (RepositoryName, Tag),
    /// Where that points now.
    pub expected: Option<Digest>,
    /// The version of the stages by which this was decided.
    pub version: i64,
    /// Whose approvals it relies on.
    pub approved_by: Vec<String>,
    /// For the history: `promotion` or `rollback`.
    pub how: &'static str,
    /// What was named: a tag or a digest.
    pub reference: String,
    /// Why.
    pub reason: Option<String>,
    /// By what a repetition is known, and what to answer it.
    pub key: Option<(RequestKey, String)>,
    /// Who and when.
    pub stamp: Stamp,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromotionOutcome {
    /// The tag points there.
    Moved,
    /// The tag points elsewhere than expected: here.
    Elsewhere(Option<Digest>),
    /// Stages or approvals changed meanwhile.
    Changed,
    /// The manifest is gone, or lacks something.
    Gone,
    /// It is more than the stage's repository may hold.
    OverQuota(OverQuota),
    /// The key was used: for this request, with this answer.
    Repeated(RequestKey, String),
}

/// The last pull of what stands in a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagePull {
    /// Who.
    pub identity: String,
    /// What stood there.
    pub digest: Digest,
    /// When.
    pub at: Timestamp,
}

/// A pull, as it is noted for stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotedPull {
    /// The repository.
    pub repository: RepositoryName,
    /// The manifest.
    pub digest: Digest,
    /// Who.
    pub identity: String,
    /// When.
    pub at: Timestamp,
    /// The stage, where the whole repository is one, with the repository whose stage it is.
    pub stage: Option<(RepositoryName, Tag)>,
}
