//! Rules at the door, through pushes, moves, deletes and pulls.

mod aliases;
mod content;
mod documents;
mod signatures;
mod tags;
mod texts;

use std::sync::Arc;

use larder_blobs::BlobStore;
use larder_blobs::memory::MemoryStore;
use larder_catalog::Catalog;
use larder_catalog::model::access::AuditFilter;
use larder_oci::{Digest, Reference};
use larder_registry::testing;
use larder_registry::{Actor, Error, ManifestPushed, ManualClock, Registry, Result, Rights};
use serde_json::Value;

use crate::driver::{Driver, image, name, tag};

pub const MODEL: &str = "team/ml-model";

/// A registry in which rules hold.
pub struct Ruled {
    pub driver: Driver,
    catalog: Catalog,
}

impl Ruled {
    pub async fn by(rules: Value) -> Self {
        let store: Arc<dyn BlobStore> = Arc::new(MemoryStore::default());
        let catalog = Catalog::open_memory().await.expect("a catalog");
        let clock = Arc::new(ManualClock::starting("2026-11-21T12:00:00Z".parse().expect("a time")));
        let registry =
            Registry::open(testing::settings(), Arc::clone(&store), catalog.clone(), Arc::clone(&clock) as Arc<_>);
        let registry = registry.await.expect("a registry");
        let driver = Driver { registry, store, clock, actor: Actor::anonymous(Rights::Everything) };
        let ruled = Self { driver, catalog };
        ruled.set(MODEL, rules).await;
        ruled
    }

    pub async fn set(&self, repository: &str, rules: Value) {
        let Driver { registry, actor, .. } = &self.driver;
        registry.set_rules(actor, &name(repository), &rules.to_string()).await.expect("rules");
    }

    /// Pushes an image that consists of these words.
    pub async fn push(&self, reference: &str, words: &str) -> Result<ManifestPushed> {
        for bytes in [words.as_bytes(), b"{}"] {
            self.driver.push_blob(MODEL, bytes).await;
        }
        self.driver.push_manifest(MODEL, reference, &image(&[words.as_bytes()])).await
    }

    /// The same, and it passes without a word.
    pub async fn pushed(&self, reference: &str, words: &str) -> Digest {
        let pushed = self.push(reference, words).await.unwrap_or_else(|error| panic!("{reference}: {error}"));
        assert_eq!(pushed.warnings, Vec::<String>::new(), "{reference}");
        pushed.digest
    }

    pub async fn at(&self, tag: &str) -> Option<Digest> {
        self.driver.resolve(MODEL, tag).await
    }

    pub async fn retag(&self, to: &str, from: &Digest) -> Result<Vec<String>> {
        let Driver { registry, actor, .. } = &self.driver;
        let moved = registry.move_tag(actor, &name(MODEL), &tag(to), &Reference::Digest(*from)).await?;
        Ok(moved.warnings)
    }

    /// How a tag moved, the newest first.
    pub async fn history(&self, of: &str) -> Vec<String> {
        let Driver { registry, actor, .. } = &self.driver;
        let found = registry.tag_history(actor, &name(MODEL), &tag(of), None, 99).await.expect("a history");
        found.items.into_iter().map(|event| event.how).collect()
    }

    /// What the audit has of an action: who, the object, how often.
    pub async fn audited(&self, action: &str) -> Vec<(String, u64)> {
        self.driver.registry.flush_pulls().await.expect("flushed");
        let filter = AuditFilter { action: Some(action.to_owned()), ..AuditFilter::default() };
        let entries = self.catalog.audit(&filter, None, 99).await.expect("an audit");
        entries.items.into_iter().map(|entry| (entry.object.unwrap_or_default(), entry.count)).collect()
    }
}

/// What a refusal says.
pub fn refused<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    match outcome {
        Err(error @ Error::Refused(_)) => error.to_string(),
        other => panic!("{other:?} is no refusal"),
    }
}

pub fn operator() -> Actor {
    Actor::operator()
}
