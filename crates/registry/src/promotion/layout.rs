//! Where the stages of a repository are: in tags of its own, or in repositories whose names begin with theirs.

use larder_catalog::model::promotion::StagePlace;
use larder_oci::{RepositoryName, Tag};

use super::sets::StageText;
use super::{Refusal, Shown, Stage, Stages};
use crate::{Error, Registry, Result};

/// The stages that a repository has, or is one of.
pub(super) struct Layout {
    /// Whose stages they are.
    pub base: RepositoryName,
    /// The stage that the repository itself is.
    pub is_stage: Option<Tag>,
    pub stages: Stages,
    pub effective: Option<StageText>,
    pub others: Vec<StageText>,
}

impl Layout {
    /// The stage of this name, and the one before it.
    pub fn find(&self, name: &Tag) -> Result<(&Stage, Option<&Stage>)> {
        let known = || self.stages.names();
        let unknown = || Refusal::NoStage { repository: self.base.clone(), stage: name.clone(), known: known() };
        self.stages.find(name).ok_or_else(|| unknown().into())
    }

    /// The repository that a stage is.
    pub fn repository(&self, stage: &Tag) -> Result<RepositoryName> {
        let text = format!("{stage}/{}", self.base);
        let wrong = |error: larder_oci::ParseError| Refusal::Invalid(format!("`{text}`: {error}")).into();
        text.parse().map_err(wrong)
    }

    /// Where a stage is, for people.
    pub fn place(&self, stage: &Tag) -> String {
        match self.stages.shown {
            Shown::Tag => format!("{}:{stage}", self.base),
            Shown::Repository => format!("{stage}/{}", self.base),
        }
    }

    /// Where a stage is, for the catalog.
    pub fn stage_place(&self, stage: &Tag) -> Result<StagePlace> {
        Ok(match self.stages.shown {
            Shown::Tag => StagePlace::Tag(self.base.clone(), stage.clone()),
            Shown::Repository => StagePlace::Repository(self.repository(stage)?),
        })
    }
}

impl Registry {
    /// The stages of a repository; of `prod/ml-model`, where that is a stage, those of `ml-model`.
    pub(super) async fn layout(&self, repository: &RepositoryName) -> Result<Layout> {
        if let Some((first, rest)) = repository.as_str().split_once('/')
            && let (Ok(stage), Ok(base)) = (first.parse::<Tag>(), rest.parse::<RepositoryName>())
        {
            let layout = self.own_layout(&base).await?;
            if layout.stages.shown == Shown::Repository && layout.stages.find(&stage).is_some() {
                return Ok(Layout { is_stage: Some(stage), ..layout });
            }
        }
        self.own_layout(repository).await
    }

    /// The stages of a repository that are tags.
    pub(crate) async fn stage_tags(&self, repository: &RepositoryName) -> Result<Vec<Tag>> {
        Ok(self.own_layout(repository).await?.stages.tags())
    }

    async fn own_layout(&self, base: &RepositoryName) -> Result<Layout> {
        let mut texts = self.inner.catalog.stages_for(base).await?.into_iter().map(StageText::from);
        let effective = texts.next();
        let stages = match &effective {
            None => Stages::default(),
            Some(set) => Stages::read(&set.text).map_err(|why| Error::Internal(format!("stored stages: {why}")))?,
        };
        Ok(Layout { base: base.clone(), is_stage: None, stages, effective, others: texts.collect() })
    }
}
