//! Upload sessions that outlive the process: a push that was killed goes on where the registry says it is.
//!
//! A session's address can be as good as a password, so the files are their owner's alone.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use larder_oci::digest::{Algorithm, Digest};

use crate::hashing::Hasher;

/// Smaller blobs are not worth a file.
pub(crate) const WORTHWHILE: u64 = 8 * 1024 * 1024;
/// No registry keeps a session longer.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);
/// More than any address.
const LONGEST: u64 = 64 * 1024;

/// The remembered session of one blob in one repository, held by one process at a time.
#[derive(Debug)]
pub(crate) struct SessionMemory {
    path: PathBuf,
    file: File,
}

impl SessionMemory {
    /// The memory of `digest` on its way to `repository`, and the address in it. `None` where another process holds it or nothing can be
    /// remembered: then the push works all the same.
    pub(crate) fn open(folder: &Path, repository: &str, digest: &Digest) -> Option<(Self, Option<String>)> {
        make_private(folder).ok()?;
        forget_old(folder);
        let name = Hasher::digest(Algorithm::Sha256, format!("{repository}\n{digest}").as_bytes()).hex();
        let path = folder.join(name);
        let mut file = private_file(&path).ok()?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
        }
        let mut address = String::new();
        Read::by_ref(&mut file).take(LONGEST).read_to_string(&mut address).ok()?;
        let address = Some(address).filter(|address| !address.is_empty());
        Some((Self { path, file }, address))
    }

    /// Remembers where the session is.
    pub(crate) fn keep(&mut self, address: &str) {
        let kept = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        if let Err(error) = kept.and_then(|_| self.file.write_all(address.as_bytes())) {
            tracing::debug!(%error, "an upload session cannot be remembered");
        }
    }

    /// The blob has arrived.
    pub(crate) fn forget(self) {
        // What stays is forgotten with its age.
        let _ = fs::remove_file(&self.path);
    }
}

fn forget_old(folder: &Path) {
    let old = |entry: &fs::DirEntry| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > LIFETIME))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(old) {
        // Another process may have been quicker.
        let _ = fs::remove_file(entry.path());
    }
}

#[cfg(unix)]
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}

#[cfg(unix)]
fn private_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}
