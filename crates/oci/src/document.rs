//! A JSON document checked as a whole: UTF-8, no byte order mark, no name twice in one object, no
//! deeper than [`MAX_DEPTH`].
//!
//! JSON leaves it to the reader which of two equal names counts, so that two readers of one manifest
//! may see two images. What passes here means the same to all of them. The walk builds nothing but
//! each object's set of names, so that four megabytes of brackets cost no more than their bytes.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::manifest::ManifestError;
use crate::parse_error::{shown, shown_words};

/// The deepest nesting of arrays and objects. The parser's own limit (128) lies above it.
pub(crate) const MAX_DEPTH: usize = 100;

/// Objects up to this many names are compared one by one.
const FEW: usize = 8;

/// The document's text, once it is known to mean one thing only.
pub(crate) fn check(bytes: &[u8]) -> Result<&str, ManifestError> {
    let text = std::str::from_utf8(bytes).map_err(|_| ManifestError::NotUtf8)?;
    if text.starts_with('\u{feff}') {
        return Err(ManifestError::ByteOrderMark);
    }
    let fault = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let walk = Walk { depth: 0, fault: &fault };
    match walk.deserialize(&mut deserializer).and_then(|()| deserializer.end()) {
        Ok(()) => Ok(text),
        Err(error) => {
            Err(fault.into_inner().unwrap_or_else(|| ManifestError::NotJson(shown_words(&error.to_string()))))
        }
    }
}

/// One value below `depth` others. What it finds goes into `fault`: the parser's error type has no
/// room for it.
#[derive(Clone, Copy)]
struct Walk<'a> {
    depth: usize,
    fault: &'a RefCell<Option<ManifestError>>,
}

impl Walk<'_> {
    fn fail<E: Error>(self, fault: ManifestError) -> E {
        let error = E::custom(&fault);
        *self.fault.borrow_mut() = Some(fault);
        error
    }

    /// The walk for what is inside the array or object just entered.
    fn descend<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail(ManifestError::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let inside = self.descend()?;
        while elements.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inside = self.descend()?;
        let mut names = Names::default();
        while let Some(Name(name)) = members.next_key_seed(NameSeed)? {
            if let Some(twice) = names.add(name) {
                return Err(self.fail(ManifestError::DuplicateName(shown(&twice))));
            }
            members.next_value_seed(inside)?;
        }
        Ok(())
    }
}

/// The names of one object: most objects are small, and hashing them costs more than looking.
#[derive(Default)]
struct Names<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Names<'de> {
    /// Gives the name back if it was there before.
    fn add(&mut self, name: Cow<'de, str>) -> Option<Cow<'de, str>> {
        if self.many.is_empty() {
            if self.few.contains(&name) {
                return Some(name);
            }
            if self.few.len() < FEW {
                self.few.push(name);
                return None;
            }
            self.many.extend(self.few.drain(..));
        }
        if self.many.contains(&name) {
            return Some(name);
        }
        self.many.insert(name);
        None
    }
}

/// A member's name, borrowed from the document unless it is written with escapes.
struct Name<'de>(Cow<'de, str>);

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name<'de>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}
