//! Patterns of tags, in which `*` stands for any run of characters.

use std::fmt;

use larder_oci::Tag;

/// Wildcards that one pattern may have.
const WILDCARDS: usize = 4;

/// A pattern of tags: `prod*`, `*-rc*`. It matches the whole tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern(Box<str>);

impl TagPattern {
    /// Reads a pattern; an error says what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        if text.len() > Tag::MAX_LEN || !text.bytes().all(is_tag_byte_or_wildcard) {
            return Err(format!("`{text}` cannot match a tag"));
        }
        let wildcards = text.bytes().filter(|byte| *byte == b'*').count();
        if wildcards > WILDCARDS {
            return Err(format!("`{text}` has {wildcards} wildcards; at most {WILDCARDS} are allowed"));
        }
        Ok(Self(text.into()))
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches the whole tag.
    pub fn matches(&self, tag: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else { return *self.0 == *tag };
        let Some(mut tag) = tag.strip_prefix(first) else { return false };
        let mut pieces: Vec<&str> = rest.split('*').collect();
        let last = pieces.pop().unwrap_or_default();
        for piece in pieces {
            // The earliest place leaves the most to what follows.
            let Some(at) = tag.find(piece) else { return false };
            tag = &tag[at + piece.len()..];
        }
        tag.len() >= last.len() && tag.ends_with(last)
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

pub(super) fn is_tag_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn is_tag_byte_or_wildcard(byte: u8) -> bool {
    is_tag_byte(byte) || byte == b'*'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_any_run_of_characters() {
        for (pattern, matching, other) in [
            ("prod*", &["prod", "prod-1", "production"][..], &["prd", "xprod"][..]),
            ("*", &["a", "latest"], &[]),
            ("prod", &["prod"], &["prod1", "pro"]),
            ("*-rc*", &["1-rc", "1.0-rc2"], &["rc", "1.0rc"]),
            ("a*b*c", &["abc", "a-b-c", "abbc", "abcbc"], &["ab", "acb", "abcx"]),
            ("*test*1*2*3", &["test123", "x-test-1-2-3"], &["test12", "test1234"]),
            ("ab*ba", &["abba", "ab-ba"], &["aba"]),
        ] {
            let pattern = TagPattern::read(pattern).expect("it is a pattern");
            for tag in matching {
                assert!(pattern.matches(tag), "{pattern} {tag}");
            }
            for tag in other {
                assert!(!pattern.matches(tag), "{pattern} {tag}");
            }
        }
    }

    #[test]
    fn a_pattern_has_at_most_four_wildcards() {
        assert!(TagPattern::read("test*1*2*3*").is_ok());
        let wrong = TagPattern::read("test*1*2*3*4*5*6").expect_err("six wildcards");
        assert_eq!(wrong, "`test*1*2*3*4*5*6` has 6 wildcards; at most 4 are allowed");
        assert!(TagPattern::read("").is_err() && TagPattern::read("a/b").is_err());
    }
}
