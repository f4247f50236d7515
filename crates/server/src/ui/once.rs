//! Secrets that are shown once: kept here between the form that made one and the page that shows it, for whoever sent the form.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::Visit;

/// How long a browser may take to the page that shows it.
const KEPT: Duration = Duration::from_secs(120);
/// Secrets that wait at a time; older ones make room.
const MOST: usize = 1_000;

/// What waits to be shown.
#[derive(Default)]
pub(crate) struct Once(Mutex<Vec<Waiting>>);

struct Waiting {
    id: String,
    identity: String,
    secret: String,
    since: Instant,
}

impl Once {
    fn keep(&self, identity: &str, secret: String) -> String {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let mut waiting = self.0.lock().expect("no panic happens under this lock");
        waiting.retain(|one| one.since.elapsed() < KEPT);
        if waiting.len() >= MOST {
            waiting.remove(0);
        }
        waiting.push(Waiting { id: id.clone(), identity: identity.to_owned(), secret, since: Instant::now() });
        id
    }

    fn take(&self, identity: &str, id: &str) -> Option<String> {
        let mut waiting = self.0.lock().expect("no panic happens under this lock");
        waiting.retain(|one| one.since.elapsed() < KEPT);
        let place = waiting.iter().position(|one| one.id == id && one.identity == identity)?;
        Some(waiting.remove(place).secret)
    }
}

impl Visit<'_> {
    /// Keeps a secret for the next page, which names it by what this answers.
    pub(super) fn keep_once(&self, secret: String) -> String {
        self.app.once.keep(self.actor().identity(), secret)
    }

    /// The secret that the address names, this once.
    pub(super) fn take_once(&self) -> Option<String> {
        self.app.once.take(self.actor().identity(), self.asked("shown")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_once_and_to_whom_it_was_made_for() {
        let once = Once::default();
        let (one, other) = (once.keep("user:a", "x".to_owned()), once.keep("user:a", "y".to_owned()));
        assert_eq!(once.take("user:b", &one), None);
        assert_eq!(once.take("user:a", &one).as_deref(), Some("x"));
        assert_eq!(once.take("user:a", &one), None);
        for _ in 0..MOST {
            once.keep("user:a", "z".to_owned());
        }
        assert_eq!(once.take("user:a", &other), None, "the oldest made room");
    }
}
