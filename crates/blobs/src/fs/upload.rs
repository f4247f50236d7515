//! An upload into a file: gather, hash and write side by side, sync, and one rename that cannot replace.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use larder_oci::{Algorithm, Digest, UploadId};
use rustix::fs::OFlags;
use rustix::io::Errno;
use tokio::sync::Semaphore;

use super::Inner;
use super::disk::regular_len;
use super::fault::{During as _, blocking, io_error};
use super::layout::{self, ObjectName};
use super::pipeline::{Batch, Gather, Lane, UNDER_WAY, Work};
use super::session::Session;
use crate::hash::Hasher;
use crate::{BlobUpload, Checkpoint, Committed, Error, PendingCheckpoint, Result};

/// How often write-back is started as bytes arrive: what the last sync finds left does not grow with the blob.
const WRITE_BACK_WINDOW: u64 = 8 << 20;
/// Bytes read back at once when the closing request names another algorithm.
const REREAD: usize = 1 << 20;

/// The file of one upload session, open for appending.
pub(super) struct FsUpload {
    inner: Arc<Inner>,
    session: Arc<Session>,
    file: Arc<OwnedFd>,
    algorithm: Algorithm,
    hash: Arc<Lane<HashWork>>,
    write: Arc<Lane<WriteWork>>,
    room: Arc<Semaphore>,
    gather: Gather,
    /// Where the next batch goes.
    sent: u64,
}

impl FsUpload {
    /// Opens or creates the session's file. Blocking.
    pub(super) fn open(inner: Arc<Inner>, id: UploadId, from: &Checkpoint) -> Result<Self> {
        let (session, before) = inner.sessions.begin(id);
        if let Some(before) = before {
            before.close();
        }
        let gate = session.enter()?;
        let (file, hasher) = if from.offset == 0 {
            (create(&inner, &id)?, Hasher::new(from.algorithm))
        } else {
            let hasher = Hasher::restore(from.algorithm, &from.hash_state).ok_or(Error::UploadLost(id))?;
            let file = reopen(&inner, &id, from.offset)?;
            session.set_name_durable();
            (file, hasher)
        };
        drop(gate);
        let file = Arc::new(file);
        let write = WriteWork {
            inner: Arc::clone(&inner),
            session: Arc::clone(&session),
            file: Arc::clone(&file),
            write_back: from.offset,
        };
        let hash = HashWork { session: Arc::clone(&session), hasher };
        Ok(Self {
            inner,
            session,
            file,
            algorithm: from.algorithm,
            hash: Lane::new(hash),
            write: Lane::new(write),
            room: Arc::new(Semaphore::new(UNDER_WAY)),
            gather: Gather::default(),
            sent: from.offset,
        })
    }

    /// Hands the gathered bytes to both lanes once there is room. Dropped while it waits, it has changed nothing.
    async fn send(&mut self) -> Result<()> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|closed| self.no_room(closed))?;
        let batch = Arc::new(Batch { at: self.sent, len: self.gather.len(), pieces: self.gather.empty(), _room: room });
        self.sent += batch.len as u64;
        self.hash.submit(Arc::clone(&batch));
        self.write.submit(batch);
        Ok(())
    }

    /// Waits until nothing is under way.
    async fn settle(&self) -> Result<()> {
        let _all = self.room.acquire_many(UNDER_WAY as u32).await.map_err(|closed| self.no_room(closed))?;
        self.session.check()
    }

    /// Sends what is gathered and waits until nothing is under way.
    async fn drain(&mut self) -> Result<()> {
        self.session.check()?;
        if self.gather.len() > 0 {
            self.send().await?;
        }
        self.settle().await
    }

    /// Reads the file back from the start for an algorithm that was not announced.
    async fn rehash(&mut self, algorithm: Algorithm) -> Result<Digest> {
        let size = self.offset();
        if size > self.inner.unannounced_limit {
            return Err(Error::AlgorithmNotAnnounced { size });
        }
        self.drain().await?;
        let mut hasher = Hasher::new(algorithm);
        let mut buffer = vec![0; REREAD];
        let mut at = 0;
        // One call per piece: a client that goes stops the reading.
        while at < size {
            let (file, session) = (Arc::clone(&self.file), Arc::clone(&self.session));
            (hasher, buffer, at) = blocking(move || {
                let want = buffer.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
                let read = rustix::io::retry_on_intr(|| rustix::io::pread(&file, &mut buffer[..want], at))
                    .during(|| format!("read upload {} again", session.id))?;
                if read == 0 {
                    return Err(Error::UploadLost(session.id));
                }
                hasher.update(&buffer[..read]);
                Ok((hasher, buffer, at + read as u64))
            })
            .await?;
        }
        Ok(hasher.finish())
    }

    fn no_room(&self, closed: tokio::sync::AcquireError) -> Error {
        io_error(format!("write upload {}", self.session.id), std::io::Error::other(closed))
    }
}

#[async_trait]
impl BlobUpload for FsUpload {
    fn offset(&self) -> u64 {
        self.sent + self.gather.len() as u64
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        self.session.check()?;
        loop {
            self.gather.take(&mut bytes);
            if self.gather.is_full() {
                self.send().await?;
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    async fn checkpoint(&mut self) -> Result<PendingCheckpoint> {
        self.drain().await?;
        let checkpoint = match self.sent {
            0 => Checkpoint::start(self.algorithm),
            offset => {
                Checkpoint { offset, algorithm: self.algorithm, hash_state: self.hash.with(|work| work.hasher.save()) }
            }
        };
        let (inner, session, file) = (Arc::clone(&self.inner), Arc::clone(&self.session), Arc::clone(&self.file));
        let sync = tokio::task::spawn_blocking(move || session.sync(&inner.disk, &file));
        Ok(Box::pin(async move {
            sync.await.map_err(|stopped| io_error("sync an upload".to_owned(), std::io::Error::other(stopped)))??;
            Ok(checkpoint)
        }))
    }

    async fn commit(mut self: Box<Self>, expected: &Digest) -> Result<Committed> {
        self.session.check()?;
        let known = match expected.algorithm() {
            algorithm if algorithm == self.algorithm => None,
            algorithm => Some(self.rehash(algorithm).await?),
        };
        self.settle().await?;
        let last = Last {
            hasher: self.hash.with(|work| work.hasher.clone()),
            pieces: self.gather.empty(),
            at: self.sent,
            known,
            expected: *expected,
        };
        let (inner, session, file) = (Arc::clone(&self.inner), Arc::clone(&self.session), Arc::clone(&self.file));
        blocking(move || last.commit(&inner, &session, &file)).await
    }
}

/// The end of an upload: the bytes not sent yet, and what they must add up to.
struct Last {
    hasher: Hasher,
    pieces: Vec<Bytes>,
    at: u64,
    /// The digest of a second reading, when the first was of another algorithm.
    known: Option<Digest>,
    expected: Digest,
}

impl Last {
    /// **Invariant 12**: compared, then durable, then named, then the name durable; only then does anybody hear of it.
    fn commit(mut self, inner: &Inner, session: &Session, file: &OwnedFd) -> Result<Committed> {
        let disk = &inner.disk;
        let _syncing = session.begin_sync();
        let mut gate = session.enter()?;
        if !self.pieces.is_empty() {
            if let Err(errno) = disk.write_at(file, &self.pieces, self.at) {
                session.fail_write(disk, &mut gate, errno);
                session.check()?;
            }
            self.pieces.iter().for_each(|piece| self.hasher.update(piece));
        }
        let size = self.at + self.pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let found = self.known.unwrap_or_else(|| self.hasher.finish());
        if found != self.expected {
            return Err(Error::DigestMismatch { expected: Box::new(self.expected), found: Box::new(found) });
        }
        let path = layout::upload_path(&session.id);
        if let Err(errno) = disk.data_sync(file, &path) {
            session.fail_sync(disk, &mut gate, errno);
            session.check()?;
        }
        let name = ObjectName { digest: found, upload: session.id };
        inner.place(&path, &name)?;
        Ok(Committed { key: name.key(), digest: found, size })
    }
}

impl Inner {
    /// **Invariant 1**: the final name is taken by a rename that cannot replace, in a directory whose own name is durable.
    fn place(&self, path: &str, name: &ObjectName) -> Result<()> {
        let shard = name.shard().path();
        let directory = self.shard_directory(name.shard())?;
        match self.disk.rename_new(path, &name.path()) {
            // The session committed these bytes before and nobody noted it. They are its garbage; this attempt cannot take their key.
            Err(Errno::EXIST | Errno::NOENT) => return Err(Error::UploadLost(name.upload)),
            outcome => outcome.during(|| format!("give object {} its name", name.key()))?,
        }
        let outcome = self.disk.sync_directory(&directory, &shard);
        if outcome.is_err() {
            // Nobody was told of it, and its name may or may not outlive the next power cut.
            let _best_effort = self.disk.unlink(&name.path());
        }
        outcome.during_sync()
    }
}

fn create(inner: &Inner, id: &UploadId) -> Result<OwnedFd> {
    let path = layout::upload_path(id);
    let context = || format!("create upload {id}");
    // A fresh file, never the old one cut to nothing: a failed sync belongs to the file (**Invariant 11**).
    inner.disk.unlink(&path).during(context)?;
    let file = inner.disk.create(&path).during(context)?;
    inner.sessions.forget(id);
    Ok(file)
}

fn reopen(inner: &Inner, id: &UploadId, offset: u64) -> Result<OwnedFd> {
    let path = layout::upload_path(id);
    let context = || format!("open upload {id}");
    if inner.sessions.is_lost(id) {
        return Err(Error::UploadLost(*id));
    }
    let file = match inner.disk.open_file(&path, OFlags::RDWR) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR) => return Err(Error::UploadLost(*id)),
        outcome => outcome.during(context)?,
    };
    match regular_len(&rustix::fs::fstat(&file).during(context)?) {
        Some(len) if len > offset => inner.disk.truncate(&file, offset, &path).during(context)?,
        Some(len) if len == offset => {}
        _ => return Err(Error::UploadLost(*id)),
    }
    Ok(file)
}

struct HashWork {
    session: Arc<Session>,
    hasher: Hasher,
}

impl Work for HashWork {
    fn take(&mut self, batch: &Batch) {
        if self.session.check().is_ok() {
            batch.pieces.iter().for_each(|piece| self.hasher.update(piece));
        }
    }

    fn broke(&mut self) {
        self.session.fail_unforeseen();
    }
}

struct WriteWork {
    inner: Arc<Inner>,
    session: Arc<Session>,
    file: Arc<OwnedFd>,
    /// Up to where write-back was started.
    write_back: u64,
}

impl Work for WriteWork {
    fn take(&mut self, batch: &Batch) {
        let disk = &self.inner.disk;
        let Ok(mut gate) = self.session.enter() else { return };
        if let Err(errno) = disk.write_at(&self.file, &batch.pieces, batch.at) {
            self.session.fail_write(disk, &mut gate, errno);
            return;
        }
        drop(gate);
        let end = batch.at + batch.len as u64;
        if end - self.write_back >= WRITE_BACK_WINDOW {
            disk.start_write_back(&self.file, self.write_back, end - self.write_back);
            self.write_back = end;
        }
    }

    fn broke(&mut self) {
        self.session.fail_unforeseen();
    }
}
