//! Everything that the domain answers instead of doing what was asked.

use jiff::Timestamp;
use larder_blobs as blobs;
use larder_catalog as catalog;
use larder_catalog::model::OverQuota;
use larder_oci::{Digest, ErrorCode, ManifestError, RepositoryName, RepositoryPattern, Tag, UploadId};
use serde_json::{Value, json};

use crate::policy::{Problem, Problems};
use crate::promotion::Refusal;
use crate::rules::Told;

/// The domain's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One variant per meaning; the code that clients see is decided here, once.
///
/// **Invariant 13**: what [`public_message`](Error::public_message) and [`detail`](Error::detail) say names no path, no secret and nothing of another tenant;
/// `Display` and the sources are for the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The actor may not do this, or may not know whether it exists.
    #[error("requested access to the resource is denied")]
    Denied,
    /// A rule denies the actor to move tags, and this one points elsewhere.
    #[error("requested access to the resource is denied: the tag {0} exists, and a grant denies moving tags")]
    TagKept(Tag),
    /// No such repository.
    #[error("repository {0} is unknown")]
    RepositoryUnknown(RepositoryName),
    /// No such manifest or tag in this repository.
    #[error("manifest {reference} of {repository} is unknown")]
    ManifestUnknown {
        /// The repository.
        repository: RepositoryName,
        /// The tag or digest.
        reference: String,
    },
    /// No such blob in this repository (**Invariant 5**).
    #[error("blob {digest} of {repository} is unknown")]
    BlobUnknown {
        /// The repository.
        repository: RepositoryName,
        /// The digest.
        digest: Digest,
    },
    /// No such session here, or not this actor's.
    #[error("upload {0} is unknown")]
    UploadUnknown(UploadId),
    /// Another request is writing to the session.
    #[error("upload {id} is being written by another request")]
    UploadBusy {
        /// The session.
        id: UploadId,
        /// Its durable bytes.
        offset: u64,
    },
    /// The chunk does not begin where the session stands.
    #[error("upload {id} stands at byte {offset}")]
    RangeMismatch {
        /// The session.
        id: UploadId,
        /// Its durable bytes.
        offset: u64,
    },
    /// The body is not as long as its range says.
    #[error("the body of upload {id} is not as long as its Content-Range says")]
    LengthMismatch {
        /// The session.
        id: UploadId,
        /// Its durable bytes.
        offset: u64,
    },
    /// The body broke off; what arrived is kept.
    #[error("the body of upload {id} broke off at byte {offset}")]
    BodyInterrupted {
        /// The session.
        id: UploadId,
        /// Its durable bytes.
        offset: u64,
    },
    /// The bytes do not hash to the digest.
    #[error("the content hashes to {found}, not to {expected}")]
    DigestMismatch {
        /// What the client named.
        expected: Digest,
        /// What the bytes say.
        found: Digest,
    },
    /// sha512 came out of the blue, and the upload is too long to be read again (behaviour §2).
    #[error("{size} bytes were hashed as sha256 while they streamed; begin the upload with ?digest-algorithm=sha512")]
    AlgorithmNotAnnounced {
        /// Bytes of the upload.
        size: u64,
    },
    /// The blob is larger than this registry takes.
    #[error("a blob has at most {limit} bytes here")]
    UploadTooLarge {
        /// `limits.upload_bytes`.
        limit: u64,
    },
    /// More than the repository may hold, with what open uploads have reserved (behaviour §6).
    #[error("{0}")]
    OverQuota(Box<OverQuota>),
    /// The manifest cannot be read.
    #[error("the manifest is invalid: {0}")]
    ManifestInvalid(#[from] ManifestError),
    /// A stated size is false (behaviour §3).
    #[error("the manifest says that {digest} has {stated} bytes; it has {actual}")]
    SizeInvalid {
        /// The target.
        digest: Digest,
        /// What the manifest says.
        stated: u64,
        /// What is stored.
        actual: u64,
    },
    /// Targets are absent and the push is refused.
    #[error("the manifest names {} absent object(s)", .0.len())]
    TargetsUnknown(Vec<Digest>),
    /// A live manifest of the repository names it (behaviour §3).
    #[error("{digest} is in use by manifest {parent}")]
    InUse {
        /// What was to go.
        digest: Digest,
        /// What names it.
        parent: Digest,
    },
    /// `If-Match` or `If-None-Match` does not hold.
    #[error("the reference is {} now", .current.map_or_else(|| "absent".to_owned(), |digest| digest.to_string()))]
    PreconditionFailed {
        /// Where it points.
        current: Option<Digest>,
    },
    /// A repository of this name is there already.
    #[error("repository {0} exists already")]
    RepositoryExists(RepositoryName),
    /// A tag did not point anywhere then, or nobody remembers where.
    #[error("{reference} {}", .since.map_or_else(|| "was not there then".to_owned(), |since| format!("has a history since {since}; what was before is forgotten")))]
    NotThen {
        /// The tag, with its repository.
        reference: String,
        /// When the history begins, if it is too short.
        since: Option<Timestamp>,
    },
    /// A tag's history has no such state to go back to.
    #[error("the history of {0} knows no such earlier state")]
    NoEarlier(String),
    /// It was deleted, and the time in which it could be brought back is over.
    #[error("manifest {0} is gone for good")]
    GoneForGood(Digest),
    /// What is to come back has a name that is in use.
    #[error("{0} is in use: undelete it under another name (--as)")]
    NameInUse(String),
    /// Nothing of the name was deleted, or not lately.
    #[error("nothing of the name {0} can be brought back")]
    NotDeleted(String),
    /// It is not there, and a push does not make it (`repositories.create_on_push`).
    #[error("repository {0} does not exist, and pushes do not make it here: `larder repo create {0}` does")]
    NotMade(RepositoryName),
    /// There is no tree of another registry in this folder.
    #[error("there is no tree of registry:2 there: name the folder that has docker/registry/v2 in it")]
    NoTree,
    /// A tree is to be released that no import came to the end of.
    #[error("this tree was not taken over: import it first")]
    NotTakenOver,
    /// A folder of the tree cannot be read, so nobody knows what is in it.
    #[error("a folder of the old registry cannot be read or removed: {}", .0.kind())]
    TreeUnreadable(#[source] std::io::Error),
    /// The tree's files cannot be linked, and there is no room for copies.
    #[error(
        "the old registry's files cannot be linked ({why}), and copies need {needed} bytes where {available} are free"
    )]
    NoRoomToCopy {
        /// Bytes that are not here yet.
        needed: u64,
        /// Bytes that may be used.
        available: u64,
        /// Why they cannot be linked.
        why: String,
    },
    /// Another registry's images are being taken over: clients have to wait.
    #[error("the images of the registry before this one are being taken over: try again soon")]
    TakingOver,
    /// A folder cannot be used for this backup, or holds none.
    #[error("{0}")]
    BackupRefused(&'static str),
    /// The folder of a backup cannot be read or written.
    #[error("the backup's folder cannot be read or written: {}", .0.kind())]
    BackupFailed(#[source] std::io::Error),
    /// A lifecycle policy is not one.
    #[error("the policy is invalid: {0}")]
    PolicyInvalid(#[source] Problems),
    /// No policy was set for this name or pattern.
    #[error("no policy is set for {0}")]
    PolicyUnknown(RepositoryPattern),
    /// No policy is about this repository.
    #[error("no policy is about {0}: `larder policy set` sets one")]
    NoPolicy(RepositoryName),
    /// There are as many policies with wildcards as there may be.
    #[error("there are {0} policies for patterns already")]
    TooManyPolicies(usize),
    /// A policy is paused and asks (behaviour §5).
    #[error("the policy is paused: {0}")]
    PolicyPaused(String),
    /// A stage, or what enters one.
    #[error("{0}")]
    Promotion(Box<Refusal>),
    /// Rules are none.
    #[error("the rules are invalid: {0}")]
    RulesInvalid(#[source] Problems),
    /// No rules were set for this name or pattern.
    #[error("no rules are set for {0}")]
    RulesUnknown(RepositoryPattern),
    /// There are as many rules with wildcards as there may be.
    #[error("there are rules for {0} patterns already")]
    TooManyRules(usize),
    /// Rules refuse it.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Told>),
    /// The server takes no writes.
    #[error("this registry is read-only")]
    ReadOnly,
    /// The disk is full, or its reserve is reached.
    #[error("the registry's storage is full")]
    StorageFull,
    /// The sweep, the orphan removal or a repair is not safe now (**Invariant 14**).
    #[error("the catalog is older than its store: run `larder verify --adopt` first")]
    CatalogBehind,
    /// Store and catalog do not belong together.
    #[error("{0}")]
    StrangeStore(String),
    /// Too much is wrong at once to be the objects' fault.
    #[error("{bad} of {looked_at} objects are missing or wrong: is the right disk mounted? (--force goes on)")]
    TooMuchWrong {
        /// Missing or wrong.
        bad: u64,
        /// Looked at so far.
        looked_at: u64,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] blobs::Error),
    /// The catalog failed.
    #[error("the catalog failed")]
    Catalog(#[source] catalog::Error),
    /// A task of ours ended unexpectedly.
    #[error("an internal task ended: {0}")]
    Internal(String),
}

impl Error {
    /// The code that a client sees.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Denied | Self::TagKept(_) | Self::OverQuota(_) | Self::Refused(_) => ErrorCode::Denied,
            Self::RepositoryUnknown(_) | Self::NotMade(_) | Self::NoTree | Self::NotTakenOver => ErrorCode::NameUnknown,
            Self::ManifestUnknown { .. }
            | Self::NotThen { .. }
            | Self::NoEarlier(_)
            | Self::GoneForGood(_)
            | Self::NotDeleted(_) => ErrorCode::ManifestUnknown,
            Self::BlobUnknown { .. } => ErrorCode::BlobUnknown,
            Self::UploadUnknown(_) => ErrorCode::BlobUploadUnknown,
            Self::UploadBusy { .. } | Self::RangeMismatch { .. } => ErrorCode::RangeInvalid,
            Self::LengthMismatch { .. } => ErrorCode::SizeInvalid,
            Self::BodyInterrupted { .. } => ErrorCode::BlobUploadInvalid,
            Self::DigestMismatch { .. } | Self::AlgorithmNotAnnounced { .. } => ErrorCode::DigestInvalid,
            Self::PolicyUnknown(_) | Self::NoPolicy(_) | Self::RulesUnknown(_) => ErrorCode::NameUnknown,
            Self::ManifestInvalid(_)
            | Self::PreconditionFailed { .. }
            | Self::RepositoryExists(_)
            | Self::NameInUse(_)
            | Self::PolicyInvalid(_)
            | Self::TooManyPolicies(_)
            | Self::RulesInvalid(_)
            | Self::TooManyRules(_)
            | Self::PolicyPaused(_) => ErrorCode::ManifestInvalid,
            Self::Promotion(refusal) => refusal.code(),
            Self::SizeInvalid { .. } | Self::UploadTooLarge { .. } => ErrorCode::SizeInvalid,
            Self::TargetsUnknown(_) => ErrorCode::ManifestBlobUnknown,
            Self::InUse { .. } | Self::ReadOnly | Self::BackupRefused(_) => ErrorCode::Unsupported,
            Self::StorageFull | Self::NoRoomToCopy { .. } => ErrorCode::StorageFull,
            Self::CatalogBehind
            | Self::TooMuchWrong { .. }
            | Self::TakingOver
            | Self::TreeUnreadable(_)
            | Self::BackupFailed(_) => ErrorCode::Unavailable,
            Self::StrangeStore(_) | Self::Store(_) | Self::Catalog(_) | Self::Internal(_) => ErrorCode::Unknown,
        }
    }

    /// The sentence that a client sees.
    pub fn public_message(&self) -> String {
        match self {
            Self::StrangeStore(_) | Self::Store(_) | Self::Catalog(_) | Self::Internal(_) => {
                "the registry could not do this now; its log has the reason under this request's id".to_owned()
            }
            said => said.to_string(),
        }
    }

    /// Machine-readable facts for the error body; `null` when there are none.
    pub fn detail(&self) -> Value {
        match self {
            Self::RepositoryUnknown(name) | Self::RepositoryExists(name) | Self::NotMade(name) => {
                json!({ "name": name.as_str() })
            }
            Self::ManifestUnknown { repository, reference } => {
                json!({ "name": repository.as_str(), "reference": reference })
            }
            Self::NotThen { reference, since } => {
                json!({ "reference": reference, "since": since.map(|since| since.to_string()) })
            }
            Self::NoEarlier(name) | Self::NameInUse(name) | Self::NotDeleted(name) => json!({ "reference": name }),
            Self::GoneForGood(digest) => json!({ "digest": digest.to_string() }),
            Self::BlobUnknown { repository, digest } => {
                json!({ "name": repository.as_str(), "digest": digest.to_string() })
            }
            Self::UploadBusy { offset, .. }
            | Self::RangeMismatch { offset, .. }
            | Self::LengthMismatch { offset, .. }
            | Self::BodyInterrupted { offset, .. } => json!({ "offset": offset }),
            Self::DigestMismatch { expected, found } => {
                json!({ "expected": expected.to_string(), "found": found.to_string() })
            }
            Self::AlgorithmNotAnnounced { size } => json!({ "size": size }),
            Self::UploadTooLarge { limit } => json!({ "limit": limit }),
            Self::OverQuota(over) => json!({
                "repositories": over.pattern.as_str(),
                "counted": over.counted.as_str(),
                "limit": over.limit,
                "used": over.used,
                "reserved": over.reserved,
                "needed": over.needed,
            }),
            Self::SizeInvalid { digest, stated, actual } => {
                json!({ "digest": digest.to_string(), "stated": stated, "actual": actual })
            }
            Self::TargetsUnknown(missing) => {
                json!(missing.iter().map(|digest| json!({ "digest": digest.to_string() })).collect::<Vec<_>>())
            }
            Self::InUse { digest, parent } => json!({ "digest": digest.to_string(), "parent": parent.to_string() }),
            Self::PreconditionFailed { current } => {
                json!({ "current": current.map(|digest| digest.to_string()) })
            }
            Self::NoRoomToCopy { needed, available, .. } => json!({ "needed": needed, "available": available }),
            Self::TooMuchWrong { bad, looked_at } => json!({ "bad": bad, "looked_at": looked_at }),
            Self::Refused(told) => json!({ "rules": told.iter().map(said).collect::<Vec<_>>() }),
            Self::PolicyInvalid(problems) | Self::RulesInvalid(problems) => {
                json!(problems.0.iter().map(told).collect::<Vec<_>>())
            }
            Self::PolicyUnknown(pattern) | Self::RulesUnknown(pattern) => json!({ "pattern": pattern.as_str() }),
            Self::NoPolicy(name) => json!({ "name": name.as_str() }),
            Self::PolicyPaused(why) => json!({ "reason": why }),
            Self::TagKept(tag) => json!({ "tag": tag.as_str() }),
            Self::Promotion(refusal) => refusal.detail(),
            Self::Denied
            | Self::TooManyPolicies(_)
            | Self::TooManyRules(_)
            | Self::UploadUnknown(_)
            | Self::ManifestInvalid(_)
            | Self::ReadOnly
            | Self::StorageFull
            | Self::CatalogBehind
            | Self::TakingOver
            | Self::NoTree
            | Self::NotTakenOver
            | Self::TreeUnreadable(_)
            | Self::BackupRefused(_)
            | Self::BackupFailed(_)
            | Self::StrangeStore(_)
            | Self::Store(_)
            | Self::Catalog(_)
            | Self::Internal(_) => Value::Null,
        }
    }
}

fn said(told: &Told) -> Value {
    let tag = told.tag.as_ref().map(ToString::to_string);
    let pattern = told.pattern.as_ref().map(ToString::to_string);
    json!({ "rule": told.rule, "pattern": pattern, "tag": tag, "why": told.why, "instead": told.instead })
}

fn told(problem: &Problem) -> Value {
    let (line, column) = problem.place.unzip();
    json!({ "rule": problem.rule, "field": problem.field, "message": problem.message, "line": line, "column": column })
}

/// An error with its causes, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl From<blobs::Error> for Error {
    fn from(error: blobs::Error) -> Self {
        let full = error.is_full();
        match error {
            blobs::Error::Full(source) | blobs::Error::SyncFailed(source) if full => {
                tracing::warn!(error = %source, "the store is full");
                Self::StorageFull
            }
            blobs::Error::DigestMismatch { expected, found } => {
                Self::DigestMismatch { expected: *expected, found: *found }
            }
            blobs::Error::AlgorithmNotAnnounced { size } => Self::AlgorithmNotAnnounced { size },
            blobs::Error::UploadLost(id) => Self::UploadUnknown(id),
            other => Self::Store(other),
        }
    }
}

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Self {
        match error {
            catalog::Error::Full => Self::StorageFull,
            catalog::Error::ReadOnly => Self::ReadOnly,
            other => Self::Catalog(other),
        }
    }
}
