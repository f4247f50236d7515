//! Webhooks and their deliveries: who is told of events, what was told, and what waits.
//!
//! A delivery's lane keeps its order: of those that wait in one, only the oldest has a time to be tried at, and whoever ends it gives the next one
//! its turn in the same transaction. On PostgreSQL what adds to a webhook's lanes and what ends something in them take turns on its row.

mod deliveries;

use serde_json::json;

use crate::engine::{Done, Kind, Row, Tx, values};
use crate::model::webhooks::{Webhook, WebhookStanding};
use crate::model::{Page, Stamp};
use crate::outbox;
use crate::page::page;
use crate::{Catalog, Result};

/// How many webhooks are told of events.
const ACTIVE: usize = 1_000;

impl Catalog {
    /// Makes a webhook, which is told of what happens from now on. Answers `false` when there is one of this name.
    pub async fn create_webhook(&self, webhook: Webhook, stamp: Stamp) -> Result<bool> {
        self.engine().write(Kind::Grow, move |tx| create(tx, &webhook, &stamp)).await
    }

    /// The webhook of this name.
    pub async fn webhook(&self, name: &str) -> Result<Option<WebhookStanding>> {
        let name = name.to_owned();
        let sql = "SELECT name, url, format, kinds, patterns, tags, secret, private, disabled, cursor, created_at, created_by,
                     (SELECT COUNT(*) FROM deliveries d WHERE d.webhook = w.name AND d.state = 0),
                     (SELECT COUNT(*) FROM deliveries d WHERE d.webhook = w.name AND d.state = 2)
                   FROM webhooks w WHERE name = $1";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&name], standing)).await
    }

    /// Webhooks after this name, in order.
    pub async fn webhooks(&self, after: Option<&str>, limit: usize) -> Result<Page<WebhookStanding>> {
        let after = after.unwrap_or_default().to_owned();
        let sql = "SELECT name, url, format, kinds, patterns, tags, secret, private, disabled, cursor, created_at, created_by,
                     (SELECT COUNT(*) FROM deliveries d WHERE d.webhook = w.name AND d.state = 0),
                     (SELECT COUNT(*) FROM deliveries d WHERE d.webhook = w.name AND d.state = 2)
                   FROM webhooks w WHERE name > $1 ORDER BY name LIMIT $2";
        let work = move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![&after, limit + 1], standing)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// The webhooks that are in use, in the order of their names; at most a thousand.
    pub async fn active_webhooks(&self) -> Result<Vec<Webhook>> {
        let sql =
            "SELECT name, url, format, kinds, patterns, tags, secret, private, disabled, cursor, created_at, created_by
                   FROM webhooks WHERE name > '' AND disabled = 0 ORDER BY name LIMIT $1";
        self.engine().read(Kind::Read, move |tx| tx.rows(sql, values![ACTIVE], read)).await
    }

    /// Puts a webhook in the place of the one of its name; its cursor counts for nothing. One that comes into use again is told of what happens from
    /// now on. Answers `false` when there is none.
    pub async fn set_webhook(&self, webhook: Webhook, stamp: Stamp) -> Result<bool> {
        self.engine().write(Kind::Shrink, move |tx| set(tx, &webhook, &stamp)).await
    }

    /// Removes a webhook with its deliveries. Answers `false` when there is none.
    pub async fn remove_webhook(&self, name: &str, stamp: Stamp) -> Result<bool> {
        let name = name.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            if tx.execute("DELETE FROM webhooks WHERE name = $1", values![&name])? == 0 {
                return Ok(false);
            }
            tx.execute("DELETE FROM deliveries WHERE webhook = $1", values![&name])?;
            outbox::record(tx, "webhook.removed", None, &json!({ "name": name }), &stamp)?;
            Ok(true)
        };
        self.engine().write(Kind::Shrink, work).await
    }
}

fn create(tx: &mut Tx<'_>, webhook: &Webhook, stamp: &Stamp) -> Done<bool> {
    let sql = "INSERT INTO webhooks (name, url, format, kinds, patterns, tags, secret, private, disabled, cursor, created_at, created_by)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, (SELECT COALESCE(MAX(id), 0) FROM events), $10, $11)
               ON CONFLICT (name) DO NOTHING";
    let (kinds, patterns) = lists(webhook);
    let row = values![
        &webhook.name,
        &webhook.url,
        &webhook.format,
        &kinds,
        &patterns,
        webhook.tags.as_deref(),
        &webhook.secret[..],
        webhook.private,
        webhook.disabled,
        stamp.at,
        &stamp.identity
    ];
    if tx.execute(sql, row)? == 0 {
        return Ok(false);
    }
    outbox::record(tx, "webhook.created", None, &payload(webhook), stamp)?;
    Ok(true)
}

fn set(tx: &mut Tx<'_>, webhook: &Webhook, stamp: &Stamp) -> Done<bool> {
    let sql = "UPDATE webhooks SET url = $1, format = $2, kinds = $3, patterns = $4, tags = $5, secret = $6, private = $7,
                 cursor = CASE WHEN disabled = 1 AND CAST($8 AS BIGINT) = 0 THEN (SELECT COALESCE(MAX(id), 0) FROM events) ELSE cursor END,
                 disabled = $8 WHERE name = $9";
    let (kinds, patterns) = lists(webhook);
    let row = values![
        &webhook.url,
        &webhook.format,
        &kinds,
        &patterns,
        webhook.tags.as_deref(),
        &webhook.secret[..],
        webhook.private,
        webhook.disabled,
        &webhook.name
    ];
    if tx.execute(sql, row)? == 0 {
        return Ok(false);
    }
    outbox::record(tx, "webhook.changed", None, &payload(webhook), stamp)?;
    Ok(true)
}

fn lists(webhook: &Webhook) -> (String, String) {
    let patterns: Vec<&str> = webhook.patterns.iter().map(AsRef::as_ref).collect();
    (json!(webhook.kinds).to_string(), json!(patterns).to_string())
}

/// What the audit says. Addresses of some listeners are secrets.
fn payload(webhook: &Webhook) -> serde_json::Value {
    json!({
        "name": webhook.name,
        "format": webhook.format,
        "kinds": webhook.kinds,
        "patterns": webhook.patterns,
        "tags": webhook.tags,
        "private": webhook.private,
        "disabled": webhook.disabled,
    })
}

fn standing(row: &Row<'_>) -> Done<WebhookStanding> {
    Ok(WebhookStanding { webhook: read(row)?, waiting: row.size(12)?, parked: row.size(13)? })
}

fn read(row: &Row<'_>) -> Done<Webhook> {
    Ok(Webhook {
        name: row.text(0)?,
        url: row.text(1)?,
        format: row.text(2)?,
        kinds: row.json(3, "list of kinds")?,
        patterns: row.json(4, "list of patterns")?,
        tags: row.opt_text(5)?,
        secret: row.bytes(6)?,
        private: row.flag(7)?,
        disabled: row.flag(8)?,
        cursor: row.int(9)?,
        created: row.time(10)?,
        created_by: row.text(11)?,
    })
}
