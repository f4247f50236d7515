//! Webhooks: who is told of what happens, in which words, in which order, and how often it is tried.
//!
//! Events become deliveries in one transaction with the cursor that says how far a webhook has come, so each one is told at least once. Of one
//! repository a webhook hears in order: the next delivery of a lane begins when the one before it was made or given up. How a message travels, and with
//! which secret it is signed, is not known here: a webhook's secret comes and goes sealed.

mod address;
mod body;
mod definition;
mod deliver;
mod kind;
mod notice;
mod sample;
mod tag_pattern;

pub use address::is_public;
pub use body::{Body, Source, render};
pub use definition::{Format, NewWebhook, Webhook, WebhookChange};
pub use deliver::Attempt;
pub use kind::EventKind;
pub use larder_catalog::model::webhooks::{Delivery, DeliveryState};
pub use notice::Notice;
pub(crate) use sample::Sample;
pub use tag_pattern::TagPattern;

use larder_catalog::model::Page;
use larder_catalog::model::webhooks::NewDelivery;

use crate::{Actor, PageRequest, Registry};

/// What webhooks answer.
pub type Result<T, E = WebhookError> = std::result::Result<T, E>;

/// Why something about webhooks was not done.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// There is none of this name.
    #[error("there is no webhook {0}")]
    Unknown(String),
    /// There is no such delivery.
    #[error("webhook {webhook} has no delivery {id}")]
    DeliveryUnknown {
        /// The webhook.
        webhook: String,
        /// The delivery.
        id: i64,
    },
    /// There is one of this name.
    #[error("there is a webhook {0} already")]
    Exists(String),
    /// There are as many as there may be.
    #[error("there are {0} webhooks already")]
    TooMany(usize),
    /// It cannot be so.
    #[error("{0}")]
    Invalid(String),
    /// The registry's own answer.
    #[error(transparent)]
    Registry(#[from] crate::Error),
}

impl From<larder_catalog::Error> for WebhookError {
    fn from(error: larder_catalog::Error) -> Self {
        Self::Registry(error.into())
    }
}

/// How many webhooks there may be.
const MOST: usize = 256;
/// The most of a list that is given at once.
const PAGE: usize = 1_000;

/// Webhooks are an administrator's (behaviour §4: nobody's in the open state, but for whoever owns the data folder).
impl Registry {
    /// Makes a webhook, which is told of what happens from now on. `sealed` is the secret that its messages are signed with.
    pub async fn add_webhook(&self, actor: &Actor, new: NewWebhook, sealed: Vec<u8>) -> Result<Webhook> {
        self.operator(actor)?;
        self.writable()?;
        let name = new.name.clone();
        let row = new.into_row(sealed)?;
        if self.inner.catalog.webhooks(None, MOST).await?.items.len() >= MOST {
            return Err(WebhookError::TooMany(MOST));
        }
        if !self.inner.catalog.create_webhook(row, self.stamp(actor)).await? {
            return Err(WebhookError::Exists(name));
        }
        self.webhook(actor, &name).await
    }

    /// The webhook of this name.
    pub async fn webhook(&self, actor: &Actor, name: &str) -> Result<Webhook> {
        self.operator(actor)?;
        let row = self.inner.catalog.webhook(name).await?;
        row.map(Webhook::of).ok_or_else(|| WebhookError::Unknown(name.to_owned()))
    }

    /// Webhooks in the order of their names.
    pub async fn webhooks(&self, actor: &Actor, page: &PageRequest) -> Result<Page<Webhook>> {
        self.operator(actor)?;
        let found = self.inner.catalog.webhooks(page.after.as_deref(), page.limit.min(PAGE)).await?;
        Ok(Page { items: found.items.into_iter().map(Webhook::of).collect(), more: found.more })
    }

    /// Changes a webhook; what waits is told in the new way.
    pub async fn set_webhook(&self, actor: &Actor, name: &str, change: WebhookChange) -> Result<Webhook> {
        self.operator(actor)?;
        self.writable()?;
        let absent = || WebhookError::Unknown(name.to_owned());
        let row = self.inner.catalog.webhook(name).await?.ok_or_else(absent)?.webhook;
        let row = change.applied_to(row)?;
        if !self.inner.catalog.set_webhook(row, self.stamp(actor)).await? {
            return Err(absent());
        }
        self.webhook(actor, name).await
    }

    /// Removes a webhook with what waits for it and the log of what it was told.
    pub async fn remove_webhook(&self, actor: &Actor, name: &str) -> Result<()> {
        self.operator(actor)?;
        self.writable()?;
        match self.inner.catalog.remove_webhook(name, self.stamp(actor)).await? {
            true => Ok(()),
            false => Err(WebhookError::Unknown(name.to_owned())),
        }
    }

    /// What a webhook was told, and what waits for it: in this state or any, before this id, the newest first.
    pub async fn deliveries(
        &self,
        actor: &Actor,
        name: &str,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Delivery>> {
        self.webhook(actor, name).await?;
        Ok(self.inner.catalog.deliveries(name, state, before, limit.min(PAGE)).await?)
    }

    /// One of them.
    pub async fn delivery(&self, actor: &Actor, name: &str, id: i64) -> Result<Delivery> {
        self.webhook(actor, name).await?;
        let found = self.inner.catalog.delivery(name, id).await?;
        found.ok_or_else(|| WebhookError::DeliveryUnknown { webhook: name.to_owned(), id })
    }

    /// Tells it again, after what else waits of its repository; at once when it is its turn already.
    pub async fn redeliver(&self, actor: &Actor, name: &str, id: i64) -> Result<Delivery> {
        self.webhook(actor, name).await?;
        self.writable()?;
        let absent = || WebhookError::DeliveryUnknown { webhook: name.to_owned(), id };
        let id = self.inner.catalog.redeliver(name, id, self.stamp(actor)).await?.ok_or_else(absent)?;
        self.delivery(actor, name, id).await
    }

    /// Tells a webhook something that did not happen, once.
    pub async fn test_webhook(&self, actor: &Actor, name: &str) -> Result<Delivery> {
        self.webhook(actor, name).await?;
        self.writable()?;
        let notice = Notice::test(name, actor.identity(), self.now());
        let message = format!("test_{}", uuid::Uuid::new_v4().simple());
        // No repository has this name, so nothing waits for it.
        let delivery = NewDelivery { message, lane: "-".to_owned(), payload: notice.to_json() };
        let id = self.inner.catalog.queue_delivery(name, delivery, self.stamp(actor)).await?;
        self.delivery(actor, name, id.ok_or_else(|| WebhookError::Unknown(name.to_owned()))?).await
    }
}
