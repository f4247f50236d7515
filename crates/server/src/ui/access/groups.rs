//! Groups: users whom grants mean together.

use askama::Template;
use larder_access::{Group, Page as Listed};

use super::super::faults::Faults;
use super::super::frame::{self, Frame};
use super::super::said::Said;
use super::super::{Result, Visit};
use super::entered::{self, PAGE};
use crate::form::Form;

const PATH: &str = "/access/groups";

#[derive(Template)]
#[template(path = "access/groups.html")]
struct List {
    frame: Frame,
    csrf: String,
    faults: Faults,
    here: &'static str,
    rows: Vec<Group>,
    next: Option<String>,
    name: String,
    description: String,
}

#[derive(Template)]
#[template(path = "access/group.html")]
struct One {
    frame: Frame,
    csrf: String,
    faults: Faults,
    here: &'static str,
    path: String,
    name: String,
    description: String,
    members: Vec<String>,
    next: Option<String>,
    /// Who was to be taken in.
    member: String,
}

pub(super) async fn list(visit: &Visit<'_>) -> Result {
    listed(visit, String::new(), String::new(), Faults::none()).await
}

async fn listed(visit: &Visit<'_>, name: String, description: String, faults: Faults) -> Result {
    let (access, by) = visit.accounts()?;
    let Listed { items: rows, more } = access.groups(&by, visit.asked("after"), PAGE).await?;
    let next = entered::next(visit, PATH, &[], rows.last().filter(|_| more).map(|group| group.name.as_str()));
    let (frame, csrf) = (visit.frame("Groups"), visit.csrf());
    frame::form(faults.status(), &List { frame, csrf, here: "groups", rows, next, name, description, faults })
}

pub(super) async fn make(visit: &Visit<'_>, form: &Form) -> Result {
    let (name, description) = (form.word("name").to_owned(), form.word("description").to_owned());
    let (access, by) = visit.accounts()?;
    match access.add_group(&by, &name, &description).await {
        Ok(()) => {
            Ok(visit.went(&format!("{PATH}/{name}"), Said::of(format!("The group {name} is there. Who is in it?"))))
        }
        Err(problem) => {
            let field = if problem.to_string().contains("description") { "description" } else { "name" };
            listed(visit, name, description, entered::at(field, problem)?).await
        }
    }
}

pub(super) async fn show(visit: &Visit<'_>, name: &str) -> Result {
    shown(visit, name, None, String::new(), Faults::none()).await
}

async fn shown(visit: &Visit<'_>, name: &str, description: Option<String>, member: String, faults: Faults) -> Result {
    let (access, by) = visit.accounts()?;
    let group = access.group(&by, name).await?;
    let Listed { items: members, more } = access.members(&by, name, visit.asked("after"), PAGE).await?;
    let path = format!("{PATH}/{name}");
    let next = entered::next(visit, &path, &[], members.last().filter(|_| more).map(String::as_str));
    let description = description.unwrap_or(group.description);
    let (frame, csrf, name) = (visit.frame(format!("Group {name}")), visit.csrf(), group.name);
    let page = One { frame, csrf, here: "groups", path, name, description, members, next, member, faults };
    frame::form(page.faults.status(), &page)
}

pub(super) async fn change(visit: &Visit<'_>, name: &str, form: &Form) -> Result {
    let (access, by) = visit.accounts()?;
    let went = |said: String| Ok(visit.went(&format!("{PATH}/{name}"), Said::of(said)));
    let user = form.word("member");
    match form.field("do") {
        "describe" => {
            let description = form.word("description").to_owned();
            match access.set_group(&by, name, &description).await {
                Ok(()) => went("The description is changed.".to_owned()),
                Err(problem) => {
                    let faults = Faults::of_accounts(problem)?;
                    shown(visit, name, Some(description), String::new(), faults).await
                }
            }
        }
        "add" => match access.add_member(&by, name, user).await {
            Ok(()) => went(format!("{user} is in {name} now.")),
            Err(problem) => shown(visit, name, None, user.to_owned(), entered::at("member", problem)?).await,
        },
        "take-out" => match access.remove_member(&by, name, user).await {
            Ok(()) => went(format!("{user} is not in {name} any more.")),
            Err(problem) => shown(visit, name, None, String::new(), entered::at("member", problem)?).await,
        },
        "remove" => {
            if let Err(faults) = entered::confirmed(form, name) {
                return shown(visit, name, None, String::new(), faults).await;
            }
            access.remove_group(&by, name).await?;
            Ok(visit.went(PATH, Said::of(format!("The group {name} and its grants are gone."))))
        }
        _ => shown(visit, name, None, String::new(), Faults::whole("Nothing was asked for.")).await,
    }
}
