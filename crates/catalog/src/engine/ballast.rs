//! The catalog's reserve: a preallocated file beside it, given back to the file system when the disk is full, so that deletes, the sweep and the end of
//! a session still find room (behaviour §6).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

/// How often refilling is tried.
const PAUSE: Duration = Duration::from_millis(500);

/// The reserve.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    size: u64,
    spent: Option<Instant>,
}

impl Ballast {
    /// The file beside `catalog`; made now if space allows.
    pub fn beside(catalog: &Path, size: u64) -> Self {
        let mut ballast = Self { path: catalog.with_extension("ballast"), size, spent: None };
        if size > 0
            && let Err(error) = ballast.fill()
        {
            tracing::warn!(%error, bytes = size, "no space for the catalog's reserve: a full disk will stop deletes too");
        }
        ballast
    }

    pub fn is_spent(&self) -> bool {
        self.spent.is_some()
    }

    /// Gives the reserve back to the file system.
    pub fn release(&mut self) {
        if self.spent.replace(Instant::now()).is_none() {
            tracing::error!(
                "the catalog's disk is full: its reserve is released, pushes are refused until there is space again"
            );
        }
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(%error, "the catalog's reserve cannot be released");
        }
    }

    /// Takes the reserve back if there is space again. Answers whether it is there.
    pub fn refill(&mut self) -> bool {
        let Some(tried) = self.spent else { return true };
        if tried.elapsed() < PAUSE {
            return false;
        }
        match self.fill() {
            Ok(()) => {
                tracing::info!("the catalog's disk has space again");
                self.spent = None;
                true
            }
            Err(_) => {
                self.spent = Some(Instant::now());
                false
            }
        }
    }

    /// Makes the file with real blocks. Leaves as much again free: a reserve that fills the disk would be spent at once.
    fn fill(&mut self) -> io::Result<()> {
        if std::fs::metadata(&self.path).is_ok_and(|file| file.len() == self.size) {
            return Ok(());
        }
        if self.size > 0 && available(self.path.parent().unwrap_or(Path::new(".")))? < self.size.saturating_mul(2) {
            return Err(Errno::NOSPC.into());
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        allocate(&file, self.size).inspect_err(|_| {
            let _ = std::fs::remove_file(&self.path);
        })
    }
}

/// Bytes that may be written to the file system of `folder`.
pub(super) fn available(folder: &Path) -> io::Result<u64> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let space = statvfs(folder)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

fn allocate(file: &File, size: u64) -> io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), 0, size) {
        Err(Errno::OPNOTSUPP) => write_zeros(file, size),
        other => Ok(other?),
    }
}

fn write_zeros(mut file: &File, size: u64) -> io::Result<()> {
    let zeros = [0; 64 * 1024];
    let mut left = size;
    while left > 0 {
        let count = left.min(zeros.len() as u64);
        file.write_all(&zeros[..usize::try_from(count).unwrap_or(zeros.len())])?;
        left -= count;
    }
    file.sync_data()
}
