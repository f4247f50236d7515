//! Values about lifecycle policies. What a policy's text means is not known here.

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryPattern, Tag};

/// A policy as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRow {
    /// The repositories that it is for: one name, or a pattern.
    pub pattern: RepositoryPattern,
    /// Its text, as it was given.
    pub text: String,
    /// When it was set.
    pub set: Timestamp,
    /// Who set it.
    pub set_by: String,
}

/// An image as a policy needs it. Digests have numbers, which stand for them in the other rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRow {
    /// Its digest's number: the keyset.
    pub id: i64,
    /// Its digest.
    pub digest: Digest,
    /// When it was first pushed.
    pub pushed: Timestamp,
    /// When it was last pushed again, or asked for by one who may push.
    pub renewed: Option<Timestamp>,
    /// When it was last pulled.
    pub pulled: Option<Timestamp>,
    /// Bytes of the manifest.
    pub size: u64,
    /// Its subject's number.
    pub subject: Option<i64>,
    /// Whether another repository has it too.
    pub elsewhere: bool,
}

/// A tag of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageTag {
    /// The tag: the keyset.
    pub name: Tag,
    /// The image's number.
    pub image: i64,
}

/// What an image names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImagePart {
    /// The image's number, and with the next the keyset.
    pub image: i64,
    /// The number of what it names: a blob, or an image.
    pub child: i64,
}

/// A blob that a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBlob {
    /// Its digest's number: the keyset.
    pub id: i64,
    /// Its length in bytes.
    pub size: u64,
    /// Whether another repository holds it too.
    pub elsewhere: bool,
}

/// An image that a policy lets go, as the policy saw it: whatever changed since keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiringImage {
    /// Its digest.
    pub digest: Digest,
    /// All its tags, in order.
    pub tags: Vec<Tag>,
    /// As in [`ImageRow`].
    pub renewed: Option<Timestamp>,
    /// As in [`ImageRow`].
    pub pulled: Option<Timestamp>,
    /// What it refers to and goes with: it stays if that stays.
    pub follows: Option<Digest>,
}

/// What is known of a repository's policy beside its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyState {
    /// The policy that was last shown, by its hash, and how many images were to go.
    pub previewed: Option<(String, u64)>,
    /// Why it is paused, and since when.
    pub paused: Option<(String, Timestamp)>,
}

/// A run of a policy that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRun {
    /// Counts up.
    pub id: i64,
    /// Who ran it.
    pub identity: String,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub finished: Timestamp,
    /// JSON; its shape is the domain's.
    pub report: String,
}
