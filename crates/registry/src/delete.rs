//! Removing what clients ask to remove. Readers miss it at once; it lies in the trash for a while, and then bytes go with the sweep.

use larder_catalog::model::{AddTag, DeleteOutcome};
use larder_oci::{Digest, Reference, RepositoryName, Tag};

use crate::history::keeps_tags;
use crate::pull::unknown;
use crate::{Action, Actor, Error, Registry, Result};

impl Registry {
    /// By digest: the manifest and every tag that points to it. By tag: that tag alone.
    pub async fn delete_manifest(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        reference: &Reference,
    ) -> Result<()> {
        self.permit_write(actor, Action::Delete, repository).await?;
        let stamp = self.stamp(actor);
        let absent = || Error::ManifestUnknown { repository: repository.clone(), reference: reference.to_string() };
        let (digest, outcome) = match reference {
            Reference::Tag(tag) => (None, self.inner.catalog.delete_tag(repository, tag, stamp).await?),
            Reference::Digest(digest) => {
                self.may_leave_stages(repository, digest).await?;
                let (lease, trash) = (self.lease_end(), self.trash_end());
                (Some(digest), self.inner.catalog.delete_manifest(repository, digest, lease, trash, stamp).await?)
            }
        };
        match (outcome, digest) {
            (DeleteOutcome::Deleted, _) => Ok(()),
            (DeleteOutcome::InUse { parent }, Some(digest)) => Err(Error::InUse { digest: *digest, parent }),
            (DeleteOutcome::Absent | DeleteOutcome::InUse { .. }, _) => Err(absent()),
        }
    }

    /// Takes a blob out of a repository; other repositories keep theirs.
    pub async fn delete_blob(&self, actor: &Actor, repository: &RepositoryName, digest: &Digest) -> Result<()> {
        self.permit_write(actor, Action::Delete, repository).await?;
        match self.inner.catalog.delete_blob(repository, digest, self.stamp(actor)).await? {
            DeleteOutcome::Deleted => Ok(()),
            DeleteOutcome::Absent => Err(unknown(repository, digest)),
            DeleteOutcome::InUse { parent } => Err(Error::InUse { digest: *digest, parent }),
        }
    }

    /// Points a tag at a manifest that the repository holds already.
    pub async fn move_tag(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        tag: &Tag,
        to: &Reference,
    ) -> Result<Digest> {
        self.permit_move(actor, repository).await?;
        self.may_move(repository, std::slice::from_ref(tag), false).await?;
        let absent = || Error::ManifestUnknown { repository: repository.clone(), reference: to.to_string() };
        let target = self.inner.catalog.manifest(repository, to, false).await?.ok_or_else(absent)?;
        if keeps_tags(actor, repository) {
            let added = self.inner.catalog.add_tag(repository, tag, &target.digest, "retag", self.stamp(actor)).await?;
            return match added {
                AddTag::Added => Ok(target.digest),
                AddTag::Kept => Err(Error::TagKept(tag.clone())),
                AddTag::Absent => Err(absent()),
            };
        }
        let moved = self.inner.catalog.put_tag(repository, tag, &target.digest, "retag", self.stamp(actor)).await?;
        if moved { Ok(target.digest) } else { Err(absent()) }
    }
}
