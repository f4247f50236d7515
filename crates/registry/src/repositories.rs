//! Repositories as things of their own: made, described, shown or hidden, removed.

use larder_oci::{Action, RepositoryName};

use crate::{Actor, Error, Page, PageRequest, Registry, RepositoryChange, RepositorySummary, Result};

impl Registry {
    /// Makes an empty repository. (A push makes one too, and whoever may push may make one: he administers it from then on.) It is private unless
    /// `settings` say otherwise.
    pub async fn create_repository(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        settings: RepositoryChange,
    ) -> Result<RepositorySummary> {
        if !self.may(actor, Action::Push, repository).await? {
            self.permit(actor, Action::Admin, repository).await?;
        }
        self.writable()?;
        if !self.inner.catalog.create_repository(repository, self.stamp(actor)).await? {
            return Err(Error::RepositoryExists(repository.clone()));
        }
        if settings != RepositoryChange::default() {
            self.inner.catalog.set_repository(repository, settings, self.stamp(actor)).await?;
        }
        self.summary(repository).await
    }

    /// Changes who may see a repository, or what is said about it.
    pub async fn set_repository(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        change: RepositoryChange,
    ) -> Result<RepositorySummary> {
        self.permit_write(actor, Action::Admin, repository).await?;
        if !self.inner.catalog.set_repository(repository, change, self.stamp(actor)).await? {
            return Err(Error::RepositoryUnknown(repository.clone()));
        }
        self.summary(repository).await
    }

    /// Removes a repository with all its tags and manifests. They lie in the trash for a while; then bytes that nobody else holds go with the sweep.
    pub async fn remove_repository(&self, actor: &Actor, repository: &RepositoryName) -> Result<()> {
        self.permit_write(actor, Action::Admin, repository).await?;
        let (lease, trash) = (self.lease_end(), self.trash_end());
        if self.inner.catalog.remove_repository(repository, self.stamp(actor), lease, trash).await? {
            Ok(())
        } else {
            Err(Error::RepositoryUnknown(repository.clone()))
        }
    }

    /// What a repository holds.
    pub async fn repository_summary(&self, actor: &Actor, repository: &RepositoryName) -> Result<RepositorySummary> {
        self.permit(actor, Action::Pull, repository).await?;
        self.summary(repository).await
    }

    pub(crate) async fn summary(&self, repository: &RepositoryName) -> Result<RepositorySummary> {
        let summary = self.inner.catalog.repository_summary(repository).await?;
        summary.ok_or_else(|| Error::RepositoryUnknown(repository.clone()))
    }

    /// What each repository holds that the actor may see.
    pub async fn repository_summaries(&self, actor: &Actor, page: &PageRequest) -> Result<Page<RepositorySummary>> {
        let filter = actor.filter().ok_or(Error::Denied)?;
        Ok(self.inner.catalog.repository_summaries(&filter, page.after.as_deref(), page.limit).await?)
    }
}
