//! The configuration file of `registry:2`, as far as a stand-in needs it: block mappings of plain scalars, nothing else of YAML.
//!
//! What is understood becomes settings; what is harmless is passed over; what protects something and is not served yet is a problem, because
//! a registry that silently forgets its passwords is worse than one that does not start; the rest is warned about.

use crate::config::file::Given;
use crate::config::key::key;
use crate::config::problem::{Position, Problem, Source};

/// Where the image looks for it.
pub const DEFAULT_FILE: &str = "/etc/docker/registry/config.yml";

/// Keys that change nothing here, or that say what is so anyway.
const HARMLESS: &[&str] = &[
    "version",
    "log",
    "health",
    "http.headers.x-content-type-options",
    "storage.cache",
    "storage.delete.enabled",
    "storage.maintenance",
    "http.host",
    "http.secret",
];
/// Keys that protect something.
const PROTECTING: &[&str] = &["auth", "http.tls"];

/// What such a file says.
#[derive(Debug, Default, PartialEq)]
pub struct Registry2File {
    /// Settings.
    pub given: Vec<Given>,
    /// What must not be passed over.
    pub problems: Vec<Problem>,
    /// What has no effect.
    pub warnings: Vec<String>,
}

/// Reads the file's text.
pub fn read_registry2(name: &str, text: &str) -> Registry2File {
    let mut read = Registry2File::default();
    for line in lines(text) {
        let source = Source::File(Position { file: name.to_owned(), line: line.number, column: line.column });
        let path = line.path.to_ascii_lowercase();
        let under = |names: &[&str]| {
            names.iter().any(|name| path == *name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
        };
        let target = match path.as_str() {
            "http.addr" => Some("listen"),
            "storage.filesystem.rootdirectory" => Some("data"),
            _ => None,
        };
        match target.and_then(key) {
            Some(key) => match key.kind.read_text(&line.value) {
                Ok(value) => read.given.push(Given { key, value, source }),
                Err(message) => read.problems.push(Problem { source, message }),
            },
            None if under(PROTECTING) => {
                let message = format!(
                    "`{}` is not served yet, and without it the registry would be less protected than you asked for",
                    line.path
                );
                read.problems.push(Problem { source, message });
            }
            None if under(HARMLESS) => {}
            None => read.warnings.push(format!("{source}: `{}` is not understood and has no effect", line.path)),
        }
    }
    read
}

/// The same for `REGISTRY_…` variables of the environment.
pub fn read_registry2_environment(variables: &[(String, String)]) -> Registry2File {
    let mut text = String::new();
    let mut names = Vec::new();
    for (name, value) in variables {
        if let Some(rest) = name.strip_prefix("REGISTRY_") {
            text.push_str(&format!("{}: {value}\n", rest.to_ascii_lowercase().replace('_', ".")));
            names.push(name);
        }
    }
    let mut read = read_registry2("environment", &text);
    let renamed = |source: &Source| match source {
        Source::File(position) => {
            names.get(position.line.saturating_sub(1)).map(|name| Source::Environment((*name).clone()))
        }
        _ => None,
    };
    for given in &mut read.given {
        given.source = renamed(&given.source).unwrap_or(Source::StandIn);
    }
    for problem in &mut read.problems {
        problem.source = renamed(&problem.source).unwrap_or(Source::StandIn);
    }
    for warning in &mut read.warnings {
        let line = warning.split(':').nth(1).and_then(|line| line.parse::<usize>().ok()).unwrap_or(1);
        *warning = format!("{} is not understood and has no effect", names[line - 1]);
    }
    read
}

struct Line {
    number: usize,
    column: usize,
    path: String,
    value: String,
}

/// Every scalar with its path: `a.b.c` → value. A list item counts as its list.
fn lines(text: &str) -> Vec<Line> {
    let mut stack: Vec<(usize, String)> = Vec::new();
    let mut found = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let content = raw.split(" #").next().unwrap_or_default();
        let body = content.trim_start();
        if body.is_empty() || body.starts_with('#') || body.starts_with("---") {
            continue;
        }
        let indent = content.len() - body.len();
        let body = body.trim_start_matches("- ");
        let Some((name, value)) = body.split_once(':') else { continue };
        stack.retain(|(depth, _)| *depth < indent);
        stack.push((indent, name.trim().trim_matches(['"', '\'']).to_owned()));
        let value = value.trim().trim_matches(['"', '\'']);
        if !value.is_empty() {
            let path = stack.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(".");
            found.push(Line { number: index + 1, column: indent + 1, path, value: value.to_owned() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shape of the file that the old image shipped.
    const SHIPPED: &str = "version: 0.1\nlog:\n  fields:\n    service: registry\nstorage:\n  cache:\n    blobdescriptor: inmemory\n  filesystem:\n    rootdirectory: /var/lib/registry\nhttp:\n  addr: :5001\n  headers:\n    X-Content-Type-Options: [nosniff]\nhealth:\n  storagedriver:\n    enabled: true\n";

    #[test]
    fn the_usual_file_is_understood_whole() {
        let read = read_registry2("config.yml", SHIPPED);
        let texts: Vec<_> = read.given.iter().map(|given| (given.key.path, given.value.text())).collect();
        assert_eq!(texts, [("data", "/var/lib/registry".to_owned()), ("listen", "0.0.0.0:5001".to_owned())]);
        assert!(read.problems.is_empty() && read.warnings.is_empty(), "{read:?}");
    }

    #[test]
    fn passwords_and_certificates_are_not_passed_over() {
        let read =
            read_registry2("c.yml", "auth:\n  htpasswd:\n    realm: Registry Realm\nproxy:\n  remoteurl: https://x\n");
        assert_eq!(read.problems.len(), 1);
        assert!(
            read.problems[0].to_string().starts_with("c.yml:3:5: `auth.htpasswd.realm` is not served yet"),
            "{read:?}"
        );
        assert_eq!(read.warnings, ["c.yml:5:3: `proxy.remoteurl` is not understood and has no effect"]);
    }

    #[test]
    fn its_variables_count_like_its_keys() {
        let pairs = [
            ("REGISTRY_AUTH", "htpasswd"),
            ("REGISTRY_HTTP_ADDR", "0.0.0.0:80"),
            ("REGISTRY_PROXY_REMOTEURL", "https://x"),
        ];
        let variables: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let read = read_registry2_environment(&variables);
        assert_eq!(read.given[0].source.to_string(), "environment REGISTRY_HTTP_ADDR");
        assert!(read.problems[0].to_string().starts_with("REGISTRY_AUTH: `auth` is not served yet"), "{read:?}");
        assert_eq!(read.warnings, ["REGISTRY_PROXY_REMOTEURL is not understood and has no effect"]);
    }
}
