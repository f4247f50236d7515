//! What stands behind the numbers of a version: pre-release, post-release, development release.

use super::{are_identifiers, is_number};

/// PEP 440's spellings of alpha, beta and release candidate; the longer ones of a kind first.
const PHASES: [(&str, &str); 8] = [
    ("alpha", "alpha"),
    ("beta", "beta"),
    ("preview", "rc"),
    ("pre", "rc"),
    ("rc", "rc"),
    ("a", "alpha"),
    ("b", "beta"),
    ("c", "rc"),
];

/// One identifier of a pre-release. Numbers are kept as digits: they may be longer than any integer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Identifier {
    /// Digits without leading zeros.
    Number(String),
    /// Anything else.
    Text(String),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Suffix {
    /// Empty for none.
    pub pre: Vec<Identifier>,
    pub post: Option<u64>,
    pub dev: Option<u64>,
}

impl Suffix {
    pub fn is_pre_release(&self) -> bool {
        !self.pre.is_empty() || self.dev.is_some()
    }

    /// Reads it: nothing, PEP 440's forms, or a SemVer pre-release.
    pub fn read(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        pep440(text).or_else(|| semver(text.strip_prefix('-')?))
    }
}

fn semver(text: &str) -> Option<Suffix> {
    let identifier = |part: &str| if is_number(part) { number(part) } else { Identifier::Text(part.to_owned()) };
    let pre = || text.split('.').map(identifier).collect();
    are_identifiers(text).then(|| Suffix { pre: pre(), ..Suffix::default() })
}

/// `a1`, `.post2`, `rc1.dev3`, …; with `.` or `-` before each or not. A number is asked for: `7b` is a model of seven billion parameters.
fn pep440(text: &str) -> Option<Suffix> {
    let mut suffix = Suffix::default();
    let mut rest = text;
    for (word, phase) in PHASES {
        if let Some((digits, after)) = numbered(rest, word) {
            suffix.pre = vec![Identifier::Text(phase.to_owned()), number(digits)];
            rest = after;
            break;
        }
    }
    if let Some((digits, after)) = numbered(rest, "post") {
        suffix.post = Some(digits.parse().ok()?);
        rest = after;
    }
    if let Some((digits, after)) = numbered(rest, "dev") {
        suffix.dev = Some(digits.parse().ok()?);
        rest = after;
    }
    rest.is_empty().then_some(suffix)
}

/// The digits right after `word`, and what follows them. SemVer's `-rc.1` has a dot in between and is not meant.
fn numbered<'t>(text: &'t str, word: &str) -> Option<(&'t str, &'t str)> {
    let rest = text.strip_prefix(['.', '-']).unwrap_or(text).strip_prefix(word)?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    (end > 0).then(|| rest.split_at(end))
}

fn number(digits: &str) -> Identifier {
    let digits = digits.trim_start_matches('0');
    Identifier::Number(if digits.is_empty() { "0" } else { digits }.to_owned())
}
