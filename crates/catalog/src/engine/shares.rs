//! What may be kept in memory of what was read: a number for each share of the catalog, odd while a commit that changes the share is under way.
//!
//! The writer makes it odd before the commit and even after it, whatever came of it. Who read while the number was even, and finds it unchanged, knows
//! that nothing of the share was committed since, and that nobody has seen anything newer: what he kept is what the catalog would answer now.

use std::cell::RefCell;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many shares: a change costs the readers of a 256th of what there is.
const SHARES: usize = 256;

/// The tables that a pull reads.
const WATCHED: [&str; 3] = ["tags", "manifests", "manifest_bytes"];

/// Which shares a unit of work changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Changed {
    /// None.
    #[default]
    Nothing,
    /// This one.
    One(usize),
    /// Any of them.
    All,
}

/// The numbers.
#[derive(Debug)]
pub(crate) struct Shares(Box<[AtomicU64; SHARES]>);

impl Default for Shares {
    fn default() -> Self {
        Self(Box::new([const { AtomicU64::new(0) }; SHARES]))
    }
}

impl Shares {
    /// The number of the share that `key` falls into, unless it is being changed.
    pub fn number(&self, key: &impl Hash) -> Option<u64> {
        Some(self.0[share(key)].load(Ordering::Acquire)).filter(|number| number % 2 == 0)
    }

    /// Makes the numbers of what `units` changed odd until the answer is dropped.
    pub(super) fn changing<'c>(&self, units: impl Iterator<Item = &'c Changed>) -> Changing<'_> {
        let mut which = Vec::new();
        for changed in units {
            match changed {
                Changed::Nothing => {}
                Changed::One(share) => which.push(*share),
                Changed::All => {
                    which = (0..SHARES).collect();
                    break;
                }
            }
        }
        which.sort_unstable();
        which.dedup();
        let changing = Changing { shares: self, which };
        changing.count();
        changing
    }
}

/// A commit under way.
pub(super) struct Changing<'s> {
    shares: &'s Shares,
    which: Vec<usize>,
}

impl Changing<'_> {
    fn count(&self) {
        for share in &self.which {
            self.shares.0[*share].fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.count();
    }
}

fn share(key: &impl Hash) -> usize {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
    usize::try_from(hash % SHARES as u64).expect("fewer than fit")
}

thread_local! {
    /// What the unit that runs on this thread has changed so far, and what it said of itself.
    static UNIT: RefCell<(Changed, Option<Changed>)> = const { RefCell::new((Changed::Nothing, None)) };
}

/// Says from within a unit that all it changes of what pulls read is in the share of `key`. A unit that says nothing changes any.
pub(crate) fn within(key: &impl Hash) {
    UNIT.with_borrow_mut(|(_, said)| *said = Some(Changed::One(share(key))));
}

/// Takes back what the unit said: what it changes may be in any share.
pub(crate) fn everywhere() {
    UNIT.with_borrow_mut(|(_, said)| *said = None);
}

/// Says from within a unit that it changes no column that a pull reads.
pub(crate) fn unseen() {
    UNIT.with_borrow_mut(|(_, said)| *said = Some(Changed::Nothing));
}

/// Notes a statement of the unit that runs on this thread.
pub(super) fn note(sql: &str) {
    UNIT.with_borrow_mut(|(changed, _)| {
        if *changed == Changed::Nothing && changes_pulls(sql) {
            *changed = Changed::All;
        }
    });
}

/// Runs a unit; answers what it changed too.
pub(super) fn watch<T>(run: impl FnOnce() -> T) -> (T, Changed) {
    UNIT.set((Changed::Nothing, None));
    let answer = run();
    match UNIT.take() {
        (Changed::Nothing, _) => (answer, Changed::Nothing),
        (changed, said) => (answer, said.unwrap_or(changed)),
    }
}

/// Whether a statement may change what a pull reads: it writes, and names one of the tables, or changes or removes a repository.
fn changes_pulls(sql: &str) -> bool {
    let sql = sql.trim_start();
    if sql.starts_with("SELECT") {
        return false;
    }
    let words = || sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words().any(|word| WATCHED.contains(&word))
        || (!sql.starts_with("INSERT") && words().any(|word| word == "repositories"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_change_what_a_pull_reads_are_known() {
        for sql in [
            "INSERT INTO tags (repository_id, name) VALUES ($1, $2)",
            "\n   UPDATE manifests SET incomplete = 0 WHERE id = $1",
            "DELETE FROM tags WHERE repository_id = $1 RETURNING digest_id",
            "DELETE FROM manifest_bytes WHERE digest = $1",
            "DELETE FROM repositories WHERE id = $1",
            "WITH gone AS (DELETE FROM tags RETURNING name) SELECT name FROM gone",
        ] {
            assert!(changes_pulls(sql), "{sql}");
        }
        for sql in [
            "SELECT name FROM tags",
            "INSERT INTO tag_events (name) VALUES ($1)",
            "INSERT INTO repositories (name) VALUES ($1)",
            "DELETE FROM leases WHERE until < $1",
        ] {
            assert!(!changes_pulls(sql), "{sql}");
        }
    }

    #[test]
    fn a_number_is_hidden_during_a_commit_and_another_after_it() {
        let shares = Shares::default();
        let ((), one) = watch(|| {
            within(&"a");
            note("UPDATE tags SET name = $1");
        });
        let ((), all) = watch(|| note("UPDATE tags SET name = $1"));
        let ((), none) = watch(|| {
            within(&"a");
            note("SELECT name FROM tags");
        });
        let ((), hidden) = watch(|| {
            unseen();
            note("UPDATE manifests SET pulled_at = $1");
        });
        assert_eq!((&all, &none, &hidden), (&Changed::All, &Changed::Nothing, &Changed::Nothing));
        let before = [shares.number(&"a"), shares.number(&"b")];
        assert_ne!(share(&"a"), share(&"b"), "two shares");
        let changing = shares.changing([&one, &one, &none].into_iter());
        assert_eq!([shares.number(&"a"), shares.number(&"b")], [None, before[1]]);
        drop(changing);
        let after = [shares.number(&"a"), shares.number(&"b")];
        assert!(after[0].is_some() && after[0] != before[0] && after[1] == before[1], "{after:?}");
        drop(shares.changing([&all].into_iter()));
        assert_ne!(shares.number(&"b"), before[1]);
    }
}
