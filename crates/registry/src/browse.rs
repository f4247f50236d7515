//! Looking around: what pages show. Nothing here counts as a pull (behaviour §5).

use bytes::Bytes;
use futures::TryStreamExt;
use jiff::Timestamp;
pub use larder_catalog::model::{
    COUNTED, FoundRepositories, ManifestFacts, RepositoryOutline, RepositorySearch, TaggedManifest,
};
use larder_oci::{Digest, Reference, RepositoryName, Tag};

use crate::{Action, Actor, Error, Page, PageRequest, Registry, Result};

/// A manifest to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestView {
    /// What is known of it.
    pub facts: ManifestFacts,
    /// Its bytes, as pushed (**Invariant 8**).
    pub bytes: Bytes,
}

/// An upload that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where it goes.
    pub repository: RepositoryName,
    /// Who sends it.
    pub identity: String,
    /// Bytes that are durable here.
    pub durable: u64,
    /// When it began.
    pub started: Timestamp,
    /// When bytes last became durable.
    pub touched: Timestamp,
}

impl Registry {
    /// Repositories that the actor may see and that a search finds.
    pub async fn search(
        &self,
        actor: &Actor,
        search: RepositorySearch,
        page: &PageRequest,
    ) -> Result<FoundRepositories> {
        self.serves_clients()?;
        let filter = actor.filter().ok_or(Error::Denied)?;
        Ok(self.inner.catalog.search_repositories(&filter, search, page.after.as_deref(), page.limit).await?)
    }

    /// What a repository holds, as far as counting is cheap.
    pub async fn outline(&self, actor: &Actor, repository: &RepositoryName) -> Result<RepositoryOutline> {
        self.permit(actor, Action::Pull, repository).await?;
        let outline = self.inner.catalog.repository_outline(repository).await?;
        outline.ok_or_else(|| Error::RepositoryUnknown(repository.clone()))
    }

    /// Tags, those that moved last first. `before` is the last of the page before.
    pub async fn newest_tags(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        before: Option<(Timestamp, Tag)>,
        limit: usize,
    ) -> Result<Page<TaggedManifest>> {
        self.permit(actor, Action::Pull, repository).await?;
        let tags = self.inner.catalog.newest_tags(repository, before, limit).await?;
        tags.ok_or_else(|| Error::RepositoryUnknown(repository.clone()))
    }

    /// Tags whose names begin with `beginning`, bytewise in order.
    pub async fn named_tags(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        beginning: &str,
        page: &PageRequest,
    ) -> Result<Page<TaggedManifest>> {
        self.permit(actor, Action::Pull, repository).await?;
        let tags = self.inner.catalog.named_tags(repository, beginning, page.after.as_deref(), page.limit).await?;
        tags.ok_or_else(|| Error::RepositoryUnknown(repository.clone()))
    }

    /// A manifest with what is known of it.
    pub async fn view_manifest(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<ManifestView> {
        self.permit(actor, Action::Pull, repository).await?;
        let absent = || Error::ManifestUnknown { repository: repository.clone(), reference: reference.to_string() };
        let row = self.inner.catalog.manifest(repository, reference, true).await?.ok_or_else(absent)?;
        let facts = self.inner.catalog.manifest_facts(repository, &[row.digest]).await?;
        // It may have been deleted in between.
        let facts = facts.into_iter().flatten().next().ok_or_else(absent)?;
        Ok(ManifestView { facts, bytes: row.bytes.unwrap_or_default() })
    }

    /// What is known of these manifests, in their order.
    pub async fn manifest_facts(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        digests: &[Digest],
    ) -> Result<Vec<Option<ManifestFacts>>> {
        self.permit(actor, Action::Pull, repository).await?;
        Ok(self.inner.catalog.manifest_facts(repository, digests).await?)
    }

    /// Tags that point to a manifest.
    pub async fn tags_of(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        digest: &Digest,
        limit: usize,
    ) -> Result<Page<Tag>> {
        self.permit(actor, Action::Pull, repository).await?;
        Ok(self.inner.catalog.tags_of(repository, digest, limit).await?)
    }

    /// Indexes that have a manifest among their entries.
    pub async fn indexes_of(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<Digest>> {
        self.permit(actor, Action::Pull, repository).await?;
        Ok(self.inner.catalog.indexes_of(repository, digest, limit).await?)
    }

    /// For each blob, how many manifests of the repository have it as a layer, a hundred at most.
    pub async fn layer_uses(&self, actor: &Actor, repository: &RepositoryName, blobs: &[Digest]) -> Result<Vec<u64>> {
        self.permit(actor, Action::Pull, repository).await?;
        Ok(self.inner.catalog.layer_uses(repository, blobs).await?)
    }

    /// The bytes of a small blob; `None` for one that is longer than `limit`.
    pub async fn small_blob(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        digest: &Digest,
        limit: u64,
    ) -> Result<Option<Bytes>> {
        let blob = self.blob(actor, repository, digest).await?;
        if blob.size > limit {
            return Ok(None);
        }
        let pieces = blob.stream(0..blob.size).try_fold(Vec::new(), |mut whole, piece| async move {
            whole.extend_from_slice(&piece);
            Ok(whole)
        });
        let whole = pieces.await.map_err(|error| Error::Internal(format!("a blob broke off: {error}")))?;
        Ok(Some(whole.into()))
    }

    /// Some uploads under way, of those that the actor may see: `limit` are looked at.
    pub async fn arrivals(&self, actor: &Actor, limit: usize) -> Result<Vec<Arrival>> {
        self.serves_clients()?;
        let page = self.inner.catalog.uploads(None, limit).await?;
        let seen = page.items.into_iter().filter(|upload| actor.may(Action::Pull, &upload.repository));
        let items = seen.map(|upload| Arrival {
            repository: upload.repository,
            identity: upload.identity,
            durable: upload.offset,
            started: upload.started,
            touched: upload.touched,
        });
        Ok(items.collect())
    }
}
