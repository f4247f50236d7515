//! What an image says about where it comes from: labels of its configuration and annotations of its manifest. They are noted with the push, so that a
//! tag's history tells them after the image is gone.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use larder_blobs::BlobKey;
use larder_oci::{Descriptor, ManifestKind, ParsedManifest, RepositoryName, media_type};
use serde::Deserialize;

use crate::{Actor, Registry, Result};

/// Names that begin so are noted. `larder.` is reserved: `larder.run.id`, `larder.run.url`, `larder.dataset`, `larder.base-model`,
/// `larder.metric.NAME`.
const NOTED: [&str; 2] = ["org.opencontainers.image.", "larder."];
/// Labels of one image that are noted, and bytes of the longest value.
const MOST: usize = 64;
const LONGEST: usize = 1_024;
/// A configuration larger than this is not looked into.
const CONFIG_LIMIT: u64 = 1 << 20;
/// Entries of an index that are asked for their labels.
const ENTRIES: usize = 4;

type Labels = BTreeMap<String, String>;

/// The part of a configuration that holds labels.
#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    config: Option<Settings>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default, rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl Registry {
    /// The labels of a manifest that is being pushed, as JSON; `None` where there are none. What cannot be read has none: the push goes on.
    pub(crate) async fn labels_of(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        manifest: &ParsedManifest,
    ) -> Option<String> {
        let mut labels = match self.look_for_labels(actor, repository, manifest).await {
            Ok(labels) => labels,
            Err(error) => {
                tracing::debug!(error = crate::error::with_causes(&error), "an image's labels could not be read");
                Labels::new()
            }
        };
        labels.extend(manifest.annotations.clone());
        labels.retain(|name, value| NOTED.iter().any(|noted| name.starts_with(noted)) && value.len() <= LONGEST);
        while labels.len() > MOST {
            labels.pop_last();
        }
        (!labels.is_empty()).then(|| serde_json::to_string(&labels).expect("a map of strings is JSON"))
    }

    /// Those of the configuration; of an index, those of its first entry that has some.
    async fn look_for_labels(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        manifest: &ParsedManifest,
    ) -> Result<Labels> {
        if let Some(config) = manifest.config.as_ref().filter(|config| is_readable(config)) {
            return self.labels_in(actor, repository, config).await;
        }
        if manifest.kind == ManifestKind::Index {
            for entry in manifest.manifests.iter().take(ENTRIES) {
                if let Some(labels) = self.inner.catalog.manifest_labels(repository, &entry.digest).await? {
                    return Ok(serde_json::from_str(&labels).unwrap_or_default());
                }
            }
        }
        Ok(Labels::new())
    }

    async fn labels_in(&self, actor: &Actor, repository: &RepositoryName, config: &Descriptor) -> Result<Labels> {
        let Some(bytes) = self.configuration(actor, repository, config).await? else { return Ok(Labels::new()) };
        let read: Option<Configuration> = serde_json::from_slice(&bytes).ok();
        Ok(read.and_then(|read| read.config?.labels).unwrap_or_default())
    }

    /// The bytes of an image's configuration, if it is here, of a kind that is known, and not too large.
    pub(crate) async fn configuration(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        config: &Descriptor,
    ) -> Result<Option<Vec<u8>>> {
        if is_readable(config) { self.member_bytes(actor, repository, config).await } else { Ok(None) }
    }

    /// The bytes of a blob whose size is known to be small, if it is here and has that size.
    pub(crate) async fn member_bytes(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        blob: &Descriptor,
    ) -> Result<Option<Vec<u8>>> {
        let member = self.inner.catalog.member_blob(repository, &blob.digest, actor.identity()).await?;
        let Some(member) = member.filter(|member| member.blob.size == blob.size && member.verified) else {
            return Ok(None);
        };
        let object = self.inner.store.open(&BlobKey::from_stored(member.blob.key), blob.size).await?;
        let mut bytes = Vec::new();
        let mut pieces = object.read(0..blob.size);
        while let Some(piece) = pieces.try_next().await.map_err(unreadable)? {
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }
}

fn unreadable(source: std::io::Error) -> larder_blobs::Error {
    larder_blobs::Error::Io { context: "a small blob cannot be read".to_owned(), source }
}

fn is_readable(config: &Descriptor) -> bool {
    matches!(config.media_type.as_str(), media_type::OCI_CONFIG | media_type::DOCKER_CONFIG)
        && config.size <= CONFIG_LIMIT
}
