//! What the folder holds, walked as it is asked for: one directory entry after the other, never a list of them.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use larder_oci::Algorithm;
use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::Inner;
use super::disk::regular_len;
use super::fault::During as _;
use super::layout::{self, ObjectName, Shard};
use crate::{Error, Stored, StoredStream};

/// Entries read ahead of the one who asks.
const READ_AHEAD: usize = 256;

/// The walk begins with the first poll and ends when the stream is dropped. An error is the last item: what follows is unknown.
pub(super) fn list(inner: Arc<Inner>) -> StoredStream {
    let mut begin = Some(inner);
    let mut receiver = None;
    Box::pin(futures::stream::poll_fn(move |cx| {
        if let Some(inner) = begin.take() {
            let (sender, entries) = mpsc::channel(READ_AHEAD);
            receiver = Some(entries);
            tokio::task::spawn_blocking(move || {
                let walk = Walk { inner, sender };
                if let Err(Stop::Failed(error)) = walk.root() {
                    let _gone = walk.sender.blocking_send(Err(error));
                }
            });
        }
        match &mut receiver {
            Some(entries) => entries.poll_recv(cx),
            None => std::task::Poll::Ready(None),
        }
    }))
}

struct Walk {
    inner: Arc<Inner>,
    sender: mpsc::Sender<crate::Result<Stored>>,
}

enum Stop {
    /// Nobody listens any more.
    Gone,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Step = Result<(), Stop>;

/// An entry of a directory that is still there.
struct Entry<'a> {
    /// Path below the root.
    path: String,
    /// `None` if it is not UTF-8, which nothing of ours is.
    name: Option<&'a str>,
    kind: FileType,
    /// Of a regular file.
    len: Option<u64>,
}

impl Walk {
    fn root(&self) -> Step {
        self.each(".", |entry| match entry.name {
            Some(layout::BLOBS) if entry.is_directory() => self.blobs(),
            Some(layout::UPLOADS) if entry.is_directory() => self.uploads(),
            Some(layout::QUARANTINE) if entry.is_directory() => self.quarantine(),
            Some(layout::LOST_AND_FOUND) if entry.is_directory() => Ok(()),
            Some(layout::MARKER | layout::MARKER_NEXT | layout::PROBE) if entry.len.is_some() => Ok(()),
            _ => self.foreign(entry),
        })
    }

    fn blobs(&self) -> Step {
        self.each(layout::BLOBS, |entry| {
            let algorithm = layout::ALGORITHMS.into_iter().find(|algorithm| entry.name == Some(algorithm.as_str()));
            match algorithm {
                Some(algorithm) if entry.is_directory() => self.algorithm(algorithm),
                _ => self.foreign(entry),
            }
        })
    }

    fn algorithm(&self, algorithm: Algorithm) -> Step {
        self.each(&layout::algorithm_path(algorithm), |entry| {
            match entry.name.and_then(|name| Shard::from_directory(algorithm, name)) {
                Some(shard) if entry.is_directory() => self.shard(algorithm, shard),
                _ => self.foreign(entry),
            }
        })
    }

    fn shard(&self, algorithm: Algorithm, shard: Shard) -> Step {
        self.each(&shard.path(), |entry| {
            match (entry.name.and_then(|name| ObjectName::from_file(algorithm, name)), entry.len) {
                (Some(name), Some(size)) if name.shard() == shard => self.send(Stored::Object {
                    key: name.key(),
                    digest: Some(name.digest),
                    upload: Some(name.upload),
                    size,
                }),
                _ => self.foreign(entry),
            }
        })
    }

    fn uploads(&self) -> Step {
        self.each(layout::UPLOADS, |entry| match (entry.name.and_then(layout::upload_from_file), entry.len) {
            (Some(id), Some(size)) => self.send(Stored::Upload { id, size }),
            _ => self.foreign(entry),
        })
    }

    fn quarantine(&self) -> Step {
        self.each(layout::QUARANTINE, |entry| match (entry.name.and_then(ObjectName::from_quarantine), entry.len) {
            (Some(name), Some(size)) => self.send(Stored::Quarantined { key: name.key(), size }),
            _ => self.foreign(entry),
        })
    }

    fn foreign(&self, entry: Entry<'_>) -> Step {
        self.send(Stored::Foreign { size: entry.len.unwrap_or(0), name: entry.path })
    }

    fn send(&self, stored: Stored) -> Step {
        self.sender.blocking_send(Ok(stored)).map_err(|_closed| Stop::Gone)
    }

    fn each(&self, directory: &str, mut visit: impl FnMut(Entry<'_>) -> Step) -> Step {
        let context = || format!("list directory {directory}");
        let fd = match self.inner.disk.open_directory(directory) {
            Err(Errno::NOENT) => return Ok(()),
            outcome => outcome.during(context)?,
        };
        let mut entries = Dir::read_from(&fd).during(context)?;
        while let Some(entry) = entries.read() {
            let entry = entry.during(context)?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if let Some(entry) = look(&fd, directory, name).during(context)? {
                visit(entry)?;
            }
        }
        Ok(())
    }
}

impl Entry<'_> {
    fn is_directory(&self) -> bool {
        self.kind.is_dir()
    }
}

/// `None` if the entry went away meanwhile.
fn look<'a>(directory: &OwnedFd, path: &str, name: &'a CStr) -> rustix::io::Result<Option<Entry<'a>>> {
    let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(None),
        outcome => outcome?,
    };
    let prefix = if path == "." { String::new() } else { format!("{path}/") };
    Ok(Some(Entry {
        path: format!("{prefix}{}", name.to_string_lossy()),
        name: name.to_str().ok(),
        kind: FileType::from_raw_mode(stat.st_mode),
        len: regular_len(&stat),
    }))
}
