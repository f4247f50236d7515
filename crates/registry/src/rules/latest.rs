//! `latest`: what it is now, and who is told so. Experiments may pull it; production says what it runs (case 15).

use larder_catalog::model::rules::{Asked, Told};
use larder_oci::{Action, Digest, Reference, RepositoryName, Tag, TagForm, TagKey, TagKind};

use super::Level;
use crate::{Actor, Error, Registry, Result, TagRow};

/// Where a tag points now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagNow {
    /// The manifest.
    pub digest: Digest,
    /// The version that this is, if a tag says so.
    pub version: Option<Tag>,
    /// What rules say about pulling it.
    pub warnings: Vec<String>,
}

/// The version among tags of one manifest: a release before other versions, these before builds, and the newest of each.
pub fn current_version<'t>(names: impl IntoIterator<Item = &'t Tag>) -> Option<&'t Tag> {
    let rank = |tag: &&Tag| {
        let form = TagForm::of(tag);
        let kind = match form.kind() {
            TagKind::Version if form.release().is_some() => 2,
            TagKind::Version => 1,
            _ => 0,
        };
        (kind, TagKey::of(tag), tag.as_str().len())
    };
    let is_version = |tag: &&Tag| matches!(TagForm::of(tag).kind(), TagKind::Version | TagKind::Build);
    names.into_iter().filter(is_version).max_by_key(rank)
}

/// The command that pulls a version. The server knows what `HOST` is.
pub(super) fn pull_of(repository: &RepositoryName, version: &str) -> String {
    format!("docker pull HOST/{repository}:{version}")
}

impl Registry {
    /// Where a tag points, which version that is, and what rules say about it. No pull, and never refused.
    pub async fn tag_now(&self, actor: &Actor, repository: &RepositoryName, tag: &Tag) -> Result<TagNow> {
        self.permit(actor, Action::Pull, repository).await?;
        let reference = Reference::Tag(tag.clone());
        let row = self.inner.catalog.manifest(repository, &reference, false).await?;
        let row =
            row.ok_or_else(|| Error::ManifestUnknown { repository: repository.clone(), reference: tag.to_string() })?;
        let told = self.about_latest(repository, &reference, &row.digest).await?;
        let version = self.manifest_version(repository, &row.digest).await?;
        Ok(TagNow { digest: row.digest, version, warnings: told.iter().map(|(_, told)| told.to_string()).collect() })
    }

    /// The version that `latest` or a stage is; nothing for other tags. Who has the row may see the repository.
    pub async fn row_version(&self, repository: &RepositoryName, row: &TagRow) -> Result<Option<Tag>> {
        match TagForm::of(&row.name).kind() {
            TagKind::Latest | TagKind::Stage => self.manifest_version(repository, &row.digest).await,
            _ => Ok(None),
        }
    }

    /// The version that a manifest is, if a tag says so.
    pub async fn manifest_version(&self, repository: &RepositoryName, digest: &Digest) -> Result<Option<Tag>> {
        let asked = Asked { names: true, ..Asked::default() };
        let standing = self.inner.catalog.standing(repository, &asked, Some(*digest)).await?;
        Ok(current_version(&standing.names).cloned())
    }

    /// Lets a pull through or refuses it; what is to be said is answered. Only what `counts` as a pull is noted when it is warned.
    pub(crate) async fn judge_pull(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        reference: &Reference,
        digest: &Digest,
        counts: bool,
    ) -> Result<Vec<String>> {
        match self.about_latest(repository, reference, digest).await? {
            None => Ok(Vec::new()),
            Some((Level::Enforce, told)) => Err(self.refused(actor, repository, vec![told])),
            Some((_, told)) => {
                if counts {
                    self.pull_warned(actor, repository, &told);
                }
                Ok(vec![told.to_string()])
            }
        }
    }

    async fn about_latest(
        &self,
        repository: &RepositoryName,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<Option<(Level, Told)>> {
        let Reference::Tag(tag) = reference else { return Ok(None) };
        if tag.as_str() != "latest" {
            return Ok(None);
        }
        let rules = self.rules_of(repository).await?;
        let production = if rules.rules.production { Level::Warn } else { Level::Off };
        let level = rules.rules.latest.pull.unwrap_or(production);
        if level == Level::Off {
            return Ok(None);
        }
        let pattern = rules.pattern_of("latest").or_else(|| rules.pattern_of("production"));
        let (is, instead) = match self.manifest_version(repository, digest).await? {
            Some(version) => (version.to_string(), pull_of(repository, version.as_str())),
            None => (digest.to_string(), format!("docker pull HOST/{repository}@{digest}")),
        };
        let why = format!("latest is {is} now");
        Ok(Some((level, Told { rule: "latest", pattern, tag: Some(tag.clone()), why, instead })))
    }
}
