//! What something is, and what it runs on.

use larder_oci::{Descriptor, ManifestKind, ParsedManifest, RepositoryName, media_type};
use larder_registry::ManifestFacts;

use super::commands::Thing;
use super::image::{self, platform};
use super::{Result, Visit};

const MODEL_MANIFEST: &str = "application/vnd.cncf.model.manifest.v1+json";
const MODEL_CONFIG: &str = "application/vnd.cncf.model.config.v1+json";

/// What a manifest's facts say that it is.
pub(super) fn thing(media_type: &str, artifact_type: Option<&str>) -> Thing {
    match artifact_type {
        Some(media_type::OCI_CONFIG | media_type::DOCKER_CONFIG) => Thing::Image,
        Some(MODEL_MANIFEST | MODEL_CONFIG) => Thing::Model,
        Some(media_type::HELM_CONFIG) => Thing::Chart,
        None if media_type::is_index(media_type) => Thing::Image,
        _ => Thing::Artifact,
    }
}

/// The same as people call it.
pub(super) fn word(facts: &ManifestFacts) -> &'static str {
    match thing(&facts.media_type, facts.artifact_type.as_deref()) {
        Thing::Image if media_type::is_index(&facts.media_type) => "Multi-platform image",
        Thing::Image => "Image",
        Thing::Model => "Model",
        Thing::Chart => "Helm chart",
        Thing::Artifact => referrer_word(facts.artifact_type.as_deref().unwrap_or_default()),
    }
}

/// What something is that refers to something else, by its type.
pub(super) fn referrer_word(artifact_type: &str) -> &'static str {
    let has = |part: &str| artifact_type.contains(part);
    if has("cosign") && has("sig") || has("notary") || has("signature") || has("sigstore.bundle") {
        "Signature"
    } else if has("spdx") || has("cyclonedx") || has("sbom") {
        "SBOM"
    } else if has("in-toto") || has("attestation") || has("slsa") {
        "Attestation"
    } else if has("sarif") || has("vuln") || has("scan") {
        "Scan"
    } else {
        "Artifact"
    }
}

/// What an entry of an index runs on; `None` for what is no image, such as an attestation.
pub(super) fn of_entry(entry: &Descriptor) -> Option<String> {
    let told = entry.platform.as_ref()?;
    let is_unknown = told.os.is_empty() || told.os == "unknown";
    (!is_unknown).then(|| platform(&told.os, &told.architecture, told.variant.as_deref().unwrap_or_default()))
}

/// What something runs on: the entries of an index, or the configuration of an image.
pub(super) async fn of(visit: &Visit<'_>, name: &RepositoryName, facts: &ManifestFacts) -> Result<Vec<String>> {
    if thing(&facts.media_type, facts.artifact_type.as_deref()) != Thing::Image {
        return Ok(Vec::new());
    }
    let Ok(view) = visit.registry.view_manifest(visit.actor(), name, &facts.digest.into()).await else {
        // Deleted meanwhile.
        return Ok(Vec::new());
    };
    let Ok(manifest) = ParsedManifest::parse(&view.bytes, Some(&facts.media_type)) else { return Ok(Vec::new()) };
    if manifest.kind == ManifestKind::Index {
        let mut all: Vec<String> = manifest.manifests.iter().filter_map(of_entry).collect();
        all.dedup();
        return Ok(all);
    }
    let config = image::config(visit, name, &manifest).await?;
    Ok(config.map(|config| config.platform()).filter(|platform| !platform.is_empty()).into_iter().collect())
}
