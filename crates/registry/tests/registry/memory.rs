//! Memory does not grow with what passes through.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use larder_blobs::fs::FsStore;
use larder_blobs::{
    Adoption, BlobKey, BlobObject, BlobStore, BlobUpload, Checkpoint, Committed, Foreign, PendingCheckpoint, Result,
    Space, StoreMarker, StoredStream,
};
use larder_oci::{Algorithm, Digest, UploadId};
use larder_registry::{Settings, UploadBody, testing};
use sha2::Digest as _;

use crate::driver::{Driver, name, sha256};

const PIECE: usize = 256 << 10;

/// How many bytes of a stream are alive.
#[derive(Default)]
struct Meter {
    alive: AtomicU64,
    most: AtomicU64,
}

/// Bytes that are counted until the last who holds them lets go.
struct Metered(Vec<u8>, Arc<Meter>);

impl AsRef<[u8]> for Metered {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.1.alive.fetch_sub(self.0.len() as u64, Ordering::SeqCst);
    }
}

impl Meter {
    fn piece(self: &Arc<Self>, number: u64) -> Bytes {
        let alive = self.alive.fetch_add(PIECE as u64, Ordering::SeqCst) + PIECE as u64;
        self.most.fetch_max(alive, Ordering::SeqCst);
        Bytes::from_owner(Metered(vec![number as u8; PIECE], Arc::clone(self)))
    }

    fn body(self: &Arc<Self>, pieces: u64) -> UploadBody {
        let meter = Arc::clone(self);
        let stream = futures::stream::iter(0..pieces).map(move |number| Ok(meter.piece(number)));
        UploadBody { stream: Box::pin(stream), length: None }
    }
}

/// Takes everything, keeps nothing, believes every digest.
struct Discard;

struct Discarding {
    id: UploadId,
    offset: u64,
}

#[async_trait]
impl BlobUpload for Discarding {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.offset += bytes.len() as u64;
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<PendingCheckpoint> {
        let done = Checkpoint { offset: self.offset, algorithm: Algorithm::Sha256, hash_state: vec![0; 104] };
        Ok(Box::pin(async move { Ok(done) }))
    }

    async fn commit(self: Box<Self>, expected: &Digest) -> Result<Committed> {
        let key = BlobKey::from_stored(self.id.to_string());
        Ok(Committed { key, digest: *expected, size: self.offset })
    }
}

#[async_trait]
impl BlobStore for Discard {
    async fn open_upload(&self, id: &UploadId, from: Checkpoint) -> Result<Box<dyn BlobUpload>> {
        Ok(Box::new(Discarding { id: *id, offset: from.offset }))
    }

    async fn discard_upload(&self, _: &UploadId) -> Result<()> {
        Ok(())
    }

    async fn open(&self, key: &BlobKey, _: u64) -> Result<Arc<dyn BlobObject>> {
        Err(larder_blobs::Error::Absent(key.as_str().to_owned()))
    }

    async fn stat(&self, _: &BlobKey) -> Result<Option<u64>> {
        Ok(None)
    }

    async fn remove(&self, _: &BlobKey) -> Result<()> {
        Ok(())
    }

    async fn quarantine(&self, _: &BlobKey) -> Result<()> {
        Ok(())
    }

    async fn adopt(&self, files: Vec<Foreign>, _: bool) -> Result<Vec<Adoption>> {
        Ok(files.iter().map(|_| Adoption::Absent).collect())
    }

    async fn list(&self) -> Result<StoredStream> {
        Ok(Box::pin(futures::stream::empty()))
    }

    async fn marker(&self) -> Result<Option<StoreMarker>> {
        Ok(None)
    }

    async fn set_marker(&self, _: &StoreMarker) -> Result<()> {
        Ok(())
    }

    async fn space(&self) -> Result<Option<Space>> {
        Ok(None)
    }

    async fn check_writable(&self) -> Result<()> {
        Ok(())
    }
}

/// Invariant 9: of a gibibyte on its way through the domain hardly anything is in memory at a time.
#[tokio::test]
async fn a_push_holds_no_more_than_a_few_pieces() {
    let driver = Driver::over(Settings { checkpoint_bytes: 64 << 20, ..testing::settings() }, Arc::new(Discard)).await;
    let meter = Arc::new(Meter::default());
    let pieces = (1 << 30) / PIECE as u64;
    let (repository, digest) = (name("team/model"), sha256(b"believed"));
    driver.registry.push_blob(&driver.actor, &repository, &digest, meter.body(pieces)).await.expect("a push");
    let head = driver.registry.statistics().await;
    assert_eq!(head.bytes_committed, 1 << 30);
    let most = meter.most.load(Ordering::SeqCst);
    assert!(most <= 4 * PIECE as u64, "{most} bytes were alive at once");
    assert_eq!(meter.alive.load(Ordering::SeqCst), 0, "and nothing is kept");
}

/// Invariant 9: with the store on disk, what is under way is bounded by its pipeline; a reader gets a piece at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_pushes_to_disk_hold_a_bounded_pipeline_each() {
    const PUSHES: usize = 8;
    const PIECES: u64 = 64;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Arc::new(FsStore::open(folder.path()).expect("a store"));
    let driver = Arc::new(Driver::over(testing::settings(), store).await);
    let meter = Arc::new(Meter::default());
    let digest = {
        let mut hash = sha2::Sha256::new();
        (0..PIECES).for_each(|number| hash.update(vec![number as u8; PIECE]));
        Digest::new(Algorithm::Sha256, &hash.finalize()).expect("a sha256")
    };
    let pushes: Vec<_> = (0..PUSHES)
        .map(|number| {
            let (driver, body) = (Arc::clone(&driver), meter.body(PIECES));
            tokio::spawn(async move {
                let repository = name(&format!("team/model-{number}"));
                driver.registry.push_blob(&driver.actor, &repository, &digest, body).await.expect("a push");
            })
        })
        .collect();
    for push in pushes {
        push.await.expect("no panic");
    }
    let most = meter.most.load(Ordering::SeqCst);
    assert!(most <= (PUSHES * 8 * PIECE) as u64, "{most} bytes of {PUSHES} pushes were alive at once");

    let blob = driver.registry.blob(&driver.actor, &name("team/model-0"), &digest).await.expect("the blob");
    let mut stream = blob.stream(0..blob.size);
    let mut read = 0;
    while let Some(piece) = stream.next().await {
        let piece = piece.expect("readable bytes");
        assert!(piece.len() <= 1 << 20, "a piece of {} bytes", piece.len());
        read += piece.len() as u64;
    }
    assert_eq!(read, PIECES * PIECE as u64);
}
