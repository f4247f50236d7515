//! A store that calls a hook before and after each step: to watch, to stall, to crash.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use larder_blobs::{
    Adoption, BlobKey, BlobObject, BlobStore, BlobUpload, Checkpoint, Committed, Error, Foreign, PendingCheckpoint,
    Result, Space, StoreMarker, StoredStream,
};
use larder_oci::{Digest, UploadId};

/// What is about to be done, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    OpenUpload(UploadId, u64),
    DiscardUpload(UploadId),
    Open(BlobKey),
    Stat(BlobKey),
    Remove(BlobKey),
    Quarantine(BlobKey),
    List,
    SetMarker,
    Write(UploadId),
    Checkpoint(UploadId),
    Sync(UploadId),
    Commit(UploadId),
}

#[async_trait]
pub trait Hook: Send + Sync + 'static {
    async fn before(&self, _step: &Step) {}
    async fn after(&self, _step: &Step, _error: Option<&Error>) {}
}

pub struct HookedStore<H> {
    inner: Arc<dyn BlobStore>,
    hook: Arc<H>,
}

impl<H: Hook> HookedStore<H> {
    pub fn over(inner: Arc<dyn BlobStore>, hook: Arc<H>) -> Arc<dyn BlobStore> {
        Arc::new(Self { inner, hook })
    }
}

async fn around<T: Send>(hook: &dyn Hook, step: Step, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    hook.before(&step).await;
    let outcome = work.await;
    hook.after(&step, outcome.as_ref().err()).await;
    outcome
}

#[async_trait]
impl<H: Hook> BlobStore for HookedStore<H> {
    async fn open_upload(&self, id: &UploadId, from: Checkpoint) -> Result<Box<dyn BlobUpload>> {
        let step = Step::OpenUpload(*id, from.offset);
        let inner = around(self.hook.as_ref(), step, self.inner.open_upload(id, from)).await?;
        let hook: Arc<dyn Hook> = self.hook.clone();
        Ok(Box::new(HookedUpload { inner, id: *id, hook }))
    }

    async fn discard_upload(&self, id: &UploadId) -> Result<()> {
        around(self.hook.as_ref(), Step::DiscardUpload(*id), self.inner.discard_upload(id)).await
    }

    async fn open(&self, key: &BlobKey, size: u64) -> Result<Arc<dyn BlobObject>> {
        around(self.hook.as_ref(), Step::Open(key.clone()), self.inner.open(key, size)).await
    }

    async fn stat(&self, key: &BlobKey) -> Result<Option<u64>> {
        around(self.hook.as_ref(), Step::Stat(key.clone()), self.inner.stat(key)).await
    }

    async fn remove(&self, key: &BlobKey) -> Result<()> {
        around(self.hook.as_ref(), Step::Remove(key.clone()), self.inner.remove(key)).await
    }

    async fn quarantine(&self, key: &BlobKey) -> Result<()> {
        around(self.hook.as_ref(), Step::Quarantine(key.clone()), self.inner.quarantine(key)).await
    }

    async fn adopt(&self, files: Vec<Foreign>, may_copy: bool) -> Result<Vec<Adoption>> {
        self.inner.adopt(files, may_copy).await
    }

    async fn list(&self) -> Result<StoredStream> {
        around(self.hook.as_ref(), Step::List, self.inner.list()).await
    }

    async fn marker(&self) -> Result<Option<StoreMarker>> {
        self.inner.marker().await
    }

    async fn set_marker(&self, marker: &StoreMarker) -> Result<()> {
        around(self.hook.as_ref(), Step::SetMarker, self.inner.set_marker(marker)).await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.inner.space().await
    }

    async fn check_writable(&self) -> Result<()> {
        self.inner.check_writable().await
    }
}

struct HookedUpload {
    inner: Box<dyn BlobUpload>,
    id: UploadId,
    hook: Arc<dyn Hook>,
}

#[async_trait]
impl BlobUpload for HookedUpload {
    fn offset(&self) -> u64 {
        self.inner.offset()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        around(self.hook.as_ref(), Step::Write(self.id), self.inner.write(bytes)).await
    }

    async fn checkpoint(&mut self) -> Result<PendingCheckpoint> {
        let pending = around(self.hook.as_ref(), Step::Checkpoint(self.id), self.inner.checkpoint()).await?;
        let (hook, id) = (Arc::clone(&self.hook), self.id);
        Ok(Box::pin(async move { around(hook.as_ref(), Step::Sync(id), pending).await }))
    }

    async fn commit(self: Box<Self>, expected: &Digest) -> Result<Committed> {
        around(self.hook.as_ref(), Step::Commit(self.id), self.inner.commit(expected)).await
    }
}
