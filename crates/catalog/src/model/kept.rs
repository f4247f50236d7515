//! Why bytes are kept, as values.

use larder_oci::RepositoryName;

/// Why the bytes of an object are kept; the strongest reason is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// An image with a tag names it, or a part of such an index.
    Tag,
    /// Something that refers to an image names it: a signature, an attestation.
    Referrer,
    /// Only a build's cache names it.
    Cache,
    /// Only images without a tag name it: what tags pointed to.
    History,
    /// Only what was deleted names it.
    Trash,
    /// No manifest names it: a lease keeps it for a push, or it waits for the sweep.
    Lease,
    /// It was replaced or condemned.
    Leaving,
    /// It was set aside because it is wrong.
    Quarantined,
}

/// An object, and what keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptObject {
    /// Why.
    pub why: Kept,
    /// How many repositories hold it: none, one, or more, which is 2.
    pub holders: u64,
}

/// What a repository holds, each number with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBytes {
    /// The repository.
    pub repository: RepositoryName,
    /// Blobs that no other repository holds.
    pub own: (u64, u64),
    /// Blobs that others hold too.
    pub shared: (u64, u64),
}
