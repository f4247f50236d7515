//! Logins to the pages, under the hashes of their secrets.

use jiff::Timestamp;

use crate::engine::{Done, Kind, Row, Tx, values};
use crate::model::access::Session;
use crate::{Catalog, Result};

impl Catalog {
    /// Begins a session.
    pub async fn create_session(&self, hash: &[u8; 32], session: Session) -> Result<()> {
        let hash = *hash;
        let work = move |tx: &mut Tx<'_>| {
            let sql =
                "INSERT INTO sessions (hash, identity, credential, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)";
            let Session { identity, credential, created, expires } = &session;
            tx.execute(sql, values![&hash[..], identity, credential, *created, *expires])?;
            Ok(())
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// The session under this hash that has not ended.
    pub async fn session(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Session>> {
        let hash = *hash;
        let sql =
            "SELECT identity, credential, created_at, expires_at FROM sessions WHERE hash = $1 AND expires_at > $2";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&hash[..], now], read)).await
    }

    /// Ends a session. Answers whether it was there.
    pub async fn remove_session(&self, hash: &[u8; 32]) -> Result<bool> {
        let hash = *hash;
        let sql = "DELETE FROM sessions WHERE hash = $1";
        self.engine().write(Kind::Shrink, move |tx| Ok(tx.execute(sql, values![&hash[..]])? > 0)).await
    }
}

fn read(row: &Row<'_>) -> Done<Session> {
    Ok(Session { identity: row.text(0)?, credential: row.text(1)?, created: row.time(2)?, expires: row.time(3)? })
}
