//! Which page a path names. A repository's name stands plain and `-`, which no name can hold, ends it.

use std::borrow::Cow;

use larder_oci::{Action, Digest, RepositoryName, Tag};

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
    /// `/r/<name>/-/settings`
    Settings(RepositoryName),
    /// `/r/<name>/-/settings/remove`
    Removal(RepositoryName),
    /// `/r/<name>/-/undelete`
    Undelete(RepositoryName),
    /// `/r/<name>/-/clean-up`
    CleanUp(RepositoryName),
    /// `/r/<name>/-/trash`
    Trash(RepositoryName),
    /// `/r/<name>/-/policy`
    Policy(RepositoryName),
    /// `/r/<name>/-/policy/preview`
    PolicyPreview(RepositoryName),
    /// `/r/<name>/-/webhooks`
    Webhooks(RepositoryName),
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
            Self::NewRepository
            | Self::Operations
            | Self::History(..)
            | Self::Settings(_)
            | Self::Removal(_)
            | Self::Undelete(_)
            | Self::CleanUp(_)
            | Self::Trash(_)
            | Self::Policy(_)
            | Self::PolicyPreview(_)
            | Self::Webhooks(_) => true,
            Self::Access(place) => place.takes_forms(),
            Self::Account(place) => *place != account::Place::Home,
            Self::Home
            | Self::Connect
            | Self::Repository(_)
            | Self::Tag(..)
            | Self::Manifest(..)
            | Self::Raw(..)
            | Self::Compare(_) => false,
        }
    }

    /// What somebody wants who sends a form there: for the audit of refusals. The domain decides.
    pub fn need(&self) -> Need {
        match self {
            Self::Settings(name)
            | Self::Removal(name)
            | Self::Undelete(name)
            | Self::Policy(name)
            | Self::PolicyPreview(name)
            | Self::Webhooks(name) => Need::Repository(name.clone(), Action::Admin),
            Self::CleanUp(name) | Self::Trash(name) => Need::Repository(name.clone(), Action::Delete),
            Self::History(name, _) => Need::Repository(name.clone(), Action::TagMove),
            _ => Need::Nothing,
        }
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
            ["r", name @ .., "-", "settings"] => Some(Self::Settings(repository(name)?)),
            ["r", name @ .., "-", "settings", "remove"] => Some(Self::Removal(repository(name)?)),
            ["r", name @ .., "-", "undelete"] => Some(Self::Undelete(repository(name)?)),
            ["r", name @ .., "-", "clean-up"] => Some(Self::CleanUp(repository(name)?)),
            ["r", name @ .., "-", "trash"] => Some(Self::Trash(repository(name)?)),
            ["r", name @ .., "-", "policy"] => Some(Self::Policy(repository(name)?)),
            ["r", name @ .., "-", "policy", "preview"] => Some(Self::PolicyPreview(repository(name)?)),
            ["r", name @ .., "-", "webhooks"] => Some(Self::Webhooks(repository(name)?)),
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
