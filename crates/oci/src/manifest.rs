//! Manifests as they were pushed: read strictly once, then only quoted.
//!
//! **Invariant 8**: a manifest is stored and served byte for byte. What is read here is for looking
//! at; there is no way back from a [`ParsedManifest`] to bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::descriptor::Descriptor;
use crate::document;
use crate::media_type;
use crate::parse_error::{ParseError, shown, shown_words};

/// A manifest cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The bytes are no text.
    #[error("manifest is not UTF-8")]
    NotUtf8,
    /// Some readers skip a byte order mark, others fail on it.
    #[error("manifest begins with a byte order mark")]
    ByteOrderMark,
    /// The text is no JSON document, or more than one.
    #[error("manifest is not JSON: {0}")]
    NotJson(String),
    /// One object names a member twice; readers differ in which they take.
    #[error("manifest has the member \"{0}\" twice in one object")]
    DuplicateName(String),
    /// Arrays and objects are nested deeper than 100.
    #[error("manifest is nested deeper than 100 levels")]
    TooDeep,
    /// The document is an array or a mere value.
    #[error("manifest is not a JSON object")]
    NotAnObject,
    /// A Docker manifest of schema 1.
    #[error("manifest is of schema 1, which is not supported: push it again with a current client")]
    SchemaOne,
    /// `schemaVersion` is not 2.
    #[error("manifest has schemaVersion {0}, not 2")]
    SchemaVersion(String),
    /// The `Content-Type` is not a media type.
    #[error("\"{0}\" is not a media type")]
    MediaTypeInvalid(String),
    /// Neither header, nor body, nor content tells the media type.
    #[error("manifest has no media type: send a Content-Type")]
    MediaTypeMissing,
    /// Header and body disagree about the media type.
    #[error("manifest says its mediaType is \"{body}\", but was sent as \"{header}\"")]
    MediaTypeMismatch {
        /// The body's `mediaType`.
        body: String,
        /// The request's `Content-Type`.
        header: String,
    },
    /// The body has a member that makes it an image to one reader and an index to another
    /// (CVE-2021-41190).
    #[error("manifest of type \"{media_type}\" may not have \"{member}\"")]
    Ambiguous {
        /// The type it was pushed as.
        media_type: String,
        /// What belongs to the other kind.
        member: &'static str,
    },
    /// A member that makes the manifest what it is, is not there.
    #[error("manifest has no \"{0}\"")]
    Missing(&'static str),
    /// A member is not what the specification says.
    #[error("manifest has an invalid {place}: {reason}")]
    Member {
        /// Where: `config`, `layers[3]`.
        place: String,
        /// Why.
        reason: String,
    },
}

/// What a manifest is made of, by its media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ManifestKind {
    /// Configuration and layers, of OCI or Docker.
    Image,
    /// A list of manifests, of OCI or Docker.
    Index,
    /// A type unknown to the registry.
    Other,
}

/// How a manifest refers to something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EdgeKind {
    /// To its configuration, a blob.
    Config,
    /// To one of its layers, a blob.
    Layer,
    /// From an index to one of its entries: a manifest, rarely a blob.
    Child,
    /// To the manifest it says something about, which may not exist.
    Subject,
}

impl EdgeKind {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::Config, Self::Layer, Self::Child, Self::Subject];

    /// The kind as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Layer => "layer",
            Self::Child => "child",
            Self::Subject => "subject",
        }
    }

    /// The kind in a database. Never renumber.
    pub const fn code(self) -> i64 {
        match self {
            Self::Config => 1,
            Self::Layer => 2,
            Self::Child => 3,
            Self::Subject => 4,
        }
    }

    /// Reads what [`EdgeKind::code`] gave.
    ///
    /// # Errors
    /// [`ParseError::EdgeKind`] for a number that no kind has.
    pub fn from_code(code: i64) -> Result<Self, ParseError> {
        let known = Self::ALL.into_iter().find(|kind| kind.code() == code);
        known.ok_or_else(|| ParseError::EdgeKind(code.to_string()))
    }
}

impl fmt::Display for EdgeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EdgeKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| ParseError::EdgeKind(shown(text)))
    }
}

crate::text::serde_as_text!(EdgeKind, "an edge kind");

/// A manifest's reference to something else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Edge {
    /// In what role.
    pub kind: EdgeKind,
    /// To what.
    pub descriptor: Descriptor,
}

/// What the registry needs to know of a manifest.
///
/// **Invariant 8**: it cannot be written back, so that nobody serves a copy for the original.
///
/// ```compile_fail
/// fn bytes(manifest: &larder_oci::ParsedManifest) -> Vec<u8> {
///     serde_json::to_vec(manifest).unwrap_or_default()
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ParsedManifest {
    /// By media type.
    pub kind: ManifestKind,
    /// The type it was pushed as, without parameters.
    pub media_type: String,
    /// The manifest's own `artifactType`; for an image without one, its configuration's media type.
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Option<Descriptor>,
    /// The layers; for a type unknown to the registry, its `blobs` too.
    pub layers: Vec<Descriptor>,
    /// The entries of an index.
    pub manifests: Vec<Descriptor>,
    /// What the manifest is about.
    pub subject: Option<Descriptor>,
    /// What its author noted.
    pub annotations: BTreeMap<String, String>,
}

/// The members that are looked at, still as text.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members<'a> {
    #[serde(borrow)]
    schema_version: Option<&'a RawValue>,
    #[serde(borrow)]
    media_type: Option<&'a RawValue>,
    #[serde(borrow)]
    artifact_type: Option<&'a RawValue>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    #[serde(borrow)]
    layers: Option<&'a RawValue>,
    #[serde(borrow)]
    blobs: Option<&'a RawValue>,
    #[serde(borrow)]
    manifests: Option<&'a RawValue>,
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
    /// Only schema 1 has it.
    #[serde(borrow)]
    fs_layers: Option<&'a RawValue>,
}

impl ParsedManifest {
    /// Reads a manifest as it was pushed, with the request's `Content-Type`.
    ///
    /// Without a `Content-Type` the body's `mediaType` counts, and without that its members. The four
    /// types of OCI and Docker are read strictly. Any other type is accepted as long as it is JSON,
    /// and what in it looks like descriptors is taken for such.
    ///
    /// # Errors
    /// [`ManifestError`], which says what is wrong and where.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        let text = document::check(bytes)?;
        let header = content_type.map(media_type::essence).filter(|essence| !essence.is_empty());
        if let Some(header) = header.filter(|header| !media_type::is_valid(header)) {
            return Err(ManifestError::MediaTypeInvalid(shown(header)));
        }
        let members = Members::read(text)?;
        let media_type = members.media_type(header)?;
        members.refuse_schema_one(&media_type)?;
        if media_type::is_image(&media_type) {
            members.image(media_type)
        } else if media_type::is_index(&media_type) {
            members.index(media_type)
        } else {
            Ok(members.other(media_type))
        }
    }

    /// Everything the manifest refers to, as often as it does: configuration, layers, entries,
    /// subject.
    pub fn edges(&self) -> Vec<Edge> {
        let of = |kind| move |descriptor: &Descriptor| Edge { kind, descriptor: descriptor.clone() };
        let config = self.config.iter().map(of(EdgeKind::Config));
        let layers = self.layers.iter().map(of(EdgeKind::Layer));
        let children = self.manifests.iter().map(of(EdgeKind::Child));
        let subject = self.subject.iter().map(of(EdgeKind::Subject));
        config.chain(layers).chain(children).chain(subject).collect()
    }
}

impl<'a> Members<'a> {
    fn read(text: &'a str) -> Result<Self, ManifestError> {
        // A derived reader would also take an array for a struct.
        if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
            return Err(ManifestError::NotAnObject);
        }
        serde_json::from_str(text).map_err(|error| ManifestError::NotJson(reason(&error)))
    }

    /// The type to keep: the header's, which the body must not contradict.
    fn media_type(&self, header: Option<&str>) -> Result<String, ManifestError> {
        let body = self.text("mediaType", self.media_type)?;
        match (header, body) {
            (Some(header), Some(body)) if header != body => {
                Err(ManifestError::MediaTypeMismatch { body: shown(&body), header: shown(header) })
            }
            (Some(header), _) => Ok(header.to_owned()),
            (None, Some(body)) if media_type::is_valid(&body) => Ok(body),
            (None, Some(body)) => Err(ManifestError::MediaTypeInvalid(shown(&body))),
            (None, None) if self.manifests.is_some() => Ok(media_type::OCI_INDEX.to_owned()),
            (None, None) if self.config.is_some() => Ok(media_type::OCI_MANIFEST.to_owned()),
            (None, None) if self.fs_layers.is_some() => Err(ManifestError::SchemaOne),
            (None, None) => Err(ManifestError::MediaTypeMissing),
        }
    }

    fn refuse_schema_one(&self, media_type: &str) -> Result<(), ManifestError> {
        let by_type = matches!(media_type, media_type::DOCKER_MANIFEST_V1 | media_type::DOCKER_MANIFEST_V1_SIGNED);
        let by_version = self.schema_version.is_some_and(|version| version.get() == "1");
        let known = media_type::is_image(media_type) || media_type::is_index(media_type);
        // Schema 1 was also pushed as application/json.
        if by_type || by_version && (known || self.fs_layers.is_some()) {
            return Err(ManifestError::SchemaOne);
        }
        Ok(())
    }

    /// What the four known types have in common: the version, and nothing of the other kind.
    fn require_schema_two(
        &self,
        media_type: &str,
        foreign: &[(&'static str, Option<&RawValue>)],
    ) -> Result<(), ManifestError> {
        let version = self.schema_version.ok_or(ManifestError::Missing("schemaVersion"))?;
        if version.get() != "2" {
            return Err(ManifestError::SchemaVersion(shown(version.get())));
        }
        match foreign.iter().find(|(_, value)| value.is_some()) {
            Some(&(member, _)) => Err(ManifestError::Ambiguous { media_type: media_type.to_owned(), member }),
            None => Ok(()),
        }
    }

    fn image(&self, media_type: String) -> Result<ParsedManifest, ManifestError> {
        self.require_schema_two(&media_type, &[("manifests", self.manifests)])?;
        let config = self.config.ok_or(ManifestError::Missing("config"))?;
        let config = descriptor(config, || "config".to_owned())?;
        let own = self.text("artifactType", self.artifact_type)?;
        let configs = Some(config.media_type.clone()).filter(|text| !text.is_empty());
        Ok(ParsedManifest {
            kind: ManifestKind::Image,
            media_type,
            artifact_type: own.or(configs),
            config: Some(config),
            layers: descriptors("layers", self.layers)?,
            manifests: Vec::new(),
            subject: self.subject()?,
            annotations: self.annotations()?,
        })
    }

    fn index(&self, media_type: String) -> Result<ParsedManifest, ManifestError> {
        let foreign = [("config", self.config), ("layers", self.layers)];
        self.require_schema_two(&media_type, &foreign)?;
        Ok(ParsedManifest {
            kind: ManifestKind::Index,
            media_type,
            artifact_type: self.text("artifactType", self.artifact_type)?,
            config: None,
            layers: Vec::new(),
            manifests: descriptors("manifests", self.manifests)?,
            subject: self.subject()?,
            annotations: self.annotations()?,
        })
    }

    /// Nobody knows what the members mean, so that what does not fit is passed over.
    fn other(&self, media_type: String) -> ParsedManifest {
        let mut layers = descriptors_among(self.layers);
        layers.extend(descriptors_among(self.blobs));
        ParsedManifest {
            kind: ManifestKind::Other,
            media_type,
            artifact_type: self.text("artifactType", self.artifact_type).unwrap_or_default(),
            config: self.config.and_then(descriptor_if_any),
            layers,
            manifests: descriptors_among(self.manifests),
            subject: self.subject.and_then(descriptor_if_any),
            annotations: self.annotations().unwrap_or_default(),
        }
    }

    fn subject(&self) -> Result<Option<Descriptor>, ManifestError> {
        self.subject.map(|raw| descriptor(raw, || "subject".to_owned())).transpose()
    }

    fn annotations(&self) -> Result<BTreeMap<String, String>, ManifestError> {
        let Some(raw) = self.annotations else { return Ok(BTreeMap::new()) };
        serde_json::from_str(raw.get()).map_err(|error| invalid("annotations".to_owned(), &error))
    }

    /// A member that is a string. An empty one counts as absent.
    fn text(&self, name: &str, raw: Option<&RawValue>) -> Result<Option<String>, ManifestError> {
        let Some(raw) = raw else { return Ok(None) };
        let text: String = serde_json::from_str(raw.get()).map_err(|error| invalid(name.to_owned(), &error))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}

fn descriptors(name: &str, list: Option<&RawValue>) -> Result<Vec<Descriptor>, ManifestError> {
    let mut found = Vec::new();
    each_element(name, list, |place, raw| {
        found.push(descriptor(raw, || format!("{name}[{place}]"))?);
        Ok(())
    })?;
    Ok(found)
}

fn descriptors_among(list: Option<&RawValue>) -> Vec<Descriptor> {
    let mut found = Vec::new();
    // What is no list has no elements: then there is nothing to take.
    let _ = each_element("", list, |_, raw| {
        found.extend(descriptor_if_any(raw));
        Ok(())
    });
    found
}

/// Hands over the elements of a list one at a time. A list of them all would be eight times as large
/// as a hostile document.
fn each_element(
    name: &str,
    list: Option<&RawValue>,
    take: impl FnMut(usize, &RawValue) -> Result<(), ManifestError>,
) -> Result<(), ManifestError> {
    let Some(list) = list else { return Ok(()) };
    let mut fault = None;
    let elements = Elements { take, fault: &mut fault };
    let result = serde_json::Deserializer::from_str(list.get()).deserialize_seq(elements);
    match (fault, result) {
        (Some(fault), _) => Err(fault),
        (None, result) => result.map_err(|error| invalid(name.to_owned(), &error)),
    }
}

struct Elements<'f, T> {
    take: T,
    /// The first refusal of `take`: the parser's error type has no room for it.
    fault: &'f mut Option<ManifestError>,
}

impl<'de, T> Visitor<'de> for Elements<'_, T>
where
    T: FnMut(usize, &RawValue) -> Result<(), ManifestError>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of descriptors")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let mut place = 0;
        while let Some(raw) = elements.next_element::<&RawValue>()? {
            if let Err(fault) = (self.take)(place, raw) {
                let error = A::Error::custom(&fault);
                *self.fault = Some(fault);
                return Err(error);
            }
            place += 1;
        }
        Ok(())
    }
}

fn descriptor(raw: &RawValue, place: impl Fn() -> String) -> Result<Descriptor, ManifestError> {
    if !is_object(raw) {
        return Err(ManifestError::Member { place: place(), reason: "not an object".to_owned() });
    }
    serde_json::from_str(raw.get()).map_err(|error| invalid(place(), &error))
}

/// Makes no message of what is no descriptor: there may be a million of it.
fn descriptor_if_any(raw: &RawValue) -> Option<Descriptor> {
    is_object(raw).then(|| serde_json::from_str(raw.get()).ok()).flatten()
}

/// A derived reader would also take an array for a struct.
fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

fn invalid(place: String, error: &serde_json::Error) -> ManifestError {
    ManifestError::Member { place, reason: reason(error) }
}

/// The parser's words without its position, which counts from the member's beginning.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    shown_words(text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason))
}
