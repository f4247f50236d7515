//! Stopping without cutting anybody off who need not be (behaviour §7).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time that handlers get to write down how far they came, after their clients were cut off.
const SETTLE: Duration = Duration::from_secs(5);

/// How far a drain is. Each step includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// None has begun.
    Serving,
    /// `/readyz` fails, so that nobody sends more; whoever comes is still let in.
    Announced,
    /// No new connections; requests on open ones go on.
    Closing,
    /// Bodies that are being read break off, and their handlers note how far they came.
    Cutting,
    /// Everything is dropped.
    Over,
}

/// A handle to begin, hasten and watch the server's drain.
#[derive(Clone)]
pub struct Drain {
    phase: Arc<watch::Sender<Phase>>,
    cut: CancellationToken,
    delay: Duration,
    timeout: Duration,
}

impl Drain {
    /// Both times count from the beginning of the drain.
    pub(crate) fn new(delay: Duration, timeout: Duration) -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Serving)), cut: CancellationToken::new(), delay, timeout }
    }

    /// Begins: `/readyz` fails from now on. A second call changes nothing.
    pub fn begin(&self) {
        self.advance(Phase::Announced);
    }

    /// Ends at once (a second signal): uploads are still checkpointed.
    pub fn hasten(&self) {
        self.advance(Phase::Cutting);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.phase.borrow() > Phase::Serving
    }

    /// Resolves once the phase is reached.
    pub(crate) async fn reached(&self, phase: Phase) {
        let mut watched = self.phase.subscribe();
        // The sender lives as long as `self`.
        let _ = watched.wait_for(|now| *now >= phase).await;
    }

    /// Whether bodies break off because the server stops.
    pub(crate) fn is_cutting(&self) -> bool {
        self.cut.is_cancelled()
    }

    /// Cancelled when bodies must break off.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.cut
    }

    /// Goes through all phases once it has begun; `idle` resolves when no connection is left.
    pub(crate) async fn run<I: Future<Output = ()>>(&self, idle: impl Fn() -> I) {
        self.reached(Phase::Announced).await;
        let begun = Instant::now();
        tokio::select! {
            () = tokio::time::sleep_until(begun + self.delay) => {}
            () = self.reached(Phase::Closing) => {}
        }
        self.advance(Phase::Closing);
        tokio::select! {
            () = idle() => {}
            () = tokio::time::sleep_until(begun + self.timeout) => {}
            () = self.reached(Phase::Cutting) => {}
        }
        self.advance(Phase::Cutting);
        let _ = tokio::time::timeout(SETTLE, idle()).await;
        self.advance(Phase::Over);
    }

    fn advance(&self, to: Phase) {
        let advanced = self.phase.send_if_modified(|now| {
            let further = to > *now;
            if further {
                *now = to;
            }
            further
        });
        if advanced {
            tracing::info!(phase = ?to, "draining");
        }
        if to >= Phase::Cutting {
            self.cut.cancel();
        }
    }
}
