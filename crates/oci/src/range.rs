//! Byte ranges: those a reader asks for (RFC 9110 §14) and those an upload's chunks carry.
//!
//! The two look alike and are not: a chunk's `Content-Range` has no unit and no total
//! (distribution-spec, Pushing a blob in chunks), which is why parsers of HTTP libraries reject it.

use std::fmt;
use std::str::FromStr;

use crate::parse_error::{ParseError, shown};

/// The `Range` header of a read.
#[derive(Debug, Clone, Copy)]
pub struct ByteRanges;

/// What to do about a `Range` header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RangeOutcome {
    /// Another unit, or malformed: serve the whole content with 200, as if there were no header.
    Ignore,
    /// Nothing that was asked for exists: 416.
    NotSatisfiable,
    /// More ranges than served at once, or ranges that overlap or run backwards: 400. Answering
    /// them would multiply the bytes sent for one request (RFC 9110 §17.15).
    TooMany,
    /// These bytes: at least one span, ascending and disjoint.
    Satisfiable(Vec<Span>),
}

/// Some bytes of some content: never empty, both ends inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first byte.
    pub start: u64,
    /// The last byte.
    pub end_inclusive: u64,
}

impl Span {
    /// How many bytes.
    #[expect(clippy::len_without_is_empty, reason = "a span is never empty")]
    pub const fn len(&self) -> u64 {
        self.end_inclusive.saturating_sub(self.start).saturating_add(1)
    }

    /// The `Content-Range` of an answer with these bytes of `size`.
    pub fn content_range(&self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.end_inclusive)
    }
}

/// One element of the header, as written.
enum Spec {
    /// `first-last` and `first-`.
    From { first: u64, last: Option<u64> },
    /// `-length`.
    Suffix { length: u64 },
}

impl ByteRanges {
    /// The most ranges served for one request.
    pub const MAX: usize = 1024;

    /// Reads a `Range` header for content of `size` bytes.
    ///
    /// `bytes=500-0` is [`RangeOutcome::NotSatisfiable`], though RFC 9110 would let it be ignored:
    /// the conformance suite wants the 416.
    pub fn parse(header: &str, size: u64) -> RangeOutcome {
        let Some((unit, set)) = header.trim().split_once('=') else { return RangeOutcome::Ignore };
        if !unit.eq_ignore_ascii_case("bytes") {
            return RangeOutcome::Ignore;
        }
        let mut spans: Vec<Span> = Vec::new();
        let (mut count, mut backwards, mut tangled) = (0, false, false);
        // RFC 9110 §5.6.1.2: empty elements of a list do not count.
        for element in set.split(',').map(|e| e.trim_matches([' ', '\t'])).filter(|e| !e.is_empty()) {
            count += 1;
            if count > Self::MAX {
                return RangeOutcome::TooMany;
            }
            let Some(spec) = parse_spec(element) else { return RangeOutcome::Ignore };
            backwards |= matches!(spec, Spec::From { first, last: Some(last) } if last < first);
            if let Some(span) = resolve(&spec, size) {
                tangled |= spans.last().is_some_and(|before| span.start <= before.end_inclusive);
                spans.push(span);
            }
        }
        match (count, spans.is_empty()) {
            (0, _) => RangeOutcome::Ignore,
            (_, true) => RangeOutcome::NotSatisfiable,
            _ if backwards => RangeOutcome::NotSatisfiable,
            _ if tangled => RangeOutcome::TooMany,
            _ => RangeOutcome::Satisfiable(spans),
        }
    }
}

fn parse_spec(element: &str) -> Option<Spec> {
    let (first, last) = element.split_once('-')?;
    match (first, last) {
        ("", length) => Some(Spec::Suffix { length: saturating_number(length)? }),
        (first, "") => Some(Spec::From { first: saturating_number(first)?, last: None }),
        (first, last) => Some(Spec::From { first: saturating_number(first)?, last: Some(saturating_number(last)?) }),
    }
}

/// A number of any length: one beyond 64 bits is well-formed, and past every end.
fn saturating_number(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// The bytes meant, where some of them exist.
fn resolve(spec: &Spec, size: u64) -> Option<Span> {
    let end = size.checked_sub(1)?;
    match *spec {
        Spec::From { first, last } => {
            let end_inclusive = last.unwrap_or(end).min(end);
            (first <= end_inclusive).then_some(Span { start: first, end_inclusive })
        }
        Spec::Suffix { length: 0 } => None,
        Spec::Suffix { length } => Some(Span { start: size.saturating_sub(length), end_inclusive: end }),
    }
}

/// The bytes that a chunk of an upload carries, both ends inside: `START-END`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UploadRange {
    /// The chunk's first byte within the blob.
    pub start: u64,
    /// The chunk's last byte; never before `start`, and below `u64::MAX`.
    pub end: u64,
}

impl UploadRange {
    /// How many bytes the chunk must have.
    #[expect(clippy::len_without_is_empty, reason = "a chunk range is never empty")]
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start).saturating_add(1)
    }
}

impl FromStr for UploadRange {
    type Err = ParseError;

    /// Takes `START-END`, and what clients that think of RFC 9110 write: `bytes START-END/TOTAL`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_upload_range(text).ok_or_else(|| ParseError::UploadRange(shown(text)))
    }
}

fn parse_upload_range(text: &str) -> Option<UploadRange> {
    let text = text.strip_prefix("bytes ").unwrap_or(text);
    let range = match text.split_once('/') {
        Some((range, "*")) => range,
        Some((range, total)) => {
            number(total)?;
            range
        }
        None => text,
    };
    let (start, end) = range.split_once('-')?;
    let (start, end) = (number(start)?, number(end)?);
    (start <= end && end < u64::MAX).then_some(UploadRange { start, end })
}

/// Digits only: `u64::from_str` would also take a sign.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

impl fmt::Display for UploadRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

/// The `Range` of an upload that holds `offset` bytes: `0-LAST`.
///
/// An empty upload is `0-0`, as from one byte: docker fails on `0--1`, and the specification is
/// silent (distribution-spec issues 577 and 578).
pub fn upload_range(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}
