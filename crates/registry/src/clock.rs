//! The domain's clock: leases, expiry and history are decided by it, and tests turn it.

use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock's time, in UTC.
    fn now(&self) -> Timestamp;
    /// The monotonic clock's time since some moment of this process.
    fn since_start(&self) -> Duration;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn since_start(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }
}

/// A clock that stands still until it is told to go on.
#[derive(Debug)]
pub struct ManualClock(Mutex<(Timestamp, Duration)>);

impl ManualClock {
    /// Starts at `at`.
    pub fn starting(at: Timestamp) -> Self {
        Self(Mutex::new((at, Duration::ZERO)))
    }

    /// Lets `step` pass.
    pub fn advance(&self, step: Duration) {
        let mut now = self.0.lock().expect("no panic happens under this lock");
        *now = (after(now.0, step), now.1 + step);
    }

    /// Sets the wall clock, as an administrator would; the monotonic one stands still.
    pub fn set(&self, at: Timestamp) {
        self.0.lock().expect("no panic happens under this lock").0 = at;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().expect("no panic happens under this lock").0
    }

    fn since_start(&self) -> Duration {
        self.0.lock().expect("no panic happens under this lock").1
    }
}

/// `from` plus `step`, or the end of time.
pub(crate) fn after(from: Timestamp, step: Duration) -> Timestamp {
    from.checked_add(step).unwrap_or(Timestamp::MAX)
}

/// `from` minus `step`, or the beginning of time.
pub(crate) fn before(from: Timestamp, step: Duration) -> Timestamp {
    from.checked_sub(step).unwrap_or(Timestamp::MIN)
}
