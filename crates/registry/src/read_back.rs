//! Reading one object back from the medium, and what that says (behaviour §6).

use std::time::Duration;

use futures::StreamExt;
use larder_blobs::BlobKey;
use larder_catalog::model::BlobRow;
use larder_oci::{Algorithm, Digest};
use sha2::{Digest as _, Sha256, Sha512};
use tokio::time::{Instant, sleep_until};

use crate::{FindingKind, Registry, Result};

/// How fast the medium is read.
pub(crate) struct Pace {
    /// Bytes a second; `None` as fast as it goes.
    rate: Option<u64>,
    /// When the next piece may be read.
    next: Instant,
}

impl Pace {
    pub fn unbounded() -> Self {
        Self { rate: None, next: Instant::now() }
    }

    /// At most so many bytes a second, without catching up on time that was lost.
    pub fn of(rate: u64) -> Self {
        Self { rate: Some(rate.max(1)), next: Instant::now() }
    }

    /// Waits for as long as what was just read is to take.
    async fn spend(&mut self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
        self.next = self.next.max(Instant::now()) + cost;
        sleep_until(self.next).await;
    }
}

/// What reading an object back says.
enum Verdict {
    Sound,
    Wrong(FindingKind),
}

impl Registry {
    /// What is wrong with this row's object. The row may have been condemned or replaced while its object was read: then there is nothing to say.
    pub(crate) async fn read_back(&self, row: &BlobRow, pace: &mut Pace) -> Result<Option<FindingKind>> {
        let Verdict::Wrong(kind) = self.judge(row, pace).await else { return Ok(None) };
        let now = self.inner.catalog.blob_rows(row.id - 1, 1).await?;
        Ok((now.items.first() == Some(row)).then_some(kind))
    }

    /// Wrong bytes are read twice before they are called wrong: memory and cables err too.
    async fn judge(&self, row: &BlobRow, pace: &mut Pace) -> Verdict {
        match self.read_once(row, pace).await {
            Verdict::Wrong(FindingKind::WrongDigest) => self.read_once(row, pace).await,
            verdict => verdict,
        }
    }

    async fn read_once(&self, row: &BlobRow, pace: &mut Pace) -> Verdict {
        let key = BlobKey::from_stored(row.blob.key.clone());
        let object = match self.inner.store.open(&key, row.blob.size).await {
            Ok(object) => object,
            Err(larder_blobs::Error::Absent(_)) => return Verdict::Wrong(FindingKind::Missing),
            Err(larder_blobs::Error::WrongLength { .. }) => return Verdict::Wrong(FindingKind::WrongLength),
            Err(error) => {
                tracing::warn!(%key, %error, "an object could not be opened");
                return Verdict::Wrong(FindingKind::Unreadable);
            }
        };
        let mut hash = RunningHash::new(row.blob.digest.algorithm());
        let mut stream = object.read_medium();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(bytes) => {
                    let length = bytes.len();
                    hash = hash.update_off_runtime(bytes).await;
                    pace.spend(length).await;
                }
                Err(error) => {
                    tracing::warn!(%key, %error, "an object could not be read");
                    return Verdict::Wrong(FindingKind::Unreadable);
                }
            }
        }
        if hash.finish() == row.blob.digest { Verdict::Sound } else { Verdict::Wrong(FindingKind::WrongDigest) }
    }
}

/// A hash that is fed on blocking threads.
enum RunningHash {
    Sha256(Box<Sha256>),
    Sha512(Box<Sha512>),
}

impl RunningHash {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Box::default()),
            Algorithm::Sha512 => Self::Sha512(Box::default()),
        }
    }

    async fn update_off_runtime(mut self, bytes: bytes::Bytes) -> Self {
        let fed = tokio::task::spawn_blocking(move || {
            match &mut self {
                Self::Sha256(hash) => hash.update(&bytes),
                Self::Sha512(hash) => hash.update(&bytes),
            }
            self
        });
        fed.await.expect("hashing does not panic")
    }

    fn finish(self) -> Digest {
        let digest = match self {
            Self::Sha256(hash) => Digest::new(Algorithm::Sha256, &hash.finalize()),
            Self::Sha512(hash) => Digest::new(Algorithm::Sha512, &hash.finalize()),
        };
        digest.expect("a hash has its algorithm's length")
    }
}
