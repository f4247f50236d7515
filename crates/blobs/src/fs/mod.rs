//! The store on a local disk.
//!
//! ```text
//! larder-store.json                                 marker: the id shared with the catalog, the generation seen
//! uploads/<upload-id>                               bytes of a session, up to its commit
//! blobs/<alg>/<2 hex>/<hex>-<upload-id>             a committed object; the key is the path below blobs/
//! quarantine/<alg>-<hex>-<upload-id>                an object moved aside
//! larder-store.json.next  larder-store.probe        the marker's next content, what `check_writable` writes: gone in a moment
//! ```
//!
//! A file moves from `uploads/` to `blobs/` by one rename that cannot replace, after its bytes are durable, and its name is durable
//! before anybody hears of it; the tree can be indexed again from its names alone.
//!
//! All calls that may wait run on the blocking pool. The module knows nothing of the catalog; the marker is written for whoever
//! compares the two.

mod adopt;
mod buffers;
mod disk;
mod fault;
mod layout;
mod list;
mod marker;
mod medium;
mod object;
mod pipeline;
mod session;
mod upload;

#[cfg(test)]
mod tests;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use larder_oci::UploadId;
use rustix::fs::OFlags;
use rustix::io::Errno;

use self::adopt::Adoptions;
use self::buffers::Pool;
use self::disk::{Disk, regular_len};
use self::fault::{During as _, blocking};
use self::layout::{ObjectName, SHARDS, Shard};
use self::object::FsObject;
use self::session::{Sessions, lock};
use self::upload::FsUpload;
use crate::{
    Adoption, BlobKey, BlobObject, BlobStore, BlobUpload, Checkpoint, Error, Foreign, Result, Space, StoreMarker,
    StoredStream, UNANNOUNCED_LIMIT,
};

/// A store in a folder of a local file system. Cheap to clone.
#[derive(Clone)]
pub struct FsStore {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Disk,
    sessions: Arc<Sessions>,
    /// Shard directories whose own names are known to be durable.
    shards: [AtomicBool; SHARDS],
    pool: Pool,
    /// Writers of the marker and of the probe.
    marker: Mutex<()>,
    adoptions: Adoptions,
    unannounced_limit: u64,
}

impl FsStore {
    /// Opens the store in `root`, whose directories are made where they are missing. Blocks for a few system calls.
    ///
    /// Works on a read-only file system when the directories are there.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_with_unannounced_limit(root, UNANNOUNCED_LIMIT)
    }

    /// The same with another limit, in bytes, for uploads that are read again because the closing request names another algorithm.
    pub fn open_with_unannounced_limit(root: &Path, unannounced_limit: u64) -> Result<Self> {
        disk::make_root(root).during(|| "create the store's folder".to_owned())?;
        let disk = Disk::open(root).during(|| "open the store's folder".to_owned())?;
        let below_blobs = layout::ALGORITHMS.map(layout::algorithm_path);
        let tree = [layout::UPLOADS, layout::QUARANTINE, layout::BLOBS].map(|name| (name, "."));
        for (path, parent) in tree.into_iter().chain(below_blobs.iter().map(|path| (path.as_str(), layout::BLOBS))) {
            disk.make_directory(path, parent).during(|| format!("create directory {path}"))?;
        }
        Ok(Self {
            inner: Arc::new(Inner {
                disk,
                sessions: Arc::default(),
                shards: [const { AtomicBool::new(false) }; SHARDS],
                pool: Pool::default(),
                marker: Mutex::default(),
                adoptions: Adoptions::default(),
                unannounced_limit,
            }),
        })
    }

    async fn with<T: Send + 'static>(&self, work: impl FnOnce(&Arc<Inner>) -> Result<T> + Send + 'static) -> Result<T> {
        let inner = Arc::clone(&self.inner);
        blocking(move || work(&inner)).await
    }
}

#[async_trait]
impl BlobStore for FsStore {
    async fn open_upload(&self, id: &UploadId, from: Checkpoint) -> Result<Box<dyn BlobUpload>> {
        let id = *id;
        let upload = self.with(move |inner| FsUpload::open(Arc::clone(inner), id, &from)).await?;
        Ok(Box::new(upload))
    }

    async fn discard_upload(&self, id: &UploadId) -> Result<()> {
        let id = *id;
        self.with(move |inner| {
            if let Some(session) = inner.sessions.current(&id) {
                session.close();
            }
            inner.disk.unlink(&layout::upload_path(&id)).during(|| format!("discard upload {id}"))?;
            inner.sessions.forget(&id);
            Ok(())
        })
        .await
    }

    async fn open(&self, key: &BlobKey, size: u64) -> Result<Arc<dyn BlobObject>> {
        let key = key.clone();
        let object = self.with(move |inner| inner.open_object(key, size)).await?;
        Ok(Arc::new(object))
    }

    async fn stat(&self, key: &BlobKey) -> Result<Option<u64>> {
        let Some(name) = ObjectName::from_key(key) else { return Ok(None) };
        self.with(move |inner| {
            let stat = inner.disk.stat(&name.path()).during(|| format!("look at object {}", name.key()))?;
            Ok(stat.and_then(|stat| regular_len(&stat)))
        })
        .await
    }

    async fn remove(&self, key: &BlobKey) -> Result<()> {
        let Some(name) = ObjectName::from_key(key) else { return Ok(()) };
        self.with(move |inner| {
            inner.disk.unlink(&name.path()).during(|| format!("remove object {}", name.key()))?;
            // Also when it was gone: whoever removed it may have died before this sync.
            inner.sync_existing(&name.shard().path())
        })
        .await
    }

    async fn quarantine(&self, key: &BlobKey) -> Result<()> {
        let Some(name) = ObjectName::from_key(key) else { return Ok(()) };
        self.with(move |inner| {
            match inner.disk.rename_new(&name.path(), &name.quarantine_path()) {
                Ok(()) => inner.sync_existing(layout::QUARANTINE)?,
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                // Half of a move on a file system without `RENAME_NOREPLACE`: the object has both names.
                Err(Errno::EXIST) if inner.is_same_file(&name)? => {
                    inner.disk.unlink(&name.path()).during(|| format!("set object {} aside", name.key()))?;
                }
                outcome => outcome.during(|| format!("set object {} aside", name.key()))?,
            }
            inner.sync_existing(&name.shard().path())
        })
        .await
    }

    async fn adopt(&self, files: Vec<Foreign>, may_copy: bool) -> Result<Vec<Adoption>> {
        self.with(move |inner| inner.adopt(&files, may_copy)).await
    }

    async fn list(&self) -> Result<StoredStream> {
        Ok(list::list(Arc::clone(&self.inner)))
    }

    async fn marker(&self) -> Result<Option<StoreMarker>> {
        self.with(|inner| marker::read(&inner.disk)).await
    }

    async fn set_marker(&self, marker: &StoreMarker) -> Result<()> {
        let marker = marker.clone();
        self.with(move |inner| {
            let _one_writer = lock(&inner.marker);
            marker::write(&inner.disk, &marker)
        })
        .await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.with(|inner| {
            let stat = rustix::fs::fstatvfs(inner.disk.root()).during(|| "ask for free space".to_owned())?;
            let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
            Ok(Some(Space { available: bytes(stat.f_bavail), total: bytes(stat.f_blocks) }))
        })
        .await
    }

    async fn check_writable(&self) -> Result<()> {
        self.with(|inner| {
            let _one_writer = lock(&inner.marker);
            marker::probe(&inner.disk)
        })
        .await
    }
}

impl Inner {
    /// **Invariant 12**: an object of another length than the catalog says is not opened.
    fn open_object(self: &Arc<Self>, key: BlobKey, expected: u64) -> Result<FsObject> {
        let Some(name) = ObjectName::from_key(&key) else { return Err(Error::Absent(key.as_str().to_owned())) };
        let path = name.path();
        let file = match self.disk.open_file(&path, OFlags::RDONLY) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(Error::Absent(key.as_str().to_owned())),
            outcome => outcome.during(|| format!("open object {key}"))?,
        };
        let stat = rustix::fs::fstat(&file).during(|| format!("look at object {key}"))?;
        match regular_len(&stat) {
            None => Err(Error::Absent(key.as_str().to_owned())),
            Some(found) if found != expected => {
                Err(Error::WrongLength { key: key.as_str().to_owned(), expected, found })
            }
            Some(size) => Ok(FsObject { inner: Arc::clone(self), file: Arc::new(file), key, path, size }),
        }
    }

    /// The directory of a shard, open, made durable at its first use in this process.
    fn shard_directory(&self, shard: Shard) -> Result<OwnedFd> {
        let path = shard.path();
        let known = &self.shards[shard.index()];
        if known.load(Ordering::Acquire) {
            match self.disk.open_directory(&path) {
                Err(Errno::NOENT) => {}
                outcome => return outcome.during(|| format!("open directory {path}")),
            }
        }
        self.disk.make_directory(&path, &shard.parent()).during(|| format!("create directory {path}"))?;
        let directory = self.disk.open_directory(&path).during(|| format!("open directory {path}"))?;
        known.store(true, Ordering::Release);
        Ok(directory)
    }

    /// Makes removals in a directory durable; one that is not there holds no names.
    fn sync_existing(&self, path: &str) -> Result<()> {
        match self.disk.open_directory(path) {
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            outcome => {
                let directory = outcome.during(|| format!("open directory {path}"))?;
                self.disk.sync_directory(&directory, path).during_sync()
            }
        }
    }

    fn is_same_file(&self, name: &ObjectName) -> Result<bool> {
        let context = || format!("look at object {}", name.key());
        let at =
            |path: &str| self.disk.stat(path).during(context).map(|stat| stat.map(|stat| (stat.st_dev, stat.st_ino)));
        Ok(at(&name.path())? == at(&name.quarantine_path())?)
    }
}
