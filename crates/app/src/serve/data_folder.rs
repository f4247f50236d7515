//! The data folder: made private, held under a lock by one process (**Invariant 15**), refused on file systems whose locks SQLite cannot trust.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::outcome::{Failure, Result};

/// A data folder that this process holds. The lock goes with it.
#[derive(Debug)]
pub struct DataFolder {
    root: PathBuf,
    _lock: File,
}

/// What came of asking for the lock.
#[derive(Debug)]
pub enum Lock {
    /// This process has it.
    Held(DataFolder),
    /// Another process has it; its id, if it wrote one down.
    Taken(Option<u32>),
}

impl DataFolder {
    /// Takes the folder for this process, making it (mode 0700) if it is absent.
    ///
    /// # Errors
    /// One that names the process which has it.
    pub fn take(root: &Path) -> Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|error| Failure::failed(format!("the data folder {} cannot be made: {error}", root.display())))?;
        match Self::try_take(root)? {
            Lock::Held(folder) => Ok(folder),
            Lock::Taken(owner) => Err(in_use(root, owner)),
        }
    }

    /// Takes an existing folder unless another process has it.
    pub fn try_take(root: &Path) -> Result<Lock> {
        let cannot = |error: std::io::Error| {
            Failure::failed(format!("the data folder {} cannot be opened: {error}", root.display()))
        };
        let root = root.canonicalize().map_err(cannot)?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(root.join("lock"))
            .map_err(cannot)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Lock::Taken(read_owner(&mut lock))),
            Err(error) => return Err(cannot(error.into())),
        }
        // The id only serves the message; the lock itself is the kernel's and ends with the process. Written over the last one, it needs no space.
        let owner = format!("{}\n", std::process::id());
        if let Err(error) = lock.write_all(owner.as_bytes()).and_then(|()| lock.set_len(owner.len() as u64)) {
            tracing::warn!(%error, "the data folder's lock does not name this process");
        }
        let folder = Self { root, _lock: lock };
        folder.make_inside("run", 0o700)?;
        Ok(Lock::Held(folder))
    }

    /// Where it is, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn make_inside(&self, name: &str, mode: u32) -> Result<PathBuf> {
        let path = self.root.join(name);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(mode)
            .create(&path)
            .map_err(|error| Failure::failed(format!("{} cannot be made: {error}", path.display())))?;
        Ok(path)
    }
}

/// Where the control socket of a data folder is.
pub fn control_socket(root: &Path) -> PathBuf {
    root.join("run").join("larder.sock")
}

/// The failure of finding the folder taken.
pub fn in_use(root: &Path, owner: Option<u32>) -> Failure {
    let who = owner.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    Failure::failed(format!("the data folder {} is in use by {who}", root.display()))
        .with_hint("One process writes a catalog. Stop that one, or choose another folder with --data.")
}

fn read_owner(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Refuses a folder on a network file system.
pub fn refuse_network_filesystem(folder: &Path) -> Result {
    match network_filesystem(folder) {
        Some(name) => Err(Failure::failed(format!(
            "{} is on {name}, whose locks do not hold what SQLite needs: the catalog could be destroyed",
            folder.display()
        ))
        .with_hint(
            "Put the data folder on a local disk (the blobs may stay elsewhere: blobs.url = \"file:DIR\"), \
             or set catalog.network_filesystem = true if only one machine ever opens it.",
        )),
        None => Ok(()),
    }
}

/// The name of the network file system that `folder` is on.
fn network_filesystem(folder: &Path) -> Option<&'static str> {
    network_name(rustix::fs::statfs(folder).ok()?.f_type)
}

/// Names by `f_type` (statfs(2)); signed and of other widths elsewhere, so only the low 32 bits count.
fn network_name(kind: impl Into<i128>) -> Option<&'static str> {
    match kind.into() & 0xffff_ffff {
        0x6969 => Some("NFS"),
        0x517b => Some("SMB"),
        0xff53_4d42 | 0xfe53_4d42 => Some("CIFS"),
        0x0102_1997 => Some("9p"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_folder_is_private_and_has_one_owner() {
        let parent = tempfile::tempdir().expect("a temporary folder can be made");
        let root = parent.path().join("deep").join("data");
        let held = DataFolder::take(&root).expect("it is free");
        let mode = std::fs::metadata(held.root()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let refused = DataFolder::take(&root).expect_err("it is taken");
        assert!(refused.message().ends_with(&format!("is in use by process {}", std::process::id())), "{refused}");
        drop(held);
        DataFolder::take(&root).expect("it is free again");
    }

    #[test]
    fn file_systems_are_known_by_their_numbers() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0x0102_1997), Some("9p"));
        assert_eq!(network_name(i64::from(0xff53_4d42_u32)), Some("CIFS"));
        assert_eq!(network_name(i64::from(0xff53_4d42_u32 as i32)), Some("CIFS"));
        assert_eq!(network_name(0xef53), None);
    }
}
