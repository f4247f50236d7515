//! Configuration: flags beat the environment, the environment beats the file, the file beats defaults.
//!
//! It lives at the top of the house, so nothing below imports it; each crate has its own small settings.

mod environment;
mod file;
mod key;
mod nearest;
mod problem;
mod quantity;
mod reference;
mod registry2;
mod value;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::config::environment::read_environment;
use crate::config::file::{Given, read_file};
use crate::config::key::{KEYS, key};
use crate::config::registry2::{DEFAULT_FILES, Registry2, read_registry2};

pub use crate::config::problem::{Problem, Problems, Source};
pub use crate::config::quantity::{Reserve, duration_text, parse_duration, parse_size, rounded_size};
pub use crate::config::reference::{example, print_json, print_text, reference, reference_rows};
pub use crate::config::registry2::Fate;
pub use crate::config::value::{Value, local_path};

/// The flags that set a key. They stand on `serve` and on `config print`.
#[derive(Args, Clone, Debug, Default)]
pub struct SettingFlags {
    /// The data folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// An address to listen on; may be given several times
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the catalog is: `sqlite:` or `sqlite:FILE`
    #[arg(long, value_name = "URL")]
    pub catalog: Option<String>,
    /// Where the blobs are: `file:` or `file:DIR`
    #[arg(long, value_name = "URL")]
    pub blobs: Option<String>,
    /// The address that clients use, when behind a proxy
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Serve pulls and refuse every write
    #[arg(long)]
    pub read_only: bool,
    /// Make an authority and a certificate for TLS, and say how clients come to trust it
    #[arg(long)]
    pub tls_self_signed: bool,
}

impl SettingFlags {
    /// Path, text and flag of what was given.
    fn texts(&self) -> Vec<(&'static str, String, &'static str)> {
        let mut texts = Vec::new();
        let mut add = |path, text: &Option<String>, flag| {
            if let Some(text) = text {
                texts.push((path, text.clone(), flag));
            }
        };
        add("data", &self.data, "--data");
        add("catalog.url", &self.catalog, "--catalog");
        add("blobs.url", &self.blobs, "--blobs");
        add("public_url", &self.public_url, "--public-url");
        add("listen", &(!self.listen.is_empty()).then(|| self.listen.join(",")), "--listen");
        add("read_only", &self.read_only.then(|| "true".to_owned()), "--read-only");
        add("tls.self_signed", &self.tls_self_signed.then(|| "true".to_owned()), "--tls-self-signed");
        texts
    }
}

/// The outcome of all layers.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// One entry for each key, in the table's order.
    entries: Vec<Given>,
    /// The file that was read, if one was.
    file: Option<PathBuf>,
    /// What has no effect.
    warnings: Vec<String>,
    /// What became of the keys of `registry:2`.
    fates: Vec<Fate>,
}

/// This process's environment, as far as it is text.
pub fn environment() -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    variables.sort();
    variables
}

impl Configuration {
    /// Puts the layers together.
    ///
    /// # Errors
    /// Everything that is wrong in any of them.
    pub fn load(flags: &SettingFlags, variables: &[(String, String)]) -> Result<Self, Problems> {
        Self::load_beside(flags, variables, &DEFAULT_FILES.map(Path::new))
    }

    /// [`load`](Self::load) with other places for the file of `registry:2`.
    fn load_beside(flags: &SettingFlags, variables: &[(String, String)], old: &[&Path]) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let from_flags = read_flags(flags, &mut problems);
        let (from_environment, wrong) = read_environment(variables);
        problems.extend(wrong);

        let named = flags.config.clone().map(|file| (file, Source::Flag("--config"))).or_else(|| {
            let variable = variables.iter().find(|(name, value)| name == "LARDER_CONFIG" && !value.is_empty())?;
            Some((PathBuf::from(&variable.1), Source::Environment("LARDER_CONFIG".to_owned())))
        });
        let is_registry2 = named.as_ref().is_some_and(|(file, _)| is_registry2_file(file));
        let mut from_file = Vec::new();
        if let Some((file, source)) = named.as_ref().filter(|_| !is_registry2) {
            let (given, wrong) = read_named(file, source);
            from_file = given;
            problems.extend(wrong);
        }

        let mut entries = defaults();
        let stands_in =
            is_registry2 || [&from_flags, &from_environment, &from_file].iter().any(|layer| wants_stand_in(layer));
        let (mut warnings, mut fates) = (Vec::new(), Vec::new());
        if stands_in {
            let old = stand_in(named.as_ref().filter(|_| is_registry2), variables, old);
            (warnings, fates) = (old.warnings, old.fates);
            problems.extend(old.problems);
            overlay(&mut entries, old.given);
            let switch = key("registry2.stand_in").expect("it stands in the table");
            overlay(&mut entries, vec![Given { key: switch, value: Value::Switch(true), source: Source::StandIn }]);
        }
        for layer in [from_file, from_environment, from_flags] {
            overlay(&mut entries, layer);
        }
        if problems.is_empty() {
            Ok(Self { entries, file: named.map(|(file, _)| file), warnings, fates })
        } else {
            Err(Problems(problems))
        }
    }

    /// Checks one file alone; answers what became of each of its keys, if it is one of `registry:2`, and what is wrong.
    pub fn check_file(file: &Path) -> (Vec<Fate>, Result<(), Problems>) {
        let source = Source::Flag("FILE");
        let (fates, problems) = if is_registry2_file(file) {
            let read = read_registry2_file(Some((file, &source)), &[]);
            (read.fates, read.problems)
        } else {
            (Vec::new(), read_named(file, &source).1)
        };
        (fates, if problems.is_empty() { Ok(()) } else { Err(Problems(problems)) })
    }

    /// Every key with its value and source.
    pub fn entries(&self) -> &[Given] {
        &self.entries
    }

    /// The file that was read.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What stands in a file and has no effect.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// What became of the keys of `registry:2`, in its file and its variables.
    pub fn fates(&self) -> &[Fate] {
        &self.fates
    }

    /// Where a key's value comes from.
    pub fn source(&self, path: &str) -> &Source {
        &self.entry(path).source
    }

    /// A text, if it is set.
    pub fn text(&self, path: &str) -> Option<&str> {
        match &self.entry(path).value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A list.
    pub fn list(&self, path: &str) -> &[String] {
        match &self.entry(path).value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// A switch.
    pub fn switch(&self, path: &str) -> bool {
        self.entry(path).value == Value::Switch(true)
    }

    /// A whole number or a size.
    pub fn number(&self, path: &str) -> u64 {
        match self.entry(path).value {
            Value::Number(number) | Value::Size(number) => number,
            _ => 0,
        }
    }

    /// A duration.
    pub fn duration(&self, path: &str) -> Duration {
        match self.entry(path).value {
            Value::Duration(duration) => duration,
            _ => Duration::ZERO,
        }
    }

    /// A reserve.
    pub fn reserve(&self, path: &str) -> Reserve {
        match self.entry(path).value {
            Value::Reserve(reserve) => reserve,
            _ => Reserve::default(),
        }
    }

    fn entry(&self, path: &str) -> &Given {
        self.entries
            .iter()
            .find(|entry| entry.key.path == path)
            .expect("the program asks only for keys of its own table")
    }
}

fn defaults() -> Vec<Given> {
    let read = |key: &'static key::Key| key.kind.read_text(key.default).expect("a test reads every default");
    KEYS.iter().map(|key| Given { key, value: read(key), source: Source::Default }).collect()
}

fn overlay(entries: &mut [Given], layer: Vec<Given>) {
    for given in layer {
        if let Some(entry) = entries.iter_mut().find(|entry| entry.key.path == given.key.path) {
            *entry = given;
        }
    }
}

fn read_flags(flags: &SettingFlags, problems: &mut Vec<Problem>) -> Vec<Given> {
    let mut given = Vec::new();
    for (path, text, flag) in flags.texts() {
        let key = key(path).expect("flags name keys of the table");
        let source = Source::Flag(flag);
        match key.kind.read_text(&text) {
            Ok(value) => given.push(Given { key, value, source }),
            Err(message) => problems.push(Problem { source, message }),
        }
    }
    given
}

fn read_named(file: &Path, source: &Source) -> (Vec<Given>, Vec<Problem>) {
    match std::fs::read_to_string(file) {
        Ok(text) => read_file(&file.display().to_string(), &text),
        Err(error) => (Vec::new(), vec![unreadable(file, source, &error)]),
    }
}

fn unreadable(file: &Path, source: &Source, error: &std::io::Error) -> Problem {
    Problem { source: source.clone(), message: format!("{} cannot be read: {error}", file.display()) }
}

fn is_registry2_file(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
}

fn read_registry2_file(file: Option<(&Path, &Source)>, variables: &[(String, String)]) -> Registry2 {
    let Some((file, source)) = file else { return read_registry2(None, variables) };
    match std::fs::read_to_string(file) {
        Ok(text) => read_registry2(Some((&file.display().to_string(), &text)), variables),
        Err(error) => Registry2 { problems: vec![unreadable(file, source, &error)], ..Registry2::default() },
    }
}

fn wants_stand_in(layer: &[Given]) -> bool {
    layer.iter().any(|given| given.key.path == "registry2.stand_in" && given.value == Value::Switch(true))
}

/// The defaults of a stand-in for `registry:2`, then its file with its variables laid over it.
fn stand_in(named: Option<&(PathBuf, Source)>, variables: &[(String, String)], defaults: &[&Path]) -> Registry2 {
    let file = match named {
        // The images' commands name these files; they need not be there.
        Some((file, _)) if defaults.contains(&file.as_path()) && !file.exists() => None,
        Some((file, source)) => Some((file.as_path(), source)),
        None => defaults.iter().find(|file| file.exists()).map(|file| (*file, &Source::StandIn)),
    };
    let mut old = read_registry2_file(file, variables);
    let mut given: Vec<Given> = [("data", "/var/lib/registry"), ("listen", "0.0.0.0:5000")]
        .into_iter()
        .filter_map(|(path, text)| {
            let key = key(path)?;
            Some(Given { key, value: key.kind.read_text(text).ok()?, source: Source::StandIn })
        })
        .collect();
    given.append(&mut old.given);
    old.given = given;
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("larder.toml");
        std::fs::write(&path, text).expect("it can be written");
        (folder, path)
    }

    #[test]
    fn flags_beat_the_environment_which_beats_the_file_which_beats_defaults() {
        let (_folder, path) =
            file("data = \"/file\"\n[lease]\nttl = \"1h\"\n[drain]\ndelay = \"1s\"\ntimeout = \"9s\"\n");
        let flags = SettingFlags { config: Some(path), data: Some("/flag".to_owned()), ..SettingFlags::default() };
        let environment = variables(&[("LARDER_DATA", "/environment"), ("LARDER_LEASE__TTL", "2h")]);
        let loaded = Configuration::load(&flags, &environment).expect("it is right");
        assert_eq!(loaded.text("data"), Some("/flag"));
        assert_eq!(loaded.duration("lease.ttl"), Duration::from_secs(7_200));
        assert_eq!(loaded.duration("drain.timeout"), Duration::from_secs(9));
        assert_eq!(loaded.duration("uploads.idle"), Duration::from_secs(7 * 86_400));
        assert_eq!(loaded.source("data").to_string(), "flag --data");
        assert_eq!(loaded.source("lease.ttl").to_string(), "environment LARDER_LEASE__TTL");
        assert!(loaded.source("drain.timeout").to_string().ends_with("larder.toml:6:11"));
        assert_eq!(loaded.source("uploads.idle"), &Source::Default);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let (_folder, path) = file("dta = 1\n");
        let flags =
            SettingFlags { config: Some(path), catalog: Some("postgres://x".to_owned()), ..SettingFlags::default() };
        let problems =
            Configuration::load(&flags, &variables(&[("LARDER_NOSE", "1")])).expect_err("three things are wrong");
        assert_eq!(problems.0.len(), 3, "{problems:?}");
    }

    #[test]
    fn a_named_file_must_be_there() {
        let flags = SettingFlags { config: Some("/nowhere/larder.toml".into()), ..SettingFlags::default() };
        let problems = Configuration::load(&flags, &[]).expect_err("it is absent");
        assert!(problems.0[0].to_string().starts_with("--config: /nowhere/larder.toml cannot be read"), "{problems:?}");
    }

    #[test]
    fn a_stand_in_has_the_old_images_places_below_the_environment() {
        let environment = variables(&[("LARDER_REGISTRY2__STAND_IN", "true"), ("LARDER_LISTEN", "127.0.0.1:1")]);
        let (_folder, absent) = file("");
        let absent = absent.with_file_name("config.yml");
        let loaded =
            Configuration::load_beside(&SettingFlags::default(), &environment, &[&absent]).expect("it is right");
        assert_eq!(loaded.text("data"), Some("/var/lib/registry"));
        assert_eq!(loaded.source("data"), &Source::StandIn);
        assert_eq!(loaded.list("listen"), ["127.0.0.1:1"]);

        std::fs::write(&absent, "http:\n  addr: :80\nstorage:\n  filesystem:\n    rootdirectory: /old\n")
            .expect("it can be written");
        let environment = variables(&[("LARDER_REGISTRY2__STAND_IN", "true")]);
        let loaded =
            Configuration::load_beside(&SettingFlags::default(), &environment, &[&absent]).expect("it is right");
        assert_eq!((loaded.text("data"), loaded.list("listen")), (Some("/old"), &["0.0.0.0:80".to_owned()][..]));
    }
}
