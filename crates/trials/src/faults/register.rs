//! One tag, three writers, two readers (reliability T1): a linearizable register, seen through HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use larder_oci::Digest;

use crate::faults::{Held, Rig};
use crate::harness::{Failure, Outcome};
use crate::raw::Client;
use crate::raw::content::sha256;
use crate::{ensure, ensure_eq};

const WRITERS: usize = 3;
const READERS: usize = 2;
const PLACE: (&str, &str) = ("hot/model", "prod");

/// A write, or a read with the index of the write whose value it saw.
#[derive(Clone, Copy, Debug)]
struct Operation {
    value: Digest,
    begun: Instant,
    ended: Instant,
}

/// Runs the trial.
pub fn hot_tag(rig: Rig<'_>) -> Outcome<Held> {
    let time = Duration::from_secs(rig.rounds(15, 1_800));
    let mut server = rig.server()?.with("STORAGE__RESERVE", "1MiB");
    server.start()?;
    let first = write(&mut server.client(), "first")?;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (mut client, stop) = (server.client(), Arc::clone(&stop));
            std::thread::spawn(move || many(&stop, |number| write(&mut client, &format!("{writer}-{number}"))))
        })
        .collect();
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (mut client, stop) = (server.client(), Arc::clone(&stop));
            std::thread::spawn(move || many(&stop, |_| read(&mut client)))
        })
        .collect();
    std::thread::sleep(time);
    stop.store(true, Ordering::SeqCst);
    let (mut writes, mut reads) = (vec![first], Vec::new());
    for (threads, operations) in [(writers, &mut writes), (readers, &mut reads)] {
        for thread in threads {
            operations.extend(thread.join().map_err(|_| Failure::new("a client panicked"))??);
        }
    }
    ensure!(writes.len() > 100 && reads.len() > 100, "{} writes and {} reads prove nothing", writes.len(), reads.len());
    check(&mut writes, &mut reads)?;
    server.stop()?;
    Held::after(
        (writes.len() + reads.len()) as u64,
        format!("{} writes, {} reads, none stale", writes.len(), reads.len()),
    )
}

fn many(stop: &AtomicBool, mut once: impl FnMut(u64) -> Outcome<Operation>) -> Outcome<Vec<Operation>> {
    let mut operations = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        operations.push(once(operations.len() as u64)?);
    }
    Ok(operations)
}

fn write(client: &mut Client, version: &str) -> Outcome<Operation> {
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[],"annotations":{{"v":"{version}"}}}}"#
    );
    let begun = Instant::now();
    let reply = client.put_manifest(PLACE.0, PLACE.1, manifest.as_bytes())?;
    let ended = Instant::now();
    ensure_eq!(reply.status, 201, "a write: {}", reply.text());
    Ok(Operation { value: sha256(manifest.as_bytes()), begun, ended })
}

fn read(client: &mut Client) -> Outcome<Operation> {
    let begun = Instant::now();
    let reply = client.manifest(PLACE.0, PLACE.1)?;
    let ended = Instant::now();
    ensure_eq!(reply.status, 200, "a read: {}", reply.text());
    Ok(Operation { value: sha256(&reply.body), begun, ended })
}

/// Every read returns a value that was written, not before it was, and not after a later one was certainly in place; and no read
/// that began after another had ended goes back behind it.
fn check(writes: &mut [Operation], reads: &mut [Operation]) -> Outcome {
    let by_value: std::collections::HashMap<Digest, Operation> =
        writes.iter().map(|write| (write.value, *write)).collect();
    writes.sort_by_key(|write| write.ended);
    let certain = Latest::of(writes.iter().map(|write| (write.ended, write.begun)));
    reads.sort_by_key(|read| read.ended);
    let mut sources = Vec::with_capacity(reads.len());
    for read in reads.iter() {
        let source = by_value.get(&read.value).ok_or_else(|| Failure::new("a read of what nobody wrote"))?;
        ensure!(source.begun < read.ended, "a read from the future");
        let overwritten = certain.before(read.begun).is_some_and(|begun| begun > source.ended);
        ensure!(!overwritten, "a stale read: {read:?} of {source:?}");
        sources.push(*source);
    }
    let seen = Latest::of(reads.iter().zip(&sources).map(|(read, source)| (read.ended, source.begun)));
    for (read, source) in reads.iter().zip(&sources) {
        let newer = seen.before(read.begun).is_some_and(|begun| begun > source.ended);
        ensure!(!newer, "an older value after a newer one: {read:?} of {source:?}");
    }
    Ok(())
}

/// The latest beginning among everything that had ended by some time.
struct Latest(Vec<(Instant, Instant)>);

impl Latest {
    /// Pairs of (ended, begun), by their end.
    fn of(pairs: impl Iterator<Item = (Instant, Instant)>) -> Self {
        let mut latest = None;
        Self(
            pairs
                .map(|(ended, begun)| {
                    let newest = latest.map_or(begun, |before: Instant| before.max(begun));
                    latest = Some(newest);
                    (ended, newest)
                })
                .collect(),
        )
    }

    fn before(&self, time: Instant) -> Option<Instant> {
        let count = self.0.partition_point(|(ended, _)| *ended < time);
        count.checked_sub(1).map(|last| self.0[last].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(operations: &[(u8, u64, u64)], start: Instant) -> Vec<Operation> {
        let at = |millis| start + Duration::from_millis(millis);
        let operation = |(value, begun, ended): &(u8, u64, u64)| Operation {
            value: sha256(&[*value]),
            begun: at(*begun),
            ended: at(*ended),
        };
        operations.iter().map(operation).collect()
    }

    #[test]
    fn what_no_register_does_is_found() {
        let start = Instant::now();
        let writes = [(1, 0, 1), (2, 10, 20), (3, 30, 40)];
        for (reads, good) in [
            (vec![(1, 2, 3), (2, 12, 13), (2, 21, 22), (3, 31, 41)], true),
            (vec![(1, 11, 15), (2, 16, 17)], true),
            // Stale: 2 was in place before the read began.
            (vec![(1, 21, 22)], false),
            // From the future.
            (vec![(3, 25, 28)], false),
            // Back behind what another reader saw, while 2 was still being written.
            (vec![(2, 12, 13), (1, 14, 15)], false),
            (vec![(9, 50, 51)], false),
        ] {
            let (mut writes, mut reads) = (history(&writes, start), history(&reads, start));
            assert_eq!(check(&mut writes, &mut reads).is_ok(), good, "{reads:?}");
        }
    }
}
