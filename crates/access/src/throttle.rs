//! Slows down whoever guesses, and nobody else.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;

use crate::clock::{after, between};
use crate::recent::Recent;

/// Wrong attempts of one address at one account that cost no wait.
const FREE: u32 = 10;
/// Wrong attempts of one address at any accounts that cost no wait.
const FREE_OF_ADDRESS: u32 = 50;
/// From so many wrong attempts at an account, from wherever, an address has one that costs no wait.
const SUSPICIOUS: u32 = 100;
const LONGEST: Duration = Duration::from_secs(300);
/// After so long without a wrong attempt, all is forgotten.
const MEMORY: Duration = Duration::from_secs(900);
const REMEMBERED: usize = 100_000;

/// Counts wrong attempts by (account, address), by address and by account; IPv6 addresses by their /64.
///
/// An address that has not failed at an account always has a free attempt there, so that nobody can lock somebody else out: what another
/// address did never makes this one wait.
#[derive(Debug)]
pub(crate) struct Throttle {
    counts: Mutex<Recent<Key, Count>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Pair(String, Option<IpAddr>),
    Address(Option<IpAddr>),
    Account(String),
}

#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    last: Timestamp,
    until: Timestamp,
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self { counts: Mutex::new(Recent::holding(REMEMBERED)) }
    }

    /// Takes an attempt: it counts as wrong until [`forgive`](Self::forgive) or [`withdraw`](Self::withdraw), so that a thousand at once
    /// are no way around it.
    ///
    /// # Errors
    ///
    /// How long to wait, if this address has to.
    pub(crate) fn attempt(&self, account: &str, address: Option<IpAddr>, now: Timestamp) -> Result<(), Duration> {
        let address = network(address);
        let (pair, place) = (Key::Pair(account.to_owned(), address), Key::Address(address));
        let mut counts = self.counts.lock().expect("no panic happens under this lock");
        let waits =
            [&pair, &place].map(|key| counts.fresh(key, now).map_or(Duration::ZERO, |count| between(now, count.until)));
        let wait = waits.into_iter().max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(wait.max(Duration::from_secs(1)));
        }
        let account = Key::Account(account.to_owned());
        let seen = counts.fresh(&account, now).map_or(0, |count| count.failures);
        counts.add(account, u32::MAX, now);
        counts.add(pair, if seen >= SUSPICIOUS { 1 } else { FREE }, now);
        counts.add(place, FREE_OF_ADDRESS, now);
        Ok(())
    }

    /// The attempt was right: this address has no failures at this account any more.
    pub(crate) fn forgive(&self, account: &str, address: Option<IpAddr>) {
        let address = network(address);
        let mut counts = self.counts.lock().expect("no panic happens under this lock");
        counts.remove(&Key::Pair(account.to_owned(), address));
        counts.take_back(&Key::Address(address));
        counts.take_back(&Key::Account(account.to_owned()));
    }

    /// The attempt was not decided: it counts for nothing.
    pub(crate) fn withdraw(&self, account: &str, address: Option<IpAddr>) {
        let address = network(address);
        let mut counts = self.counts.lock().expect("no panic happens under this lock");
        for key in [Key::Pair(account.to_owned(), address), Key::Address(address), Key::Account(account.to_owned())] {
            counts.take_back(&key);
        }
    }
}

impl Recent<Key, Count> {
    fn fresh(&mut self, key: &Key, now: Timestamp) -> Option<Count> {
        self.get(key).copied().filter(|count| between(count.last, now) < MEMORY)
    }

    fn add(&mut self, key: Key, free: u32, now: Timestamp) {
        let failures = self.fresh(&key, now).map_or(0, |count| count.failures).saturating_add(1);
        let wait = match failures.checked_sub(free) {
            None | Some(0) => Duration::ZERO,
            Some(beyond) => Duration::from_secs(1 << (beyond - 1).min(9)).min(LONGEST),
        };
        self.insert(key, Count { failures, last: now, until: after(now, wait) });
    }

    fn take_back(&mut self, key: &Key) {
        if let Some(count) = self.get(key) {
            count.failures = count.failures.saturating_sub(1);
            count.until = count.last;
        }
    }
}

/// Whoever has an IPv6 address has 2^64 of them.
pub(crate) fn network(address: Option<IpAddr>) -> Option<IpAddr> {
    match address?.to_canonical() {
        IpAddr::V6(address) => Some(IpAddr::V6((u128::from(address) >> 64 << 64).into())),
        address @ IpAddr::V4(_) => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn fail(throttle: &Throttle, account: &str, address: &str, times: u32, now: Timestamp) {
        for _ in 0..times {
            throttle.attempt(account, ip(address), now).unwrap();
        }
    }

    #[test]
    fn the_wait_doubles_and_ends() {
        let throttle = Throttle::new();
        let mut now = Timestamp::UNIX_EPOCH;
        fail(&throttle, "alice", "192.0.2.1", FREE, now);
        let mut waits = Vec::new();
        for _ in 0..12 {
            throttle.attempt("alice", ip("192.0.2.1"), now).unwrap();
            let wait = throttle.attempt("alice", ip("192.0.2.1"), now).unwrap_err();
            waits.push(wait.as_secs());
            now = after(now, wait);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    }

    #[test]
    fn what_one_address_does_makes_no_other_wait() {
        let throttle = Throttle::new();
        let now = Timestamp::UNIX_EPOCH;
        for n in 0..250 {
            fail(&throttle, "alice", &format!("198.51.100.{n}"), 1, now);
        }
        throttle.attempt("alice", ip("192.0.2.1"), now).expect("a first attempt from here");
        assert!(throttle.attempt("alice", ip("192.0.2.1"), now).is_ok(), "one is free even now");
        assert!(throttle.attempt("alice", ip("192.0.2.1"), now).is_err(), "and no more: the account is being guessed");
        throttle.attempt("bob", ip("192.0.2.1"), now).expect("another account is no concern");
    }

    #[test]
    fn an_address_that_tries_many_accounts_waits() {
        let throttle = Throttle::new();
        let now = Timestamp::UNIX_EPOCH;
        for n in 0..=FREE_OF_ADDRESS {
            fail(&throttle, &format!("user{n}"), "2001:db8::1", 1, now);
        }
        assert!(throttle.attempt("carol", ip("2001:db8::2:3"), now).is_err(), "the same /64");
        throttle.attempt("carol", ip("2001:db8:0:1::1"), now).expect("another network");
    }

    #[test]
    fn the_right_password_clears_and_time_forgets() {
        let throttle = Throttle::new();
        let now = Timestamp::UNIX_EPOCH;
        fail(&throttle, "alice", "192.0.2.1", FREE, now);
        throttle.forgive("alice", ip("192.0.2.1"));
        fail(&throttle, "alice", "192.0.2.1", FREE + 1, now);
        assert!(throttle.attempt("alice", ip("192.0.2.1"), now).is_err());
        fail(&throttle, "alice", "192.0.2.1", FREE, after(now, MEMORY));
    }

    #[test]
    fn right_passwords_without_end_cost_no_wait() {
        let throttle = Throttle::new();
        for _ in 0..10_000 {
            throttle.attempt("alice", ip("192.0.2.1"), Timestamp::UNIX_EPOCH).unwrap();
            throttle.forgive("alice", ip("192.0.2.1"));
        }
    }
}
