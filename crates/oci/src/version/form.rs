//! What a tag is: a version, a build of one, a commit, a branch, a stage, a date, or none of these.

use std::fmt;
use std::str::FromStr;

use super::{Version, calendar, is_number};
use crate::parse_error::{ParseError, shown};
use crate::tag::Tag;
use crate::text::serde_as_text;

/// What somebody means by a tag, as far as its text tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TagKind {
    /// `1.2.3`, `v1.0`, `2`, `1.2.3-rc.1`, `1.2.3rc2`.
    Version,
    /// A version and the commit that it was built from: `1.2.0-abc123f`, `v1.2.3-4-gabc1234`.
    Build,
    /// 7 to 40 hexadecimal digits, or `sha-` before them.
    Commit,
    /// `main`, `pr-2`, `feature-x`.
    Branch,
    /// `dev`, `staging`, `prod`.
    Stage,
    /// `latest` itself.
    Latest,
    /// `2026.11.21`, `20261121`.
    Date,
    /// Anything else: `HEAD`, `buildcache`.
    Other,
}

impl TagKind {
    /// All kinds.
    pub const ALL: [Self; 8] =
        [Self::Version, Self::Build, Self::Commit, Self::Branch, Self::Stage, Self::Latest, Self::Date, Self::Other];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Build => "build",
            Self::Commit => "commit",
            Self::Branch => "branch",
            Self::Stage => "stage",
            Self::Latest => "latest",
            Self::Date => "date",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for TagKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TagKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| ParseError::TagKind(shown(text)))
    }
}

serde_as_text!(TagKind, "a kind of tag");

/// Stages where a repository has no list of its own.
const STAGES: [&str; 3] = ["dev", "staging", "prod"];
/// Branches that are known by their name.
const BRANCHES: [&str; 5] = ["main", "master", "trunk", "develop", "development"];
/// Branches that are known by what their name begins with, as CI writes `feature/x` and pull requests.
const BRANCH_PREFIXES: [&str; 12] = [
    "pr-",
    "mr-",
    "feature-",
    "feat-",
    "fix-",
    "bugfix-",
    "hotfix-",
    "release-",
    "chore-",
    "dependabot-",
    "renovate-",
    "issue-",
];

/// A tag as its text tells what it is.
#[derive(Clone, Debug)]
pub struct TagForm {
    kind: TagKind,
    version: Option<Version>,
    commit: Option<Box<str>>,
    ahead: Option<u64>,
    dated: bool,
}

impl TagForm {
    /// Reads a tag. Every tag is of some kind.
    pub fn of(tag: &Tag) -> Self {
        let text = tag.as_str();
        let named = named(text).map(Self::plain);
        named
            .or_else(|| date(text))
            .or_else(|| commit(text))
            .or_else(|| described(text))
            .or_else(|| build(text))
            .or_else(|| {
                text.parse().ok().map(|version| Self { version: Some(version), ..Self::plain(TagKind::Version) })
            })
            .unwrap_or_else(|| Self::plain(TagKind::Other))
    }

    /// Its kind.
    pub fn kind(&self) -> TagKind {
        self.kind
    }

    /// The version of a version or of a build; of a date, its year, month and day.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// Major, minor and patch of a release: a version of three parts with nothing behind them.
    pub fn release(&self) -> Option<[u64; 3]> {
        let version = self.version.as_ref().filter(|_| self.kind == TagKind::Version)?;
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let is_release = version.parts() == 3 && is_plain(version.as_str().trim_start_matches('v'));
        is_release.then(|| version.release())
    }

    /// The commit that a commit or a build names.
    pub fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// How many commits after its version a build is, where `git describe` said so.
    pub fn ahead(&self) -> Option<u64> {
        self.ahead
    }

    /// Whether its version is a date.
    pub fn is_dated(&self) -> bool {
        self.dated
    }

    fn plain(kind: TagKind) -> Self {
        Self { kind, version: None, commit: None, ahead: None, dated: false }
    }
}

fn named(text: &str) -> Option<TagKind> {
    match text {
        "latest" => Some(TagKind::Latest),
        _ if STAGES.contains(&text) => Some(TagKind::Stage),
        _ if BRANCHES.contains(&text) => Some(TagKind::Branch),
        _ if BRANCH_PREFIXES.iter().any(|prefix| text.len() > prefix.len() && text.starts_with(prefix)) => {
            Some(TagKind::Branch)
        }
        _ => None,
    }
}

fn date(text: &str) -> Option<TagForm> {
    calendar::read(text).map(|version| TagForm { version: Some(version), dated: true, ..TagForm::plain(TagKind::Date) })
}

/// `abc123f`, `sha-abc123f`, `main-abc123f`.
fn commit(text: &str) -> Option<TagForm> {
    let bare = match text.rsplit_once('-') {
        None => text,
        Some((before, bare)) if before == "sha" || BRANCHES.contains(&before) => bare,
        Some(_) => return None,
    };
    is_commit(bare).then(|| TagForm { commit: Some(bare.into()), ..TagForm::plain(TagKind::Commit) })
}

/// `v1.2.3-4-gabc1234`.
fn described(text: &str) -> Option<TagForm> {
    let (rest, commit) = text.rsplit_once("-g")?;
    let (version, ahead) = rest.rsplit_once('-')?;
    let ahead = if is_number(ahead) { ahead.parse().ok()? } else { return None };
    let is_abbreviated = (4..=40).contains(&commit.len()) && commit.bytes().all(is_hex);
    is_abbreviated.then(|| built(version, commit, Some(ahead)))?
}

/// `1.2.0-abc123f`, `1.2.0-sha-abc123f`; of digits alone too, where SemVer would see a pre-release.
fn build(text: &str) -> Option<TagForm> {
    let (version, commit) = text.rsplit_once('-')?;
    let version = version.strip_suffix("-sha").unwrap_or(version);
    is_commit(commit).then(|| built(version, commit, None))?
}

fn built(version: &str, commit: &str, ahead: Option<u64>) -> Option<TagForm> {
    let date = calendar::read(version);
    let dated = date.is_some();
    let version = date.or_else(|| version.parse().ok())?;
    Some(TagForm { kind: TagKind::Build, version: Some(version), commit: Some(commit.into()), ahead, dated })
}

fn is_commit(text: &str) -> bool {
    (7..=40).contains(&text.len()) && text.bytes().all(is_hex)
}

/// As git writes them.
fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}
