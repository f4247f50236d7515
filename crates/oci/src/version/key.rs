//! Keys whose bytes have the order of what they stand for, so that a catalog sorts and pages by them without reading versions.

use super::form::{TagForm, TagKind};
use super::suffix::{Identifier, Suffix};
use crate::tag::Tag;

/// Where a tag stands among the tags of its repository: greater is newer. Versions above dates above `latest`, stages, branches, commits and the
/// rest; of these, tags of one kind have one key and are told apart by their names.
///
/// A build stands right below its version, and what `git describe` counts beyond a version right above it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagKey(Vec<u8>);

impl TagKey {
    /// Changes with the order: keys of another edition must be written again.
    pub const EDITION: u32 = 1;

    /// The key of a tag.
    pub fn of(tag: &Tag) -> Self {
        let form = TagForm::of(tag);
        let mut key = vec![rank(&form)];
        if let Some(version) = form.version() {
            key.extend_from_slice(&version.key);
            match (form.kind(), form.ahead()) {
                (_, Some(ahead)) => {
                    key.push(3);
                    number(&mut key, ahead);
                }
                (TagKind::Build, None) => key.push(1),
                _ => key.push(2),
            }
        }
        Self(key)
    }

    /// Its bytes, in whose order keys are.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Versions that begin with the same parts: all of them, those of a major version, or those of a minor one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionScope(Vec<u64>);

impl VersionScope {
    /// The versions that begin with these parts, at most two.
    pub fn of(parts: &[u64]) -> Self {
        Self(parts.iter().copied().take(2).collect())
    }

    /// Whether a release is one of them.
    pub fn holds(&self, release: &[u64; 3]) -> bool {
        release.starts_with(&self.0)
    }

    /// The keys of their tags: from the first on, and below the second.
    pub fn keys(&self) -> (Vec<u8>, Vec<u8>) {
        let mut from = vec![VERSION];
        self.0.iter().for_each(|part| number(&mut from, *part));
        let below = from.iter().copied().chain([u8::MAX]).collect();
        (from, below)
    }
}

/// The rank of versions and their builds.
const VERSION: u8 = 8;

fn rank(form: &TagForm) -> u8 {
    match form.kind() {
        TagKind::Version => VERSION,
        TagKind::Build if form.is_dated() => 7,
        TagKind::Build => VERSION,
        TagKind::Date => 7,
        TagKind::Latest => 6,
        TagKind::Stage => 5,
        TagKind::Branch => 4,
        TagKind::Commit => 3,
        TagKind::Other => 2,
    }
}

/// PEP 440's order, which SemVer's fits into: development releases, pre-releases, the release, post-releases.
pub(super) fn of_version(release: &[u64; 3], suffix: &Suffix) -> Vec<u8> {
    let mut key = Vec::new();
    for part in release {
        number(&mut key, *part);
    }
    match (&*suffix.pre, suffix.post, suffix.dev) {
        ([], None, Some(_)) => key.push(1),
        ([], ..) => key.push(3),
        (pre, ..) => {
            key.push(2);
            pre.iter().for_each(|part| identifier(&mut key, part));
            key.push(0);
        }
    }
    match suffix.post {
        None => key.push(1),
        Some(post) => {
            key.push(2);
            number(&mut key, post);
        }
    }
    match suffix.dev {
        None => key.push(2),
        Some(dev) => {
            key.push(1);
            number(&mut key, dev);
        }
    }
    key
}

/// As many bytes as it needs, their count first.
fn number(key: &mut Vec<u8>, number: u64) {
    let bytes = number.to_be_bytes();
    let zeros = number.leading_zeros() as usize / 8;
    key.push((bytes.len() - zeros) as u8);
    key.extend_from_slice(&bytes[zeros..]);
}

/// Numbers come before texts (SemVer §11), and a tag is too short for digits that a byte cannot count.
fn identifier(key: &mut Vec<u8>, identifier: &Identifier) {
    match identifier {
        Identifier::Number(digits) => {
            key.extend([1, u8::try_from(digits.len()).unwrap_or(u8::MAX)]);
            key.extend_from_slice(digits.as_bytes());
        }
        Identifier::Text(text) => {
            key.push(2);
            key.extend_from_slice(text.as_bytes());
            key.push(0);
        }
    }
}
