//! Moves of a stage by whoever knows no stages: docker, or a tag that is set by hand.

use larder_oci::{Digest, RepositoryName, Tag};

use super::layout::Layout;
use super::{Refusal, Shown};
use crate::rules::is_companion;
use crate::{Registry, Result};

impl Registry {
    /// Whether a push may point these tags somewhere. A stage without gates may be moved by anybody who may push, and that is written down; one with
    /// gates is moved by promotion. `refers`: what is pushed only says something about a manifest that is there, as a signature does.
    pub(crate) async fn may_move(&self, repository: &RepositoryName, tags: &[Tag], refers: bool) -> Result<()> {
        let first = repository.as_str().split('/').next().unwrap_or_default().to_owned();
        let names = tags.iter().map(Tag::to_string).chain([first]).collect();
        if !self.inner.catalog.are_stages(names).await? {
            return Ok(());
        }
        let layout = self.layout(repository).await?;
        match gated(&layout, tags, refers) {
            None => Ok(()),
            Some(stage) => Err(Refusal::Gated { repository: layout.base.clone(), stage }.into()),
        }
    }

    /// Whether a manifest may be deleted: not while it stands in a stage (behaviour §3).
    pub(crate) async fn may_leave_stages(&self, repository: &RepositoryName, digest: &Digest) -> Result<()> {
        for stage in self.layout(repository).await?.stages.tags() {
            let standing = self.inner.catalog.stage_entry(repository, &stage).await?;
            if standing.is_some_and(|entry| entry.digest == *digest) {
                return Err(Refusal::InStage { digest: *digest, stage }.into());
            }
        }
        Ok(())
    }
}

/// The stage with gates that these tags would move.
fn gated(layout: &Layout, tags: &[Tag], refers: bool) -> Option<Tag> {
    let is_gated = |stage: &Tag| layout.stages.find(stage).is_some_and(|(stage, _)| !stage.gates.is_open());
    match layout.stages.shown {
        Shown::Tag => tags.iter().find(|tag| is_gated(tag)).cloned(),
        Shown::Repository => {
            // A `subject` alone makes an image no signature: what gets a tag of people enters.
            let enters = if tags.is_empty() { !refers } else { !tags.iter().all(is_companion) };
            layout.is_stage.clone().filter(|stage| enters && is_gated(stage))
        }
    }
}
