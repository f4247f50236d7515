//! A tag is a linearizable register (architecture invariant 3, reliability INV-4, T1).
//!
//! Three writers push ever newer versions of one tag while two readers read it. Each write and each read notes a tick of a shared counter before and
//! after; a read must return a value whose write had begun before the read ended and had not been overwritten, by a write that began after it ended,
//! before the read began.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_oci::Digest;

use crate::driver::Driver;

const WRITERS: usize = 3;
const READERS: usize = 2;
const WRITES: usize = 400;

#[derive(Clone, Copy, Debug)]
struct Operation {
    value: Digest,
    begun: u64,
    ended: u64,
}

fn manifest(writer: usize, version: usize) -> Vec<u8> {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"v":"{writer}-{version}"}}}}"#
    )
    .into_bytes()
}

/// Invariant 3.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tag_under_three_writers_and_two_readers_is_linearizable() {
    let driver = Arc::new(Driver::new().await);
    let (clock, running) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(WRITERS as u64)));
    driver.push_manifest("team/model", "prod", &manifest(9, 0)).await.expect("a first value");
    let first = driver.resolve("team/model", "prod").await.expect("it is there");

    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(Arc::clone(&driver), writer, Arc::clone(&clock), Arc::clone(&running))))
        .collect();
    let readers: Vec<_> = (0..READERS)
        .map(|_| tokio::spawn(read(Arc::clone(&driver), Arc::clone(&clock), Arc::clone(&running))))
        .collect();
    let mut writes = vec![Operation { value: first, begun: 0, ended: 0 }];
    for writer in writers {
        writes.extend(writer.await.expect("no writer fails"));
    }
    for reader in readers {
        let reads = reader.await.expect("no reader fails");
        assert!(reads.len() > 10, "the readers must have read");
        for pair in reads.windows(2) {
            monotonic(pair[0], pair[1], &writes);
        }
        for read in reads {
            legal(read, &writes);
        }
    }
}

async fn write(driver: Arc<Driver>, writer: usize, clock: Arc<AtomicU64>, running: Arc<AtomicU64>) -> Vec<Operation> {
    let mut writes = Vec::new();
    for version in 0..WRITES {
        let bytes = manifest(writer, version);
        let begun = clock.fetch_add(1, Ordering::SeqCst);
        let value = driver.push_manifest("team/model", "prod", &bytes).await.expect("a push").digest;
        writes.push(Operation { value, begun, ended: clock.fetch_add(1, Ordering::SeqCst) });
    }
    running.fetch_sub(1, Ordering::SeqCst);
    writes
}

async fn read(driver: Arc<Driver>, clock: Arc<AtomicU64>, running: Arc<AtomicU64>) -> Vec<Operation> {
    let mut reads = Vec::new();
    while running.load(Ordering::SeqCst) > 0 {
        let begun = clock.fetch_add(1, Ordering::SeqCst);
        let value = driver.resolve("team/model", "prod").await.expect("a tag is never absent between two values");
        reads.push(Operation { value, begun, ended: clock.fetch_add(1, Ordering::SeqCst) });
    }
    reads
}

fn written(value: Digest, writes: &[Operation]) -> Operation {
    *writes.iter().find(|write| write.value == value).expect("a read returns something that was written")
}

/// Some write's value, begun before the read ended, and not certainly overwritten before the read began.
fn legal(read: Operation, writes: &[Operation]) {
    let source = written(read.value, writes);
    assert!(source.begun < read.ended, "a read from the future");
    let overwritten = writes.iter().find(|later| later.begun > source.ended && later.ended < read.begun);
    assert!(overwritten.is_none(), "a stale read: {read:?} of {source:?}, overwritten by {overwritten:?}");
}

/// Two reads of one reader never go back in time.
fn monotonic(earlier: Operation, later: Operation, writes: &[Operation]) {
    let (before, after) = (written(earlier.value, writes), written(later.value, writes));
    assert!(
        before.value == after.value || after.ended > before.begun,
        "an older value after a newer one: {before:?} then {after:?}"
    );
}
