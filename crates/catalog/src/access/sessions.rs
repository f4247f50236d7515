//! Logins to the pages, under the hashes of their secrets.

use jiff::Timestamp;
use serde_json::json;

use super::changed;
use crate::engine::{Done, Kind, Row, Tx, values};
use crate::model::access::Session;
use crate::model::{Page, Stamp};
use crate::outbox;
use crate::page::page;
use crate::{Catalog, Result};

/// Sessions of one identity: the oldest ends when there is another one.
const MOST: usize = 50;

impl Catalog {
    /// Begins a session.
    pub async fn create_session(&self, hash: &[u8; 32], session: Session, stamp: Stamp) -> Result<()> {
        let hash = *hash;
        let work = move |tx: &mut Tx<'_>| {
            let sql = "DELETE FROM sessions WHERE identity = $1 AND id IN
                       (SELECT id FROM sessions WHERE identity = $1 ORDER BY id DESC LIMIT 1000 OFFSET $2)";
            tx.execute(sql, values![&session.identity, MOST - 1])?;
            let sql = "INSERT INTO sessions (hash, id, identity, credential, revision, address, agent, created_at, expires_at)
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
            let Session { id, identity, credential, revision, address, agent, created, expires } = &session;
            let row =
                values![&hash[..], id, identity, credential, *revision, address.as_deref(), agent, *created, *expires];
            tx.execute(sql, row)?;
            // No decision that is kept depends on a session that was not there.
            outbox::record(tx, "session.begun", None, &json!({ "id": id, "name": identity }), &stamp)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// The session under this hash that has not ended.
    pub async fn session(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Session>> {
        let hash = *hash;
        let sql = "SELECT id, identity, credential, revision, address, agent, created_at, expires_at
                   FROM sessions WHERE hash = $1 AND expires_at > $2";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&hash[..], now], read)).await
    }

    /// The session of this id.
    pub async fn session_of_id(&self, id: &str) -> Result<Option<Session>> {
        let id = id.to_owned();
        let sql = "SELECT id, identity, credential, revision, address, agent, created_at, expires_at
                   FROM sessions WHERE id = $1";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&id], read)).await
    }

    /// An identity's sessions after this id, in the order in which they began.
    pub async fn sessions(
        &self,
        identity: &str,
        now: Timestamp,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Session>> {
        let (identity, after) = (identity.to_owned(), after.unwrap_or_default().to_owned());
        let sql = "SELECT id, identity, credential, revision, address, agent, created_at, expires_at
                   FROM sessions WHERE identity = $1 AND id > $2 AND expires_at > $3 ORDER BY id LIMIT $4";
        let work =
            move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![&identity, &after, now, limit + 1], read)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// Ends a session. Answers whether it was there.
    pub async fn remove_session(&self, id: &str, stamp: Stamp) -> Result<bool> {
        let id = id.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            let sql = "DELETE FROM sessions WHERE id = $1 RETURNING identity";
            let Some(identity) = tx.row(sql, values![&id], |row| row.text(0))? else { return Ok(false) };
            changed(tx, "session.ended", None, &json!({ "id": id, "name": identity }), &stamp)?;
            Ok(true)
        };
        self.change(Kind::Shrink, work).await
    }
}

fn read(row: &Row<'_>) -> Done<Session> {
    Ok(Session {
        id: row.text(0)?,
        identity: row.text(1)?,
        credential: row.text(2)?,
        revision: row.int(3)?,
        address: row.opt_text(4)?,
        agent: row.text(5)?,
        created: row.time(6)?,
        expires: row.time(7)?,
    })
}
