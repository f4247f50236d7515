//! What a search finds beside the names of repositories.

use larder_oci::{Digest, RepositoryName, Tag};

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// Tags that begin so.
    Tag(String),
    /// Manifests whose digests lie between these two, both included.
    Digest(Digest, Digest),
    /// Manifests with a label or an annotation.
    Said {
        /// Its name; any without one.
        name: Option<String>,
        /// How its value begins; the case of ASCII letters does not count.
        value: String,
    },
}

/// Which images are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSearch {
    /// Each of these stands in the repository's name.
    pub words: Vec<String>,
    /// What of the image.
    pub sought: Sought,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundImage {
    /// Where.
    pub repository: RepositoryName,
    /// The manifest.
    pub digest: Digest,
    /// The tag, where tags were looked for.
    pub tag: Option<Tag>,
    /// Name and value of the label or the annotation, where these were looked for; the value in lower case and cut.
    pub said: Option<(String, String)>,
}

/// A page of what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundImages {
    /// At most the limit that was asked for; fewer, or none, where many that do not fit lie between.
    pub items: Vec<FoundImage>,
    /// Where to go on, while not everything was looked at.
    pub next: Option<String>,
}
