//! Patterns of tags: text in which `*` is any run of characters.

use std::fmt;
use std::str::FromStr;

/// The longest tag has so many characters.
const LONGEST: usize = 128;

/// A pattern such as `prod`, `v*` or `*-rc*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern(String);

impl TagPattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the tag is one of those meant.
    pub fn matches(&self, tag: &str) -> bool {
        let Some((head, rest)) = self.0.split_once('*') else { return self.0 == tag };
        let Some(mut left) = tag.strip_prefix(head) else { return false };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let last = parts.pop().unwrap_or("");
        for part in parts {
            match left.find(part) {
                Some(at) => left = &left[at + part.len()..],
                None => return false,
            }
        }
        left.ends_with(last)
    }
}

impl FromStr for TagPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'*');
        if text.is_empty() || text.len() > LONGEST || !text.bytes().all(fits) {
            return Err(format!("`{text}` is no pattern of tags: write for example `prod` or `v*`"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("prod", &["prod"], &["prod2", "aprod", ""]),
            ("v*", &["v", "v1.2"], &["1", "av"]),
            ("*-rc*", &["1-rc", "1-rc2", "-rc"], &["1rc", "1-r"]),
            ("a*b*b", &["abb", "axbxb", "abbb"], &["ab", "abx"]),
            ("*", &["", "x"], &[]),
        ];
        for (pattern, yes, no) in cases {
            let pattern: TagPattern = pattern.parse().expect("it is a pattern");
            assert!(yes.iter().all(|tag| pattern.matches(tag)), "{pattern}");
            assert!(!no.iter().any(|tag| pattern.matches(tag)), "{pattern}");
        }
        for wrong in ["", "a b", "ä", "a/b"] {
            assert!(wrong.parse::<TagPattern>().is_err(), "{wrong}");
        }
    }
}
