//! Plain values about webhooks and what is delivered to them.

use std::fmt;

use jiff::Timestamp;
use larder_oci::{RepositoryName, RepositoryPattern};

use super::Stamp;

/// Who is told of which events, and where. What format, kinds and tag patterns mean is the domain's business.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// Where it is told.
    pub url: String,
    /// In which format.
    pub format: String,
    /// Of which kinds of events.
    pub kinds: Vec<String>,
    /// Of which repositories.
    pub patterns: Vec<RepositoryPattern>,
    /// Of which tags; of all without.
    pub tags: Option<String>,
    /// What its messages are signed with, sealed.
    pub secret: Vec<u8>,
    /// Whether it may be at an address that is not public.
    pub private: bool,
    /// Whether it is out of use.
    pub disabled: bool,
    /// The last event that was looked at for it.
    pub cursor: i64,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
}

/// Without the address, which may hold a secret, and without the sealed one.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, format, kinds, patterns, tags, private, disabled, cursor, .. } = self;
        let mut out = f.debug_struct("Webhook");
        out.field("name", name).field("format", format).field("kinds", kinds).field("patterns", patterns);
        out.field("tags", tags).field("private", private).field("disabled", disabled).field("cursor", cursor);
        out.finish_non_exhaustive()
    }
}

/// A webhook, and what has not reached it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookStanding {
    /// The webhook.
    pub webhook: Webhook,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Deliveries that were given up.
    pub parked: u64,
}

/// A delivery to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// The message's id: the same for every attempt and redelivery.
    pub message: String,
    /// What it must stay in order with: a repository's name, or nothing.
    pub lane: String,
    /// The event, as JSON: events are pruned.
    pub payload: String,
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    /// It is to be made, now or later.
    Waiting,
    /// It was made.
    Done,
    /// It was given up.
    Parked,
}

/// One event on its way to one webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Counts up.
    pub id: i64,
    /// The webhook.
    pub webhook: String,
    /// The message's id: the same for every attempt and redelivery.
    pub message: String,
    /// What it stays in order with.
    pub lane: String,
    /// The event, as JSON.
    pub payload: String,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next; not known while others of its lane come first.
    pub next: Option<Timestamp>,
    /// What the listener answered last.
    pub status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it was queued.
    pub created: Timestamp,
    /// When it was tried last.
    pub attempted: Option<Timestamp>,
    /// When it was done or given up.
    pub finished: Option<Timestamp>,
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It was made.
    Done,
    /// It is given up.
    Parked,
    /// It is tried again, not before this time.
    Again(Timestamp),
}

/// A pull that becomes an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampledPull {
    /// The repository.
    pub repository: RepositoryName,
    /// The event's payload, as JSON.
    pub payload: String,
    /// Who and when.
    pub stamp: Stamp,
}
