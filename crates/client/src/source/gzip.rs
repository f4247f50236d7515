//! Compressing a layer so that the same tar always gives the same bytes: no name, no time in the header.

use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder};
use tempfile::TempPath;

use larder_oci::digest::{Algorithm, Digest};

use super::spool::temporary;
use crate::error::{Error, Result};
use crate::hashing::{BUFFER, Hasher};

/// The first bytes of a gzip stream.
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The first bytes of a zstd frame.
pub(super) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A layer after compression.
#[derive(Debug)]
pub(super) struct Compressed {
    /// Where it lies.
    pub(super) path: TempPath,
    /// What it is called now.
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// The digest of the tar inside: the layer's `diff_id`, which compression does not change.
    pub(super) diff_id: Digest,
}

/// Compresses everything from `reader`; blocks. `read` hears how many bytes were taken.
pub(super) fn compress(reader: &mut impl Read, mut read: impl FnMut(u64)) -> Result<Compressed> {
    let (file, path) = temporary()?;
    let io = |error: io::Error| Error::io(&path, error);
    let sink = Hashing { file, hasher: Hasher::new(Algorithm::Sha256) };
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(sink, Compression::default());
    let mut inside = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io(error)),
        };
        inside.update(&buffer[..count]);
        encoder.write_all(&buffer[..count]).map_err(io)?;
        read(count as u64);
    }
    let sink = encoder.finish().map_err(io)?;
    let size = sink.hasher.length();
    Ok(Compressed { digest: sink.hasher.finish(), size, diff_id: inside.finish(), path })
}

/// A file that knows the digest of what was written.
struct Hashing {
    file: std::fs::File,
    hasher: Hasher,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_tar_gives_the_same_bytes_and_comes_back() {
        let content: Vec<u8> = (0..2_000_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let first = compress(&mut &content[..], |_| ()).expect("compressed");
        let second = compress(&mut &content[..], |_| ()).expect("compressed");
        assert_eq!(first.digest, second.digest);
        assert_eq!(first.diff_id, Hasher::digest(Algorithm::Sha256, &content));
        let bytes = std::fs::read(&first.path).expect("readable");
        assert_eq!((bytes.len() as u64, Hasher::digest(Algorithm::Sha256, &bytes)), (first.size, first.digest));
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut back).expect("gzip");
        assert_eq!(back, content);
    }
}
