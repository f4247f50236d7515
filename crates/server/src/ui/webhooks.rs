//! Who is told of what happens in a repository: for administrators, as webhooks are theirs.

use askama::Template;
use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use larder_oci::{RepositoryName, RepositoryPattern};
use larder_registry::PageRequest;
use larder_registry::webhooks::{
    Delivery as Parcel, DeliveryState, EventKind, Format, NewWebhook, Webhook, WebhookError,
};

use super::faults::Faults;
use super::format::{Moment, grouped};
use super::frame::{self, Frame, person};
use super::said::Said;
use super::sections::{Section, Sections};
use super::trouble::{Trouble, sentence};
use super::{Result, Visit};
use crate::form::Form;

/// As many as there may be.
const ALL: usize = 256;
/// Deliveries that were given up and are shown of each.
const PARKED: usize = 10;

#[derive(Template)]
#[template(path = "webhooks.html")]
struct Page {
    frame: Frame,
    sections: Sections,
    csrf: String,
    faults: Faults,
    name: String,
    hooks: Vec<Hook>,
    entered: Entered,
    /// The secret of the one that was just made: a name, and what nobody can read again.
    secret: Option<(String, String)>,
}

struct Hook {
    name: String,
    url: String,
    format: &'static str,
    events: String,
    disabled: bool,
    waiting: String,
    parked: String,
    by: String,
    created: Moment,
    /// The other repositories that it is for, when it is for more than this one.
    others: Option<String>,
    failures: Vec<Failure>,
}

struct Failure {
    id: i64,
    why: String,
    attempts: u32,
    at: Moment,
}

/// What was filled in.
struct Entered {
    name: String,
    url: String,
    format: String,
    private: bool,
    events: Vec<(&'static str, bool)>,
}

impl Entered {
    fn nothing() -> Self {
        let usual = Format::CloudEvents.usual_kinds();
        let events = EventKind::CHOICES.into_iter().map(|kind| (kind.as_str(), usual.contains(&kind)));
        Self {
            name: String::new(),
            url: String::new(),
            format: Format::CloudEvents.as_str().to_owned(),
            private: false,
            events: events.collect(),
        }
    }

    fn read(form: &Form) -> Self {
        let chosen = |kind: EventKind| (kind.as_str(), form.all("event").any(|event| event == kind.as_str()));
        Self {
            name: form.word("name").to_owned(),
            url: form.word("url").to_owned(),
            format: form.word("format").to_owned(),
            private: form.has("private"),
            events: EventKind::CHOICES.into_iter().map(chosen).collect(),
        }
    }

    fn webhook(&self, repository: &RepositoryName) -> std::result::Result<NewWebhook, Faults> {
        let format = self.format.parse::<Format>().map_err(|problem| Faults::at("format", sentence(&problem)))?;
        let events = self.events.iter().filter(|(_, chosen)| *chosen);
        let kinds: Vec<EventKind> = events.filter_map(|(event, _)| event.parse().ok()).collect();
        if kinds.is_empty() {
            return Err(Faults::at("event", "Choose at least one kind of event."));
        }
        Ok(NewWebhook {
            name: self.name.clone(),
            url: self.url.clone(),
            format,
            kinds,
            patterns: vec![RepositoryPattern::from(repository)],
            tags: None,
            private: self.private,
        })
    }
}

pub(super) async fn show(visit: &Visit<'_>, name: RepositoryName) -> Result {
    page(visit, name, Entered::nothing(), Faults::none(), None).await
}

/// Makes one, tries one, removes one, or sends again what one was not told.
pub(super) async fn change(visit: &Visit<'_>, name: RepositoryName, form: &Form) -> Result {
    if form.field("do") == "add" {
        return add(visit, name, form).await;
    }
    let (path, webhook) = (format!("/r/{name}/-/webhooks"), form.word("webhook"));
    match acted(visit, &name, webhook, form).await {
        Ok(said) => Ok(visit.went(&path, said)),
        Err(error) => page(visit, name, Entered::nothing(), faults(error)?, None).await,
    }
}

async fn acted(
    visit: &Visit<'_>,
    name: &RepositoryName,
    webhook: &str,
    form: &Form,
) -> std::result::Result<Said, WebhookError> {
    let (registry, actor) = (visit.registry, visit.actor());
    match form.field("do") {
        "remove" => {
            if others(&registry.webhook(actor, webhook).await?, name).is_some() {
                let text = format!("{webhook} is for other repositories too: `larder webhook rm {webhook}` removes it");
                return Err(WebhookError::Invalid(text));
            }
            registry.remove_webhook(actor, webhook).await?;
            Ok(Said::of(format!("{webhook} is removed, with what waited for it.")))
        }
        "test" => {
            registry.test_webhook(actor, webhook).await?;
            Ok(Said::of(format!("A message that nothing happened is on its way to {webhook}.")))
        }
        "again" => {
            let id = form.word("id").parse().unwrap_or_default();
            registry.redeliver(actor, webhook, id).await?;
            Ok(Said::of(format!("{webhook} is told again.")))
        }
        _ => Err(WebhookError::Invalid("the form does not say what to do".to_owned())),
    }
}

async fn add(visit: &Visit<'_>, name: RepositoryName, form: &Form) -> Result {
    let entered = Entered::read(form);
    let access = visit.app.access.as_ref().ok_or_else(Trouble::nothing)?;
    let new = match entered.webhook(&name) {
        Ok(new) => new,
        Err(faults) => return page(visit, name, entered, faults, None).await,
    };
    let (shown, sealed) = match form.word("secret") {
        "" => {
            let (shown, sealed) = access.new_webhook_secret(&new.name);
            (Some(shown), sealed)
        }
        known => match access.seal_webhook_secret(&new.name, known) {
            Ok(sealed) => (None, sealed),
            Err(problem) => return page(visit, name, entered, Faults::of_accounts(problem)?, None).await,
        },
    };
    match (visit.registry.add_webhook(visit.actor(), new, sealed).await, shown) {
        // Shown once, so the browser is not sent on: nothing keeps the secret to show it there.
        (Ok(made), Some(shown)) => {
            let mut shown = page(visit, name, Entered::nothing(), Faults::none(), Some((made.name, shown))).await?;
            shown.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(shown)
        }
        (Ok(made), None) => {
            Ok(visit.went(&format!("/r/{name}/-/webhooks"), Said::of(format!("{} is made.", made.name))))
        }
        (Err(error), _) => page(visit, name, entered, faults(error)?, None).await,
    }
}

fn faults(error: WebhookError) -> Result<Faults> {
    let error = match error {
        WebhookError::Registry(error) => return Faults::of(error),
        error => error,
    };
    let status = match &error {
        WebhookError::Exists(_) | WebhookError::TooMany(_) => StatusCode::CONFLICT,
        WebhookError::Invalid(_) => StatusCode::BAD_REQUEST,
        _ => StatusCode::NOT_FOUND,
    };
    Ok(Faults::whole(sentence(&error.to_string())).with_status(status))
}

async fn page(
    visit: &Visit<'_>,
    name: RepositoryName,
    entered: Entered,
    faults: Faults,
    secret: Option<(String, String)>,
) -> Result {
    if !visit.actor().may_operate() || visit.app.access.is_none() {
        return Err(Trouble::nothing());
    }
    visit.registry.outline(visit.actor(), &name).await?;
    let all = PageRequest { limit: ALL, after: None };
    let found = visit.registry.webhooks(visit.actor(), &all).await.or_else(faults_of)?;
    let mut hooks = Vec::new();
    for hook in found.items.into_iter().filter(|hook| is_about(hook, &name)) {
        hooks.push(told(visit, &name, hook).await?);
    }
    let sections = Sections::of(visit, &name, Section::Webhooks).await?;
    let (frame, csrf) = (visit.frame(format!("Webhooks of {name}")), visit.csrf());
    let status = faults.status();
    frame::form(status, &Page { frame, sections, csrf, faults, name: name.to_string(), hooks, entered, secret })
}

fn faults_of<T>(error: WebhookError) -> Result<T> {
    match error {
        WebhookError::Registry(error) => Err(error.into()),
        _ => Err(Trouble::nothing()),
    }
}

fn is_about(hook: &Webhook, name: &RepositoryName) -> bool {
    hook.patterns.is_empty() || hook.patterns.iter().any(|pattern| pattern.matches(name))
}

/// What else a webhook is for.
fn others(hook: &Webhook, name: &RepositoryName) -> Option<String> {
    if hook.patterns.is_empty() {
        return Some("all repositories".to_owned());
    }
    let others = hook.patterns.iter().map(RepositoryPattern::as_str).filter(|pattern| *pattern != name.as_str());
    let others: Vec<&str> = others.collect();
    (!others.is_empty()).then(|| others.join(", "))
}

async fn told(visit: &Visit<'_>, name: &RepositoryName, hook: Webhook) -> Result<Hook> {
    let mut failures = Vec::new();
    if hook.parked > 0 {
        let state = Some(DeliveryState::Parked);
        let parked = visit.registry.deliveries(visit.actor(), &hook.name, state, None, PARKED).await;
        failures = parked.or_else(faults_of)?.items.into_iter().map(|parcel| failure(visit, parcel)).collect();
    }
    Ok(Hook {
        others: others(&hook, name),
        events: hook.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", "),
        format: hook.format.as_str(),
        disabled: hook.disabled,
        waiting: grouped(hook.waiting),
        parked: grouped(hook.parked),
        by: person(&hook.created_by).to_owned(),
        created: Moment { at: hook.created, now: visit.now },
        url: without_query(&hook.url).to_owned(),
        name: hook.name,
        failures,
    })
}

fn failure(visit: &Visit<'_>, parcel: Parcel) -> Failure {
    let answered = parcel.status.map(|status| format!("answered {status}"));
    Failure {
        id: parcel.id,
        why: answered.or(parcel.error).unwrap_or_else(|| "gave no answer".to_owned()),
        attempts: parcel.attempts,
        at: Moment { at: parcel.finished.unwrap_or(parcel.created), now: visit.now },
    }
}

/// What stands behind `?` may be a secret.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}
