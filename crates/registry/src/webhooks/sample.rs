//! A sample of the pulls as events: all of them would be more rows than everything else together.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_catalog::model::webhooks::SampledPull;
use larder_oci::{Digest, Reference, RepositoryName};
use serde_json::json;

use crate::{Actor, Registry, Result};

/// Events kept between two flushes; more are dropped, for it is a sample.
const KEPT: usize = 1_000;

/// Pulls since the last flush.
#[derive(Default)]
pub(crate) struct Sample {
    count: AtomicU64,
    taken: Mutex<Vec<SampledPull>>,
}

impl Registry {
    /// Takes one in so many pulls (`events.pulls`).
    pub(crate) fn sample_pull(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        reference: &Reference,
        (digest, media_type, size): (&Digest, &str, u64),
    ) {
        let (sample, every) = (&self.inner.sample, self.inner.settings.pull_events);
        if every == 0 || !sample.count.fetch_add(1, Ordering::Relaxed).is_multiple_of(every) {
            return;
        }
        let mut payload = json!({ "digest": digest.to_string(), "mediaType": media_type, "size": size });
        if let Reference::Tag(tag) = reference {
            payload["tag"] = tag.as_str().into();
        }
        let mut taken = sample.taken.lock().expect("no panic happens under this lock");
        if taken.len() < KEPT {
            let payload = payload.to_string();
            taken.push(SampledPull { repository: repository.clone(), payload, stamp: self.stamp(actor) });
        }
    }

    /// Writes the sample down.
    pub(crate) async fn flush_sample(&self) -> Result<()> {
        let taken = std::mem::take(&mut *self.inner.sample.taken.lock().expect("no panic happens under this lock"));
        if taken.is_empty() {
            return Ok(());
        }
        Ok(self.inner.catalog.record_pulls(taken).await?)
    }
}
