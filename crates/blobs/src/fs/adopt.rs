//! Files of another program as objects: a second name, else shared blocks, else a copy.
//!
//! A whole batch becomes durable by one `syncfs`: the program that wrote the files may never have synced them, and a sync for each of a
//! million files would take longer than hashing them.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::Inner;
use super::disk::regular_len;
use super::fault::{During as _, io_error, is_full};
use super::layout::{self, ObjectName};
use super::session::lock;
use crate::{Adopted, Adoption, Arrival, Error, Foreign, Result};

/// Bytes per read where the kernel cannot copy by itself.
const PIECE: usize = 1 << 20;

/// What adoptions of one store share.
#[derive(Default)]
pub(super) struct Adoptions {
    /// Whoever copies.
    copying: Mutex<()>,
    /// Syncs that have begun.
    begun: AtomicU64,
    /// The last one that ended: its number, and how.
    ended: Mutex<(u64, Option<Errno>)>,
}

impl Adoptions {
    /// Waits for a sync that begins after this call; several callers share one. A failed one is everybody's whom it covers (**Invariant 11**).
    fn settle(&self, sync: impl FnOnce() -> rustix::io::Result<()>) -> rustix::io::Result<()> {
        let ticket = self.begun.load(Ordering::SeqCst);
        let mut ended = lock(&self.ended);
        if ended.0 <= ticket {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            *ended = (number, sync().err());
        }
        ended.1.map_or(Ok(()), Err)
    }
}

/// What a file turned out to be on the way in.
enum Taken {
    As(Arrival, u64),
    NeedsCopy(u64, Errno),
}

impl Inner {
    /// Takes all files over, and makes them and their names durable. Blocking.
    pub(super) fn adopt(&self, files: &[Foreign], may_copy: bool) -> Result<Vec<Adoption>> {
        let mut adoptions = Vec::with_capacity(files.len());
        for file in files {
            adoptions.push(self.adopt_one(file, may_copy)?);
        }
        if adoptions.iter().any(|adoption| matches!(adoption, Adoption::Done(_))) {
            self.adoptions.settle(|| self.disk.sync_file_system()).during_sync()?;
        }
        Ok(adoptions)
    }

    /// An error is the store's: the file's own are in the answer.
    fn adopt_one(&self, foreign: &Foreign, may_copy: bool) -> Result<Adoption> {
        let name = ObjectName { digest: foreign.digest, upload: foreign.upload };
        let _directory = self.shard_directory(name.shard())?;
        let source = match open_foreign(&foreign.path) {
            Ok(source) => source,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Adoption::Absent),
            Err(Errno::LOOP | Errno::NXIO) => return Ok(Adoption::NotAFile),
            Err(errno) => return Ok(Adoption::Failed(unreadable(foreign, errno))),
        };
        let size = match rustix::fs::fstat(&source).map(|stat| regular_len(&stat)) {
            Ok(Some(size)) => size,
            Ok(None) => return Ok(Adoption::NotAFile),
            Err(errno) => return Ok(Adoption::Failed(unreadable(foreign, errno))),
        };
        Ok(match self.take(foreign, &name, &source, size, may_copy)? {
            Ok(Taken::As(arrival, size)) => Adoption::Done(Adopted { key: name.key(), size, arrival }),
            Ok(Taken::NeedsCopy(size, why)) => Adoption::NeedsCopy { size, why: io::Error::from(why).to_string() },
            Err(errno) => Adoption::Failed(unreadable(foreign, errno)),
        })
    }

    fn take(
        &self,
        foreign: &Foreign,
        name: &ObjectName,
        source: &OwnedFd,
        size: u64,
        may_copy: bool,
    ) -> Result<rustix::io::Result<Taken>> {
        let target = name.path();
        let refused = match self.disk.link_from(&foreign.path, &target) {
            Ok(()) => return Ok(Ok(Taken::As(Arrival::Link, size))),
            // This session took it over before, for another repository.
            Err(Errno::EXIST) => return self.taken_before(name, source, size),
            Err(errno) if is_full(errno) => return Err(Error::Full(errno.into())),
            Err(errno @ (Errno::NOENT | Errno::IO | Errno::ROFS)) => return Ok(Err(errno)),
            // Another file system; none with links; too many names; or a file that is not ours (`protected_hardlinks`).
            Err(errno) => errno,
        };
        // One at a time: the session has one name among the uploads.
        let _one_writer = lock(&self.adoptions.copying);
        let path = layout::upload_path(&name.upload);
        let context = || format!("take over object {}", name.key());
        self.disk.unlink(&path).during(context)?;
        let file = self.disk.create(&path).during(context)?;
        let arrival = match self.disk.share_blocks(&file, source) {
            Ok(()) => Arrival::Reflink,
            Err(errno) if is_full(errno) => return Err(self.give_up_adoption(&path, Error::Full(errno.into()))),
            Err(_) if may_copy => match self.copy(source, &file, size) {
                Ok(()) => Arrival::Copy,
                Err(Copying::Source(errno)) => {
                    self.disk.unlink(&path).during(context)?;
                    return Ok(Err(errno));
                }
                Err(Copying::Target(error)) => return Err(self.give_up_adoption(&path, error)),
            },
            Err(_) => {
                self.disk.unlink(&path).during(context)?;
                return Ok(Ok(Taken::NeedsCopy(size, refused)));
            }
        };
        // Before the name: a copy that is not whole must not be found under it.
        if let Err(errno) = self.disk.data_sync(&file, &path) {
            return Err(self.give_up_adoption(&path, Error::SyncFailed(errno.into())));
        }
        match self.disk.rename_new(&path, &target) {
            Ok(()) => Ok(Ok(Taken::As(arrival, size))),
            Err(Errno::EXIST) => {
                self.disk.unlink(&path).during(context)?;
                Ok(Ok(Taken::As(arrival, size)))
            }
            Err(errno) => Err(errno).during(context),
        }
    }

    /// The object stands there already: as another name of the file, or as its copy.
    fn taken_before(&self, name: &ObjectName, source: &OwnedFd, size: u64) -> Result<rustix::io::Result<Taken>> {
        let context = || format!("look at object {}", name.key());
        let there = self.disk.stat(&name.path()).during(context)?;
        let own = rustix::fs::fstat(source).during(context)?;
        Ok(match there {
            Some(there) if (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino) => {
                Ok(Taken::As(Arrival::Link, size))
            }
            Some(there) if regular_len(&there) == Some(size) => Ok(Taken::As(Arrival::Copy, size)),
            _ => Err(Errno::EXIST),
        })
    }

    fn copy(&self, source: &OwnedFd, target: &OwnedFd, size: u64) -> Result<(), Copying> {
        let mut buffer = vec![0; PIECE];
        let mut at = 0;
        loop {
            let read = retry_on_intr(|| rustix::io::pread(source, &mut buffer, at)).map_err(Copying::Source)?;
            if read == 0 {
                // A file that shrank meanwhile is not what was looked at.
                return if at == size { Ok(()) } else { Err(Copying::Source(Errno::IO)) };
            }
            let piece = bytes::Bytes::copy_from_slice(&buffer[..read]);
            let written = self.disk.write_at(target, &[piece], at).during(|| "copy a foreign file".to_owned());
            written.map_err(Copying::Target)?;
            self.disk.start_write_back(target, at, read as u64);
            at += read as u64;
        }
    }

    fn give_up_adoption(&self, path: &str, error: Error) -> Error {
        let _best_effort = self.disk.unlink(path);
        error
    }
}

/// Whose fault a failed copy is.
enum Copying {
    Source(Errno),
    Target(Error),
}

/// Opens what another program left; never through a symbolic link, and without waiting for a pipe's other end.
fn open_foreign(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))
}

fn unreadable(foreign: &Foreign, errno: Errno) -> Error {
    io_error(format!("take over the file of {}", foreign.digest), errno)
}

impl super::disk::Disk {
    /// Gives a file outside the folder a second name inside, where that name is free.
    fn link_from(&self, from: &Path, to: &str) -> rustix::io::Result<()> {
        self.tap_link(to)?;
        rustix::fs::linkat(CWD, from, self.root(), to, AtFlags::empty())
    }
}
