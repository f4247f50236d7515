//! `/v2/<name>/manifests/<reference>` (oci-distribution §1.3, §1.5).

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::header::{
    CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH,
    LOCATION, WARNING,
};
use http_body::Body as _;
use http_body_util::BodyExt;
use larder_oci::{Digest, ErrorCode, Reference, RepositoryName, Tag};
use larder_registry::{Condition, Error, ManifestPush, ManifestPushed};
use serde_json::json;

use super::refusal::Refusal;
use super::{Call, DOCKER_CONTENT_DIGEST, Result};
use crate::answer::{self, Response, header_text};
use crate::etag::{self, Tags};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// Tags that one push may set; the specification asks for ten at least.
const MAX_TAGS: usize = 100;
/// Bytes of all warnings of an answer together (oci-distribution §1.1).
const WARNING_BYTES: usize = 4096;

/// The bytes as they were pushed (**Invariant 8**). `Accept` and `Range` are not looked at: nothing is ever converted or cut.
pub(super) async fn show(call: Call<'_>, name: RepositoryName, reference: Reference) -> Result<Response> {
    let manifest = call.registry.manifest(&call.actor, &name, &reference).await?;
    if is_known(&call, &manifest.digest) {
        return Ok(not_modified(&manifest.digest));
    }
    let length = manifest.bytes.len() as u64;
    let mut response = Response::new(Body::from(manifest.bytes));
    headers(&mut response, &manifest.digest, &manifest.media_type, length);
    warn(&mut response, &call, &manifest.warnings);
    Ok(response)
}

/// The same without the bytes; pollers rely on its being cheap.
pub(super) async fn head(call: Call<'_>, name: RepositoryName, reference: Reference) -> Result<Response> {
    let manifest = call.registry.manifest_head(&call.actor, &name, &reference).await?;
    if is_known(&call, &manifest.digest) {
        return Ok(not_modified(&manifest.digest));
    }
    let mut response = Response::new(Body::empty());
    headers(&mut response, &manifest.digest, &manifest.media_type, manifest.size);
    warn(&mut response, &call, &manifest.warnings);
    Ok(response)
}

/// Stores a manifest under a digest, a tag, or a digest and tags.
pub(super) async fn push(call: Call<'_>, body: Body, name: RepositoryName, reference: Reference) -> Result<Response> {
    let extra_tags = tags(&call)?;
    let condition = condition(&call, &name, &reference).await?;
    let bytes = read(body, call.manifest_limit).await?;
    let content_type = call.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let by_parameter = !extra_tags.is_empty();
    let push = ManifestPush { reference, extra_tags, content_type, bytes, condition };
    let pushed = call.registry.push_manifest(&call.actor, &name, push).await?;
    Ok(created(&name, &pushed, by_parameter))
}

/// By tag: that tag alone. By digest: the manifest and every tag that points to it.
pub(super) async fn remove(call: Call<'_>, name: RepositoryName, reference: Reference) -> Result<Response> {
    call.registry.delete_manifest(&call.actor, &name, &reference).await?;
    Ok(answer::empty(StatusCode::ACCEPTED))
}

fn headers(response: &mut Response, digest: &Digest, media_type: &str, length: u64) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, header_text(media_type));
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(DOCKER_CONTENT_DIGEST, header_text(&digest.to_string()));
    headers.insert(ETAG, etag::of(digest));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
}

fn warn(response: &mut Response, call: &Call<'_>, texts: &[String]) {
    let texts: Vec<String> = texts.iter().map(|text| call.visitor.site.named_in(text)).collect();
    for warning in warnings(&texts) {
        response.headers_mut().append(WARNING, warning);
    }
}

fn is_known(call: &Call<'_>, digest: &Digest) -> bool {
    Tags::read(call.headers(), &IF_NONE_MATCH).is_some_and(|tags| tags.holds(digest))
}

fn not_modified(digest: &Digest) -> Response {
    let mut response = answer::empty(StatusCode::NOT_MODIFIED);
    response.headers_mut().insert(ETAG, etag::of(digest));
    response.headers_mut().insert(DOCKER_CONTENT_DIGEST, header_text(&digest.to_string()));
    response
}

/// The receipt. Without `OCI-Subject` a client would write the fallback tag; without `OCI-Tag` it would push each tag by itself.
fn created(name: &RepositoryName, pushed: &ManifestPushed, by_parameter: bool) -> Response {
    let mut response = answer::empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(LOCATION, header_text(&format!("/v2/{name}/manifests/{}", pushed.digest)));
    headers.insert(DOCKER_CONTENT_DIGEST, header_text(&pushed.digest.to_string()));
    if let Some(subject) = &pushed.subject {
        headers.insert(OCI_SUBJECT, header_text(&subject.to_string()));
    }
    for tag in pushed.tags.iter().filter(|_| by_parameter) {
        headers.append(OCI_TAG, header_text(tag.as_str()));
    }
    for warning in warnings(&pushed.warnings) {
        headers.append(WARNING, warning);
    }
    response
}

/// `Warning: 299 - "text"`, as many as fit.
fn warnings(texts: &[String]) -> Vec<HeaderValue> {
    let mut left = WARNING_BYTES;
    let mut lines = Vec::new();
    for text in texts {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        let line = header_text(&format!("299 - \"{quoted}\""));
        let Some(rest) = left.checked_sub(line.len()) else { break };
        left = rest;
        lines.push(line);
    }
    lines
}

fn tags(call: &Call<'_>) -> Result<Vec<Tag>> {
    let tags: Vec<&str> = call.query.all("tag").collect();
    if tags.len() > MAX_TAGS {
        return Err(Refusal::new(ErrorCode::TagInvalid)
            .status(StatusCode::URI_TOO_LONG)
            .message("at most 100 tags can be set by one push"));
    }
    let parse = |tag: &str| tag.parse().map_err(|_| Refusal::new(ErrorCode::TagInvalid).detail(json!({ "tag": tag })));
    tags.into_iter().map(parse).collect()
}

/// `If-Match` and `If-None-Match: *` (reliability I-10). The domain decides them inside its transaction.
async fn condition(call: &Call<'_>, name: &RepositoryName, reference: &Reference) -> Result<Condition> {
    match Tags::read(call.headers(), &IF_NONE_MATCH) {
        Some(Tags::Any) => return Ok(Condition::IfAbsent),
        Some(Tags::Digests(_)) => {
            return Err(Refusal::new(ErrorCode::Unsupported)
                .status(StatusCode::BAD_REQUEST)
                .message("If-None-Match of a push can only be *"));
        }
        None => {}
    }
    match Tags::read(call.headers(), &IF_MATCH) {
        None => Ok(Condition::Any),
        Some(Tags::Digests(digests)) => Ok(Condition::IfMatch(digests)),
        // "Whatever is there": what is there now must still be there when the push is decided.
        Some(Tags::Any) => match call.registry.resolve(&call.actor, name, reference).await {
            Ok(digest) => Ok(Condition::IfMatch(vec![digest])),
            Err(Error::ManifestUnknown { .. }) => Ok(Condition::IfMatch(Vec::new())),
            Err(error) => Err(error.into()),
        },
    }
}

/// Reads a manifest, never more than the limit (reliability R2).
async fn read(mut body: Body, limit: usize) -> Result<Bytes> {
    let too_large = || {
        Refusal::new(ErrorCode::ManifestTooLarge)
            .message(format!("a manifest may have {limit} bytes at most"))
            .detail(json!({ "limit": limit }))
    };
    let announced = body.size_hint().lower();
    if announced > limit as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Refusal::new(ErrorCode::ManifestInvalid).status(StatusCode::REQUEST_TIMEOUT).message("the body broke off")
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_bounded() {
        let lines = warnings(&["say \"hi\"\r\nX-Injected: 1".to_owned(), "x".repeat(4096)]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0], "299 - \"say \\\"hi\\\"X-Injected: 1\"");
    }
}
