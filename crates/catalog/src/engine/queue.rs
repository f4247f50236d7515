//! A bounded queue from many tasks to threads that block.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::unit::Unit;
use crate::{Error, Result};

/// Units that may wait; a task that brings one more waits for room.
const ROOM: usize = 1024;

/// What a thread gets.
pub(super) enum Taken {
    /// At least one unit, in the order they came.
    Units(Vec<Box<dyn Unit>>),
    /// Nothing came in the time given.
    Idle,
    /// Nothing will come any more.
    Closed,
}

/// The queue.
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    room: Semaphore,
}

struct State {
    units: VecDeque<Box<dyn Unit>>,
    closed: bool,
}

impl Queue {
    pub fn new() -> Self {
        let state = Mutex::new(State { units: VecDeque::new(), closed: false });
        Self { state, ready: Condvar::new(), room: Semaphore::new(ROOM) }
    }

    /// Appends a unit, once there is room.
    pub async fn push(&self, unit: Box<dyn Unit>) -> Result<()> {
        let permit = self.room.acquire().await.map_err(|_| Error::Closed)?;
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        permit.forget();
        state.units.push_back(unit);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Up to `most` units; waits for the first of them.
    pub fn take(&self, most: usize, patience: Duration) -> Taken {
        let (mut state, waited) = self
            .ready
            .wait_timeout_while(self.lock(), patience, |state| state.units.is_empty() && !state.closed)
            .expect("nothing panics while it holds the queue");
        if state.units.is_empty() {
            return if waited.timed_out() && !state.closed { Taken::Idle } else { Taken::Closed };
        }
        let count = state.units.len().min(most.max(1));
        let units: Vec<_> = state.units.drain(..count).collect();
        drop(state);
        self.room.add_permits(units.len());
        Taken::Units(units)
    }

    /// Lets nothing more in. What is queued is still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.ready.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the queue")
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.lock().units.len()).finish_non_exhaustive()
    }
}
