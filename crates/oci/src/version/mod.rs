//! Versions as people write them in tags: read, ordered, and picked by ranges.
//!
//! One order for SemVer, for PEP 440 and for versions of one or two parts; [`TagForm`] says what a tag is altogether.

mod calendar;
mod form;
mod key;
mod range;
mod suffix;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

pub use self::form::{TagForm, TagKind};
pub use self::key::{TagKey, VersionScope};
pub use self::range::VersionRange;
use self::suffix::Suffix;
use crate::parse_error::{ParseError, shown};
use crate::tag::Tag;
use crate::text::serde_as_text;

/// Digits of a bare number from which on it is no version of one part: a commit of digits alone has as many.
const COMMIT_DIGITS: usize = 7;

/// A version: one to three parts, with or without `v`, with a SemVer pre-release (`1.2.0-rc.1`) or a PEP 440 one (`1.2.0rc1`, `.post1`,
/// `.dev1`), and with build metadata after `_` or `+`.
///
/// Missing parts are zero, and metadata counts for nothing: `1.2`, `v1.2.0` and `1.2.0_cu118` are equal, and each comes back as it was
/// written. `-rc2` is PEP 440's second candidate, so `-rc10` comes after it.
#[derive(Clone, Debug)]
pub struct Version {
    text: Box<str>,
    release: [u64; 3],
    parts: usize,
    pre_release: bool,
    key: Vec<u8>,
}

impl Version {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Major, minor and patch; zero where not written.
    pub fn release(&self) -> [u64; 3] {
        self.release
    }

    /// How many of them were written.
    pub fn parts(&self) -> usize {
        self.parts
    }

    /// Whether it comes before its release: `-rc.1`, `a1`, `.dev3`.
    pub fn is_pre_release(&self) -> bool {
        self.pre_release
    }

    /// Whether it is a version by SemVer 2.0.0 to the letter, with a `v` before it or not and `_` for `+`.
    pub fn is_semver(&self) -> bool {
        let text = self.text.strip_prefix('v').unwrap_or(&self.text);
        let (text, metadata) = split_metadata(text);
        let (release, pre) = text.split_once('-').map_or((text, None), |(release, pre)| (release, Some(pre)));
        let number = |part: &str| is_number(part) && (part == "0" || !part.starts_with('0'));
        let identifier = |part: &str| !is_number(part) || number(part);
        self.parts == 3
            && release.split('.').all(number)
            && pre.is_none_or(|pre| are_identifiers(pre) && pre.split('.').all(identifier))
            && metadata.is_none_or(are_identifiers)
    }

    /// A bound of a range.
    fn of_release(release: [u64; 3]) -> Self {
        let [major, minor, patch] = release;
        Self::new(&format!("{major}.{minor}.{patch}"), release, 3, &Suffix::default())
    }

    fn new(text: &str, release: [u64; 3], parts: usize, suffix: &Suffix) -> Self {
        let key = key::of_version(&release, suffix);
        Self { text: text.into(), release, parts, pre_release: suffix.is_pre_release(), key }
    }
}

impl FromStr for Version {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        read(text).ok_or_else(|| ParseError::Version(shown(text)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

serde_as_text!(Version, "a version");

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Version {}

fn read(text: &str) -> Option<Version> {
    if text.len() > Tag::MAX_LEN {
        return None;
    }
    let bare = text.strip_prefix('v').unwrap_or(text);
    let (body, metadata) = split_metadata(bare);
    if metadata.is_some_and(|metadata| !is_metadata(metadata)) {
        return None;
    }
    let (numbers, rest) = split_release(body)?;
    let is_bare_number = numbers.len() == body.len() && metadata.is_none() && bare.len() == text.len();
    if is_bare_number && !numbers.contains('.') && numbers.len() >= COMMIT_DIGITS {
        return None;
    }
    let suffix = Suffix::read(rest)?;
    let mut release = [0; 3];
    let mut parts = 0;
    for number in numbers.split('.') {
        *release.get_mut(parts)? = number.parse().ok()?;
        parts += 1;
    }
    Some(Version::new(text, release, parts, &suffix))
}

/// The numbers with dots between them, and what follows. A dot belongs to them only if a digit comes after it.
fn split_release(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let end = (0..bytes.len()).find(|&at| !(is_digit(at) || bytes[at] == b'.' && is_digit(at + 1)));
    let (release, rest) = text.split_at(end.unwrap_or(bytes.len()));
    is_digit(0).then_some((release, rest))
}

/// `_` stands for `+` where a tag cannot hold one, as Helm writes it.
fn split_metadata(text: &str) -> (&str, Option<&str>) {
    text.split_once(['_', '+']).map_or((text, None), |(body, metadata)| (body, Some(metadata)))
}

fn is_metadata(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

fn are_identifiers(text: &str) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
