//! A configuration of `registry:2` as a list of leaves, each with its path and place: the file's YAML, and the variables that replace parts of it.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::config::problem::{Position, Problem, Source};

/// A value with its path. Names are in lower case, places in a list are numbers: `http.headers.x-frame-options.0`.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// Where in the tree.
    pub path: Vec<String>,
    /// What stands there; `None` for nothing, an empty list or an empty mapping.
    pub value: Option<String>,
    /// From where.
    pub source: Source,
}

impl Leaf {
    /// The path as people write it.
    pub fn name(&self) -> String {
        self.path.join(".")
    }
}

/// Reads a file's text.
///
/// # Errors
/// What is no YAML, or more of it than such a file needs.
pub fn read_text(name: &str, text: &str) -> Result<Vec<Leaf>, Problem> {
    read(text, &|line, column| Source::File(Position { file: name.to_owned(), line, column }))
}

/// Lays variables over the leaves of a file, as the original does: sorted, so that the longer name comes after the shorter one, each in place of what
/// stood at its path. A value is YAML.
///
/// # Errors
/// Those of [`read_text`].
pub fn overlay(leaves: &mut Vec<Leaf>, variables: &[(&str, &str)]) -> Result<(), Problem> {
    let mut sorted: Vec<_> = variables.to_vec();
    sorted.sort_unstable();
    for (name, value) in sorted {
        let Some(rest) = name.strip_prefix("REGISTRY_") else { continue };
        let path: Vec<String> = rest.to_ascii_lowercase().split('_').map(str::to_owned).collect();
        let mut given = read(value, &|_, _| Source::Environment(name.to_owned()))?;
        for leaf in &mut given {
            leaf.path.splice(0..0, path.iter().cloned());
        }
        let goes = |leaf: &Leaf| leaf.path.starts_with(&path) || (leaf.value.is_none() && path.starts_with(&leaf.path));
        leaves.retain(|leaf| !goes(leaf));
        leaves.extend(given);
    }
    Ok(())
}

/// One level of the tree while it is read.
enum Level {
    /// A mapping; the name whose value comes next.
    Mapping(Option<(String, Source)>),
    /// A list; the number of its next entry.
    List(usize),
}

struct Reading<'a> {
    levels: Vec<Level>,
    leaves: Vec<Leaf>,
    source: &'a dyn Fn(usize, usize) -> Source,
}

fn read(text: &str, source: &dyn Fn(usize, usize) -> Source) -> Result<Vec<Leaf>, Problem> {
    let mut reading = Reading { levels: Vec::new(), leaves: Vec::new(), source };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Problem {
            source: source(error.marker().line(), error.marker().col() + 1),
            message: format!("this is no YAML: {}", error.info()),
        })?;
        reading.take(event, &span)?;
    }
    Ok(reading.leaves)
}

impl Reading<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let source = (self.source)(span.start.line(), span.start.col() + 1);
        match event {
            Event::MappingStart(..) => self.levels.push(Level::Mapping(None)),
            Event::SequenceStart(..) => self.levels.push(Level::List(0)),
            Event::MappingEnd | Event::SequenceEnd => {
                self.levels.pop();
                let path = self.path();
                // An empty one still says that it is there; at the root it may also stand for a variable's own path.
                if !self.leaves.iter().any(|leaf| leaf.path.starts_with(&path)) {
                    self.leaves.push(Leaf { path, value: None, source });
                }
                self.advance();
            }
            Event::Scalar(text, style, ..) => self.scalar(&text, style, source),
            Event::Alias(_) => {
                let message = "references (`*name`) are not understood: write out what it stands for".to_owned();
                return Err(Problem { source, message });
            }
            _ => {}
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, source: Source) {
        if let Some(Level::Mapping(name @ None)) = self.levels.last_mut() {
            *name = Some((text.to_ascii_lowercase(), source));
            return;
        }
        let is_nothing = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let value = (!is_nothing).then(|| text.to_owned());
        // A name says better where something stands than its value does.
        let source = match self.levels.last() {
            Some(Level::Mapping(Some((_, named)))) => named.clone(),
            _ => source,
        };
        let path = self.path();
        self.leaves.push(Leaf { path, value, source });
        self.advance();
    }

    /// The path of the value that comes next.
    fn path(&self) -> Vec<String> {
        let step = |level: &Level| match level {
            Level::Mapping(name) => name.as_ref().map(|(name, _)| name.clone()),
            Level::List(number) => Some(number.to_string()),
        };
        self.levels.iter().filter_map(step).collect()
    }

    /// A value came to its end.
    fn advance(&mut self) {
        match self.levels.last_mut() {
            Some(Level::Mapping(name)) => *name = None,
            Some(Level::List(number)) => *number += 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(leaves: &[Leaf]) -> Vec<String> {
        leaves.iter().map(|leaf| format!("{}={}", leaf.name(), leaf.value.as_deref().unwrap_or("-"))).collect()
    }

    #[test]
    fn leaves_have_paths_and_places() {
        let text = "version: 0.1\nhttp:\n  addr: ':5000' # all\n  headers:\n    X-A: [b, \"c d\"]\nstorage:\n  inmemory:\n  delete: {enabled: true}\n  cache: {}\n  list: []\n";
        let leaves = read_text("c.yml", text).expect("it is YAML");
        assert_eq!(
            shown(&leaves),
            [
                "version=0.1",
                "http.addr=:5000",
                "http.headers.x-a.0=b",
                "http.headers.x-a.1=c d",
                "storage.inmemory=-",
                "storage.delete.enabled=true",
                "storage.cache=-",
                "storage.list=-"
            ]
        );
        let places: Vec<_> = leaves.iter().map(|leaf| leaf.source.to_string()).collect();
        assert_eq!(places[..3], ["c.yml:1:1", "c.yml:3:3", "c.yml:5:11"]);
        assert_eq!(places[5], "c.yml:8:12");
    }

    #[test]
    fn variables_take_the_place_of_what_stood_there() {
        let text =
            "auth:\n  token:\n    realm: x\nstorage:\n  delete:\n    enabled: false\nhttp: {tls: {clientcas: [a]}}\n";
        let mut leaves = read_text("c.yml", text).expect("it is YAML");
        let variables = [
            ("REGISTRY_AUTH_HTPASSWD_PATH", "/auth"),
            ("REGISTRY_AUTH", "{htpasswd: {realm: R}}"),
            ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
            ("REGISTRY_HTTP_TLS_CLIENTCAS_1", "b"),
            ("REGISTRY_HTTP_HEADERS", "{}"),
            ("HOME", "/"),
        ];
        overlay(&mut leaves, &variables).expect("they are YAML");
        assert_eq!(
            shown(&leaves),
            [
                "http.tls.clientcas.0=a",
                "auth.htpasswd.realm=R",
                "auth.htpasswd.path=/auth",
                "http.headers=-",
                "http.tls.clientcas.1=b",
                "storage.delete.enabled=true",
            ]
        );
        assert_eq!(leaves[2].source.to_string(), "environment REGISTRY_AUTH_HTPASSWD_PATH");
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_place() {
        let problem = read_text("c.yml", "http:\n  addr: [\n").expect_err("it is torn").to_string();
        assert!(problem.starts_with("c.yml:") && problem.contains("no YAML"), "{problem}");
        let problem = read_text("c.yml", "a: &x {b: 1}\nc: *x\n").expect_err("a reference").to_string();
        assert!(problem.starts_with("c.yml:2:4: references"), "{problem}");
    }
}
