//! `/v2/<name>/blobs/uploads/`: taking blobs (oci-distribution §1.4).

use std::io;

use axum::body::Body;
use futures::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION, RANGE};
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use larder_oci::range::{UploadRange, upload_range};
use larder_oci::{Algorithm, Digest, ErrorCode, RepositoryName, UploadId};
use larder_registry::{Error, Mount, UploadBody, UploadStatus};
use serde_json::json;

use super::refusal::Refusal;
use super::{Call, DOCKER_CONTENT_DIGEST, Result};
use crate::answer::{self, Response, header_text};

const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// `POST`: a session, a mount, or a whole blob at once.
pub(super) async fn start(call: Call<'_>, body: Body, name: RepositoryName) -> Result<Response> {
    if let Some(mount) = call.query.first("mount") {
        let digest = digest(mount)?;
        // A source that cannot exist is treated like one that does not (behaviour §4).
        let from = call.query.first("from").filter(|from| !from.is_empty());
        let source = from.map(str::parse::<RepositoryName>);
        return match source {
            None => mounted(&call, &name, &digest, None).await,
            Some(Ok(source)) => match call.wants_another_token(&name, &source).await? {
                Some(refusal) => Err(refusal),
                None => mounted(&call, &name, &digest, Some(&source)).await,
            },
            Some(Err(_)) => opened(&call, &name, Some(digest.algorithm())).await,
        };
    }
    if let Some(wanted) = call.query.first("digest") {
        let digest = digest(wanted)?;
        let body = upload_body(body);
        let pushed = call.registry.push_blob(&call.actor, &name, &digest, body).await;
        return pushed.map(|digest| created(&name, &digest)).map_err(|error| refuse(&name, error));
    }
    let algorithm = call.query.first("digest-algorithm").map(algorithm).transpose()?;
    opened(&call, &name, algorithm).await
}

/// `GET`: how many bytes are durable.
pub(super) async fn status(call: Call<'_>, name: RepositoryName, id: UploadId) -> Result<Response> {
    let status = call.registry.upload_status(&call.actor, &name, &id).await?;
    Ok(session(StatusCode::NO_CONTENT, &name, &status))
}

/// `PATCH`: more bytes, with or without saying where they belong or how many they are.
pub(super) async fn append(call: Call<'_>, body: Body, name: RepositoryName, id: UploadId) -> Result<Response> {
    let range = content_range(call.headers())?;
    let body = upload_body(body);
    let appended = call.registry.append(&call.actor, &name, &id, range, body).await;
    appended.map(|status| session(StatusCode::ACCEPTED, &name, &status)).map_err(|error| refuse(&name, error))
}

/// `PUT`: the last bytes, if any are left, and the digest of all.
pub(super) async fn finish(call: Call<'_>, body: Body, name: RepositoryName, id: UploadId) -> Result<Response> {
    let Some(wanted) = call.query.first("digest") else {
        return Err(Refusal::new(ErrorCode::DigestInvalid).message("the closing request needs ?digest="));
    };
    let digest = digest(wanted)?;
    let range = content_range(call.headers())?;
    let body = upload_body(body);
    let finished = call.registry.finish_upload(&call.actor, &name, &id, range, body, &digest).await;
    finished.map(|digest| created(&name, &digest)).map_err(|error| refuse(&name, error))
}

/// `DELETE`: the client does not want the session any more.
pub(super) async fn cancel(call: Call<'_>, name: RepositoryName, id: UploadId) -> Result<Response> {
    let cancelled = call.registry.cancel_upload(&call.actor, &name, &id).await;
    cancelled.map_err(|error| refuse(&name, error))?;
    let mut response = answer::empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(DOCKER_UPLOAD_UUID, header_text(&id.to_string()));
    Ok(response)
}

async fn mounted(
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &Digest,
    from: Option<&RepositoryName>,
) -> Result<Response> {
    // The scope of a token never names a source that the client does not know: what counts is what its owner may.
    match call.registry.mount(&call.visitor.live, name, digest, from).await? {
        Mount::Mounted(digest) => Ok(created(name, &digest)),
        Mount::Upload(status) => Ok(session(StatusCode::ACCEPTED, name, &status)),
    }
}

async fn opened(call: &Call<'_>, name: &RepositoryName, algorithm: Option<Algorithm>) -> Result<Response> {
    let status = call.registry.start_upload(&call.actor, name, algorithm).await?;
    Ok(session(StatusCode::ACCEPTED, name, &status))
}

/// Where a session is and how far. The location is relative, so that it holds behind any proxy; docker computes a layer's size from `Range`.
fn session(code: StatusCode, name: &RepositoryName, status: &UploadStatus) -> Response {
    let mut response = answer::empty(code);
    session_headers(name, status).into_iter().for_each(|(header, value)| {
        response.headers_mut().insert(header, header_text(&value));
    });
    response
}

fn session_headers(name: &RepositoryName, status: &UploadStatus) -> [(HeaderName, String); 3] {
    [
        (LOCATION, format!("/v2/{name}/blobs/uploads/{}", status.id)),
        (RANGE, upload_range(status.offset)),
        (DOCKER_UPLOAD_UUID, status.id.to_string()),
    ]
}

fn created(name: &RepositoryName, digest: &Digest) -> Response {
    let mut response = answer::empty(StatusCode::CREATED);
    response.headers_mut().insert(LOCATION, header_text(&format!("/v2/{name}/blobs/{digest}")));
    response.headers_mut().insert(DOCKER_CONTENT_DIGEST, header_text(&digest.to_string()));
    response
}

/// Errors that leave a session standing say where it stands, so that a client can go on (reliability §5).
fn refuse(name: &RepositoryName, error: Error) -> Refusal {
    let standing = match &error {
        Error::RangeMismatch { id, offset }
        | Error::UploadBusy { id, offset }
        | Error::LengthMismatch { id, offset }
        | Error::BodyInterrupted { id, offset } => Some(UploadStatus { id: *id, offset: *offset }),
        _ => None,
    };
    let refusal = match &error {
        // The client stopped, or was too slow; whatever it reads of this, the session waits for it.
        Error::BodyInterrupted { .. } => Refusal::from(error).status(StatusCode::REQUEST_TIMEOUT),
        _ => Refusal::from(error),
    };
    let headers = standing.iter().flat_map(|status| session_headers(name, status));
    headers.fold(refusal, |refusal, (header, value)| refusal.header(header, header_text(&value)))
}

/// `Content-Range: <start>-<end>` of a chunk, which must be as long as the body is said to be.
fn content_range(headers: &HeaderMap) -> Result<Option<UploadRange>> {
    let Some(line) = headers.get(CONTENT_RANGE) else { return Ok(None) };
    let range: Option<UploadRange> = line.to_str().ok().and_then(|text| text.parse().ok());
    let Some(range) = range else {
        return Err(Refusal::new(ErrorCode::RangeInvalid)
            .status(StatusCode::BAD_REQUEST)
            .message("Content-Range of a chunk is <first>-<last>, both inclusive"));
    };
    let length: Option<u64> =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()).and_then(|length| length.parse().ok());
    match length {
        Some(length) if range.len() != length => Err(Refusal::new(ErrorCode::SizeInvalid)
            .detail(json!({ "range": format!("{}-{}", range.start, range.end), "length": length }))),
        _ => Ok(Some(range)),
    }
}

fn digest(text: &str) -> Result<Digest> {
    text.parse().map_err(|_| Refusal::new(ErrorCode::DigestInvalid).detail(json!({ "digest": text })))
}

fn algorithm(text: &str) -> Result<Algorithm> {
    text.parse().map_err(|_| {
        Refusal::new(ErrorCode::DigestInvalid)
            .message("the digest algorithm is not supported; sha256 and sha512 are")
            .detail(json!({ "algorithm": text }))
    })
}

fn upload_body(body: Body) -> UploadBody {
    let length = body.size_hint().exact();
    let stream = body.into_data_stream().map(|piece| piece.map_err(io::Error::other));
    UploadBody { stream: Box::pin(stream), length }
}
