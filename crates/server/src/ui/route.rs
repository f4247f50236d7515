//! Which page a path names. A repository's name stands plain and `-`, which no name can hold, ends it.

use std::borrow::Cow;

use larder_oci::{Digest, RepositoryName, Tag};

use super::{access, account};
use crate::challenge::Need;
use crate::percent::decode_segment;

/// Where files of ours lie.
pub(super) const ASSETS: &str = "/-/assets/";

/// A page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/`
    Home,
    /// `/connect`
    Connect,
    /// `/operations`
    Operations,
    /// `/new`
    NewRepository,
    /// `/access/…`
    Access(access::Place),
    /// `/account/…`
    Account(account::Place),
    /// `/r/<name>`
    Repository(RepositoryName),
    /// `/r/<name>/-/tags/<tag>`
    Tag(RepositoryName, Tag),
    /// `/r/<name>/-/tags/<tag>/history`
    History(RepositoryName, Tag),
    /// `/r/<name>/-/manifests/<digest>`
    Manifest(RepositoryName, Digest),
    /// `/r/<name>/-/manifests/<digest>/raw`
    Raw(RepositoryName, Digest),
    /// `/r/<name>/-/compare`
    Compare(RepositoryName),
}

impl Route {
    /// Whether only pages are at such a path, whatever a client wants. `/` is not among them: other clients know it too.
    pub fn is_ours(path: &str) -> bool {
        let folders = ["/access", "/account", "/r", "/-"];
        matches!(path, "/connect" | "/operations" | "/new")
            || folders
                .iter()
                .any(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
    }

    /// Whether forms are sent there.
    pub fn takes_forms(&self) -> bool {
        match self {
            Self::NewRepository => true,
            Self::Access(place) => place.takes_forms(),
            Self::Account(place) => *place != account::Place::Home,
            _ => false,
        }
    }

    /// What somebody wants who sends a form there: for the audit of refusals. The domain decides.
    pub fn need(&self) -> Need {
        Need::Nothing
    }

    /// The file of ours that a path names.
    pub fn asset(path: &str) -> Option<&str> {
        path.strip_prefix(ASSETS)
    }

    /// Reads a path as the client wrote it; each segment is decoded once, and nothing is normalised.
    pub fn parse(path: &str) -> Option<Self> {
        let segments: Option<Vec<Cow<'_, str>>> = path.split('/').skip(1).map(decode_segment).collect();
        let segments = segments?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        match segments.as_slice() {
            [""] => Some(Self::Home),
            ["connect"] => Some(Self::Connect),
            ["operations"] => Some(Self::Operations),
            ["new"] => Some(Self::NewRepository),
            ["access", rest @ ..] => access::Place::parse(rest).map(Self::Access),
            ["account", rest @ ..] => account::Place::parse(rest).map(Self::Account),
            ["r", name @ .., "-", "tags", tag] => Some(Self::Tag(repository(name)?, tag.parse().ok()?)),
            ["r", name @ .., "-", "tags", tag, "history"] => Some(Self::History(repository(name)?, tag.parse().ok()?)),
            ["r", name @ .., "-", "manifests", digest] => Some(Self::Manifest(repository(name)?, digest.parse().ok()?)),
            ["r", name @ .., "-", "manifests", digest, "raw"] => {
                Some(Self::Raw(repository(name)?, digest.parse().ok()?))
            }
            ["r", name @ .., "-", "compare"] => Some(Self::Compare(repository(name)?)),
            ["r", name @ ..] => Some(Self::Repository(repository(name)?)),
            _ => None,
        }
    }
}

fn repository(segments: &[&str]) -> Option<RepositoryName> {
    segments.join("/").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_page_or_none() {
        let name: RepositoryName = "team/model".parse().expect("a name");
        let tag: Tag = "1.0".parse().expect("a tag");
        assert_eq!(Route::parse("/"), Some(Route::Home));
        assert_eq!(Route::parse("/r/team/model"), Some(Route::Repository(name.clone())));
        assert_eq!(Route::parse("/r/team/model/-/tags/1.0"), Some(Route::Tag(name.clone(), tag.clone())));
        assert_eq!(Route::parse("/r/team/model/-/tags/1.0/history"), Some(Route::History(name.clone(), tag)));
        assert_eq!(Route::parse("/r/team/model/-/compare"), Some(Route::Compare(name)));
        for bad in ["", "//", "/r", "/r/", "/r/Team", "/r/a/", "/r/a/-/tags/", "/r/a/-/tags/%2e%2e", "/r/../etc", "/x"]
        {
            assert_eq!(Route::parse(bad), None, "{bad}");
        }
    }
}
