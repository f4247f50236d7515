//! The one seam to the operating system for everything that changes the store's folder.
//!
//! Plain system calls relative to one open directory, blocking: callers run them on the blocking pool. Reading bytes does not pass
//! here (`read.rs`). It knows paths below the root and descriptors, nothing about digests or sessions.

use std::io::IoSlice;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rustix::fs::{Advice, AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

pub(super) type Result<T> = rustix::io::Result<T>;

const FILE_MODE: Mode = Mode::from_raw_mode(0o640);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o750);

/// What is about to be asked of the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Call {
    Open,
    Create,
    Truncate,
    Write,
    DataSync,
    DirectorySync,
    MakeDirectory,
    Rename,
    Link,
    Unlink,
    Stat,
    FileSystemSync,
    ShareBlocks,
}

/// The store's folder.
pub(super) struct Disk {
    root: OwnedFd,
    /// Cleared at the first file system that does not know `RENAME_NOREPLACE`.
    can_rename_noreplace: AtomicBool,
    /// Cleared at the first file system that does not know `RWF_NOWAIT`.
    can_read_nowait: AtomicBool,
    #[cfg(test)]
    pub(super) tap: super::tests::tap::Tap,
}

impl Disk {
    /// Opens the folder, which must exist.
    pub(super) fn open(root: &Path) -> Result<Self> {
        let root = rustix::fs::openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self {
            root,
            can_rename_noreplace: AtomicBool::new(true),
            can_read_nowait: AtomicBool::new(true),
            #[cfg(test)]
            tap: Default::default(),
        })
    }

    /// Creates a file that must not exist, for reading and writing.
    pub(super) fn create(&self, path: &str) -> Result<OwnedFd> {
        self.tap(Call::Create, path)?;
        self.openat(path, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
    }

    /// Opens a file, never through a symbolic link.
    pub(super) fn open_file(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        self.tap(Call::Open, path)?;
        self.openat(path, flags)
    }

    pub(super) fn open_directory(&self, path: &str) -> Result<OwnedFd> {
        self.tap(Call::Open, path)?;
        self.openat(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    pub(super) fn truncate(&self, fd: impl AsFd, len: u64, path: &str) -> Result<()> {
        self.tap(Call::Truncate, path)?;
        retry_on_intr(|| rustix::fs::ftruncate(&fd, len))
    }

    /// Writes all pieces, one after the other, from `offset` on. At most 1,024 pieces.
    pub(super) fn write_at(&self, fd: impl AsFd, pieces: &[Bytes], mut offset: u64) -> Result<()> {
        self.tap(Call::Write, "")?;
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut slices = &mut slices[..];
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            match retry_on_intr(|| rustix::io::pwritev(&fd, slices, offset))? {
                0 => return Err(Errno::IO),
                written => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut slices, written);
                }
            }
        }
        Ok(())
    }

    /// Asks for the write-back of a range without waiting for it, so that a later sync finds little left to do.
    ///
    /// `posix_fadvise(DONTNEED)` starts the same asynchronous write-back as `sync_file_range(WRITE)`, which no safe interface
    /// offers; it evicts clean pages only, and what was just written is dirty or in flight. It reports nothing: the truth about
    /// these bytes comes from `data_sync`.
    pub(super) fn start_write_back(&self, fd: impl AsFd, from: u64, len: u64) {
        if let Some(len) = NonZeroU64::new(len) {
            let _advice_only = rustix::fs::fadvise(fd, from, Some(len), Advice::DontNeed);
        }
    }

    /// `fdatasync`. An error here is final for what the descriptor wrote (**Invariant 11**).
    pub(super) fn data_sync(&self, fd: impl AsFd, path: &str) -> Result<()> {
        self.tap(Call::DataSync, path)?;
        retry_on_intr(|| rustix::fs::fdatasync(&fd))
    }

    /// `fsync` of a directory, which makes the names in it durable.
    pub(super) fn sync_directory(&self, fd: impl AsFd, path: &str) -> Result<()> {
        self.tap(Call::DirectorySync, path)?;
        retry_on_intr(|| rustix::fs::fsync(&fd))
    }

    /// Syncs the directory at `path`; the root's path is `.`.
    pub(super) fn sync_directory_at(&self, path: &str) -> Result<()> {
        self.sync_directory(self.open_directory(path)?, path)
    }

    /// Makes a directory and its name in `parent` durable. One that stands there already is synced too: whoever made it may have
    /// died before its own sync.
    pub(super) fn make_directory(&self, path: &str, parent: &str) -> Result<()> {
        self.tap(Call::MakeDirectory, path)?;
        match rustix::fs::mkdirat(&self.root, path, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EXIST) => self.sync_directory_at(parent),
            Err(errno) => Err(errno),
        }
    }

    /// Gives a file its final name and never replaces: `EXIST` if the name is taken (**Invariant 1**).
    pub(super) fn rename_new(&self, from: &str, to: &str) -> Result<()> {
        if self.can_rename_noreplace.load(Ordering::Relaxed) {
            self.tap(Call::Rename, to)?;
            match rustix::fs::renameat_with(&self.root, from, &self.root, to, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    self.can_rename_noreplace.store(false, Ordering::Relaxed);
                }
                outcome => return outcome,
            }
        }
        self.tap(Call::Link, to)?;
        rustix::fs::linkat(&self.root, from, &self.root, to, AtFlags::empty())?;
        self.unlink(from)?;
        Ok(())
    }

    /// Replaces `to` atomically. For the marker only: no object is ever replaced.
    pub(super) fn replace(&self, from: &str, to: &str) -> Result<()> {
        self.tap(Call::Rename, to)?;
        rustix::fs::renameat(&self.root, from, &self.root, to)
    }

    /// Removes a name; `false` if there was none.
    pub(super) fn unlink(&self, path: &str) -> Result<bool> {
        self.tap(Call::Unlink, path)?;
        match rustix::fs::unlinkat(&self.root, path, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// What stands at `path`, symbolic links not followed; `None` if nothing does.
    pub(super) fn stat(&self, path: &str) -> Result<Option<Stat>> {
        self.tap(Call::Stat, path)?;
        match rustix::fs::statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// `syncfs`: everything that was written to this file system, names included. For many files that no descriptor of ours wrote.
    pub(super) fn sync_file_system(&self) -> Result<()> {
        self.tap(Call::FileSystemSync, ".")?;
        retry_on_intr(|| rustix::fs::syncfs(&self.root))
    }

    /// `FICLONE`: the file gets the blocks of another, which neither can change for the other.
    pub(super) fn share_blocks(&self, to: impl AsFd, from: impl AsFd) -> Result<()> {
        self.tap(Call::ShareBlocks, "")?;
        rustix::fs::ioctl_ficlone(&to, &from)
    }

    /// What stands before a link from outside the folder.
    pub(super) fn tap_link(&self, to: &str) -> Result<()> {
        self.tap(Call::Link, to)
    }

    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    pub(super) fn can_read_nowait(&self) -> bool {
        self.can_read_nowait.load(Ordering::Relaxed)
    }

    pub(super) fn forgo_read_nowait(&self) {
        self.can_read_nowait.store(false, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn forgo_rename_noreplace(&self) {
        self.can_rename_noreplace.store(false, Ordering::Relaxed);
    }

    fn openat(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        retry_on_intr(|| rustix::fs::openat(&self.root, path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, FILE_MODE))
    }

    #[cfg(test)]
    fn tap(&self, call: Call, path: &str) -> Result<()> {
        self.tap.call(call, path)
    }

    #[cfg(not(test))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "the place where unit tests inject faults")]
    fn tap(&self, _call: Call, _path: &str) -> Result<()> {
        Ok(())
    }
}

/// Length of a regular file; `None` for anything else.
pub(super) fn regular_len(stat: &Stat) -> Option<u64> {
    FileType::from_raw_mode(stat.st_mode).is_file().then(|| stat.st_size.cast_unsigned())
}

/// Makes every missing directory on the way to `root`, outermost first, each durable in its parent before the next.
pub(super) fn make_root(root: &Path) -> Result<()> {
    let missing: Vec<&Path> =
        root.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).collect();
    for path in missing.into_iter().rev() {
        match rustix::fs::mkdirat(CWD, path, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let fd = rustix::fs::openat(CWD, parent, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        retry_on_intr(|| rustix::fs::fsync(&fd))?;
    }
    Ok(())
}
