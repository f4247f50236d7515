//! The query of a request.

use http::Uri;

use crate::percent::decode_form;

/// Pairs beyond this number are not looked at; no request of the protocol has so many.
const MAX_PAIRS: usize = 1024;

/// Decoded pairs, in order.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a request's query.
    pub fn of(uri: &Uri) -> Self {
        Self::of_form(uri.query().unwrap_or(""))
    }

    /// Reads a form (`application/x-www-form-urlencoded`).
    pub fn of_form(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(MAX_PAIRS);
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode_form(key), decode_form(value))
                })
                .collect(),
        )
    }

    /// The first value of `key`.
    pub fn first(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Every value of `key`, in order.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_may_repeat() {
        let query = Query::of(&"/x?digest=sha256%3Aab&tag=a&tag=b&empty".parse().expect("it is a URI"));
        assert_eq!(query.first("digest"), Some("sha256:ab"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.first("empty"), Some(""));
        assert_eq!(query.first("n"), None);
    }
}
