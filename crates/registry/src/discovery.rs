//! Lists: tags, repositories, referrers. Each is a page that costs the same wherever it begins (**Invariant 10**).

use std::collections::BTreeMap;

use larder_oci::{Descriptor, Digest, RepositoryName, Tag};

use crate::{Action, Actor, Error, Page, PageRequest, Registry, Result, TagEvent, TagListing, TagRows};

impl Registry {
    /// The tags of a repository, bytewise in order.
    pub async fn tags(&self, actor: &Actor, repository: &RepositoryName, page: &PageRequest) -> Result<Page<Tag>> {
        self.permit(actor, Action::Pull, repository).await?;
        let tags = self.inner.catalog.tags(repository, page.after.as_deref(), page.limit).await?;
        tags.ok_or_else(|| Error::RepositoryUnknown(repository.clone()))
    }

    /// The tags that `listing` shows, in its order, with what is known of each. `after` is the `next` of the page before.
    pub async fn tag_rows(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        listing: &TagListing,
        page: &PageRequest,
    ) -> Result<TagRows> {
        self.permit(actor, Action::Pull, repository).await?;
        let rows = self.inner.catalog.tag_rows(repository, listing, page.after.as_deref(), page.limit).await?;
        rows.ok_or_else(|| Error::RepositoryUnknown(repository.clone()))
    }

    /// What a tag pointed to, newest first; `before` is the id of the last event of the page before.
    pub async fn tag_history(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        tag: &Tag,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<TagEvent>> {
        self.permit(actor, Action::Pull, repository).await?;
        Ok(self.inner.catalog.tag_history(repository, tag, before, limit).await?)
    }

    /// The repositories that the actor may see, in order of their names.
    pub async fn repositories(&self, actor: &Actor, page: &PageRequest) -> Result<Page<RepositoryName>> {
        self.serves_clients()?;
        let filter = actor.filter().ok_or(Error::Denied)?;
        Ok(self.inner.catalog.repositories(&filter, page.after.as_deref(), page.limit).await?)
    }

    /// The manifests that refer to `subject`, whether it exists or not. `after` is the last digest of the page before.
    pub async fn referrers(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<Descriptor>> {
        self.permit(actor, Action::Pull, repository).await?;
        let after: Option<Digest> = page.after.as_deref().and_then(|after| after.parse().ok());
        let catalog = &self.inner.catalog;
        let rows = catalog.referrers(repository, subject, artifact_type, after.as_ref(), page.limit).await?;
        let mut items = Vec::with_capacity(rows.items.len());
        for row in rows.items {
            items.push(Descriptor {
                media_type: row.media_type,
                digest: row.digest,
                size: row.size,
                urls: Vec::new(),
                annotations: annotations(row.annotations.as_deref())?,
                artifact_type: row.artifact_type,
                platform: None,
                data: None,
            });
        }
        Ok(Page { items, more: rows.more })
    }
}

fn annotations(stored: Option<&str>) -> Result<BTreeMap<String, String>> {
    let Some(stored) = stored else { return Ok(BTreeMap::new()) };
    serde_json::from_str(stored).map_err(|error| Error::Internal(format!("stored annotations: {error}")))
}
