//! Reading: manifests and blobs of one repository.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use larder_blobs::{self as blobs, BlobKey, BlobObject, BlobStream};
use larder_catalog::model::{BlobRow, BlobState, MemberBlob};
use larder_oci::{Digest, Reference, RepositoryName};

use crate::clock::after;
use crate::import::checked;
use crate::{Action, Actor, Error, Registry, Result};

/// Pulls noted between two flushes; more are dropped, for the time of a pull is a hint.
const PULLS_KEPT: usize = 100_000;

/// When manifests were last asked for.
type Noted = Mutex<HashMap<(RepositoryName, Digest), Timestamp>>;

/// A manifest, byte for byte as it was pushed (**Invariant 8**).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its digest, in the algorithm it was pushed with (**Invariant 7**).
    pub digest: Digest,
    /// The media type it was pushed with.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// What who pulls it should be told.
    pub warnings: Vec<String>,
}

/// A manifest's facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestHead {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its length in bytes.
    pub size: u64,
    /// What who pulls it should be told.
    pub warnings: Vec<String>,
}

/// A blob's facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobHead {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

/// A blob that can be read. Its length was checked when it was opened.
#[derive(Clone)]
pub struct OpenBlob {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    object: Arc<dyn BlobObject>,
    /// Set while nobody has hashed these bytes since they were taken over from another registry's tree.
    unverified: Option<(Registry, Arc<BlobRow>)>,
}

impl OpenBlob {
    /// The bytes of `range`, lazily.
    ///
    /// Bytes that nobody has hashed yet are hashed while they are read whole, and the last piece is withheld if they are wrong (behaviour §7).
    pub fn stream(&self, range: Range<u64>) -> BlobStream {
        match &self.unverified {
            Some((registry, row)) if range == (0..self.size) => {
                checked(registry.clone(), BlobRow::clone(row), self.object.read(range))
            }
            _ => self.object.read(range),
        }
    }
}

impl Registry {
    /// A manifest by tag or digest. Counts as a pull (behaviour §5).
    pub async fn manifest(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<Manifest> {
        let row = self.manifest_row(actor, repository, reference, true).await?;
        let bytes = row.bytes.ok_or_else(|| Error::Internal("a manifest was read without its bytes".to_owned()))?;
        let warnings = self.judge_pull(actor, repository, reference, &row.digest, true).await?;
        self.note(&self.inner.pulls, repository, row.digest);
        self.inner.stage_pulls.note(repository, row.digest, actor.identity(), self.now());
        self.sample_pull(actor, repository, reference, (&row.digest, &row.media_type, row.size));
        Ok(Manifest { digest: row.digest, media_type: row.media_type, bytes, warnings })
    }

    /// A manifest's facts; no pull.
    pub async fn manifest_head(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<ManifestHead> {
        let row = self.manifest_row(actor, repository, reference, false).await?;
        let warnings = self.judge_pull(actor, repository, reference, &row.digest, false).await?;
        if matches!(reference, Reference::Digest(_)) && actor.may(Action::Push, repository) {
            // He will not push what is here: the index that names it comes next (**Invariant 6**).
            self.note(&self.inner.renewals, repository, row.digest);
        }
        Ok(ManifestHead { digest: row.digest, media_type: row.media_type, size: row.size, warnings })
    }

    /// The digest of a manifest. No pull, and no rule is asked.
    pub async fn resolve(&self, actor: &Actor, repository: &RepositoryName, reference: &Reference) -> Result<Digest> {
        Ok(self.manifest_row(actor, repository, reference, false).await?.digest)
    }

    /// Whether a blob is here, with its bytes. For a caller who may push, "yes" is a promise: without an edge in this repository it comes with a lease
    /// (**Invariant 6**).
    pub async fn blob_head(&self, actor: &Actor, repository: &RepositoryName, digest: &Digest) -> Result<BlobHead> {
        let member = self.member(actor, repository, digest).await?;
        if !self.has_bytes(&member).await? {
            return Err(unknown(repository, digest));
        }
        if !self.promise(actor, repository, &member).await? {
            return Err(unknown(repository, digest));
        }
        Ok(BlobHead { digest: *digest, size: member.blob.size })
    }

    /// Opens a blob of this repository (**Invariant 5**: membership decides, not the digest). What is missing or has another length is
    /// reported as absent, so that a client sends it again (**Invariant 12**).
    pub async fn blob(&self, actor: &Actor, repository: &RepositoryName, digest: &Digest) -> Result<OpenBlob> {
        let member = self.member(actor, repository, digest).await?;
        let key = BlobKey::from_stored(member.blob.key.clone());
        match self.inner.store.open(&key, member.blob.size).await {
            Ok(object) => Ok(self.open_blob(member, object)),
            Err(error @ (blobs::Error::Absent(_) | blobs::Error::WrongLength { .. })) => {
                // A newer upload may have taken the digest over between the look-up and the open.
                self.reopen(actor, repository, digest, &key, error).await
            }
            Err(error) => Err(error.into()),
        }
    }

    fn open_blob(&self, member: MemberBlob, object: Arc<dyn BlobObject>) -> OpenBlob {
        let MemberBlob { blob, verified, .. } = member;
        let (digest, size) = (blob.digest, blob.size);
        let row = (!verified).then(|| Arc::new(BlobRow { id: 0, blob, state: BlobState::Live }));
        OpenBlob { digest, size, object, unverified: row.map(|row| (self.clone(), row)) }
    }

    async fn reopen(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        digest: &Digest,
        tried: &BlobKey,
        error: blobs::Error,
    ) -> Result<OpenBlob> {
        let member = self.member(actor, repository, digest).await?;
        if member.blob.key == tried.as_str() {
            self.damaged(digest, &error);
            return Err(unknown(repository, digest));
        }
        let key = BlobKey::from_stored(member.blob.key.clone());
        let object = self.inner.store.open(&key, member.blob.size).await?;
        Ok(self.open_blob(member, object))
    }

    async fn member(&self, actor: &Actor, repository: &RepositoryName, digest: &Digest) -> Result<MemberBlob> {
        self.permit(actor, Action::Pull, repository).await?;
        let member = self.inner.catalog.member_blob(repository, digest, actor.identity()).await?;
        member.ok_or_else(|| unknown(repository, digest))
    }

    async fn has_bytes(&self, member: &MemberBlob) -> Result<bool> {
        self.bytes_are_there(&member.blob.digest, &member.blob.key, member.blob.size).await
    }

    /// Looks at the object itself before anybody is told that it need not be sent (behaviour §2).
    pub(crate) async fn bytes_are_there(&self, digest: &Digest, key: &str, size: u64) -> Result<bool> {
        match self.inner.store.stat(&BlobKey::from_stored(key)).await? {
            Some(found) if found == size => Ok(true),
            Some(found) => {
                self.damaged(digest, &blobs::Error::WrongLength { key: key.to_owned(), expected: size, found });
                Ok(false)
            }
            None => {
                self.damaged(digest, &blobs::Error::Absent(key.to_owned()));
                Ok(false)
            }
        }
    }

    /// Takes or prolongs the lease that "it is here" promises. `false`: it went away in between.
    async fn promise(&self, actor: &Actor, repository: &RepositoryName, member: &MemberBlob) -> Result<bool> {
        if member.has_edge || self.inner.settings.read_only || !actor.may(Action::Push, repository) {
            return Ok(true);
        }
        // A lease with three quarters of its term left is as good as a new one, and costs no write.
        let good = after(self.now(), self.inner.settings.lease_ttl.mul_f32(0.75));
        if member.leased_until.is_some_and(|until: Timestamp| until >= good) {
            return Ok(true);
        }
        let digest = &member.blob.digest;
        Ok(self.inner.catalog.lease(repository, digest, actor.identity(), self.lease_end()).await?)
    }

    async fn manifest_row(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        reference: &Reference,
        with_bytes: bool,
    ) -> Result<larder_catalog::model::Manifest> {
        self.permit(actor, Action::Pull, repository).await?;
        let row = self.inner.catalog.manifest(repository, reference, with_bytes).await?;
        row.ok_or_else(|| Error::ManifestUnknown { repository: repository.clone(), reference: reference.to_string() })
    }

    fn note(&self, noted: &Noted, repository: &RepositoryName, digest: Digest) {
        let now = self.now();
        let mut noted = noted.lock().expect("no panic happens under this lock");
        let key = (repository.clone(), digest);
        if noted.len() < PULLS_KEPT || noted.contains_key(&key) {
            noted.insert(key, now);
        }
    }

    fn damaged(&self, digest: &Digest, error: &blobs::Error) {
        self.inner.counters.damaged_reads.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%digest, %error, "a blob is damaged and answered as absent; a push of it heals, `larder verify` tells more");
    }
}

pub(crate) fn unknown(repository: &RepositoryName, digest: &Digest) -> Error {
    Error::BlobUnknown { repository: repository.clone(), digest: *digest }
}
