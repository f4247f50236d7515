//! One large blob by several requests at once: consecutive ranges, each fetched ahead into memory, given out in order.
//!
//! In order, so that everything behind it stays as it is with one request: bytes are hashed and written once, a partial file is the
//! beginning of the blob and can be resumed, and several targets share one read. The price is memory: `streams` ranges of all blobs
//! together, whatever their number and size.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use larder_oci::descriptor::Descriptor;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{Download, Repository};
use crate::error::{Error, Result};

/// A connection that brings fewer bytes at a time waits with the rest of its range: no harm, and memory stays bounded (**Invariant 9**).
const SMALLEST_READ: u64 = 4 << 10;
const MOST_READS: usize = 1 << 20;

/// When and how a blob is read by several requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges {
    /// Requests on their way at once, for all blobs of one source together.
    pub streams: usize,
    /// Bytes that one request asks for.
    pub piece: u64,
    /// Blobs with less than this left to read are read by one request.
    pub from: u64,
}

impl Default for Ranges {
    fn default() -> Self {
        Self { streams: 4, piece: 16 << 20, from: 64 << 20 }
    }
}

/// What is on its way from one source. Every blob that is read has a lane; further ones are for blobs that use several.
#[derive(Debug)]
pub(crate) struct Lanes {
    limit: usize,
    busy: Arc<AtomicUsize>,
}

/// A request's place, given back with it.
#[derive(Debug)]
pub(crate) struct Lane(Arc<AtomicUsize>);

impl Lanes {
    /// `limit` lanes, all free.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, busy: Arc::default() }
    }

    /// A lane for a blob, which must be read in any case.
    pub(crate) fn first(&self) -> Lane {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Lane(Arc::clone(&self.busy))
    }

    /// One more, if there is one to spare.
    fn further(&self) -> Option<Lane> {
        let taken = self
            .busy
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |busy| (busy < self.limit).then_some(busy + 1));
        taken.is_ok().then(|| Lane(Arc::clone(&self.busy)))
    }

    /// Whether blobs came that had to be let in beyond the limit.
    fn is_crowded(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > self.limit
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A blob that is read from some position to its end.
pub(crate) struct Striped {
    repository: Repository,
    blob: Descriptor,
    piece: u64,
    lanes: Arc<Lanes>,
    _first: Lane,
    further: Vec<Lane>,
    /// In the order of their bytes; the first one is given out.
    coming: VecDeque<Piece>,
    /// The first byte that nobody was asked for.
    next: u64,
}

/// A range on its way. All of it fits, so that it comes while those before it are still taken.
struct Piece {
    bytes: mpsc::Receiver<Result<Bytes>>,
    _task: AbortOnDropHandle<()>,
}

impl Striped {
    /// Asks for the first range. A registry that does not answer with that range gets no further request: its answer is the reader.
    pub(crate) async fn open(
        repository: &Repository,
        blob: &Descriptor,
        offset: u64,
        ranges: Ranges,
        lanes: &Arc<Lanes>,
    ) -> Result<Result<Self, Download>> {
        let (piece, first) = (ranges.piece.max(1), lanes.first());
        let end = blob.size.min(offset.saturating_add(piece));
        let mut download = repository.blob_range(&blob.digest, blob.size, offset..end);
        match download.begin().await {
            Ok(true) => {}
            Ok(false) => {
                download.extend_to_end();
                return Ok(Err(download));
            }
            // Some answer so to a range that they do not like, whatever the specification says.
            Err(Error::Answer { status: 400 | 416 | 501, .. }) => {
                return Ok(Err(repository.blob_from(&blob.digest, blob.size, offset)));
            }
            Err(error) => return Err(error),
        }
        let (repository, blob, lanes) = (repository.clone(), blob.clone(), Arc::clone(lanes));
        let (further, coming) = (Vec::new(), VecDeque::from([Piece::fetch(download, piece)]));
        Ok(Ok(Self { repository, blob, piece, lanes, _first: first, further, coming, next: end }))
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            self.ask();
            let Some(piece) = self.coming.front_mut() else { return Ok(None) };
            match piece.bytes.recv().await {
                Some(bytes) => return bytes.map(Some),
                None => self.coming.pop_front(),
            };
        }
    }

    /// Sends as many requests as there are lanes, and gives lanes back that others need more.
    fn ask(&mut self) {
        let spare = self.next == self.blob.size && self.further.len() >= self.coming.len().max(1);
        if spare || self.lanes.is_crowded() {
            self.further.pop();
        }
        while self.next < self.blob.size {
            if self.coming.len() > self.further.len() {
                let Some(lane) = self.lanes.further() else { return };
                self.further.push(lane);
            }
            let range: Range<u64> = self.next..self.blob.size.min(self.next.saturating_add(self.piece));
            self.next = range.end;
            let download = self.repository.blob_range(&self.blob.digest, self.blob.size, range);
            self.coming.push_back(Piece::fetch(download, self.piece));
        }
    }
}

impl Piece {
    fn fetch(mut download: Download, length: u64) -> Self {
        let room = usize::try_from(length / SMALLEST_READ).unwrap_or(usize::MAX).clamp(1, MOST_READS);
        let (sender, bytes) = mpsc::channel(room);
        let task = tokio::spawn(async move {
            loop {
                let piece = match download.next().await {
                    Ok(Some(piece)) => Ok(piece),
                    Ok(None) => return,
                    Err(error) => Err(error),
                };
                let failed = piece.is_err();
                if sender.send(piece).await.is_err() || failed {
                    return;
                }
            }
        });
        Self { bytes, _task: AbortOnDropHandle::new(task) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_always_has_a_lane_and_further_ones_only_while_some_are_free() {
        let lanes = Lanes::new(2);
        let first = lanes.first();
        let further = lanes.further().expect("one is free");
        assert!(lanes.further().is_none() && !lanes.is_crowded());
        let second = lanes.first();
        assert!(lanes.is_crowded());
        drop(further);
        assert!(!lanes.is_crowded() && lanes.further().is_none());
        drop((first, second));
        assert_eq!(lanes.busy.load(Ordering::Relaxed), 0);
    }
}
