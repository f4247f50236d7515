//! Grants: who may, or may not, do what where.

use askama::Template;
use larder_access::{Effect, Grant, GrantFilter, NewPermission, Page as Listed};
use larder_oci::{Action, Actions};

use super::super::faults::Faults;
use super::super::format::Moment;
use super::super::frame::{self, Frame, person};
use super::super::said::Said;
use super::super::{Result, Visit};
use super::entered::{self, Choice, PAGE};
use crate::form::Form;

const PATH: &str = "/access/grants";

#[derive(Template)]
#[template(path = "access/grants.html")]
struct List {
    frame: Frame,
    csrf: String,
    faults: Faults,
    here: &'static str,
    rows: Vec<Row>,
    next: Option<String>,
    entered: Entered,
    choices: Vec<Choice>,
    /// The filter, as it was written.
    about: String,
    on: String,
}

/// What was filled in.
struct Entered {
    subject: String,
    pattern: String,
    actions: Actions,
    deny: bool,
    note: String,
}

struct Row {
    id: i64,
    subject: String,
    actions: String,
    pattern: String,
    deny: bool,
    created: Moment,
    created_by: String,
    note: String,
    /// Where it is told why the subject may, if it is one identity.
    why: Option<String>,
}

fn row(visit: &Visit<'_>, grant: Grant) -> Row {
    let subject = grant.subject.to_string();
    let one = subject.starts_with("user:") || subject.starts_with("robot:") || subject == "anonymous";
    let literal = grant.pattern.is_literal().then(|| grant.pattern.to_string());
    let pairs = [("identity", Some(subject.as_str())), ("repository", literal.as_deref())];
    Row {
        id: grant.id,
        why: one.then(|| entered::address("/access/explain", &pairs)),
        actions: grant.actions.to_string(),
        pattern: grant.pattern.to_string(),
        deny: grant.effect == Effect::Deny,
        created: Moment { at: grant.created, now: visit.now },
        created_by: person(&grant.created_by).to_owned(),
        note: grant.note,
        subject,
    }
}

pub(super) async fn list(visit: &Visit<'_>) -> Result {
    let entered = Entered {
        subject: visit.asked("subject").unwrap_or_default().to_owned(),
        pattern: visit.asked("repositories").unwrap_or_default().to_owned(),
        actions: Actions::of(&[Action::Pull]),
        deny: false,
        note: String::new(),
    };
    listed(visit, entered, Faults::none()).await
}

async fn listed(visit: &Visit<'_>, entered: Entered, mut faults: Faults) -> Result {
    let (about, on) = (visit.asked("subject"), visit.asked("repositories"));
    let mut filter = GrantFilter::default();
    match about.map(entered::subject).transpose() {
        Ok(subject) => filter.subject = subject,
        Err(fault) => faults.add("about", fault),
    }
    match on.map(entered::pattern).transpose() {
        Ok(pattern) => filter.pattern = pattern,
        Err(fault) => faults.add("on", fault),
    }
    let (access, by) = visit.accounts()?;
    let after = visit.asked("after").and_then(|after| after.parse().ok());
    let Listed { items, more } = access.grants(&by, &filter, after, PAGE).await?;
    let last = items.last().filter(|_| more).map(|grant| grant.id.to_string());
    let next = entered::next(visit, PATH, &["subject", "repositories"], last.as_deref());
    let rows = items.into_iter().map(|grant| row(visit, grant)).collect();
    let (about, on) = (about.unwrap_or_default().to_owned(), on.unwrap_or_default().to_owned());
    let (frame, csrf, choices) = (visit.frame("Grants"), visit.csrf(), entered::choices(entered.actions));
    frame::form(faults.status(), &List { frame, csrf, here: "grants", rows, next, entered, choices, about, on, faults })
}

pub(super) async fn change(visit: &Visit<'_>, form: &Form) -> Result {
    if form.field("do") == "remove" { remove(visit, form).await } else { make(visit, form).await }
}

async fn make(visit: &Visit<'_>, form: &Form) -> Result {
    let entered = Entered {
        subject: form.word("subject").to_owned(),
        pattern: form.word("pattern").to_owned(),
        actions: entered::actions(form),
        deny: form.field("effect") == "deny",
        note: form.word("note").to_owned(),
    };
    let mut faults = Faults::none();
    let subject = entered::subject(&entered.subject).map_err(|fault| faults.add("subject", fault));
    let pattern = entered::pattern(&entered.pattern).map_err(|fault| faults.add("pattern", fault));
    if entered.actions.is_empty() {
        faults.add("actions", "Check at least one.");
    }
    let (Ok(subject), Ok(pattern), true) = (subject, pattern, faults.is_empty()) else {
        return listed(visit, entered, faults).await;
    };
    let (access, by) = visit.accounts()?;
    let said = format!("{subject} {} {pattern}.", if entered.deny { "is kept from" } else { "has a grant on" });
    let effect = if entered.deny { Effect::Deny } else { Effect::Allow };
    let new = NewPermission { subject, actions: entered.actions, pattern, effect, note: entered.note.clone() };
    match access.add_grant(&by, new).await {
        Ok(_) => Ok(visit.went(PATH, Said::of(said))),
        Err(problem) => {
            let field = if problem.to_string().contains("a note") { "note" } else { "subject" };
            listed(visit, entered, entered::at(field, problem)?).await
        }
    }
}

async fn remove(visit: &Visit<'_>, form: &Form) -> Result {
    let (access, by) = visit.accounts()?;
    let id = form.word("id").parse().unwrap_or(0);
    access.remove_grant(&by, id).await?;
    Ok(visit.went(PATH, Said::of(format!("Grant {id} is taken back."))))
}
