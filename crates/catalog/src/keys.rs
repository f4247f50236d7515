//! How digests are stored: one byte for the algorithm and then the digest's bytes, which keeps the order of [`Digest`] (**Invariant 7**).

use larder_oci::{Algorithm, Digest, EdgeKind};

/// The stored form of a digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct DigestKey {
    bytes: [u8; 65],
    length: usize,
}

impl DigestKey {
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl std::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x?}", self.as_slice())
    }
}

/// A digest as it is stored.
pub(crate) fn encode(digest: &Digest) -> DigestKey {
    let raw = digest.as_bytes();
    let mut bytes = [0; 65];
    bytes[0] = algorithm_number(digest.algorithm());
    bytes[1..=raw.len()].copy_from_slice(raw);
    DigestKey { bytes, length: raw.len() + 1 }
}

/// A stored digest.
pub(crate) fn decode(stored: &[u8]) -> Option<Digest> {
    let (number, raw) = stored.split_first()?;
    Digest::new(algorithm(i64::from(*number))?, raw).ok()
}

/// The stored form of an algorithm.
pub(crate) fn algorithm_number(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha256 => 1,
        Algorithm::Sha512 => 2,
    }
}

/// A stored algorithm.
pub(crate) fn algorithm(number: i64) -> Option<Algorithm> {
    match number {
        1 => Some(Algorithm::Sha256),
        2 => Some(Algorithm::Sha512),
        _ => None,
    }
}

/// The stored form of a kind of edge; `None` for subjects, which hold nothing and have a table of their own.
pub(crate) fn edge_number(kind: EdgeKind) -> Option<i64> {
    match kind {
        EdgeKind::Config => Some(1),
        EdgeKind::Layer => Some(2),
        EdgeKind::Child => Some(3),
        EdgeKind::Subject => None,
    }
}
