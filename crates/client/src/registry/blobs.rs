//! Blobs: look, read (from anywhere, again after a cut), mount, delete.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::Method;
use http::header::{CONTENT_RANGE, RANGE};
use reqwest::Response;

use larder_oci::digest::Digest;
use larder_oci::name::RepositoryName;

use super::transport::Call;
use super::upload::Upload;
use super::{Repository, reply};
use crate::backoff::Backoff;
use crate::error::{Error, Result, chain};
use crate::hashing::Hasher;

/// What became of a mount.
#[derive(Debug)]
pub enum MountOutcome {
    /// The blob is in the repository now.
    Mounted,
    /// It has to be sent, into this session if the registry opened one.
    Declined(Option<Upload>),
}

impl Repository {
    /// Whether the repository has a blob, and its size where the registry tells (end-2): `None` when it has not.
    pub async fn blob_head(&self, digest: &Digest) -> Result<Option<Option<u64>>> {
        let url = self.host.url(&format!("{}/blobs/{digest}", self.name))?;
        let call = Call::new(Method::HEAD, url, self.pull(), self.subject(digest));
        let response = self.host.expect(&call, &[200, 404]).await?;
        Ok((response.status().as_u16() == 200).then(|| reply::content_length(response.headers())))
    }

    /// Reads a blob of `size` bytes, checking length and digest on the way: the last piece is not given out before both are right.
    pub fn blob(&self, digest: &Digest, size: u64) -> Download {
        let mut download = self.blob_from(digest, size, 0);
        download.hasher = Some(Hasher::new(digest.algorithm()));
        download
    }

    /// Reads a blob from byte `offset` on, checking the length only.
    pub fn blob_from(&self, digest: &Digest, size: u64, offset: u64) -> Download {
        self.blob_range(digest, size, offset..size)
    }

    /// Reads a range of a blob.
    pub(crate) fn blob_range(&self, digest: &Digest, size: u64, range: Range<u64>) -> Download {
        Download {
            repository: self.clone(),
            digest: *digest,
            size,
            at: range.start,
            end: range.end,
            is_range: false,
            response: None,
            pending: Bytes::new(),
            hasher: None,
            backoff: Backoff::new(self.host.options.retry),
            finished: false,
        }
    }

    /// A small blob in memory, checked.
    pub async fn blob_bytes(&self, digest: &Digest, size: u64, limit: u64) -> Result<Bytes> {
        if size > limit {
            return Err(Error::LengthMismatch { subject: self.subject(digest), expected: limit, actual: size });
        }
        let mut download = self.blob(digest, size);
        let mut all = BytesMut::new();
        while let Some(piece) = download.next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// Takes a blob from another repository of the registry, or from any that the registry finds (end-11).
    pub async fn mount(&self, digest: &Digest, from: Option<&RepositoryName>) -> Result<MountOutcome> {
        let mut url = self.host.url(&format!("{}/blobs/uploads/", self.name))?;
        url.query_pairs_mut().append_pair("mount", &digest.to_string());
        let mut scopes = self.push();
        if let Some(from) = from {
            url.query_pairs_mut().append_pair("from", from.as_str());
            scopes = scopes.and(from, "pull");
        }
        let call = Call::new(Method::POST, url, scopes, self.subject(digest));
        let response = self.host.call(&call).await?;
        match response.status().as_u16() {
            201 => Ok(MountOutcome::Mounted),
            202 => Upload::opened(self, &call.url, &response).map(|upload| MountOutcome::Declined(Some(upload))),
            // A source that one may not read, or a registry that cannot mount: not an error, the bytes are sent.
            400..=499 => Ok(MountOutcome::Declined(None)),
            _ => Err(self.host.refusal(response, &call.scopes, &call.subject).await),
        }
    }

    /// Deletes a blob (end-10).
    pub async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        let url = self.host.url(&format!("{}/blobs/{digest}", self.name))?;
        let call = Call::new(Method::DELETE, url, self.delete(), self.subject(digest));
        self.host.expect(&call, &[202, 200, 204]).await.map(drop)
    }
}

/// A blob being read. When the connection is cut it goes on from where it was, as long as every try brings it further.
pub struct Download {
    repository: Repository,
    digest: Digest,
    size: u64,
    /// The next byte's position.
    at: u64,
    /// Where it ends: the size, unless only a range is wanted.
    end: u64,
    /// Whether the answer is the range that was asked for, and not the whole blob.
    is_range: bool,
    response: Option<Response>,
    /// Read already, not yet given out.
    pending: Bytes,
    hasher: Option<Hasher>,
    backoff: Backoff,
    finished: bool,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Download({} at {} to {} of {})", self.digest, self.at, self.end, self.size)
    }
}

impl Download {
    /// The next piece; `None` once everything came and was right.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.finished {
                return Ok(None);
            }
            match self.step().await {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(done) => return Ok(done),
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// Sends the request now. `false`: the registry sends the whole blob instead of the range.
    pub(crate) async fn begin(&mut self) -> Result<bool> {
        loop {
            match self.open().await {
                Ok(response) => {
                    self.response = Some(response);
                    return Ok(self.is_range);
                }
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// Wants everything that comes.
    pub(crate) fn extend_to_end(&mut self) {
        self.end = self.size;
    }

    async fn step(&mut self) -> Result<Option<Bytes>> {
        // Of a whole blob that came instead of a range, the rest is not waited for.
        let has_all = !self.is_range && self.end < self.size && self.at == self.end;
        if has_all || self.at == self.end && self.response.is_none() {
            return self.end();
        }
        let Some(response) = &mut self.response else {
            self.response = Some(self.open().await?);
            return Ok(Some(Bytes::new()));
        };
        if !self.pending.is_empty() {
            let piece = std::mem::take(&mut self.pending);
            return self.take(piece).map(Some);
        }
        let idle = self.repository.host.options.idle;
        let piece = match tokio::time::timeout(idle, response.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => return Err(self.cut(chain(&error.without_url()))),
            Err(_) => return Err(self.cut(format!("no byte for {} s", idle.as_secs()))),
        };
        match piece {
            Some(piece) => self.take(piece).map(Some),
            None if self.at == self.end => self.end(),
            None => Err(self.cut("the body ended early".to_owned())),
        }
    }

    /// Counts and hashes. The piece that completes the blob is given out only when the digest is right (**Invariant 12**), and nothing that
    /// comes after the promised length is.
    fn take(&mut self, mut piece: Bytes) -> Result<Bytes> {
        let left = self.end - self.at;
        if self.end < self.size && !self.is_range {
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        }
        let at = self.at + piece.len() as u64;
        if at > self.end {
            return Err(Error::LengthMismatch { subject: self.subject(), expected: self.end, actual: at });
        }
        self.at = at;
        self.backoff.progressed();
        if let Some(mut hasher) = self.hasher.take() {
            hasher.update(&piece);
            if at == self.size {
                hasher.verify(&self.subject(), &self.digest, self.size)?;
            } else {
                self.hasher = Some(hasher);
            }
        }
        Ok(piece)
    }

    fn end(&mut self) -> Result<Option<Bytes>> {
        self.finished = true;
        self.response = None;
        match self.hasher.take() {
            Some(hasher) => hasher.verify(&self.subject(), &self.digest, self.size).map(|()| None),
            None => Ok(None),
        }
    }

    async fn open(&mut self) -> Result<Response> {
        let url = self.repository.host.url(&format!("{}/blobs/{}", self.repository.name, self.digest))?;
        let mut call = Call::new(Method::GET, url, self.repository.pull(), self.subject());
        if self.end < self.size {
            call = call.header(RANGE, &format!("bytes={}-{}", self.at, self.end - 1))?;
        } else if self.at > 0 {
            call = call.header(RANGE, &format!("bytes={}-", self.at))?;
        }
        let response = self.repository.host.expect(&call, &[200, 206]).await?;
        self.is_range = response.status().as_u16() == 206;
        if self.is_range {
            self.check_range(&response)?;
            return Ok(response);
        }
        self.check_length(&response, self.size)?;
        self.skip(response).await
    }

    /// A 206 that lies about its place would join the wrong bytes.
    fn check_range(&self, response: &Response) -> Result<()> {
        let text = reply::header(response.headers(), CONTENT_RANGE).unwrap_or_default();
        let range = text.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).and_then(|(range, total)| {
            let (start, end) = range.split_once('-')?;
            let total = if total == "*" { Some(self.size) } else { total.parse().ok() };
            Some((start.parse::<u64>().ok()?, end.parse::<u64>().ok()?, total?))
        });
        match range {
            Some((start, end, total))
                if start == self.at && end.checked_add(1) == Some(self.end) && total == self.size =>
            {
                Ok(())
            }
            _ => Err(Error::Protocol {
                subject: self.subject(),
                why: format!(
                    "asked for bytes from {} to {} of {}, got `{}`",
                    self.at,
                    self.end,
                    self.size,
                    reply::printable(text)
                ),
            }),
        }
    }

    fn check_length(&self, response: &Response, expected: u64) -> Result<()> {
        match reply::content_length(response.headers()) {
            Some(actual) if actual != expected => {
                Err(Error::LengthMismatch { subject: self.subject(), expected, actual })
            }
            _ => Ok(()),
        }
    }

    /// A registry without ranges sends everything again: what is there already is dropped.
    async fn skip(&mut self, mut response: Response) -> Result<Response> {
        let mut left = self.at;
        let idle = self.repository.host.options.idle;
        while left > 0 {
            let piece = tokio::time::timeout(idle, response.chunk()).await;
            let piece = piece.map_err(|_| self.cut(format!("no byte for {} s", idle.as_secs())))?;
            let piece = piece.map_err(|error| self.cut(chain(&error.without_url())))?;
            let mut piece = piece.ok_or_else(|| self.cut("the body ended early".to_owned()))?;
            let dropped = left.min(piece.len() as u64);
            left -= dropped;
            self.pending = piece.split_off(usize::try_from(dropped).expect("not more than the piece's length"));
        }
        Ok(response)
    }

    async fn recover(&mut self, error: Error) -> Result<()> {
        self.response = None;
        self.pending = Bytes::new();
        let Some(wait) = self.backoff.after(&error) else { return Err(error) };
        tracing::debug!(blob = %self.digest, at = self.at, %error, ?wait, "reading on after a cut");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn subject(&self) -> String {
        self.repository.subject(self.digest)
    }

    fn cut(&self, cause: String) -> Error {
        Error::Cut { subject: self.subject(), at: self.at, cause }
    }
}
