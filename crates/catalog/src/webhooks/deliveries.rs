//! What is told to webhooks: queued, claimed, settled, told again, forgotten.

use jiff::Timestamp;
use serde_json::json;

use super::read;
use crate::engine::{Done, Fault, Kind, Row, Tx, dialect, unreadable, values};
use crate::model::webhooks::{Delivery, DeliveryState, NewDelivery, Settlement, Webhook};
use crate::model::{Page, Stamp};
use crate::outbox::{self, PRUNED};
use crate::page::page;
use crate::{Catalog, Result};

/// How many webhooks are looked at for what is due.
const DUE: usize = 1_000;

impl Catalog {
    /// Queues deliveries and moves the webhook's cursor on, in one transaction: each event makes a delivery once. Answers `false`, and does nothing,
    /// when the cursor is elsewhere by now, or the webhook is gone or out of use.
    pub async fn queue_deliveries(
        &self,
        webhook: &str,
        (from, to): (i64, i64),
        deliveries: Vec<NewDelivery>,
        at: Timestamp,
    ) -> Result<bool> {
        let webhook = webhook.to_owned();
        let sql = "UPDATE webhooks SET cursor = $1 WHERE name = $2 AND cursor = $3 AND disabled = 0";
        let work = move |tx: &mut Tx<'_>| {
            if tx.execute(sql, values![to, &webhook, from])? == 0 {
                return Ok(false);
            }
            for delivery in &deliveries {
                insert(tx, &webhook, delivery, at)?;
            }
            Ok(true)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// Queues one delivery that no event causes; answers its id, or nothing when there is no such webhook.
    pub async fn queue_delivery(&self, webhook: &str, delivery: NewDelivery, stamp: Stamp) -> Result<Option<i64>> {
        let webhook = webhook.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            if !take_turn(tx, &webhook)? {
                return Ok(None);
            }
            outbox::record(tx, "webhook.tested", None, &json!({ "name": webhook }), &stamp)?;
            insert(tx, &webhook, &delivery, stamp.at).map(Some)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// The webhooks in use for which something is due at `now`, in the order of their names.
    pub async fn due_webhooks(&self, now: Timestamp) -> Result<Vec<Webhook>> {
        let sql =
            "SELECT name, url, format, kinds, patterns, tags, secret, private, disabled, cursor, created_at, created_by
                   FROM webhooks w WHERE name > '' AND disabled = 0
                     AND EXISTS (SELECT 1 FROM deliveries d WHERE d.webhook = w.name AND d.next_at <= $1)
                   ORDER BY name LIMIT $2";
        self.engine().read(Kind::Read, move |tx| tx.rows(sql, values![now, DUE], read)).await
    }

    /// Takes up to `limit` deliveries of a webhook that are due at `now`, of each lane the oldest at most. Until `lease_until` nobody else gets them;
    /// who has not settled them by then has died, and they are tried again.
    pub async fn claim_deliveries(
        &self,
        webhook: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Delivery>> {
        let webhook = webhook.to_owned();
        let work = move |tx: &mut Tx<'_>| claim(tx, &webhook, now, lease_until, limit);
        self.engine().write(Kind::Shrink, work).await
    }

    /// Writes down how an attempt went, and gives the next one of the lane its turn when this one is at its end. Answers `false` when it does not
    /// wait any more.
    pub async fn settle_delivery(
        &self,
        delivery: &Delivery,
        settlement: Settlement,
        status: Option<u16>,
        error: Option<&str>,
        at: Timestamp,
    ) -> Result<bool> {
        let (delivery, error) = (delivery.clone(), error.map(str::to_owned));
        let work = move |tx: &mut Tx<'_>| {
            let (state, next, finished) = match settlement {
                Settlement::Done => (1_i64, None, Some(at)),
                Settlement::Parked => (2, None, Some(at)),
                Settlement::Again(next) => (0, Some(next), None),
            };
            take_turn(tx, &delivery.webhook)?;
            let sql = "UPDATE deliveries SET state = $1, next_at = $2, status = $3, error = $4, attempted_at = $5, finished_at = $6
                       WHERE id = $7 AND state = 0";
            let status = status.map(i64::from);
            if tx.execute(sql, values![state, next, status, error.as_deref(), at, finished, delivery.id])? == 0 {
                return Ok(false);
            }
            if next.is_none() {
                pass_on(tx, &delivery.webhook, &delivery.lane, at)?;
            }
            Ok(true)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Deliveries of a webhook, in this state or any, before this id, the newest first.
    pub async fn deliveries(
        &self,
        webhook: &str,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Delivery>> {
        let (webhook, before) = (webhook.to_owned(), before.unwrap_or(i64::MAX));
        let work = move |tx: &mut Tx<'_>| {
            let rows = match state {
                None => {
                    let sql = "SELECT id, webhook, message, lane, payload, state, attempts, next_at, status, error, created_at, attempted_at, finished_at
                               FROM deliveries WHERE webhook = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
                    tx.rows(sql, values![&webhook, before, limit + 1], delivery)?
                }
                Some(state) => {
                    let sql = "SELECT id, webhook, message, lane, payload, state, attempts, next_at, status, error, created_at, attempted_at, finished_at
                               FROM deliveries WHERE webhook = $1 AND state = $2 AND id < $3 ORDER BY id DESC LIMIT $4";
                    tx.rows(sql, values![&webhook, number(state), before, limit + 1], delivery)?
                }
            };
            Ok(page(rows, limit))
        };
        self.engine().read(Kind::Read, work).await
    }

    /// A delivery of a webhook.
    pub async fn delivery(&self, webhook: &str, id: i64) -> Result<Option<Delivery>> {
        let webhook = webhook.to_owned();
        let sql = "SELECT id, webhook, message, lane, payload, state, attempts, next_at, status, error, created_at, attempted_at, finished_at
                   FROM deliveries WHERE id = $1 AND webhook = $2";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![id, &webhook], delivery)).await
    }

    /// Makes a delivery again, at the end of its lane: one that was made is copied, one that was parked takes the new place, and one that waits is
    /// tried now if it is its turn. Answers the id that it has now, or nothing when there is no such delivery.
    pub async fn redeliver(&self, webhook: &str, id: i64, stamp: Stamp) -> Result<Option<i64>> {
        let webhook = webhook.to_owned();
        self.engine().write(Kind::Grow, move |tx| again(tx, &webhook, id, &stamp)).await
    }

    /// Removes deliveries that ended before this time; answers how many.
    pub async fn prune_deliveries(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM deliveries WHERE id IN
                   (SELECT id FROM deliveries WHERE finished_at IS NOT NULL AND finished_at < $1 ORDER BY finished_at LIMIT $2)";
        self.prune(move |tx| tx.execute(sql, values![before, PRUNED])).await
    }

    /// How many deliveries wait, and how many are parked.
    pub async fn delivery_backlog(&self) -> Result<(u64, u64)> {
        let sql = "SELECT (SELECT COUNT(*) FROM deliveries d WHERE d.webhook = w.name AND d.state = 0),
                     (SELECT COUNT(*) FROM deliveries d WHERE d.webhook = w.name AND d.state = 2)
                   FROM webhooks w WHERE name > '' ORDER BY name LIMIT $1";
        let work = move |tx: &mut Tx<'_>| {
            let counts = tx.rows(sql, values![DUE], |row| Ok((row.size(0)?, row.size(1)?)))?;
            Ok(counts.iter().fold((0, 0), |(waiting, parked), (more, given_up)| (waiting + more, parked + given_up)))
        };
        self.engine().read(Kind::Read, work).await
    }
}

/// Waits until nobody else adds to the webhook's lanes or ends something in them. Answers whether there is such a webhook.
fn take_turn(tx: &mut Tx<'_>, webhook: &str) -> Done<bool> {
    let sql = dialect!(tx, "SELECT 1 FROM webhooks WHERE name = $1", " FOR UPDATE");
    tx.any(sql, values![webhook])
}

/// Appends to a lane; with nobody before it, it is due at once. Answers its id.
fn insert(tx: &mut Tx<'_>, webhook: &str, new: &NewDelivery, at: Timestamp) -> Done<i64> {
    let others = "SELECT 1 FROM deliveries WHERE webhook = $1 AND lane = $2 AND state = 0 LIMIT 1";
    let next = (!tx.any(others, values![webhook, &new.lane])?).then_some(at);
    let sql = "INSERT INTO deliveries (webhook, message, lane, payload, state, attempts, next_at, created_at)
               VALUES ($1, $2, $3, $4, 0, 0, $5, $6) RETURNING id";
    let id = tx.row(sql, values![webhook, &new.message, &new.lane, &new.payload, next, at], |row| row.int(0))?;
    id.ok_or(Fault::Conflict("a delivery came and went"))
}

/// Gives the oldest that waits in a lane its turn.
fn pass_on(tx: &mut Tx<'_>, webhook: &str, lane: &str, at: Timestamp) -> Done<()> {
    let sql = "UPDATE deliveries SET next_at = $1 WHERE id =
               (SELECT MIN(id) FROM deliveries WHERE webhook = $2 AND lane = $3 AND state = 0) AND next_at IS NULL";
    tx.execute(sql, values![at, webhook, lane])?;
    Ok(())
}

fn claim(tx: &mut Tx<'_>, webhook: &str, now: Timestamp, lease_until: Timestamp, limit: usize) -> Done<Vec<Delivery>> {
    let sql = match tx {
        Tx::Sqlite(_) => {
            "UPDATE deliveries SET next_at = $1, attempts = attempts + 1, status = NULL, error = NULL WHERE id IN
             (SELECT id FROM deliveries WHERE webhook = $2 AND next_at <= $3 ORDER BY next_at LIMIT $4)
             RETURNING id, webhook, message, lane, payload, state, attempts, next_at, status, error, created_at, attempted_at, finished_at"
        }
        Tx::Postgres(_) => {
            "WITH due AS MATERIALIZED
             (SELECT id FROM deliveries WHERE webhook = $2 AND next_at <= $3 ORDER BY next_at LIMIT $4 FOR UPDATE SKIP LOCKED)
             UPDATE deliveries SET next_at = $1, attempts = attempts + 1, status = NULL, error = NULL WHERE id IN (SELECT id FROM due)
             RETURNING id, webhook, message, lane, payload, state, attempts, next_at, status, error, created_at, attempted_at, finished_at"
        }
    };
    let mut claimed = tx.rows(sql, values![lease_until, webhook, now, limit], delivery)?;
    claimed.sort_by_key(|delivery| delivery.id);
    Ok(claimed)
}

fn again(tx: &mut Tx<'_>, webhook: &str, id: i64, stamp: &Stamp) -> Done<Option<i64>> {
    take_turn(tx, webhook)?;
    let sql = "SELECT id, webhook, message, lane, payload, state, attempts, next_at, status, error, created_at, attempted_at, finished_at
               FROM deliveries WHERE id = $1 AND webhook = $2";
    let Some(old) = tx.row(sql, values![id, webhook], delivery)? else { return Ok(None) };
    outbox::record(tx, "webhook.redelivered", None, &json!({ "name": webhook, "delivery": id }), stamp)?;
    if old.state == DeliveryState::Waiting {
        // One without an error is under way, or due.
        let sql = "UPDATE deliveries SET next_at = $1 WHERE id = $2 AND next_at IS NOT NULL AND error IS NOT NULL";
        tx.execute(sql, values![stamp.at, id])?;
        return Ok(Some(id));
    }
    if old.state == DeliveryState::Parked {
        tx.execute("DELETE FROM deliveries WHERE id = $1", values![id])?;
    }
    let new = NewDelivery { message: old.message, lane: old.lane, payload: old.payload };
    insert(tx, webhook, &new, stamp.at).map(Some)
}

fn number(state: DeliveryState) -> i64 {
    match state {
        DeliveryState::Waiting => 0,
        DeliveryState::Done => 1,
        DeliveryState::Parked => 2,
    }
}

fn delivery(row: &Row<'_>) -> Done<Delivery> {
    Ok(Delivery {
        id: row.int(0)?,
        webhook: row.text(1)?,
        message: row.text(2)?,
        lane: row.text(3)?,
        payload: row.text(4)?,
        state: match row.int(5)? {
            0 => DeliveryState::Waiting,
            1 => DeliveryState::Done,
            2 => DeliveryState::Parked,
            number => return Err(unreadable("state of a delivery", number)),
        },
        attempts: u32::try_from(row.int(6)?).unwrap_or(u32::MAX),
        next: row.opt_time(7)?,
        status: row.opt_int(8)?.and_then(|status| u16::try_from(status).ok()),
        error: row.opt_text(9)?,
        created: row.time(10)?,
        attempted: row.opt_time(11)?,
        finished: row.opt_time(12)?,
    })
}
