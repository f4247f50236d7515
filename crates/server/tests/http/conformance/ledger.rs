//! Which rows were looked at, and what failed in them.

use std::collections::BTreeSet;

/// The suite's API rows.
const APIS: [&str; 28] = [
    "ping",
    "tag-list",
    "tag-delete",
    "tag-delete-atomic",
    "blob-push",
    "blob-post-only",
    "blob-post-put",
    "blob-patch-chunked",
    "blob-patch-stream",
    "blob-mount-source",
    "blob-mount-anonymous",
    "blob-cancel",
    "blob-get-full",
    "blob-get-range",
    "blob-head",
    "blob-delete",
    "blob-delete-atomic",
    "manifest-put-digest",
    "manifest-put-tag",
    "manifest-put-tag-param",
    "manifest-put-subject",
    "manifest-get-digest",
    "manifest-get-tag",
    "manifest-head-digest",
    "manifest-head-tag",
    "manifest-delete",
    "manifest-delete-atomic",
    "referrers",
];

/// The suite's data rows.
const DATA: [&str; 24] = [
    "blobs-sha256",
    "blobs-sha512",
    "image",
    "image-uncompressed",
    "large-manifest",
    "index",
    "nested-index",
    "empty-index",
    "artifact",
    "artifact-index",
    "artifact-without-layers",
    "artifacts-with-subject",
    "index-with-subject",
    "missing-subject",
    "data-field",
    "non-distributable-layers",
    "custom-fields",
    "no-layers",
    "sparse",
    "sha512",
    "tag-param-sha256",
    "tag-param-sha512",
    "bad-digest-image",
    "invalid-manifest-digest",
];

/// The outcome of one check.
pub type Outcome = Result<(), String>;

/// What was seen so far.
#[derive(Default)]
pub struct Ledger {
    apis: BTreeSet<&'static str>,
    data: BTreeSet<&'static str>,
    passed: usize,
    failures: Vec<String>,
}

impl Ledger {
    /// Writes down a check of a data row (empty for none) and the APIs it speaks for.
    pub fn note(&mut self, row: &'static str, apis: &[&'static str], outcome: Outcome) {
        self.apis.extend(apis);
        if !row.is_empty() {
            self.data.insert(row);
        }
        match outcome {
            Ok(()) => self.passed += 1,
            Err(failure) => self.failures.push(format!("{row} {apis:?}: {failure}")),
        }
    }

    /// Fails unless every row was looked at and everything passed.
    pub fn conclude(self) {
        assert!(self.failures.is_empty(), "{} failures:\n{}", self.failures.len(), self.failures.join("\n"));
        assert_eq!(self.apis.into_iter().collect::<Vec<_>>(), sorted(&APIS));
        assert_eq!(self.data.into_iter().collect::<Vec<_>>(), sorted(&DATA));
        assert!(self.passed > 800, "only {} checks ran", self.passed);
    }
}

fn sorted(rows: &[&'static str]) -> Vec<&'static str> {
    rows.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// A condition as an outcome.
pub fn check(holds: bool, failure: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(failure.into()) }
}
