//! Digests: an algorithm and its bytes.
//!
//! **Invariant 7**: a digest is (algorithm, hex). Nothing here turns one algorithm's digest into
//! another's, and `Display` gives back exactly what `FromStr` took.

use std::fmt;
use std::str::FromStr;

use crate::parse_error::{ParseError, shown};
use crate::text::serde_as_text;

/// The longest digest there is, in bytes.
const MAX_BYTES: usize = 64;
/// The longest text of a digest: `sha512:` and its hexadecimal digits.
const MAX_TEXT: usize = 7 + 2 * MAX_BYTES;

/// A hash function that a digest may be made with (image-spec v1.1.1, registered algorithms).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256: 32 bytes.
    Sha256,
    /// SHA-512: 64 bytes.
    Sha512,
}

impl Algorithm {
    /// Every algorithm, in order.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name before the colon of a digest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Bytes in a digest of this algorithm.
    pub const fn byte_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// Hexadecimal digits in a digest of this algorithm.
    pub const fn hex_len(self) -> usize {
        2 * self.byte_len()
    }

    /// The byte that stands for the algorithm in [`Digest::to_stored`]. Never renumber.
    const fn code(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_name(text).ok_or_else(|| ParseError::Algorithm(shown(text)))
    }
}

serde_as_text!(Algorithm, "a digest algorithm");

/// The name of some bytes by their hash: `sha256:…` or `sha512:…`.
///
/// Ordered by algorithm, then by bytes, as [`Digest::to_stored`] sorts in a database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero behind the algorithm's length, so that the derived comparisons hold.
    bytes: [u8; MAX_BYTES],
}

impl Digest {
    /// A digest of the raw output of a hash function.
    ///
    /// # Errors
    /// [`ParseError::DigestLength`] unless there are exactly as many bytes as the algorithm yields.
    pub fn new(algorithm: Algorithm, bytes: &[u8]) -> Result<Self, ParseError> {
        let expected = algorithm.byte_len();
        if bytes.len() != expected {
            return Err(ParseError::DigestLength { algorithm, expected, actual: bytes.len() });
        }
        let mut padded = [0; MAX_BYTES];
        padded[..expected].copy_from_slice(bytes);
        Ok(Self { algorithm, bytes: padded })
    }

    /// Reads what [`Digest::to_stored`] wrote.
    ///
    /// # Errors
    /// [`ParseError::StoredDigest`] for anything else.
    pub fn from_stored(stored: &[u8]) -> Result<Self, ParseError> {
        let unknown = || ParseError::StoredDigest(stored.len());
        let (&code, bytes) = stored.split_first().ok_or_else(unknown)?;
        let algorithm = Algorithm::ALL.into_iter().find(|known| known.code() == code).ok_or_else(unknown)?;
        Self::new(algorithm, bytes).map_err(|_| unknown())
    }

    /// One byte for the algorithm (1 = sha256, 2 = sha512), then the raw bytes: a database key.
    pub fn to_stored(&self) -> Vec<u8> {
        let mut stored = Vec::with_capacity(1 + self.algorithm.byte_len());
        stored.push(self.algorithm.code());
        stored.extend_from_slice(self.as_bytes());
        stored
    }

    /// The hash function.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw hash, as long as the algorithm says.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.byte_len()]
    }

    /// The hash in lowercase hexadecimal, without the algorithm.
    pub fn hex(&self) -> String {
        hex_of(self.as_bytes())
    }

    /// The first 12 hexadecimal digits, for people. Not unique; never look anything up by it.
    pub fn short(&self) -> String {
        hex_of(&self.bytes[..6])
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let invalid = || ParseError::Digest(shown(text));
        let (name, hex) = text.split_once(':').ok_or_else(invalid)?;
        let Some(algorithm) = Algorithm::from_name(name) else {
            return Err(if is_algorithm_like(name) { ParseError::Algorithm(shown(name)) } else { invalid() });
        };
        if hex.len() != algorithm.hex_len() {
            return Err(invalid());
        }
        let mut bytes = [0; MAX_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0]).ok_or_else(invalid)? << 4 | nibble(pair[1]).ok_or_else(invalid)?;
        }
        Ok(Self { algorithm, bytes })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.algorithm.as_str();
        let length = name.len() + 1 + self.algorithm.hex_len();
        let mut text = [0; MAX_TEXT];
        text[..name.len()].copy_from_slice(name.as_bytes());
        text[name.len()] = b':';
        write_hex(self.as_bytes(), &mut text[name.len() + 1..length]);
        f.pad(std::str::from_utf8(&text[..length]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl std::hash::Hash for Digest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.algorithm.hash(state);
        self.as_bytes().hash(state);
    }
}

serde_as_text!(Digest, "a digest, ALGORITHM:HEX");

/// Whether the specification's grammar for an algorithm admits the text (image-spec, Digests).
fn is_algorithm_like(name: &str) -> bool {
    name.split(['+', '.', '_', '-']).all(|component| {
        !component.is_empty() && component.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

/// The value of a lowercase hexadecimal digit: uppercase is not a digest (image-spec, `encoded`).
const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn write_hex(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn hex_of(bytes: &[u8]) -> String {
    let mut text = vec![0; 2 * bytes.len()];
    write_hex(bytes, &mut text);
    String::from_utf8(text).expect("hexadecimal digits are ASCII")
}
