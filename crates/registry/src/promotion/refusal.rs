//! Why a promotion or what belongs to it is not done.

use larder_oci::{Digest, ErrorCode, RepositoryName, RepositoryPattern, Tag};
use serde_json::{Value, json};

use super::Check;

/// One variant per meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The stages are not such.
    #[error("the stages are invalid: {0}")]
    Invalid(String),
    /// There are as many patterns with stages as there may be.
    #[error("there are stages for {0} patterns already")]
    TooMany(usize),
    /// None were set for this name or pattern.
    #[error("no stages are set for {0}")]
    NotSet(RepositoryPattern),
    /// The repository has no such stage.
    #[error("{repository} has no stage {stage}: it has {}", .known.iter().map(Tag::as_str).collect::<Vec<_>>().join(", "))]
    NoStage {
        /// The repository.
        repository: RepositoryName,
        /// The stage.
        stage: Tag,
        /// Its stages.
        known: Vec<Tag>,
    },
    /// A push would move a stage that has gates.
    #[error(
        "requested access to the resource is denied: stage {stage} of {repository} has gates; type: larder promote {repository}:VERSION --to {stage}"
    )]
    Gated {
        /// The repository.
        repository: RepositoryName,
        /// The stage.
        stage: Tag,
    },
    /// Gates are not met.
    #[error("{reference} may not enter {stage}: {}", .checks.iter().filter(|check| !check.met).map(|check| format!("{} ({})", check.gate.as_str(), check.said)).collect::<Vec<_>>().join("; "))]
    Unmet {
        /// What was to enter.
        reference: String,
        /// The stage.
        stage: Tag,
        /// All gates.
        checks: Vec<Check>,
    },
    /// The stage is not what the caller thinks.
    #[error("{stage} is {} now: look again", .current.map_or_else(|| "empty".to_owned(), |digest| digest.to_string()))]
    Elsewhere {
        /// The stage.
        stage: String,
        /// What stands there.
        current: Option<Digest>,
    },
    /// Others changed stages or approvals again and again.
    #[error("stages or approvals changed meanwhile: try again")]
    Changed,
    /// The key was used for something else.
    #[error("this idempotency key was used for another request")]
    KeyUsed,
    /// The stage asks for no approvals.
    #[error("stage {0} asks for no approvals")]
    NothingToApprove(Tag),
    /// The approvals of a group are asked for, and the caller is not in it.
    #[error("approvals for {stage} are given by members of group {group}")]
    NotInGroup {
        /// The stage.
        stage: Tag,
        /// The group.
        group: String,
    },
    /// Approvals are given by people.
    #[error("approvals are given by people who are logged in")]
    Nobody,
    /// What is to go stands in a stage.
    #[error("requested access to the resource is denied: {digest} stands in stage {stage}; move the stage first")]
    InStage {
        /// What was to go.
        digest: Digest,
        /// The stage.
        stage: Tag,
    },
    /// A stage that is a repository has no one version that stands in it.
    #[error("stage {0} is a repository, with a tag for each version: roll such a tag back, with larder tag rollback")]
    IsRepository(Tag),
}

impl Refusal {
    /// The code that a client sees.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotSet(_) | Self::NoStage { .. } => ErrorCode::NameUnknown,
            Self::Gated { .. } | Self::NotInGroup { .. } | Self::Nobody | Self::InStage { .. } => ErrorCode::Denied,
            Self::Invalid(_)
            | Self::TooMany(_)
            | Self::Unmet { .. }
            | Self::Elsewhere { .. }
            | Self::Changed
            | Self::KeyUsed
            | Self::NothingToApprove(_)
            | Self::IsRepository(_) => ErrorCode::ManifestInvalid,
        }
    }

    /// Facts for programs.
    pub fn detail(&self) -> Value {
        match self {
            Self::NoStage { known, .. } => json!({ "stages": known.iter().map(Tag::as_str).collect::<Vec<_>>() }),
            Self::Gated { repository, stage } => json!({
                "repository": repository.as_str(),
                "stage": stage.as_str(),
                "command": format!("larder promote {repository}:VERSION --to {stage}"),
            }),
            Self::Unmet { checks, .. } => json!({ "gates": checks.iter().map(told).collect::<Vec<_>>() }),
            Self::Elsewhere { current, .. } => json!({ "current": current.map(|digest| digest.to_string()) }),
            Self::InStage { digest, stage } => json!({ "digest": digest.to_string(), "stage": stage.as_str() }),
            _ => Value::Null,
        }
    }
}

fn told(check: &Check) -> Value {
    json!({ "gate": check.gate.as_str(), "met": check.met, "said": check.said })
}
