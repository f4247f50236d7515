//! `LARDER_…`: every key by its path in capitals, with `__` between levels.

use crate::config::file::Given;
use crate::config::key::{KEYS, Key};
use crate::config::nearest::nearest_key;
use crate::config::problem::{Problem, Source};

/// Variables of ours that are no settings: they choose the file, or the server that commands talk to and who asks it.
const OTHERS: &[&str] = &["LARDER_CA", "LARDER_CONFIG", "LARDER_ID_TOKEN", "LARDER_SERVER", "LARDER_TOKEN"];

/// Reads the settings among `variables`.
pub fn read_environment(variables: &[(String, String)]) -> (Vec<Given>, Vec<Problem>) {
    let mut given: Vec<Given> = Vec::new();
    let mut problems = Vec::new();
    for (name, text) in variables.iter().filter(|(name, text)| is_ours(name, text)) {
        let source = Source::Environment(name.clone());
        let Some(key) = named(name) else {
            problems.push(Problem { source, message: unknown(name) });
            continue;
        };
        if let Some(other) = given.iter().find(|other| other.key.path == key.path) {
            let message = format!(
                "names the same key as {}; set one of them",
                other.source.to_string().replace("environment ", "")
            );
            problems.push(Problem { source, message });
            continue;
        }
        match key.kind.read_text(text) {
            Ok(value) => given.push(Given { key, value, source }),
            Err(message) => problems.push(Problem { source, message }),
        }
    }
    (given, problems)
}

fn named(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.variable() == name || key.alias == Some(name))
}

fn unknown(name: &str) -> String {
    let path = name.trim_start_matches("LARDER_").to_ascii_lowercase().replace("__", ".");
    format!("unknown setting; the nearest known one is {}", nearest_key(&path).variable())
}

fn is_ours(name: &str, text: &str) -> bool {
    name.starts_with("LARDER_") && !OTHERS.contains(&name) && !is_service_link(name, text)
}

/// Kubernetes tells every container about a Service called `larder` through such variables; they are nobody's settings.
fn is_service_link(name: &str, text: &str) -> bool {
    let ours = ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].iter().any(|end| name.ends_with(end));
    ours || name.contains("_SERVICE_PORT_")
        || (name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP")))
        || text.starts_with("tcp://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Vec<Given>, Vec<String>) {
        let variables: Vec<_> = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let (given, problems) = read_environment(&variables);
        (given, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn levels_are_parted_by_two_underscores() {
        let (given, problems) = read(&[("LARDER_UPLOADS__IDLE", "720h"), ("LARDER_READ_ONLY", "true"), ("HOME", "/")]);
        assert!(problems.is_empty(), "{problems:?}");
        let texts: Vec<_> = given.iter().map(|given| (given.key.path, given.value.text())).collect();
        assert_eq!(texts, [("uploads.idle", "30d".to_owned()), ("read_only", "true".to_owned())]);
    }

    #[test]
    fn one_key_has_one_name_at_a_time() {
        let (given, problems) = read(&[("LARDER_CATALOG", "sqlite:"), ("LARDER_CATALOG__URL", "sqlite:x")]);
        assert_eq!(given.len(), 1);
        assert_eq!(problems, ["LARDER_CATALOG__URL: names the same key as LARDER_CATALOG; set one of them"]);
    }

    #[test]
    fn an_unknown_name_tells_the_nearest() {
        let (_, problems) = read(&[("LARDER_UPLOADS_IDLE", "7d")]);
        assert_eq!(problems, ["LARDER_UPLOADS_IDLE: unknown setting; the nearest known one is LARDER_UPLOADS__IDLE"]);
    }

    #[test]
    fn what_kubernetes_says_about_a_service_is_no_setting() {
        let (given, problems) = read(&[
            ("LARDER_SERVICE_HOST", "10.0.0.1"),
            ("LARDER_SERVICE_PORT", "5000"),
            ("LARDER_SERVICE_PORT_HTTP", "5000"),
            ("LARDER_PORT", "tcp://10.0.0.1:5000"),
            ("LARDER_PORT_5000_TCP_ADDR", "10.0.0.1"),
            ("LARDER_SERVER", "http://localhost:5000"),
            ("LARDER_CONFIG", "/etc/larder/larder.toml"),
        ]);
        assert!(given.is_empty() && problems.is_empty(), "{problems:?}");
    }
}
