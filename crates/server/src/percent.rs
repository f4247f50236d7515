//! Percent-encoding, both ways.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What need not be encoded in a query's value. `/` and `:` are common in names and digests, and allowed there.
const QUERY_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b':');

/// Encodes one value of a query.
pub(crate) fn encode(value: &str) -> String {
    utf8_percent_encode(value, QUERY_VALUE).to_string()
}

/// Decodes once. `None` for a broken escape, for what is not UTF-8, and for escapes that would change what a path means: `/`, `\`, `%` and control
/// characters. So an encoded path is either the same as its plain form, or no path at all (reliability A9).
pub(crate) fn decode_segment(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    if !escapes_are_whole(segment) {
        return None;
    }
    let decoded = percent_decode_str(segment).decode_utf8().ok()?;
    let changes_meaning = |c: char| matches!(c, '/' | '\\' | '%') || c.is_control();
    if decoded.contains(changes_meaning) { None } else { Some(decoded) }
}

/// Decodes a form value: `+` is a space. Broken escapes stand for themselves.
pub(crate) fn decode_form(value: &str) -> String {
    let spaced = value.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn escapes_are_whole(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'%')
        .all(|(at, _)| bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_decoded_once_and_never_becomes_a_path() {
        assert_eq!(decode_segment("sha256%3Aab").as_deref(), Some("sha256:ab"));
        assert_eq!(decode_segment("plain").as_deref(), Some("plain"));
        for bad in ["a%2Fb", "a%2fb", "%252e", "%00", "%5c", "%", "%4", "%zz", "%ff"] {
            assert_eq!(decode_segment(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_encoded_comes_back() {
        for value in ["a/b", "v1+x", "ü &=#", "sha256:00"] {
            assert_eq!(decode_form(&encode(value)), value);
        }
    }
}
