//! Passwords: Argon2id, hashed away from the runtime on one core, and verdicts that are remembered shortly.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use aws_lc_rs::{hmac, rand};
use jiff::Timestamp;
use tokio::sync::{OwnedMutexGuard, Semaphore};

use crate::clock::between;
use crate::recent::Recent;

/// How long a verdict is remembered.
const REMEMBER: Duration = Duration::from_secs(300);
/// So many passwords may wait to be hashed; more are told to come again.
const WAITING: usize = 128;
/// A bcrypt hash of a greater cost takes seconds each and is not tried.
pub(crate) const MAX_BCRYPT_COST: u32 = 15;
/// Passwords are neither too short to be one nor so long that hashing them is a service.
const LENGTHS: std::ops::RangeInclusive<usize> = 8..=1024;

/// A stored hash, or the lack of one that must cost the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// `$argon2id$…`, of an account here.
    Argon2(String),
    /// `$2y$…`, of a password file.
    Bcrypt(String),
}

impl Stored {
    /// A hash of the same cost that no password has.
    pub(crate) fn of_nobody(bcrypt_cost: Option<u32>) -> Self {
        match bcrypt_cost {
            None => Self::Argon2(NOBODY.to_owned()),
            Some(cost) => Self::Bcrypt(format!("$2y${cost:02}$......................{}", ".".repeat(31))),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Argon2(text) | Self::Bcrypt(text) => text,
        }
    }

    fn matches(&self, password: &str) -> bool {
        match self {
            Self::Argon2(text) => PasswordHash::new(text)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()),
            Self::Bcrypt(text) => bcrypt::verify(password, text).unwrap_or(false),
        }
    }
}

/// With the parameters of [`hash`], so that looking at it takes as long.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlzIQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Why no verdict came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// The turn of one who asks a question.
pub(crate) type Alone = OwnedMutexGuard<()>;

/// Checks passwords. At most one core hashes at a time; the same question asked twice is hashed once.
#[derive(Debug)]
pub(crate) struct Passwords {
    core: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Keys what is remembered, so that no password can be found in memory by hashing guesses from outside.
    key: hmac::Key,
    verdicts: Mutex<Recent<[u8; 32], (bool, Timestamp)>>,
    asked: Mutex<HashMap<[u8; 32], Weak<tokio::sync::Mutex<()>>>>,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        let mut key = [0; 32];
        rand::fill(&mut key).expect("the operating system gives random bytes");
        Self {
            core: Arc::new(Semaphore::new(1)),
            waiting: Arc::new(Semaphore::new(WAITING)),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            verdicts: Mutex::new(Recent::holding(20_000)),
            asked: Mutex::new(HashMap::new()),
        }
    }

    /// The verdict, if it is remembered. It belongs to this very hash: a changed password has none.
    pub(crate) fn remembered(&self, user: &str, stored: &Stored, password: &str, now: Timestamp) -> Option<bool> {
        self.recall(&self.question(user, stored, password), now)
    }

    /// Waits until nobody else asks this question, and keeps others from it meanwhile: whoever comes second finds the first one's verdict.
    pub(crate) async fn alone(&self, user: &str, stored: &Stored, password: &str) -> Alone {
        self.turn(self.question(user, stored, password)).lock_owned().await
    }

    /// Whether this is the password. Asked by whoever is [`alone`](Self::alone) with the question.
    pub(crate) async fn verify(
        &self,
        user: &str,
        stored: &Stored,
        password: &str,
        now: Timestamp,
    ) -> Result<bool, Busy> {
        let question = self.question(user, stored, password);
        if let Some(verdict) = self.recall(&question, now) {
            return Ok(verdict);
        }
        let (stored, password) = (stored.clone(), password.to_owned());
        let verdict = self.hashing(move || stored.matches(&password)).await?;
        self.verdicts.lock().expect("no panic happens under this lock").insert(question, (verdict, now));
        Ok(verdict)
    }

    /// Remembers that this was right, where somebody else (a directory) said so.
    pub(crate) fn remember(&self, user: &str, source: &Stored, password: &str, now: Timestamp) {
        let question = self.question(user, source, password);
        self.verdicts.lock().expect("no panic happens under this lock").insert(question, (true, now));
    }

    /// The hash to store.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, Busy> {
        let password = password.to_owned();
        self.hashing(move || hash(&password)).await
    }

    async fn hashing<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| Busy)?;
        let core = Arc::clone(&self.core).acquire_owned().await.map_err(|_| Busy)?;
        // The permits travel with the work: a caller that goes away must not let a second hash begin beside the first.
        let work = move || {
            let _permits = (waiting, core);
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }

    fn question(&self, user: &str, stored: &Stored, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [user, stored.text(), password] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part.as_bytes());
        }
        context.sign().as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    fn recall(&self, question: &[u8; 32], now: Timestamp) -> Option<bool> {
        let mut verdicts = self.verdicts.lock().expect("no panic happens under this lock");
        verdicts.get(question).copied().filter(|(_, at)| between(*at, now) < REMEMBER).map(|(verdict, _)| verdict)
    }

    fn turn(&self, question: [u8; 32]) -> Arc<tokio::sync::Mutex<()>> {
        let mut asked = self.asked.lock().expect("no panic happens under this lock");
        if let Some(turn) = asked.get(&question).and_then(Weak::upgrade) {
            return turn;
        }
        if asked.len() > 2 * WAITING {
            asked.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        asked.insert(question, Arc::downgrade(&turn));
        turn
    }
}

/// Says what is wrong with a new password, if anything.
pub(crate) fn refuse(name: &str, password: &str) -> Option<String> {
    if !LENGTHS.contains(&password.len()) {
        return Some(format!("a password has {} to {} bytes", LENGTHS.start(), LENGTHS.end()));
    }
    if password.contains(['\0', '\n', '\r']) {
        return Some("a password has no line breaks and no zero bytes".to_owned());
    }
    (password == name).then(|| "a password is not the user's name".to_owned())
}

fn hash(password: &str) -> String {
    Argon2::default().hash_password(password.as_bytes()).expect("the parameters are valid").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `htpasswd -Bbn -C 4 alice PASSWORD`, the ten digits twenty times.
    const OF_APACHE: &str = "$2y$04$oHHFondcSSb8UxRrR6/DZO0.oWyganD4dIGflql4j7/dFmfwAhNai";

    #[tokio::test]
    async fn the_right_password_and_no_other() {
        let passwords = Passwords::new();
        let stored = Stored::Argon2(passwords.hash("correct horse").await.unwrap());
        assert!(stored.text().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(passwords.verify("alice", &stored, "correct horse", now).await, Ok(true));
        assert_eq!(passwords.verify("alice", &stored, "correct hors", now).await, Ok(false));
        assert_eq!(passwords.verify("alice", &stored, "", now).await, Ok(false));
    }

    #[tokio::test]
    async fn a_verdict_belongs_to_its_user_password_and_hash() {
        let passwords = Passwords::new();
        let stored = Stored::Argon2(passwords.hash("correct horse").await.unwrap());
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(passwords.remembered("alice", &stored, "correct horse", now), None);
        passwords.verify("alice", &stored, "correct horse", now).await.unwrap();
        assert_eq!(passwords.remembered("alice", &stored, "correct horse", now), Some(true));
        assert_eq!(passwords.remembered("bob", &stored, "correct horse", now), None);
        assert_eq!(passwords.remembered("alice", &stored, "other", now), None);
        let changed = Stored::Argon2(passwords.hash("correct horse").await.unwrap());
        assert_eq!(passwords.remembered("alice", &changed, "correct horse", now), None);
        let later = crate::clock::after(now, REMEMBER);
        assert_eq!(passwords.remembered("alice", &stored, "correct horse", later), None);
    }

    #[tokio::test]
    async fn cve_2023_20902_nobody_costs_as_much_as_somebody_and_has_no_password() {
        let passwords = Passwords::new();
        let somebody = Stored::Argon2(passwords.hash("correct horse").await.unwrap());
        let time = async |stored: &Stored, password: &str| {
            let started = std::time::Instant::now();
            assert!(!passwords.verify("x", stored, password, Timestamp::UNIX_EPOCH).await.unwrap());
            started.elapsed()
        };
        let nobody = Stored::of_nobody(None);
        let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
        for n in 0..5 {
            known = known.min(time(&somebody, &format!("wrong {n}")).await);
            unknown = unknown.min(time(&nobody, &format!("wrong {n}")).await);
        }
        assert!(unknown * 2 > known && known * 2 > unknown, "{known:?} {unknown:?}");
    }

    #[tokio::test]
    async fn nobody_in_a_password_file_costs_as_much_too() {
        let somebody = Stored::Bcrypt(bcrypt::hash("correct horse", 8).unwrap());
        let nobody = Stored::of_nobody(Some(8));
        let time = |stored: &Stored| {
            let started = std::time::Instant::now();
            assert!(!stored.matches("wrong"));
            started.elapsed()
        };
        let known = (0..3).map(|_| time(&somebody)).min().unwrap();
        let unknown = (0..3).map(|_| time(&nobody)).min().unwrap();
        assert!(unknown * 2 > known && known * 2 > unknown, "{known:?} {unknown:?}");
    }

    #[tokio::test]
    async fn a_hostile_hash_is_no_match_and_no_panic() {
        let hostile =
            ["", "$", "$2y$", "$2y$99$x", "$argon2id$", "$argon2id$v=19$m=4294967295,t=1,p=1$AAAA$AAAA", "plain"];
        for text in hostile {
            assert!(!Stored::Argon2(text.to_owned()).matches("x"), "{text}");
            assert!(!Stored::Bcrypt(text.to_owned()).matches("x"), "{text}");
        }
    }

    /// What `htpasswd -B` and Distribution do: bcrypt has 72 bytes, and whoever has a longer password there logs in with it.
    #[test]
    fn a_password_files_long_password_counts_to_its_72nd_byte_as_it_does_for_apache() {
        let long = "0123456789".repeat(20);
        let of_apache = Stored::Bcrypt(OF_APACHE.to_owned());
        assert!(of_apache.matches(&long), "made by htpasswd -Bbn of all 200 bytes");
        assert!(of_apache.matches(&long[..72]) && of_apache.matches(&format!("{}other", &long[..72])));
        for wrong in [&long[..71], &format!("x{}", &long[1..]), ""] {
            assert!(!of_apache.matches(wrong), "{wrong}");
        }
        let umlauts = "ä".repeat(100);
        let stored = Stored::Bcrypt(bcrypt::hash(&umlauts, 4).unwrap());
        assert!(stored.matches(&umlauts) && !stored.matches(&"ä".repeat(35)), "cut between bytes of a letter or not");
        for length in [71, 72, 73, 1_000, 16_384] {
            let stored = Stored::Bcrypt(bcrypt::hash("\0".repeat(length), 4).unwrap());
            assert!(stored.matches(&"\0".repeat(length)) && !stored.matches(&"\u{1}".repeat(length)), "{length}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_same_question_is_hashed_once() {
        let passwords = Arc::new(Passwords::new());
        let stored = Stored::Argon2(passwords.hash("correct horse").await.unwrap());
        let started = std::time::Instant::now();
        let ask = || {
            let (passwords, stored) = (Arc::clone(&passwords), stored.clone());
            tokio::spawn(async move {
                let _alone = passwords.alone("alice", &stored, "correct horse").await;
                passwords.verify("alice", &stored, "correct horse", Timestamp::UNIX_EPOCH).await
            })
        };
        let many: Vec<_> = (0..1_000).map(|_| ask()).collect();
        for one in many {
            assert_eq!(one.await.unwrap(), Ok(true));
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_is_told_to_come_again() {
        let passwords = Arc::new(Passwords::new());
        let stored = Stored::of_nobody(None);
        let ask = |n: usize| {
            let (passwords, stored) = (Arc::clone(&passwords), stored.clone());
            tokio::spawn(async move { passwords.verify("x", &stored, &n.to_string(), Timestamp::UNIX_EPOCH).await })
        };
        let many: Vec<_> = (0..3 * WAITING).map(ask).collect();
        let mut busy = 0;
        for one in many {
            busy += usize::from(one.await.unwrap() == Err(Busy));
        }
        assert!(busy > 0, "the queue has an end");
    }

    #[test]
    fn a_new_password_is_neither_tiny_nor_the_name() {
        assert_eq!(refuse("alice", "correct horse"), None);
        assert!(refuse("alice", "short").is_some());
        assert!(refuse("administrator", "administrator").is_some());
        assert!(refuse("alice", &"x".repeat(1025)).is_some());
        assert!(refuse("alice", "two\nlines of it").is_some());
    }
}
