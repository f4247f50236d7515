//! `WWW-Authenticate` (RFC 9110 §11.6.1): which schemes a registry offers and with which parameters.

use std::collections::BTreeMap;

/// One challenge of a 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme in lower case: `bearer`, `basic`.
    pub scheme: String,
    /// Parameters; names in lower case.
    pub parameters: BTreeMap<String, String>,
}

impl Challenge {
    /// A parameter's value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }
}

/// Reads the challenges of all header lines; what cannot be read is left out, because the next scheme may still serve.
pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    lines.into_iter().flat_map(|line| Parser { rest: line }.challenges()).collect()
}

/// A cursor over one header line: `scheme name=value, name="value", scheme …`.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn challenges(mut self) -> Vec<Challenge> {
        let mut challenges: Vec<Challenge> = Vec::new();
        loop {
            self.skip(|c| c == ',' || c.is_ascii_whitespace());
            if self.rest.is_empty() {
                return challenges;
            }
            let token = self.token();
            if token.is_empty() {
                return challenges;
            }
            let before = self.rest;
            self.skip(|c| c.is_ascii_whitespace());
            if let Some(rest) = self.rest.strip_prefix('=') {
                self.rest = rest;
                self.skip(|c| c.is_ascii_whitespace());
                let Some(value) = self.value() else { return challenges };
                if let Some(challenge) = challenges.last_mut() {
                    challenge.parameters.entry(token.to_ascii_lowercase()).or_insert(value);
                }
            } else {
                self.rest = before;
                challenges.push(Challenge { scheme: token.to_ascii_lowercase(), parameters: BTreeMap::new() });
            }
        }
    }

    fn skip(&mut self, skipped: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(skipped);
    }

    fn token(&mut self) -> &'a str {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        token
    }

    /// A quoted string with its escapes, or everything up to a comma: some registries do not quote URLs.
    fn value(&mut self) -> Option<String> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find(|c: char| c == ',' || c.is_ascii_whitespace()).unwrap_or(self.rest.len());
            let (value, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(value.to_owned());
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(characters.next()?.1),
                other => value.push(other),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_challenge_gives_its_parameters() {
        let line = r#"Bearer realm="https://r.example/token",service="r.example",scope="repository:a/b:pull,push repository:c:pull",error="insufficient_scope""#;
        let challenges = parse([line]);
        assert_eq!(challenges.len(), 1);
        assert_eq!(challenges[0].scheme, "bearer");
        assert_eq!(challenges[0].parameter("realm"), Some("https://r.example/token"));
        assert_eq!(challenges[0].parameter("scope"), Some("repository:a/b:pull,push repository:c:pull"));
        assert_eq!(challenges[0].parameter("error"), Some("insufficient_scope"));
    }

    #[test]
    fn several_schemes_stand_in_one_line_or_in_several() {
        let one = parse([r#"Basic realm="a \"b\", c", Bearer Realm=https://x/t , service = "s""#]);
        assert_eq!(one.len(), 2);
        assert_eq!(one[0].parameter("realm"), Some(r#"a "b", c"#));
        assert_eq!(one[1].parameter("realm"), Some("https://x/t"));
        assert_eq!(one[1].parameter("service"), Some("s"));
        assert_eq!(parse(["Negotiate", "BASIC realm=x"]).len(), 2);
    }

    #[test]
    fn rubbish_gives_nothing_and_does_not_loop() {
        for line in ["", "   ", ",,,", "=", "\"", "Bearer realm=\"open", "Bearer realm=\"x\\", "Bearer =x", "é"] {
            assert!(parse([line]).iter().all(|c| c.parameters.is_empty()), "{line}");
        }
    }
}
