//! A repository as a source.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::Digest;
use larder_oci::reference::Reference;

use super::{BlobReader, Document, Source};
use crate::error::Result;
use crate::registry::{Download, Lane, Lanes, Ranges, Repository, Striped};

/// One manifest of a repository, and what it refers to.
#[derive(Clone, Debug)]
pub struct Remote {
    repository: Repository,
    reference: Reference,
    ranges: Ranges,
    lanes: Arc<Lanes>,
}

impl Remote {
    /// `reference` in `repository`. The tag is looked up once; everything after that goes by digest.
    pub fn new(repository: Repository, reference: Reference) -> Self {
        let ranges = Ranges::default();
        Self { repository, reference, ranges, lanes: Arc::new(Lanes::new(ranges.streams)) }
    }

    /// With large blobs read by so many requests.
    #[must_use]
    pub fn with_ranges(self, ranges: Ranges) -> Self {
        Self { ranges, lanes: Arc::new(Lanes::new(ranges.streams)), ..self }
    }

    /// The manifest, and what its registry has to say about it.
    pub async fn look(&self) -> Result<(Document, Vec<String>)> {
        let fetched = self.repository.manifest(&self.reference).await?;
        let descriptor = Descriptor::new(fetched.media_type, fetched.digest, fetched.bytes.len() as u64);
        Ok((Document { descriptor, bytes: fetched.bytes }, fetched.warnings))
    }
}

#[async_trait]
impl Source for Remote {
    fn label(&self) -> String {
        self.repository.named(&self.reference)
    }

    async fn root(&self) -> Result<Document> {
        Ok(self.look().await?.0)
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        Ok(self.repository.manifest(&Reference::Digest(descriptor.digest)).await?.bytes)
    }

    async fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn BlobReader>> {
        if self.ranges.streams > 1 && descriptor.size.saturating_sub(offset) >= self.ranges.from {
            let opened = Striped::open(&self.repository, descriptor, offset, self.ranges, &self.lanes).await?;
            return Ok(match opened {
                Ok(striped) => Box::new(striped),
                Err(whole) => Box::new((whole, self.lanes.first())),
            });
        }
        let whole = self.repository.blob_from(&descriptor.digest, descriptor.size, offset);
        Ok(Box::new((whole, self.lanes.first())))
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        self.repository.referrers(digest, None).await
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }
}

#[async_trait]
impl BlobReader for (Download, Lane) {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        self.0.next().await
    }
}

#[async_trait]
impl BlobReader for Striped {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        Striped::next(self).await
    }
}
