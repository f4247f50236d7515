//! Buffers that come back: a piece handed out stays known here, and once its reader has dropped it the buffer is filled again, so
//! that serving a blob neither allocates nor clears memory per piece.

use std::sync::Mutex;

use bytes::{Bytes, BytesMut};

use super::session::lock;

/// Length of a read, and of every buffer that is kept.
pub(super) const CHUNK: usize = 256 << 10;
/// Buffers a stream keeps: what a connection may hold unsent, and one to fill.
const KEPT_PER_STREAM: usize = 4;
/// Buffers that wait for the next stream, in all.
const KEPT_PER_STORE: usize = 16;

/// Idle buffers of a store.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<BytesMut>>);

/// The buffers of one stream.
#[derive(Default)]
pub(super) struct Buffers(Vec<Bytes>);

impl Buffers {
    /// A buffer of at least `len` bytes with any content.
    pub(super) fn take(&mut self, len: usize, pool: &Pool) -> BytesMut {
        if let Some(free) = self.0.iter().position(Bytes::is_unique)
            && let Ok(buffer) = self.0.swap_remove(free).try_into_mut()
        {
            return buffer;
        }
        // Short reads get a buffer of their own length: a small blob does not pay for a large one.
        let pooled = if len * 2 > CHUNK { pool.take() } else { None };
        pooled.unwrap_or_else(|| BytesMut::zeroed(if len * 2 > CHUNK { CHUNK } else { len }))
    }

    /// Hands out the first `len` bytes of a buffer.
    pub(super) fn hand_out(&mut self, buffer: BytesMut, len: usize) -> Bytes {
        let whole = buffer.freeze();
        let piece = whole.slice(..len);
        if whole.len() == CHUNK && self.0.len() < KEPT_PER_STREAM {
            self.0.push(whole);
        }
        piece
    }

    /// Leaves what is free to the next stream.
    pub(super) fn give_back(&mut self, pool: &Pool) {
        for whole in self.0.drain(..) {
            if let Ok(buffer) = whole.try_into_mut() {
                pool.put(buffer);
            }
        }
    }
}

impl Pool {
    pub(super) fn put(&self, buffer: BytesMut) {
        let mut idle = lock(&self.0);
        if idle.len() < KEPT_PER_STORE && buffer.len() == CHUNK {
            idle.push(buffer);
        }
    }

    fn take(&self) -> Option<BytesMut> {
        lock(&self.0).pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_piece_gives_its_buffer_back_and_a_held_one_does_not() {
        let (mut buffers, pool) = (Buffers::default(), Pool::default());
        let buffer = buffers.take(CHUNK, &pool);
        let address = buffer.as_ptr();
        let piece = buffers.hand_out(buffer, 10);
        assert_eq!(piece.len(), 10);
        let other = buffers.take(CHUNK, &pool);
        assert_ne!(other.as_ptr(), address, "the piece is still held");
        drop(piece);
        let again = buffers.take(CHUNK, &pool);
        assert_eq!((again.as_ptr(), again.len()), (address, CHUNK));
        drop(buffers.hand_out(again, CHUNK));
        buffers.give_back(&pool);
        assert_eq!(Buffers::default().take(CHUNK, &pool).as_ptr(), address, "the next stream gets it");
    }

    #[test]
    fn a_small_read_has_a_small_buffer() {
        let (mut buffers, pool) = (Buffers::default(), Pool::default());
        let buffer = buffers.take(100, &pool);
        assert_eq!(buffer.len(), 100);
        assert_eq!(buffers.hand_out(buffer, 100).len(), 100);
        assert!(buffers.0.is_empty());
    }
}
