//! What one may do with a repository, and sets of it.

use std::fmt;
use std::str::FromStr;

use crate::parse_error::{ParseError, shown};
use crate::text::serde_as_text;

/// One thing to be allowed or not, in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Reading: manifests, blobs, tags, referrers, and that the repository exists at all.
    Pull,
    /// Writing what was not there: blobs, manifests, new tags.
    Push,
    /// Deleting tags, manifests and blobs.
    Delete,
    /// Moving a tag that points at something else already.
    TagMove,
    /// Everything, and the repository itself: its settings, its grants, its removal.
    Admin,
}

impl Action {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Pull, Self::Push, Self::Delete, Self::TagMove, Self::Admin];

    /// The action's word: `pull`, `push`, `delete`, `tag-move`, `admin`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::TagMove => "tag-move",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl FromStr for Action {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let named = Self::ALL.into_iter().find(|action| action.as_str() == text);
        named.ok_or_else(|| ParseError::Action(shown(text)))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

serde_as_text!(Action, "an action: pull, push, delete, tag-move or admin");

/// A set of actions, as text `pull,push`; the empty set is the empty text.
///
/// [`contains`](Self::contains) says what was put in, [`implies`](Self::implies) what that amounts to: `admin` is every
/// action. No other action implies one; `push` without `pull` may write and not read.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actions(u8);

impl Actions {
    /// No action.
    pub const EMPTY: Self = Self(0);
    /// Every action.
    pub const ALL: Self = Self::of(&Action::ALL);

    /// The set of these.
    pub const fn of(actions: &[Action]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < actions.len() {
            bits |= actions[at].bit();
            at += 1;
        }
        Self(bits)
    }

    /// Whether the action itself is in the set.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    /// Whether the set allows the action: it is in it, or `admin` is.
    pub const fn implies(self, action: Action) -> bool {
        self.contains(Action::Admin) || self.contains(action)
    }

    /// The set with this action too.
    #[must_use]
    pub const fn with(self, action: Action) -> Self {
        Self(self.0 | action.bit())
    }

    /// The actions that are in both.
    #[must_use]
    pub const fn intersect(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The actions that are in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The set with everything that it [implies](Self::implies): what an intersection has to be made of.
    #[must_use]
    pub const fn expanded(self) -> Self {
        if self.contains(Action::Admin) { Self::ALL } else { self }
    }

    /// Whether no action is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The actions of the set, in order.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.into_iter().filter(move |action| self.contains(*action))
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        actions.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl FromStr for Actions {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Ok(Self::EMPTY);
        }
        text.split(',').map(|action| action.trim_ascii().parse::<Action>()).collect()
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, action) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            f.write_str(action.as_str())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Actions({self})")
    }
}

serde_as_text!(Actions, "actions, joined by commas");
