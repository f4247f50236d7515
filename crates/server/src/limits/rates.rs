//! So much a second for each key, with some of it at once.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Keys that are remembered at most (**Invariant 9**).
const MOST: usize = 65_536;
const SECOND: u128 = 1_000_000_000;

/// For each key one number: until when what it took is paid for (the generic cell rate algorithm). A key whose time has passed is as good as unknown.
pub(super) struct Rates {
    a_second: u64,
    burst: u64,
    began: Instant,
    paid_until: Mutex<HashMap<String, u64>>,
}

impl Rates {
    /// `a_second`, and what comes together in `burst` at once.
    pub fn new(a_second: u64, burst: Duration) -> Self {
        let burst = nanos(burst);
        Self { a_second: a_second.max(1), burst, began: Instant::now(), paid_until: Mutex::default() }
    }

    /// Takes so much, or says when it can be had.
    pub fn take(&self, key: &str, amount: u64) -> Result<(), Duration> {
        self.take_at(key, amount, nanos(self.began.elapsed()))
    }

    /// Takes so much in any case; answers how long to wait before the next.
    pub fn charge(&self, key: &str, amount: u64) -> Duration {
        self.charge_at(key, amount, nanos(self.began.elapsed()))
    }

    fn take_at(&self, key: &str, amount: u64, now: u64) -> Result<(), Duration> {
        let mut paid_until = self.paid_until.lock().expect("no panic happens under this lock");
        let after = self.after(&paid_until, key, amount, now);
        match after.saturating_sub(now).checked_sub(self.burst) {
            Some(wait) if wait > 0 => Err(Duration::from_nanos(wait)),
            _ => {
                note(&mut paid_until, key, after, now);
                Ok(())
            }
        }
    }

    fn charge_at(&self, key: &str, amount: u64, now: u64) -> Duration {
        let mut paid_until = self.paid_until.lock().expect("no panic happens under this lock");
        let after = self.after(&paid_until, key, amount, now);
        note(&mut paid_until, key, after, now);
        Duration::from_nanos(after.saturating_sub(now).saturating_sub(self.burst))
    }

    fn after(&self, paid_until: &HashMap<String, u64>, key: &str, amount: u64, now: u64) -> u64 {
        let price = u128::from(amount) * SECOND / u128::from(self.a_second);
        let begins = paid_until.get(key).copied().unwrap_or(0).max(now);
        begins.saturating_add(u64::try_from(price).unwrap_or(u64::MAX))
    }
}

fn note(paid_until: &mut HashMap<String, u64>, key: &str, after: u64, now: u64) {
    if let Some(until) = paid_until.get_mut(key) {
        *until = after;
        return;
    }
    if paid_until.len() >= MOST {
        paid_until.retain(|_, until| *until > now);
        // Still as many: everybody begins anew, rather than each newcomer paying for a walk through all of them.
        if paid_until.len() > MOST / 2 {
            paid_until.clear();
        }
    }
    paid_until.insert(key.to_owned(), after);
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> u64 {
        nanos(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn a_burst_passes_and_then_so_much_a_second() {
        let rates = Rates::new(2, Duration::from_secs(10));
        for _ in 0..20 {
            assert_eq!(rates.take_at("a", 1, at(1.0)), Ok(()));
        }
        assert_eq!(rates.take_at("a", 1, at(1.0)), Err(Duration::from_millis(500)));
        // What was refused was not taken, and others are not concerned.
        assert_eq!(rates.take_at("b", 1, at(1.0)), Ok(()));
        assert_eq!(rates.take_at("a", 1, at(1.5)), Ok(()));
        assert!(rates.take_at("a", 1, at(1.6)).is_err());
        for _ in 0..20 {
            assert_eq!(rates.take_at("a", 1, at(60.0)), Ok(()));
        }
        assert!(rates.take_at("a", 1, at(60.0)).is_err());
    }

    #[test]
    fn bytes_are_waited_for() {
        let rates = Rates::new(1_000_000, Duration::from_secs(1));
        assert_eq!(rates.charge_at("a", 1_000_000, at(5.0)), Duration::ZERO);
        assert_eq!(rates.charge_at("a", 500_000, at(5.0)), Duration::from_millis(500));
        // Another stream of the same key waits for both.
        assert_eq!(rates.charge_at("a", 500_000, at(5.0)), Duration::from_secs(1));
        assert_eq!(rates.charge_at("a", 0, at(7.0)), Duration::ZERO);
    }

    /// **Invariant 9**: what strangers make the server remember is bounded.
    #[test]
    fn a_flood_of_keys_is_not_remembered() {
        let rates = Rates::new(1, Duration::from_secs(10));
        for n in 0..200_000_u64 {
            let _ = rates.take_at(&n.to_string(), 1, n * 1_000);
            assert!(rates.paid_until.lock().expect("no panic").len() <= MOST);
        }
        // Keys whose time has passed make room; whoever used up a limit stays known.
        let rates = Rates::new(1, Duration::from_secs(10));
        assert!((0..10).all(|_| rates.take_at("greedy", 1, at(100.0)).is_ok()));
        for n in 1..MOST {
            let _ = rates.take_at(&n.to_string(), 1, at(1.0));
        }
        assert!(rates.take_at("newcomer", 1, at(100.0)).is_ok());
        assert!(rates.take_at("greedy", 1, at(100.0)).is_err());
    }
}
