//! Ranges of versions: `>=1.2 <2`, `1.x`, `^1.4 || ~2.0.1`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::form::TagForm;
use super::{Version, calendar};
use crate::parse_error::{ParseError, shown};
use crate::tag::Tag;
use crate::text::serde_as_text;

/// Which versions are meant. Conditions with spaces or commas between them hold together; `||` stands between alternatives.
///
/// A condition is a version after `>=`, `>`, `<=`, `<`, `=`, `!=`, `^`, `~` or `~=`, or a version alone: with an `x` or `*` for its last parts it
/// means all of these, without one itself. Missing parts are zero; those after an `x` are any.
///
/// A pre-release is meant only where an alternative names a pre-release of the same version: `>=1.2 <2` does not want `2.0.0-rc.1`. Dates are meant
/// only where an alternative names a year: `>=1.2` does not want `2026.11.21`, `>=2026.11` does.
#[derive(Clone, Debug)]
pub struct VersionRange {
    text: Arc<str>,
    alternatives: Arc<[Vec<Condition>]>,
}

#[derive(Clone, Debug)]
enum Condition {
    AtLeast(Version),
    Above(Version),
    AtMost(Version),
    Below(Version),
    Is(Version),
    IsNot(Version),
}

impl VersionRange {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a version is meant.
    pub fn matches(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|conditions| {
            let names = |condition: &Condition| {
                condition.bound().is_pre_release() && condition.bound().release() == version.release()
            };
            (!version.is_pre_release() || conditions.iter().any(names))
                && conditions.iter().all(|condition| condition.holds(version))
        })
    }

    /// Whether a tag is a version or a build that is meant.
    pub fn matches_tag(&self, tag: &Tag) -> bool {
        self.matches_form(&TagForm::of(tag))
    }

    /// [`matches_tag`](Self::matches_tag) of a tag that was read already.
    pub fn matches_form(&self, form: &TagForm) -> bool {
        form.version().is_some_and(|version| (!form.is_dated() || self.names_a_year()) && self.matches(version))
    }

    fn names_a_year(&self) -> bool {
        self.alternatives.iter().flatten().any(|condition| calendar::is_year(condition.bound().release()[0]))
    }
}

impl Condition {
    fn bound(&self) -> &Version {
        match self {
            Self::AtLeast(bound)
            | Self::Above(bound)
            | Self::AtMost(bound)
            | Self::Below(bound)
            | Self::Is(bound)
            | Self::IsNot(bound) => bound,
        }
    }

    fn holds(&self, version: &Version) -> bool {
        match self {
            Self::AtLeast(bound) => version >= bound,
            Self::Above(bound) => version > bound,
            Self::AtMost(bound) => version <= bound,
            Self::Below(bound) => version < bound,
            Self::Is(bound) => version == bound,
            Self::IsNot(bound) => version != bound,
        }
    }
}

impl FromStr for VersionRange {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::VersionRange(shown(text));
        if text.len() > MAX_LEN {
            return Err(wrong());
        }
        let alternatives: Option<Vec<_>> = text.split("||").map(alternative).collect();
        Ok(Self { text: text.trim().into(), alternatives: alternatives.ok_or_else(wrong)?.into() })
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl PartialEq for VersionRange {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for VersionRange {}

serde_as_text!(VersionRange, "a range of versions");

/// Bytes of the longest range.
const MAX_LEN: usize = 1_000;

/// The operators, the longer ones first.
const OPERATORS: [&str; 10] = [">=", "<=", "==", "!=", "~=", ">", "<", "=", "^", "~"];

fn alternative(text: &str) -> Option<Vec<Condition>> {
    let mut conditions = Vec::new();
    let mut words = text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).peekable();
    words.peek()?;
    while let Some(word) = words.next() {
        let operator = OPERATORS.into_iter().find(|operator| word.starts_with(operator)).unwrap_or("");
        let bound = match &word[operator.len()..] {
            "" => words.next()?,
            bound => bound,
        };
        conditions.extend(condition(operator, bound)?);
    }
    Some(conditions)
}

fn condition(operator: &str, text: &str) -> Option<Vec<Condition>> {
    use Condition::{Above, AtLeast, AtMost, Below, Is, IsNot};
    let (bound, written) = bound(text)?;
    let is_wild = bound.parts() > written;
    let release = bound.release();
    Some(match operator {
        "" | "=" | "==" | "^" | "~" | "~=" if written == 0 => Vec::new(),
        "" | "=" | "==" if is_wild => vec![AtLeast(bound), Below(next(release, written)?)],
        "" | "=" | "==" => vec![Is(bound)],
        ">=" => vec![AtLeast(bound)],
        "<" if written > 0 => vec![Below(bound)],
        ">" if !is_wild => vec![Above(bound)],
        "<=" if !is_wild => vec![AtMost(bound)],
        "!=" if !is_wild => vec![IsNot(bound)],
        "~" => vec![AtLeast(bound), Below(next(release, written.min(2))?)],
        "~=" if written > 1 => vec![AtLeast(bound), Below(next(release, written - 1)?)],
        "^" => {
            let first = release[..written].iter().position(|part| *part != 0).unwrap_or(written - 1);
            vec![AtLeast(bound), Below(next(release, first + 1)?)]
        }
        _ => return None,
    })
}

/// A version and how many of its parts were written as numbers: `1.x` is 1.0 with one.
fn bound(text: &str) -> Option<(Version, usize)> {
    let is_wild = |part: &str| matches!(part, "x" | "X" | "*");
    let parts: Vec<&str> = text.strip_prefix('v').unwrap_or(text).split('.').collect();
    let Some(written) = parts.iter().position(|part| is_wild(part)) else {
        let bound = calendar::read(text).or_else(|| text.parse().ok())?;
        let parts = bound.parts();
        return Some((bound, parts));
    };
    if parts.len() > 3 || !parts[written..].iter().all(|part| is_wild(part)) {
        return None;
    }
    let numbers: Option<Vec<u64>> = parts[..written].iter().map(|part| part.parse().ok()).collect();
    let mut release = [0; 3];
    release[..written].copy_from_slice(&numbers?);
    Some((Version::of_release(release), written))
}

/// The first release after all that begin with these `parts` parts.
fn next(release: [u64; 3], parts: usize) -> Option<Version> {
    let mut next = [0; 3];
    next[..parts].copy_from_slice(&release[..parts]);
    next[parts - 1] = next[parts - 1].checked_add(1)?;
    Some(Version::of_release(next))
}
