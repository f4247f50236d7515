//! `/v2/<name>/referrers/<digest>` (oci-distribution §1.7).

use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use larder_oci::{Descriptor, Digest, RepositoryName, media_type};
use larder_registry::PageRequest;
use serde::Serialize;
use serde_json::value::RawValue;

use super::paging::Paging;
use super::refusal::internal;
use super::{Call, Result};
use crate::answer::{self, Response};

const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Bytes of descriptors on one page: oras and others read 4 MiB of an answer and no more.
const PAGE_BYTES: usize = 3 << 20;
/// Rows asked for at a time. Each may carry annotations of some MiB, so a whole page is not read at once (**Invariant 9**).
const BATCH: usize = 32;

#[derive(Serialize)]
struct Index {
    #[serde(rename = "schemaVersion")]
    schema_version: u8,
    #[serde(rename = "mediaType")]
    media_type: &'static str,
    manifests: Vec<Box<RawValue>>,
}

/// An index of what refers to a manifest, which need not exist; never 404.
pub(super) async fn list(call: Call<'_>, name: RepositoryName, subject: Digest) -> Result<Response> {
    let paging = Paging::read(&call.query)?;
    let filter = Filter::read(&call);
    let page = gather(&call, &name, &subject, &filter, &paging).await?;
    let index = Index { schema_version: 2, media_type: media_type::OCI_INDEX, manifests: page.manifests };
    let mut response = answer::json(StatusCode::OK, media_type::OCI_INDEX, &index);
    if !filter.types.is_empty() {
        response.headers_mut().insert(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let Some(next) = page.next {
        let (n, last) = (paging.limit.to_string(), next.to_string());
        let mut query = vec![("n", n.as_str()), ("last", last.as_str())];
        query.extend(filter.types.iter().map(|wanted| ("artifactType", wanted.as_str())));
        answer::link_next(response.headers_mut(), &format!("/v2/{name}/referrers/{subject}"), &query);
    }
    Ok(response)
}

/// The wanted types; containerd repeats the parameter, which means "any of these".
struct Filter {
    types: Vec<String>,
}

impl Filter {
    fn read(call: &Call<'_>) -> Self {
        // A `+` that somebody did not encode comes out of a form as a space, and no media type has one.
        let types = call.query.all("artifactType").filter(|wanted| !wanted.is_empty());
        Self { types: types.map(|wanted| wanted.replace(' ', "+")).collect() }
    }

    /// What the registry can look for by itself.
    fn single(&self) -> Option<&str> {
        if let [wanted] = self.types.as_slice() { Some(wanted) } else { None }
    }

    fn lets_through(&self, descriptor: &Descriptor) -> bool {
        let matches = |wanted: &String| descriptor.artifact_type.as_ref() == Some(wanted);
        self.types.is_empty() || self.types.iter().any(matches)
    }
}

struct Gathered {
    manifests: Vec<Box<RawValue>>,
    /// The last digest on this page, when more follow.
    next: Option<Digest>,
}

async fn gather(
    call: &Call<'_>,
    name: &RepositoryName,
    subject: &Digest,
    filter: &Filter,
    paging: &Paging,
) -> Result<Gathered> {
    let mut manifests = Vec::new();
    let (mut bytes, mut after, mut last) = (0, paging.last.clone(), None);
    loop {
        let request = PageRequest { limit: BATCH, after };
        let batch = call.registry.referrers(&call.actor, name, subject, filter.single(), &request).await?;
        let reached = batch.items.last().map(|descriptor| descriptor.digest);
        for descriptor in batch.items.into_iter().filter(|descriptor| filter.lets_through(descriptor)) {
            let json = serde_json::value::to_raw_value(&descriptor).map_err(|_| internal())?;
            let full =
                manifests.len() >= paging.limit || (!manifests.is_empty() && bytes + json.get().len() > PAGE_BYTES);
            if full {
                // With `n=0` nothing was put on the page, and nothing is said about a next one.
                return Ok(Gathered { manifests, next: last });
            }
            bytes += json.get().len();
            last = Some(descriptor.digest);
            manifests.push(json);
        }
        if !batch.more {
            return Ok(Gathered { manifests, next: None });
        }
        after = reached.map(|digest| digest.to_string());
    }
}
