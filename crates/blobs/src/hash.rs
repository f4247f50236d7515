//! The running hash of an upload, whose state can be saved and taken up again.
//!
//! It knows algorithms and bytes, nothing about where the bytes go.

use larder_oci::{Algorithm, Digest};
use sha2::digest::Update;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

/// First byte of every saved state. `sha2` keeps its layout stable within one minor line only, so whoever moves to another line
/// raises this number: an upload saved before then starts again instead of hashing on from nonsense.
const STATE_VERSION: u8 = 1;

/// A running hash over one of the two algorithms (**Invariant 7** is decided by whoever names the algorithm).
#[derive(Clone)]
pub enum Hasher {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-512.
    Sha512(Sha512),
}

impl Hasher {
    /// A hash of no bytes yet.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    /// Takes up a state that [`save`](Self::save) returned. `None` when it is not one of this algorithm and version.
    pub fn restore(algorithm: Algorithm, state: &[u8]) -> Option<Self> {
        let (&version, state) = state.split_first()?;
        if version != STATE_VERSION {
            return None;
        }
        Some(match algorithm {
            Algorithm::Sha256 => Self::Sha256(deserialize(state)?),
            Algorithm::Sha512 => Self::Sha512(deserialize(state)?),
        })
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => Update::update(hash, bytes),
            Self::Sha512(hash) => Update::update(hash, bytes),
        }
    }

    /// The state after the bytes so far, about 100 bytes for SHA-256 and 200 for SHA-512.
    pub fn save(&self) -> Vec<u8> {
        let mut state = vec![STATE_VERSION];
        match self {
            Self::Sha256(hash) => state.extend_from_slice(&hash.serialize()),
            Self::Sha512(hash) => state.extend_from_slice(&hash.serialize()),
        }
        state
    }

    /// The digest of all bytes.
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hash) => digest(Algorithm::Sha256, &hash.finalize()),
            Self::Sha512(hash) => digest(Algorithm::Sha512, &hash.finalize()),
        }
    }

    /// Which algorithm runs.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hasher({})", self.algorithm())
    }
}

/// The digest of `bytes`, for content that is already in memory.
pub fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    Digest::new(algorithm, bytes).expect("a hash is as long as its algorithm says")
}

fn deserialize<T: SerializableState>(state: &[u8]) -> Option<T> {
    T::deserialize(&SerializedState::<T>::try_from(state).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

    #[test]
    fn digests_agree_with_the_published_vectors() {
        assert_eq!(
            digest_of(Algorithm::Sha256, b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            digest_of(Algorithm::Sha512, b"abc").to_string(),
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
    }

    #[test]
    fn a_saved_state_continues_at_every_offset_of_three_blocks() {
        let bytes: Vec<u8> = (0..400u32).map(|i| (i * 7) as u8).collect();
        for algorithm in ALGORITHMS {
            let whole = digest_of(algorithm, &bytes);
            for cut in 0..bytes.len() {
                let mut first = Hasher::new(algorithm);
                first.update(&bytes[..cut]);
                let mut second = Hasher::restore(algorithm, &first.save()).expect("own state");
                second.update(&bytes[cut..]);
                assert_eq!(second.finish(), whole, "{algorithm} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_strange_state_is_refused() {
        let state = Hasher::new(Algorithm::Sha256).save();
        assert!(Hasher::restore(Algorithm::Sha512, &state).is_none());
        assert!(Hasher::restore(Algorithm::Sha256, &state[..state.len() - 1]).is_none());
        assert!(Hasher::restore(Algorithm::Sha256, &[]).is_none());
        let mut newer = state;
        newer[0] += 1;
        assert!(Hasher::restore(Algorithm::Sha256, &newer).is_none());
    }
}
