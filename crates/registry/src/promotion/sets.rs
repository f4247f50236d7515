//! Stages as they are set, for one repository or for a pattern of names, and which ones count.

use jiff::Timestamp;
use larder_catalog::model::promotion::{StageEntry, StageSetRow};
use larder_oci::{Action, RepositoryName, RepositoryPattern};

use super::layout::Layout;
use super::{Gates, Refusal, Shown, Stages};
use crate::{Actor, Error, Page, PageRequest, Registry, Result};

/// Stages as they were set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageText {
    /// The repositories that they are for: one name, or a pattern.
    pub pattern: RepositoryPattern,
    /// Their text, as it was given.
    pub text: String,
    /// When they were set.
    pub set: Timestamp,
    /// Who set them.
    pub set_by: String,
}

/// The stages of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagesView {
    /// How they are shown.
    pub shown: Shown,
    /// Where they come from; `None` for those that every repository has.
    pub effective: Option<StageText>,
    /// Others that match and do not count, the most specific first.
    pub others: Vec<StageText>,
    /// The stages, in order.
    pub stages: Vec<StageView>,
}

/// A stage, and what stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageView {
    /// Its name.
    pub name: String,
    /// Where it is: `ml-model:prod`, or `prod/ml-model`.
    pub place: String,
    /// What it asks.
    pub gates: Gates,
    /// What stands there; nothing where it is a repository, which has all its versions.
    pub standing: Option<StageEntry>,
    /// Other tags of what stands there.
    pub tags: Vec<String>,
}

/// Tags that are shown beside a stage.
const TAGS: usize = 20;

impl Registry {
    /// The stages of a repository, and what stands in them.
    pub async fn stages(&self, actor: &Actor, repository: &RepositoryName) -> Result<StagesView> {
        self.permit(actor, Action::Pull, repository).await?;
        let layout = self.layout(repository).await?;
        let mut stages = Vec::new();
        for stage in &layout.stages.stages {
            let standing = match layout.stages.shown {
                Shown::Tag => self.inner.catalog.stage_entry(&layout.base, &stage.name).await?,
                Shown::Repository => None,
            };
            let mut tags = Vec::new();
            if let Some(entry) = &standing {
                let page = self.inner.catalog.tags_of(&layout.base, &entry.digest, TAGS).await?;
                tags.extend(page.items.into_iter().filter(|tag| *tag != stage.name).map(|tag| tag.to_string()));
            }
            let (name, place, gates) = (stage.name.to_string(), layout.place(&stage.name), stage.gates.clone());
            stages.push(StageView { name, place, gates, standing, tags });
        }
        let Layout { stages: Stages { shown, .. }, effective, others, .. } = layout;
        Ok(StagesView { shown, effective, others, stages })
    }

    /// Sets a repository's own stages.
    pub async fn set_stages(&self, actor: &Actor, repository: &RepositoryName, text: &str) -> Result<StagesView> {
        self.permit_write(actor, Action::Admin, repository).await?;
        self.store_stages(actor, &RepositoryPattern::from(repository), text).await?;
        self.stages(actor, repository).await
    }

    /// Removes a repository's own stages; those of a pattern may then count.
    pub async fn remove_stages(&self, actor: &Actor, repository: &RepositoryName) -> Result<()> {
        self.permit_write(actor, Action::Admin, repository).await?;
        self.forget_stages(actor, &RepositoryPattern::from(repository)).await
    }

    /// All stages that were set.
    pub async fn stage_texts(&self, actor: &Actor, page: &PageRequest) -> Result<Page<StageText>> {
        self.operator(actor)?;
        let found = self.inner.catalog.stage_sets(page.after.as_deref(), page.limit).await?;
        Ok(Page { items: found.items.into_iter().map(StageText::from).collect(), more: found.more })
    }

    /// Sets the stages of all repositories that a pattern matches and that have none of their own.
    pub async fn set_pattern_stages(&self, actor: &Actor, pattern: &RepositoryPattern, text: &str) -> Result<()> {
        self.operator(actor)?;
        self.writable()?;
        self.store_stages(actor, pattern, text).await
    }

    /// Removes the stages of a pattern.
    pub async fn remove_pattern_stages(&self, actor: &Actor, pattern: &RepositoryPattern) -> Result<()> {
        self.operator(actor)?;
        self.writable()?;
        self.forget_stages(actor, pattern).await
    }

    async fn store_stages(&self, actor: &Actor, pattern: &RepositoryPattern, text: &str) -> Result<()> {
        let stages = Stages::read(text).map_err(Refusal::Invalid)?;
        let (tags, names) = (stages.tags(), stages.names());
        match self.inner.catalog.set_stages(pattern, text, (&tags, &names), self.stamp(actor)).await? {
            true => Ok(()),
            false => Err(Refusal::TooMany(larder_catalog::WILDCARD_STAGES).into()),
        }
    }

    async fn forget_stages(&self, actor: &Actor, pattern: &RepositoryPattern) -> Result<()> {
        let removed = self.inner.catalog.remove_stages(pattern, self.stamp(actor)).await?;
        if removed { Ok(()) } else { Err(Refusal::NotSet(pattern.clone()).into()) }
    }
}

impl From<StageSetRow> for StageText {
    fn from(row: StageSetRow) -> Self {
        let StageSetRow { pattern, text, set, set_by, .. } = row;
        Self { pattern, text, set, set_by }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Promotion(Box::new(refusal))
    }
}
