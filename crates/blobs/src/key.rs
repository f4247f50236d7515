//! The opaque key of a stored object.

use std::fmt;

use larder_oci::UploadId;

/// Names one stored object for its whole life.
///
/// **Invariant 1**: a key is written once and never reused; it carries the id of the upload session that wrote it, so deleting an
/// old key can never harm a newer upload of the same digest. Other crates store it as text and hand it back unread.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobKey(String);

impl BlobKey {
    /// Takes back a key that a store returned earlier, for instance from the catalog's row.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to keep.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The session that wrote the object, where its key says so.
    pub fn upload(&self) -> Option<UploadId> {
        let (_digest, upload) = self.0.rsplit('/').next()?.split_once('-')?;
        upload.parse().ok()
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
