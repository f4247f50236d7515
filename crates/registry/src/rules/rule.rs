//! The rules that there are, as they are written.

use std::fmt;

use larder_oci::{Tag, TagForm, TagKind};
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, de};

use super::signature::Key;
use crate::policy::TagPattern;

/// Bytes that a compiled expression may take.
const EXPRESSION: usize = 1 << 20;

/// How much a rule weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It says nothing.
    #[default]
    Off,
    /// What it is against happens, with a warning.
    Warn,
    /// What it is against is refused.
    Enforce,
}

/// All rules of a repository. What is not set says nothing.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Whether people rely on what this repository holds.
    pub production: bool,
    /// Tags that never move.
    pub immutable: Option<Immutable>,
    /// `latest`.
    pub latest: Latest,
    /// What tags look like.
    pub shape: Option<Shape>,
    /// Labels that an image has.
    pub labels: Option<Required>,
    /// Annotations that a manifest has.
    pub annotations: Option<Required>,
    /// Platforms that images are for.
    pub platforms: Option<Platforms>,
    /// Media types that there may be.
    pub media_types: Option<MediaTypes>,
    /// How large images may be.
    pub size: Option<Size>,
    /// Signatures that an image has.
    pub signature: Option<Signature>,
    /// Tags that follow versions.
    pub aliases: Option<Aliases>,
}

impl Rules {
    /// Whether what an image is made of matters.
    pub fn need_content(&self) -> bool {
        let required = [&self.labels, &self.annotations].into_iter().flatten().map(|rule| rule.level);
        let levels = required
            .chain(self.platforms.iter().map(|rule| rule.level))
            .chain(self.media_types.iter().map(|rule| rule.level))
            .chain(self.size.iter().map(|rule| rule.level))
            .chain(self.signature.iter().map(|rule| rule.level));
        levels.into_iter().any(|level| level != Level::Off)
    }
}

/// Tags that keep the digest they got. Amazon ECR's words for it are read too.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ImmutableText")]
pub struct Immutable {
    /// How much it weighs.
    pub level: Level,
    /// These tags,
    pub tags: Vec<TagPattern>,
    /// but not these.
    pub except: Vec<TagPattern>,
}

impl Immutable {
    /// Whether a tag is one of them.
    pub fn covers(&self, tag: &Tag) -> bool {
        self.level != Level::Off && any(&self.tags, tag) && !any(&self.except, tag)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ImmutableText {
    level: Level,
    #[serde(default, deserialize_with = "some_patterns")]
    tags: Option<Vec<TagPattern>>,
    #[serde(default, deserialize_with = "some_patterns")]
    except: Option<Vec<TagPattern>>,
    mode: Option<Mutability>,
    #[serde(default, deserialize_with = "some_patterns")]
    filters: Option<Vec<TagPattern>>,
}

/// Amazon ECR's words.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Mutability {
    Mutable,
    Immutable,
    ImmutableWithExclusion,
    MutableWithExclusion,
}

impl TryFrom<ImmutableText> for Immutable {
    type Error = String;

    fn try_from(text: ImmutableText) -> Result<Self, String> {
        let ImmutableText { level, tags, except, mode, filters } = text;
        let all = || TagPattern::read("*").map(|all| vec![all]);
        let Some(mode) = mode else {
            if filters.is_some() {
                return Err("`filters` stands with `mode`".to_owned());
            }
            let tags = tags.map_or_else(all, Ok)?;
            return Ok(Self { level, tags, except: except.unwrap_or_default() });
        };
        if tags.is_some() || except.is_some() {
            return Err("`mode` stands with `filters`, not with `tags` and `except`".to_owned());
        }
        let excluded = |filters: Option<Vec<TagPattern>>| {
            filters.filter(|some| !some.is_empty()).ok_or("this mode needs `filters`".to_owned())
        };
        Ok(match mode {
            Mutability::Mutable => Self { level: Level::Off, tags: Vec::new(), except: Vec::new() },
            Mutability::Immutable => Self { level, tags: all()?, except: Vec::new() },
            Mutability::ImmutableWithExclusion => Self { level, tags: all()?, except: excluded(filters)? },
            Mutability::MutableWithExclusion => Self { level, tags: excluded(filters)?, except: Vec::new() },
        })
    }
}

/// What becomes of `latest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Latest {
    /// Pulling it; where nothing is said, a warning in production.
    pub pull: Option<Level>,
    /// Pushing it; where nothing is said, it may be pushed.
    #[serde(default)]
    pub push: Level,
}

/// What tags look like.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shape {
    /// How much it weighs.
    pub level: Level,
    /// What they look like.
    #[serde(default)]
    pub form: TagForms,
    /// Tags that may look as they like; without it, `latest` and stages.
    #[serde(default, deserialize_with = "some_patterns")]
    pub except: Option<Vec<TagPattern>>,
}

impl Shape {
    /// Whether a tag may look so.
    pub fn allows(&self, tag: &Tag) -> bool {
        let kind = TagForm::of(tag).kind();
        let excepted = match &self.except {
            Some(except) => any(except, tag),
            None => matches!(kind, TagKind::Latest | TagKind::Stage),
        };
        excepted || self.form.matches(tag)
    }
}

/// What tags may look like.
#[derive(Clone, Debug, Default)]
pub enum TagForms {
    /// Versions of three parts, as SemVer has them, and builds of such.
    SemVer,
    /// All versions that are recognised, and builds of such.
    #[default]
    Version,
    /// What the whole of an expression matches.
    Expression(Regex),
}

impl TagForms {
    fn matches(&self, tag: &Tag) -> bool {
        let form = TagForm::of(tag);
        let version = || form.version().filter(|_| matches!(form.kind(), TagKind::Version | TagKind::Build));
        match self {
            Self::SemVer => version().is_some_and(larder_oci::Version::is_semver),
            Self::Version => version().is_some(),
            Self::Expression(expression) => expression.is_match(tag.as_str()),
        }
    }
}

impl fmt::Display for TagForms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SemVer => f.write_str("a version of three parts such as 1.2.3"),
            Self::Version => f.write_str("a version such as 1.2.3, v1.2 or 1.2.3-abc123f"),
            Self::Expression(expression) => {
                let text = expression.as_str();
                write!(f, "a tag that matches {}", &text[4..text.len() - 2])
            }
        }
    }
}

impl<'de> Deserialize<'de> for TagForms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "semver" => Ok(Self::SemVer),
            "version" => Ok(Self::Version),
            expression => {
                let whole = RegexBuilder::new(&format!("^(?:{expression})$")).size_limit(EXPRESSION).build();
                let wrong = |_| de::Error::custom(format!("`{text}` is neither semver nor version, nor an expression"));
                Ok(Self::Expression(whole.map_err(wrong)?))
            }
        }
    }
}

/// Names that have to be there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Required {
    /// How much it weighs.
    pub level: Level,
    /// The names; `*` at the end stands for any.
    #[serde(default)]
    pub required: Vec<String>,
    /// Tags that need none.
    #[serde(default, deserialize_with = "patterns")]
    pub except: Vec<TagPattern>,
}

/// Platforms that images may be for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Platforms {
    /// How much it weighs.
    pub level: Level,
    /// The platforms: `linux/amd64`, `linux/arm64/v8`.
    #[serde(default)]
    pub allowed: Vec<String>,
    /// Tags that it is not about.
    #[serde(default, deserialize_with = "patterns")]
    pub except: Vec<TagPattern>,
}

/// Media types that there may be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MediaTypes {
    /// How much it weighs.
    pub level: Level,
    /// Types of manifests, configurations and layers; `*` at the end stands for any.
    #[serde(default)]
    pub allowed: Vec<String>,
    /// Tags that it is not about.
    #[serde(default, deserialize_with = "patterns")]
    pub except: Vec<TagPattern>,
}

/// How large images may be, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Size {
    /// How much it weighs.
    pub level: Level,
    /// A manifest with everything that it names.
    #[serde(default, deserialize_with = "bytes")]
    pub image: Option<u64>,
    /// A layer.
    #[serde(default, deserialize_with = "bytes")]
    pub layer: Option<u64>,
    /// Tags that it is not about.
    #[serde(default, deserialize_with = "patterns")]
    pub except: Vec<TagPattern>,
}

/// Signatures that an image has before one of these tags points to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signature {
    /// How much it weighs.
    pub level: Level,
    /// Public keys; a signature by one of them is enough.
    #[serde(default)]
    pub keys: Vec<Key>,
    /// These tags; without it, all.
    #[serde(default, deserialize_with = "some_patterns")]
    pub tags: Option<Vec<TagPattern>>,
    /// But not these.
    #[serde(default, deserialize_with = "patterns")]
    pub except: Vec<TagPattern>,
}

/// Tags that follow versions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aliases {
    /// Whether they move, and whether one may be pushed backwards: with a warning, or not at all.
    pub level: Level,
    /// Tags beside `1.4` and `1` that follow the newest release: `stable`.
    #[serde(default)]
    pub names: Vec<Tag>,
    /// Whether tags that a person pushed move too.
    #[serde(default)]
    pub adopt: bool,
}

/// Whether one of the patterns matches.
pub(super) fn any(patterns: &[TagPattern], tag: &Tag) -> bool {
    patterns.iter().any(|pattern| pattern.matches(tag.as_str()))
}

fn patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TagPattern>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| TagPattern::read(text).map_err(de::Error::custom)).collect()
}

fn some_patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<TagPattern>>, D::Error> {
    patterns(deserializer).map(Some)
}

/// A number of bytes, or one with a unit: `10GiB`, `500MB`.
fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Bytes {
        Number(u64),
        Text(String),
    }
    let wrong = |text: &str| de::Error::custom(format!("`{text}` is no size: write bytes, or 10GiB"));
    match Bytes::deserialize(deserializer)? {
        Bytes::Number(bytes) => Ok(Some(bytes)),
        Bytes::Text(text) => size(&text).map(Some).ok_or_else(|| wrong(&text)),
    }
}

fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
