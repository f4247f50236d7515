//! One's own account: password, tokens, devices that are signed in.

use askama::Template;
use http::StatusCode;
use http::header::LOCATION;
use larder_access::{CallerKind, Page as Listed, Problem};

use super::access::{Device, Shelf};
use super::faults::Faults;
use super::frame::{self, Frame, page};
use super::said::Said;
use super::trouble::{Trouble, sentence};
use super::{Result, Visit};
use crate::answer;
use crate::challenge::Need;
use crate::form::Form;
use crate::percent::encode;

/// Devices on a page.
const PAGE: usize = 50;

/// A page of one's own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `/account`
    Home,
    /// `/account/password`
    Password,
    /// `/account/tokens`
    Tokens,
    /// `/account/devices`
    Devices,
}

impl Place {
    /// Reads what follows `/account`.
    pub fn parse(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            [] => Self::Home,
            ["password"] => Self::Password,
            ["tokens"] => Self::Tokens,
            ["devices"] => Self::Devices,
            _ => return None,
        })
    }

    fn path(self) -> &'static str {
        match self {
            Self::Home => "/account",
            Self::Password => "/account/password",
            Self::Tokens => "/account/tokens",
            Self::Devices => "/account/devices",
        }
    }
}

#[derive(Template)]
#[template(path = "account/home.html")]
struct Home {
    frame: Frame,
    csrf: String,
    here: &'static str,
    name: String,
    administrator: bool,
    groups: Vec<String>,
    /// How docker logs in.
    login: String,
    /// Whether a browser is signed in, and not a credential sent with each request.
    session: bool,
}

#[derive(Template)]
#[template(path = "account/password.html")]
struct Password {
    frame: Frame,
    csrf: String,
    faults: Faults,
    here: &'static str,
    name: String,
    /// Whether there is a password here to be changed.
    has_one: bool,
}

#[derive(Template)]
#[template(path = "account/devices.html")]
struct Devices {
    frame: Frame,
    csrf: String,
    here: &'static str,
    path: &'static str,
    rows: Vec<Device>,
    next: Option<String>,
}

/// The name of whoever looks, if he is a user; who shows nothing goes and signs in first.
fn user<'v>(visit: &'v Visit<'_>) -> Result<Option<&'v str>> {
    match &visit.visitor.caller {
        None => Err(Trouble::new(
            StatusCode::NOT_FOUND,
            "Nobody has an account here",
            "Nobody has to sign in: this registry has no accounts.",
        )),
        Some(caller) => match caller.kind {
            CallerKind::User => Ok(caller.name()),
            CallerKind::Anonymous => Ok(None),
            _ => Err(Trouble::nothing()),
        },
    }
}

fn sign_in(place: Place) -> Result {
    let mut response = answer::empty(StatusCode::SEE_OTHER);
    response.headers_mut().insert(LOCATION, answer::header_text(&format!("/login?next={}", encode(place.path()))));
    Ok(response)
}

pub(super) async fn show(visit: &Visit<'_>, place: Place) -> Result {
    let Some(name) = user(visit)? else { return sign_in(place) };
    let page = match place {
        Place::Home => home(visit, name).await,
        Place::Password => password(visit, name, Faults::none()).await,
        Place::Tokens => Shelf::own(visit).list(visit).await,
        Place::Devices => devices(visit).await,
    };
    page.map(frame::unkept)
}

pub(super) async fn change(visit: &Visit<'_>, place: Place, form: &Form) -> Result {
    let Some(name) = user(visit)? else { return Err(Trouble::sign_in()) };
    let page = match place {
        Place::Home => Err(Trouble::read_only()),
        Place::Password => set_password(visit, name, form).await,
        Place::Tokens => Shelf::own(visit).change(visit, form).await,
        Place::Devices => sign_out(visit, form).await,
    };
    page.map(frame::unkept)
}

async fn home(visit: &Visit<'_>, name: &str) -> Result {
    let (access, _) = visit.accounts()?;
    let caller = visit.visitor.caller.as_ref().ok_or_else(Trouble::nothing)?;
    let who = access.whoami(caller).await?;
    page(&Home {
        frame: visit.frame("Your account"),
        csrf: visit.csrf(),
        here: "home",
        name: name.to_owned(),
        administrator: who.administrator,
        groups: who.groups,
        login: format!("docker login {} -u {name}", visit.host()),
        session: who.credential.starts_with("session:"),
    })
}

async fn password(visit: &Visit<'_>, name: &str, faults: Faults) -> Result {
    let (access, by) = visit.accounts()?;
    let has_one = match access.user(&by, name).await {
        Ok(account) => account.has_password,
        Err(Problem::Absent { .. }) => false,
        Err(problem) => return Err(problem.into()),
    };
    let (frame, csrf, name) = (visit.frame("Your password"), visit.csrf(), name.to_owned());
    frame::form(faults.status(), &Password { frame, csrf, here: "password", name, has_one, faults })
}

async fn set_password(visit: &Visit<'_>, name: &str, form: &Form) -> Result {
    let (current, new) = (form.field("current"), form.field("new"));
    if new != form.field("again") {
        return password(visit, name, Faults::at("again", "This is not the same as the new password.")).await;
    }
    let (access, by) = visit.accounts()?;
    match access.set_password(&by, name, Some(current), new).await {
        Ok(()) => Ok(visit.went(
            "/login?next=/account",
            Said::of("The password is changed. What was issued for the old one has ended."),
        )),
        Err(Problem::NotAllowed(text)) => {
            visit.note_denied(&Need::Nothing).await;
            let faults = Faults::at("current", sentence(text)).with_status(StatusCode::FORBIDDEN);
            password(visit, name, faults).await
        }
        Err(problem @ Problem::Invalid(_)) => {
            password(visit, name, Faults::at("new", sentence(&problem.to_string()))).await
        }
        Err(problem) => password(visit, name, Faults::of_accounts(problem)?).await,
    }
}

async fn devices(visit: &Visit<'_>) -> Result {
    let (access, by) = visit.accounts()?;
    let Listed { items, more } = access.sessions(&by, None, visit.asked("after"), PAGE).await?;
    let last = items.last().filter(|_| more).map(|session| session.id.as_str());
    page(&Devices {
        frame: visit.frame("Signed-in devices"),
        csrf: visit.csrf(),
        here: "devices",
        path: Place::Devices.path(),
        next: last.map(|last| format!("{}?after={}", Place::Devices.path(), encode(last))),
        rows: items.into_iter().map(|session| Device::of(visit, session)).collect(),
    })
}

async fn sign_out(visit: &Visit<'_>, form: &Form) -> Result {
    let (access, by) = visit.accounts()?;
    access.end_session(&by, form.word("id")).await?;
    Ok(visit.went(Place::Devices.path(), Said::of("That device is signed out.")))
}
