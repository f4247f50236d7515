//! The first whole read of bytes that nobody has hashed yet: they are hashed on their way, and the last piece leaves only if they are right.

use bytes::Bytes;
use futures::StreamExt as _;
use larder_blobs::BlobStream;
use larder_blobs::hash::Hasher;
use larder_catalog::model::BlobRow;

use crate::Registry;

struct Checked {
    registry: Registry,
    row: BlobRow,
    stream: BlobStream,
    hasher: Option<Hasher>,
    held: Option<Bytes>,
}

/// The bytes of `row`, of which `stream` is all. A reader that goes before the end decides nothing.
pub(crate) fn checked(registry: Registry, row: BlobRow, stream: BlobStream) -> BlobStream {
    let hasher = Some(Hasher::new(row.blob.digest.algorithm()));
    let state = Checked { registry, row, stream, hasher, held: None };
    Box::pin(futures::stream::try_unfold(state, |mut state| async move {
        loop {
            match state.stream.next().await.transpose()? {
                Some(piece) => {
                    if let Some(hasher) = &mut state.hasher {
                        hasher.update(&piece);
                    }
                    if let Some(before) = state.held.replace(piece) {
                        return Ok(Some((before, state)));
                    }
                }
                None => return state.end().map(|last| last.map(|last| (last, state))),
            }
        }
    }))
}

impl Checked {
    /// **Invariant 12**, as far as it can be held here: whoever gets all bytes gets the right ones.
    fn end(&mut self) -> std::io::Result<Option<Bytes>> {
        let Some(hasher) = self.hasher.take() else { return Ok(None) };
        let (registry, row) = (self.registry.clone(), self.row.clone());
        if hasher.finish() == row.blob.digest {
            tokio::spawn(async move {
                if let Err(error) = registry.inner.catalog.mark_verified(&[row.blob.key]).await {
                    tracing::warn!(digest = %row.blob.digest, %error, "could not note that bytes are right");
                }
            });
            return Ok(self.held.take());
        }
        tokio::spawn(async move { registry.suspect(&row).await });
        Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "the bytes do not match their digest"))
    }
}
