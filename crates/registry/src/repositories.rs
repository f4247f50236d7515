//! Repositories as things of their own: made, described, removed.

use larder_catalog::model::RepositoryFilter;
use larder_oci::RepositoryName;

use crate::{Action, Actor, Error, Page, PageRequest, Registry, RepositorySummary, Result};

impl Registry {
    /// Makes an empty repository. (A push makes one too.)
    pub async fn create_repository(&self, actor: &Actor, repository: &RepositoryName) -> Result<()> {
        self.permit_write(actor, Action::Manage, repository)?;
        if self.inner.catalog.create_repository(repository, self.stamp(actor)).await? {
            Ok(())
        } else {
            Err(Error::RepositoryExists(repository.clone()))
        }
    }

    /// Removes a repository with all its tags and manifests; bytes that nobody else holds go with the sweep.
    pub async fn remove_repository(&self, actor: &Actor, repository: &RepositoryName) -> Result<()> {
        self.permit_write(actor, Action::Manage, repository)?;
        if self.inner.catalog.remove_repository(repository, self.stamp(actor), self.lease_end()).await? {
            Ok(())
        } else {
            Err(Error::RepositoryUnknown(repository.clone()))
        }
    }

    /// What a repository holds.
    pub async fn repository_summary(&self, actor: &Actor, repository: &RepositoryName) -> Result<RepositorySummary> {
        self.permit(actor, Action::Pull, repository)?;
        let summary = self.inner.catalog.repository_summary(repository).await?;
        summary.ok_or_else(|| Error::RepositoryUnknown(repository.clone()))
    }

    /// What each repository holds that the actor may see.
    pub async fn repository_summaries(&self, actor: &Actor, page: &PageRequest) -> Result<Page<RepositorySummary>> {
        if !actor.may_list() {
            return Err(Error::Denied);
        }
        let catalog = &self.inner.catalog;
        Ok(catalog.repository_summaries(&RepositoryFilter::All, page.after.as_deref(), page.limit).await?)
    }
}
