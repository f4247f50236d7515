//! Reading what is on the medium, not what the page cache remembers of it: `O_DIRECT`, else the cached pages dropped first.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustix::fs::{Advice, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::Inner;
use super::object::shrunk;
use crate::{BlobKey, BlobStream};

/// Bytes per read. `O_DIRECT` has no read-ahead, so one read should keep the medium busy for a while.
const PIECE: usize = 1 << 20;
/// What `O_DIRECT` asks of address, offset and length on every usual file system.
const ALIGNMENT: usize = 4096;

struct Medium {
    inner: Arc<Inner>,
    path: String,
    key: BlobKey,
    size: u64,
    at: u64,
    file: Option<(OwnedFd, Access)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Direct,
    Cached,
}

/// All bytes of the file at `path`.
pub(super) fn read(inner: Arc<Inner>, path: String, key: BlobKey, size: u64) -> BlobStream {
    let medium = Medium { inner, path, key, size, at: 0, file: None };
    Box::pin(futures::stream::try_unfold(medium, |mut medium| async move {
        if medium.at == medium.size {
            return Ok(None);
        }
        tokio::task::spawn_blocking(move || medium.next().map(|piece| Some((piece, medium))))
            .await
            .map_err(io::Error::other)?
    }))
}

impl Medium {
    fn next(&mut self) -> io::Result<Bytes> {
        let (file, access) = match self.file.take() {
            Some(open) => open,
            None => self.open()?,
        };
        match self.read(&file) {
            // This file system wants another alignment, or none at all.
            Err(Errno::INVAL) if access == Access::Direct => {
                let file = self.open_cached()?;
                let piece = self.read(&file)?;
                self.take(file, Access::Cached, piece)
            }
            outcome => self.take(file, access, outcome?),
        }
    }

    fn open(&self) -> io::Result<(OwnedFd, Access)> {
        match self.inner.disk.open_file(&self.path, OFlags::RDONLY | OFlags::DIRECT) {
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok((self.open_cached()?, Access::Cached)),
            outcome => Ok((outcome?, Access::Direct)),
        }
    }

    /// Drops all cached pages once: dropping them piece by piece would throw away the read-ahead as well.
    fn open_cached(&self) -> io::Result<OwnedFd> {
        let file = self.inner.disk.open_file(&self.path, OFlags::RDONLY)?;
        let _advice_only = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        Ok(file)
    }

    fn read(&self, file: &OwnedFd) -> rustix::io::Result<Bytes> {
        let mut buffer = BytesMut::zeroed(PIECE + ALIGNMENT);
        let start = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let read = retry_on_intr(|| rustix::io::pread(file, &mut buffer[start..start + PIECE], self.at))?;
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        Ok(buffer.freeze().slice(start..start + read.min(left)))
    }

    fn take(&mut self, file: OwnedFd, access: Access, piece: Bytes) -> io::Result<Bytes> {
        if piece.is_empty() {
            return Err(shrunk(&self.key, self.at));
        }
        self.at += piece.len() as u64;
        self.file = Some((file, access));
        Ok(piece)
    }
}
