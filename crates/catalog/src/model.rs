//! Plain values that go into and come out of the catalog.

pub mod access;
mod history;
mod kept;
pub mod policy;
pub mod promotion;
mod quota;
pub mod rules;
mod search;
pub mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use larder_oci::{Algorithm, Digest, EdgeKind, RepositoryName, RepositoryPattern, Tag, UploadId};

pub use self::history::{
    Purge, PurgeOutcome, RepositoryUndelete, RollbackOutcome, RollbackTo, TagListing, TagOrder, TagRows, TagThen,
    TrashRow, UndeleteOutcome,
};
pub use self::kept::{HeldBytes, Kept, KeptObject};
pub use self::quota::{Counted, NewQuota, OverQuota, Quota, Reserved};
pub use self::search::{FoundImage, FoundImages, ImageSearch, Sought};

/// Who and when: part of every change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The identity's stable name.
    pub identity: String,
    /// The time, from the domain's clock.
    pub at: Timestamp,
    /// The request that caused it, for history and audit.
    pub request_id: Option<String>,
    /// With what and from where, for the audit.
    pub origin: Origin,
}

/// With what a request proved who it is, and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The credential's id, never the credential: `password`, `token:ID`.
    pub credential: Option<String>,
    /// The peer's address.
    pub address: Option<String>,
}

/// Ties the catalog to its store (**Invariant 14**).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogIdentity {
    /// The id that store and catalog share; made with the catalog.
    pub store_id: String,
    /// Counts up, hourly and at each start; a restored catalog is recognised by being behind its store.
    pub generation: u64,
}

/// A page of a keyset-paginated list (**Invariant 10**).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// At most the limit that was asked for.
    pub items: Vec<T>,
    /// Whether more follow.
    pub more: bool,
}

/// Which repositories a list may show: what somebody's grants come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositoryFilter {
    /// All of them.
    All,
    /// Those that are allowed and not denied.
    Visible {
        /// Names that may be seen.
        allow: Vec<RepositoryPattern>,
        /// Names that may not be, whatever allows them.
        deny: Vec<RepositoryPattern>,
        /// Whether public repositories may be seen without being allowed by name.
        public: bool,
    },
}

impl RepositoryFilter {
    /// Whether this repository may be shown; `is_public` says whether it is a public one.
    pub fn allows(&self, name: &RepositoryName, is_public: bool) -> bool {
        match self {
            Self::All => true,
            Self::Visible { allow, deny, public } => {
                let any = |patterns: &[RepositoryPattern]| patterns.iter().any(|pattern| pattern.matches(name));
                ((*public && is_public) || any(allow)) && !any(deny)
            }
        }
    }
}

/// An upload session's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Its id.
    pub id: UploadId,
    /// The repository it belongs to; its URL works in no other.
    pub repository: RepositoryName,
    /// Who opened it.
    pub identity: String,
    /// The algorithm that is hashed while bytes stream.
    pub algorithm: Algorithm,
    /// Durable bytes.
    pub offset: u64,
    /// The hash's state there; empty at 0.
    pub hash_state: Vec<u8>,
    /// When it was opened.
    pub started: Timestamp,
    /// When bytes last arrived.
    pub touched: Timestamp,
}

/// Where a live blob is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// The store's key.
    pub key: String,
    /// Length in bytes.
    pub size: u64,
}

/// A live blob as its repository sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberBlob {
    /// The blob.
    pub blob: Blob,
    /// Whether somebody hashed its bytes since they are here; not so yet for what was taken over from another registry's tree.
    pub verified: bool,
    /// Whether a manifest of this repository names it. One without an edge needs a lease before a pusher may rely on it.
    pub has_edge: bool,
    /// Until when the asking identity's lease holds, if it has one.
    pub leased_until: Option<Timestamp>,
}

/// A verified blob that is to become live. One transaction: blob, membership, lease; the session's row goes with it (**Invariant 2**).
#[derive(Clone, Debug)]
pub struct CommitBlob {
    /// The session that wrote it.
    pub upload: UploadId,
    /// The repository.
    pub repository: RepositoryName,
    /// The blob. A live one of the same digest is superseded: its key is queued for `supersede_review`.
    pub blob: Blob,
    /// The lease's end.
    pub lease_until: Timestamp,
    /// When a superseded key may go (readers may hold it).
    pub supersede_review: Timestamp,
    /// Who and when.
    pub stamp: Stamp,
}

/// Where a mount takes its blob from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// This repository.
    Repository(RepositoryName),
    /// Any of these repositories' members; `All` needs no look at names. The newest `limit` memberships are looked at.
    Any {
        /// Which repositories the credential may pull.
        filter: RepositoryFilter,
        /// How many memberships to look at.
        limit: usize,
    },
}

/// What a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEdge {
    /// How.
    pub kind: EdgeKind,
    /// What.
    pub child: Digest,
    /// The size that the manifest states.
    pub size: u64,
    /// Whether it must be there (subjects and layers with `urls` need not).
    pub required: bool,
}

/// What to do about required targets that are absent (`push.sparse`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sparse {
    /// Take the manifest, say nothing, mark it incomplete.
    Accept,
    /// Take it, mark it incomplete, name what is missing.
    Warn,
    /// Refuse it.
    Refuse,
}

/// A condition on the tag that a push moves (`If-Match`, `If-None-Match: *`), decided inside the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// None.
    Any,
    /// The reference must be one of these digests now.
    IfMatch(Vec<Digest>),
    /// The reference must not exist yet.
    IfAbsent,
}

/// A manifest push: one transaction for bytes, edges, tags, history, events and jobs (**Invariant 3**).
#[derive(Clone, Debug)]
pub struct PutManifest {
    /// The repository; made if absent.
    pub repository: RepositoryName,
    /// The manifest's digest, in the algorithm it was pushed with (**Invariant 7**).
    pub digest: Digest,
    /// As pushed.
    pub media_type: String,
    /// For the referrers list.
    pub artifact_type: Option<String>,
    /// The manifest that this one refers to.
    pub subject: Option<Digest>,
    /// JSON object of annotations, or `None` when there are none.
    pub annotations: Option<String>,
    /// JSON object of the labels that tell where the image comes from, or `None` when nobody looked.
    pub labels: Option<String>,
    /// Byte for byte (**Invariant 8**).
    pub bytes: Bytes,
    /// What it names.
    pub edges: Vec<NewEdge>,
    /// The tags that point to it from now on.
    pub tags: Vec<Tag>,
    /// How tags move, for the history: `push`, `retag`, …
    pub how: &'static str,
    /// Looked at for the first tag, or for the digest itself when there is none.
    pub condition: Condition,
    /// Whether tags that point elsewhere stay where they are, and the push is refused.
    pub keep_tags: bool,
    /// About absent targets.
    pub sparse: Sparse,
    /// A target that was taken from this repository after this time is always refused.
    pub taken_since: Timestamp,
    /// Who and when.
    pub stamp: Stamp,
    /// Follow-up work, queued in the same transaction.
    pub jobs: Vec<NewJob>,
    /// Who decides about it, where there are rules.
    pub door: Option<Arc<dyn rules::Door>>,
}

/// What became of a tag that was to be new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddTag {
    /// It points there now.
    Added,
    /// It points elsewhere, and stays.
    Kept,
    /// The repository has no such manifest.
    Absent,
}

/// What became of a manifest push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutManifestOutcome {
    /// It is stored.
    Stored {
        /// Whether the manifest was new in this repository.
        created: bool,
        /// Required targets that are absent.
        missing: Vec<Digest>,
        /// Tags that point elsewhere than before, with where they pointed.
        moved: Vec<(Tag, Option<Digest>)>,
    },
    /// This tag points elsewhere, and stays.
    TagKept(Tag),
    /// It is stored as above, and rules had something to say or to move.
    Judged {
        /// Required targets that are absent.
        missing: Vec<Digest>,
        /// What they said and moved.
        judgement: rules::Judgement,
    },
    /// Rules refuse it.
    Refused(Vec<rules::Told>),
    /// A member blob or manifest of this repository has another size than the manifest states.
    SizeMismatch {
        /// Which.
        child: Digest,
        /// What the manifest states, in bytes.
        stated: u64,
        /// What is stored, in bytes.
        actual: u64,
    },
    /// Required targets are absent and the push is refused.
    Missing(Vec<Digest>),
    /// The condition does not hold; what the reference is now.
    ConditionFailed(Option<Digest>),
    /// It is more than the repository may hold.
    OverQuota(OverQuota),
}

/// A manifest as a pull needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its digest, in the algorithm it was pushed with.
    pub digest: Digest,
    /// As pushed.
    pub media_type: String,
    /// Length in bytes.
    pub size: u64,
    /// Byte for byte; `None` when only the head was asked for.
    pub bytes: Option<Bytes>,
    /// Whether required targets were absent at the push.
    pub incomplete: bool,
}

/// A row of the referrers list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// The referring manifest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its artifact type.
    pub artifact_type: Option<String>,
    /// Its length in bytes.
    pub size: u64,
    /// JSON object of annotations.
    pub annotations: Option<String>,
}

/// What became of a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// Gone for every reader from now on.
    Deleted,
    /// It was not there.
    Absent,
    /// A live manifest of the repository names it.
    InUse {
        /// That manifest.
        parent: Digest,
    },
}

/// A tag with its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRow {
    /// Its name.
    pub name: Tag,
    /// Where it points.
    pub digest: Digest,
    /// The manifest's media type.
    pub media_type: String,
    /// Bytes of the manifest and of what it names directly (config and layers, or children manifests), as stated by its descriptors.
    pub size: u64,
    /// When it last moved.
    pub updated: Timestamp,
    /// Whether required targets of the manifest were absent at its push.
    pub incomplete: bool,
    /// JSON object of the labels that tell where the image comes from.
    pub labels: Option<String>,
}

/// One change of a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagEvent {
    /// Counts up.
    pub id: i64,
    /// The tag.
    pub name: Tag,
    /// Where it pointed.
    pub from: Option<Digest>,
    /// Where it points; `None` for a delete.
    pub to: Option<Digest>,
    /// `push`, `retag`, `rollback`, `delete`, …
    pub how: String,
    /// Who and when.
    pub stamp: Stamp,
    /// JSON object of the labels that the image had to which it moved.
    pub labels: Option<String>,
}

/// What a repository holds, for lists and pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositorySummary {
    /// Its name.
    pub name: RepositoryName,
    /// When it was made.
    pub created: Timestamp,
    /// Number of tags.
    pub tags: u64,
    /// Number of manifests.
    pub manifests: u64,
    /// Of these, manifests whose required targets were absent at their push.
    pub incomplete: u64,
    /// Bytes of its member blobs and manifests.
    pub size: u64,
    /// Whether everybody may pull it.
    pub public: bool,
    /// What its owners say about it; may be empty.
    pub description: String,
}

/// Tags, manifests and blobs that an outline counts at most.
pub const COUNTED: usize = 10_000;

/// What a repository holds, as far as counting is cheap: for pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryOutline {
    /// Its name.
    pub name: RepositoryName,
    /// When it was made.
    pub created: Timestamp,
    /// Whether everybody may pull it.
    pub public: bool,
    /// What its owners say about it; may be empty.
    pub description: String,
    /// Number of tags; [`COUNTED`] stands for that many or more.
    pub tags: u64,
    /// Number of manifests, likewise.
    pub manifests: u64,
    /// Bytes of its blobs and manifests; `None` where there are too many to add up.
    pub size: Option<u64>,
    /// When a tag last moved.
    pub changed: Option<Timestamp>,
}

/// Which repositories are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositorySearch {
    /// Each of these stands in the name.
    pub words: Vec<String>,
    /// Only public ones, or only private ones.
    pub public: Option<bool>,
}

impl RepositorySearch {
    /// Whether every repository is found.
    pub fn finds_all(&self) -> bool {
        self.words.is_empty() && self.public.is_none()
    }
}

/// A page of repositories that a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundRepositories {
    /// At most the limit that was asked for.
    pub items: Vec<RepositoryOutline>,
    /// After which name to go on, where there are names that were not looked at yet.
    pub next: Option<String>,
}

/// What is known of a manifest without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestFacts {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its artifact type.
    pub artifact_type: Option<String>,
    /// Its own length in bytes.
    pub size: u64,
    /// Bytes of the manifest and of all that it names, of an index through its entries, as stated by descriptors.
    pub content: u64,
    /// When it was pushed first.
    pub pushed: Timestamp,
    /// Who pushed it first.
    pub pushed_by: String,
    /// When it was pulled last.
    pub pulled: Option<Timestamp>,
    /// Whether required targets were absent at its push.
    pub incomplete: bool,
}

/// A tag and what it points to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaggedManifest {
    /// Its name.
    pub name: Tag,
    /// When it last moved.
    pub updated: Timestamp,
    /// The manifest.
    pub manifest: ManifestFacts,
}

/// Follow-up work (a scan, a replication, a notification); its handler lives in the program, its payload's shape in the domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// What kind.
    pub kind: String,
    /// JSON.
    pub payload: String,
    /// Not before this time.
    pub run_after: Timestamp,
}

/// A job that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: i64,
    /// What kind.
    pub kind: String,
    /// JSON.
    pub payload: String,
    /// How often it was tried, this time included.
    pub attempts: u32,
}

/// An event of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts up, in commit order.
    pub id: i64,
    /// `manifest.pushed`, `tag.moved`, `tag.deleted`, `manifest.deleted`, `manifest.undeleted`, `trash.purged`, `blob.deleted`, `repository.created`, `repository.changed`, `repository.deleted`, `blob.quarantined`;
    /// and of rights `user.created`, `grant.added`, `token.revoked`, ….
    pub kind: String,
    /// The repository, where it concerns one.
    pub repository: Option<RepositoryName>,
    /// JSON.
    pub payload: String,
    /// Who and when.
    pub stamp: Stamp,
}

/// What a look at the sweep queue did, in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepBatch {
    /// Queue rows that were looked at.
    pub reviewed: u64,
    /// Kept, because an edge or a lease holds them (those with a lease were queued again for its end).
    pub kept: u64,
    /// Memberships removed.
    pub memberships_removed: u64,
    /// Rows now marked `deleting`: their bytes may go, then [`forget_blob`](crate::Catalog::forget_blob).
    pub condemned: Vec<Blob>,
}

/// A blob row as verification walks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRow {
    /// The row's id: the keyset.
    pub id: i64,
    /// The blob.
    pub blob: Blob,
    /// Its state.
    pub state: BlobState,
}

/// The life of a blob row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobState {
    /// Served.
    Live,
    /// Replaced by a newer upload of the same digest; readers may still hold it.
    Superseded,
    /// Condemned: its bytes are being removed.
    Deleting,
    /// Found wrong: not served, kept aside.
    Quarantined,
}

/// A tag that a damaged object affects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedTag {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag, or `None` for an untagged manifest.
    pub tag: Option<Tag>,
    /// The manifest that names the object, directly or through an index.
    pub manifest: Digest,
}

/// `repository:tag`, or `repository@digest` where no tag names it.
impl std::fmt::Display for AffectedTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.tag {
            Some(tag) => write!(f, "{}:{tag}", self.repository),
            None => write!(f, "{}@{}", self.repository, self.manifest),
        }
    }
}

/// Where the bytes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageTotals {
    /// Live blobs: number and bytes.
    pub live: (u64, u64),
    /// Superseded and condemned blobs that still have bytes.
    pub leaving: (u64, u64),
    /// Quarantined blobs.
    pub quarantined: (u64, u64),
    /// Manifests, stored in the catalog.
    pub manifests: (u64, u64),
    /// Live blobs that no manifest names (kept by a lease, or waiting for the sweep).
    pub unreferenced: (u64, u64),
    /// Of the live ones, blobs that only the trash holds.
    pub trash: (u64, u64),
    /// Open sessions and their durable bytes.
    pub uploads: (u64, u64),
    /// Sweep queue rows, and those overdue.
    pub queue: (u64, u64),
}

/// How the catalog is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Refuse writes.
    pub read_only: bool,
    /// How many units of work one commit may hold (SQLite).
    pub group: usize,
    /// How long a statement may wait for a lock.
    pub busy_timeout: Duration,
    /// Bytes of the reserve beside a SQLite catalog, given back to the disk when it is full; 0 for none.
    pub ballast: u64,
    /// Connections to PostgreSQL.
    pub connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { read_only: false, group: 256, busy_timeout: Duration::from_secs(10), ballast: 64 << 20, connections: 16 }
    }
}
