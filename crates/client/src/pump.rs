//! One read of a blob for any number of takers, with one verdict about its bytes.

use bytes::Bytes;
use tokio::sync::{SetOnce, mpsc};

use larder_oci::descriptor::Descriptor;

use crate::error::{Error, Result};
use crate::hashing::Hasher;
use crate::pieces::{self, PieceSender, Pieces};
use crate::source::Source;

/// Pieces on their way to the thread that hashes.
const HASHED_AHEAD: usize = 4;

/// Where one taker's bytes go; it may want only those from some position on.
pub(crate) struct Tap {
    from: u64,
    sender: PieceSender,
}

impl Tap {
    /// A tap and the end that the taker holds.
    pub(crate) fn new(from: u64) -> (Self, Pieces) {
        let (sender, pieces) = pieces::channel();
        (Self { from, sender }, pieces)
    }

    /// Hands over what of `piece` (which starts at `at`) the taker wants. `false`: it wants nothing any more.
    async fn give(&self, piece: &Bytes, at: u64) -> bool {
        let skipped = usize::try_from(self.from.saturating_sub(at)).unwrap_or(usize::MAX);
        if skipped >= piece.len() {
            return !self.sender.is_closed();
        }
        self.sender.send(piece.slice(skipped..)).await.is_ok()
    }
}

/// A read of a blob from `start` on.
pub(crate) struct Pump<'a> {
    source: &'a dyn Source,
    blob: &'a Descriptor,
    start: u64,
    seed: std::sync::Mutex<Option<Hasher>>,
    verdict: SetOnce<Result<()>>,
}

impl<'a> Pump<'a> {
    /// With a seed (the hash state of what lies before `start`) the bytes are checked; without one their taker does it.
    pub(crate) fn new(source: &'a dyn Source, blob: &'a Descriptor, start: u64, seed: Option<Hasher>) -> Self {
        Self { source, blob, start, seed: std::sync::Mutex::new(seed), verdict: SetOnce::new() }
    }

    /// Waits until all bytes were read and found right, or the source failed.
    pub(crate) async fn verdict(&self) -> Result<()> {
        self.verdict.wait().await.clone()
    }

    /// The source's failure, if there was one by now.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.verdict.get().and_then(|verdict| verdict.clone().err())
    }

    /// Reads to the end. The verdict stands before any taker sees that its pieces ended early.
    pub(crate) async fn run(&self, mut taps: Vec<Tap>) {
        let verdict = self.read(&mut taps).await;
        let _ = self.verdict.set(verdict);
    }

    async fn read(&self, taps: &mut Vec<Tap>) -> Result<()> {
        let mut reader = self.source.blob(self.blob, self.start).await?;
        let seed = self.seed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let hashing = seed.map(Hashing::start);
        let mut at = self.start;
        while let Some(piece) = reader.next().await? {
            let end = at + piece.len() as u64;
            if end > self.blob.size {
                return Err(self.wrong_length(end));
            }
            if let Some(hashing) = &hashing {
                hashing.take(piece.clone()).await;
            }
            let mut wanted = Vec::with_capacity(taps.len());
            for tap in taps.drain(..) {
                if tap.give(&piece, at).await {
                    wanted.push(tap);
                }
            }
            *taps = wanted;
            if taps.is_empty() && end < self.blob.size {
                // Everyone failed or goes on alone: whoever does is judged by the target itself.
                return Ok(());
            }
            at = end;
        }
        if at != self.blob.size {
            return Err(self.wrong_length(at));
        }
        match hashing {
            Some(hashing) => hashing.finish().await?.verify(&self.subject(), &self.blob.digest, self.blob.size),
            None => Ok(()),
        }
    }

    fn subject(&self) -> String {
        format!("{} {}", self.source.label(), self.blob.digest)
    }

    fn wrong_length(&self, actual: u64) -> Error {
        Error::LengthMismatch { subject: self.subject(), expected: self.blob.size, actual }
    }
}

/// A thread that hashes while the bytes travel on.
struct Hashing {
    sender: mpsc::Sender<Bytes>,
    task: tokio::task::JoinHandle<Hasher>,
}

impl Hashing {
    fn start(mut hasher: Hasher) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(HASHED_AHEAD);
        let task = tokio::task::spawn_blocking(move || {
            while let Some(piece) = receiver.blocking_recv() {
                hasher.update(&piece);
            }
            hasher
        });
        Self { sender, task }
    }

    async fn take(&self, piece: Bytes) {
        // The thread ends only when this sender is gone.
        let _ = self.sender.send(piece).await;
    }

    async fn finish(self) -> Result<Hasher> {
        drop(self.sender);
        self.task.await.map_err(|error| Error::Setup(format!("the hashing thread failed: {error}")))
    }
}
