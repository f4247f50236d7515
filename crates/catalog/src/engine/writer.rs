//! SQLite's one writer (**Invariant 15**).
//!
//! One thread owns the only writing connection. It takes what is queued, runs each unit in a savepoint of one group transaction, commits once and only
//! then answers. A unit that fails goes back to its savepoint alone; a commit that fails fails all; a waiter that has gone changes nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, ffi};

use super::ballast::Ballast;
use super::checkpoint::CHECKPOINT_PAGES;
use super::health::Health;
use super::queue::{Queue, Taken};
use super::unit::{Kind, Unit};
use super::{Done, Fault, Shares, Tx};
use crate::{Error, Result};

/// After this time without work the writer tidies up.
const IDLE: Duration = Duration::from_secs(5);
/// The writer waits for a tenth of a commit, at most so long, for those whom the last commit answered: one commit serves all of them again, where
/// two groups would take turns. Shorter waits are not worth their system call.
const GATHER: std::ops::Range<Duration> = Duration::from_micros(50)..Duration::from_micros(500);
/// Free pages that are worth giving back, and how many at once.
const FREE_PAGES: i64 = 2_000;
/// For so long the log is tried to be cut at the end, and the pause between two tries.
const CUT_PATIENCE: Duration = Duration::from_secs(2);
const CUT_PAUSE: Duration = Duration::from_millis(20);

/// The writer's thread.
pub(super) struct Writer {
    pub connection: Connection,
    pub queue: Arc<Queue>,
    pub health: Arc<Health>,
    pub ballast: Option<Ballast>,
    pub group: usize,
    /// Pages of the write-ahead log, as the last commit saw it.
    pub wal_pages: Arc<AtomicU64>,
    /// Wakes the checkpoint; `None` in memory.
    pub checkpoint: Option<SyncSender<()>>,
    /// How long to wait before the next group.
    pub gather: Duration,
    /// What readers keep is told from it.
    pub shares: Arc<Shares>,
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub fn run(mut self) {
        loop {
            if self.gather >= GATHER.start {
                std::thread::sleep(self.gather.min(GATHER.end));
            }
            match self.queue.take(self.group, IDLE) {
                Taken::Units(units) => self.work(units.into()),
                Taken::Idle => {
                    self.gather = Duration::ZERO;
                    self.tidy();
                }
                Taken::Closed => break,
            }
        }
        if self.checkpoint.is_some() && self.health.fatal().is_none() {
            self.cut_log();
        }
    }

    /// Moves the whole log into the database, so that after the end the file is the catalog. A checkpoint under way on the other connection is not
    /// waited for by any busy handler, and connections that close at the same time leave the log to each other. Where somebody reads on, the log stays:
    /// nothing in it is lost.
    fn cut_log(&self) {
        let deadline = Instant::now() + CUT_PATIENCE;
        loop {
            let outcome = self.connection.busy_timeout(Duration::ZERO).and_then(|()| {
                self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
            });
            match outcome {
                Ok(false) => return,
                Ok(true) if Instant::now() < deadline => std::thread::sleep(CUT_PAUSE),
                Ok(true) => return tracing::warn!("the catalog's log could not be moved at the end: it is being read"),
                Err(error) => return tracing::warn!(%error, "the catalog's log could not be moved at the end"),
            }
        }
    }

    fn work(&mut self, mut units: VecDeque<Box<dyn Unit>>) {
        while !units.is_empty() {
            self.transaction(&mut units);
        }
        if self.wal_pages.load(Ordering::Relaxed) >= CHECKPOINT_PAGES
            && let Some(checkpoint) = &self.checkpoint
        {
            // A full channel means that it is awake already.
            let _ = checkpoint.try_send(());
        }
    }

    /// One group: as many units as there are, unless one of them costs the others their transaction; the rest stays in `units`.
    fn transaction(&mut self, units: &mut VecDeque<Box<dyn Unit>>) {
        if let Some(message) = self.health.fatal() {
            return self.refuse(units.drain(..), &Error::Fatal(message));
        }
        let mut reserved = self.has_unspent_reserve();
        if let Err(error) = self.connection.execute_batch("BEGIN IMMEDIATE") {
            let error = self.judge(Fault::Sqlite(error));
            let failed = units.drain(..).collect();
            return self.refuse_or_repeat(failed, &error, reserved, units);
        }
        let mut done: Vec<Box<dyn Unit>> = Vec::with_capacity(units.len());
        while let Some(mut unit) = units.pop_front() {
            if unit.is_abandoned() {
                continue;
            }
            if unit.kind() == Kind::Grow && !self.has_reserve() {
                self.refuse([unit], &Error::Full);
                continue;
            }
            match self.savepoint(unit.as_mut()) {
                Ok(()) => done.push(unit),
                Err(error) => {
                    // SQLite may have rolled the whole transaction back (a full disk, a broken one).
                    if self.connection.is_autocommit() || matches!(error, Error::Fatal(_)) {
                        self.roll_back();
                        done.push(unit);
                        return self.refuse_or_repeat(done, &error, reserved, units);
                    }
                    self.refuse_or_repeat(vec![unit], &error, reserved, units);
                    reserved &= self.has_unspent_reserve();
                }
            }
        }
        if let Err((done, error)) = self.commit(done) {
            self.refuse_or_repeat(done, &error, reserved, units);
        }
    }

    fn commit(&mut self, done: Vec<Box<dyn Unit>>) -> std::result::Result<(), (Vec<Box<dyn Unit>>, Error)> {
        let begun = Instant::now();
        // Until it is dropped nobody takes what he kept for what is so.
        let changing = self.shares.changing(done.iter().map(|unit| unit.changed()));
        let outcome = self.connection.execute_batch("COMMIT");
        drop(changing);
        if let Err(error) = outcome {
            let error = self.judge(Fault::Sqlite(error));
            self.roll_back();
            return Err((done, error));
        }
        let took = begun.elapsed();
        self.gather = if done.len() > 1 { took / 10 } else { Duration::ZERO };
        self.health.committed(done.len() as u64, took);
        for unit in done {
            unit.answer(Ok(()));
        }
        Ok(())
    }

    /// Runs one unit; what it did stays in the group's transaction, or is gone.
    fn savepoint(&mut self, unit: &mut dyn Unit) -> Result<()> {
        let outcome = self.try_savepoint(unit);
        outcome.map_err(|fault| {
            if !self.connection.is_autocommit()
                && let Err(error) = self.connection.execute_batch("ROLLBACK TO unit; RELEASE unit")
            {
                tracing::error!(%error, "a savepoint could not be rolled back");
                self.roll_back();
            }
            self.judge(fault)
        })
    }

    fn try_savepoint(&self, unit: &mut dyn Unit) -> Done<()> {
        self.connection.prepare_cached("SAVEPOINT unit")?.execute([])?;
        unit.run(&mut Tx::Sqlite(&self.connection))?;
        self.connection.prepare_cached("RELEASE unit")?.execute([])?;
        Ok(())
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "the catalog's transaction could not be rolled back");
        }
    }

    fn refuse(&self, units: impl IntoIterator<Item = Box<dyn Unit>>, error: &Error) {
        for unit in units {
            self.health.failed(1);
            unit.answer(Err(error.clone()));
        }
    }

    /// Refuses what failed. The fault that released the reserve made room for what may use it, so that is put before `units` again.
    fn refuse_or_repeat(
        &self,
        failed: Vec<Box<dyn Unit>>,
        error: &Error,
        reserved: bool,
        units: &mut VecDeque<Box<dyn Unit>>,
    ) {
        let released = reserved && !self.has_unspent_reserve();
        let (again, refused): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|unit| released && unit.kind() == Kind::Shrink);
        self.refuse(refused, error);
        for unit in again.into_iter().rev() {
            units.push_front(unit);
        }
    }

    fn has_unspent_reserve(&self) -> bool {
        self.ballast.as_ref().is_some_and(|ballast| !ballast.is_spent())
    }

    /// What a fault means for the process: a full disk spends the reserve, a broken one ends it.
    fn judge(&mut self, fault: Fault) -> Error {
        let error = write_error(fault);
        match &error {
            Error::Full => {
                if let Some(ballast) = &mut self.ballast {
                    ballast.release();
                    self.health.set_reserve_spent(true);
                }
            }
            Error::Fatal(message) => self.health.set_fatal(message),
            _ => {}
        }
        error
    }

    fn has_reserve(&mut self) -> bool {
        let Some(ballast) = &mut self.ballast else { return true };
        if ballast.is_spent() && ballast.refill() {
            self.health.set_reserve_spent(false);
        }
        !ballast.is_spent()
    }

    fn tidy(&mut self) {
        self.has_reserve();
        if self.health.fatal().is_some() {
            return;
        }
        let free = self.connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
        if free.is_ok_and(|free| free >= FREE_PAGES)
            && let Err(error) = self.connection.execute_batch(&format!("PRAGMA incremental_vacuum({FREE_PAGES})"))
        {
            let error = self.judge(Fault::Sqlite(error));
            tracing::warn!(%error, "free pages of the catalog could not be given back");
        }
    }
}

/// What a fault of the writing connection means.
pub(super) fn write_error(fault: Fault) -> Error {
    let error = match fault {
        Fault::Error(error) => return error,
        Fault::Sqlite(error) => error,
        other => return read_error(other),
    };
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full,
        // The shared index of the log could not grow: no space, says unix's VFS.
        Some(ErrorCode::SystemIoFailure) if error.sqlite_extended_error_code() == Some(ffi::SQLITE_IOERR_SHMSIZE) => {
            Error::Full
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            Error::Fatal(error.to_string())
        }
        _ => Error::Database(error.to_string()),
    }
}

/// What a fault of a reading connection means.
pub(super) fn read_error(fault: Fault) -> Error {
    match fault {
        Fault::Error(error) => error,
        Fault::Sqlite(error) => Error::Database(error.to_string()),
        Fault::Postgres(error) => super::postgres::error(&error),
        Fault::Conflict(what) => Error::Database(format!("another process was in the way too often: {what}")),
    }
}
