//! Bytes on their way from one reader to one taker: a bounded channel of pieces, and the watch that tells a stalled taker from a slow one.

use std::io;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Pieces between reader and taker. With pieces of half a mebibyte: memory per taker, whatever the size of the blob.
const CAPACITY: usize = 4;

/// The sending end.
pub type PieceSender = mpsc::Sender<Bytes>;

/// The taking end. It ends early when the reader gave up; the taker counts.
#[derive(Debug)]
pub struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    rest: Bytes,
}

/// A channel with room for a few pieces, so that a slow taker holds the reader back (**Invariant 9**).
pub fn channel() -> (PieceSender, Pieces) {
    let (sender, receiver) = mpsc::channel(CAPACITY);
    (sender, Pieces { receiver, rest: Bytes::new() })
}

impl Pieces {
    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        if !self.rest.is_empty() {
            return Some(std::mem::take(&mut self.rest));
        }
        self.receiver.recv().await
    }

    /// The next piece, from a thread that may block.
    pub fn blocking_next(&mut self) -> Option<Bytes> {
        if !self.rest.is_empty() {
            return Some(std::mem::take(&mut self.rest));
        }
        self.receiver.blocking_recv()
    }

    /// Wants nothing any more: the reader is no longer held back. A request that was given up may keep its body for as long as its connection
    /// takes to die.
    pub fn close(&mut self) {
        self.receiver.close();
        while self.receiver.try_recv().is_ok() {}
        self.rest = Bytes::new();
    }

    /// The next piece of at most `limit` bytes; what is over stays for the next call.
    fn poll_next(&mut self, cx: &mut Context<'_>, limit: u64) -> Poll<Option<Bytes>> {
        if self.rest.is_empty() {
            match ready!(self.receiver.poll_recv(cx)) {
                Some(piece) => self.rest = piece,
                None => return Poll::Ready(None),
            }
        }
        let length = usize::try_from(limit).unwrap_or(usize::MAX).min(self.rest.len());
        Poll::Ready(Some(self.rest.split_to(length)))
    }
}

/// What moved last, seen from outside the request that moves it.
#[derive(Debug)]
pub struct Watch {
    started: Instant,
    last_ms: AtomicU64,
    stage: AtomicU8,
}

const SENDING: u8 = 0;
/// The reader has nothing: not the peer's fault.
const STARVED: u8 = 1;
/// Everything is sent; the peer is thinking.
const SENT: u8 = 2;

impl Watch {
    /// Starts now.
    pub fn new() -> Self {
        Self { started: Instant::now(), last_ms: AtomicU64::new(0), stage: AtomicU8::new(SENDING) }
    }

    fn touch(&self, stage: u8) {
        let elapsed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(elapsed, Ordering::Relaxed);
        self.stage.store(stage, Ordering::Relaxed);
    }

    /// Returns, with the limit that was reached, once nothing moved for too long: `idle` while sending, `answer` afterwards.
    pub async fn stalled(&self, idle: Duration, answer: Duration) -> Duration {
        loop {
            let (limit, starved) = match self.stage.load(Ordering::Relaxed) {
                SENT => (answer, false),
                STARVED => (idle, true),
                _ => (idle, false),
            };
            let due = self.started + Duration::from_millis(self.last_ms.load(Ordering::Relaxed)) + limit;
            if starved {
                tokio::time::sleep(idle).await;
            } else if due <= Instant::now() {
                return limit;
            } else {
                tokio::time::sleep_until(due).await;
            }
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

/// The next `length` bytes of `pieces` as a request body; `moved` hears of each piece handed to the connection. It fails, and with it the
/// request, when the pieces end early, so that a broken source never looks like a short blob.
pub fn body(
    pieces: Arc<Mutex<Pieces>>,
    length: u64,
    watch: Arc<Watch>,
    mut moved: impl FnMut(u64) + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let mut left = length;
    futures::stream::poll_fn(move |cx| {
        if left == 0 {
            watch.touch(SENT);
            return Poll::Ready(None);
        }
        let polled = pieces.lock().unwrap_or_else(PoisonError::into_inner).poll_next(cx, left);
        match polled {
            Poll::Ready(Some(piece)) => {
                left -= piece.len() as u64;
                watch.touch(if left == 0 { SENT } else { SENDING });
                moved(piece.len() as u64);
                Poll::Ready(Some(Ok(piece)))
            }
            Poll::Ready(None) => {
                left = 0;
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the source ended early"))))
            }
            Poll::Pending => {
                watch.touch(STARVED);
                Poll::Pending
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_takes_exactly_its_share_and_leaves_the_rest() {
        let (sender, pieces) = channel();
        sender.send(Bytes::from_static(b"abcdef")).await.expect("room");
        sender.send(Bytes::from_static(b"gh")).await.expect("room");
        drop(sender);
        let pieces = Arc::new(Mutex::new(pieces));
        let take = |length| {
            body(Arc::clone(&pieces), length, Arc::default(), |_| ())
                .map(|piece| piece.map(|p| p.to_vec()))
                .collect::<Vec<_>>()
        };
        let first: Vec<_> = take(4).await.into_iter().flatten().flatten().collect();
        assert_eq!(first, b"abcd");
        let second: Vec<_> = take(4).await.into_iter().flatten().flatten().collect();
        assert_eq!(second, b"efgh");
        assert!(take(1).await[0].is_err(), "a source that ends early breaks the body");
    }

    #[tokio::test]
    async fn only_a_peer_that_takes_nothing_is_stalled() {
        const IDLE: Duration = Duration::from_millis(40);
        const ANSWER: Duration = Duration::from_millis(80);
        let watch = Watch::new();
        let stalled = |within| tokio::time::timeout(within, watch.stalled(IDLE, ANSWER));
        assert_eq!(stalled(Duration::from_secs(5)).await, Ok(IDLE), "nothing was taken");
        watch.touch(STARVED);
        assert!(stalled(3 * IDLE).await.is_err(), "a reader that brings nothing is not the peer's fault");
        watch.touch(SENT);
        assert!(stalled(ANSWER / 2).await.is_err(), "an answer may take longer than a piece");
        assert_eq!(stalled(Duration::from_secs(5)).await, Ok(ANSWER));
    }
}
