//! A repository as a source.

use async_trait::async_trait;
use bytes::Bytes;

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::Digest;
use larder_oci::reference::Reference;

use super::{BlobReader, Document, Source};
use crate::error::Result;
use crate::registry::{Download, Repository};

/// One manifest of a repository, and what it refers to.
#[derive(Clone, Debug)]
pub struct Remote {
    repository: Repository,
    reference: Reference,
}

impl Remote {
    /// `reference` in `repository`. The tag is looked up once; everything after that goes by digest.
    pub fn new(repository: Repository, reference: Reference) -> Self {
        Self { repository, reference }
    }
}

#[async_trait]
impl Source for Remote {
    fn label(&self) -> String {
        self.repository.named(&self.reference)
    }

    async fn root(&self) -> Result<Document> {
        let fetched = self.repository.manifest(&self.reference).await?;
        let descriptor = Descriptor::new(fetched.media_type, fetched.digest, fetched.bytes.len() as u64);
        Ok(Document { descriptor, bytes: fetched.bytes })
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Bytes> {
        Ok(self.repository.manifest(&Reference::Digest(descriptor.digest)).await?.bytes)
    }

    async fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn BlobReader>> {
        Ok(Box::new(self.repository.blob_from(&descriptor.digest, descriptor.size, offset)))
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        self.repository.referrers(digest, None).await
    }

    fn repository(&self) -> Option<&Repository> {
        Some(&self.repository)
    }
}

#[async_trait]
impl BlobReader for Download {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        Download::next(self).await
    }
}
