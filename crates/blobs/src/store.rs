//! The trait that every back end implements.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use futures::future::BoxFuture;
use larder_oci::{Algorithm, Digest, UploadId};

use crate::{Adoption, BlobKey, Foreign, Result};

/// Bytes of an object, in order, in pieces of at most 1 MiB.
pub type BlobStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;
/// What a store holds, in no particular order.
pub type StoredStream = Pin<Box<dyn Stream<Item = Result<Stored>> + Send>>;
/// A checkpoint whose sync is still running; it may be awaited beside further writes.
pub type PendingCheckpoint = BoxFuture<'static, Result<Checkpoint>>;

/// How many bytes are read again when the closing request names an algorithm that was not announced: at 0.63 GB/s of SHA-512 more
/// would miss the 30 seconds after which containerd gives up.
pub const UNANNOUNCED_LIMIT: u64 = 8 << 30;

/// A place for bytes by key. One audience: the domain.
///
/// Bytes are written once, hashed as they stream. No method may hold O(blob) bytes in memory (**Invariant 9**).
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Opens the target of an upload session at `from`, which discards whatever lies beyond. `from.offset == 0` creates it, also over
    /// what an earlier attempt left. Otherwise [`UploadLost`](crate::Error::UploadLost) if the target is absent or shorter.
    async fn open_upload(&self, id: &UploadId, from: Checkpoint) -> Result<Box<dyn BlobUpload>>;

    /// Throws the session's bytes away. Absent is success.
    async fn discard_upload(&self, id: &UploadId) -> Result<()>;

    /// Opens an object for reading; its length is checked now (**Invariant 12**).
    async fn open(&self, key: &BlobKey, size: u64) -> Result<Arc<dyn BlobObject>>;

    /// The object's length in bytes, or `None` when it is absent. An error is no verdict.
    async fn stat(&self, key: &BlobKey) -> Result<Option<u64>>;

    /// Removes an object durably. Absent is success.
    async fn remove(&self, key: &BlobKey) -> Result<()>;

    /// Moves an object aside, where it is neither served nor counted as an orphan, for a person to look at. Absent is success.
    async fn quarantine(&self, key: &BlobKey) -> Result<()>;

    /// Takes files of another program over as objects, without moving bytes where the back end can; copies them only if it may. One answer for each.
    /// Objects and names are durable when this answers, and **unverified**: the one exception to invariant 12 (behaviour §7). An error is the store's
    /// own; what it took over before has no promise and is garbage.
    async fn adopt(&self, files: Vec<Foreign>, may_copy: bool) -> Result<Vec<Adoption>>;

    /// Everything that is there: objects, upload targets, quarantined objects and what the store cannot name.
    async fn list(&self) -> Result<StoredStream>;

    /// The marker that ties this store to its catalog (**Invariant 14**); `None` for a store that was never used.
    async fn marker(&self) -> Result<Option<StoreMarker>>;

    /// Replaces the marker, durably and atomically.
    async fn set_marker(&self, marker: &StoreMarker) -> Result<()>;

    /// Free and total space, where the back end has such a thing.
    async fn space(&self) -> Result<Option<Space>>;

    /// Writes, syncs and removes a few bytes: can this store be written?
    async fn check_writable(&self) -> Result<()>;
}

/// An upload in progress: one writer, strictly appending.
///
/// Dropping it without `commit` keeps the bytes of the last awaited checkpoint; nothing beyond may be relied on. Dropping a `write`
/// that waits leaves a whole prefix of its bytes taken, which `offset` tells. After an error every later call fails too; after a
/// failed sync the session's bytes are gone as well (**Invariant 11**).
#[async_trait]
pub trait BlobUpload: Send {
    /// Bytes taken so far, from the start of the blob.
    fn offset(&self) -> u64;

    /// Takes more bytes. Returns as soon as a bounded pipeline has room; an error of an earlier write may come out here.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// Waits until the pipeline is empty, notes (offset, hash state), starts a sync and returns it. The checkpoint holds
    /// once that future says so; further writes may go on meanwhile.
    async fn checkpoint(&mut self) -> Result<PendingCheckpoint>;

    /// Checks the digest, makes the bytes and their directory entry durable under a new key that nothing can replace.
    /// With another algorithm than the session's the bytes are read once more, up to 8 GiB.
    async fn commit(self: Box<Self>, expected: &Digest) -> Result<Committed>;
}

/// An open object. Cheap to share; each `read` has its own position.
pub trait BlobObject: Send + Sync {
    /// Length in bytes.
    fn size(&self) -> u64;

    /// The bytes of `range`, read lazily: nothing is read before the first poll, nothing beyond what was polled for but one read-ahead.
    fn read(&self, range: Range<u64>) -> BlobStream;

    /// All bytes, past the page cache where the back end can, so that what is on the medium is what is read.
    fn read_medium(&self) -> BlobStream;
}

/// How far an upload is durable, and the state of its hash there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Bytes that are durable.
    pub offset: u64,
    /// The session's algorithm.
    pub algorithm: Algorithm,
    /// The hash's serialised state after `offset` bytes; empty at offset 0.
    pub hash_state: Vec<u8>,
}

impl Checkpoint {
    /// The start of a blob.
    pub fn start(algorithm: Algorithm) -> Self {
        Self { offset: 0, algorithm, hash_state: Vec::new() }
    }
}

/// A blob whose bytes are durable and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Where it is.
    pub key: BlobKey,
    /// The digest it was verified against.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
}

/// One thing that a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// A committed object.
    Object {
        /// Its key.
        key: BlobKey,
        /// The digest that its name says, where names say it.
        digest: Option<Digest>,
        /// The session that wrote it, where names say it.
        upload: Option<UploadId>,
        /// Length in bytes.
        size: u64,
    },
    /// The target of an upload session.
    Upload {
        /// The session.
        id: UploadId,
        /// Length in bytes.
        size: u64,
    },
    /// An object that was moved aside.
    Quarantined {
        /// The key it had.
        key: BlobKey,
        /// Length in bytes.
        size: u64,
    },
    /// Something that the store did not write; it is reported and never removed.
    Foreign {
        /// Its name below the store's root.
        name: String,
        /// Length in bytes.
        size: u64,
    },
}

/// Ties a store to its catalog (behaviour §6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreMarker {
    /// The id that store and catalog share.
    pub store_id: String,
    /// The highest generation of a catalog seen with this store.
    pub generation: u64,
}

/// Space in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What an unprivileged writer can still use.
    pub available: u64,
    /// The whole size.
    pub total: u64,
}
