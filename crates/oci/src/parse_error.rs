//! The one error of everything in this crate that is read from text, except whole manifests.
//!
//! The subject travels in the message, escaped and cut, so that a hostile name can neither forge a
//! log line nor fill one.

/// How many characters of a rejected text are repeated in the message.
const SHOWN: usize = 128;

/// A text is not the value it should be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// A digest names an algorithm other than `sha256` and `sha512`.
    #[error("unsupported digest algorithm \"{0}\": use sha256 or sha512")]
    Algorithm(String),
    /// Not `algorithm:encoded` with as many lowercase hexadecimal digits as the algorithm has.
    #[error("invalid digest \"{0}\"")]
    Digest(String),
    /// Raw digest bytes are not as long as the algorithm's.
    #[error("invalid digest: {algorithm} has {expected} bytes, not {actual}")]
    DigestLength {
        /// The algorithm the bytes were said to come from.
        algorithm: crate::Algorithm,
        /// Bytes the algorithm yields.
        expected: usize,
        /// Bytes given.
        actual: usize,
    },
    /// Bytes that [`Digest::to_stored`](crate::Digest::to_stored) never wrote.
    #[error("invalid stored digest of {0} bytes")]
    StoredDigest(usize),
    /// A repository name outside the grammar, or longer than 255 characters.
    #[error("invalid repository name \"{0}\"")]
    Name(String),
    /// A tag outside `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
    #[error("invalid tag \"{0}\"")]
    Tag(String),
    /// An image reference whose host is neither a DNS name nor an IP address with a port.
    #[error("invalid registry host \"{0}\"")]
    Host(String),
    /// Not a hyphenated lowercase UUID.
    #[error("invalid upload id \"{0}\"")]
    UploadId(String),
    /// Not `START-END` with `START` at most `END`.
    #[error("invalid upload range \"{0}\": expected START-END")]
    UploadRange(String),
    /// Not `type:name:action[,action…]`.
    #[error("invalid scope \"{0}\": expected TYPE:NAME:ACTION[,ACTION]")]
    Scope(String),
    /// Not the name or the number of an edge kind.
    #[error("unknown edge kind \"{0}\"")]
    EdgeKind(String),
    /// Not an action's name.
    #[error("unknown action \"{0}\": use pull, push, delete, tag-move or admin")]
    Action(String),
    /// Not a pattern of repository names.
    #[error("invalid repository pattern \"{0}\"")]
    Pattern(String),
    /// Not a version of one to three parts.
    #[error("invalid version \"{0}\": write 1.2.3, v1.0, 1.2.3-rc.1 or 1.2.3rc1")]
    Version(String),
    /// Not a range of versions.
    #[error("invalid range of versions \"{0}\": write for example '>=1.2 <2' or 1.x")]
    VersionRange(String),
    /// Not the name of a kind of tag.
    #[error("unknown kind of tag \"{0}\": use version, build, commit, branch, stage, latest, date or other")]
    TagKind(String),
}

/// The text as it may stand between quotes in a message: at most [`SHOWN`] characters, and none that
/// ends the quotes or the line, or turns the writing around.
pub(crate) fn shown(text: &str) -> String {
    cut(text, |character| character != '\'')
}

/// [`shown`] for words that hold quotes of their own.
pub(crate) fn shown_words(text: &str) -> String {
    cut(text, |character| !matches!(character, '\'' | '"' | '\\'))
}

fn cut(text: &str, may_escape: impl Fn(char) -> bool) -> String {
    let mut result = String::new();
    for character in text.chars().take(SHOWN) {
        if may_escape(character) {
            result.extend(character.escape_debug());
        } else {
            result.push(character);
        }
    }
    if text.chars().nth(SHOWN).is_some() {
        result.push('…');
    }
    result
}

#[cfg(test)]
mod tests {
    use super::{shown, shown_words};

    #[test]
    fn a_subject_is_escaped_and_cut() {
        assert_eq!(shown("plain é"), "plain é");
        assert_eq!(shown("a\nb\"c\u{1b}"), "a\\nb\\\"c\\u{1b}");
        assert_eq!(shown("it's \u{202e}turned\\"), "it's \\u{202e}turned\\\\");
        assert_eq!(shown_words("invalid \"a\\n\"\n"), "invalid \"a\\n\"\\n");
        assert_eq!(shown(&"x".repeat(128)), "x".repeat(128));
        assert_eq!(shown(&"x".repeat(129)), format!("{}…", "x".repeat(128)));
    }
}
