//! Places inside a destination folder: nothing is written through a link, nothing outside (CVE-2026-50162, CVE-2021-32760 and their kin).

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use larder_oci::digest::Digest;

use crate::error::{Error, Result};
use crate::hashing::{BUFFER, Hasher};

/// What lies at a path; links are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    Nothing,
    File(u64),
    Folder,
    /// A link, a device, a socket.
    Other,
}

pub(super) fn there(path: &Path) -> Result<There> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(There::File(metadata.len())),
        Ok(metadata) if metadata.is_dir() => Ok(There::Folder),
        Ok(_) => Ok(There::Other),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(There::Nothing)
        }
        Err(error) => Err(Error::io(path, error)),
    }
}

/// `root` joined with a path that [`crate::model_path::inside`] has passed, its folders made. A link on the way is refused.
pub(super) fn reserve(root: &Path, relative: &Path) -> Result<PathBuf> {
    let mut at = root.to_owned();
    for component in relative.parent().into_iter().flat_map(Path::components) {
        at.push(component);
        match there(&at)? {
            There::Folder => {}
            There::Nothing => match fs::create_dir(&at) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io(&at, error)),
                // Another blob of the transfer was quicker; what it made is looked at again with the next file.
                _ => {}
            },
            There::File(_) | There::Other => {
                return Err(Error::local(&at, "it is no folder, and a file belongs below it"));
            }
        }
    }
    let place = root.join(relative);
    match there(&place)? {
        There::Nothing | There::File(_) => Ok(place),
        There::Folder => Err(Error::local(&place, "it is a folder, and a file belongs there")),
        There::Other => Err(Error::local(&place, "it is a link or a device; nothing is written through it")),
    }
}

/// Whether the file at `path` has this content.
pub(super) fn has_content(path: &Path, digest: &Digest, size: u64) -> Result<bool> {
    if there(path)? != There::File(size) {
        return Ok(false);
    }
    let mut hasher = Hasher::new(digest.algorithm());
    let mut file = fs::File::open(path).map_err(|error| Error::io(path, error))?;
    hasher.update_from(&mut file).map_err(|error| Error::io(path, error))?;
    Ok(hasher.finish() == *digest)
}

/// Whether two files have the same content.
pub(super) fn are_equal(a: &Path, b: &Path) -> io::Result<bool> {
    let (mut a, mut b) = (fs::File::open(a)?, fs::File::open(b)?);
    if a.metadata()?.len() != b.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (Vec::with_capacity(BUFFER), Vec::with_capacity(BUFFER));
    loop {
        left.clear();
        right.clear();
        Read::by_ref(&mut a).take(BUFFER as u64).read_to_end(&mut left)?;
        Read::by_ref(&mut b).take(BUFFER as u64).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}

/// Replaces the file at `path` by `bytes`, in one step and durably.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let io = |error| Error::io(path, error);
    let mut file = tempfile::Builder::new().prefix(crate::model_path::PARTIAL).tempfile_in(folder).map_err(io)?;
    io::Write::write_all(&mut file, bytes).map_err(io)?;
    make_readable(file.path()).map_err(io)?;
    file.as_file().sync_data().map_err(io)?;
    file.persist(path).map_err(|error| Error::io(path, error.error))?;
    Ok(())
}

/// Temporary files are their owner's alone; what comes of them is for everyone, as any file that is made.
#[cfg(unix)]
pub(super) fn make_readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
pub(super) fn make_readable(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Lets a file be executed by whoever may read it.
#[cfg(unix)]
pub(super) fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path)?.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode | ((mode & 0o444) >> 2)))
}

#[cfg(not(unix))]
pub(super) fn make_executable(_path: &Path) -> io::Result<()> {
    Ok(())
}
