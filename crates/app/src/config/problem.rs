//! What is wrong with a configuration, and where: all of it at once, not the first thing only.

use std::fmt;

use crate::outcome::Failure;

/// A place in a file; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file as it was named.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Position {
    /// The position of a byte offset.
    pub fn of(file: &str, text: &str, offset: usize) -> Self {
        let before = &text.as_bytes()[..offset.min(text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
        Self { file: file.to_owned(), line: before.iter().filter(|byte| **byte == b'\n').count() + 1, column }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The table of keys.
    Default,
    /// The default of a stand-in for `registry:2`.
    StandIn,
    /// A configuration file.
    File(Position),
    /// The environment.
    Environment(String),
    /// The command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::StandIn => f.write_str("default as a stand-in for registry:2"),
            Self::File(position) => position.fmt(f),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub source: Source,
    /// What.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Environment(name) => write!(f, "{name}: {}", self.message),
            Source::Flag(name) => write!(f, "{name}: {}", self.message),
            source => write!(f, "{source}: {}", self.message),
        }
    }
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let lines: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
        Self::usage(lines.join("\nlarder: "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let text = "a = 1\nä = 2\n";
        let at = |offset| Position::of("f", text, offset).to_string();
        assert_eq!(at(0), "f:1:1");
        assert_eq!(at(text.find('ä').unwrap_or_default()), "f:2:1");
        assert_eq!(at(text.find('2').unwrap_or_default()), "f:2:5");
        assert_eq!(at(999), "f:3:1");
    }
}
