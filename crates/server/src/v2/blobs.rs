//! `/v2/<name>/blobs/<digest>` (oci-distribution §1.3, §3.6).

use axum::body::Body;
use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    HeaderValue, IF_NONE_MATCH, RANGE,
};
use larder_oci::range::{ByteRanges, RangeOutcome, Span};
use larder_oci::{Digest, ErrorCode, Reference, RepositoryName};
use larder_registry::{Error, OpenBlob};

use super::refusal::Refusal;
use super::{Call, DOCKER_CONTENT_DIGEST, Result, manifests, multipart};
use crate::answer::{self, ExactBody, Response, header_text};
use crate::etag;

/// The blob, a part of it, or several. containerd looks for everything it has a digest of among the blobs first, so a manifest is found here as
/// well (oci-distribution §4.2).
pub(super) async fn show(call: Call<'_>, name: RepositoryName, digest: Digest) -> Result<Response> {
    let blob = match call.registry.blob(&call.actor, &name, &digest).await {
        Ok(blob) => blob,
        Err(unknown @ Error::BlobUnknown { .. }) => {
            let manifest = manifests::show(call, name, Reference::Digest(digest)).await;
            return manifest.map_err(|_| unknown.into());
        }
        Err(error) => return Err(error.into()),
    };
    if is_known(&call, &digest) {
        return Ok(not_modified(&digest));
    }
    match wanted(&call, &blob) {
        RangeOutcome::Ignore => Ok(whole(&blob)),
        RangeOutcome::NotSatisfiable => Err(not_satisfiable(blob.size)),
        RangeOutcome::TooMany => Err(Refusal::new(ErrorCode::RangeInvalid)
            .status(StatusCode::BAD_REQUEST)
            .message("at most 1024 ranges, ascending and apart from each other, are served at once")),
        RangeOutcome::Satisfiable(spans) => Ok(match spans.as_slice() {
            [span] => part(&blob, *span),
            _ => multipart::response(&blob, &spans, headers),
        }),
    }
}

/// Whether the blob is here, and how long it is. Ranges concern `GET` alone.
pub(super) async fn head(call: Call<'_>, name: RepositoryName, digest: Digest) -> Result<Response> {
    let size = match call.registry.blob_head(&call.actor, &name, &digest).await {
        Ok(head) => head.size,
        Err(unknown @ Error::BlobUnknown { .. }) => {
            let manifest = manifests::head(call, name, Reference::Digest(digest)).await;
            return manifest.map_err(|_| unknown.into());
        }
        Err(error) => return Err(error.into()),
    };
    if is_known(&call, &digest) {
        return Ok(not_modified(&digest));
    }
    let mut response = Response::new(Body::empty());
    headers(&mut response, &digest);
    response.headers_mut().insert(CONTENT_LENGTH, size.into());
    Ok(response)
}

/// Takes the blob out of this repository.
pub(super) async fn remove(call: Call<'_>, name: RepositoryName, digest: Digest) -> Result<Response> {
    call.registry.delete_blob(&call.actor, &name, &digest).await?;
    Ok(answer::empty(StatusCode::ACCEPTED))
}

fn wanted(call: &Call<'_>, blob: &OpenBlob) -> RangeOutcome {
    let header = call.headers().get(RANGE).and_then(|range| range.to_str().ok());
    match header {
        Some(header) if etag::range_still_holds(call.headers(), &blob.digest) => ByteRanges::parse(header, blob.size),
        _ => RangeOutcome::Ignore,
    }
}

fn whole(blob: &OpenBlob) -> Response {
    let mut response = Response::new(ExactBody::of(blob.stream(0..blob.size), blob.size));
    headers(&mut response, &blob.digest);
    response.headers_mut().insert(CONTENT_LENGTH, blob.size.into());
    response
}

fn part(blob: &OpenBlob, span: Span) -> Response {
    let length = span.len();
    let mut response = Response::new(ExactBody::of(blob.stream(span.start..span.start + length), length));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    headers(&mut response, &blob.digest);
    response.headers_mut().insert(CONTENT_RANGE, header_text(&span.content_range(blob.size)));
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

fn not_satisfiable(size: u64) -> Refusal {
    Refusal::new(ErrorCode::RangeInvalid)
        .message("no byte of the blob lies in the range")
        .header(CONTENT_RANGE, header_text(&format!("bytes */{size}")))
}

/// What every answer about a blob carries. Blobs are what users push: no browser may take one for a page of this site (reliability W4).
fn headers(response: &mut Response, digest: &Digest) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(DOCKER_CONTENT_DIGEST, header_text(&digest.to_string()));
    headers.insert(ETAG, etag::of(digest));
}

fn is_known(call: &Call<'_>, digest: &Digest) -> bool {
    etag::Tags::read(call.headers(), &IF_NONE_MATCH).is_some_and(|tags| tags.holds(digest))
}

fn not_modified(digest: &Digest) -> Response {
    let mut response = answer::empty(StatusCode::NOT_MODIFIED);
    response.headers_mut().insert(ETAG, etag::of(digest));
    response.headers_mut().insert(DOCKER_CONTENT_DIGEST, header_text(&digest.to_string()));
    response
}
