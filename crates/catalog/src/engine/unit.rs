//! A unit of work on its way: what to run, and who waits for the answer.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use super::shares::{self, Changed};
use super::{Done, Fault, Tx};
use crate::{Error, Result};

/// What a unit needs from its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One statement that reads.
    Read,
    /// Several statements that read from one state.
    Snapshot,
    /// Changes that may take more room: refused while the reserve is spent (behaviour §6).
    Grow,
    /// Changes that give room back or end a session: run on the reserve too.
    Shrink,
}

thread_local! {
    /// Whether the unit that runs on this thread has announced its change.
    static ANNOUNCED: Cell<bool> = const { Cell::new(false) };
}

/// Says from within a unit that what it changes is kept in memory elsewhere: once it is durable, and before its waiter hears so, the engine's counter
/// of such changes goes up. It does so too when nobody waits any more.
pub(crate) fn announce() {
    ANNOUNCED.set(true);
}

/// A queued unit, whatever it answers.
pub(super) trait Unit: Send {
    fn kind(&self) -> Kind;
    /// Whether nobody waits for it any more. Then it need not begin.
    fn is_abandoned(&self) -> bool;
    /// What it changed when it ran last.
    fn changed(&self) -> &Changed;
    /// Runs it. May be called again after a rollback.
    fn run(&mut self, tx: &mut Tx<'_>) -> Done<()>;
    /// Tells the waiter: what it answered, when it is durable; else why not.
    fn answer(self: Box<Self>, verdict: Result<()>);
}

/// A unit and its waiter.
pub(super) struct Pending<T, F> {
    kind: Kind,
    work: F,
    value: Option<T>,
    announced: bool,
    changed: Changed,
    changes: Arc<AtomicU64>,
    waiter: oneshot::Sender<Result<T>>,
}

impl<T, F: FnMut(&mut Tx<'_>) -> Done<T>> Pending<T, F> {
    pub fn new(kind: Kind, changes: Arc<AtomicU64>, work: F) -> (Self, oneshot::Receiver<Result<T>>) {
        let (waiter, answer) = oneshot::channel();
        (Self { kind, work, value: None, announced: false, changed: Changed::Nothing, changes, waiter }, answer)
    }
}

impl<T: Send, F: FnMut(&mut Tx<'_>) -> Done<T> + Send> Unit for Pending<T, F> {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn is_abandoned(&self) -> bool {
        self.waiter.is_closed()
    }

    fn changed(&self) -> &Changed {
        &self.changed
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Done<()> {
        self.value = None;
        ANNOUNCED.set(false);
        // A panic is this unit's fault alone: the thread and the units beside it go on.
        let (outcome, changed) = shares::watch(|| catch_unwind(AssertUnwindSafe(|| (self.work)(tx))));
        self.changed = changed;
        self.announced |= ANNOUNCED.take();
        self.value =
            Some(outcome.unwrap_or_else(|_| Err(Fault::Error(Error::Database("a unit of work panicked".to_owned()))))?);
        Ok(())
    }

    fn answer(self: Box<Self>, verdict: Result<()>) {
        let Self { value, waiter, announced, changes, .. } = *self;
        // A commit whose answer was lost may have happened: that counts too.
        if announced {
            changes.fetch_add(1, Ordering::AcqRel);
        }
        // Nobody may be waiting any more.
        let _ = waiter.send(verdict.and_then(|()| value.ok_or(Error::Closed)));
    }
}
