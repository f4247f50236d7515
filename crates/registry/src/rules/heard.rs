//! What rules said, for the audit and the figures. Refusals and warnings of pulls are folded by the minute, as denials are, and written down with the
//! times of pulls.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_catalog::model::access::{AuditEntry, Outcome};
use larder_catalog::model::rules::Told;
use larder_oci::RepositoryName;
use serde_json::json;

use crate::{Actor, Error, Registry, Result};

/// Kept between two times of writing; of more, only the figures tell.
const KEPT: usize = 10_000;

/// What was said since it was last written down.
#[derive(Default)]
pub(crate) struct Heard {
    entries: Mutex<HashMap<String, AuditEntry>>,
    refused: AtomicU64,
    warned: AtomicU64,
}

impl Heard {
    /// Counts warnings that the audit has already.
    pub fn count_warned(&self, warnings: usize) {
        self.warned.fetch_add(warnings as u64, Ordering::Relaxed);
    }

    /// How often rules refused and warned since the start.
    pub fn counted(&self) -> (u64, u64) {
        (self.refused.load(Ordering::Relaxed), self.warned.load(Ordering::Relaxed))
    }

    fn note(&self, key: String, entry: AuditEntry) {
        let mut entries = self.entries.lock().expect("no panic happens under this lock");
        if let Some(known) = entries.get_mut(&key) {
            known.count += 1;
        } else if entries.len() < KEPT {
            entries.insert(key, entry);
        }
    }
}

impl Registry {
    /// Notes that rules refused something, and says so.
    pub(crate) fn refused(&self, actor: &Actor, repository: &RepositoryName, told: Vec<Told>) -> Error {
        self.inner.heard.refused.fetch_add(told.len() as u64, Ordering::Relaxed);
        told.iter().for_each(|told| self.hear(actor, repository, told, "rules.refused", Outcome::Denied));
        Error::Refused(told)
    }

    /// Notes that a pull was warned.
    pub(super) fn pull_warned(&self, actor: &Actor, repository: &RepositoryName, told: &Told) {
        self.inner.heard.count_warned(1);
        self.hear(actor, repository, told, "rules.warned", Outcome::Allowed);
    }

    fn hear(&self, actor: &Actor, repository: &RepositoryName, told: &Told, action: &str, outcome: Outcome) {
        let entry = AuditEntry::new(&self.stamp(actor), action, outcome);
        let object = told.tag.as_ref().map(ToString::to_string);
        let who = entry.address.as_deref().filter(|_| actor.is_anonymous()).unwrap_or(&entry.identity);
        let key = format!("{who} {action} {repository} {} {}", told.rule, object.as_deref().unwrap_or_default());
        let detail = json!({ "rule": told.rule, "why": told.why }).to_string();
        let entry = AuditEntry { repository: Some(repository.clone()), object, detail: Some(detail), ..entry };
        self.inner.heard.note(key, entry);
    }

    /// Writes into the audit what was said since the last time.
    pub(crate) async fn flush_heard(&self) -> Result<()> {
        let entries = std::mem::take(&mut *self.inner.heard.entries.lock().expect("no panic happens under this lock"));
        for (key, entry) in entries {
            self.inner.catalog.audit_denied(entry, &key).await?;
        }
        Ok(())
    }
}
