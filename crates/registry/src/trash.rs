//! The trash: what was deleted comes back for a while, or goes at once (behaviour §5).

use jiff::Timestamp;
use larder_catalog::model::{Purge, PurgeOutcome, RepositoryUndelete, TrashRow, UndeleteOutcome};
use larder_oci::{Digest, Reference, RepositoryName, Tag};

use crate::clock::after;
use crate::{Action, Actor, Error, Page, PageRequest, Registry, RepositorySummary, Result, SweepReport};

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undeleted {
    /// The manifest.
    pub digest: Digest,
    /// The tags that point to it again.
    pub tags: Vec<Tag>,
}

/// What went for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Manifests that went.
    pub manifests: u64,
    /// Until when leases of pushes keep blobs of them.
    pub held_until: Option<Timestamp>,
    /// What the sweep did right after.
    pub swept: SweepReport,
}

impl Registry {
    /// How long what is deleted now can be brought back; `None` where the trash is switched off.
    pub(crate) fn trash_end(&self) -> Option<Timestamp> {
        let window = self.inner.settings.trash_window;
        (!window.is_zero()).then(|| after(self.now(), window))
    }

    /// What can be brought back of a repository. `after` is the id of the last row of the page before.
    pub async fn trash(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        page: &PageRequest,
    ) -> Result<Page<TrashRow>> {
        self.permit(actor, Action::Delete, repository).await?;
        let after = page.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(0);
        Ok(self.inner.catalog.trash(repository, after, page.limit).await?)
    }

    /// Brings a deleted tag back with its manifest, as another tag if `name` says so; or a deleted manifest with its tags. Whoever may delete may.
    pub async fn undelete(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        reference: &Reference,
        name: Option<&Tag>,
    ) -> Result<Undeleted> {
        self.permit_write(actor, Action::Delete, repository).await?;
        if let (Reference::Tag(tag), Some(name)) = (reference, name)
            && tag != name
        {
            self.may_move(repository, std::slice::from_ref(name), false).await?;
        }
        let (catalog, stamp) = (&self.inner.catalog, self.stamp(actor));
        let outcome = match reference {
            Reference::Tag(tag) => catalog.undelete_tag(repository, tag, name, stamp).await?,
            Reference::Digest(digest) => catalog.undelete_manifest(repository, digest, stamp).await?,
        };
        let named = |what: &dyn std::fmt::Display| match reference {
            Reference::Tag(_) => format!("{repository}:{what}"),
            Reference::Digest(_) => format!("{repository}@{what}"),
        };
        match (outcome, reference, name) {
            (UndeleteOutcome::Restored { digest, tags }, ..) => Ok(Undeleted { digest, tags }),
            (UndeleteOutcome::InUse, Reference::Tag(_), Some(name)) => Err(Error::NameInUse(named(name))),
            (UndeleteOutcome::InUse, ..) => Err(Error::NameInUse(named(reference))),
            (UndeleteOutcome::Unknown, ..) => Err(Error::NotDeleted(named(reference))),
            (UndeleteOutcome::Gone(digest), ..) => Err(Error::GoneForGood(digest)),
        }
    }

    /// Brings a removed repository back, as another one if `name` says so. Its administrators may, and whoever removed it.
    pub async fn undelete_repository(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        name: Option<&RepositoryName>,
    ) -> Result<RepositorySummary> {
        if !self.may(actor, Action::Admin, repository).await? && !self.removed_it(actor, repository).await? {
            return Err(Error::Denied);
        }
        let wanted = name.unwrap_or(repository);
        if name.is_some() && !self.may(actor, Action::Push, wanted).await? {
            self.permit(actor, Action::Admin, wanted).await?;
        }
        if wanted != repository {
            self.may_begin(wanted).await?;
            self.may_move(wanted, &[], false).await?;
        }
        self.serves_clients()?;
        self.writable()?;
        match self.inner.catalog.undelete_repository(repository, name, self.stamp(actor)).await? {
            RepositoryUndelete::Restored { .. } => self.summary(wanted).await,
            RepositoryUndelete::InUse => Err(Error::NameInUse(wanted.to_string())),
            RepositoryUndelete::Unknown => Err(Error::NotDeleted(repository.to_string())),
        }
    }

    /// The grant that came with making a repository went with it.
    async fn removed_it(&self, actor: &Actor, repository: &RepositoryName) -> Result<bool> {
        let removed_by = self.inner.catalog.removed_by(repository).await?;
        Ok(!actor.is_anonymous() && removed_by.as_deref() == Some(actor.identity()))
    }

    /// Removes a manifest for good, live or in the trash, or without a reference all of a repository's trash. Leases of pushes stand (behaviour §5).
    pub async fn purge(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        reference: Option<&Reference>,
    ) -> Result<Purged> {
        self.operator(actor)?;
        self.writable()?;
        let purge = match reference {
            None => Purge::Trash(repository.clone()),
            Some(Reference::Digest(digest)) => Purge::Manifest(repository.clone(), *digest),
            Some(Reference::Tag(tag)) => {
                let digest = self.inner.catalog.last_digest(repository, tag).await?;
                let unknown = || Error::NotDeleted(format!("{repository}:{tag}"));
                Purge::Manifest(repository.clone(), digest.ok_or_else(unknown)?)
            }
        };
        match (self.inner.catalog.purge(purge, self.stamp(actor)).await?, reference) {
            (PurgeOutcome::Purged { manifests: 0, .. }, Some(reference)) => {
                Err(Error::ManifestUnknown { repository: repository.clone(), reference: reference.to_string() })
            }
            (PurgeOutcome::Purged { manifests, held_until }, _) => {
                let swept = self.sweep_queue(&|_| {}).await?;
                Ok(Purged { manifests, held_until, swept })
            }
            (PurgeOutcome::InUse { digest, parent }, _) => Err(Error::InUse { digest, parent }),
        }
    }
}
