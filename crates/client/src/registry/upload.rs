//! Sending a blob: a session, streamed bytes, and the truth about how far they came after every cut (specification, "Pushing blobs").

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, Method};
use reqwest::{Response, Url};

use larder_oci::digest::{Algorithm, Digest};

use super::auth::Scopes;
use super::transport::Call;
use super::{Repository, origin, reply};
use crate::error::{Error, Result};
use crate::pieces::{self, Pieces, Watch};

const OCTETS: &str = "application/octet-stream";

/// An upload session of a registry.
#[derive(Clone, Debug)]
pub struct Upload {
    repository: Repository,
    location: Url,
    offset: u64,
    /// The registry no longer knows the session: the next one begins at 0.
    gone: bool,
    /// Some bytes were sent after a cut; should the digest then be wrong, one try from the start is due.
    resumed: bool,
}

impl Repository {
    /// Opens a session (end-4a). The algorithm is announced where it is not the usual one.
    pub async fn start_upload(&self, algorithm: Algorithm) -> Result<Upload> {
        let mut url = self.host.url(&format!("{}/blobs/uploads/", self.name))?;
        if algorithm != Algorithm::Sha256 {
            url.query_pairs_mut().append_pair("digest-algorithm", algorithm.as_str());
        }
        let call = Call::new(Method::POST, url, self.push(), self.subject("upload"));
        let response = self.host.expect(&call, &[202]).await?;
        Upload::opened(self, &call.url, &response)
    }
}

impl Upload {
    /// The session that a 202 names.
    pub(super) fn opened(repository: &Repository, asked: &Url, response: &Response) -> Result<Self> {
        let location = repository.host.follow(asked, response, &repository.subject("upload"))?;
        Ok(Self { repository: repository.clone(), location, offset: 0, gone: false, resumed: false })
    }

    /// A session that an earlier process opened at `address`, if the registry still knows it and has bytes of it.
    pub(crate) async fn remembered(repository: &Repository, address: &str) -> Option<Self> {
        let location = origin::follow(&repository.host.base, &repository.host.base, address).ok()?;
        let call = Call::new(Method::GET, location.clone(), repository.push(), repository.subject("upload"));
        let response = repository.host.call(&call).await.ok()?;
        let offset = held(response.headers());
        if response.status().as_u16() != 204 || offset == 0 {
            return None;
        }
        Some(Self { repository: repository.clone(), location, offset, gone: false, resumed: true })
    }

    /// Where the session is.
    pub(crate) fn address(&self) -> &str {
        self.location.as_str()
    }

    /// How many bytes the registry has, as far as is known.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Sends the bytes from [`Upload::offset`] up to `size` (end-5), in one request or in pieces of `Options::chunk`. `moved` hears of every
    /// piece. After an error [`Upload::refresh`] tells where to go on.
    pub async fn send(&mut self, bytes: Pieces, size: u64, moved: Arc<dyn Fn(u64) + Send + Sync>) -> Result<()> {
        let bytes = Arc::new(Mutex::new(bytes));
        let sent = self.send_parts(&bytes, size, &moved).await;
        bytes.lock().unwrap_or_else(PoisonError::into_inner).close();
        sent
    }

    async fn send_parts(
        &mut self,
        bytes: &Arc<Mutex<Pieces>>,
        size: u64,
        moved: &Arc<dyn Fn(u64) + Send + Sync>,
    ) -> Result<()> {
        let whole = self.repository.host.options.chunk.is_none() && self.offset == 0;
        while self.offset < size {
            let chunk = self.repository.host.options.chunk.unwrap_or(u64::MAX).max(1);
            let length = chunk.min(size - self.offset);
            self.send_part(bytes, length, whole, moved).await?;
        }
        Ok(())
    }

    async fn send_part(
        &mut self,
        bytes: &Arc<Mutex<Pieces>>,
        length: u64,
        whole: bool,
        moved: &Arc<dyn Fn(u64) + Send + Sync>,
    ) -> Result<()> {
        let mut call = Call::new(Method::PATCH, self.location.clone(), self.repository.push(), self.subject())
            .header(CONTENT_TYPE, OCTETS)?
            .header(CONTENT_LENGTH, &length.to_string())?;
        if !whole {
            call = call.header(CONTENT_RANGE, &format!("{}-{}", self.offset, self.offset + length - 1))?;
        }
        let watch = Arc::new(Watch::new());
        let moved = Arc::clone(moved);
        let stream = pieces::body(Arc::clone(bytes), length, Arc::clone(&watch), move |count| moved(count));
        let sent = self.repository.host.stream(&call, reqwest::Body::wrap_stream(stream), &watch).await;
        let response = sent.map_err(|error| self.cut(&error.to_string()))?;
        self.sent(response, length).await
    }

    async fn sent(&mut self, response: Response, length: u64) -> Result<()> {
        match response.status().as_u16() {
            200..=204 => {
                if response.headers().contains_key(http::header::LOCATION) {
                    self.location = self.repository.host.follow(&self.location, &response, &self.subject())?;
                }
                self.offset += length;
                Ok(())
            }
            // The session moved; what was sent is lost, and the server says so when asked.
            307 | 308 => {
                self.location = self.repository.host.follow(&self.location, &response, &self.subject())?;
                Err(self.cut("the session moved"))
            }
            401 if self.repository.host.renew(&response, &self.scopes()).await? => {
                Err(self.cut("the token had expired"))
            }
            404 => {
                self.gone = true;
                Err(self.cut("the registry no longer knows the session"))
            }
            416 => {
                if response.headers().contains_key(http::header::LOCATION) {
                    self.location = self.repository.host.follow(&self.location, &response, &self.subject())?;
                }
                self.gone = self.resumed;
                Err(self.cut("the registry has other bytes than were thought"))
            }
            _ => Err(self.repository.host.refusal(response, &self.scopes(), &self.subject()).await),
        }
    }

    /// Asks how many bytes the registry has (end-13); a session that is gone is replaced by one at 0.
    pub async fn refresh(&mut self, algorithm: Algorithm) -> Result<u64> {
        if !self.gone {
            let call = Call::new(Method::GET, self.location.clone(), self.scopes(), self.subject());
            let response = self.repository.host.call(&call).await?;
            match response.status().as_u16() {
                200 | 202 | 204 => {
                    if response.headers().contains_key(http::header::LOCATION) {
                        self.location = self.repository.host.follow(&self.location, &response, &self.subject())?;
                    }
                    self.offset = held(response.headers());
                    self.resumed = true;
                    return Ok(self.offset);
                }
                // Also a registry that cannot be asked.
                400 | 404 | 405 => {}
                _ => return Err(self.repository.host.refusal(response, &self.scopes(), &self.subject()).await),
            }
        }
        *self = self.repository.start_upload(algorithm).await?;
        Ok(0)
    }

    /// Closes the session (end-6): the bytes are the blob `digest` now, durable and pullable. `body` is a last piece, or the whole of a small
    /// blob.
    pub async fn finish(&mut self, digest: &Digest, body: Bytes) -> Result<()> {
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        let mut call = Call::new(Method::PUT, url, self.scopes(), self.repository.subject(digest));
        if !body.is_empty() {
            call = call.header(CONTENT_TYPE, OCTETS)?;
        }
        let with_body = !body.is_empty();
        let call = call.body(body);
        // With a body it is not safe to send again: the first one may have been taken in part.
        let response = if with_body {
            self.repository.host.call_once(&call).await
        } else {
            self.repository.host.call(&call).await
        };
        let error = match response {
            Ok(response) if matches!(response.status().as_u16(), 201 | 200 | 204) => return Ok(()),
            Ok(response) => self.repository.host.refusal(response, &call.scopes, &call.subject).await,
            Err(error) => error,
        };
        // The answer to an earlier try may have been lost; then the session is gone and the blob is there.
        if matches!(error.status(), None | Some(404)) && matches!(self.repository.blob_head(digest).await, Ok(Some(_)))
        {
            return Ok(());
        }
        if self.resumed && matches!(error.status(), Some(400 | 404 | 416)) {
            self.gone = true;
            return Err(self.cut(&error.to_string()));
        }
        self.gone = with_body;
        Err(error)
    }

    /// Gives the session up (end-14). Nobody waits for it: it ends by itself.
    pub async fn cancel(self) {
        let call = Call::new(Method::DELETE, self.location.clone(), self.scopes(), self.subject());
        if let Err(error) = self.repository.host.call_once(&call).await {
            tracing::debug!(%error, "an upload session could not be cancelled");
        }
    }

    fn scopes(&self) -> Scopes {
        self.repository.push()
    }

    fn subject(&self) -> String {
        self.repository.subject("upload")
    }

    fn cut(&self, cause: &str) -> Error {
        Error::Cut { subject: self.subject(), at: self.offset, cause: cause.to_owned() }
    }
}

/// `Range: 0-N` means N + 1 bytes; but `0-0` is what registries say of an empty session too, and there it is the safe reading.
fn held(headers: &HeaderMap) -> u64 {
    let text = reply::header(headers, RANGE).unwrap_or_default();
    let text = text.strip_prefix("bytes=").or_else(|| text.strip_prefix("bytes ")).unwrap_or(text);
    match text
        .split_once('-')
        .and_then(|(start, end)| Some((start.trim().parse::<u64>().ok()?, end.trim().parse::<u64>().ok()?)))
    {
        Some((0, end)) if end > 0 => end + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_registry_holds_is_read_from_its_range() {
        let range = |text: &'static str| held(&HeaderMap::from_iter([(RANGE, http::HeaderValue::from_static(text))]));
        assert_eq!(range("0-1023"), 1024);
        assert_eq!(range("bytes=0-9"), 10);
        for nothing in ["0-0", "0--1", "", "5-9", "x"] {
            assert_eq!(range(nothing), 0, "{nothing}");
        }
    }
}
