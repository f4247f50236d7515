//! The name of an upload session.
//!
//! The specification asks for a UUID in the upload's location. Randomness comes from the caller:
//! this crate only knows the form.

use std::fmt;
use std::str::FromStr;

use crate::parse_error::{ParseError, shown};
use crate::text::serde_as_text;

/// Characters in the text of an id.
const TEXT: usize = 36;
/// Where the text has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// An upload session's id: 16 bytes, written as a hyphenated lowercase UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId([u8; 16]);

impl UploadId {
    /// An id of bytes the caller drew at random (or read back).
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for UploadId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text.as_bytes()).map(Self).ok_or_else(|| ParseError::UploadId(shown(text)))
    }
}

/// Strict: one text per id, so that a path holds no second spelling of a session.
fn parse(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != TEXT {
        return None;
    }
    let mut bytes = [0; 16];
    let mut nibbles = 0;
    for (position, &character) in text.iter().enumerate() {
        if HYPHENS.contains(&position) {
            if character != b'-' {
                return None;
            }
            continue;
        }
        let value = match character {
            b'0'..=b'9' => character - b'0',
            b'a'..=b'f' => character - b'a' + 10,
            _ => return None,
        };
        bytes[nibbles / 2] = bytes[nibbles / 2] << 4 | value;
        nibbles += 1;
    }
    Some(bytes)
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; TEXT];
        let places = (0..TEXT).filter(|place| !HYPHENS.contains(place));
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (place, nibble) in places.zip(nibbles) {
            text[place] = DIGITS[usize::from(nibble)];
        }
        f.pad(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadId({self})")
    }
}

serde_as_text!(UploadId, "a hyphenated lowercase UUID");
