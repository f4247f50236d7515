//! Tags, and the tag that stands in for the referrers API.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::digest::Digest;
use crate::parse_error::{ParseError, shown};
use crate::text::serde_as_text;

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`, ordered by its bytes (ASCIIbetically).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The longest tag, in characters.
    pub const MAX_LEN: usize = 128;

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text is a tag, without making one.
    pub fn is_valid(text: &str) -> bool {
        text.len() <= Self::MAX_LEN
            && !text.is_empty()
            && !text.starts_with(['.', '-'])
            && text.bytes().all(is_tag_byte)
    }
}

const fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

impl FromStr for Tag {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if Self::is_valid(text) { Ok(Self(Arc::from(text))) } else { Err(ParseError::Tag(shown(text))) }
    }
}

impl TryFrom<&str> for Tag {
    type Error = ParseError;

    fn try_from(text: &str) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

serde_as_text!(Tag, "a tag");

/// The tag under which a client keeps the referrers of a digest where the referrers API is missing:
/// `<algorithm, at most 32>-<encoded, at most 64>` (distribution-spec, Referrers Tag Schema).
///
/// An ordinary tag. It is no alias of the digest and must never be resolved as one.
pub fn fallback_tag(digest: &Digest) -> Tag {
    let hex = digest.hex();
    let text = format!("{}-{}", digest.algorithm(), &hex[..hex.len().min(64)]);
    debug_assert!(Tag::is_valid(&text));
    Tag(Arc::from(text))
}
