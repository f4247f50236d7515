//! Who runs this version: the last pull of each identity from a stage. Noted in memory, and written down with the times of pulls.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;

use jiff::Timestamp;
use larder_catalog::model::promotion::NotedPull;
use larder_oci::{Action, Digest, RepositoryName, Tag};

use crate::{Actor, Page, PageRequest, Registry, Result};

/// Pulls noted between two flushes; more are dropped.
const KEPT: usize = 100_000;
/// Tags that are shown beside a digest.
const TAGS: usize = 20;

/// Who pulled what since the last flush.
#[derive(Default)]
pub(crate) struct NotedPulls(Mutex<HashMap<(RepositoryName, Digest, String), Timestamp>>);

impl NotedPulls {
    pub fn note(&self, repository: &RepositoryName, digest: Digest, identity: &str, now: Timestamp) {
        let mut noted = self.0.lock().expect("no panic happens under this lock");
        let key = (repository.clone(), digest, identity.to_owned());
        if noted.len() < KEPT || noted.contains_key(&key) {
            noted.insert(key, now);
        }
    }

    fn take(&self) -> HashMap<(RepositoryName, Digest, String), Timestamp> {
        std::mem::take(&mut *self.0.lock().expect("no panic happens under this lock"))
    }
}

/// The last pull of somebody from a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagePullView {
    /// Who.
    pub identity: String,
    /// What stood there.
    pub digest: Digest,
    /// Its tags now.
    pub tags: Vec<String>,
    /// When.
    pub at: Timestamp,
}

impl Registry {
    /// Who pulled what stands in a stage, and when last. Whoever may move the stage may know.
    pub async fn stage_pulls(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        stage: &Tag,
        page: &PageRequest,
    ) -> Result<Page<StagePullView>> {
        if !self.may(actor, Action::TagMove, repository).await? {
            self.permit(actor, Action::Push, repository).await?;
        }
        let layout = self.layout(repository).await?;
        layout.find(stage)?;
        self.flush_stage_pulls().await?;
        let found = self.inner.catalog.stage_pulls(&layout.base, stage, page.after.as_deref(), page.limit).await?;
        let place = match layout.stages.shown {
            super::Shown::Tag => layout.base.clone(),
            super::Shown::Repository => layout.repository(stage)?,
        };
        let (mut items, mut known) = (Vec::new(), HashMap::new());
        for pull in found.items {
            if let Entry::Vacant(unknown) = known.entry(pull.digest) {
                let tags = self.inner.catalog.tags_of(&place, &pull.digest, TAGS).await?.items;
                let others = tags.iter().filter(|tag| *tag != stage).map(Tag::to_string);
                unknown.insert(others.collect::<Vec<_>>());
            }
            let tags = known[&pull.digest].clone();
            items.push(StagePullView { identity: pull.identity, digest: pull.digest, tags, at: pull.at });
        }
        Ok(Page { items, more: found.more })
    }

    /// Writes down who pulled from which stage.
    pub(crate) async fn flush_stage_pulls(&self) -> Result<()> {
        let noted = self.inner.stage_pulls.take();
        if noted.is_empty() || self.inner.settings.read_only {
            return Ok(());
        }
        let mut stages: HashMap<RepositoryName, Option<(RepositoryName, Tag)>> = HashMap::new();
        let mut pulls = Vec::with_capacity(noted.len());
        for ((repository, digest, identity), at) in noted {
            let stage = match stages.entry(repository.clone()) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(unknown) => unknown.insert(self.stage_of(&repository).await?).clone(),
            };
            pulls.push(NotedPull { repository, digest, identity, at, stage });
        }
        Ok(self.inner.catalog.stage_pulled(pulls).await?)
    }

    /// The stage that a repository is.
    async fn stage_of(&self, repository: &RepositoryName) -> Result<Option<(RepositoryName, Tag)>> {
        let first = repository.as_str().split('/').next().unwrap_or_default().to_owned();
        if !self.inner.catalog.are_stages(vec![first]).await? {
            return Ok(None);
        }
        let layout = self.layout(repository).await?;
        Ok(layout.is_stage.map(|stage| (layout.base, stage)))
    }
}
