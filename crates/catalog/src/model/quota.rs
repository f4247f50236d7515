//! Quotas as values.

use std::fmt;

use jiff::Timestamp;
use larder_oci::RepositoryPattern;

/// What the repositories of a pattern may hold together, and do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Counts up.
    pub id: i64,
    /// The repositories.
    pub pattern: RepositoryPattern,
    /// Bytes of blobs and manifests that they may hold: a blob in each repository that has it.
    pub bytes: Option<u64>,
    /// Manifests that they may hold.
    pub manifests: Option<u64>,
    /// Bytes that they hold, of live content alone.
    pub used_bytes: u64,
    /// Bytes that open uploads keep free for themselves.
    pub reserved_bytes: u64,
    /// Manifests that they hold.
    pub used_manifests: u64,
    /// When it was last set.
    pub changed: Timestamp,
    /// Who set it.
    pub changed_by: String,
}

/// A quota to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewQuota {
    /// The repositories.
    pub pattern: RepositoryPattern,
    /// Bytes that they may hold.
    pub bytes: Option<u64>,
    /// Manifests that they may hold.
    pub manifests: Option<u64>,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Bytes of blobs and manifests.
    Bytes,
    /// Manifests.
    Manifests,
}

impl Counted {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Manifests => "manifests",
        }
    }
}

/// More than a quota allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverQuota {
    /// The quota's repositories.
    pub pattern: RepositoryPattern,
    /// What it is about.
    pub counted: Counted,
    /// What they may hold.
    pub limit: u64,
    /// What they hold.
    pub used: u64,
    /// What open uploads have reserved.
    pub reserved: u64,
    /// What was wanted beside that.
    pub needed: u64,
}

impl fmt::Display for OverQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pattern, counted, limit, used, reserved, needed } = self;
        let counted = counted.as_str();
        write!(f, "over the quota of {pattern}: {used} of {limit} {counted} are used")?;
        if *reserved > 0 {
            write!(f, ", {reserved} more are reserved by open uploads")?;
        }
        write!(f, ", and this needs {needed}")
    }
}

/// What became of a wish to reserve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// No quota is over the repository.
    NoQuota,
    /// So many bytes are reserved, from the upload's beginning.
    Bytes(u64),
    /// There is no room.
    Over(OverQuota),
    /// The session is gone.
    Gone,
}
