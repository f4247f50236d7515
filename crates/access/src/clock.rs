//! The clock that tokens expire by, and tests turn.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock's time, in UTC.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is told to go on.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// Starts at `at`.
    pub fn starting(at: Timestamp) -> Self {
        Self(Mutex::new(at))
    }

    /// Lets `step` pass.
    pub fn advance(&self, step: Duration) {
        let mut now = self.0.lock().expect("no panic happens under this lock");
        *now = after(*now, step);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no panic happens under this lock")
    }
}

/// `from` plus `step`, or the end of time.
pub(crate) fn after(from: Timestamp, step: Duration) -> Timestamp {
    from.checked_add(step).unwrap_or(Timestamp::MAX)
}

/// How much later `to` is than `from`; nothing if it is not.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}
