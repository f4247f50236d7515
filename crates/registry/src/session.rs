//! Which requests write to which upload sessions: one writer each (reliability I-20).

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use larder_oci::UploadId;
use tokio::sync::Notify;

/// A writer that has had no byte for this long gives way: its client is gone and has come back on another connection.
const SILENCE: Duration = Duration::from_secs(2);
/// How long a newcomer waits for a silent writer to write its checkpoint.
const PATIENCE: Duration = Duration::from_secs(10);

/// The writers of this process.
#[derive(Default)]
pub(crate) struct Sessions {
    writers: Arc<Mutex<HashMap<UploadId, Arc<Writer>>>>,
    released: Arc<Notify>,
    /// Counts the claims up.
    claims: AtomicU64,
    /// Sessions whose bytes are the beginning of a whole blob that was sent in one closing request and broke off.
    whole: Mutex<HashSet<UploadId>>,
}

struct Writer {
    /// Which claim this is.
    number: u64,
    started: Instant,
    /// Milliseconds after `started` when bytes last came.
    last_byte: AtomicU64,
    /// Bytes that the request announced and has not delivered.
    outstanding: AtomicU64,
    cancelled: Notify,
}

/// The right to write to a session, until it is dropped.
pub(crate) struct Claim {
    id: UploadId,
    writer: Arc<Writer>,
    writers: Arc<Mutex<HashMap<UploadId, Arc<Writer>>>>,
    released: Arc<Notify>,
}

impl Sessions {
    /// Takes the session, from a silent writer if need be. `None`: another request is at work.
    pub async fn claim(&self, id: &UploadId, declared: Option<u64>) -> Option<Claim> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let released = self.released.notified();
            match self.try_claim(id, declared) {
                Ok(claim) => return Some(claim),
                Err(holder) if holder.silence() < SILENCE => return None,
                Err(holder) => holder.cancelled.notify_one(),
            }
            let _ = tokio::time::timeout(Duration::from_millis(200), released).await;
            if Instant::now() > deadline {
                return None;
            }
        }
    }

    /// The claim, or the writer that has the session.
    fn try_claim(&self, id: &UploadId, declared: Option<u64>) -> Result<Claim, Arc<Writer>> {
        let mut writers = self.writers.lock().expect("no panic happens under this lock");
        if let Some(holder) = writers.get(id) {
            return Err(Arc::clone(holder));
        }
        let writer = Arc::new(Writer {
            number: self.claims.fetch_add(1, Ordering::Relaxed),
            started: Instant::now(),
            last_byte: AtomicU64::new(0),
            outstanding: AtomicU64::new(declared.unwrap_or(0)),
            cancelled: Notify::new(),
        });
        writers.insert(*id, Arc::clone(&writer));
        let (writers, released) = (Arc::clone(&self.writers), Arc::clone(&self.released));
        Ok(Claim { id: *id, writer, writers, released })
    }

    /// Notes that a closing request which carried the whole blob broke off: clients that repeat it send the blob from its beginning, and
    /// clients that ask where the session stands go on from there.
    pub fn broke_off_whole(&self, id: &UploadId) {
        self.whole.lock().expect("no panic happens under this lock").insert(*id);
    }

    /// Whether the last thing that happened to the session was that; forgets it.
    pub fn take_whole(&self, id: &UploadId) -> bool {
        self.whole.lock().expect("no panic happens under this lock").remove(id)
    }

    /// Sessions being written to.
    pub fn open(&self) -> usize {
        self.writers.lock().expect("no panic happens under this lock").len()
    }

    /// Bytes that open requests have announced and not delivered.
    pub fn declared(&self) -> u64 {
        self.outstanding(|_| true)
    }

    /// The same of this request and those that came before it: of many that begin together, those go on that fit.
    pub fn declared_until(&self, claim: &Claim) -> u64 {
        self.outstanding(|writer| writer.number <= claim.writer.number)
    }

    fn outstanding(&self, counts: impl Fn(&Writer) -> bool) -> u64 {
        let writers = self.writers.lock().expect("no panic happens under this lock");
        let counted = writers.values().filter(|writer| counts(writer));
        counted.map(|writer| writer.outstanding.load(Ordering::Relaxed)).fold(0, u64::saturating_add)
    }

    /// Tells every writer to stop and waits until each has written its checkpoint.
    pub async fn settle(&self) {
        loop {
            let released = self.released.notified();
            {
                let writers = self.writers.lock().expect("no panic happens under this lock");
                if writers.is_empty() {
                    return;
                }
                writers.values().for_each(|writer| writer.cancelled.notify_one());
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), released).await;
        }
    }
}

impl Writer {
    fn silence(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.last_byte.load(Ordering::Relaxed)))
    }
}

impl Claim {
    /// Notes that bytes came.
    pub fn received(&self, bytes: u64) {
        let elapsed = u64::try_from(self.writer.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.writer.last_byte.store(elapsed, Ordering::Relaxed);
        let left = self.writer.outstanding.load(Ordering::Relaxed).saturating_sub(bytes);
        self.writer.outstanding.store(left, Ordering::Relaxed);
    }

    /// Resolves when another request takes the session over, or the server stops.
    pub async fn cancelled(&self) {
        self.writer.cancelled.notified().await;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.writers.lock().expect("no panic happens under this lock").remove(&self.id);
        self.released.notify_waiters();
    }
}
