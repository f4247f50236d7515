//! Entity tags: a digest in quotes, always strong, because bytes never change under a digest.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use larder_oci::Digest;

/// The tag of what has this digest.
pub(crate) fn of(digest: &Digest) -> HeaderValue {
    HeaderValue::try_from(format!("\"{digest}\"")).expect("a digest is ASCII without quotes")
}

/// What a list of entity tags says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`.
    Any,
    /// The digests among them; tags of any other form can match nothing of ours.
    Digests(Vec<Digest>),
}

impl Tags {
    /// Reads `If-Match` or `If-None-Match`; every line of it counts.
    pub fn read(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).iter().peekable();
        lines.peek()?;
        let mut digests = Vec::new();
        for tag in lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')) {
            let tag = tag.trim();
            if tag == "*" {
                return Some(Self::Any);
            }
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            // Some clients leave the quotes out.
            digests.extend(tag.trim_matches('"').parse::<Digest>().ok());
        }
        Some(Self::Digests(digests))
    }

    /// Whether one of them is `digest`.
    pub fn holds(&self, digest: &Digest) -> bool {
        match self {
            Self::Any => true,
            Self::Digests(digests) => digests.contains(digest),
        }
    }
}

/// Whether an `If-Range` lets a range be served: only the exact strong tag does; a date says nothing about content-addressed bytes.
pub(crate) fn range_still_holds(headers: &HeaderMap, digest: &Digest) -> bool {
    headers.get(http::header::IF_RANGE).is_none_or(|said| *said == of(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_weak_tags_and_stars_are_read() {
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().expect("it is a digest");
        let mut headers = HeaderMap::new();
        assert_eq!(Tags::read(&headers, &http::header::IF_NONE_MATCH), None);
        let list = format!("\"other\", W/\"{digest}\"");
        headers.insert(http::header::IF_NONE_MATCH, list.parse().expect("it is a value"));
        assert!(Tags::read(&headers, &http::header::IF_NONE_MATCH).is_some_and(|tags| tags.holds(&digest)));
        headers.insert(http::header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        assert_eq!(Tags::read(&headers, &http::header::IF_NONE_MATCH), Some(Tags::Any));
    }
}
