//! Taking over files that another program wrote, in place of an upload (behaviour §7, "Import in place").

use std::path::PathBuf;

use larder_oci::{Digest, UploadId};

use crate::{BlobKey, Error};

/// A file outside the store that is to become an object. It is read, or gets a second name; it is never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Where it is.
    pub path: PathBuf,
    /// What its name claims it to be. Nobody checks that here.
    pub digest: Digest,
    /// The session that takes it over: part of its key, which no other session can have (**Invariant 1**).
    pub upload: UploadId,
}

/// How bytes came into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arrival {
    /// The object is a second name of the same file.
    Link,
    /// The object shares its blocks with the file, as long as neither is changed.
    Reflink,
    /// The bytes were read and written.
    Copy,
}

impl Arrival {
    /// In one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Reflink => "reflink",
            Self::Copy => "copy",
        }
    }
}

/// An object that came from a file. Its bytes are durable and **unverified**: whoever adopts has to hash them before he relies on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Where it is.
    pub key: BlobKey,
    /// Length in bytes.
    pub size: u64,
    /// How it came.
    pub arrival: Arrival,
}

/// What became of one file.
#[derive(Debug)]
pub enum Adoption {
    /// It is an object now.
    Done(Adopted),
    /// Nothing stands at its path.
    Absent,
    /// Something else than a regular file does.
    NotAFile,
    /// It would have to be copied, and that was not allowed.
    NeedsCopy {
        /// Length in bytes.
        size: u64,
        /// Why it cannot be linked.
        why: String,
    },
    /// It could not be read or taken; no verdict about its bytes.
    Failed(Error),
}
