//! Stages as people write them: a JSON document of our own.

use std::collections::BTreeSet;
use std::time::Duration;

use larder_oci::{RepositoryName, Tag};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Stages that there may be.
const STAGES: usize = 20;
/// Approvals that a stage may ask for.
const APPROVALS: u32 = 100;

/// The stages of a repository, in the order in which a version goes through them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stages {
    /// How they are shown.
    #[serde(default)]
    pub shown: Shown,
    /// The stages.
    pub stages: Vec<Stage>,
}

/// How stages are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// As a tag: `ml-model:prod`.
    #[default]
    Tag,
    /// As a repository: `prod/ml-model`.
    Repository,
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name.
    pub name: Tag,
    /// What a version has to meet before it enters.
    #[serde(default)]
    pub gates: Gates,
}

/// What a version has to meet before it enters a stage. That its manifest is complete is asked of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// It came through the stage before.
    #[serde(default)]
    pub previous: bool,
    /// It stood there for so long.
    #[serde(default, deserialize_with = "duration")]
    pub minimum_age: Option<Duration>,
    /// It has a version.
    #[serde(default)]
    pub version: Option<VersionGate>,
    /// It is signed.
    #[serde(default)]
    pub signature: bool,
    /// People approved it.
    #[serde(default)]
    pub approvals: Option<Approvals>,
}

impl Gates {
    /// Whether anybody may move the stage with a push.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something is asked of the stage before.
    pub(super) fn asks_before(&self) -> bool {
        self.previous || self.minimum_age.is_some()
    }
}

/// Which versions may enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionGate {
    /// Versions, pre-releases too.
    Any,
    /// Versions that are no pre-release.
    Release,
}

/// How many people have to approve.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// So many.
    pub count: u32,
    /// Of this group; of those who may push, where none is named.
    #[serde(default)]
    pub group: Option<String>,
}

impl Default for Stages {
    /// Those of a repository for which nothing was set.
    fn default() -> Self {
        let stage = |name: &str| Stage { name: name.parse().expect("it is a tag"), gates: Gates::default() };
        Self { shown: Shown::Tag, stages: larder_catalog::DEFAULT_STAGES.map(stage).into() }
    }
}

impl Stages {
    /// Reads a document.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn read(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if read.stages.len() > STAGES {
            return Err(format!("there are {} stages; at most {STAGES} are allowed", read.stages.len()));
        }
        let mut seen = BTreeSet::new();
        for (place, stage) in read.stages.iter().enumerate() {
            let wrong = |said: String| Err(format!("stage {}: {said}", stage.name));
            if !seen.insert(&stage.name) {
                return wrong("it is there twice".to_owned());
            }
            if place == 0 && stage.gates.asks_before() {
                return wrong("it is the first: `previous` and `minimum_age` are about the stage before".to_owned());
            }
            let count = stage.gates.approvals.as_ref().map_or(1, |approvals| approvals.count);
            if !(1..=APPROVALS).contains(&count) {
                return wrong(format!("approvals.count is {count}; it is 1 to {APPROVALS}"));
            }
            let is_component = stage.name.as_str().parse::<RepositoryName>().is_ok();
            if read.shown == Shown::Repository && !is_component {
                return wrong("a stage that is a repository is named in lower case".to_owned());
            }
        }
        Ok(read)
    }

    /// The stage of this name, and the one before it.
    pub(super) fn find(&self, name: &Tag) -> Option<(&Stage, Option<&Stage>)> {
        let place = self.stages.iter().position(|stage| stage.name == *name)?;
        Some((&self.stages[place], place.checked_sub(1).map(|before| &self.stages[before])))
    }

    pub(super) fn names(&self) -> Vec<Tag> {
        self.stages.iter().map(|stage| stage.name.clone()).collect()
    }

    /// Those that are tags.
    pub(super) fn tags(&self) -> Vec<Tag> {
        if self.shown == Shown::Tag { self.names() } else { Vec::new() }
    }
}

/// `30s`, `15m`, `24h`, `30d`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = || D::Error::custom(format!("`{text}` is no duration: write 30m, 24h or 7d"));
    let (number, unit) = text.split_at(text.len() - text.chars().next_back().map_or(0, char::len_utf8));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Some(Duration::from_secs(u64::from(number) * seconds)))
}

/// A duration as people write it.
pub(super) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60)] {
        if seconds >= length && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    match seconds {
        3_600.. => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        60.. => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_reads_and_what_is_wrong_is_told() {
        let text = r#"{"stages":[{"name":"dev"},{"name":"prod","gates":{"previous":true,"minimum_age":"24h",
            "version":"release","approvals":{"count":2,"group":"release"}}}]}"#;
        let stages = Stages::read(text).expect("it reads");
        assert_eq!(stages.shown, Shown::Tag);
        assert!(stages.stages[0].gates.is_open() && !stages.stages[1].gates.is_open());
        assert_eq!(stages.stages[1].gates.minimum_age, Some(Duration::from_secs(86_400)));
        for (text, told) in [
            (r#"{"stages":[{"name":"dev","gates":{"previous":true}}]}"#, "it is the first"),
            (r#"{"stages":[{"name":"dev"},{"name":"dev"}]}"#, "stage dev: it is there twice"),
            (r#"{"stages":[{"name":"dev","gate":{}}]}"#, "unknown field `gate`"),
            (r#"{"stages":[{"name":"a"},{"name":"b","gates":{"minimum_age":"soon"}}]}"#, "no duration"),
            (r#"{"stages":[{"name":"a","gates":{"approvals":{"count":0}}}]}"#, "approvals.count is 0"),
            (r#"{"shown":"repository","stages":[{"name":"Prod"}]}"#, "in lower case"),
            (r#"{"stages":[{"name":"a b"}]}"#, "tag"),
            ("{", "EOF"),
        ] {
            let said = Stages::read(text).expect_err(text);
            assert!(said.contains(told), "{told}: {said}");
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_written() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (3_600, "1h"), (172_800, "2d"), (5_430, "1h 30m"), (90, "1m")] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
    }
}
