//! The scopes of token authentication: what a token is asked for and what it grants.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use crate::parse_error::{ParseError, shown};
use crate::text::serde_as_text;

/// `TYPE[(CLASS)]:NAME:ACTION[,ACTION…]`.
///
/// The name may hold colons (`host:port/name`): the type ends at the first, the actions begin after
/// the last. The name is not a repository's yet; `registry:catalog:*` is a scope too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceScope {
    /// The type: `repository`, `registry`.
    pub kind: String,
    /// The deprecated class in brackets behind the type: `repository(plugin)`.
    pub class: Option<String>,
    /// The resource.
    pub name: String,
    /// What to do with it: `pull`, `push`, `delete`, `*`. May be empty.
    pub actions: BTreeSet<String>,
}

impl FromStr for ResourceScope {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).ok_or_else(|| ParseError::Scope(shown(text)))
    }
}

fn parse(text: &str) -> Option<ResourceScope> {
    let (kind, rest) = text.split_once(':')?;
    let (name, actions) = rest.rsplit_once(':')?;
    let (kind, class) = match kind.split_once('(') {
        Some((kind, class)) => (kind, Some(class.strip_suffix(')')?)),
        None => (kind, None),
    };
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
    if !is_value(kind) || !class.is_none_or(is_value) || !is_name {
        return None;
    }
    // `repository:x:` and `pull,,push` are seen in the wild and ask for nothing more.
    let actions = actions.split(',').filter(|action| !action.is_empty());
    let actions: BTreeSet<_> =
        actions.map(|action| is_action(action).then(|| action.to_owned())).collect::<Option<_>>()?;
    Some(ResourceScope { kind: kind.to_owned(), class: class.map(str::to_owned), name: name.to_owned(), actions })
}

fn is_value(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn is_action(text: &str) -> bool {
    text == "*" || is_value(text)
}

impl fmt::Display for ResourceScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(class) = &self.class {
            write!(f, "({class})")?;
        }
        write!(f, ":{}:", self.name)?;
        for (place, action) in self.actions.iter().enumerate() {
            if place > 0 {
                f.write_str(",")?;
            }
            f.write_str(action)?;
        }
        Ok(())
    }
}

serde_as_text!(ResourceScope, "a scope, TYPE:NAME:ACTIONS");

/// A list of scopes, each resource once.
///
/// Clients repeat a resource with different actions (Helm sends `pull` and then `pull,push`), and
/// servers that took the first only broke them (Helm issues 12121 and 6214): actions are united.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Scopes(Vec<ResourceScope>);

impl Scopes {
    /// Reads one space-separated list. An empty one, as `docker login` sends it, is no error.
    ///
    /// # Errors
    /// [`ParseError::Scope`] for the first element outside the grammar.
    pub fn parse(list: &str) -> Result<Self, ParseError> {
        Self::parse_all([list])
    }

    /// Reads repeated parameters, each a space-separated list.
    ///
    /// # Errors
    /// As [`Scopes::parse`].
    pub fn parse_all<'a>(lists: impl IntoIterator<Item = &'a str>) -> Result<Self, ParseError> {
        let elements = lists.into_iter().flat_map(str::split_ascii_whitespace);
        let scopes = elements.map(str::parse).collect::<Result<Vec<_>, _>>()?;
        Ok(scopes.into_iter().collect())
    }

    /// The scopes, in the order of first mention.
    pub fn iter(&self) -> std::slice::Iter<'_, ResourceScope> {
        self.0.iter()
    }

    /// How many resources are named.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<ResourceScope> for Scopes {
    fn from_iter<I: IntoIterator<Item = ResourceScope>>(scopes: I) -> Self {
        let mut places = BTreeMap::new();
        let mut united: Vec<ResourceScope> = Vec::new();
        for scope in scopes {
            let key = (scope.kind.clone(), scope.class.clone(), scope.name.clone());
            let place = *places.entry(key).or_insert(united.len());
            match united.get_mut(place) {
                Some(known) => known.actions.extend(scope.actions),
                None => united.push(scope),
            }
        }
        Self(united)
    }
}

impl IntoIterator for Scopes {
    type Item = ResourceScope;
    type IntoIter = std::vec::IntoIter<ResourceScope>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Scopes {
    type Item = &'a ResourceScope;
    type IntoIter = std::slice::Iter<'a, ResourceScope>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl FromStr for Scopes {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{scope}")?;
        }
        Ok(())
    }
}

serde_as_text!(Scopes, "a space-separated list of scopes");
