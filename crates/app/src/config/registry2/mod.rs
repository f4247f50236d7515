//! The configuration of `registry:2` and `registry:3`, file and environment: every key is mapped, passed over with a reason, or refused with one.
//!
//! What is understood becomes settings. What asked for something that does not happen is warned about. What protects something, or would make another
//! kind of registry of this one, is a problem: a registry that silently forgets its passwords is worse than one that does not start.

mod table;
mod tree;

use crate::config::file::Given;
use crate::config::key::key;
use crate::config::problem::{Problem, Source};
use crate::config::quantity::parse_duration;
use crate::config::value::Value;

use self::table::{Meaning, Reader, meaning};
use self::tree::Leaf;

/// Where the images look for it: that of version 2, then that of version 3.
pub const DEFAULT_FILES: [&str; 2] = ["/etc/docker/registry/config.yml", "/etc/distribution/config.yml"];

/// What such a configuration says.
#[derive(Debug, Default, PartialEq)]
pub struct Registry2 {
    /// Settings.
    pub given: Vec<Given>,
    /// What must not be passed over.
    pub problems: Vec<Problem>,
    /// What has no effect although it asked for one.
    pub warnings: Vec<String>,
    /// Every key with what became of it.
    pub fates: Vec<Fate>,
}

/// A key and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Where it stands.
    pub source: Source,
    /// The key, as the file writes it.
    pub key: String,
    /// What became of it.
    pub kind: FateKind,
    /// The key of ours with its value, or the reason.
    pub text: String,
}

/// What can become of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FateKind {
    /// It sets a key of ours.
    Mapped,
    /// Nothing is lost without it.
    Needless,
    /// What it asked for does not happen.
    WithoutEffect,
    /// With it the registry does not start.
    Refused,
}

impl FateKind {
    /// One word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Needless => "needless",
            Self::WithoutEffect => "no effect",
            Self::Refused => "refused",
        }
    }
}

/// Reads a file, by its name and text, and the `REGISTRY_…` variables that replace parts of it.
pub fn read_registry2(file: Option<(&str, &str)>, variables: &[(String, String)]) -> Registry2 {
    let mut read = Registry2::default();
    let leaves = file.map_or(Ok(Vec::new()), |(name, text)| tree::read_text(name, text));
    let leaves = leaves.and_then(|mut leaves| {
        let ours: Vec<(&str, &str)> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, value)| name.starts_with("REGISTRY_") && !is_service_link(name, value))
            .collect();
        tree::overlay(&mut leaves, &ours)?;
        Ok(leaves)
    });
    match leaves {
        Ok(leaves) => leaves.into_iter().map(normal).for_each(|leaf| read.take(&leaf)),
        Err(problem) => read.problems.push(problem),
    }
    read.complete();
    read
}

/// Kubernetes tells every container about a Service called `registry` through such variables; they are nobody's settings.
fn is_service_link(name: &str, value: &str) -> bool {
    let rest = name.trim_start_matches("REGISTRY_");
    rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_") || value.starts_with("tcp://")
}

/// `auth: htpasswd` and `storage: s3` are short for a mapping with nothing in it.
fn normal(mut leaf: Leaf) -> Leaf {
    if let [root] = leaf.path.as_slice()
        && (root == "auth" || root == "storage")
        && let Some(name) = leaf.value.take()
    {
        leaf.path.push(name.to_ascii_lowercase());
    }
    leaf
}

impl Registry2 {
    fn take(&mut self, leaf: &Leaf) {
        let value = leaf.value.as_deref().unwrap_or_default();
        let asks = |harmless: &[&str]| !harmless.contains(&value);
        match meaning(&leaf.path) {
            Some(Meaning::Sets(ours)) if leaf.value.is_some() => self.set(leaf, ours, value),
            Some(Meaning::Reads(ours, reader)) if leaf.value.is_some() => match reader.read(value) {
                Ok(Some(text)) => self.set(leaf, ours, &text),
                Ok(None) => self.fate(leaf, FateKind::Needless, format!("{ours} keeps its default")),
                Err(why) => self.refuse(leaf, why),
            },
            Some(Meaning::Adds(ours)) if leaf.value.is_some() => self.add(leaf, ours, value),
            Some(Meaning::Sets(ours) | Meaning::Reads(ours, _) | Meaning::Adds(ours)) => {
                self.fate(leaf, FateKind::Needless, format!("it has no value; {ours} keeps its default"));
            }
            Some(Meaning::Without(why)) => self.miss(leaf, why),
            Some(Meaning::WithoutUnless(harmless, why)) if asks(harmless) => self.miss(leaf, why),
            Some(Meaning::Refused(why)) => self.refuse(leaf, why.to_owned()),
            Some(Meaning::RefusedUnless(harmless, why)) if asks(harmless) => self.refuse(leaf, why.to_owned()),
            Some(Meaning::Needless(why)) => self.fate(leaf, FateKind::Needless, why.to_owned()),
            Some(Meaning::WithoutUnless(..) | Meaning::RefusedUnless(..)) => {
                self.fate(leaf, FateKind::Needless, "that is so anyway".to_owned());
            }
            // A mapping with nothing in it asks for nothing.
            None if leaf.value.is_none() => self.fate(leaf, FateKind::Needless, "nothing stands in it".to_owned()),
            None => self.miss(leaf, "neither version 2.8 nor version 3 knows this key"),
        }
    }

    fn set(&mut self, leaf: &Leaf, ours: &'static str, text: &str) {
        let key = key(ours).expect("the table names keys of ours");
        match key.kind.read_text(text) {
            Ok(value) => {
                self.fate(leaf, FateKind::Mapped, format!("{ours} = {}", value.toml()));
                self.given.push(Given { key, value, source: leaf.source.clone() });
            }
            Err(message) => self.refuse(leaf, message),
        }
    }

    fn add(&mut self, leaf: &Leaf, ours: &'static str, text: &str) {
        let key = key(ours).expect("the table names keys of ours");
        self.fate(leaf, FateKind::Mapped, format!("an entry of {ours}"));
        match self.given.iter_mut().find(|given| given.key == key) {
            Some(Given { value: Value::List(items), .. }) => items.push(text.to_owned()),
            _ => {
                let value = Value::List(vec![text.to_owned()]);
                self.given.push(Given { key, value, source: leaf.source.clone() });
            }
        }
    }

    /// What follows from several keys together.
    fn complete(&mut self) {
        let asked = |fates: &[Fate], name: &str| fates.iter().find(|fate| fate.key.starts_with(name)).cloned();
        let has = |given: &[Given], path: &str| given.iter().any(|given| given.key.path == path);
        if let Some(fate) = asked(&self.fates, "auth.htpasswd")
            && !has(&self.given, "access.htpasswd")
            && self.problems.is_empty()
        {
            let message = "the password file is not named: auth.htpasswd.path (REGISTRY_AUTH_HTPASSWD_PATH)".to_owned();
            self.problems.push(Problem { source: fate.source, message });
        }
        let source = self
            .given
            .iter()
            .find(|given| given.key.path == "tls.client_authorities")
            .map(|given| given.source.clone());
        let Some(source) = source else { return };
        let optional = |given: &Given| given.key.path == "tls.client_certificates" && given.value.text() == "optional";
        if self.given.iter().any(optional) {
            return;
        }
        self.imply("tls.client_certificates", "required", &source);
        // Whoever shows a certificate needs no password there.
        if !self.fates.iter().any(|fate| fate.key.starts_with("auth.htpasswd")) {
            self.imply("access.open", "write", &source);
        }
    }

    fn imply(&mut self, path: &str, text: &str, source: &Source) {
        let key = key(path).expect("it stands in the table");
        let value = key.kind.read_text(text).expect("it is a value of its kind");
        self.given.push(Given { key, value, source: source.clone() });
    }

    fn miss(&mut self, leaf: &Leaf, why: &str) {
        self.warnings.push(format!("{}: `{}` has no effect: {why}", place(&leaf.source), leaf.name()));
        self.fate(leaf, FateKind::WithoutEffect, why.to_owned());
    }

    fn refuse(&mut self, leaf: &Leaf, why: String) {
        let message = format!("`{}`: {why}", leaf.name());
        self.problems.push(Problem { source: leaf.source.clone(), message });
        self.fate(leaf, FateKind::Refused, why);
    }

    fn fate(&mut self, leaf: &Leaf, kind: FateKind, text: String) {
        self.fates.push(Fate { source: leaf.source.clone(), key: leaf.name(), kind, text });
    }
}

fn place(source: &Source) -> String {
    source.to_string().replace("environment ", "")
}

impl Reader {
    /// The value as this program writes it; `None` leaves the default.
    fn read(self, text: &str) -> Result<Option<String>, String> {
        let lower = text.to_ascii_lowercase();
        let one = |found: &str| Ok(Some(found.to_owned()));
        match self {
            Self::Level => match lower.as_str() {
                "panic" | "fatal" | "error" => one("error"),
                "warn" | "warning" => one("warn"),
                "info" | "debug" | "trace" => one(&lower),
                "" => Ok(None),
                _ => Err(format!("`{text}` is no level: `error`, `warn`, `info` and `debug` are")),
            },
            Self::Format => match lower.as_str() {
                "json" | "logstash" => one("json"),
                "text" | "" => Ok(None),
                _ => Err(format!("`{text}` is no format: `text` and `json` are")),
            },
            Self::Duration => match text {
                "" | "0" | "0s" => Ok(None),
                // A bare number counts billionths of a second there.
                _ if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                    let nanos: u64 = text.parse().map_err(|_| format!("`{text}` is no duration"))?;
                    Ok((nanos >= 1_000_000).then(|| format!("{}ms", nanos / 1_000_000)))
                }
                _ => parse_duration(text).map(|_| Some(text.to_owned())),
            },
            Self::MinimumTls => match lower.as_str() {
                "tls1.3" => one("1.3"),
                "" | "tls1.0" | "tls1.1" | "tls1.2" => Ok(None),
                _ => Err(format!("`{text}` is no version: `tls1.2` and `tls1.3` are")),
            },
            Self::ClientAuth => match lower.as_str() {
                "require-and-verify-client-cert" => one("required"),
                "verify-client-cert-if-given" => one("optional"),
                "" => Ok(None),
                _ => Err(format!(
                    "`{text}` would take certificates that nobody signed: `verify-client-cert-if-given` and `require-and-verify-client-cert` do not"
                )),
            },
            Self::Platforms => match lower.as_str() {
                "all" => one("refuse"),
                "none" => one("accept"),
                "" => Ok(None),
                _ => Err("a list of platforms is not served: write `all`, or `none`".to_owned()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
