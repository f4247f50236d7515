//! Taking manifests: read, checked, and stored with everything that follows from them in one transaction.

use std::collections::HashMap;

use bytes::Bytes;
pub use larder_catalog::model::Condition;
use larder_catalog::model::{NewEdge, PutManifest, PutManifestOutcome, Sparse};
use larder_oci::{Algorithm, Digest, Edge, EdgeKind, ParsedManifest, Reference, RepositoryName, Tag, media_type};
use sha2::{Digest as _, Sha256, Sha512};

use crate::clock::before;
use crate::history::keeps_tags;
use crate::rules::Act;
use crate::{Action, Actor, Error, Registry, Result};

/// Absent targets named in one warning; the rest are counted.
const NAMED_IN_WARNING: usize = 5;

/// A manifest as a client sends it.
#[derive(Clone, Debug)]
pub struct ManifestPush {
    /// The tag or digest in the URL.
    pub reference: Reference,
    /// Tags given beside a digest (`?tag=`).
    pub extra_tags: Vec<Tag>,
    /// The request's `Content-Type`.
    pub content_type: Option<String>,
    /// The manifest.
    pub bytes: Bytes,
    /// What the reference must be now.
    pub condition: Condition,
}

/// The receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestPushed {
    /// The manifest's digest, in the client's algorithm.
    pub digest: Digest,
    /// The manifest it refers to.
    pub subject: Option<Digest>,
    /// The tags that point to it now.
    pub tags: Vec<Tag>,
    /// What the client should be told although the push was taken.
    pub warnings: Vec<String>,
}

impl Registry {
    /// Stores a manifest, its edges, tags, history and events in one transaction (**Invariant 3**), byte for byte (**Invariant 8**).
    pub async fn push_manifest(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        push: ManifestPush,
    ) -> Result<ManifestPushed> {
        self.permit_write(actor, Action::Push, repository).await?;
        self.may_begin(repository).await?;
        let digest = address(&push.reference, &push.bytes)?;
        let manifest = ParsedManifest::parse(&push.bytes, push.content_type.as_deref())?;
        let subject = manifest.subject.as_ref().map(|subject| subject.digest);
        let tags = tags_of(&push);
        self.may_move(repository, &tags, subject.is_some()).await?;
        let labels = self.labels_of(actor, repository, &manifest).await;
        let pushed = (&manifest, &digest, push.bytes.len() as u64);
        let content = async |rules: &_| self.content_of(actor, repository, pushed, &tags, rules).await;
        let door = self.door(actor, repository, Act::Push, &tags, content).await?;
        let outcome = self.inner.catalog.put_manifest(PutManifest {
            repository: repository.clone(),
            digest,
            edges: edges_of(&manifest),
            annotations: annotations_of(&manifest),
            media_type: manifest.media_type,
            artifact_type: manifest.artifact_type,
            subject,
            labels,
            bytes: push.bytes,
            tags: tags.clone(),
            how: "push",
            condition: push.condition,
            keep_tags: keeps_tags(actor, repository),
            sparse: self.inner.settings.sparse,
            taken_since: before(self.now(), self.inner.settings.taken_memory),
            stamp: self.stamp(actor),
            jobs: Vec::new(),
            door,
        });
        match outcome.await? {
            PutManifestOutcome::Stored { missing, .. } => {
                let warnings = self.warn_about(&missing);
                Ok(ManifestPushed { digest, subject, tags, warnings })
            }
            PutManifestOutcome::TagKept(tag) => Err(Error::TagKept(tag)),
            PutManifestOutcome::Judged { missing, judgement } => {
                let mut warnings = self.warned(&judgement);
                warnings.extend(self.warn_about(&missing));
                Ok(ManifestPushed { digest, subject, tags, warnings })
            }
            PutManifestOutcome::Refused(told) => Err(self.refused(actor, repository, told)),
            PutManifestOutcome::SizeMismatch { child, stated, actual } => {
                Err(Error::SizeInvalid { digest: child, stated, actual })
            }
            PutManifestOutcome::Missing(missing) => Err(Error::TargetsUnknown(missing)),
            PutManifestOutcome::ConditionFailed(current) => Err(Error::PreconditionFailed { current }),
            PutManifestOutcome::OverQuota(over) => Err(Error::OverQuota(Box::new(over))),
        }
    }

    fn warn_about(&self, missing: &[Digest]) -> Vec<String> {
        if missing.is_empty() || self.inner.settings.sparse != Sparse::Warn {
            return Vec::new();
        }
        let named: Vec<_> = missing.iter().take(NAMED_IN_WARNING).map(Digest::to_string).collect();
        let more = missing.len() - named.len();
        let rest = if more == 0 { String::new() } else { format!(" and {more} more") };
        vec![format!("this manifest is incomplete: {}{rest} not found in this repository", named.join(", "))]
    }
}

/// The digest under which the bytes are stored: the client's when it named one, which must be true, else sha256.
fn address(reference: &Reference, bytes: &[u8]) -> Result<Digest> {
    let Reference::Digest(expected) = reference else { return Ok(digest_of(Algorithm::Sha256, bytes)) };
    let found = digest_of(expected.algorithm(), bytes);
    if found == *expected { Ok(found) } else { Err(Error::DigestMismatch { expected: *expected, found }) }
}

/// The digest of bytes at hand.
pub(crate) fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let digest = match algorithm {
        Algorithm::Sha256 => Digest::new(algorithm, &Sha256::digest(bytes)),
        Algorithm::Sha512 => Digest::new(algorithm, &Sha512::digest(bytes)),
    };
    digest.expect("a hash has its algorithm's length")
}

fn tags_of(push: &ManifestPush) -> Vec<Tag> {
    let mut tags = match &push.reference {
        Reference::Tag(tag) => vec![tag.clone()],
        Reference::Digest(_) => Vec::new(),
    };
    for tag in &push.extra_tags {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    tags
}

pub(crate) fn annotations_of(manifest: &ParsedManifest) -> Option<String> {
    let annotations = &manifest.annotations;
    (!annotations.is_empty()).then(|| serde_json::to_string(annotations).expect("a map of strings is JSON"))
}

/// One edge for each (kind, target); a subject and layers that live elsewhere need not be here (behaviour §3).
pub(crate) fn edges_of(manifest: &ParsedManifest) -> Vec<NewEdge> {
    let mut edges: HashMap<(EdgeKind, Digest), NewEdge> = HashMap::new();
    for Edge { kind, descriptor } in manifest.edges() {
        let elsewhere = !descriptor.urls.is_empty() || media_type::is_foreign_layer(&descriptor.media_type);
        let required = kind != EdgeKind::Subject && !elsewhere;
        let edge = NewEdge { kind, child: descriptor.digest, size: descriptor.size, required };
        edges.entry((kind, descriptor.digest)).or_insert(edge).required |= required;
    }
    let mut edges: Vec<_> = edges.into_values().collect();
    edges.sort_by_key(|edge| edge.child);
    edges
}
