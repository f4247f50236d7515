//! Trusts: which issuer's tokens are taken for what, so that CI needs no secret.

use std::fmt::Write as _;
use std::time::Duration;

use askama::Template;
use larder_access::{Condition, NewTrust, Page as Listed, Problem, Trust};
use larder_oci::{Action, Actions};

use super::super::faults::Faults;
use super::super::format::Moment;
use super::super::frame::{self, Frame, person};
use super::super::said::Said;
use super::super::{Result, Visit};
use super::entered::{self, Choice, PAGE};
use crate::form::Form;

const PATH: &str = "/access/trusts";

#[derive(Template)]
#[template(path = "access/trusts.html")]
struct List {
    frame: Frame,
    csrf: String,
    faults: Faults,
    here: &'static str,
    path: String,
    rows: Vec<Row>,
    next: Option<String>,
    entered: Entered,
    choices: Vec<Choice>,
}

#[derive(Template)]
#[template(path = "access/trust.html")]
struct One {
    frame: Frame,
    csrf: String,
    faults: Faults,
    here: &'static str,
    path: String,
    name: String,
    disabled: bool,
    created: Moment,
    created_by: String,
    entered: Entered,
    choices: Vec<Choice>,
}

/// What was filled in.
struct Entered {
    name: String,
    issuer: String,
    audience: String,
    conditions: String,
    patterns: String,
    actions: Actions,
    single_use: bool,
    max_age: String,
    minutes: String,
}

struct Row {
    name: String,
    issuer: String,
    conditions: String,
    actions: String,
    patterns: String,
    disabled: bool,
}

fn row(trust: &Trust) -> Row {
    Row {
        name: trust.name.clone(),
        issuer: trust.issuer.clone(),
        conditions: written(&trust.conditions).trim_end().replace('\n', "; "),
        actions: trust.actions.to_string(),
        patterns: trust.patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        disabled: trust.disabled,
    }
}

impl Entered {
    fn nothing() -> Self {
        Self {
            name: String::new(),
            issuer: String::new(),
            audience: String::new(),
            conditions: String::new(),
            patterns: String::new(),
            actions: Actions::of(&[Action::Pull, Action::Push]),
            single_use: false,
            max_age: String::new(),
            minutes: "60".to_owned(),
        }
    }

    fn of(trust: &Trust) -> Self {
        Self {
            name: trust.name.clone(),
            issuer: trust.issuer.clone(),
            audience: trust.audience.clone(),
            conditions: written(&trust.conditions),
            patterns: trust.patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            actions: trust.actions,
            single_use: trust.single_use,
            max_age: trust.max_age.map(|age| age.as_secs().to_string()).unwrap_or_default(),
            minutes: trust.ttl.as_secs().div_ceil(60).to_string(),
        }
    }

    fn read(form: &Form) -> Self {
        Self {
            name: form.word("name").to_owned(),
            issuer: form.word("issuer").to_owned(),
            audience: form.word("audience").to_owned(),
            conditions: form.lines("conditions"),
            patterns: form.lines("patterns"),
            actions: entered::actions(form),
            single_use: form.has("single_use"),
            max_age: form.word("max_age").to_owned(),
            minutes: form.word("minutes").to_owned(),
        }
    }

    fn understood(&self) -> std::result::Result<NewTrust, Faults> {
        let mut faults = Faults::none();
        let patterns = entered::patterns(&self.patterns).map_err(|fault| faults.add("patterns", fault));
        let conditions = conditions(&self.conditions).map_err(|fault| faults.add("conditions", fault));
        let minutes = self.minutes.parse::<u64>().ok().filter(|minutes| *minutes <= 12 * 60);
        if minutes.is_none() {
            faults.add("minutes", "From 1 to 720 minutes.");
        }
        let max_age = Some(&self.max_age).filter(|age| !age.is_empty()).map(|age| age.parse::<u64>()).transpose();
        if max_age.is_err() {
            faults.add("max_age", "A number of seconds.");
        }
        let (Ok(patterns), Ok(conditions), Some(minutes), Ok(max_age)) = (patterns, conditions, minutes, max_age)
        else {
            return Err(faults);
        };
        Ok(NewTrust {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            conditions,
            actions: self.actions,
            patterns,
            single_use: self.single_use,
            max_age: max_age.map(Duration::from_secs),
            ttl: Duration::from_secs(minutes * 60),
        })
    }
}

/// `CLAIM=VALUE`, one on a line; the same claim again is another value that it may have.
fn conditions(text: &str) -> std::result::Result<Vec<Condition>, String> {
    let mut all: Vec<Condition> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let pair = line.split_once('=').map(|(claim, value)| (claim.trim(), value.trim()));
        let Some((claim, value)) = pair.filter(|(claim, _)| !claim.is_empty()) else {
            return Err(format!("A line is CLAIM=VALUE, and {line} is not."));
        };
        match all.iter_mut().find(|condition| condition.claim == claim) {
            Some(condition) => condition.values.push(value.to_owned()),
            None => all.push(Condition { claim: claim.to_owned(), values: vec![value.to_owned()] }),
        }
    }
    Ok(all)
}

fn written(conditions: &[Condition]) -> String {
    let mut text = String::new();
    for condition in conditions {
        for value in &condition.values {
            let _ = writeln!(text, "{}={value}", condition.claim);
        }
    }
    text
}

/// The field that a sentence of the domain is about.
fn field(problem: &Problem) -> &'static str {
    let Problem::Invalid(text) = problem else { return "name" };
    let about = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if about(&["condition", "claim"]) {
        "conditions"
    } else if about(&["an issuer is"]) {
        "issuer"
    } else if about(&["audience"]) {
        "audience"
    } else if about(&["at least one action"]) {
        "patterns"
    } else if about(&["is exchanged for"]) {
        "minutes"
    } else {
        "name"
    }
}

pub(super) async fn list(visit: &Visit<'_>) -> Result {
    listed(visit, Entered::nothing(), Faults::none()).await
}

async fn listed(visit: &Visit<'_>, entered: Entered, faults: Faults) -> Result {
    let (access, by) = visit.accounts()?;
    let Listed { items, more } = access.trusts(&by, visit.asked("after"), PAGE).await?;
    let next = entered::next(visit, PATH, &[], items.last().filter(|_| more).map(|trust| trust.name.as_str()));
    let page = List {
        frame: visit.frame("Trusts"),
        csrf: visit.csrf(),
        here: "trusts",
        path: PATH.to_owned(),
        rows: items.iter().map(row).collect(),
        next,
        choices: entered::choices(entered.actions),
        entered,
        faults,
    };
    frame::form(page.faults.status(), &page)
}

pub(super) async fn make(visit: &Visit<'_>, form: &Form) -> Result {
    let entered = Entered::read(form);
    let new = match entered.understood() {
        Ok(new) => new,
        Err(faults) => return listed(visit, entered, faults).await,
    };
    let (access, by) = visit.accounts()?;
    match access.add_trust(&by, new).await {
        Ok(trust) => Ok(visit.went(
            &format!("{PATH}/{}", trust.name),
            Said::of(format!("Tokens of {} are taken from now on.", trust.issuer)),
        )),
        Err(problem) => listed(visit, entered, entered::at(field(&problem), problem)?).await,
    }
}

pub(super) async fn show(visit: &Visit<'_>, name: &str) -> Result {
    shown(visit, name, None, Faults::none()).await
}

async fn shown(visit: &Visit<'_>, name: &str, entered: Option<Entered>, faults: Faults) -> Result {
    let (access, by) = visit.accounts()?;
    let trust = access.trust(&by, name).await?;
    let entered = entered.unwrap_or_else(|| Entered::of(&trust));
    let page = One {
        frame: visit.frame(format!("Trust {name}")),
        csrf: visit.csrf(),
        here: "trusts",
        path: format!("{PATH}/{}", trust.name),
        disabled: trust.disabled,
        created: Moment { at: trust.created, now: visit.now },
        created_by: person(&trust.created_by).to_owned(),
        choices: entered::choices(entered.actions),
        entered,
        name: trust.name,
        faults,
    };
    frame::form(page.faults.status(), &page)
}

pub(super) async fn change(visit: &Visit<'_>, name: &str, form: &Form) -> Result {
    let (access, by) = visit.accounts()?;
    let went = |said: &str| Ok(visit.went(&format!("{PATH}/{name}"), Said::of(said)));
    match form.field("do") {
        "disable" => {
            access.set_trust_disabled(&by, name, true).await?;
            went("Out of use: no token is taken, and what was issued has ended.")
        }
        "enable" => {
            access.set_trust_disabled(&by, name, false).await?;
            went("In use again.")
        }
        "remove" => {
            if let Err(faults) = entered::confirmed(form, name) {
                return shown(visit, name, None, faults).await;
            }
            access.remove_trust(&by, name).await?;
            Ok(visit.went(
                PATH,
                Said::of(format!("The trust {name} is gone, and what was issued for its tokens has ended.")),
            ))
        }
        "set" => {
            let entered = Entered { name: name.to_owned(), ..Entered::read(form) };
            let new = match entered.understood() {
                Ok(new) => new,
                Err(faults) => return shown(visit, name, Some(entered), faults).await,
            };
            match access.set_trust(&by, new).await {
                Ok(_) => went("The trust is changed."),
                Err(problem @ Problem::Absent { .. }) => Err(problem.into()),
                Err(problem) => {
                    let faults = entered::at(field(&problem), problem)?;
                    shown(visit, name, Some(entered), faults).await
                }
            }
        }
        _ => shown(visit, name, None, Faults::whole("Nothing was asked for.")).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_lines_and_read_back() {
        let read = conditions("owner_id = 7\n\nref=refs/heads/main\nref=refs/tags/*\n").expect("they are conditions");
        assert_eq!(read.len(), 2);
        assert_eq!(read[1].values, ["refs/heads/main", "refs/tags/*"]);
        assert_eq!(conditions(&written(&read)), Ok(read));
        assert!(conditions("no condition").is_err() && conditions("=x").is_err());
        assert_eq!(conditions(" \n"), Ok(Vec::new()));
    }
}
