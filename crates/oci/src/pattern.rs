//! Patterns of repository names: what a grant, a token or a rule is about.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::name::RepositoryName;
use crate::parse_error::{ParseError, shown};
use crate::text::serde_as_text;

/// Any number of components.
const COMPONENTS: &str = "**";

/// A pattern of repository names: `team/model`, `team/*`, `team/**`, `*/base`, `**`.
///
/// Components stand between slashes. `*` inside one matches any run of characters of that component. `**` is a whole
/// component and matches any number of them; at the end at least one, so `team/**` is everything under `team` and not
/// `team` itself. `**` alone matches every name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryPattern(Arc<str>);

impl RepositoryPattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pattern that matches every name: `**`.
    pub fn everything() -> Self {
        Self(Arc::from(COMPONENTS))
    }

    /// Everything under a name and not the name itself: `NAME/**`.
    pub fn under(name: &RepositoryName) -> Option<Self> {
        format!("{name}/{COMPONENTS}").parse().ok()
    }

    /// Whether the name is one of those meant.
    pub fn matches(&self, name: &RepositoryName) -> bool {
        covers(&self.0, name.as_str())
    }

    /// Whether the pattern is one name, without wildcards.
    pub fn is_literal(&self) -> bool {
        !self.0.contains('*')
    }

    /// The whole text of a literal pattern, else the text up to the last `/` before the first wildcard, with that `/`:
    /// `team/` of `team/x*`, and nothing of `*/x`. Every name that matches begins with it.
    pub fn literal_prefix(&self) -> &str {
        let stem = self.stem();
        if stem.len() == self.0.len() { stem } else { &stem[..stem.rfind('/').map_or(0, |slash| slash + 1)] }
    }

    /// The text before the first wildcard: `team/x` of `team/x*`. Every name that matches begins with it.
    pub fn stem(&self) -> &str {
        &self.0[..self.0.find('*').unwrap_or(self.0.len())]
    }

    /// The text before a `**` that is the only wildcard and the end: `team/` of `team/**`, and nothing of `**`. The
    /// names that match are exactly those that begin with it and are longer.
    pub fn subtree(&self) -> Option<&str> {
        self.0.strip_suffix(COMPONENTS).filter(|rest| !rest.contains('*'))
    }

    /// Whether every name that `other` matches is matched here. Some patterns of which this holds are answered `false`,
    /// and none `true` of which it does not.
    pub fn contains(&self, other: &Self) -> bool {
        covers(&self.0, &other.0)
    }
}

/// Whether the pattern matches the words, which are the components of a name or of another pattern: there, wildcards are
/// words and characters of their own, which only a wider wildcard matches.
///
/// The way back is only ever to the last `**`: what lies before it matched as early as it could, which leaves the most.
fn covers(pattern: &str, words: &str) -> bool {
    let (mut pattern, mut words) = (Some(pattern), Some(words));
    let mut back: Option<(&str, Option<&str>)> = None;
    loop {
        match pattern.map(first) {
            Some((COMPONENTS, None)) => return words.is_some(),
            Some((COMPONENTS, Some(rest))) => {
                back = Some((rest, words));
                pattern = Some(rest);
                continue;
            }
            Some((component, rest)) => {
                if let Some((word, tail)) = words.map(first)
                    && word != COMPONENTS
                    && component_covers(component.as_bytes(), word.as_bytes())
                {
                    (pattern, words) = (rest, tail);
                    continue;
                }
            }
            None if words.is_none() => return true,
            None => {}
        }
        let Some((rest, Some(taken))) = back else { return false };
        words = first(taken).1;
        back = Some((rest, words));
        pattern = Some(rest);
    }
}

/// The first component, and what follows its slash.
fn first(text: &str) -> (&str, Option<&str>) {
    text.split_once('/').map_or((text, None), |(head, rest)| (head, Some(rest)))
}

/// [`covers`] within one component, where `*` is any run of characters.
fn component_covers(mut pattern: &[u8], mut word: &[u8]) -> bool {
    let mut back: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, word) {
            ([b'*', rest @ ..], _) => {
                back = Some((rest, word));
                pattern = rest;
                continue;
            }
            ([p, rest @ ..], [w, tail @ ..]) if p == w => {
                (pattern, word) = (rest, tail);
                continue;
            }
            ([], []) => return true,
            _ => {}
        }
        let Some((rest, [_, tail @ ..])) = back else { return false };
        (pattern, word) = (rest, tail);
        back = Some((rest, tail));
    }
}

/// Components are those of a name, except that `*` may stand among their characters, or are `**`, which is not repeated.
fn is_valid(text: &str) -> bool {
    let mut before = "";
    text.len() <= RepositoryName::MAX_LEN
        && text.split('/').all(|component| {
            let repeated = component == COMPONENTS && before == COMPONENTS;
            before = component;
            !repeated && is_component(component)
        })
}

fn is_component(component: &str) -> bool {
    let is_character = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-' | b'*');
    match component {
        COMPONENTS => true,
        _ if component.contains('*') => !component.contains(COMPONENTS) && component.bytes().all(is_character),
        _ => RepositoryName::is_valid(component),
    }
}

impl FromStr for RepositoryPattern {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if is_valid(text) { Ok(Self(Arc::from(text))) } else { Err(ParseError::Pattern(shown(text))) }
    }
}

impl From<&RepositoryName> for RepositoryPattern {
    fn from(name: &RepositoryName) -> Self {
        Self(Arc::from(name.as_str()))
    }
}

impl AsRef<str> for RepositoryPattern {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

serde_as_text!(RepositoryPattern, "a pattern of repository names");
