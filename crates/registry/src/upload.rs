//! Taking blobs: sessions, streaming, resuming, committing, mounting (behaviour §2).

use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use larder_blobs::{BlobUpload, Checkpoint};
use larder_catalog::model::{Blob, CommitBlob, MountSource, Reserved, Upload};
use larder_oci::{Algorithm, Digest, RepositoryName, UploadId, UploadRange};
use std::sync::atomic::Ordering;
use tokio::task::JoinHandle;

use crate::session::Claim;
use crate::{Action, Actor, Error, Registry, Result};

/// How many memberships a mount without a source looks at (behaviour §4).
const MOUNT_CANDIDATES: usize = 100;

/// Bytes that are reserved beyond what has arrived of an upload of unknown length: as many as have, within these bounds.
const RESERVED_AHEAD: (u64, u64) = (1 << 20, 64 << 20);

/// A request's body as it arrives.
pub type BodyStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// A request's body and what was announced about it.
pub struct UploadBody {
    /// The bytes.
    pub stream: BodyStream,
    /// The announced length in bytes, where there is one.
    pub length: Option<u64>,
}

impl UploadBody {
    /// No bytes at all.
    pub fn empty() -> Self {
        Self { stream: Box::pin(futures::stream::empty()), length: Some(0) }
    }

    /// Bytes at hand.
    pub fn of(bytes: Bytes) -> Self {
        let length = Some(bytes.len() as u64);
        Self { stream: Box::pin(futures::stream::once(async { Ok(bytes) })), length }
    }
}

/// Where an upload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadStatus {
    /// The session.
    pub id: UploadId,
    /// Durable bytes.
    pub offset: u64,
}

/// What became of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    /// The blob is a member now, with a lease.
    Mounted(Digest),
    /// It could not be; an ordinary session is open instead.
    Upload(UploadStatus),
}

impl Registry {
    /// Opens an upload session. Its row stands before its first byte does (**Invariant 2**).
    pub async fn start_upload(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        algorithm: Option<Algorithm>,
    ) -> Result<UploadStatus> {
        self.permit_write(actor, Action::Push, repository).await?;
        self.may_begin(repository).await?;
        if !self.has_room().await? {
            return Err(Error::StorageFull);
        }
        // So that a push that cannot be taken ends before its bytes come.
        if self.inner.catalog.is_under_quota(repository).await?
            && let Some(over) = self.inner.catalog.full_quota(repository).await?
        {
            return Err(Error::OverQuota(Box::new(over)));
        }
        let id = UploadId::from_bytes(*uuid::Uuid::new_v4().as_bytes());
        let now = self.now();
        let upload = Upload {
            id,
            repository: repository.clone(),
            identity: actor.identity().to_owned(),
            algorithm: algorithm.unwrap_or(Algorithm::Sha256),
            offset: 0,
            hash_state: Vec::new(),
            started: now,
            touched: now,
        };
        self.inner.catalog.create_upload(upload).await?;
        Ok(UploadStatus { id, offset: 0 })
    }

    /// Makes a blob of another repository a member of this one, or opens a session where that cannot be. Never tells why not (behaviour §4).
    pub async fn mount(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        digest: &Digest,
        from: Option<&RepositoryName>,
    ) -> Result<Mount> {
        self.permit_write(actor, Action::Push, repository).await?;
        self.may_begin(repository).await?;
        let source = match from {
            Some(from) if self.may(actor, Action::Pull, from).await? => Some(MountSource::Repository(from.clone())),
            Some(_) => None,
            None => actor.filter().map(|filter| MountSource::Any { filter, limit: MOUNT_CANDIDATES }),
        };
        if let Some(source) = source
            && let Some(blob) = self.inner.catalog.mount_candidate(digest, &source).await?
            && self.bytes_are_there(digest, &blob.key, blob.size).await?
        {
            let (until, stamp) = (self.lease_end(), self.stamp(actor));
            if self.inner.catalog.mount(repository, digest, &source, until, stamp).await?.is_some() {
                return Ok(Mount::Mounted(*digest));
            }
        }
        let algorithm = digest.algorithm();
        Ok(Mount::Upload(self.start_upload(actor, repository, Some(algorithm)).await?))
    }

    /// How many bytes of a session are durable.
    pub async fn upload_status(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<UploadStatus> {
        let upload = self.session(actor, repository, id).await?;
        Ok(UploadStatus { id: *id, offset: upload.offset })
    }

    /// Appends a chunk, or a stream of unknown length. The answer comes when its bytes are durable.
    ///
    /// When the client goes, what arrived is synced and noted all the same.
    pub async fn append(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        id: &UploadId,
        range: Option<UploadRange>,
        body: UploadBody,
    ) -> Result<UploadStatus> {
        let upload = self.session(actor, repository, id).await?;
        self.writable()?;
        self.inner.sessions.take_whole(&upload.id);
        let writing = self.begin_writing(upload, range, body.length).await?;
        let (mut writing, received) = self.receive(writing, range, body).await;
        let registry = self.clone();
        finish_even_if_dropped(async move {
            let offset = registry.settle(&mut writing).await?;
            match received {
                Ok(()) => Ok(UploadStatus { id: writing.row.id, offset }),
                Err(Error::BodyInterrupted { id, .. }) => Err(Error::BodyInterrupted { id, offset }),
                Err(Error::LengthMismatch { id, .. }) => Err(Error::LengthMismatch { id, offset }),
                Err(other) => Err(other),
            }
        })
        .await
    }

    /// Takes what may come with the closing request, checks the digest, and makes the blob live.
    pub async fn finish_upload(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        id: &UploadId,
        range: Option<UploadRange>,
        body: UploadBody,
        digest: &Digest,
    ) -> Result<Digest> {
        let upload = self.session(actor, repository, id).await?;
        self.writable()?;
        let upload = self.restart_whole(upload, range, body.length).await?;
        let whole = range.is_none() && upload.offset == 0;
        let mut writing = self.begin_writing(upload, range, body.length).await?;
        writing.whole = whole;
        let (mut writing, received) = self.receive(writing, range, body).await;
        let (registry, actor, digest) = (self.clone(), actor.clone(), *digest);
        finish_even_if_dropped(async move {
            if let Err(error) = received {
                registry.settle(&mut writing).await?;
                return Err(error);
            }
            registry.commit(&actor, writing, &digest).await
        })
        .await
    }

    /// A closing request with a body and without a range, after one like it broke off, is the same blob from its beginning (regctl does so).
    async fn restart_whole(&self, upload: Upload, range: Option<UploadRange>, length: Option<u64>) -> Result<Upload> {
        let again = self.inner.sessions.take_whole(&upload.id) && range.is_none() && length != Some(0);
        if !again || upload.offset == 0 {
            return Ok(upload);
        }
        // The row first: a crash in between leaves bytes that the next opening discards.
        let (at, until) = (self.now(), self.lease_end());
        self.inner.catalog.checkpoint_upload(&upload.id, 0, Vec::new(), at, until).await?;
        Ok(Upload { offset: 0, hash_state: Vec::new(), ..upload })
    }

    /// A whole blob in one request: a session that nobody else ever sees.
    pub async fn push_blob(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        digest: &Digest,
        body: UploadBody,
    ) -> Result<Digest> {
        let status = self.start_upload(actor, repository, Some(digest.algorithm())).await?;
        let pushed = self.finish_upload(actor, repository, &status.id, None, body, digest).await;
        if pushed.is_err() {
            // Nobody knows this session's id, so nobody can come back to it.
            let _ = self.cancel_upload(actor, repository, &status.id).await;
        }
        pushed
    }

    /// Gives a session up.
    pub async fn cancel_upload(&self, actor: &Actor, repository: &RepositoryName, id: &UploadId) -> Result<()> {
        let upload = self.session(actor, repository, id).await?;
        self.writable()?;
        let Some(_claim) = self.inner.sessions.claim(id, None).await else {
            return Err(Error::UploadBusy { id: *id, offset: upload.offset });
        };
        self.give_up(&upload).await
    }

    /// Forgets a session: first the row, then the bytes; a crash in between leaves an orphan (**Invariant 2**).
    pub(crate) async fn give_up(&self, upload: &Upload) -> Result<()> {
        self.inner.sessions.take_whole(&upload.id);
        self.inner.catalog.delete_upload(&upload.repository, &upload.id).await?;
        Ok(self.inner.store.discard_upload(&upload.id).await?)
    }

    /// The session's row, if it is this actor's and of this repository; anything else is unknown (CVE-2026-32589).
    async fn session(&self, actor: &Actor, repository: &RepositoryName, id: &UploadId) -> Result<Upload> {
        self.permit(actor, Action::Push, repository).await?;
        let upload = self.inner.catalog.upload(repository, id).await?;
        upload.filter(|upload| upload.identity == actor.identity()).ok_or(Error::UploadUnknown(*id))
    }

    /// Takes the session and opens its bytes where its row says.
    async fn begin_writing(&self, row: Upload, range: Option<UploadRange>, declared: Option<u64>) -> Result<Writing> {
        let busy = Error::UploadBusy { id: row.id, offset: row.offset };
        let claim = self.inner.sessions.claim(&row.id, declared).await.ok_or(busy)?;
        if !self.leaves_reserve(self.inner.sessions.declared_until(&claim)).await? {
            return Err(Error::StorageFull);
        }
        // The writer before may have moved the offset on until it let go.
        let row = self.inner.catalog.upload(&row.repository, &row.id).await?.ok_or(Error::UploadUnknown(row.id))?;
        if range.is_some_and(|range| range.start != row.offset) {
            return Err(Error::RangeMismatch { id: row.id, offset: row.offset });
        }
        let announced = row.offset.saturating_add(declared.unwrap_or(0));
        let room = match self.make_room(&row, announced, declared.is_none()).await {
            Err(error @ (Error::OverQuota(_) | Error::UploadTooLarge { .. })) => {
                self.give_up(&row).await?;
                return Err(error);
            }
            room => room?,
        };
        let from = Checkpoint { offset: row.offset, algorithm: row.algorithm, hash_state: row.hash_state.clone() };
        let upload = match self.inner.store.open_upload(&row.id, from).await {
            Ok(upload) => upload,
            Err(larder_blobs::Error::UploadLost(id)) => {
                tracing::error!(upload = %id, "the bytes of an upload are lost; its client must start again");
                self.give_up(&row).await?;
                return Err(Error::UploadUnknown(id));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Writing { durable: row.offset, row, upload: Some(upload), running: None, claim, whole: false, room })
    }

    /// Streams the body in, in the caller's own task: to hand each piece to another one costs more than to hash it. A caller who is dropped
    /// meanwhile leaves a session that is settled all the same.
    async fn receive(&self, writing: Writing, range: Option<UploadRange>, body: UploadBody) -> (Writing, Result<()>) {
        let mut held = Held { registry: self, writing: Some(writing) };
        let Some(writing) = held.writing.as_mut() else { unreachable!("it was put there above") };
        let received = self.receive_into(writing, range, body).await;
        let Some(writing) = held.writing.take() else { unreachable!("nobody else takes it") };
        (writing, received)
    }

    /// [`receive`](Self::receive), with a checkpoint every so many bytes that does not stall the stream.
    async fn receive_into(&self, writing: &mut Writing, range: Option<UploadRange>, body: UploadBody) -> Result<()> {
        let (id, begun) = (writing.row.id, writing.row.offset);
        let mut stream = body.stream;
        let mut next_checkpoint = begun + self.inner.settings.checkpoint_bytes;
        loop {
            let chunk = tokio::select! {
                chunk = stream.next() => chunk,
                () = writing.claim.cancelled() => return Err(Error::BodyInterrupted { id, offset: writing.durable }),
            };
            let Some(chunk) = chunk else { break };
            let chunk = chunk.map_err(|_| Error::BodyInterrupted { id, offset: writing.durable })?;
            writing.claim.received(chunk.len() as u64);
            self.stay_within(writing, chunk.len() as u64).await?;
            self.write(writing, chunk).await?;
            if writing.offset() >= next_checkpoint && writing.is_idle() {
                next_checkpoint = writing.offset() + self.inner.settings.checkpoint_bytes;
                self.start_checkpoint(writing).await?;
            }
        }
        match range {
            Some(range) if writing.offset() != range.end + 1 => {
                Err(Error::LengthMismatch { id, offset: writing.durable })
            }
            _ => Ok(()),
        }
    }

    /// How far the upload may go without asking again: at least to `end`, which is reserved where there is a quota (behaviour §6).
    async fn make_room(&self, row: &Upload, end: u64, goes_on: bool) -> Result<u64> {
        let limit = self.inner.settings.upload_limit.unwrap_or(u64::MAX);
        if end > limit {
            return Err(Error::UploadTooLarge { limit });
        }
        if !self.inner.catalog.is_under_quota(&row.repository).await? {
            return Ok(limit);
        }
        let ahead = if goes_on { end.clamp(RESERVED_AHEAD.0, RESERVED_AHEAD.1) } else { 0 };
        match self.inner.catalog.reserve(&row.id, &row.repository, end, end.saturating_add(ahead)).await? {
            Reserved::NoQuota => Ok(limit),
            Reserved::Bytes(bytes) => Ok(bytes.min(limit)),
            Reserved::Over(over) => Err(Error::OverQuota(Box::new(over))),
            Reserved::Gone => Err(Error::UploadUnknown(row.id)),
        }
    }

    /// Makes room for what arrived. Where there is none, the session goes: nothing that follows could help it.
    async fn stay_within(&self, writing: &mut Writing, arrived: u64) -> Result<()> {
        let end = writing.offset().saturating_add(arrived);
        if end <= writing.room {
            return Ok(());
        }
        match self.make_room(&writing.row, end, true).await {
            Ok(room) => {
                writing.room = room;
                Ok(())
            }
            Err(error) => {
                self.join_checkpoint(writing).await?;
                writing.upload = None;
                self.give_up(&writing.row).await?;
                Err(error)
            }
        }
    }

    async fn write(&self, writing: &mut Writing, chunk: Bytes) -> Result<()> {
        let Some(upload) = writing.upload.as_mut() else { return Err(Error::UploadUnknown(writing.row.id)) };
        match upload.write(chunk).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(writing, error).await),
        }
    }

    /// Syncs in the background, then writes the offset down; both while bytes go on arriving.
    async fn start_checkpoint(&self, writing: &mut Writing) -> Result<()> {
        let Some(upload) = writing.upload.as_mut() else { return Ok(()) };
        let pending = match upload.checkpoint().await {
            Ok(pending) => pending,
            Err(error) => return Err(self.failed(writing, error).await),
        };
        let (registry, id) = (self.clone(), writing.row.id);
        writing.running = Some(tokio::spawn(async move {
            // Its own error, not yet one for the client: what it says about the bytes is decided on below.
            let done = pending.await.map_err(Error::Store)?;
            let (at, until) = (registry.now(), registry.lease_end());
            let offset = done.offset;
            let there = registry.inner.catalog.checkpoint_upload(&id, done.offset, done.hash_state, at, until).await?;
            if there { Ok(offset) } else { Err(Error::UploadUnknown(id)) }
        }));
        Ok(())
    }

    /// Ends a request that did not commit: everything that arrived is durable and written down. Answers the durable offset.
    async fn settle(&self, writing: &mut Writing) -> Result<u64> {
        let offset = self.settle_checkpoint(writing).await?;
        if writing.whole && writing.upload.is_some() {
            self.inner.sessions.broke_off_whole(&writing.row.id);
        }
        Ok(offset)
    }

    /// Makes everything that arrived durable and writes it down; answers the durable offset.
    async fn settle_checkpoint(&self, writing: &mut Writing) -> Result<u64> {
        self.join_checkpoint(writing).await?;
        if writing.upload.is_some() && writing.offset() > writing.durable {
            self.start_checkpoint(writing).await?;
            self.join_checkpoint(writing).await?;
        }
        Ok(writing.durable)
    }

    async fn join_checkpoint(&self, writing: &mut Writing) -> Result<()> {
        let Some(running) = writing.running.take() else { return Ok(()) };
        match running.await {
            Ok(Ok(offset)) => {
                writing.durable = offset;
                Ok(())
            }
            Ok(Err(Error::Store(error))) => Err(self.failed(writing, error).await),
            Ok(Err(other)) => Err(other),
            Err(ended) => Err(Error::Internal(ended.to_string())),
        }
    }

    /// **Invariant 11**: after a failed sync nothing of the file is trusted; the session goes, the client starts from the beginning.
    async fn failed(&self, writing: &mut Writing, error: larder_blobs::Error) -> Error {
        writing.upload = None;
        if matches!(error, larder_blobs::Error::SyncFailed(_) | larder_blobs::Error::UploadLost(_)) {
            tracing::error!(upload = %writing.row.id, %error, "the bytes of an upload are lost: it is discarded");
            if let Err(error) = self.give_up(&writing.row).await {
                tracing::error!(upload = %writing.row.id, %error, "and could not be removed");
            }
        }
        error.into()
    }

    /// Bytes durable first, then one transaction for blob, membership, lease and the session's end (**Invariant 2**).
    async fn commit(&self, actor: &Actor, mut writing: Writing, digest: &Digest) -> Result<Digest> {
        self.join_checkpoint(&mut writing).await?;
        let Some(upload) = writing.upload.take() else { return Err(Error::UploadUnknown(writing.row.id)) };
        let committed = match upload.commit(digest).await {
            Ok(committed) => committed,
            Err(error @ larder_blobs::Error::DigestMismatch { .. }) => {
                self.give_up(&writing.row).await?;
                return Err(error.into());
            }
            Err(error) => return Err(self.failed(&mut writing, error).await),
        };
        let blob = Blob { digest: *digest, key: committed.key.as_str().to_owned(), size: committed.size };
        let live = self.inner.catalog.commit_blob(CommitBlob {
            upload: writing.row.id,
            repository: writing.row.repository.clone(),
            blob,
            lease_until: self.lease_end(),
            supersede_review: self.lease_end(),
            stamp: self.stamp(actor),
        });
        if !live.await? {
            // The session expired or was cancelled meanwhile: its bytes are an orphan that nobody was promised.
            self.inner.store.remove(&committed.key).await?;
            return Err(Error::UploadUnknown(writing.row.id));
        }
        self.inner.counters.uploads_committed.fetch_add(1, Ordering::Relaxed);
        self.inner.counters.bytes_committed.fetch_add(committed.size, Ordering::Relaxed);
        Ok(*digest)
    }
}

/// One request's hold on a session.
struct Writing {
    row: Upload,
    /// Bytes that the row says.
    durable: u64,
    upload: Option<Box<dyn BlobUpload>>,
    running: Option<JoinHandle<Result<u64>>>,
    claim: Claim,
    /// Whether this is a closing request with all of the blob in its body.
    whole: bool,
    /// How far it may go before room has to be made.
    room: u64,
}

/// What a request writes to while its bytes come. Dropped with it, it settles the session in a task of its own.
struct Held<'r> {
    registry: &'r Registry,
    writing: Option<Writing>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(mut writing) = self.writing.take() else { return };
        // Without a runtime the process is ending, and the last checkpoint stands.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let registry = self.registry.clone();
        runtime.spawn(async move {
            if let Err(error) = registry.settle(&mut writing).await {
                tracing::debug!(upload = %writing.row.id, %error, "an upload that its client left could not be settled");
            }
        });
    }
}

impl Writing {
    fn offset(&self) -> u64 {
        self.upload.as_ref().map_or(self.durable, |upload| upload.offset())
    }

    /// Whether no checkpoint is being written.
    fn is_idle(&self) -> bool {
        self.running.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

/// Runs `work` to its end even when the caller's connection goes away.
async fn finish_even_if_dropped<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(work).await.unwrap_or_else(|ended| Err(Error::Internal(ended.to_string())))
}
