//! Tokens: one's own, a robot's, and for administrators everybody's. A new one is shown once.

use std::time::Duration;

use askama::Template;
use larder_access::{NewCredential, Page as Listed, Problem, Token};
use larder_oci::{Action, Actions};

use super::super::faults::Faults;
use super::super::format::Moment;
use super::super::frame::{self, Frame};
use super::super::said::Said;
use super::super::trouble::sentence;
use super::super::{Result, Visit};
use super::entered::{self, Choice, PAGE};
use crate::form::Form;

const DAY: u64 = 24 * 3600;
/// Days that a new token holds, unless something else is chosen.
const DAYS: &str = "90";

/// Some tokens, and where they are shown.
pub(in crate::ui) struct Shelf {
    path: &'static str,
    /// Whose; everybody's without one.
    owner: Option<String>,
    own: bool,
}

#[derive(Template)]
#[template(path = "access/tokens.html")]
struct Page {
    frame: Frame,
    csrf: String,
    faults: Faults,
    here: &'static str,
    path: &'static str,
    own: bool,
    owner: String,
    /// Whether a token can be made here.
    makes: bool,
    rows: Vec<Row>,
    next: Option<String>,
    entered: Entered,
    choices: Vec<Choice>,
    /// The new one, shown this once.
    token: Option<String>,
    /// How docker logs in with it.
    login: String,
}

/// What was filled in.
struct Entered {
    name: String,
    patterns: String,
    actions: Actions,
    days: String,
}

struct Row {
    id: String,
    name: String,
    owner: String,
    actions: String,
    patterns: String,
    created: Moment,
    used: Option<Moment>,
    expires: Option<String>,
    /// Why it holds no more.
    ended: Option<&'static str>,
}

fn row(visit: &Visit<'_>, token: Token) -> Row {
    let moment = |at| Moment { at, now: visit.now };
    let over = token.expires.is_some_and(|expires| expires <= visit.now);
    Row {
        id: token.id,
        name: token.name,
        owner: token.owner,
        actions: token.actions.to_string(),
        patterns: token.patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        created: moment(token.created),
        used: token.last_used.map(moment),
        expires: token.expires.map(|expires| expires.strftime("%Y-%m-%d").to_string()),
        ended: token.revoked.map(|_| "Revoked").or(over.then_some("Ended")),
    }
}

impl Shelf {
    /// One's own.
    pub fn own(visit: &Visit<'_>) -> Self {
        Self { path: "/account/tokens", owner: Some(visit.actor().identity().to_owned()), own: true }
    }

    /// Everybody's, or those of whoever the address names.
    pub(super) fn of_everybody(visit: &Visit<'_>) -> Self {
        Self::of_whom(visit.asked("owner").unwrap_or_default())
    }

    pub(super) fn of_whom(owner: &str) -> Self {
        let owner = Some(owner).filter(|owner| !owner.is_empty()).map(entered::identity);
        Self { path: "/access/tokens", owner, own: false }
    }

    pub async fn list(self, visit: &Visit<'_>) -> Result {
        let entered = Entered {
            name: String::new(),
            patterns: String::new(),
            actions: Actions::of(&[Action::Pull]),
            days: DAYS.to_owned(),
        };
        self.listed(visit, entered, Faults::none()).await
    }

    async fn listed(self, visit: &Visit<'_>, entered: Entered, mut faults: Faults) -> Result {
        let (access, by) = visit.accounts()?;
        let owner = self.owner.as_deref();
        let robot = owner.and_then(|owner| owner.strip_prefix("robot:"));
        let mut is_there = robot.is_some();
        if let Some(robot) = robot
            && let Err(problem) = access.robot(&by, robot).await
        {
            faults = Faults::at("owner", sentence(&problem.to_string()));
            is_there = false;
        }
        let Listed { items, more } = access.tokens(&by, owner.or(Some("*")), visit.asked("after"), PAGE).await?;
        let last = items.last().filter(|_| more).map(|token| token.id.as_str());
        let next = last
            .map(|last| entered::address(self.path, &[("owner", owner.filter(|_| !self.own)), ("after", Some(last))]));
        let token = visit.take_once();
        let page = Page {
            frame: visit.frame(if self.own { "Your tokens" } else { "Tokens" }),
            csrf: visit.csrf(),
            here: "tokens",
            path: self.path,
            own: self.own,
            makes: is_there || self.own,
            login: format!("docker login {} -u {}", visit.host(), bare(owner.unwrap_or_default())),
            owner: self.owner.unwrap_or_default(),
            rows: items.into_iter().map(|token| row(visit, token)).collect(),
            next,
            choices: entered::choices(entered.actions),
            entered,
            token,
            faults,
        };
        frame::form(page.faults.status(), &page)
    }

    pub async fn change(self, visit: &Visit<'_>, form: &Form) -> Result {
        if form.field("do") == "revoke" { self.revoke(visit, form).await } else { self.make(visit, form).await }
    }

    async fn revoke(self, visit: &Visit<'_>, form: &Form) -> Result {
        let (access, by) = visit.accounts()?;
        access.revoke_token(&by, form.word("id")).await?;
        Ok(visit.went(&self.address(None), Said::of("The token is revoked, with all that was issued for it.")))
    }

    async fn make(self, visit: &Visit<'_>, form: &Form) -> Result {
        let entered = Entered {
            name: form.word("name").to_owned(),
            patterns: form.lines("patterns"),
            actions: entered::actions(form),
            days: form.word("days").to_owned(),
        };
        let mut faults = Faults::none();
        let patterns = entered::patterns(&entered.patterns).map_err(|fault| faults.add("patterns", fault));
        let ttl = days(&entered.days).map_err(|fault| faults.add("days", fault));
        if entered.actions.is_empty() {
            faults.add("actions", "Check at least one.");
        }
        let (Ok(patterns), Ok(ttl), true) = (patterns, ttl, faults.is_empty()) else {
            return self.listed(visit, entered, faults).await;
        };
        let (access, by) = visit.accounts()?;
        let (owner, name, actions) = (self.owner.clone(), entered.name.clone(), entered.actions);
        match access.create_token(&by, NewCredential { owner, name, actions, patterns, ttl }).await {
            Ok((_, secret)) => {
                let shown = visit.keep_once(secret.reveal().to_owned());
                Ok(visit.went(
                    &self.address(Some(&shown)),
                    Said::of("The token is made. It is shown this once: copy it now."),
                ))
            }
            Err(problem @ Problem::Invalid(_)) => {
                let faults = entered::at("name", problem)?;
                self.listed(visit, entered, faults).await
            }
            Err(problem) => Err(problem.into()),
        }
    }

    fn address(&self, shown: Option<&str>) -> String {
        let owner = self.owner.as_deref().filter(|_| !self.own);
        entered::address(self.path, &[("owner", owner), ("shown", shown)])
    }
}

/// An account's name without its kind: docker ends a user's name at the first `:`.
fn bare(identity: &str) -> &str {
    identity.split_once(':').map_or(identity, |(_, name)| name)
}

/// How long a token holds; nothing is until it is revoked.
fn days(text: &str) -> std::result::Result<Option<Duration>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let days = text.parse().ok().filter(|days| (1..=3650).contains(days));
    days.map(|days: u64| Some(Duration::from_secs(days * DAY))).ok_or_else(|| "From 1 to 3650 days.".to_owned())
}
