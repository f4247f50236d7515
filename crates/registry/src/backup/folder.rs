//! The folder of a backup: whose it is, what in it is whole.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use larder_oci::{Algorithm, Digest};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Damaged;
use crate::usage::Counted;
use crate::{Error, Result};

const LABEL: &str = "larder-backup.json";
const LABEL_NEXT: &str = "larder-backup.json.next";
const LOCK: &str = "larder-backup.lock";
/// Of the label's format.
const VERSION: u32 = 1;
/// Bytes of a catalog that are hashed at once.
const PIECE: usize = 1 << 20;

/// What is whole in the folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Label {
    pub version: u32,
    pub store_id: String,
    pub generation: u64,
    pub taken_at: String,
    /// The catalog's file, and the digest of its bytes.
    pub catalog: String,
    pub catalog_digest: String,
    pub blobs: Counted,
    pub damaged: Vec<Damaged>,
}

/// A folder that this process works in, and nobody else.
pub(super) struct Folder {
    root: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes a folder to write a backup into: a new one, an empty one, or that of an earlier backup. Blocking.
    pub fn take(root: &Path) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(root);
        made.map_err(Error::BackupFailed)?;
        let is_ours = root.join(LOCK).exists();
        let mut entries = std::fs::read_dir(root).map_err(Error::BackupFailed)?;
        if !is_ours && entries.next().is_some() {
            return Err(Error::BackupRefused("the folder is neither empty nor a backup: name another one"));
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(root.join(LOCK)).map_err(Error::BackupFailed)?;
        let taken = lock.try_lock();
        Self::held(root, lock, taken)
    }

    /// Takes the folder of a backup to read it, also from a medium that cannot be written. Blocking.
    pub fn take_existing(root: &Path) -> Result<Self> {
        if !root.join(LOCK).exists() {
            return Err(Error::BackupRefused("the folder is not a backup made by `larder backup`"));
        }
        let lock = File::open(root.join(LOCK)).map_err(Error::BackupFailed)?;
        let taken = lock.try_lock_shared();
        Self::held(root, lock, taken)
    }

    fn held(root: &Path, lock: File, taken: Result<(), TryLockError>) -> Result<Self> {
        match taken {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Error::BackupRefused("another process works in this folder now")),
            Err(TryLockError::Error(error)) => Err(Error::BackupFailed(error)),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where the objects are.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// What is whole; `None` when no backup has come to its end here. Blocking.
    pub fn label(&self) -> Result<Option<Label>> {
        let text = match std::fs::read(self.root.join(LABEL)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::BackupFailed(error)),
        };
        let label: Label = serde_json::from_slice(&text).map_err(|error| Error::BackupFailed(error.into()))?;
        if label.version != VERSION {
            return Err(Error::BackupRefused(
                "the backup was made by another version of larder, whose form is unknown",
            ));
        }
        Ok(Some(label))
    }

    /// Says what is whole from now on: durable, and in one step. Blocking.
    pub fn set_label(&self, label: &Label) -> Result<()> {
        let text = serde_json::to_vec_pretty(label).map_err(|error| Error::BackupFailed(error.into()))?;
        let next = self.root.join(LABEL_NEXT);
        let write = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&next, self.root.join(LABEL))?;
            File::open(&self.root)?.sync_all()
        };
        write().map_err(Error::BackupFailed)
    }

    /// Removes catalogs that are not the label's: of older backups, and of those that were cut off. Blocking.
    pub fn remove_catalogs_but(&self, kept: Option<&str>) -> Result<()> {
        let remove = || {
            for entry in std::fs::read_dir(&self.root)? {
                let name = entry?.file_name();
                let name = name.to_string_lossy();
                if name.starts_with("catalog-") && Some(&*name) != kept {
                    std::fs::remove_file(self.root.join(&*name))?;
                }
            }
            Ok(())
        };
        remove().map_err(Error::BackupFailed)
    }
}

impl Label {
    pub fn new(store_id: String, generation: u64, taken_at: String) -> Self {
        let (catalog, catalog_digest) = (String::new(), String::new());
        let blobs = Counted::default();
        Self { version: VERSION, store_id, generation, taken_at, catalog, catalog_digest, blobs, damaged: Vec::new() }
    }
}

/// The digest of a file's bytes, and how many there are. Blocking.
pub(super) fn digest_of_file(path: &Path) -> Result<(Digest, u64)> {
    let read = || {
        let (mut file, mut hash, mut piece, mut size) = (File::open(path)?, Sha256::new(), vec![0; PIECE], 0);
        loop {
            match file.read(&mut piece)? {
                0 => return Ok((hash.finalize(), size)),
                read => {
                    hash.update(&piece[..read]);
                    size += read as u64;
                }
            }
        }
    };
    let (hash, size) = read().map_err(Error::BackupFailed)?;
    Ok((Digest::new(Algorithm::Sha256, &hash).expect("a hash has its algorithm's length"), size))
}
