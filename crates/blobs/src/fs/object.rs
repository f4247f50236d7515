//! Reading an object: from the page cache on the spot, from the medium on the blocking pool.

use std::io;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use rustix::fs::Advice;
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};
use tokio::task::JoinHandle;

use super::Inner;
use super::buffers::{Buffers, CHUNK};
use super::medium;
use crate::{BlobKey, BlobObject, BlobStream};

/// How far ahead the medium is asked when a piece was not in the page cache.
const READ_AHEAD: u64 = 1 << 20;

/// An open file whose length was what the catalog says.
pub(super) struct FsObject {
    pub(super) inner: Arc<Inner>,
    pub(super) file: Arc<OwnedFd>,
    pub(super) key: BlobKey,
    pub(super) path: String,
    pub(super) size: u64,
}

impl BlobObject for FsObject {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, range: Range<u64>) -> BlobStream {
        if range.end > self.size || range.start > range.end {
            return Box::pin(futures::stream::once(async { Err(io::Error::from(io::ErrorKind::InvalidInput)) }));
        }
        Box::pin(Reader {
            inner: Arc::clone(&self.inner),
            file: Arc::clone(&self.file),
            key: self.key.clone(),
            at: range.start,
            end: range.end,
            buffers: Buffers::default(),
            waiting: None,
            sequential: false,
        })
    }

    fn read_medium(&self) -> BlobStream {
        medium::read(Arc::clone(&self.inner), self.path.clone(), self.key.clone(), self.size)
    }
}

/// Bytes of a range, one piece per poll; dropped, it reads no further.
struct Reader {
    inner: Arc<Inner>,
    file: Arc<OwnedFd>,
    key: BlobKey,
    at: u64,
    end: u64,
    buffers: Buffers,
    /// A read on the blocking pool.
    waiting: Option<JoinHandle<(BytesMut, rustix::io::Result<usize>)>>,
    /// Whether the kernel was told that this is read in order.
    sequential: bool,
}

impl Stream for Reader {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // Reads that never wait would keep other tasks of this thread waiting.
        let cooperation = ready!(tokio::task::coop::poll_proceed(cx));
        if this.waiting.is_none() {
            if this.at == this.end {
                return Poll::Ready(None);
            }
            let len = this.next_len();
            let mut buffer = this.buffers.take(len, &this.inner.pool);
            match this.read_cached(&mut buffer[..len]) {
                Some(outcome) => {
                    cooperation.made_progress();
                    return Poll::Ready(Some(this.piece(buffer, outcome)));
                }
                None => this.waiting = Some(this.read_blocking(buffer, len)),
            }
        }
        let Some(waiting) = &mut this.waiting else { return Poll::Ready(None) };
        let outcome = ready!(Pin::new(waiting).poll(cx));
        this.waiting = None;
        cooperation.made_progress();
        Poll::Ready(Some(match outcome {
            Ok((buffer, outcome)) => this.piece(buffer, outcome),
            Err(stopped) => {
                this.at = this.end;
                Err(io::Error::other(stopped))
            }
        }))
    }
}

impl Reader {
    fn next_len(&self) -> usize {
        usize::try_from(self.end - self.at).map_or(CHUNK, |left| left.min(CHUNK))
    }

    /// What the page cache has; `None` if the medium must be asked.
    fn read_cached(&self, buffer: &mut [u8]) -> Option<rustix::io::Result<usize>> {
        if !self.inner.disk.can_read_nowait() {
            return None;
        }
        let mut slices = [IoSliceMut::new(buffer)];
        match retry_on_intr(|| rustix::io::preadv2(&self.file, &mut slices, self.at, ReadWriteFlags::NOWAIT)) {
            Err(Errno::AGAIN) => None,
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.inner.disk.forgo_read_nowait();
                None
            }
            outcome => Some(outcome),
        }
    }

    fn read_blocking(&mut self, mut buffer: BytesMut, len: usize) -> JoinHandle<(BytesMut, rustix::io::Result<usize>)> {
        let (file, at) = (Arc::clone(&self.file), self.at);
        // Never beyond what was asked for: clients open a range and drop it after a piece.
        let ahead = (self.end - at).min(len as u64 + READ_AHEAD);
        let first = !std::mem::replace(&mut self.sequential, true) && ahead > READ_AHEAD;
        tokio::task::spawn_blocking(move || {
            if first {
                let _advice_only = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
            }
            let _advice_only = rustix::fs::fadvise(&file, at, NonZeroU64::new(ahead), Advice::WillNeed);
            let outcome = retry_on_intr(|| rustix::io::pread(&file, &mut buffer[..len], at));
            (buffer, outcome)
        })
    }

    /// A piece, or the error that ends the stream. **Invariant 12**: a file that became shorter is an error, never a short success.
    fn piece(&mut self, buffer: BytesMut, outcome: rustix::io::Result<usize>) -> io::Result<Bytes> {
        match outcome {
            Ok(len) if len > 0 => {
                self.at += len as u64;
                Ok(self.buffers.hand_out(buffer, len))
            }
            outcome => {
                let at = std::mem::replace(&mut self.at, self.end);
                Err(outcome.err().map_or_else(|| shrunk(&self.key, at), io::Error::from))
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.buffers.give_back(&self.inner.pool);
    }
}

pub(super) fn shrunk(key: &BlobKey, at: u64) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("object {key} ends at {at}, shorter than when it was opened"))
}
