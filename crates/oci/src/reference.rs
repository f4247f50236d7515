//! What a manifest is asked for by: a tag or a digest, and the whole as people type it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::digest::Digest;
use crate::name::RepositoryName;
use crate::parse_error::{ParseError, shown};
use crate::tag::Tag;
use crate::text::serde_as_text;

/// The last part of a manifest's path: a tag or a digest.
///
/// A tag has no colon and a digest has one, so that a text is never both.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A name that can move.
    Tag(Tag),
    /// The manifest itself.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.contains(':') { text.parse().map(Self::Digest) } else { text.parse().map(Self::Tag) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl From<Tag> for Reference {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Reference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

serde_as_text!(Reference, "a tag or a digest");

/// An image as people type it: `[HOST[:PORT]/]NAME[:TAG][@DIGEST]`.
///
/// The first component is a host if and only if something follows it and it contains a `.` or a `:`
/// or is `localhost`; so `ml-model:1.0` is a repository with a tag. Every value that was read comes
/// back from `Display` as it was typed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageReference {
    /// The registry, with its port if one was typed.
    pub host: Option<String>,
    /// The repository in it.
    pub repository: RepositoryName,
    /// The tag, if one was typed.
    pub tag: Option<Tag>,
    /// The digest, if one was typed.
    pub digest: Option<Digest>,
}

impl ImageReference {
    /// What to ask the registry for: the digest if there is one, else the tag.
    pub fn reference(&self) -> Option<Reference> {
        let tag = || self.tag.clone().map(Reference::Tag);
        self.digest.map(Reference::Digest).or_else(tag)
    }
}

impl FromStr for ImageReference {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (host, rest) = match rest.split_once('/') {
            Some((first, rest)) if looks_like_host(first) => (Some(parse_host(first)?), rest),
            _ => (None, rest),
        };
        let (name, tag) = match rest.split_once(':') {
            Some((name, tag)) => (name, Some(tag.parse()?)),
            None => (rest, None),
        };
        Ok(Self { host, repository: name.parse()?, tag, digest })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

serde_as_text!(ImageReference, "an image reference, [HOST/]NAME[:TAG][@DIGEST]");

fn looks_like_host(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

/// A DNS name, an IPv4 address or a bracketed IPv6 address, with an optional port.
fn parse_host(text: &str) -> Result<String, ParseError> {
    let (name, port) = match text.rsplit_once(':') {
        // The colons of a bracketed address that has no port behind it.
        Some((_, last)) if last.ends_with(']') => (text, None),
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let name_is_valid = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => name.len() <= 253 && name.split('.').all(is_dns_label),
    };
    if name_is_valid && port.is_none_or(is_port) { Ok(text.to_owned()) } else { Err(ParseError::Host(shown(text))) }
}

fn is_dns_label(label: &str) -> bool {
    !label.is_empty()
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0)
}
