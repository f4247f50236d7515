//! A store that fails when told to: for tests of whatever stands above.
//!
//! Every method of [`BlobStore`], [`BlobUpload`] and [`BlobObject`] that does something is one operation, and so is the end of a
//! checkpoint's sync. All are forwarded by name, so that a method added to a trait cannot slip past.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use larder_oci::{Digest, UploadId};

use crate::{
    Adoption, BlobKey, BlobObject, BlobStore, BlobStream, BlobUpload, Checkpoint, Committed, Error, Foreign,
    PendingCheckpoint, Result, Space, StoreMarker, StoredStream,
};

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(
    missing_docs,
    reason = "each is the trait method of its name; CheckpointSync is the future that checkpoint returns"
)]
pub enum Operation {
    OpenUpload,
    DiscardUpload,
    Open,
    Stat,
    Remove,
    Quarantine,
    List,
    Marker,
    SetMarker,
    Space,
    CheckWritable,
    Adopt,
    Write,
    Checkpoint,
    CheckpointSync,
    Commit,
    Read,
    ReadMedium,
}

/// Which error comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// [`Error::Io`] with EIO.
    Io,
    /// [`Error::Full`].
    Full,
    /// [`Error::SyncFailed`]; on an upload its bytes are gone too, as with a real disk.
    SyncFailed,
    /// The same for want of space: a sync may be the one to find that the disk is full.
    FullAtSync,
}

/// Whether the operation took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It did not.
    Before,
    /// It did, and its caller hears otherwise.
    After,
}

/// One fault to inject.
#[derive(Clone, Debug)]
pub struct Fault {
    kind: FaultKind,
    nth: u64,
    when: When,
    sticky: bool,
    only: Option<Operation>,
}

impl Fault {
    /// The `nth` operation from now on, counted from 1, fails once and without effect.
    pub fn at(nth: u64, kind: FaultKind) -> Self {
        Self { kind, nth, when: When::Before, sticky: false, only: None }
    }

    /// Counts only operations of this kind.
    pub fn on(mut self, operation: Operation) -> Self {
        self.only = Some(operation);
        self
    }

    /// The operation takes place, and its caller hears otherwise.
    pub fn after(mut self) -> Self {
        self.when = When::After;
        self
    }

    /// All operations from that one on fail, until [`FaultyStore::heal`].
    pub fn sticky(mut self) -> Self {
        self.sticky = true;
        self
    }
}

/// One operation that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Which.
    pub operation: Operation,
    /// The fault that it met.
    pub fault: Option<(FaultKind, When)>,
}

/// Wraps a store. Cheap to clone: one clone goes below the code under test, the other arms faults and reads the log.
#[derive(Clone)]
pub struct FaultyStore {
    inner: Arc<dyn BlobStore>,
    plan: Plan,
}

impl FaultyStore {
    /// A wrapper that lets everything pass.
    pub fn new(inner: Arc<dyn BlobStore>) -> Self {
        Self { inner, plan: Plan::default() }
    }

    /// Arms a fault; several may be armed, the first that is due is met.
    pub fn inject(&self, fault: Fault) {
        self.plan.lock().armed.push((fault, 0));
    }

    /// Disarms all faults.
    pub fn heal(&self) {
        self.plan.lock().armed.clear();
    }

    /// The operations since the last call.
    pub fn take_log(&self) -> Vec<Logged> {
        std::mem::take(&mut self.plan.lock().log)
    }

    async fn pass<T>(&self, operation: Operation, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.plan.pass(operation, work).await
    }
}

#[derive(Clone, Default)]
struct Plan(Arc<Mutex<PlanState>>);

#[derive(Default)]
struct PlanState {
    /// With the number of operations that each has counted.
    armed: Vec<(Fault, u64)>,
    log: Vec<Logged>,
}

impl Plan {
    fn lock(&self) -> MutexGuard<'_, PlanState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation and says which fault it meets.
    fn meet(&self, operation: Operation) -> Option<(FaultKind, When)> {
        let mut state = self.lock();
        let mut met = None;
        for (fault, seen) in &mut state.armed {
            if fault.only.is_none_or(|only| only == operation) {
                *seen += 1;
                if *seen == fault.nth || (fault.sticky && *seen > fault.nth) {
                    met = met.or(Some((fault.kind, fault.when)));
                }
            }
        }
        state.armed.retain(|(fault, seen)| fault.sticky || *seen < fault.nth);
        state.log.push(Logged { operation, fault: met });
        met
    }

    async fn pass<T>(&self, operation: Operation, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match self.meet(operation) {
            None => work.await,
            Some((kind, When::Before)) => Err(kind.error()),
            Some((kind, When::After)) => work.await.and_then(|_effect| Err(kind.error())),
        }
    }

    fn stream(&self, operation: Operation, stream: BlobStream) -> BlobStream {
        match self.meet(operation) {
            None => stream,
            Some((kind, When::Before)) => Box::pin(futures::stream::once(async move { Err(kind.io_error()) })),
            Some((kind, When::After)) => {
                Box::pin(stream.take(1).chain(futures::stream::once(async move { Err(kind.io_error()) })))
            }
        }
    }
}

impl FaultKind {
    fn error(self) -> Error {
        match self {
            Self::Io => Error::Io { context: "meet an injected fault".to_owned(), source: self.io_error() },
            Self::Full => Error::Full(self.io_error()),
            Self::SyncFailed | Self::FullAtSync => Error::SyncFailed(self.io_error()),
        }
    }

    fn io_error(self) -> io::Error {
        match self {
            Self::Io | Self::SyncFailed => rustix::io::Errno::IO.into(),
            Self::Full | Self::FullAtSync => rustix::io::Errno::NOSPC.into(),
        }
    }

    fn of(error: &Error) -> Option<Self> {
        match error {
            Error::Io { .. } => Some(Self::Io),
            Error::Full(_) => Some(Self::Full),
            Error::SyncFailed(_) if error.is_full() => Some(Self::FullAtSync),
            Error::SyncFailed(_) => Some(Self::SyncFailed),
            _ => None,
        }
    }
}

#[async_trait]
impl BlobStore for FaultyStore {
    async fn open_upload(&self, id: &UploadId, from: Checkpoint) -> Result<Box<dyn BlobUpload>> {
        let upload = self.pass(Operation::OpenUpload, self.inner.open_upload(id, from)).await?;
        let fate = Fate { id: *id, store: Arc::clone(&self.inner), failed: Arc::default(), plan: self.plan.clone() };
        Ok(Box::new(FaultyUpload { inner: upload, fate }))
    }

    async fn discard_upload(&self, id: &UploadId) -> Result<()> {
        self.pass(Operation::DiscardUpload, self.inner.discard_upload(id)).await
    }

    async fn open(&self, key: &BlobKey, size: u64) -> Result<Arc<dyn BlobObject>> {
        let object = self.pass(Operation::Open, self.inner.open(key, size)).await?;
        Ok(Arc::new(FaultyObject { inner: object, plan: self.plan.clone() }))
    }

    async fn stat(&self, key: &BlobKey) -> Result<Option<u64>> {
        self.pass(Operation::Stat, self.inner.stat(key)).await
    }

    async fn remove(&self, key: &BlobKey) -> Result<()> {
        self.pass(Operation::Remove, self.inner.remove(key)).await
    }

    async fn quarantine(&self, key: &BlobKey) -> Result<()> {
        self.pass(Operation::Quarantine, self.inner.quarantine(key)).await
    }

    async fn adopt(&self, files: Vec<Foreign>, may_copy: bool) -> Result<Vec<Adoption>> {
        self.pass(Operation::Adopt, self.inner.adopt(files, may_copy)).await
    }

    /// A fault after the effect ends the list with an error.
    async fn list(&self) -> Result<StoredStream> {
        match self.plan.meet(Operation::List) {
            None => self.inner.list().await,
            Some((kind, When::Before)) => Err(kind.error()),
            Some((kind, When::After)) => {
                let stored = self.inner.list().await?;
                Ok(Box::pin(stored.chain(futures::stream::once(async move { Err(kind.error()) }))))
            }
        }
    }

    async fn marker(&self) -> Result<Option<StoreMarker>> {
        self.pass(Operation::Marker, self.inner.marker()).await
    }

    async fn set_marker(&self, marker: &StoreMarker) -> Result<()> {
        self.pass(Operation::SetMarker, self.inner.set_marker(marker)).await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.pass(Operation::Space, self.inner.space()).await
    }

    async fn check_writable(&self) -> Result<()> {
        self.pass(Operation::CheckWritable, self.inner.check_writable()).await
    }
}

/// What an upload shares with its pending checkpoints: the first error, after which nothing works any more.
#[derive(Clone)]
struct Fate {
    id: UploadId,
    store: Arc<dyn BlobStore>,
    failed: Arc<Mutex<Option<FaultKind>>>,
    plan: Plan,
}

impl Fate {
    async fn pass<T>(&self, operation: Operation, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        self.check()?;
        let outcome = self.plan.pass(operation, work).await;
        if let Err(error) = &outcome
            && let Some(kind) = FaultKind::of(error)
        {
            *self.lock() = Some(kind);
            if matches!(kind, FaultKind::SyncFailed | FaultKind::FullAtSync) {
                self.store.discard_upload(&self.id).await?;
            }
        }
        outcome
    }

    fn check(&self) -> Result<()> {
        match *self.lock() {
            Some(kind) => Err(kind.error()),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<FaultKind>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct FaultyUpload {
    inner: Box<dyn BlobUpload>,
    fate: Fate,
}

#[async_trait]
impl BlobUpload for FaultyUpload {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.fate.pass(Operation::Write, self.inner.write(bytes)).await
    }

    async fn checkpoint(&mut self) -> Result<PendingCheckpoint> {
        let pending = self.fate.pass(Operation::Checkpoint, self.inner.checkpoint()).await?;
        let fate = self.fate.clone();
        Ok(Box::pin(async move { fate.pass(Operation::CheckpointSync, pending).await }))
    }

    async fn commit(self: Box<Self>, expected: &Digest) -> Result<Committed> {
        self.fate.pass(Operation::Commit, self.inner.commit(expected)).await
    }
}

struct FaultyObject {
    inner: Arc<dyn BlobObject>,
    plan: Plan,
}

impl BlobObject for FaultyObject {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read(&self, range: Range<u64>) -> BlobStream {
        self.plan.stream(Operation::Read, self.inner.read(range))
    }

    fn read_medium(&self) -> BlobStream {
        self.plan.stream(Operation::ReadMedium, self.inner.read_medium())
    }
}
