//! From a text to rules, or to everything that is wrong with it.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Latest, Rules};
use crate::policy::{Document, Problem, Problems};

/// Characters of the longest text.
const LONGEST: usize = 30_720;

/// The rules by their names.
pub(super) const NAMES: [&str; 11] = [
    "production",
    "immutable",
    "latest",
    "shape",
    "labels",
    "annotations",
    "platforms",
    "mediaTypes",
    "size",
    "signature",
    "aliases",
];

/// Reads a text: which rules it sets, by their names.
///
/// # Errors
/// Everything that is wrong with it, by field; where it is no JSON, by line and column.
pub fn read(text: &str) -> Result<Map<String, Value>, Problems> {
    let wrong = |message: String, place| Problems(vec![Problem { rule: None, field: String::new(), message, place }]);
    if text.chars().count() > LONGEST {
        return Err(wrong(format!("it is longer than {LONGEST} characters"), None));
    }
    let document = match serde_json::from_str::<Document>(text) {
        Ok(Document(Value::Object(document))) => document,
        Ok(_) => return Err(wrong("rules are a JSON object".to_owned(), None)),
        Err(error) => {
            let said = error.to_string();
            let message = said.split(" at line ").next().unwrap_or(&said).to_owned();
            return Err(wrong(message, Some((error.line(), error.column()))));
        }
    };
    parsed(&document).map(|_| document)
}

/// What these rules are, all that were set for a repository together.
pub(super) fn parsed(document: &Map<String, Value>) -> Result<Rules, Problems> {
    let mut reader = Reader { document, problems: Vec::new() };
    let rules = Rules {
        production: reader.rule("production").unwrap_or(false),
        immutable: reader.rule("immutable"),
        latest: reader.rule::<Latest>("latest").unwrap_or_default(),
        shape: reader.rule("shape"),
        labels: reader.rule("labels"),
        annotations: reader.rule("annotations"),
        platforms: reader.rule("platforms"),
        media_types: reader.rule("mediaTypes"),
        size: reader.rule("size"),
        signature: reader.rule("signature"),
        aliases: reader.rule("aliases"),
    };
    for name in document.keys().filter(|name| !NAMES.contains(&name.as_str())) {
        reader.wrong(name, format!("there is no such rule: {} are", NAMES.join(", ")));
    }
    if reader.problems.is_empty() { Ok(rules) } else { Err(Problems(reader.problems)) }
}

struct Reader<'d> {
    document: &'d Map<String, Value>,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn wrong(&mut self, field: &str, message: String) {
        self.problems.push(Problem { rule: None, field: field.to_owned(), message, place: None });
    }

    fn rule<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let value = written_out(name, self.document.get(name)?);
        match serde_json::from_value(value) {
            Ok(rule) => Some(rule),
            Err(error) => {
                self.wrong(name, error.to_string());
                None
            }
        }
    }
}

/// A rule that is written as one word means its level; of `latest` that of pulls, and a shape may be written as its form.
fn written_out(name: &str, value: &Value) -> Value {
    match (name, value.as_str()) {
        ("latest", Some(level)) => json!({ "pull": level }),
        ("shape", Some(form)) if !["off", "warn", "enforce"].contains(&form) => {
            json!({ "level": "enforce", "form": form })
        }
        (_, Some(level)) => json!({ "level": level }),
        _ => value.clone(),
    }
}
