//! Rows for what another registry's tree holds: many in one transaction, and lenient where a push is strict, because what stands there was
//! accepted once and is reported, not refused (behaviour §7, "Import in place").

mod blobs;
mod manifests;
mod runs;
mod tags;
mod unverified;

use jiff::Timestamp;
use larder_oci::{Digest, Tag};

pub use self::runs::ImportRow;
pub(crate) use self::runs::has_session;

/// How tags of an import move, for their history.
pub const HOW: &str = "import";

/// A blob that a repository of the tree holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportBlob {
    /// Its digest.
    pub digest: Digest,
    /// Key and length of the object that was taken over for it; `None` where the catalog was said to have it already.
    pub object: Option<(String, u64)>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportedBlob {
    /// The repository holds it.
    Member {
        /// Whether it did not before.
        new: bool,
        /// Whether the object that was given is the live one now.
        made: bool,
        /// The key that is live: another one than was given when somebody was faster.
        key: String,
    },
    /// There is no live blob of this digest, and no object was given.
    Absent,
}

/// What a repository and the catalog know of a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownDigest {
    /// Length in bytes of the live blob, if there is one.
    pub live: Option<u64>,
    /// Whether the repository holds it.
    pub member: bool,
    /// Whether the repository has a manifest of this digest.
    pub manifest: bool,
}

/// What became of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedManifest {
    /// Whether it was new in its repository.
    pub created: bool,
    /// Required targets that are absent.
    pub missing: Vec<Digest>,
    /// Targets that have another size than it states: which, stated, stored.
    pub false_sizes: Vec<(Digest, u64, u64)>,
}

/// A tag of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportTag {
    /// Its name.
    pub tag: Tag,
    /// Where it points.
    pub digest: Digest,
    /// When it was written there.
    pub at: Timestamp,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportedTag {
    /// It points there already.
    Same,
    /// It points there now.
    Set {
        /// Where it pointed.
        from: Option<Digest>,
    },
    /// The repository has no such manifest.
    NoManifest,
    /// It was moved or removed here since, and that stays.
    Kept {
        /// Where it points.
        current: Option<Digest>,
    },
}
