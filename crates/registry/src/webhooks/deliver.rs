//! From events to deliveries, and what becomes of a delivery after an attempt. How it travels is the program's business.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use larder_catalog::model::webhooks::{NewDelivery, Settlement};
use larder_catalog::model::{Event, Page};
use larder_oci::Reference;

use super::{Delivery, EventKind, Notice, Result, Webhook};
use crate::Registry;
use crate::clock::after;

/// Events looked at in one transaction.
const BATCH: usize = 500;
/// A delivery that has failed for so long is parked, and the order goes on (behaviour §7).
const GIVEN_UP: Duration = Duration::from_secs(24 * 60 * 60);
/// The first pause between two attempts; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// Who has claimed a delivery and says nothing for so long has died.
const CLAIM: Duration = Duration::from_secs(120);
/// Bytes of an error that are kept.
const LONGEST_ERROR: usize = 300;

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The listener took it, with this status.
    Taken(u16),
    /// The listener answered, but not that it took it.
    Refused(u16),
    /// It never got there, and why.
    Lost(String),
}

impl Registry {
    /// Turns what happened since the last call into deliveries, for every webhook in use. Answers how many it queued.
    pub async fn queue_deliveries(&self) -> Result<usize> {
        let mut queued = 0;
        for row in self.inner.catalog.active_webhooks().await? {
            let webhook = Webhook::of_row(row);
            let mut cursor = webhook.cursor;
            loop {
                let Page { items, more } = self.inner.catalog.events(cursor, BATCH).await?;
                let Some(last) = items.last().map(|event| event.id) else { break };
                let deliveries = self.deliveries_of(&webhook, &items).await?;
                let count = deliveries.len();
                let step = (cursor, last);
                if !self.inner.catalog.queue_deliveries(&webhook.name, step, deliveries, self.now()).await? {
                    break;
                }
                (cursor, queued) = (last, queued + count);
                if !more {
                    break;
                }
            }
        }
        Ok(queued)
    }

    async fn deliveries_of(&self, webhook: &Webhook, events: &[Event]) -> Result<Vec<NewDelivery>> {
        let mut deliveries = Vec::new();
        for event in events {
            let Some(mut notice) = Notice::of(event).filter(|notice| webhook.wants(notice)) else { continue };
            self.complete(&mut notice).await?;
            deliveries.push(NewDelivery {
                message: format!("evt_{}", event.id),
                lane: notice.repository.as_ref().map(ToString::to_string).unwrap_or_default(),
                payload: notice.to_json(),
            });
        }
        Ok(deliveries)
    }

    /// A tag's event does not say what its manifest is; listeners choose by that.
    async fn complete(&self, notice: &mut Notice) -> Result<()> {
        let is_there = !matches!(notice.kind, EventKind::Delete | EventKind::Quarantine);
        if !is_there || notice.media_type.is_some() {
            return Ok(());
        }
        let (Some(repository), Some(digest)) = (&notice.repository, &notice.digest) else { return Ok(()) };
        let Ok(digest) = digest.parse() else { return Ok(()) };
        if let Some(manifest) = self.inner.catalog.manifest(repository, &Reference::Digest(digest), false).await? {
            (notice.media_type, notice.size) = (Some(manifest.media_type), Some(manifest.size));
        }
        Ok(())
    }

    /// The webhooks for which something is due.
    pub async fn due_webhooks(&self) -> Result<Vec<Webhook>> {
        let rows = self.inner.catalog.due_webhooks(self.now()).await?;
        Ok(rows.into_iter().map(Webhook::of_row).collect())
    }

    /// Takes up to `limit` deliveries of a webhook that are due, of each repository the oldest at most. Whoever takes them says within two minutes
    /// [how it went](Self::settle_delivery).
    pub async fn claim_deliveries(&self, webhook: &str, limit: usize) -> Result<Vec<Delivery>> {
        let now = self.now();
        Ok(self.inner.catalog.claim_deliveries(webhook, now, after(now, CLAIM), limit).await?)
    }

    /// Writes down how an attempt went: done, to be tried again after a pause, or parked after a day.
    pub async fn settle_delivery(&self, delivery: &Delivery, attempt: &Attempt) -> Result<()> {
        let now = self.now();
        let (settlement, status, error) = match attempt {
            Attempt::Taken(status) => (Settlement::Done, Some(*status), None),
            Attempt::Refused(status) => (failed(delivery, now), Some(*status), Some(format!("answered {status}"))),
            Attempt::Lost(why) => (failed(delivery, now), None, Some(shortened(why))),
        };
        let counters = &self.inner.counters;
        let counter = match settlement {
            Settlement::Done => &counters.deliveries_made,
            Settlement::Parked | Settlement::Again(_) => &counters.deliveries_failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if settlement == Settlement::Parked {
            let (webhook, id) = (&delivery.webhook, delivery.id);
            tracing::warn!(webhook, id, error, "a webhook was not reached and its delivery is parked");
        }
        self.inner.catalog.settle_delivery(delivery, settlement, status, error.as_deref(), now).await?;
        Ok(())
    }
}

/// What becomes of a delivery that failed at `now`. A day is counted from when it was queued: what waited behind another is tried once at least. A test is
/// tried once.
fn failed(delivery: &Delivery, now: Timestamp) -> Settlement {
    let end = after(delivery.created, GIVEN_UP);
    let is_test = Notice::from_json(&delivery.payload).is_some_and(|notice| notice.kind == EventKind::Test);
    if now >= end || is_test {
        return Settlement::Parked;
    }
    Settlement::Again(after(now, pause(delivery.attempts)).min(end))
}

/// The pause after so many attempts.
fn pause(attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

fn shortened(text: &str) -> String {
    let mut end = text.len().min(LONGEST_ERROR);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        let seconds: Vec<u64> = [1, 2, 3, 4, 12, 13, 40].into_iter().map(|n| pause(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 2048, 3600, 3600]);
    }

    #[test]
    fn an_error_is_cut_between_characters() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"ä".repeat(200)).len(), 300);
        assert_eq!(shortened(&format!("x{}", "ä".repeat(200))).len(), 299);
    }
}
