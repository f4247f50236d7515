//! Text out of an image that may be a secret: it is shown only to who asks for it, for people share their screens.

use askama::Template;
use askama::filters::HtmlSafe;

/// Words in the names of variables whose values are nobody's business.
const NAMES: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "credential",
    "private_key",
    "api_key",
    "apikey",
    "access_key",
    "auth",
];
/// How well-known secrets begin.
const BEGINNINGS: [&str; 13] = [
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "hf_",
    "sk-",
    "xoxb-",
    "xoxp-",
    "eyJ",
    "-----BEGIN",
];

/// Text, behind a reveal where it looks like a secret.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(path = "part/veiled.html")]
pub(super) struct Veiled {
    text: String,
    hidden: bool,
}

impl HtmlSafe for Veiled {}

impl Veiled {
    /// The value of something that has a name.
    pub fn value(name: &str, value: &str) -> Self {
        Self { text: value.to_owned(), hidden: is_secret(name, value) }
    }

    /// A line in which `NAME=value` may stand.
    pub fn line(line: &str) -> Self {
        let words = line.split([' ', '\t', '\n', '"', '\'']);
        let hidden = words.filter_map(|word| word.split_once('=')).any(|(name, value)| is_secret(name, value));
        Self { text: line.to_owned(), hidden }
    }

    /// Whether it is behind a reveal.
    pub fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// The text itself.
    pub fn text(&self) -> &str {
        &self.text
    }
}

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '.'], "_");
    let named = NAMES.iter().any(|word| name.contains(word));
    let begins = BEGINNINGS.iter().any(|beginning| value.starts_with(beginning));
    // A URL with a password in it.
    let carries = value.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        authority.rsplit_once('@').is_some_and(|(login, _)| login.contains(':'))
    });
    !value.is_empty() && (named || begins || carries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_behind_a_reveal() {
        for (name, value) in [
            ("DB_PASSWORD", "x"),
            ("aws.secret-access-key", "x"),
            ("HF_TOKEN", "x"),
            ("DATABASE_URL", "postgres://me:pw@db/x"),
            ("CONFIG", "ghp_abcdef"),
        ] {
            assert!(Veiled::value(name, value).hidden, "{name}={value}");
        }
        for (name, value) in [
            ("PATH", "/usr/bin:/bin"),
            ("PYTHON_VERSION", "3.12.1"),
            ("INDEX", "https://user@host/simple"),
            ("PASSWORD", ""),
        ] {
            assert!(!Veiled::value(name, value).hidden, "{name}={value}");
        }
        assert!(Veiled::line("ENV API_TOKEN=abc").hidden);
        assert!(Veiled::line("|1 NPM_TOKEN=abc /bin/sh -c npm ci").hidden);
        assert!(!Veiled::line("RUN pip install --index-url=https://mirror/simple torch").hidden);
    }

    #[test]
    fn text_cannot_break_out() {
        let shown = Veiled::value("X", "</code><script>alert(1)</script>").to_string();
        assert!(!shown.contains("<script"), "{shown}");
    }
}
