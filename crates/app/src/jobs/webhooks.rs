//! Deliveries to webhooks: signed, bounded in time and number, and never to where the webhook may not go.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use larder_access::Access;
use larder_registry::Registry;
use larder_registry::webhooks::{Attempt, Body, Delivery, Notice, Source, Webhook, render};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::listeners::Listeners;

/// How often events are looked for.
const TICK: Duration = Duration::from_secs(1);
/// Deliveries at a time, and to one webhook: a slow listener must not hold up the others.
const AT_ONCE: usize = 32;
const TO_ONE: usize = 4;

/// Delivers what there is to deliver, for ever.
pub async fn deliver(registry: Registry, access: Access, source: Source) {
    let mut post = Post { registry, access, source, listeners: Listeners::default(), under_way: Courses::default() };
    loop {
        let next = Instant::now() + TICK;
        if let Err(error) = post.registry.queue_deliveries().await {
            tracing::warn!(error = crate::opened::chain(&error), "events could not be turned into deliveries");
        }
        post.begin().await;
        loop {
            tokio::select! {
                () = sleep_until(next) => break,
                // What ended may have made way for the next of its repository.
                () = post.under_way.ended() => post.begin().await,
            }
        }
    }
}

struct Post {
    registry: Registry,
    access: Access,
    source: Source,
    listeners: Listeners,
    under_way: Courses,
}

impl Post {
    /// Begins what is due, as far as there is room.
    async fn begin(&mut self) {
        if let Err(error) = self.try_begin().await {
            tracing::warn!(error = crate::opened::chain(&error), "deliveries could not be begun");
        }
    }

    async fn try_begin(&mut self) -> larder_registry::webhooks::Result<()> {
        for webhook in self.registry.due_webhooks().await? {
            let room = self.under_way.room(&webhook.name);
            if room == 0 {
                continue;
            }
            for delivery in self.registry.claim_deliveries(&webhook.name, room).await? {
                let (registry, listeners) = (self.registry.clone(), self.listeners.clone());
                let message = self.message(&webhook, &delivery);
                let (url, private) = (webhook.url.clone(), webhook.private);
                self.under_way.begin(&webhook.name, async move {
                    let attempt = match message {
                        Ok(message) => listeners.tell(&url, private, message).await,
                        Err(why) => Attempt::Lost(why),
                    };
                    if let Err(error) = registry.settle_delivery(&delivery, &attempt).await {
                        tracing::warn!(error = crate::opened::chain(&error), "a delivery could not be written down");
                    }
                });
            }
        }
        Ok(())
    }

    fn message(&self, webhook: &Webhook, delivery: &Delivery) -> Result<Message, String> {
        let notice = Notice::from_json(&delivery.payload).ok_or("the event was written by a newer larder")?;
        let body = render(webhook.format, &notice, &delivery.message, &self.source);
        let (id, timestamp) = (delivery.message.clone(), Timestamp::now().as_second());
        let signature = self.access.sign_webhook(&webhook.name, &webhook.secret, &id, timestamp, &body.bytes);
        let signature =
            signature.ok_or("the webhook's secret was sealed with another secret.key: give it a new one")?;
        Ok(Message { id, timestamp, signature, body })
    }
}

/// What goes to a listener (Standard Webhooks).
pub struct Message {
    /// The message's id: the same for every attempt.
    pub id: String,
    /// When this attempt began, in seconds.
    pub timestamp: i64,
    /// The signature over id, time and body.
    pub signature: String,
    /// What is said.
    pub body: Body,
}

/// Deliveries under way. Dropped, they end.
#[derive(Default)]
struct Courses {
    tasks: JoinSet<()>,
    to: HashMap<Id, String>,
}

impl Courses {
    /// How many more may be begun to this webhook.
    fn room(&self, webhook: &str) -> usize {
        let to_it = self.to.values().filter(|name| *name == webhook).count();
        TO_ONE.saturating_sub(to_it).min(AT_ONCE.saturating_sub(self.to.len()))
    }

    fn begin(&mut self, webhook: &str, work: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(work).id();
        self.to.insert(id, webhook.to_owned());
    }

    /// Resolves when one has ended; never while there is none.
    async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
        };
        self.to.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_webhook_takes_a_part_of_the_room_only() {
        let mut courses = Courses::default();
        for _ in 0..TO_ONE {
            courses.begin("slow", std::future::pending());
        }
        assert_eq!((courses.room("slow"), courses.room("other")), (0, TO_ONE));
        for n in 0..(AT_ONCE - TO_ONE - 1) {
            courses.begin(&format!("{n}"), std::future::pending());
        }
        assert_eq!(courses.room("other"), 1);
        courses.begin("other", async {});
        assert_eq!(courses.room("another"), 0);
        courses.ended().await;
        assert_eq!(courses.room("another"), 1);
    }
}
