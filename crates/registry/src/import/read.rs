//! Manifests out of the tree: read, hashed, parsed. Blocking.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _};

use bytes::Bytes;
use larder_blobs::hash::Hasher;
use larder_catalog::import::HOW;
use larder_catalog::model::{Condition, PutManifest, Sparse, Stamp};
use larder_oci::{Digest, ManifestError, ManifestKind, ParsedManifest, RepositoryName};

use super::report::BrokenKind;
use super::tree::{Flaw, Link, Tree};
use crate::push::{annotations_of, edges_of};

/// The longest manifest that is read. Registries take 4 MiB; what is longer was never pullable by any client.
const LONGEST: u64 = 16 << 20;
/// Bytes of manifests that are in memory at once, beyond the first (**Invariant 9**).
const AT_ONCE: usize = 8 << 20;
/// Manifests that are stored in one transaction.
const MANIFESTS: usize = 200;

/// Manifests ready to be stored, and what cannot be.
#[derive(Default)]
pub(super) struct ReadBatch {
    pub manifests: Vec<(Link, PutManifest)>,
    /// Indexes, which come after their children.
    pub indexes: Vec<Link>,
    pub flaws: Vec<Flaw>,
}

/// What an index says for the order in which it is stored.
pub(super) struct Index {
    pub link: Link,
    pub children: Vec<Digest>,
    pub manifest: PutManifest,
}

/// Takes manifests from the front of `links` until they are enough for a transaction.
pub(super) fn read_batch(
    tree: &Tree,
    repository: &RepositoryName,
    links: &mut VecDeque<Link>,
    stamp: &Stamp,
) -> ReadBatch {
    let (mut batch, mut size) = (ReadBatch::default(), 0);
    while batch.manifests.len() < MANIFESTS && size < AT_ONCE {
        let Some(link) = links.pop_front() else { break };
        match read(tree, repository, &link, stamp) {
            Ok((parsed, _)) if parsed.kind == ManifestKind::Index => batch.indexes.push(link),
            Ok((_, manifest)) => {
                size += manifest.bytes.len();
                batch.manifests.push((link, manifest));
            }
            Err(flaw) => batch.flaws.push(flaw),
        }
    }
    batch
}

/// An index with its children.
pub(super) fn read_index(tree: &Tree, repository: &RepositoryName, link: Link, stamp: &Stamp) -> Result<Index, Flaw> {
    let (parsed, manifest) = read(tree, repository, &link, stamp)?;
    let children = parsed.manifests.iter().map(|child| child.digest).collect();
    Ok(Index { link, children, manifest })
}

/// What a manifest says about itself, without a look at where it is linked.
pub(super) fn parse(tree: &Tree, digest: &Digest, target: &Digest) -> Result<(ParsedManifest, Bytes), Flaw> {
    let shown = digest.to_string();
    let bytes = match bytes_of(tree, target) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Flaw::new(BrokenKind::MissingBlob, shown, "a manifest whose bytes are not there"));
        }
        Err(error) => return Err(Flaw::unreadable(shown, &error)),
    };
    if bytes.len() as u64 > LONGEST {
        return Err(Flaw::new(BrokenKind::InvalidManifest, shown, "longer than 16 MiB"));
    }
    let mut hasher = Hasher::new(digest.algorithm());
    hasher.update(&bytes);
    let found = hasher.finish();
    if found != *digest {
        let why = format!("a manifest of {} bytes that hash to {found}", bytes.len());
        return Err(Flaw::new(BrokenKind::WrongHash, shown, why));
    }
    match ParsedManifest::parse(&bytes, None) {
        Ok(parsed) => Ok((parsed, bytes)),
        Err(error @ ManifestError::SchemaOne) => Err(Flaw::new(BrokenKind::SchemaOne, shown, error.to_string())),
        Err(error) => Err(Flaw::new(BrokenKind::InvalidManifest, shown, error.to_string())),
    }
}

fn read(
    tree: &Tree,
    repository: &RepositoryName,
    link: &Link,
    stamp: &Stamp,
) -> Result<(ParsedManifest, PutManifest), Flaw> {
    let (parsed, bytes) = parse(tree, &link.digest, &link.target)?;
    let manifest = PutManifest {
        repository: repository.clone(),
        digest: link.digest,
        media_type: parsed.media_type.clone(),
        artifact_type: parsed.artifact_type.clone(),
        subject: parsed.subject.as_ref().map(|subject| subject.digest),
        annotations: annotations_of(&parsed),
        labels: None,
        bytes,
        edges: edges_of(&parsed),
        tags: Vec::new(),
        how: HOW,
        condition: Condition::Any,
        keep_tags: false,
        sparse: Sparse::Accept,
        // What the sweep took from here plays no part: the tree says that it is there.
        taken_since: jiff::Timestamp::MAX,
        // As old as it is: policies count from there.
        stamp: Stamp { at: link.written, ..stamp.clone() },
        jobs: Vec::new(),
        door: None,
    };
    Ok((parsed, manifest))
}

fn bytes_of(tree: &Tree, digest: &Digest) -> io::Result<Bytes> {
    let file = File::open(tree.data(digest))?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("its data is no file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}
