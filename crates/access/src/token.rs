//! Tokens as people and machines hold them: `ldr_`, 36 random characters, and a checksum.
//!
//! The prefix and the checksum let secret scanners find a leaked one without asking, and let a mistyped one be refused without a look-up.
//! What is stored is the SHA-256 of the whole: 214 random bits need no slow hash.

use std::fmt;

use aws_lc_rs::{digest, rand};

/// What every token begins with.
pub const PREFIX: &str = "ldr_";

const RANDOM: usize = 36;
const CHECKSUM: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token in the clear. It is shown once, where it was made; its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainToken(String);

impl PlainToken {
    /// A new one.
    pub fn generate() -> Self {
        let mut text = String::with_capacity(PREFIX.len() + RANDOM + CHECKSUM);
        text.push_str(PREFIX);
        let mut bytes = [0; 64];
        while text.len() < PREFIX.len() + RANDOM {
            rand::fill(&mut bytes).expect("the operating system gives random bytes");
            // 248 = 4 x 62: what lies above would make the first digits likelier.
            let fair = bytes.iter().filter(|byte| **byte < 248);
            let missing = PREFIX.len() + RANDOM - text.len();
            text.extend(fair.take(missing).map(|byte| char::from(DIGITS[usize::from(byte % 62)])));
        }
        let checksum = checksum(&text);
        text.push_str(&checksum);
        Self(text)
    }

    /// Reads one; nothing for anything that cannot be one, whatever is stored.
    pub fn parse(text: &str) -> Option<Self> {
        let body = text.strip_prefix(PREFIX)?;
        let is_token = body.len() == RANDOM + CHECKSUM && body.bytes().all(|b| b.is_ascii_alphanumeric());
        let (signed, sum) = text.split_at_checked(PREFIX.len() + RANDOM)?;
        (is_token && checksum(signed) == sum).then(|| Self(text.to_owned()))
    }

    /// Whether the text claims to be a token, right or not.
    pub fn is_claimed(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The token itself, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What the catalog knows it by.
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }
}

impl fmt::Debug for PlainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainToken")
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A random name of `length` letters and digits, for ids: not secret, never guessed twice.
pub(crate) fn random_id(length: usize) -> String {
    let token = PlainToken::generate();
    token.0[PREFIX.len()..PREFIX.len() + length.min(RANDOM)].to_owned()
}

fn checksum(text: &str) -> String {
    let mut sum = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(sum % 62) as usize];
        sum /= 62;
    }
    digits.iter().copied().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_no_other_does() {
        let token = PlainToken::generate();
        let text = token.reveal();
        assert_eq!(text.len(), 46);
        assert_eq!(PlainToken::parse(text), Some(token.clone()));
        for at in 0..text.len() {
            let mut other = text.to_owned().into_bytes();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(PlainToken::parse(&String::from_utf8(other).unwrap()), None, "changed at {at}");
        }
        assert_eq!(PlainToken::parse(&text[..45]), None);
        assert_eq!(PlainToken::parse(&format!("{text}x")), None);
        assert_eq!(PlainToken::parse("ldr_ä"), None);
        assert_eq!(PlainToken::parse(""), None);
    }

    #[test]
    fn the_checksum_is_that_of_the_documents() {
        let known = "ldr_000000000000000000000000000000000000";
        assert_eq!(checksum(known), "3JlNUb");
    }

    #[test]
    fn two_tokens_differ_and_show_nothing() {
        let (one, two) = (PlainToken::generate(), PlainToken::generate());
        assert_ne!(one, two);
        assert_ne!(one.hash(), two.hash());
        assert!(!format!("{one:?}").contains(&one.reveal()[4..]));
    }
}
