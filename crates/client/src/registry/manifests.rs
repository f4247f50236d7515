//! Manifests: get, look, put, delete. Their bytes are what their digest says, or they are an error (**Invariant 8**, **Invariant 12**).

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::Response;
use serde::Deserialize;

use larder_oci::digest::{Algorithm, Digest};
use larder_oci::media_type::{self, essence};
use larder_oci::reference::Reference;
use larder_oci::tag::Tag;

use super::Repository;
use super::reply;
use super::transport::Call;
use crate::error::{Error, Result};
use crate::hashing::Hasher;

/// More than any manifest that a registry has to take (4 MiB), and little enough to hold.
const MANIFEST_LIMIT: usize = 16 * 1024 * 1024;

/// What the client can read. `*/*` last: registries that look at `Accept` at all would else hide what is neither.
const ACCEPTED: [&str; 5] = [
    media_type::OCI_INDEX,
    media_type::OCI_MANIFEST,
    media_type::DOCKER_MANIFEST_LIST,
    media_type::DOCKER_MANIFEST,
    "*/*",
];

/// A manifest as it came, checked.
#[derive(Clone, Debug)]
pub struct FetchedManifest {
    /// The digest it was asked for by, or that the registry gives it.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
    /// Its bytes, which are never written anew.
    pub bytes: Bytes,
    /// `Warning` headers.
    pub warnings: Vec<String>,
}

/// What a `HEAD` tells of a manifest.
#[derive(Clone, Debug)]
pub struct ManifestHead {
    /// Its digest, where the registry tells.
    pub digest: Option<Digest>,
    /// Its media type.
    pub media_type: String,
    /// Its size, where the registry tells.
    pub size: Option<u64>,
}

/// What a registry answers to a manifest.
#[derive(Clone, Debug)]
pub struct ManifestPut {
    /// The manifest's digest.
    pub digest: Digest,
    /// `OCI-Subject`: the registry knows the manifest as a referrer, so nobody has to write the fallback tag.
    pub subject: Option<Digest>,
    /// `OCI-Tag`: further tags that were set with it.
    pub tags: Vec<Tag>,
    /// `Warning` headers.
    pub warnings: Vec<String>,
}

impl Repository {
    /// Gets a manifest (end-3). By digest, the bytes must have that digest; by tag, the digest that the registry names.
    pub async fn manifest(&self, reference: &Reference) -> Result<FetchedManifest> {
        let response = self.host.expect(&self.manifest_call(Method::GET, reference)?, &[200]).await?;
        let subject = self.named(reference);
        let announced = reply::content_digest(response.headers());
        let (content_type, warnings) = (content_type(&response), reply::warnings(response.headers()));
        let bytes = reply::body(response, MANIFEST_LIMIT, &subject, self.host.options.idle).await?;
        let expected = match reference {
            Reference::Digest(digest) => Some(*digest),
            Reference::Tag(_) => announced,
        };
        let algorithm = expected.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let digest = Hasher::digest(algorithm, &bytes);
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            return Err(Error::DigestMismatch { subject, expected: Box::new(expected), actual: Box::new(digest) });
        }
        let media_type = content_type.unwrap_or_else(|| media_type_inside(&bytes));
        Ok(FetchedManifest { digest, media_type, bytes, warnings })
    }

    /// Looks at a manifest (end-3); `None` when it is not there.
    pub async fn manifest_head(&self, reference: &Reference) -> Result<Option<ManifestHead>> {
        let call = self.manifest_call(Method::HEAD, reference)?;
        let response = self.host.expect(&call, &[200, 404]).await?;
        Ok((response.status().as_u16() == 200).then(|| ManifestHead {
            digest: reply::content_digest(response.headers()),
            media_type: content_type(&response).unwrap_or_default(),
            size: reply::content_length(response.headers()),
        }))
    }

    /// Puts a manifest (end-7a), byte for byte. `tags` are set in the same request where the registry can (end-7b; `reference` must then be
    /// a digest); which of them were is in the answer.
    pub async fn put_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: Bytes,
        tags: &[Tag],
    ) -> Result<ManifestPut> {
        let algorithm = match reference {
            Reference::Digest(digest) => digest.algorithm(),
            Reference::Tag(_) => Algorithm::Sha256,
        };
        let digest = Hasher::digest(algorithm, &bytes);
        let mut url = self.host.url(&format!("{}/manifests/{reference}", self.name))?;
        for tag in tags {
            url.query_pairs_mut().append_pair("tag", tag.as_str());
        }
        let call = Call::new(Method::PUT, url, self.push(), self.named(reference))
            .header(CONTENT_TYPE, media_type)?
            .body(bytes);
        let response = self.host.expect(&call, &[201, 200, 202, 204]).await?;
        let headers = response.headers();
        if let Some(other) = reply::content_digest(headers).filter(|d| d.algorithm() == algorithm && *d != digest) {
            return Err(Error::DigestMismatch {
                subject: call.subject,
                expected: Box::new(digest),
                actual: Box::new(other),
            });
        }
        let oci_tags =
            headers.get_all("oci-tag").iter().filter_map(|value| value.to_str().ok()).flat_map(|line| line.split(','));
        Ok(ManifestPut {
            digest,
            subject: reply::header(headers, "oci-subject").and_then(|text| text.trim().parse().ok()),
            tags: oci_tags.filter_map(|tag| tag.trim().parse().ok()).collect(),
            warnings: reply::warnings(headers),
        })
    }

    /// Deletes a manifest or a tag (end-9).
    pub async fn delete_manifest(&self, reference: &Reference) -> Result<()> {
        let url = self.host.url(&format!("{}/manifests/{reference}", self.name))?;
        let call = Call::new(Method::DELETE, url, self.delete(), self.named(reference));
        self.host.expect(&call, &[202, 200, 204]).await.map(drop)
    }

    fn manifest_call(&self, method: Method, reference: &Reference) -> Result<Call> {
        let url = self.host.url(&format!("{}/manifests/{reference}", self.name))?;
        Call::new(method, url, self.pull(), self.named(reference)).header(ACCEPT, &ACCEPTED.join(", "))
    }
}

/// The answer's media type, unless it is one of those that say nothing.
fn content_type(response: &Response) -> Option<String> {
    let text = essence(reply::header(response.headers(), CONTENT_TYPE)?);
    let says_nothing = matches!(text, "" | "text/plain" | "application/octet-stream" | "application/json");
    (!says_nothing).then(|| text.to_owned())
}

/// The body's own `mediaType`; without one, its shape tells.
pub(crate) fn media_type_inside(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    match serde_json::from_slice::<Shape>(bytes) {
        Ok(Shape { media_type: Some(text), .. }) => text,
        Ok(Shape { manifests: Some(_), .. }) => media_type::OCI_INDEX.to_owned(),
        _ => media_type::OCI_MANIFEST.to_owned(),
    }
}
