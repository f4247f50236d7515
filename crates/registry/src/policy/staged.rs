//! What stands in a stage, or lately did, is not for policies to take (behaviour §5).

use std::collections::BTreeSet;
use std::time::Duration;

use larder_oci::{Digest, RepositoryName, Tag};

use super::facts::Facts;
use super::texts::Standing;
use crate::clock::before;
use crate::{Registry, Result};

const DAY: u64 = 24 * 60 * 60;

impl Registry {
    /// Marks the images that stages protect: by their tags, and by what every policy about the repository says.
    pub(super) async fn mark_staged(
        &self,
        repository: &RepositoryName,
        standing: &Standing,
        facts: &mut Facts,
    ) -> Result<()> {
        let stages: BTreeSet<Tag> = self.stage_tags(repository).await?.into_iter().collect();
        let mut lately: BTreeSet<Digest> = BTreeSet::new();
        for protected in standing.policies.iter().filter_map(|(_, policy)| policy.protected_stages.as_ref()) {
            let since = before(self.now(), Duration::from_secs(protected.days * DAY));
            for stage in &protected.names {
                lately.extend(self.inner.catalog.staged_since(repository, stage, since).await?);
            }
        }
        for image in &mut facts.images {
            image.staged = lately.contains(&image.digest) || image.tags.iter().any(|tag| stages.contains(tag));
        }
        Ok(())
    }
}
