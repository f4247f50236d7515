//! What a transfer tells while it runs. The caller draws it.

use std::sync::Arc;
use std::time::Duration;

use larder_oci::digest::Digest;

use crate::error::Error;

/// One blob on its way to one target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Item {
    /// The target, as it calls itself: `HOST/NAME`, or a path.
    pub target: Arc<str>,
    /// The blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The file's path where it has one (model files), else `None`.
    pub title: Option<String>,
}

/// Listens to a transfer. Methods are called from several tasks at once and should return at once.
#[allow(unused_variables, reason = "the names document the methods")]
pub trait Progress: Send + Sync {
    /// A blob starts to move; `already` bytes of `total` are there from an earlier try.
    fn begin(&self, item: &Item, total: u64, already: u64) {}
    /// Further bytes went through.
    fn advance(&self, item: &Item, bytes: u64) {}
    /// The other side has fewer (or more) bytes than were sent: `at` of them stand.
    fn reset(&self, item: &Item, at: u64) {}
    /// The blob is whole at the target.
    fn done(&self, item: &Item) {}
    /// The target took it from the repository `from` of the same registry, or from one of its own choice.
    fn mounted(&self, item: &Item, from: Option<&str>) {}
    /// The target had it already.
    fn exists(&self, item: &Item) {}
    /// It was cut; the next try comes after `wait`.
    fn retry(&self, item: &Item, error: &Error, wait: Duration) {}
    /// It did not arrive.
    fn failed(&self, item: &Item, error: &Error) {}
    /// A local file is being read to learn its digest, before anything moves.
    fn reading(&self, path: &str, total: u64, done: u64) {}
    /// Something a person should know: a warning of the registry, a layer left out.
    fn note(&self, text: &str) {}
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {}
