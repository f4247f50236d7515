//! Users: made with an invitation, changed, disabled, removed.

use askama::Template;
use http::StatusCode;
use larder_access::{Account, NewAccount, Page as Listed, Problem, UserSettings, UserSource};

use super::super::faults::Faults;
use super::super::format::Moment;
use super::super::frame::{self, Frame};
use super::super::said::Said;
use super::super::{Result, Visit};
use super::entered::{self, PAGE};
use crate::form::Form;
use crate::invite;

const PATH: &str = "/access/users";

#[derive(Template)]
#[template(path = "access/users.html")]
struct List {
    frame: Frame,
    csrf: String,
    faults: Faults,
    here: &'static str,
    rows: Vec<Row>,
    next: Option<String>,
    entered: Entered,
}

#[derive(Template)]
#[template(path = "access/user.html")]
struct One {
    frame: Frame,
    csrf: String,
    faults: Faults,
    here: &'static str,
    path: String,
    user: Row,
    created: Moment,
    /// Where a password is set, shown this once.
    link: Option<String>,
}

/// What was filled in.
#[derive(Default)]
struct Entered {
    name: String,
    email: String,
    administrator: bool,
}

struct Row {
    name: String,
    email: String,
    administrator: bool,
    disabled: bool,
    has_password: bool,
    elsewhere: Option<&'static str>,
    seen: Option<Moment>,
}

fn row(visit: &Visit<'_>, account: Account) -> Row {
    Row {
        name: account.name,
        email: account.email.unwrap_or_default(),
        administrator: account.administrator,
        disabled: account.disabled,
        has_password: account.has_password,
        elsewhere: match account.source {
            UserSource::Local => None,
            UserSource::Oidc => Some("identity provider"),
            UserSource::Ldap => Some("directory"),
            UserSource::SignUp => Some("signed up"),
        },
        seen: account.last_seen.map(|at| Moment { at, now: visit.now }),
    }
}

pub(super) async fn list(visit: &Visit<'_>) -> Result {
    listed(visit, Entered::default(), Faults::none()).await
}

async fn listed(visit: &Visit<'_>, entered: Entered, faults: Faults) -> Result {
    let (access, by) = visit.accounts()?;
    let Listed { items, more } = access.users(&by, visit.asked("after"), PAGE).await?;
    let next = entered::next(visit, PATH, &[], items.last().filter(|_| more).map(|user| user.name.as_str()));
    let rows = items.into_iter().map(|account| row(visit, account)).collect();
    let (frame, csrf) = (visit.frame("Users"), visit.csrf());
    frame::form(faults.status(), &List { frame, csrf, here: "users", rows, next, entered, faults })
}

/// Makes a user, and the link with which he sets a password.
pub(super) async fn make(visit: &Visit<'_>, form: &Form) -> Result {
    let entered = Entered {
        name: form.word("name").to_owned(),
        email: form.word("email").to_owned(),
        administrator: form.has("administrator"),
    };
    let (access, by) = visit.accounts()?;
    let email = Some(entered.email.clone()).filter(|email| !email.is_empty());
    let new = NewAccount { name: entered.name.clone(), password: None, administrator: entered.administrator, email };
    match access.add_user(&by, new).await {
        Ok(account) => invited(visit, &account.name, format!("{} has an account now.", account.name)).await,
        Err(problem) => {
            let field = if problem.to_string().contains("mail address") { "email" } else { "name" };
            listed(visit, entered, entered::at(field, problem)?).await
        }
    }
}

async fn invited(visit: &Visit<'_>, name: &str, said: String) -> Result {
    let (access, by) = visit.accounts()?;
    let secret = access.invite(&by, name, invite::WAITS).await?;
    let shown = visit.keep_once(invite::link(visit.site(), secret.reveal()));
    Ok(visit.went(&format!("{PATH}/{name}?shown={shown}"), Said::of(said)))
}

pub(super) async fn show(visit: &Visit<'_>, name: &str) -> Result {
    shown(visit, name, Faults::none()).await
}

async fn shown(visit: &Visit<'_>, name: &str, faults: Faults) -> Result {
    let (access, by) = visit.accounts()?;
    let account = access.user(&by, name).await?;
    let created = Moment { at: account.created, now: visit.now };
    let (frame, csrf, link) = (visit.frame(format!("User {name}")), visit.csrf(), visit.take_once());
    let (user, path) = (row(visit, account), format!("{PATH}/{name}"));
    frame::form(faults.status(), &One { frame, csrf, here: "users", path, user, created, link, faults })
}

pub(super) async fn change(visit: &Visit<'_>, name: &str, form: &Form) -> Result {
    let (access, by) = visit.accounts()?;
    let set = async |settings: UserSettings| access.set_user(&by, name, settings).await.map(drop);
    let (done, said) = match form.field("do") {
        "invite" => return invited(visit, name, format!("{name} can set a password with the link below.")).await,
        "email" => {
            let email = Some(form.word("email").to_owned()).filter(|email| !email.is_empty());
            (set(UserSettings { email: Some(email), ..UserSettings::default() }).await, "The mail address is changed.")
        }
        "promote" | "demote" => {
            let administrator = form.field("do") == "promote";
            let said = if administrator { "An administrator from now on." } else { "No administrator any more." };
            (set(UserSettings { administrator: Some(administrator), ..UserSettings::default() }).await, said)
        }
        "disable" | "enable" => {
            let disabled = form.field("do") == "disable";
            let said = if disabled {
                "Disabled: nothing that was issued to this account holds any more."
            } else {
                "Enabled again."
            };
            (set(UserSettings { disabled: Some(disabled), ..UserSettings::default() }).await, said)
        }
        "remove" => {
            if let Err(faults) = entered::confirmed(form, name) {
                return shown(visit, name, faults).await;
            }
            match access.remove_user(&by, name).await {
                Ok(()) => return Ok(visit.went(PATH, Said::of(format!("{name} has no account any more.")))),
                refused => (refused, ""),
            }
        }
        _ => return shown(visit, name, Faults::whole("Nothing was asked for.")).await,
    };
    match done {
        Ok(()) => Ok(visit.went(&format!("{PATH}/{name}"), Said::of(said))),
        Err(Problem::LastAdministrator(_)) => {
            let fault = Faults::whole(format!("{name} is the last administrator, and stays one."));
            shown(visit, name, fault.with_status(StatusCode::CONFLICT)).await
        }
        Err(problem) if form.field("do") == "email" => shown(visit, name, entered::at("email", problem)?).await,
        Err(problem) => shown(visit, name, Faults::of_accounts(problem)?).await,
    }
}
