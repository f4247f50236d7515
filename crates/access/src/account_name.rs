//! The names of users, groups, robots and trusts.

use std::fmt;
use std::str::FromStr;

/// The name of a user, a group, a robot or a trust: `[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?`.
///
/// Never a `$`, a `+` or a space: shells, URLs and YAML files have all eaten one. A user's name is also the first component of the
/// repositories that are his, so it has to be one where a repository lies under it; [`is_namespace`](Self::is_namespace) tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(String);

impl AccountName {
    /// The most characters that a name has.
    pub const MAX_LEN: usize = 64;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a repository can lie under this name (`a..b` is a name and no component).
    pub fn is_namespace(&self) -> bool {
        larder_oci::RepositoryName::is_valid(&self.0)
    }
}

/// A text is no account's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 of a-z, 0-9, '.', '_' and '-', and begins and ends with a letter or a digit")]
pub struct InvalidName;

impl FromStr for AccountName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let outer = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let inner = |b: u8| outer(b) || matches!(b, b'.' | b'_' | b'-');
        let ends = text.bytes().next().is_some_and(outer) && text.bytes().last().is_some_and(outer);
        let valid = ends && text.len() <= Self::MAX_LEN && text.bytes().all(inner);
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidName) }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_character_that_a_shell_or_a_url_eats() {
        for good in ["a", "0", "ci-robot", "a.b_c-d", &"x".repeat(64)] {
            assert_eq!(good.parse::<AccountName>().as_ref().map(AccountName::as_str), Ok(good));
        }
        let bad =
            ["", "A", "-a", "a-", ".a", "a.", "robot$ci", "a+b", "a b", "a/b", "a:b", "a#b", "ä", &"x".repeat(65)];
        for bad in bad {
            assert_eq!(bad.parse::<AccountName>(), Err(InvalidName), "{bad}");
        }
    }
}
