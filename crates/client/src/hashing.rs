//! Digests computed while bytes stream by.

use std::io::Read;

use larder_oci::digest::{Algorithm, Digest};
use sha2::Digest as _;

use crate::error::{Error, Result};

/// How much is read or hashed at a time.
pub(crate) const BUFFER: usize = 512 * 1024;

/// A digest in the making.
#[derive(Clone, Debug)]
pub struct Hasher {
    state: State,
    length: u64,
}

#[derive(Clone, Debug)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        let state = match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
        };
        Self { state, length: 0 }
    }

    /// The digest of bytes in memory.
    pub fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        let mut hasher = Self::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.length += bytes.len() as u64;
        match &mut self.state {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// Takes everything that `reader` has; blocks.
    pub fn update_from(&mut self, reader: &mut impl Read) -> std::io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => self.update(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// How many bytes it has seen.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The digest of all that was taken.
    pub fn finish(self) -> Digest {
        match self.state {
            State::Sha256(state) => named(Algorithm::Sha256, &state.finalize()),
            State::Sha512(state) => named(Algorithm::Sha512, &state.finalize()),
        }
    }

    /// **Invariant 12**, on this side of the wire: bytes count as content only when their hash and length are those promised.
    pub fn verify(self, subject: &str, expected: &Digest, size: u64) -> Result<()> {
        if self.length != size {
            return Err(Error::LengthMismatch { subject: subject.to_owned(), expected: size, actual: self.length });
        }
        let actual = self.finish();
        if actual == *expected {
            return Ok(());
        }
        Err(Error::DigestMismatch {
            subject: subject.to_owned(),
            expected: Box::new(*expected),
            actual: Box::new(actual),
        })
    }
}

fn named(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    Digest::new(algorithm, bytes).expect("a hash function's output has its algorithm's length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_all_pieces_in_order() {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(b"ab");
        hasher.update(b"c");
        let digest = hasher.finish();
        assert_eq!(digest.to_string(), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest, Hasher::digest(Algorithm::Sha256, b"abc"));
    }

    #[test]
    fn wrong_bytes_and_wrong_lengths_are_told_apart() {
        let digest = Hasher::digest(Algorithm::Sha512, b"abc");
        let hasher = |bytes: &[u8]| {
            let mut hasher = Hasher::new(Algorithm::Sha512);
            hasher.update(bytes);
            hasher
        };
        assert!(hasher(b"abc").verify("x", &digest, 3).is_ok());
        assert!(matches!(hasher(b"abd").verify("x", &digest, 3), Err(Error::DigestMismatch { .. })));
        assert!(matches!(hasher(b"ab").verify("x", &digest, 3), Err(Error::LengthMismatch { .. })));
    }
}
