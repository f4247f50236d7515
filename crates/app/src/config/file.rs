//! `larder.toml`: every value with the line and column where it stands.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::key::{KEYS, Key, key};
use crate::config::nearest::nearest_key;
use crate::config::problem::{Position, Problem, Source};
use crate::config::value::Value;

/// A setting that a layer gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// Which.
    pub key: &'static Key,
    /// What.
    pub value: Value,
    /// From where.
    pub source: Source,
}

/// Reads the file's text; `name` is how problems call it.
pub fn read_file(name: &str, text: &str) -> (Vec<Given>, Vec<Problem>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reading = Reading { name, text, given: Vec::new(), problems: Vec::new() };
    for error in errors {
        reading.problem(error.span().unwrap_or_default(), error.message().to_owned());
    }
    if reading.problems.is_empty() {
        reading.table(table.get_ref(), "");
    }
    // The reader tells what it noticed first, a person reads from the top.
    reading.problems.sort_by_key(|problem| match &problem.source {
        Source::File(position) => (position.line, position.column),
        _ => (0, 0),
    });
    (reading.given, reading.problems)
}

struct Reading<'a> {
    name: &'a str,
    text: &'a str,
    given: Vec<Given>,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn table(&mut self, table: &DeTable<'_>, prefix: &str) {
        for (name, value) in table {
            let path =
                if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
            match (key(&path), value.get_ref()) {
                (Some(key), _) => self.value(key, value),
                (None, DeValue::Table(inner)) if is_table(&path) => self.table(inner, &path),
                (None, _) => self.unknown(&path, name.span(), value.get_ref()),
            }
        }
    }

    fn value(&mut self, key: &'static Key, value: &Spanned<DeValue<'_>>) {
        match key.kind.read_toml(value.get_ref()) {
            Ok(read) => self.given.push(Given { key, value: read, source: Source::File(self.position(value.span())) }),
            Err(message) => self.problem(value.span(), format!("{}: {message}", key.path)),
        }
    }

    fn unknown(&mut self, path: &str, span: Range<usize>, value: &DeValue<'_>) {
        // A wrong table is told with its first key, which says best what was meant.
        let inner = value.as_table().and_then(|table| table.iter().next());
        let probe = inner.map_or_else(|| path.to_owned(), |(name, _)| format!("{path}.{}", name.get_ref()));
        let what = match value {
            _ if is_table(path) => format!("`{path}` is a table, not a value"),
            DeValue::Table(_) => format!("unknown table `{path}`"),
            _ => format!("unknown key `{path}`"),
        };
        self.problem(span, format!("{what}; the nearest known key is `{}`", nearest_key(&probe).path));
    }

    fn problem(&mut self, span: Range<usize>, message: String) {
        let source = Source::File(self.position(span));
        self.problems.push(Problem { source, message });
    }

    fn position(&self, span: Range<usize>) -> Position {
        Position::of(self.name, self.text, span.start)
    }
}

/// Whether known keys stand below `path`.
fn is_table(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read_file("larder.toml", text).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_carry_their_place() {
        let (given, problems) = read_file("l.toml", "listen = [\"127.0.0.1:1\"]\n\n[uploads]\nidle = \"30d\"\n");
        assert!(problems.is_empty(), "{problems:?}");
        let idle = given.iter().find(|given| given.key.path == "uploads.idle").expect("it was given");
        assert_eq!(idle.source.to_string(), "l.toml:4:8");
        assert_eq!(idle.value.text(), "30d");
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_column() {
        let cases = [
            ("dta = \"x\"\n", "larder.toml:1:1: unknown key `dta`; the nearest known key is `data`"),
            (
                "[uploads]\n  idel = \"1d\"\n",
                "larder.toml:2:3: unknown key `uploads.idel`; the nearest known key is `uploads.idle`",
            ),
            (
                "[upload]\nidle = \"1d\"\n",
                "larder.toml:1:2: unknown table `upload`; the nearest known key is `uploads.idle`",
            ),
            (
                "uploads = 3\n",
                "larder.toml:1:1: `uploads` is a table, not a value; the nearest known key is `uploads.idle`",
            ),
            ("uploads.idle = 7\n", "larder.toml:1:16: uploads.idle: expected a duration, found integer"),
            ("read_only = \"true\"\n", "larder.toml:1:13: read_only: expected `true` or `false`, found string"),
            ("[access]\nopen = \"yes\"\n", "larder.toml:2:8: access.open: `yes` is none of `no`, `read`, `write`"),
        ];
        for (text, expected) in cases {
            assert_eq!(problems(text), [expected], "{text}");
        }
        let broken = problems("data = \n");
        assert!(broken[0].starts_with("larder.toml:1:"), "{broken:?}");
    }

    #[test]
    fn all_problems_are_told_at_once() {
        assert_eq!(problems("a = 1\nb = 2\n[drain]\ndelay = \"x\"\n").len(), 3);
    }
}
