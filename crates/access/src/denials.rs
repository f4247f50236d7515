//! Denials on their way to the audit, folded: one row per party, action, repository and minute (behaviour §4).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;

use jiff::Timestamp;
use larder_catalog::model::access::{AuditEntry, Outcome};
use larder_catalog::model::{Origin, Stamp};
use larder_oci::RepositoryName;

use crate::throttle::network;

/// Kinds of denials that are held until the next second; more are only counted in the last one.
const HELD: usize = 10_000;

/// Something was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Who asked.
    pub identity: String,
    /// With which credential's id.
    pub credential: Option<String>,
    /// From where.
    pub address: Option<IpAddr>,
    /// What was asked for: `pull`, `push`, `login`, `api`.
    pub action: String,
    /// Where.
    pub repository: Option<RepositoryName>,
    /// About what: a tag, a digest, an account. Never a secret, and nothing that a stranger may have mistyped into a field for a name.
    pub object: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
}

/// Those that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<HashMap<Key, AuditEntry>>);

type Key = (String, String, Option<RepositoryName>, i64);

impl Denials {
    pub(crate) fn add(&self, denial: Denial, now: Timestamp) {
        let fold = fold_key(&denial);
        let minute = now.as_second().div_euclid(60);
        let mut held = self.0.lock().expect("no panic happens under this lock");
        let key = (fold, denial.action.clone(), denial.repository.clone(), minute);
        if let Some(entry) = held.get_mut(&key) {
            entry.count = entry.count.saturating_add(1);
            return;
        }
        if held.len() >= HELD {
            // Bounded (Invariant 9): what a flood of different denials was about is lost, that it came is not.
            let key = ("flood".to_owned(), "flood".to_owned(), None, minute);
            let entry = entry(&Denial { repository: None, object: None, action: "flood".to_owned(), ..denial }, now);
            held.entry(key).and_modify(|flood| flood.count = flood.count.saturating_add(1)).or_insert(entry);
            return;
        }
        held.insert(key, entry(&denial, now));
    }

    /// All of them, each with what it folds by.
    pub(crate) fn take(&self) -> Vec<(AuditEntry, String)> {
        let held = std::mem::take(&mut *self.0.lock().expect("no panic happens under this lock"));
        held.into_iter().map(|((fold, ..), entry)| (entry, fold)).collect()
    }
}

/// Somebody known by the name, a stranger by the network.
fn fold_key(denial: &Denial) -> String {
    match network(denial.address) {
        Some(network) if denial.identity == "anonymous" => network.to_string(),
        _ => denial.identity.clone(),
    }
}

fn entry(denial: &Denial, now: Timestamp) -> AuditEntry {
    let origin = Origin { credential: denial.credential.clone(), address: denial.address.map(|at| at.to_string()) };
    let stamp = Stamp { identity: denial.identity.clone(), at: now, request_id: denial.request_id.clone(), origin };
    let entry = AuditEntry::new(&stamp, denial.action.clone(), Outcome::Denied);
    AuditEntry { repository: denial.repository.clone(), object: denial.object.clone(), ..entry }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(identity: &str, address: &str) -> Denial {
        Denial {
            identity: identity.to_owned(),
            credential: None,
            address: Some(address.parse().unwrap()),
            action: "pull".to_owned(),
            repository: Some("team/model".parse().unwrap()),
            object: None,
            request_id: None,
        }
    }

    #[test]
    fn strangers_fold_by_network_and_the_known_by_name() {
        let denials = Denials::default();
        for (identity, address) in [
            ("anonymous", "2001:db8::1"),
            ("anonymous", "2001:db8::2"),
            ("anonymous", "192.0.2.1"),
            ("user:alice", "192.0.2.1"),
            ("user:alice", "192.0.2.2"),
        ] {
            denials.add(denial(identity, address), Timestamp::UNIX_EPOCH);
        }
        let mut counts: Vec<_> = denials.take().into_iter().map(|(entry, fold)| (fold, entry.count)).collect();
        counts.sort();
        let expected = [("192.0.2.1", 1), ("2001:db8::", 2), ("user:alice", 2)];
        assert_eq!(counts, expected.map(|(fold, count)| (fold.to_owned(), count)));
        assert!(denials.take().is_empty());
    }

    // Invariant 9: a flood of different denials is counted, not kept.
    #[test]
    fn a_flood_is_counted() {
        let denials = Denials::default();
        for n in 0..HELD + 500 {
            denials.add(
                Denial { action: format!("action-{n}"), ..denial("user:alice", "192.0.2.1") },
                Timestamp::UNIX_EPOCH,
            );
        }
        let taken = denials.take();
        assert_eq!(taken.len(), HELD + 1);
        assert_eq!(taken.iter().map(|(entry, _)| entry.count).sum::<u64>(), HELD as u64 + 500);
    }
}
