//! When to try again: exponentially later, with some chance in it, and never before the registry said so.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use crate::error::Error;

/// How often and how late something is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How many times in all, the first one counted. Progress in a transfer starts the count anew.
    pub attempts: u32,
    /// The wait after the first failure; it doubles with each further one.
    pub first: Duration,
    /// No wait is longer, unless the registry asks for it.
    pub longest: Duration,
    /// A registry that asks for more than this is not waited for.
    pub longest_asked: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 6,
            first: Duration::from_millis(300),
            longest: Duration::from_secs(15),
            longest_asked: Duration::from_secs(120),
        }
    }
}

/// The state of one operation that is tried several times.
#[derive(Debug)]
pub struct Backoff {
    policy: Policy,
    failures: u32,
}

impl Backoff {
    /// Nothing was tried yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, failures: 0 }
    }

    /// The last try got further than the ones before it: count anew.
    pub fn progressed(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after `error` before the next try; `None` when there is to be none.
    pub fn after(&mut self, error: &Error) -> Option<Duration> {
        self.failures += 1;
        if !error.is_transient() || self.failures >= self.policy.attempts {
            return None;
        }
        match error.retry_after() {
            Some(asked) if asked > self.policy.longest_asked => None,
            Some(asked) => Some(asked.max(self.policy.first)),
            None => Some(self.jittered()),
        }
    }

    /// Between half and the whole of `first · 2^(failures-1)`, so that many clients do not come back at the same moment.
    fn jittered(&self) -> Duration {
        let doubled = self.policy.first.saturating_mul(1 << (self.failures - 1).min(16));
        let whole = doubled.min(self.policy.longest);
        let random = RandomState::new().build_hasher().finish();
        whole / 2 + whole.mul_f64((random % 1024) as f64 / 2048.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, retry_after: Option<u64>) -> Error {
        let retry_after = retry_after.map(Duration::from_secs);
        Error::Answer { subject: "x".into(), status, code: String::new(), message: String::new(), retry_after }
    }

    #[test]
    fn waits_double_up_to_the_longest_and_end() {
        let policy = Policy { attempts: 5, ..Policy::default() };
        let mut backoff = Backoff::new(policy);
        let waits: Vec<_> = (0..5).map(|_| backoff.after(&answer(503, None))).collect();
        for (n, wait) in waits[..4].iter().enumerate() {
            let whole = policy.first * 2u32.pow(n as u32);
            let wait = wait.expect("a wait");
            assert!(wait >= whole / 2 && wait <= whole, "{n}: {wait:?}");
        }
        assert_eq!(waits[4], None);
        backoff.progressed();
        assert!(backoff.after(&answer(503, None)).is_some());
    }

    #[test]
    fn what_the_registry_asks_is_obeyed_within_reason() {
        let mut backoff = Backoff::new(Policy::default());
        assert_eq!(backoff.after(&answer(429, Some(7))), Some(Duration::from_secs(7)));
        assert_eq!(backoff.after(&answer(429, Some(7200))), None);
        assert_eq!(backoff.after(&answer(403, None)), None);
    }
}
