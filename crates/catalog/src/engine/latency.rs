//! How long units of work take, from their call to their answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the classes, in seconds. A commit takes a few milliseconds on a good disk, and a second on one that is in trouble.
pub const LATENCY_CLASSES: [f64; 14] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How long units of one kind took since the catalog was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// Units in each class of [`LATENCY_CLASSES`], without those of the classes before it.
    pub classes: [u64; LATENCY_CLASSES.len()],
    /// Units that took longer than the last class.
    pub longer: u64,
    /// Seconds of all of them.
    pub seconds_total: f64,
}

impl Latency {
    /// All units.
    pub fn count(&self) -> u64 {
        self.classes.iter().sum::<u64>() + self.longer
    }
}

#[derive(Debug, Default)]
pub(super) struct LatencyCounter {
    classes: [AtomicU64; LATENCY_CLASSES.len()],
    longer: AtomicU64,
    nanos: AtomicU64,
}

impl LatencyCounter {
    pub fn took(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let class = LATENCY_CLASSES.iter().position(|end| seconds <= *end);
        class.map_or(&self.longer, |class| &self.classes[class]).fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn latency(&self) -> Latency {
        Latency {
            classes: std::array::from_fn(|class| self.classes[class].load(Ordering::Relaxed)),
            longer: self.longer.load(Ordering::Relaxed),
            seconds_total: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_counted_in_the_class_that_it_fits_into() {
        let counter = LatencyCounter::default();
        for micros in [1, 100, 101, 5_000_000, 5_000_001] {
            counter.took(Duration::from_micros(micros));
        }
        let latency = counter.latency();
        assert_eq!((latency.classes[0], latency.classes[1]), (2, 1));
        assert_eq!((latency.classes[LATENCY_CLASSES.len() - 1], latency.longer), (1, 1));
        assert_eq!(latency.count(), 5);
        assert!((latency.seconds_total - 10.000_203).abs() < 1e-9, "{}", latency.seconds_total);
    }
}
