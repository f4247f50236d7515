//! What people fill in about rights, read and shown again.

use jiff::Timestamp;
use larder_access::{Problem, Subject};
use larder_oci::{Action, Actions, RepositoryPattern};

use super::super::faults::Faults;
use super::super::trouble::sentence;
use super::super::{Result, Visit};
use crate::form::Form;
use crate::percent::encode;

/// Entries on a page.
pub(in crate::ui) const PAGE: usize = 50;

/// A box to check for an action.
pub(in crate::ui) struct Choice {
    pub action: &'static str,
    pub about: &'static str,
    pub chosen: bool,
}

/// A box for each action.
pub(in crate::ui) fn choices(chosen: Actions) -> Vec<Choice> {
    let about = |action: Action| match action {
        Action::Pull => "see and pull",
        Action::Push => "push",
        Action::Delete => "delete",
        Action::TagMove => "point a tag elsewhere",
        Action::Admin => "everything here, and to say who else may what",
    };
    let choice =
        |action: Action| Choice { action: action.as_str(), about: about(action), chosen: chosen.contains(action) };
    Action::ALL.into_iter().map(choice).collect()
}

/// The actions that were checked.
pub(in crate::ui) fn actions(form: &Form) -> Actions {
    form.all("actions").filter_map(|action| action.parse::<Action>().ok()).collect()
}

/// Patterns with spaces, commas or line breaks between them.
pub(in crate::ui) fn patterns(text: &str) -> std::result::Result<Vec<RepositoryPattern>, String> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
    words.map(pattern).collect()
}

pub(in crate::ui) fn pattern(text: &str) -> std::result::Result<RepositoryPattern, String> {
    text.parse().map_err(|error: larder_oci::ParseError| sentence(&error.to_string()))
}

/// A subject; a bare name is a user's.
pub(super) fn subject(text: &str) -> std::result::Result<Subject, String> {
    let is_whole = text.contains(':') || matches!(text, "anonymous" | "signed-in" | "");
    let whole = if is_whole { text.to_owned() } else { format!("user:{text}") };
    whole.parse().map_err(|error: larder_access::NoSubject| sentence(&error.to_string()))
}

/// An identity; a bare name is a user's.
pub(super) fn identity(text: &str) -> String {
    let is_whole = text.contains(':') || matches!(text, "anonymous" | "operator" | "larder");
    if is_whole { text.to_owned() } else { format!("user:{text}") }
}

/// A day, or a moment of it, in UTC.
pub(super) fn moment(text: &str) -> std::result::Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let day = text.parse::<jiff::civil::Date>().ok();
    let midnight = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let midnight = midnight.map(|midnight| midnight.timestamp());
    midnight.ok_or_else(|| "A time is 2026-11-21 or 2026-11-21T09:00:00Z.".to_owned())
}

/// An address with what of a filter is given.
pub(in crate::ui) fn address(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let given: Vec<String> =
        pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", encode((*value)?)))).collect();
    if given.is_empty() { path.to_owned() } else { format!("{path}?{}", given.join("&")) }
}

/// What the accounts did not take: at a field, where one is meant.
pub(in crate::ui) fn at(field: &'static str, problem: Problem) -> Result<Faults> {
    match problem {
        Problem::Absent { .. } | Problem::Invalid(_) | Problem::Exists { .. } | Problem::NameTaken { .. } => {
            Ok(Faults::at(field, sentence(&problem.to_string())))
        }
        other => Faults::of_accounts(other),
    }
}

/// Refuses to remove what was not named.
pub(super) fn confirmed(form: &Form, name: &str) -> std::result::Result<(), Faults> {
    let named = form.word("confirm") == name;
    if named { Ok(()) } else { Err(Faults::at("confirm", format!("Type {name} to remove it."))) }
}

/// Where a list goes on after its last entry.
pub(in crate::ui) fn next(visit: &Visit<'_>, path: &str, filter: &[&str], last: Option<&str>) -> Option<String> {
    let last = last?;
    let pairs = filter.iter().map(|name| (*name, visit.asked(name))).chain([("after", Some(last))]);
    Some(address(path, &pairs.collect::<Vec<_>>()))
}
