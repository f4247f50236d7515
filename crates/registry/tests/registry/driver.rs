//! A registry with a clock to turn, and the few things that every test does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use larder_blobs::BlobStore;
use larder_blobs::memory::MemoryStore;
use larder_oci::{Algorithm, Digest, Reference, RepositoryName, Tag, UploadId, media_type};
use larder_registry::testing;
use larder_registry::{
    Actor, Condition, Error, ManifestPush, ManifestPushed, ManualClock, Registry, Result, Rights, Settings,
    SweepReport, UploadBody,
};
use sha2::Digest as _;

/// A registry over a store that the test can reach behind its back.
pub struct Driver {
    pub registry: Registry,
    pub store: Arc<dyn BlobStore>,
    pub clock: Arc<ManualClock>,
    pub actor: Actor,
}

impl Driver {
    pub async fn new() -> Self {
        Self::with(testing::settings()).await
    }

    pub async fn with(settings: Settings) -> Self {
        Self::over(settings, Arc::new(MemoryStore::default())).await
    }

    pub async fn over(settings: Settings, store: Arc<dyn BlobStore>) -> Self {
        let (registry, clock) = testing::over(settings, Arc::clone(&store)).await;
        Self { registry, store, clock, actor: Actor::anonymous(Rights::Everything) }
    }

    pub async fn push_blob(&self, repository: &str, bytes: &[u8]) -> Digest {
        let digest = sha256(bytes);
        let body = UploadBody::of(Bytes::copy_from_slice(bytes));
        self.registry.push_blob(&self.actor, &name(repository), &digest, body).await.expect("a blob push")
    }

    pub async fn push_image(&self, repository: &str, tag: &str, layers: &[&[u8]]) -> Digest {
        for bytes in layers {
            self.push_blob(repository, bytes).await;
        }
        self.push_blob(repository, b"{}").await;
        self.push_manifest(repository, tag, &image(layers)).await.expect("a manifest push").digest
    }

    pub async fn push_manifest(&self, repository: &str, reference: &str, bytes: &[u8]) -> Result<ManifestPushed> {
        self.push_manifest_if(repository, reference, bytes, Condition::Any).await
    }

    pub async fn push_manifest_if(
        &self,
        repository: &str,
        reference: &str,
        bytes: &[u8],
        condition: Condition,
    ) -> Result<ManifestPushed> {
        let push = ManifestPush {
            reference: reference.parse().expect("a reference"),
            extra_tags: Vec::new(),
            content_type: None,
            bytes: Bytes::copy_from_slice(bytes),
            condition,
        };
        self.registry.push_manifest(&self.actor, &name(repository), push).await
    }

    pub async fn read_blob(&self, repository: &str, digest: &Digest) -> Result<Vec<u8>> {
        let blob = self.registry.blob(&self.actor, &name(repository), digest).await?;
        let mut bytes = Vec::new();
        let mut stream = blob.stream(0..blob.size);
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece.expect("readable bytes"));
        }
        Ok(bytes)
    }

    pub async fn has_blob(&self, repository: &str, digest: &Digest) -> bool {
        match self.registry.blob_head(&self.actor, &name(repository), digest).await {
            Ok(_) => true,
            Err(Error::BlobUnknown { .. }) => false,
            Err(other) => panic!("HEAD of a blob: {other}"),
        }
    }

    pub async fn resolve(&self, repository: &str, reference: &str) -> Option<Digest> {
        let reference: Reference = reference.parse().expect("a reference");
        match self.registry.manifest(&self.actor, &name(repository), &reference).await {
            Ok(manifest) => Some(manifest.digest),
            Err(Error::ManifestUnknown { .. }) => None,
            Err(other) => panic!("GET of a manifest: {other}"),
        }
    }

    pub async fn delete(&self, repository: &str, reference: &str) -> Result<()> {
        let reference: Reference = reference.parse().expect("a reference");
        self.registry.delete_manifest(&self.actor, &name(repository), &reference).await
    }

    pub async fn sweep(&self) -> SweepReport {
        self.registry.sweep(&Actor::operator(), &|_| ()).await.expect("a sweep")
    }

    /// Lets a lease's whole term pass.
    pub fn pass_lease(&self) {
        self.clock.advance(self.registry.settings().lease_ttl + Duration::from_secs(1));
    }

    /// Objects that the store really holds.
    pub async fn objects(&self) -> usize {
        let listed: Vec<_> = self.store.list().await.expect("a list").collect().await;
        listed.iter().filter(|stored| matches!(stored, Ok(larder_blobs::Stored::Object { .. }))).count()
    }
}

pub fn name(text: &str) -> RepositoryName {
    text.parse().expect("a repository name")
}

pub fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

pub fn sha256(bytes: &[u8]) -> Digest {
    Digest::new(Algorithm::Sha256, &sha2::Sha256::digest(bytes)).expect("a sha256")
}

pub fn sha512(bytes: &[u8]) -> Digest {
    Digest::new(Algorithm::Sha512, &sha2::Sha512::digest(bytes)).expect("a sha512")
}

pub fn nowhere() -> UploadId {
    UploadId::from_bytes([7; 16])
}

/// An image manifest over layers of these bytes, with the empty configuration `{}`.
pub fn image(layers: &[&[u8]]) -> Vec<u8> {
    let layers: Vec<_> = layers.iter().map(|bytes| descriptor(media_type::OCI_LAYER, bytes)).collect();
    let config = descriptor(media_type::OCI_CONFIG, b"{}");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[{}]}}"#,
        media_type::OCI_MANIFEST,
        layers.join(",")
    )
    .into_bytes()
}

/// An index over these manifests.
pub fn index(manifests: &[&[u8]]) -> Vec<u8> {
    let entries: Vec<_> = manifests.iter().map(|bytes| descriptor(media_type::OCI_MANIFEST, bytes)).collect();
    format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{}]}}"#, media_type::OCI_INDEX, entries.join(","))
        .into_bytes()
}

fn descriptor(media_type: &str, bytes: &[u8]) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#, sha256(bytes), bytes.len())
}
