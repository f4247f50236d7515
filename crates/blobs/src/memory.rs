//! The store in memory: for tests of whatever stands above, and for a registry that need not outlive its process.
//!
//! Bytes are kept as the segments they came in; nothing is copied into one piece.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use larder_oci::{Digest, UploadId};

use crate::hash::Hasher;
use crate::{
    Adopted, Adoption, Arrival, BlobKey, BlobObject, BlobStore, BlobStream, BlobUpload, Checkpoint, Committed, Error,
    Foreign, PendingCheckpoint, Result, Space, StoreMarker, Stored, StoredStream, UNANNOUNCED_LIMIT,
};

/// Longest piece that a reader gets, and longest segment that is kept.
const LONGEST: usize = 1 << 20;
/// Pieces below this size are copied, so that they do not keep a large network buffer alive.
const SMALL: usize = 4 << 10;

/// A store that lives as long as its last clone.
#[derive(Clone)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    unannounced_limit: u64,
}

#[derive(Default)]
struct State {
    uploads: HashMap<UploadId, Target>,
    objects: BTreeMap<BlobKey, Object>,
    quarantine: BTreeMap<BlobKey, Object>,
    marker: Option<StoreMarker>,
    space: Option<Space>,
    /// Writers so far: an upload belongs to the last one that opened it.
    writers: u64,
}

struct Target {
    writer: u64,
    segments: Segments,
}

#[derive(Clone)]
struct Object {
    digest: Digest,
    upload: UploadId,
    segments: Arc<Segments>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_unannounced_limit(UNANNOUNCED_LIMIT)
    }
}

impl MemoryStore {
    /// A store with another limit, in bytes, for uploads that are hashed again because the closing request names another algorithm.
    pub fn with_unannounced_limit(unannounced_limit: u64) -> Self {
        Self { state: Arc::default(), unannounced_limit }
    }

    /// Says from now on that it has so much space: for tests of what must not fill a disk.
    pub fn set_space(&self, space: Space) {
        self.lock().space = Some(space);
    }

    /// Changes an object's bytes behind the store's back, as a failing disk would: for tests of what must notice.
    pub fn damage(&self, key: &BlobKey, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(object) = self.lock().objects.get_mut(key) {
            let mut bytes = object.segments.read(0..object.segments.len).collect::<Vec<_>>().concat();
            change(&mut bytes);
            let mut segments = Segments::default();
            segments.push(Bytes::from(bytes));
            object.segments = Arc::new(segments);
        }
    }

    fn keep(&self, file: &Foreign, bytes: Bytes) -> Adopted {
        let key = BlobKey::from_stored(format!("{}-{}", file.digest, file.upload));
        let size = bytes.len() as u64;
        let mut segments = Segments::default();
        segments.push(bytes);
        let object = Object { digest: file.digest, upload: file.upload, segments: Arc::new(segments) };
        self.lock().objects.entry(key.clone()).or_insert(object);
        Adopted { key, size, arrival: Arrival::Copy }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl BlobStore for MemoryStore {
    async fn open_upload(&self, id: &UploadId, from: Checkpoint) -> Result<Box<dyn BlobUpload>> {
        let mut state = self.lock();
        let hasher = if from.offset == 0 {
            state.uploads.insert(*id, Target { writer: 0, segments: Segments::default() });
            Hasher::new(from.algorithm)
        } else {
            Hasher::restore(from.algorithm, &from.hash_state).ok_or(Error::UploadLost(*id))?
        };
        state.writers += 1;
        let writer = state.writers;
        let target = state.uploads.get_mut(id).filter(|target| target.segments.len >= from.offset);
        let target = target.ok_or(Error::UploadLost(*id))?;
        target.segments.truncate(from.offset);
        target.writer = writer;
        Ok(Box::new(MemoryUpload { store: self.clone(), id: *id, writer, hasher, offset: from.offset }))
    }

    async fn discard_upload(&self, id: &UploadId) -> Result<()> {
        self.lock().uploads.remove(id);
        Ok(())
    }

    async fn open(&self, key: &BlobKey, size: u64) -> Result<Arc<dyn BlobObject>> {
        let state = self.lock();
        let object = state.objects.get(key).ok_or_else(|| Error::Absent(key.as_str().to_owned()))?;
        match object.segments.len {
            found if found != size => Err(Error::WrongLength { key: key.as_str().to_owned(), expected: size, found }),
            _ => Ok(Arc::new(MemoryObject { segments: Arc::clone(&object.segments) })),
        }
    }

    async fn stat(&self, key: &BlobKey) -> Result<Option<u64>> {
        Ok(self.lock().objects.get(key).map(|object| object.segments.len))
    }

    async fn remove(&self, key: &BlobKey) -> Result<()> {
        self.lock().objects.remove(key);
        Ok(())
    }

    async fn quarantine(&self, key: &BlobKey) -> Result<()> {
        let mut state = self.lock();
        if let Some(object) = state.objects.remove(key) {
            state.quarantine.insert(key.clone(), object);
        }
        Ok(())
    }

    async fn adopt(&self, files: Vec<Foreign>, may_copy: bool) -> Result<Vec<Adoption>> {
        let mut adoptions = Vec::with_capacity(files.len());
        for file in files {
            adoptions.push(match std::fs::symlink_metadata(&file.path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Adoption::Absent,
                Err(source) => Adoption::Failed(unreadable(&file, source)),
                Ok(facts) if !facts.is_file() => Adoption::NotAFile,
                Ok(facts) if !may_copy => {
                    Adoption::NeedsCopy { size: facts.len(), why: "this store is in memory".to_owned() }
                }
                Ok(_) => match std::fs::read(&file.path) {
                    Err(source) => Adoption::Failed(unreadable(&file, source)),
                    Ok(bytes) => Adoption::Done(self.keep(&file, bytes.into())),
                },
            });
        }
        Ok(adoptions)
    }

    async fn list(&self) -> Result<StoredStream> {
        let state = self.lock();
        let objects = state.objects.iter().map(|(key, object)| Stored::Object {
            key: key.clone(),
            digest: Some(object.digest),
            upload: Some(object.upload),
            size: object.segments.len,
        });
        let uploads = state.uploads.iter().map(|(id, target)| Stored::Upload { id: *id, size: target.segments.len });
        let aside = state
            .quarantine
            .iter()
            .map(|(key, object)| Stored::Quarantined { key: key.clone(), size: object.segments.len });
        let all: Vec<Result<Stored>> = objects.chain(uploads).chain(aside).map(Ok).collect();
        Ok(Box::pin(futures::stream::iter(all)))
    }

    async fn marker(&self) -> Result<Option<StoreMarker>> {
        Ok(self.lock().marker.clone())
    }

    async fn set_marker(&self, marker: &StoreMarker) -> Result<()> {
        self.lock().marker = Some(marker.clone());
        Ok(())
    }

    async fn space(&self) -> Result<Option<Space>> {
        Ok(self.lock().space)
    }

    async fn check_writable(&self) -> Result<()> {
        Ok(())
    }
}

fn unreadable(file: &Foreign, source: io::Error) -> Error {
    Error::Io { context: format!("take over the file of {}", file.digest), source }
}

struct MemoryUpload {
    store: MemoryStore,
    id: UploadId,
    writer: u64,
    hasher: Hasher,
    offset: u64,
}

impl MemoryUpload {
    /// The session's bytes, unless a later writer owns them or they were discarded.
    fn target<'a>(&self, state: &'a mut State) -> Result<&'a mut Target> {
        let target = state.uploads.get_mut(&self.id).filter(|target| target.writer == self.writer);
        target.ok_or(Error::UploadLost(self.id))
    }
}

#[async_trait]
impl BlobUpload for MemoryUpload {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(LONGEST));
            self.hasher.update(&piece);
            self.target(&mut self.store.lock())?.segments.push(piece.clone());
            self.offset += piece.len() as u64;
        }
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<PendingCheckpoint> {
        self.target(&mut self.store.lock())?;
        let algorithm = self.hasher.algorithm();
        let checkpoint = match self.offset {
            0 => Checkpoint::start(algorithm),
            offset => Checkpoint { offset, algorithm, hash_state: self.hasher.save() },
        };
        Ok(Box::pin(std::future::ready(Ok(checkpoint))))
    }

    async fn commit(self: Box<Self>, expected: &Digest) -> Result<Committed> {
        let mut state = self.store.lock();
        let target = self.target(&mut state)?;
        let size = target.segments.len;
        let found = if expected.algorithm() == self.hasher.algorithm() {
            self.hasher.clone().finish()
        } else if size > self.store.unannounced_limit {
            return Err(Error::AlgorithmNotAnnounced { size });
        } else {
            let mut hasher = Hasher::new(expected.algorithm());
            target.segments.read(0..size).for_each(|piece| hasher.update(&piece));
            hasher.finish()
        };
        if found != *expected {
            return Err(Error::DigestMismatch { expected: Box::new(*expected), found: Box::new(found) });
        }
        // **Invariant 1**: the session's id makes the key, and a key that is taken stays as it is.
        let key = BlobKey::from_stored(format!("{found}-{}", self.id));
        if state.objects.contains_key(&key) || state.quarantine.contains_key(&key) {
            return Err(Error::UploadLost(self.id));
        }
        let segments = state.uploads.remove(&self.id).map(|target| target.segments).unwrap_or_default();
        state.objects.insert(key.clone(), Object { digest: found, upload: self.id, segments: Arc::new(segments) });
        Ok(Committed { key, digest: found, size })
    }
}

struct MemoryObject {
    segments: Arc<Segments>,
}

impl BlobObject for MemoryObject {
    fn size(&self) -> u64 {
        self.segments.len
    }

    fn read(&self, range: Range<u64>) -> BlobStream {
        if range.end > self.segments.len || range.start > range.end {
            return Box::pin(futures::stream::once(async { Err(io::Error::from(io::ErrorKind::InvalidInput)) }));
        }
        let segments = Arc::clone(&self.segments);
        Box::pin(futures::stream::unfold(range, move |range| {
            let piece = segments.read(range.clone()).next();
            std::future::ready(piece.map(|mut piece| {
                piece.truncate(LONGEST);
                let next = range.start + piece.len() as u64..range.end;
                (Ok(piece), next)
            }))
        }))
    }

    fn read_medium(&self) -> BlobStream {
        self.read(0..self.segments.len)
    }
}

/// Bytes in order, each segment with the place where it begins.
#[derive(Default)]
struct Segments {
    parts: Vec<(u64, Bytes)>,
    tail: BytesMut,
    len: u64,
}

impl Segments {
    fn push(&mut self, bytes: Bytes) {
        self.len += bytes.len() as u64;
        if bytes.len() < SMALL {
            if self.tail.len() + bytes.len() > LONGEST {
                self.close_tail(bytes.len() as u64);
            }
            self.tail.extend_from_slice(&bytes);
        } else {
            self.close_tail(bytes.len() as u64);
            self.parts.push((self.len - bytes.len() as u64, bytes));
        }
    }

    fn truncate(&mut self, len: u64) {
        self.close_tail(0);
        self.len = len;
        self.parts.retain(|(start, _)| *start < len);
        if let Some((start, last)) = self.parts.last_mut() {
            last.truncate(usize::try_from(len - *start).unwrap_or(usize::MAX));
        }
    }

    /// The pieces of a range that lies inside.
    fn read(&self, range: Range<u64>) -> impl Iterator<Item = Bytes> {
        let first = self.parts.partition_point(|(start, bytes)| start + bytes.len() as u64 <= range.start);
        let tail =
            (!self.tail.is_empty()).then(|| (self.len - self.tail.len() as u64, Bytes::copy_from_slice(&self.tail)));
        let parts = self.parts[first..].iter().cloned().chain(tail);
        parts.take_while(move |(start, _)| *start < range.end).filter_map(move |(start, bytes)| {
            let from = range.start.saturating_sub(start).min(bytes.len() as u64) as usize;
            let to = (range.end - start).min(bytes.len() as u64) as usize;
            (from < to).then(|| bytes.slice(from..to))
        })
    }

    /// Makes a segment of the small pieces, which end `behind` bytes before the end.
    fn close_tail(&mut self, behind: u64) {
        if !self.tail.is_empty() {
            let tail = self.tail.split().freeze();
            self.parts.push((self.len - behind - tail.len() as u64, tail));
        }
    }
}
