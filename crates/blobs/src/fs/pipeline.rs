//! Bytes of one upload on their way to hash and disk: gathered into batches, each hashed and written at the same time on two
//! blocking tasks, a bounded number of them under way.
//!
//! A lane's task lives while it has work, so a fast sender costs one task per lane and not two per batch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use tokio::sync::OwnedSemaphorePermit;

use super::session::lock;

/// A batch leaves at this size. At 64 KiB a push loses a third of its rate to calls and wake-ups, above 256 KiB it gains nothing.
pub(super) const BATCH: usize = 256 << 10;
/// Batches that may be under way; with the one that gathers, 1.25 MiB per upload (**Invariant 9**).
pub(super) const UNDER_WAY: usize = 4;
/// Batches that give their room back together: waking the receiver for each one costs more than its bytes.
const GROUP: usize = UNDER_WAY / 2;
/// Pieces below this size are copied together: each would keep the network buffer alive that it was cut from.
const SMALL: usize = 4 << 10;

/// Bytes with their place. It holds its share of the room until both lanes are done with it.
pub(super) struct Batch {
    pub(super) pieces: Vec<Bytes>,
    pub(super) at: u64,
    pub(super) len: usize,
    pub(super) _room: OwnedSemaphorePermit,
}

/// Pieces waiting to become a batch.
#[derive(Default)]
pub(super) struct Gather {
    pieces: Vec<Bytes>,
    small: BytesMut,
    len: usize,
}

impl Gather {
    /// Takes from the front of `bytes` what still fits.
    pub(super) fn take(&mut self, bytes: &mut Bytes) {
        let piece = bytes.split_to(bytes.len().min(BATCH - self.len));
        self.len += piece.len();
        if piece.len() < SMALL {
            self.small.extend_from_slice(&piece);
        } else {
            self.flush_small();
            self.pieces.push(piece);
        }
    }

    pub(super) fn empty(&mut self) -> Vec<Bytes> {
        self.flush_small();
        self.len = 0;
        std::mem::take(&mut self.pieces)
    }

    pub(super) fn is_full(&self) -> bool {
        self.len == BATCH
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn flush_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(std::mem::take(&mut self.small).freeze());
        }
    }
}

/// What a lane does with a batch.
pub(super) trait Work: Send + 'static {
    fn take(&mut self, batch: &Batch);
    /// The lane's task panicked; batches are lost.
    fn broke(&mut self);
}

/// Batches in order, worked off by at most one blocking task.
pub(super) struct Lane<W> {
    queue: Mutex<Queue>,
    work: Mutex<W>,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<Arc<Batch>>,
    running: bool,
}

impl<W: Work> Lane<W> {
    pub(super) fn new(work: W) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), work: Mutex::new(work) })
    }

    pub(super) fn submit(self: &Arc<Self>, batch: Arc<Batch>) {
        let mut queue = lock(&self.queue);
        queue.batches.push_back(batch);
        if !queue.running {
            queue.running = true;
            let lane = Arc::clone(self);
            tokio::task::spawn_blocking(move || lane.run());
        }
    }

    /// Looks at the worker; only sensible while no batch is under way.
    pub(super) fn with<T>(&self, look: impl FnOnce(&W) -> T) -> T {
        look(&lock(&self.work))
    }

    fn run(&self) {
        let _guard = OnPanic(self);
        let mut done = Vec::with_capacity(GROUP);
        while let Some(batch) = self.next(&mut done) {
            lock(&self.work).take(&batch);
            done.push(batch);
            if done.len() == GROUP {
                done.clear();
            }
        }
    }

    /// The next batch. When there is none, what is done gives its room back first: whoever waits for it may have the next one.
    fn next(&self, done: &mut Vec<Arc<Batch>>) -> Option<Arc<Batch>> {
        let mut queue = lock(&self.queue);
        let batch = queue.batches.pop_front();
        queue.running = batch.is_some();
        drop(queue);
        if batch.is_none() {
            done.clear();
        }
        batch
    }
}

/// Without it a panic would leave batches in the queue, and whoever waits for them waiting.
struct OnPanic<'a, W: Work>(&'a Lane<W>);

impl<W: Work> Drop for OnPanic<'_, W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.work).broke();
            let mut queue = lock(&self.0.queue);
            queue.batches.clear();
            queue.running = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_copied_together_and_order_is_kept() {
        let mut gather = Gather::default();
        let mut expected = Vec::new();
        let large = Bytes::from(vec![9; SMALL]);
        for i in 0..200u32 {
            let piece = if i % 50 == 49 { large.clone() } else { Bytes::from(vec![i as u8; 3]) };
            expected.extend_from_slice(&piece);
            gather.take(&mut piece.clone());
        }
        let pieces = gather.empty();
        assert_eq!(pieces.len(), 8, "four runs of small pieces between four large ones");
        assert_eq!(pieces.concat(), expected);
        assert!(pieces.iter().any(|piece| piece.as_ptr() == large.as_ptr()), "large pieces are not copied");
        assert_eq!(gather.len(), 0);
    }

    #[test]
    fn a_gather_takes_no_more_than_a_batch() {
        let mut gather = Gather::default();
        let mut bytes = Bytes::from(vec![1; BATCH + 5]);
        gather.take(&mut bytes);
        assert!(gather.is_full() && bytes.len() == 5);
    }
}
