//! Progress, and its absence: who waits for whom on a connection, and for how long.
//!
//! A transfer may take hours, so nothing is measured from its start. A peer is dropped when the server waits for it and it neither sends nor takes a
//! byte; never while it waits for the server.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::config::Limits;
use crate::drain::{Drain, Phase};

/// Writes and reads of HTTP/2 below this length are pings, settings and window updates: they carry no one's data.
const CHATTER: usize = 64;
/// During a drain, how long a connection may be without a request: longer than a client pauses between the requests of a push.
const IDLE_IN_DRAIN: Duration = Duration::from_secs(1);
/// The watch looks at least this often.
const LONGEST_TICK: Duration = Duration::from_secs(5);

/// Why a connection was dropped.
#[derive(Debug)]
pub(super) enum Reason {
    /// The head of a request did not come to its end in time.
    SlowHead,
    /// No request came; during a drain that is soon.
    Idle,
    /// The peer neither sent nor took a byte.
    Stalled,
}

/// What is known about a connection's progress. All times are milliseconds since it was accepted.
pub(super) struct Pace {
    accepted: Instant,
    header: u64,
    idle: u64,
    stall: u64,
    /// When a byte was last sent or taken.
    progress: AtomicU64,
    /// When the head that is being read began, plus one; 0 between requests.
    head: AtomicU64,
    /// Requests in flight.
    exchanges: AtomicUsize,
    /// Of these, those that wait for the server.
    ours: AtomicUsize,
    /// Of these, those without an answer yet.
    handlers: AtomicUsize,
    write_blocked: AtomicBool,
    http2: AtomicBool,
    /// The last answer is out, and what the peer still sends is thrown away.
    lingering: AtomicBool,
}

impl Pace {
    /// A connection that was accepted now; its first head is awaited.
    pub fn new(limits: &Limits) -> Self {
        Self {
            accepted: Instant::now(),
            header: millis(limits.header_timeout),
            idle: millis(limits.idle_timeout),
            stall: millis(limits.stall_timeout),
            progress: AtomicU64::new(0),
            head: AtomicU64::new(1),
            exchanges: AtomicUsize::new(0),
            ours: AtomicUsize::new(0),
            handlers: AtomicUsize::new(0),
            write_blocked: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            lingering: AtomicBool::new(false),
        }
    }

    /// The preface came.
    pub fn speaks_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
    }

    /// Bytes came.
    pub fn has_read(&self, count: usize) {
        let http2 = self.http2.load(Ordering::Relaxed);
        if count == 0 || (http2 && count < CHATTER) {
            return;
        }
        self.progressed();
        if !http2 && self.exchanges.load(Ordering::Relaxed) == 0 {
            let begun = self.now() + 1;
            let _ = self.head.compare_exchange(0, begun, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// A write was tried.
    pub fn has_written(&self, outcome: &Poll<io::Result<usize>>) {
        self.write_blocked.store(outcome.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(count)) = outcome
            && (*count >= CHATTER || !self.http2.load(Ordering::Relaxed))
        {
            self.progressed();
        }
    }

    /// The connection ends as soon as its peer has read the last answer.
    pub fn lingers(&self) {
        self.lingering.store(true, Ordering::Relaxed);
    }

    /// Whether the last answer is on its way to a peer that may still be sending.
    pub fn is_lingering(&self) -> bool {
        self.lingering.load(Ordering::Relaxed)
    }

    /// What was written is on its way, or waits for the peer: TLS keeps a record of its own.
    pub fn has_flushed(&self, outcome: &Poll<io::Result<()>>) {
        self.write_blocked.store(outcome.is_pending(), Ordering::Relaxed);
    }

    /// Whether a request has no answer yet.
    pub fn has_handlers(&self) -> bool {
        self.handlers.load(Ordering::Relaxed) > 0
    }

    /// Resolves when the connection should be dropped.
    pub async fn watch(&self, drain: &Drain) -> Reason {
        let shortest = self.header.min(self.idle).min(self.stall);
        let tick = Duration::from_millis((shortest / 4).max(5)).min(LONGEST_TICK);
        loop {
            let (now, draining) = (self.now(), drain.has_begun());
            let tick = if draining { tick.min(IDLE_IN_DRAIN / 4) } else { tick };
            let wait = match self.deadline(tick, draining) {
                Some((deadline, reason)) if deadline <= now => return reason,
                Some((deadline, _)) => Duration::from_millis(deadline - now).min(tick),
                None => tick,
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = drain.reached(Phase::Announced), if !draining => {}
            }
        }
    }

    /// When the connection is to be dropped if nothing happens; never while the peer waits for the server.
    fn deadline(&self, tick: Duration, draining: bool) -> Option<(u64, Reason)> {
        let progress = self.progress.load(Ordering::Relaxed);
        if self.write_blocked.load(Ordering::Relaxed) {
            return Some((progress + self.stall, Reason::Stalled));
        }
        if self.exchanges.load(Ordering::Relaxed) > 0 {
            // A handler that reads a body learns of the stall first, and notes how far it came.
            let wait = self.stall + 2 * millis(tick);
            return (self.ours.load(Ordering::Relaxed) == 0).then_some((progress + wait, Reason::Stalled));
        }
        match self.head.load(Ordering::Relaxed) {
            // Whoever keeps a connection for later would keep the server from ending until the drain's limit.
            _ if draining => Some((progress + self.idle.min(millis(IDLE_IN_DRAIN)), Reason::Idle)),
            0 => Some((progress + self.idle, Reason::Idle)),
            begun => Some((begun - 1 + self.header, Reason::SlowHead)),
        }
    }

    fn progressed(&self) {
        self.progress.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        millis(self.accepted.elapsed())
    }
}

/// A request in flight, from its head to the end of its answer.
pub(super) struct Exchange {
    pace: Arc<Pace>,
    is_ours: AtomicBool,
    has_handler: AtomicBool,
}

impl Exchange {
    /// A head was read; the server's turn.
    pub fn begin(pace: &Arc<Pace>) -> Arc<Self> {
        pace.head.store(0, Ordering::Relaxed);
        pace.exchanges.fetch_add(1, Ordering::Relaxed);
        pace.ours.fetch_add(1, Ordering::Relaxed);
        pace.handlers.fetch_add(1, Ordering::Relaxed);
        let (is_ours, has_handler) = (AtomicBool::new(true), AtomicBool::new(true));
        Arc::new(Self { pace: Arc::clone(pace), is_ours, has_handler })
    }

    /// The handler has ended.
    pub fn is_answered(&self) {
        if self.has_handler.swap(false, Ordering::Relaxed) {
            self.pace.handlers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whose turn it is.
    fn turn(&self, ours: bool) {
        if self.is_ours.swap(ours, Ordering::Relaxed) == ours {
            return;
        }
        if ours {
            self.pace.ours.fetch_add(1, Ordering::Relaxed);
        } else {
            self.pace.progressed();
            self.pace.ours.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.pace.progressed();
        self.is_answered();
        if *self.is_ours.get_mut() {
            self.pace.ours.fetch_sub(1, Ordering::Relaxed);
        }
        self.pace.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request's body that breaks off when its sender stalls or the server is cut, so that the handler can note how far it came.
pub(super) struct PacedRequest {
    inner: Incoming,
    exchange: Arc<Exchange>,
    limit: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    is_waiting: bool,
}

impl PacedRequest {
    /// Wraps the body of an exchange.
    pub fn new(inner: Incoming, exchange: Arc<Exchange>, cut: CancellationToken) -> Self {
        let limit = Duration::from_millis(exchange.pace.stall);
        Self { inner, exchange, limit, stalled: None, cut: Box::pin(cut.cancelled_owned()), is_waiting: false }
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if !self.is_waiting {
            self.is_waiting = true;
            self.exchange.turn(false);
            let deadline = Instant::now() + self.limit;
            match &mut self.stalled {
                Some(sleep) => sleep.as_mut().reset(deadline),
                None => self.stalled = Some(Box::pin(tokio::time::sleep_until(deadline))),
            }
        }
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(io::Error::new(io::ErrorKind::ConnectionAborted, "the server is stopping"));
        }
        let stalled = self.stalled.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
        if stalled { Poll::Ready(io::ErrorKind::TimedOut.into()) } else { Poll::Pending }
    }
}

impl http_body::Body for PacedRequest {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => frame.map(|frame| frame.map_err(io::Error::other)),
            Poll::Pending => match self.poll_patience(cx) {
                Poll::Ready(error) => Some(Err(error)),
                Poll::Pending => return Poll::Pending,
            },
        };
        self.is_waiting = false;
        self.exchange.pace.progressed();
        self.exchange.turn(true);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for PacedRequest {
    fn drop(&mut self) {
        // A handler that does not want the rest waits for nobody.
        if self.is_waiting && self.exchange.has_handler.load(Ordering::Relaxed) {
            self.exchange.turn(true);
        }
    }
}

/// An answer's body. While it has nothing to give, the peer waits for the server; once it gave something, the server waits for the peer to take it.
pub(super) struct PacedAnswer {
    inner: Body,
    exchange: Arc<Exchange>,
}

impl PacedAnswer {
    /// Wraps the body of an exchange's answer.
    pub fn new(inner: Body, exchange: Arc<Exchange>) -> Self {
        Self { inner, exchange }
    }
}

impl http_body::Body for PacedAnswer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        self.exchange.turn(frame.is_pending());
        if frame.is_ready() {
            self.exchange.pace.progressed();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
