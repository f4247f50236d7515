//! Values about tags in their order and in time, and about the trash.

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryName, Tag, TagForm, TagKind, VersionRange};

use super::TagRow;

/// In which order a list of tags comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TagOrder {
    /// By their bytes, ascending.
    #[default]
    Name,
    /// The newest version first, then what is no version.
    Version,
    /// The last moved first.
    Time,
}

/// Which tags a list shows, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagListing {
    /// The order.
    pub order: TagOrder,
    /// Tags of this kind alone.
    pub kind: Option<TagKind>,
    /// Versions and builds in this range alone.
    pub range: Option<VersionRange>,
}

impl TagListing {
    /// Whether it leaves something out.
    pub fn is_partial(&self) -> bool {
        self.kind.is_some() || self.range.is_some()
    }

    /// Whether a tag is shown.
    pub fn shows(&self, tag: &Tag) -> bool {
        let form = TagForm::of(tag);
        self.kind.is_none_or(|kind| form.kind() == kind)
            && self.range.as_ref().is_none_or(|range| range.matches_form(&form))
    }
}

/// A page of tags. A page of a partial list may be short or empty while more follow: it looked at as many tags as a page may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRows {
    /// At most the limit that was asked for.
    pub items: Vec<TagRow>,
    /// After what the next page begins; `None` when nothing follows.
    pub next: Option<String>,
}

/// Where a tag pointed at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagThen {
    /// To this manifest.
    At(Digest),
    /// It was not there.
    Absent,
    /// The history does not reach back so far; it begins with this change.
    Forgotten {
        /// The time of the oldest change that is kept.
        since: Timestamp,
    },
}

/// To what a tag goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackTo {
    /// What it pointed to so many changes ago.
    Changes(u32),
    /// This manifest, which it pointed to once.
    Digest(Digest),
    /// What it pointed to at this time.
    Time(Timestamp),
}

/// What became of a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackOutcome {
    /// The tag points there again; or would, where it was only asked.
    Moved {
        /// Where it pointed.
        from: Option<Digest>,
        /// Where it points.
        to: Digest,
    },
    /// It points there already.
    Same(Digest),
    /// The history knows no such state of the tag.
    Unknown,
    /// The manifest of that time is gone.
    Gone(Digest),
}

/// What became of an undelete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndeleteOutcome {
    /// It is there again.
    Restored {
        /// The manifest.
        digest: Digest,
        /// The tags that point to it again.
        tags: Vec<Tag>,
    },
    /// The name is in use.
    InUse,
    /// Nothing of the name was deleted, as far as history and trash know.
    Unknown,
    /// The tag's deletion is known, and the manifest is gone for good.
    Gone(Digest),
}

/// What became of the undelete of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepositoryUndelete {
    /// It is there again, with so many manifests.
    Restored {
        /// How many.
        manifests: u64,
    },
    /// A repository of the name is there.
    InUse,
    /// The trash holds none of the name.
    Unknown,
}

/// A manifest in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashRow {
    /// Counts up: the keyset.
    pub id: i64,
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Bytes of the manifest and of what it names directly.
    pub size: u64,
    /// The tags that pointed to it.
    pub tags: Vec<Tag>,
    /// Whether it went with its whole repository.
    pub whole: bool,
    /// When it was deleted.
    pub deleted: Timestamp,
    /// By whom.
    pub deleted_by: String,
    /// Until when it can be brought back.
    pub until: Timestamp,
}

/// What is to be gone at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// A manifest, live or in the trash.
    Manifest(RepositoryName, Digest),
    /// All of the trash under a repository's name, and removed repositories of that name.
    Trash(RepositoryName),
}

/// What became of a purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurgeOutcome {
    /// So many manifests are gone for good.
    Purged {
        /// How many.
        manifests: u64,
        /// Until when leases keep some of their blobs.
        held_until: Option<Timestamp>,
    },
    /// A live index names it.
    InUse {
        /// The manifest.
        digest: Digest,
        /// That index.
        parent: Digest,
    },
}
