//! The keys that bearer tokens are signed with, sealed.

use serde_json::json;

use super::changed;
use crate::engine::{Done, Kind, Row, Tx, values};
use crate::model::Stamp;
use crate::model::access::SigningKey;
use crate::{Catalog, Result};

/// How many keys there can be.
const KEYS: usize = 100;

impl Catalog {
    /// Every key that may verify, in the order of their ids; at most a hundred.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>> {
        let sql = "SELECT id, sealed, created_at, retired_at FROM signing_keys ORDER BY id LIMIT $1";
        self.engine().read(Kind::Read, move |tx| tx.rows(sql, values![KEYS], read)).await
    }

    /// Stores a key, unless one that still signs is there already and `only` asks for that: of two processes that find none, one makes it. Answers
    /// whether it was stored.
    pub async fn add_signing_key(&self, id: &str, sealed: &[u8], only: bool, stamp: Stamp) -> Result<bool> {
        let (id, sealed) = (id.to_owned(), sealed.to_vec());
        let work = move |tx: &mut Tx<'_>| {
            let sql = "SELECT id, retired_at FROM signing_keys ORDER BY id LIMIT $1";
            let keys = tx.rows(sql, values![KEYS], |row| Ok((row.text(0)?, row.opt_time(1)?)))?;
            if keys.len() == KEYS || keys.iter().any(|(known, retired)| *known == id || (only && retired.is_none())) {
                return Ok(false);
            }
            let sql = "INSERT INTO signing_keys (id, sealed, created_at) VALUES ($1, $2, $3)";
            tx.execute(sql, values![&id, &sealed[..], stamp.at])?;
            changed(tx, "signing-key.added", None, &json!({ "id": id }), &stamp)?;
            Ok(true)
        };
        self.change(Kind::Grow, work).await
    }

    /// From now on a key only verifies. Answers whether it signed until now.
    pub async fn retire_signing_key(&self, id: &str, stamp: Stamp) -> Result<bool> {
        let id = id.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            let sql = "UPDATE signing_keys SET retired_at = $1 WHERE id = $2 AND retired_at IS NULL";
            let found = tx.execute(sql, values![stamp.at, &id])? > 0;
            if found {
                changed(tx, "signing-key.retired", None, &json!({ "id": id }), &stamp)?;
            }
            Ok(found)
        };
        self.change(Kind::Shrink, work).await
    }

    /// Removes a key: what it signed is refused from now on. Answers whether it was there.
    pub async fn remove_signing_key(&self, id: &str, stamp: Stamp) -> Result<bool> {
        let id = id.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            let found = tx.execute("DELETE FROM signing_keys WHERE id = $1", values![&id])? > 0;
            if found {
                changed(tx, "signing-key.removed", None, &json!({ "id": id }), &stamp)?;
            }
            Ok(found)
        };
        self.change(Kind::Shrink, work).await
    }
}

fn read(row: &Row<'_>) -> Done<SigningKey> {
    Ok(SigningKey { id: row.text(0)?, sealed: row.bytes(1)?, created: row.time(2)?, retired: row.opt_time(3)? })
}
