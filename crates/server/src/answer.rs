//! Building answers.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LINK};
use http::{HeaderMap, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use larder_registry::BlobStream;
use serde::Serialize;

use crate::percent::encode;

/// What every handler gives back.
pub(crate) type Response = http::Response<Body>;

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    response
}

/// An answer whose body is at hand.
pub(crate) fn bytes(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let body = body.into();
    let length = body.len() as u64;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    response
}

/// A JSON document.
pub(crate) fn json(status: StatusCode, content_type: &'static str, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => bytes(status, content_type, body),
        Err(error) => {
            tracing::error!(%error, "an answer could not be serialised");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Text as a header's value. What a header cannot carry is left out, so that no value can begin another header (reliability S6).
pub(crate) fn header_text(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| {
        let clean: String = text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect();
        HeaderValue::try_from(clean).unwrap_or_else(|_| HeaderValue::from_static(""))
    })
}

/// `Link: <path?…>; rel="next"`, relative, so that it holds behind any proxy.
pub(crate) fn link_next(headers: &mut HeaderMap, path: &str, query: &[(&str, &str)]) {
    let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
    headers.insert(LINK, header_text(&format!("<{path}?{}>; rel=\"next\"", query.join("&"))));
}

/// A body of known length that is read lazily. Too few bytes break the connection rather than pass for the whole (**Invariant 12**).
pub(crate) struct ExactBody {
    stream: BlobStream,
    left: u64,
}

impl ExactBody {
    /// A body of exactly `length` bytes.
    pub fn of(stream: BlobStream, length: u64) -> Body {
        Body::new(Self { stream, left: length })
    }
}

impl http_body::Body for ExactBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        match self.stream.as_mut().poll_next(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(bytes))) if bytes.len() as u64 <= self.left => {
                self.left -= bytes.len() as u64;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Poll::Ready(Some(Ok(_))) => {
                self.left = 0;
                Poll::Ready(Some(Err(std::io::Error::other("the object is longer than its row says"))))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
            Poll::Ready(None) => {
                self.left = 0;
                Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Makes an answer fit for `HEAD`: the length that `GET` would have, and no body.
pub(crate) fn without_body(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    if !head.headers.contains_key(CONTENT_LENGTH)
        && let Some(length) = body.size_hint().exact()
    {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    Response::from_parts(head, Body::empty())
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body_util::BodyExt;

    use super::*;

    async fn read(pieces: &[&'static [u8]], length: u64) -> Option<Bytes> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        let body = ExactBody::of(Box::pin(stream::iter(pieces)), length);
        assert_eq!(body.size_hint().exact(), Some(length));
        body.collect().await.ok().map(|body| body.to_bytes())
    }

    /// **Invariant 12**: an object that is shorter or longer than its row says never passes for the whole.
    #[tokio::test]
    async fn a_body_of_another_length_breaks_off() {
        assert_eq!(read(&[b"ab", b"cde"], 5).await.as_deref(), Some(&b"abcde"[..]));
        assert_eq!(read(&[], 0).await.as_deref(), Some(&b""[..]));
        assert_eq!(read(&[b"ab"], 5).await, None);
        assert_eq!(read(&[b"ab", b"cdef"], 5).await, None);
    }

    /// Reliability S6.
    #[test]
    fn header_text_cannot_begin_another_header() {
        assert_eq!(header_text("a\r\nX-Injected: 1"), "aX-Injected: 1");
        assert_eq!(header_text("plain"), "plain");
    }

    #[test]
    fn links_are_relative_and_encoded() {
        let mut headers = HeaderMap::new();
        link_next(&mut headers, "/v2/a/tags/list", &[("n", "2"), ("last", "a&b c")]);
        assert_eq!(headers[LINK], "</v2/a/tags/list?n=2&last=a%26b%20c>; rel=\"next\"");
    }
}
