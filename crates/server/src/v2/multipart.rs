//! Several ranges in one answer: `multipart/byteranges` (RFC 9110 §14.6), read lazily, part after part.

use futures::{StreamExt, stream};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use larder_oci::Digest;
use larder_oci::range::Span;
use larder_registry::{BlobStream, OpenBlob};

use crate::answer::{ExactBody, Response, header_text};

/// The answer to a request for `spans` of a blob. `headers` sets what every answer about a blob carries.
pub(super) fn response(blob: &OpenBlob, spans: &[Span], headers: impl Fn(&mut Response, &Digest)) -> Response {
    let boundary = uuid::Uuid::new_v4().simple().to_string();
    let preambles: Vec<String> = spans.iter().map(|span| preamble(&boundary, *span, blob.size)).collect();
    let end = format!("\r\n--{boundary}--\r\n");
    let framing = preambles.iter().map(|preamble| preamble.len() as u64).sum::<u64>() + end.len() as u64;
    let content = spans.iter().map(Span::len).sum::<u64>();

    let body = stream_parts(blob.clone(), preambles.into_iter().zip(spans.to_vec()).collect(), end);
    let mut response = Response::new(ExactBody::of(body, framing + content));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    headers(&mut response, &blob.digest);
    let content_type = format!("multipart/byteranges; boundary={boundary}");
    response.headers_mut().insert(CONTENT_TYPE, header_text(&content_type));
    response.headers_mut().insert(CONTENT_LENGTH, (framing + content).into());
    response
}

/// Nothing of a part is read before the part before it was taken.
fn stream_parts(blob: OpenBlob, parts: Vec<(String, Span)>, end: String) -> BlobStream {
    let parts = stream::iter(parts).flat_map(move |(preamble, span)| {
        let content = blob.stream(span.start..span.end_inclusive + 1);
        stream::once(async move { Ok(preamble.into()) }).chain(content)
    });
    Box::pin(parts.chain(stream::once(async move { Ok(end.into()) })))
}

fn preamble(boundary: &str, span: Span, size: u64) -> String {
    format!(
        "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {}\r\n\r\n",
        span.content_range(size)
    )
}
