//! What an image's configuration says. Anybody may have written it, so it is read leniently: what has another shape than expected is not there.

use std::collections::BTreeMap;

use jiff::Timestamp;
use larder_oci::{Descriptor, ParsedManifest, RepositoryName, media_type};
use serde_json::{Map, Value};

use super::{Result, Visit};

/// Bytes of the longest configuration that is read.
const LONGEST: u64 = 1 << 20;
/// Entries of one list that are shown.
const MOST: usize = 1_000;

/// A configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ImageConfig {
    pub os: String,
    pub architecture: String,
    pub variant: String,
    pub created: Option<Timestamp>,
    pub author: String,
    pub user: String,
    pub working_dir: String,
    pub entry_point: String,
    pub command: String,
    pub stop_signal: String,
    pub env: Vec<(String, String)>,
    pub labels: BTreeMap<String, String>,
    pub ports: Vec<String>,
    pub volumes: Vec<String>,
    pub steps: Vec<Step>,
}

/// One step of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// The instruction that did it.
    pub instruction: String,
    /// Whether it made no layer.
    pub is_empty: bool,
}

/// The configuration of an image; `None` for what is no image, and where it cannot be read.
pub(super) async fn config(
    visit: &Visit<'_>,
    name: &RepositoryName,
    manifest: &ParsedManifest,
) -> Result<Option<ImageConfig>> {
    let Some(config) = manifest.config.as_ref().filter(|config| is_config(config)) else { return Ok(None) };
    match visit.registry.small_blob(visit.actor(), name, &config.digest, LONGEST).await {
        Ok(bytes) => Ok(bytes.and_then(|bytes| ImageConfig::read(&bytes))),
        // The image may be incomplete, or a store may be ill: its page is still worth something.
        Err(_) => Ok(None),
    }
}

/// Whether a descriptor is an image's configuration.
pub(super) fn is_config(config: &Descriptor) -> bool {
    matches!(config.media_type.as_str(), media_type::OCI_CONFIG | media_type::DOCKER_CONFIG)
}

impl ImageConfig {
    /// Reads it, if it is a JSON object.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let whole: Value = serde_json::from_slice(bytes).ok()?;
        let whole = whole.as_object()?;
        let nothing = Map::new();
        let config = whole.get("config").and_then(Value::as_object).unwrap_or(&nothing);
        Some(Self {
            os: text(whole, "os"),
            architecture: text(whole, "architecture"),
            variant: text(whole, "variant"),
            created: text(whole, "created").parse().ok(),
            author: text(whole, "author"),
            user: text(config, "User"),
            working_dir: text(config, "WorkingDir"),
            entry_point: words(config, "Entrypoint"),
            command: words(config, "Cmd"),
            stop_signal: text(config, "StopSignal"),
            env: list(config, "Env").iter().filter_map(Value::as_str).map(pair).collect(),
            labels: labels(config),
            ports: keys(config, "ExposedPorts"),
            volumes: keys(config, "Volumes"),
            steps: list(whole, "history").iter().filter_map(Value::as_object).map(step).collect(),
        })
    }

    /// `linux/arm64/v8`.
    pub fn platform(&self) -> String {
        platform(&self.os, &self.architecture, &self.variant)
    }
}

/// A platform in one word, empty where nothing is known.
pub(super) fn platform(os: &str, architecture: &str, variant: &str) -> String {
    [os, architecture, variant].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

fn text(of: &Map<String, Value>, key: &str) -> String {
    of.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list<'v>(of: &'v Map<String, Value>, key: &str) -> &'v [Value] {
    let all = of.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    &all[..all.len().min(MOST)]
}

fn keys(of: &Map<String, Value>, key: &str) -> Vec<String> {
    of.get(key).and_then(Value::as_object).map(|map| map.keys().take(MOST).cloned().collect()).unwrap_or_default()
}

fn labels(config: &Map<String, Value>) -> BTreeMap<String, String> {
    let labels = config.get("Labels").and_then(Value::as_object).into_iter().flatten().take(MOST);
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// A command as it stands in a Dockerfile: a list of words, each quoted.
fn words(of: &Map<String, Value>, key: &str) -> String {
    match of.get(key) {
        Some(Value::String(line)) => line.clone(),
        Some(list @ Value::Array(words)) if !words.is_empty() => list.to_string(),
        _ => String::new(),
    }
}

fn pair(line: &str) -> (String, String) {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    (name.to_owned(), value.to_owned())
}

fn step(entry: &Map<String, Value>) -> Step {
    let is_empty = entry.get("empty_layer").and_then(Value::as_bool).unwrap_or(false);
    let by = text(entry, "created_by");
    let by = if by.is_empty() { text(entry, "comment") } else { by };
    Step { instruction: instruction(&by), is_empty }
}

/// The instruction as its author wrote it, without the shell that builders put around it.
fn instruction(by: &str) -> String {
    let by = by.trim().trim_end_matches("# buildkit").trim();
    if let Some(other) = by.strip_prefix("/bin/sh -c #(nop)") {
        return other.trim().to_owned();
    }
    if let Some(line) = by.strip_prefix("/bin/sh -c ") {
        return format!("RUN {}", line.trim());
    }
    match by.strip_prefix("RUN /bin/sh -c ") {
        Some(line) => format!("RUN {}", line.trim()),
        None => by.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_read_as_their_author_wrote_them() {
        for (by, shown) in [
            ("/bin/sh -c #(nop)  CMD [\"python3\"]", "CMD [\"python3\"]"),
            ("/bin/sh -c apt-get update", "RUN apt-get update"),
            ("RUN /bin/sh -c pip install torch # buildkit", "RUN pip install torch"),
            ("COPY model.pkl /model.pkl # buildkit", "COPY model.pkl /model.pkl"),
            ("", ""),
        ] {
            assert_eq!(instruction(by), shown);
        }
    }

    #[test]
    fn what_has_another_shape_is_not_there() {
        let odd = br#"{"os":7,"config":{"Env":"x","Labels":[],"Cmd":{},"ExposedPorts":["x"]},"history":{"a":1},"created":"soon"}"#;
        assert_eq!(ImageConfig::read(odd), Some(ImageConfig::default()));
        for none in [&b"[]"[..], b"null", b"\xff", b"{"] {
            assert_eq!(ImageConfig::read(none), None);
        }
        let plain = br#"{"os":"linux","architecture":"arm64","variant":"v8","created":"2026-01-02T03:04:05.678901Z",
            "config":{"Env":["A=b=c","D"],"Entrypoint":["python","serve.py"],"Labels":{"x":"y","n":1}},
            "history":[{"created_by":"COPY a b","empty_layer":false},{"created_by":"ENV A=b","empty_layer":true}]}"#;
        let config = ImageConfig::read(plain).expect("it is an object");
        assert_eq!(config.platform(), "linux/arm64/v8");
        assert_eq!(config.env, [("A".to_owned(), "b=c".to_owned()), ("D".to_owned(), String::new())]);
        assert_eq!(config.entry_point, "[\"python\",\"serve.py\"]");
        assert_eq!(config.labels.len(), 1);
        assert!(config.created.is_some() && config.steps[1].is_empty);
    }
}
