//! A policy's text and its rules as a form: each says the other. What a rule may say is the domain's to decide; here only the usual ones have words.

use larder_registry::policy::Problem;
use serde_json::{Map, Value, json};

use super::faults::Faults;
use crate::form::Form;

/// A rule as it stands in the text.
pub(super) struct Rule {
    /// Its place, from 0.
    pub place: usize,
    /// The same, for people.
    pub number: usize,
    pub words: String,
    pub description: String,
    /// What is wrong with it.
    pub problems: Vec<String>,
}

/// A rule to be added.
#[derive(Default)]
pub(super) struct NewRule {
    pub which: String,
    pub beginning: String,
    pub until: String,
    pub number: String,
    pub description: String,
}

/// The rules of a text, with what is wrong with each. A text that cannot be read has none.
pub(super) fn read(text: &str, problems: &[Problem]) -> Vec<Rule> {
    let document: Value = serde_json::from_str(text).unwrap_or_default();
    let rules = document["rules"].as_array().cloned().unwrap_or_default();
    rules
        .iter()
        .enumerate()
        .map(|(place, rule)| Rule {
            place,
            number: place + 1,
            words: words(rule),
            description: rule["description"].as_str().unwrap_or_default().to_owned(),
            problems: problems
                .iter()
                .filter(|problem| problem.rule == Some(place + 1))
                .map(|problem| match problem.field.as_str() {
                    "" => problem.message.clone(),
                    field => format!("{field}: {}", problem.message),
                })
                .collect(),
        })
        .collect()
}

fn words(rule: &Value) -> String {
    let selection = &rule["selection"];
    let count = selection["countNumber"].as_u64().unwrap_or_default();
    let which = match selection["tagStatus"].as_str() {
        Some("untagged") => "images without a tag".to_owned(),
        Some("tagged") => format!("images tagged {}", named(selection)),
        _ => "all images".to_owned(),
    };
    let action = rule["action"]["type"].as_str().unwrap_or("expire");
    let verb = if action == "expire" { "Delete" } else { action };
    match selection["countType"].as_str() {
        Some("imageCountMoreThan") => format!("{verb} {which}, but for the {count} newest"),
        Some("sinceImagePushed") => format!("{verb} {which} {count} days after their push"),
        Some("sinceImagePulled") => format!("{verb} {which} that nobody pulled for {count} days"),
        Some(other) => format!("{verb} {which}: {other} {count}"),
        None => format!("{verb} {which}"),
    }
}

fn named(selection: &Value) -> String {
    let list = |key: &str, after: &str| {
        let all = selection[key].as_array().cloned().unwrap_or_default();
        all.iter().filter_map(Value::as_str).map(|text| format!("{text}{after}")).collect::<Vec<_>>()
    };
    let mut all = list("tagPrefixList", "…");
    all.extend(list("tagPatternList", ""));
    if all.is_empty() { "in some way".to_owned() } else { all.join(" and ") }
}

/// The text without a rule; nothing where it has no such rule.
pub(super) fn without(text: &str, place: usize) -> Option<String> {
    let mut document: Value = serde_json::from_str(text).ok()?;
    let rules = document["rules"].as_array_mut().filter(|rules| place < rules.len())?;
    rules.remove(place);
    serde_json::to_string_pretty(&document).ok()
}

impl NewRule {
    pub fn read(form: &Form) -> Self {
        Self {
            which: form.word("which").to_owned(),
            beginning: form.word("beginning").to_owned(),
            until: form.word("until").to_owned(),
            number: form.word("number").to_owned(),
            description: form.word("rule-description").to_owned(),
        }
    }

    /// The text with this rule behind its others.
    pub fn added_to(&self, text: &str) -> Result<String, Faults> {
        let text = if text.trim().is_empty() { "{\"rules\":[]}" } else { text };
        let Ok(Value::Object(mut document)) = serde_json::from_str(text) else {
            return Err(Faults::at("text", "A rule can be added once the text is JSON."));
        };
        let rule = self.rule(next_priority(&document))?;
        match document.entry("rules").or_insert_with(|| json!([])) {
            Value::Array(rules) => rules.push(rule),
            _ => return Err(Faults::at("text", "`rules` has to be a list.")),
        }
        serde_json::to_string_pretty(&document).map_err(|error| Faults::at("text", error.to_string()))
    }

    fn rule(&self, priority: i64) -> Result<Value, Faults> {
        let mut faults = Faults::none();
        let mut selection = Map::new();
        let number = self.number.parse::<u64>().ok().filter(|number| *number > 0);
        if number.is_none() {
            faults.add("number", "Say a number, 1 or more.");
        }
        match self.which.as_str() {
            "untagged" => selection.insert("tagStatus".into(), "untagged".into()),
            "tagged" => {
                if self.beginning.is_empty() {
                    faults.add("beginning", "Say what the tags begin with.");
                }
                selection.insert("tagPrefixList".into(), json!([self.beginning]));
                selection.insert("tagStatus".into(), "tagged".into())
            }
            _ => selection.insert("tagStatus".into(), "any".into()),
        };
        let kind = match self.until.as_str() {
            "newest" => "imageCountMoreThan",
            "pulled" => "sinceImagePulled",
            _ => "sinceImagePushed",
        };
        selection.insert("countType".into(), kind.into());
        if kind != "imageCountMoreThan" {
            selection.insert("countUnit".into(), "days".into());
        }
        selection.insert("countNumber".into(), number.into());
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut rule = json!({ "rulePriority": priority, "selection": selection, "action": { "type": "expire" } });
        if !self.description.is_empty() {
            rule["description"] = self.description.as_str().into();
        }
        Ok(rule)
    }
}

/// Behind all others. A rule about all images has to be the last one, which the domain says where it is not.
fn next_priority(document: &Map<String, Value>) -> i64 {
    let rules = document.get("rules").and_then(Value::as_array);
    let highest = rules.into_iter().flatten().filter_map(|rule| rule["rulePriority"].as_i64()).max();
    highest.unwrap_or(0).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(which: &str, until: &str, number: &str) -> NewRule {
        let text = str::to_owned;
        NewRule {
            which: text(which),
            until: text(until),
            number: text(number),
            beginning: text("prod"),
            ..NewRule::default()
        }
    }

    #[test]
    fn a_rule_is_written_and_read_again() {
        let text = new("tagged", "newest", "10").added_to("").expect("it is right");
        let text = new("untagged", "pushed", "7").added_to(&text).expect("it is right");
        let words: Vec<String> = read(&text, &[]).into_iter().map(|rule| rule.words).collect();
        assert_eq!(
            words,
            [
                "Delete images tagged prod…, but for the 10 newest",
                "Delete images without a tag 7 days after their push"
            ]
        );
        assert!(larder_registry::policy::Policy::read(&text).is_ok(), "{text}");
        assert_eq!(read(&without(&text, 0).expect("there are two"), &[]).len(), 1);
        assert_eq!((without(&text, 2), without("no JSON", 0)), (None, None));
    }

    #[test]
    fn what_is_no_rule_says_so_at_its_field() {
        for (rule, text, field) in [
            (new("tagged", "newest", "0"), "", "number"),
            (NewRule { beginning: String::new(), ..new("tagged", "newest", "1") }, "", "beginning"),
            (new("any", "pushed", "1"), "{", "text"),
            (new("any", "pushed", "1"), "{\"rules\": 1}", "text"),
        ] {
            let faults = rule.added_to(text).expect_err("it is wrong");
            assert!(faults.about(field).is_some(), "{faults:?}");
        }
    }

    #[test]
    fn problems_stand_at_their_rules() {
        let text =
            "{\"rules\":[{\"rulePriority\":1,\"selection\":{\"tagStatus\":\"odd\"},\"action\":{\"type\":\"expire\"}}]}";
        let problems = larder_registry::policy::Policy::read(text).expect_err("it is wrong").0;
        let rules = read(text, &problems);
        assert!(rules[0].problems.iter().any(|problem| problem.contains("tagStatus")), "{:?}", rules[0].problems);
    }
}
