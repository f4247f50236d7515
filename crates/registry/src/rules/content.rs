//! What an image is made of, read from its manifest and its configuration; of an index, from those of its entries.

use std::collections::BTreeMap;

use larder_oci::{Descriptor, Digest, ManifestKind, ParsedManifest, Reference, RepositoryName, Tag};
use serde::Deserialize;

use super::judge::is_companion;
use super::signature::{Key, may_sign, signs};
use super::{Content, Effective, Level};
use crate::{Actor, Registry, Result};

/// Entries of an index that are looked into; more are not known by their labels and platforms.
const ENTRIES: usize = 64;
/// Referrers among which signatures are looked for, and bytes of the largest.
const REFERRERS: usize = 100;
const SIGNATURE: u64 = 1 << 20;
/// What BuildKit says of an entry that is no image but says something about one.
const NO_PLATFORM: &str = "unknown/unknown";

/// The parts of a configuration that rules are about.
#[derive(Default, Deserialize)]
struct Configuration {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    config: Option<Settings>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default, rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

impl Registry {
    /// What a manifest is made of. What refers to another manifest and gets no tag of people is no image: rules of content are not about it.
    pub(crate) async fn content_of(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        (manifest, digest, size): (&ParsedManifest, &Digest, u64),
        tags: &[Tag],
        rules: &Effective,
    ) -> Result<Option<Content>> {
        let is_referrer = manifest.subject.is_some() && tags.iter().all(is_companion);
        if is_referrer || !rules.rules.need_content() {
            return Ok(None);
        }
        let mut content = self.own_content(actor, repository, manifest, size).await?;
        if let Some(rule) = rules.rules.signature.as_ref().filter(|rule| rule.level != Level::Off) {
            content.signed = self.is_signed(actor, repository, digest, &rule.keys).await?;
        }
        if manifest.kind == ManifestKind::Index {
            let mut labels: Option<BTreeMap<String, String>> = None;
            for entry in manifest.manifests.iter().take(ENTRIES) {
                let Some(image) = self.entry_content(actor, repository, entry).await? else { continue };
                content.bytes = content.bytes.saturating_add(image.bytes);
                content.largest_layer = content.largest_layer.max(image.largest_layer);
                content.media_types.extend(image.media_types);
                if platform_of(entry).as_deref() == Some(NO_PLATFORM) {
                    continue;
                }
                content.platforms.extend(platform_of(entry).into_iter().chain(image.platforms));
                labels = Some(match labels {
                    None => image.labels,
                    Some(all) => all.into_iter().filter(|(name, _)| image.labels.contains_key(name)).collect(),
                });
            }
            content.labels = labels.unwrap_or_default();
        }
        Ok(Some(content))
    }

    /// The same for a manifest that is here.
    pub(crate) async fn stored_content(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        digest: &Digest,
        tags: &[Tag],
        rules: &Effective,
    ) -> Result<Option<Content>> {
        let row = self.inner.catalog.manifest(repository, &Reference::Digest(*digest), true).await?;
        let Some((row, bytes)) = row.and_then(|mut row| row.bytes.take().map(|bytes| (row, bytes))) else {
            return Ok(None);
        };
        let manifest = ParsedManifest::parse(&bytes, Some(&row.media_type))?;
        self.content_of(actor, repository, (&manifest, digest, row.size), tags, rules).await
    }

    /// What the keys of the repository's rule `signature` say of a manifest; `None` when it names none.
    pub(crate) async fn verified(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<bool>> {
        let Some(rule) = self.rules_of(repository).await?.rules.signature else { return Ok(None) };
        self.is_signed(actor, repository, digest, &rule.keys).await.map(Some)
    }

    /// Whether a signature by one of the keys is here: under cosign's tag, or among the referrers.
    async fn is_signed(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        digest: &Digest,
        keys: &[Key],
    ) -> Result<bool> {
        let referrers = self.inner.catalog.referrers(repository, digest, None, None, REFERRERS).await?;
        let mut references: Vec<Reference> =
            referrers.items.into_iter().map(|found| Reference::Digest(found.digest)).collect();
        references.extend(format!("{}-{}.sig", digest.algorithm(), digest.hex()).parse().map(Reference::Tag));
        for reference in references {
            let row = self.inner.catalog.manifest(repository, &reference, true).await?;
            let Some((row, bytes)) = row.and_then(|mut row| row.bytes.take().map(|bytes| (row, bytes))) else {
                continue;
            };
            let manifest = ParsedManifest::parse(&bytes, Some(&row.media_type))?;
            for layer in manifest.layers.iter().filter(|layer| may_sign(layer) && layer.size <= SIGNATURE) {
                let bytes = self.member_bytes(actor, repository, layer).await?;
                if bytes.is_some_and(|bytes| signs(layer, &bytes, digest, keys)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn own_content(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        manifest: &ParsedManifest,
        size: u64,
    ) -> Result<Content> {
        let parts = || manifest.config.iter().chain(&manifest.layers);
        let types = parts().map(|part| &part.media_type).chain(&manifest.artifact_type);
        let mut content = Content {
            annotations: manifest.annotations.clone(),
            media_types: types.chain([&manifest.media_type]).filter(|text| !text.is_empty()).cloned().collect(),
            bytes: parts().fold(size, |sum, part| sum.saturating_add(part.size)),
            largest_layer: manifest.layers.iter().map(|layer| layer.size).max().unwrap_or(0),
            ..Content::default()
        };
        let bytes = match &manifest.config {
            Some(config) => self.configuration(actor, repository, config).await?,
            None => None,
        };
        let configuration: Configuration =
            bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        if let (Some(os), Some(architecture)) = (configuration.os, configuration.architecture) {
            content.platforms.extend([platform(&os, &architecture, configuration.variant.as_deref())]);
        }
        content.labels = configuration.config.and_then(|config| config.labels).unwrap_or_default();
        Ok(content)
    }

    async fn entry_content(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        entry: &Descriptor,
    ) -> Result<Option<Content>> {
        let row = self.inner.catalog.manifest(repository, &Reference::Digest(entry.digest), true).await?;
        let Some((row, bytes)) = row.and_then(|mut row| row.bytes.take().map(|bytes| (row, bytes))) else {
            return Ok(None);
        };
        let manifest = ParsedManifest::parse(&bytes, Some(&row.media_type))?;
        self.own_content(actor, repository, &manifest, row.size).await.map(Some)
    }
}

fn platform_of(entry: &Descriptor) -> Option<String> {
    let of = entry.platform.as_ref()?;
    Some(platform(&of.os, &of.architecture, of.variant.as_deref()))
}

fn platform(os: &str, architecture: &str, variant: Option<&str>) -> String {
    let variant =
        variant.filter(|variant| !variant.is_empty()).map_or_else(String::new, |variant| format!("/{variant}"));
    format!("{os}/{architecture}{variant}")
}
