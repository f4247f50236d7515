//! Sessions: browsers that are signed in.

use askama::Template;
use larder_access::{Page as Listed, Session};

use super::super::format::Moment;
use super::super::frame::{Frame, page, person};
use super::super::said::Said;
use super::super::{Result, Visit};
use super::entered::{self, PAGE};
use crate::form::Form;

const PATH: &str = "/access/sessions";

#[derive(Template)]
#[template(path = "access/sessions.html")]
struct Page {
    frame: Frame,
    csrf: String,
    here: &'static str,
    path: &'static str,
    /// Whose they are.
    identity: String,
    who: String,
    rows: Vec<Device>,
    next: Option<String>,
}

/// A browser that is signed in.
pub(in crate::ui) struct Device {
    pub id: String,
    /// What it calls itself.
    pub agent: String,
    pub address: String,
    pub how: &'static str,
    pub began: Moment,
    pub ends: String,
    /// Whether it is the one that looks.
    pub this: bool,
}

impl Device {
    pub fn of(visit: &Visit<'_>, session: Session) -> Self {
        let own = visit.visitor.caller.as_ref().and_then(|caller| caller.credential.strip_prefix("session:"));
        Self {
            this: own == Some(session.id.as_str()),
            id: session.id,
            agent: if session.agent.is_empty() { "unknown".to_owned() } else { session.agent },
            address: session.address.unwrap_or_else(|| "unknown".to_owned()),
            how: match session.credential.as_str() {
                "oidc" => "identity provider",
                "ldap" => "directory",
                _ => "password",
            },
            began: Moment { at: session.created, now: visit.now },
            ends: session.expires.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        }
    }
}

pub(super) async fn list(visit: &Visit<'_>) -> Result {
    let (access, by) = visit.accounts()?;
    let identity = entered::identity(visit.asked("identity").unwrap_or(visit.actor().identity()));
    let Listed { items, more } = access.sessions(&by, Some(&identity), visit.asked("after"), PAGE).await?;
    let last = items.last().filter(|_| more).map(|session| session.id.as_str());
    let next = last.map(|last| entered::address(PATH, &[("identity", Some(&identity)), ("after", Some(last))]));
    let rows = items.into_iter().map(|session| Device::of(visit, session)).collect();
    let who = person(&identity).to_owned();
    let (frame, csrf) = (visit.frame("Sessions"), visit.csrf());
    page(&Page { frame, csrf, here: "sessions", path: PATH, identity, who, rows, next })
}

pub(super) async fn end(visit: &Visit<'_>, form: &Form) -> Result {
    let (access, by) = visit.accounts()?;
    access.end_session(&by, form.word("id")).await?;
    let identity = entered::identity(form.word("identity"));
    Ok(visit.went(&entered::address(PATH, &[("identity", Some(&identity))]), Said::of("That browser is signed out.")))
}
