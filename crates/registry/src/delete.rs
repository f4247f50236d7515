//! Removing what clients ask to remove. Readers miss it at once; it lies in the trash for a while, and then bytes go with the sweep.

use larder_catalog::model::rules::{Judgement, Passed};
use larder_catalog::model::{AddTag, DeleteOutcome};
use larder_oci::{Digest, Reference, RepositoryName, Tag};

use crate::history::keeps_tags;
use crate::pull::unknown;
use crate::rules::{Act, unchanged};
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
        let (act, tags) = match reference {
            Reference::Tag(tag) => (Act::DeleteTag, vec![tag.clone()]),
            Reference::Digest(_) => (Act::DeleteManifest, Vec::new()),
        };
        let door = self.door(actor, repository, act, &tags, unchanged).await?;
        if let Reference::Digest(digest) = reference {
            self.may_leave_stages(repository, digest).await?;
        }
        let (catalog, lease, trash) = (&self.inner.catalog, self.lease_end(), self.trash_end());
        let (digest, passed) = match (reference, door) {
            (Reference::Tag(tag), None) => (None, untold(catalog.delete_tag(repository, tag, stamp).await?)),
            (Reference::Tag(tag), Some(door)) => {
                (None, catalog.through(door).delete_tag(repository, tag, stamp).await?)
            }
            (Reference::Digest(digest), None) => {
                let outcome = catalog.delete_manifest(repository, digest, lease, trash, stamp).await?;
                (Some(digest), untold(outcome))
            }
            (Reference::Digest(digest), Some(door)) => {
                (Some(digest), catalog.through(door).delete_manifest(repository, digest, lease, trash, stamp).await?)
            }
        };
        let (outcome, _) = self.passed(actor, repository, passed)?;
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
    ) -> Result<TagMoved> {
        self.permit_move(actor, repository).await?;
        self.may_move(repository, std::slice::from_ref(tag), false).await?;
        let absent = || Error::ManifestUnknown { repository: repository.clone(), reference: to.to_string() };
        let target = self.inner.catalog.manifest(repository, to, false).await?.ok_or_else(absent)?;
        let tags = [tag.clone()];
        let content = async |rules: &_| self.stored_content(actor, repository, &target.digest, &tags, rules).await;
        let door = self.door(actor, repository, Act::Retag, &tags, content).await?;
        let (catalog, stamp, keep) = (&self.inner.catalog, self.stamp(actor), keeps_tags(actor, repository));
        let added = match (door, keep) {
            (Some(door), _) => {
                catalog.through(door).put_tag(repository, tag, &target.digest, "retag", keep, stamp).await?
            }
            (None, true) => untold(catalog.add_tag(repository, tag, &target.digest, "retag", stamp).await?),
            (None, false) => {
                let moved = catalog.put_tag(repository, tag, &target.digest, "retag", stamp).await?;
                untold(if moved { AddTag::Added } else { AddTag::Absent })
            }
        };
        let (added, warnings) = self.passed(actor, repository, added)?;
        match added {
            AddTag::Added => Ok(TagMoved { digest: target.digest, warnings }),
            AddTag::Kept => Err(Error::TagKept(tag.clone())),
            AddTag::Absent => Err(absent()),
        }
    }
}

/// Where a tag points now, and what rules said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagMoved {
    /// The manifest.
    pub digest: Digest,
    /// What who moved it should be told.
    pub warnings: Vec<String>,
}

/// Nobody had anything to say.
pub(crate) fn untold<T>(outcome: T) -> Passed<T> {
    Passed::Done(outcome, Judgement::default())
}
