//! Webhooks: who is told of what happens, and what was told. For administrators.

use axum::body::Body;
use larder_oci::RepositoryPattern;
use larder_registry::webhooks::{
    Delivery as Row, DeliveryState, NewWebhook as NewRow, TagPattern, Webhook as Hook, WebhookChange as Change,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Call, Result, created, done, input, ok, page};
use crate::answer::Response;

/// Who is told of which events, where and how.
#[derive(Serialize, ToSchema)]
pub(super) struct Webhook {
    /// The name.
    name: String,
    /// Where it is told.
    url: String,
    /// In which words: `cloudevents`, `registry2`, `slack`.
    format: &'static str,
    /// Of which kinds of events: `push`, `pull`, `tag`, `delete`, `promote`, `policy`, `scan`, `quarantine`.
    events: Vec<&'static str>,
    /// Of which repositories.
    repositories: Vec<String>,
    /// Of which tags; of all, and of what has none, without.
    tags: Option<String>,
    /// Whether it may be at an address that is not public.
    private: bool,
    /// Whether it is out of use.
    disabled: bool,
    /// Deliveries that wait.
    waiting: u64,
    /// Deliveries that were given up.
    parked: u64,
    /// When it was made, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    created: String,
    /// Who made it.
    created_by: String,
    /// The secret that its messages are signed with, where it was just made: nobody can read it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

/// A page of webhooks, in order of their names.
#[derive(Serialize, ToSchema)]
pub(super) struct WebhookList {
    webhooks: Vec<Webhook>,
}

/// A webhook to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWebhook {
    /// The name: at most 64 of a-z, 0-9, `.`, `_` and `-`.
    name: String,
    /// Where it is told: `https://…` or `http://…`.
    #[schema(example = "https://ci.example/hooks/larder")]
    url: String,
    /// In which words: `cloudevents` (the default), `registry2`, `slack`.
    #[serde(default)]
    format: Option<String>,
    /// Of which kinds of events; without, of all that the format has words for, but pulls.
    #[serde(default)]
    events: Vec<String>,
    /// Of which repositories; of all without.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    repositories: Vec<RepositoryPattern>,
    /// Of which tags, `*` for any characters; of all, and of what has none, without.
    #[serde(default)]
    tags: Option<String>,
    /// Whether it may be at an address that is not public.
    #[serde(default)]
    private: bool,
    /// A secret that the listener has already: `whsec_` and the Base64 of 24 to 64 bytes. Without, one is made and answered once.
    #[serde(default)]
    secret: Option<String>,
}

/// What to change about a webhook; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookChange {
    /// Where it is told.
    url: Option<String>,
    /// In which words.
    format: Option<String>,
    /// Of which kinds of events.
    events: Option<Vec<String>>,
    /// Of which repositories.
    #[schema(value_type = Option<Vec<String>>)]
    repositories: Option<Vec<RepositoryPattern>>,
    /// Of which tags; `null` for all.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    tags: Option<Option<String>>,
    /// Whether it may be at an address that is not public.
    private: Option<bool>,
    /// Whether it is out of use. One that comes back hears of what happens from then on.
    disabled: Option<bool>,
    /// A secret that the listener has already.
    secret: Option<String>,
    /// Make a new secret, which is answered once.
    #[serde(default)]
    new_secret: bool,
}

/// One event on its way to one webhook.
#[derive(Serialize, ToSchema)]
pub(super) struct Delivery {
    /// Its id; the page after this one begins below it.
    id: i64,
    /// The message's id, `webhook-id` on its way: the same for every attempt and redelivery.
    message: String,
    /// What it keeps its order with: the repository.
    repository: Option<String>,
    /// `waiting`, `done` or `parked`.
    state: &'static str,
    /// How often it was tried.
    attempts: u32,
    /// When it is tried next; not known while others of its repository come first.
    #[schema(format = DateTime)]
    next_attempt: Option<String>,
    /// What the listener answered last.
    status: Option<u16>,
    /// Why the last attempt failed.
    error: Option<String>,
    /// When it was queued, RFC 3339 in UTC.
    #[schema(format = DateTime)]
    created: String,
    /// When it was tried last.
    #[schema(format = DateTime)]
    last_attempt: Option<String>,
    /// When it was done or given up.
    #[schema(format = DateTime)]
    finished: Option<String>,
    /// What happened.
    #[schema(value_type = Object)]
    event: Value,
}

/// A page of deliveries, the newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct DeliveryList {
    deliveries: Vec<Delivery>,
}

/// Whether a field was given, be it `null`.
fn given<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<Option<Option<String>>, D::Error> {
    Option::deserialize(input).map(Some)
}

impl From<Hook> for Webhook {
    fn from(hook: Hook) -> Self {
        Self {
            name: hook.name,
            url: hook.url,
            format: hook.format.as_str(),
            events: hook.kinds.iter().map(|kind| kind.as_str()).collect(),
            repositories: hook.patterns.iter().map(ToString::to_string).collect(),
            tags: hook.tags.map(|tags| tags.to_string()),
            private: hook.private,
            disabled: hook.disabled,
            waiting: hook.waiting,
            parked: hook.parked,
            created: hook.created.to_string(),
            created_by: hook.created_by,
            secret: None,
        }
    }
}

impl From<Row> for Delivery {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            message: row.message,
            repository: Some(row.lane).filter(|lane| !lane.is_empty() && lane != "-"),
            state: state_name(row.state),
            attempts: row.attempts,
            next_attempt: row.next.map(|at| at.to_string()),
            status: row.status,
            error: row.error,
            created: row.created.to_string(),
            last_attempt: row.attempted.map(|at| at.to_string()),
            finished: row.finished.map(|at| at.to_string()),
            event: serde_json::from_str(&row.payload).unwrap_or_default(),
        }
    }
}

fn state_name(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Waiting => "waiting",
        DeliveryState::Done => "done",
        DeliveryState::Parked => "parked",
    }
}

/// A word that the domain reads.
fn parsed<T: std::str::FromStr<Err = String>>(text: &str) -> Result<T> {
    text.parse().map_err(Problem::bad_request)
}

fn all_parsed<T: std::str::FromStr<Err = String>>(texts: &[String]) -> Result<Vec<T>> {
    texts.iter().map(|text| parsed(text)).collect()
}

/// Webhooks. For administrators.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    params(
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<String>, Query, description = "The last name of the page before"),
    ),
    responses((status = 200, body = WebhookList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn list(call: Call<'_>) -> Result<Response> {
    let wanted = page::read(&call)?;
    let found = call.registry.webhooks(&call.actor, &wanted).await?;
    let list = WebhookList { webhooks: found.items.into_iter().map(Webhook::from).collect() };
    let mut response = ok(&list);
    let last = list.webhooks.last().map(|webhook| webhook.name.as_str());
    page::link(&mut response, "/api/v1/webhooks", &wanted, last, found.more);
    Ok(response)
}

/// Makes a webhook, which is told of what happens from now on. For administrators.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks",
    tag = "webhooks",
    request_body = NewWebhook,
    responses((status = 201, body = Webhook), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn create(call: Call<'_>, body: Body) -> Result<Response> {
    let new: NewWebhook = input::json(&call, body).await?;
    let row = NewRow {
        name: new.name,
        url: new.url,
        format: parsed(new.format.as_deref().unwrap_or("cloudevents"))?,
        kinds: all_parsed(&new.events)?,
        patterns: new.repositories,
        tags: new.tags.as_deref().map(parsed::<TagPattern>).transpose()?,
        private: new.private,
    };
    let access = call.app.access.as_ref().ok_or_else(Problem::nothing_here)?;
    let (shown, sealed) = match &new.secret {
        Some(secret) => (None, access.seal_webhook_secret(&row.name, secret)?),
        None => {
            let (shown, sealed) = access.new_webhook_secret(&row.name);
            (Some(shown), sealed)
        }
    };
    let made = call.registry.add_webhook(&call.actor, row, sealed).await?;
    let webhook = Webhook { secret: shown, ..made.into() };
    Ok(created(&format!("/api/v1/webhooks/{}", webhook.name), &webhook))
}

/// A webhook. For administrators.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{webhook}",
    tag = "webhooks",
    params(("webhook" = String, Path, description = "The name")),
    responses((status = 200, body = Webhook), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn show(call: Call<'_>, name: String) -> Result<Response> {
    Ok(ok(&Webhook::from(call.registry.webhook(&call.actor, &name).await?)))
}

/// Changes a webhook; what waits is told in the new way.
#[utoipa::path(
    patch,
    path = "/api/v1/webhooks/{webhook}",
    tag = "webhooks",
    params(("webhook" = String, Path, description = "The name")),
    request_body = WebhookChange,
    responses((status = 200, body = Webhook), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn set(call: Call<'_>, body: Body, name: String) -> Result<Response> {
    let change: WebhookChange = input::json(&call, body).await?;
    let access = call.app.access.as_ref().ok_or_else(Problem::nothing_here)?;
    let (shown, sealed) = match (&change.secret, change.new_secret) {
        (Some(_), true) => return Err(Problem::bad_request("secret and new_secret exclude each other")),
        (Some(secret), false) => (None, Some(access.seal_webhook_secret(&name, secret)?)),
        (None, true) => {
            let (shown, sealed) = access.new_webhook_secret(&name);
            (Some(shown), Some(sealed))
        }
        (None, false) => (None, None),
    };
    let tags = |tags: Option<String>| tags.as_deref().map(parsed::<TagPattern>).transpose();
    let row = Change {
        url: change.url,
        format: change.format.as_deref().map(parsed).transpose()?,
        kinds: change.events.as_deref().map(all_parsed).transpose()?,
        patterns: change.repositories,
        tags: change.tags.map(tags).transpose()?,
        private: change.private,
        disabled: change.disabled,
        secret: sealed,
    };
    let changed = call.registry.set_webhook(&call.actor, &name, row).await?;
    Ok(ok(&Webhook { secret: shown, ..changed.into() }))
}

/// Removes a webhook, with what waits for it and the log of what it was told.
#[utoipa::path(
    delete,
    path = "/api/v1/webhooks/{webhook}",
    tag = "webhooks",
    params(("webhook" = String, Path, description = "The name")),
    responses((status = 204, description = "It is gone"), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn remove(call: Call<'_>, name: String) -> Result<Response> {
    call.registry.remove_webhook(&call.actor, &name).await?;
    Ok(done())
}

/// Tells a webhook something that did not happen, once. The delivery says by and by how it went.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{webhook}/test",
    tag = "webhooks",
    params(("webhook" = String, Path, description = "The name")),
    responses((status = 201, body = Delivery), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn test(call: Call<'_>, name: String) -> Result<Response> {
    let delivery = Delivery::from(call.registry.test_webhook(&call.actor, &name).await?);
    Ok(created(&location(&name, delivery.id), &delivery))
}

/// What a webhook was told and what waits for it, the newest first.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{webhook}/deliveries",
    tag = "webhooks",
    params(
        ("webhook" = String, Path, description = "The name"),
        ("state" = Option<String>, Query, description = "`waiting`, `done` or `parked`"),
        ("limit" = Option<u64>, Query, description = "Entries on the page, 100 by default and 1000 at most"),
        ("after" = Option<i64>, Query, description = "The last id of the page before"),
    ),
    responses((status = 200, body = DeliveryList), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn deliveries(call: Call<'_>, name: String) -> Result<Response> {
    let wanted = page::read(&call)?;
    let before = wanted.after.as_deref().map(str::parse).transpose();
    let before = before.map_err(|_| Problem::bad_request("after must be the id of a delivery"))?;
    let state = match call.query.first("state") {
        None => None,
        Some("waiting") => Some(DeliveryState::Waiting),
        Some("done") => Some(DeliveryState::Done),
        Some("parked") => Some(DeliveryState::Parked),
        Some(other) => {
            return Err(Problem::bad_request(format!("state is waiting, done or parked, not {other:?}")));
        }
    };
    let found = call.registry.deliveries(&call.actor, &name, state, before, wanted.limit).await?;
    let list = DeliveryList { deliveries: found.items.into_iter().map(Delivery::from).collect() };
    let mut response = ok(&list);
    let last = list.deliveries.last().map(|delivery| delivery.id.to_string());
    let filter: Vec<_> = state.map(|state| ("state", state_name(state))).into_iter().collect();
    let path = format!("/api/v1/webhooks/{name}/deliveries");
    page::link_filtered(&mut response, &path, &filter, &wanted, last.as_deref(), found.more);
    Ok(response)
}

/// A delivery.
#[utoipa::path(
    get,
    path = "/api/v1/webhooks/{webhook}/deliveries/{id}",
    tag = "webhooks",
    params(("webhook" = String, Path, description = "The name"), ("id" = i64, Path, description = "The id")),
    responses((status = 200, body = Delivery), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn delivery(call: Call<'_>, name: String, id: i64) -> Result<Response> {
    Ok(ok(&Delivery::from(call.registry.delivery(&call.actor, &name, id).await?)))
}

/// Makes a delivery again, after what else waits of its repository. One that waits is tried now, if it is its turn.
#[utoipa::path(
    post,
    path = "/api/v1/webhooks/{webhook}/deliveries/{id}/redelivery",
    tag = "webhooks",
    params(("webhook" = String, Path, description = "The name"), ("id" = i64, Path, description = "The id")),
    responses((status = 201, body = Delivery), (status = "default", response = super::openapi::ProblemAnswer)),
)]
pub(super) async fn redeliver(call: Call<'_>, name: String, id: i64) -> Result<Response> {
    let delivery = Delivery::from(call.registry.redeliver(&call.actor, &name, id).await?);
    Ok(created(&location(&name, delivery.id), &delivery))
}

fn location(webhook: &str, id: i64) -> String {
    format!("/api/v1/webhooks/{webhook}/deliveries/{id}")
}
