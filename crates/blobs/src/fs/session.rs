//! Who may write an upload's file, and whether it can still be trusted.
//!
//! Blocking tasks outlive the future that started them: when a client goes and comes back, a write of the old request may still be on
//! its way while the new one has cut the file back. Each writer therefore passes its session's gate, and opening the upload again
//! closes the old gate first.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use larder_oci::UploadId;
use rustix::io::Errno;

use super::disk::Disk;
use super::fault::{io_error, is_full};
use super::layout;
use crate::{Error, Result};

/// The sessions that have a writer in this process, and those whose file must not be taken up again.
#[derive(Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<UploadId, Weak<Session>>>,
    lost: Mutex<HashSet<UploadId>>,
}

/// One writer of one upload.
pub(super) struct Session {
    pub(super) id: UploadId,
    gate: Mutex<Gate>,
    /// One sync at a time, taken before the gate: the kernel tells a write-back error to one sync per descriptor only, so the next
    /// one may begin when the first has noted what it heard (**Invariant 11**).
    syncing: Mutex<()>,
    failure: OnceLock<Failure>,
    /// Whether the file's name in `uploads/` is durable.
    name_durable: AtomicBool,
    sessions: Arc<Sessions>,
}

/// Held while the file is written, cut, renamed or removed.
pub(super) struct Gate {
    closed: bool,
}

/// Why every further call on an upload fails (**Invariant 11**).
#[derive(Clone, Copy, Debug)]
struct Failure {
    kind: FailureKind,
    errno: Errno,
}

#[derive(Clone, Copy, Debug)]
enum FailureKind {
    Full,
    Sync,
    Io,
    Lost,
}

impl Sessions {
    /// Registers a new writer. The one before it may go on until [`Session::close`] is called on it.
    pub(super) fn begin(self: &Arc<Self>, id: UploadId) -> (Arc<Session>, Option<Arc<Session>>) {
        let session = Arc::new(Session {
            id,
            gate: Mutex::new(Gate { closed: false }),
            syncing: Mutex::new(()),
            failure: OnceLock::new(),
            name_durable: AtomicBool::new(false),
            sessions: Arc::clone(self),
        });
        let before = lock(&self.open).insert(id, Arc::downgrade(&session));
        (session, before.and_then(|weak| weak.upgrade()))
    }

    pub(super) fn current(&self, id: &UploadId) -> Option<Arc<Session>> {
        lock(&self.open).get(id).and_then(Weak::upgrade)
    }

    /// The file could not be removed after a failed sync; only a fresh one may take its place.
    pub(super) fn is_lost(&self, id: &UploadId) -> bool {
        lock(&self.lost).contains(id)
    }

    pub(super) fn forget(&self, id: &UploadId) {
        lock(&self.lost).remove(id);
    }
}

impl Session {
    /// Lets the caller write, or says why not.
    pub(super) fn enter(&self) -> Result<MutexGuard<'_, Gate>> {
        let gate = lock(&self.gate);
        if gate.closed {
            self.fail(FailureKind::Lost, Errno::STALE);
        }
        self.check()?;
        Ok(gate)
    }

    /// Waits for the write in progress and lets none begin after it.
    pub(super) fn close(&self) {
        lock(&self.gate).closed = true;
    }

    /// The error that an earlier call met.
    pub(super) fn check(&self) -> Result<()> {
        let Some(failure) = self.failure.get() else { return Ok(()) };
        let source = || std::io::Error::from(failure.errno);
        Err(match failure.kind {
            FailureKind::Full => Error::Full(source()),
            FailureKind::Sync => Error::SyncFailed(source()),
            FailureKind::Io => io_error(format!("write upload {}", self.id), source()),
            FailureKind::Lost => Error::UploadLost(self.id),
        })
    }

    /// A write failed. The caller is inside the gate.
    pub(super) fn fail_write(&self, disk: &Disk, _gate: &mut Gate, errno: Errno) {
        match errno {
            Errno::IO => {
                self.fail(FailureKind::Sync, errno);
                self.discard_file(disk);
            }
            errno if is_full(errno) => self.fail(FailureKind::Full, errno),
            errno => self.fail(FailureKind::Io, errno),
        }
    }

    /// A lane broke off.
    pub(super) fn fail_unforeseen(&self) {
        self.fail(FailureKind::Io, Errno::CANCELED);
    }

    /// A sync failed: its pages may be marked clean although the medium has not got them, so that the next sync would say yes.
    /// **Invariant 11**: the upload is poisoned and its file thrown away, whatever the catalog knows of it.
    pub(super) fn fail_sync(&self, disk: &Disk, gate: &mut Gate, errno: Errno) {
        self.fail(FailureKind::Sync, errno);
        if !gate.closed {
            self.discard_file(disk);
        }
    }

    /// What the pending checkpoint does: bytes first, then, once, the file's name.
    pub(super) fn sync(&self, disk: &Disk, file: &std::os::fd::OwnedFd) -> Result<()> {
        let path = layout::upload_path(&self.id);
        let _syncing = self.begin_sync();
        self.check()?;
        let mut outcome = disk.data_sync(file, &path);
        if outcome.is_ok() && !self.is_name_durable() {
            outcome = disk.sync_directory_at(layout::UPLOADS);
        }
        let mut gate = lock(&self.gate);
        match outcome {
            Ok(()) => self.set_name_durable(),
            Err(errno) => self.fail_sync(disk, &mut gate, errno),
        }
        drop(gate);
        // A successor may have cut the file meanwhile; then this checkpoint holds nothing.
        self.enter().map(drop)
    }

    /// Keeps other syncs of this upload out.
    pub(super) fn begin_sync(&self) -> MutexGuard<'_, ()> {
        lock(&self.syncing)
    }

    pub(super) fn set_name_durable(&self) {
        self.name_durable.store(true, Ordering::Relaxed);
    }

    fn is_name_durable(&self) -> bool {
        self.name_durable.load(Ordering::Relaxed)
    }

    fn fail(&self, kind: FailureKind, errno: Errno) {
        let _first_wins = self.failure.set(Failure { kind, errno });
    }

    fn discard_file(&self, disk: &Disk) {
        if let Err(errno) = disk.unlink(&layout::upload_path(&self.id)) {
            tracing::warn!(upload = %self.id, %errno, "an upload that failed to sync could not be removed; it will not be resumed");
            lock(&self.sessions.lost).insert(self.id);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut open = lock(&self.sessions.open);
        if open.get(&self.id).is_some_and(|weak| weak.strong_count() == 0) {
            open.remove(&self.id);
        }
    }
}

/// A panic elsewhere leaves these maps and flags as valid as they were.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
