//! Invitations: links with which somebody chooses the password of an account, once.

use jiff::Timestamp;
use serde_json::json;

use super::changed;
use crate::engine::{Done, Kind, Row, Tx, values};
use crate::model::Stamp;
use crate::model::access::Invitation;
use crate::{Catalog, Result};

impl Catalog {
    /// Stores an invitation under the hash of its secret, in the place of an earlier one. Answers `false` when there is no such user.
    pub async fn add_invitation(&self, hash: &[u8; 32], invitation: Invitation, stamp: Stamp) -> Result<bool> {
        let hash = *hash;
        let work = move |tx: &mut Tx<'_>| {
            if !tx.any("SELECT 1 FROM users WHERE name = $1", values![&invitation.user])? {
                return Ok(false);
            }
            tx.execute("DELETE FROM invitations WHERE user_name = $1", values![&invitation.user])?;
            let sql = "INSERT INTO invitations (hash, user_name, expires_at) VALUES ($1, $2, $3)";
            tx.execute(sql, values![&hash[..], &invitation.user, invitation.expires])?;
            let payload = json!({ "name": invitation.user, "expires": invitation.expires.to_string() });
            changed(tx, "user.invited", None, &payload, &stamp)?;
            Ok(true)
        };
        self.change(Kind::Grow, work).await
    }

    /// The invitation under this hash that has not ended.
    pub async fn invitation(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<Invitation>> {
        let hash = *hash;
        let sql = "SELECT user_name, expires_at FROM invitations WHERE hash = $1 AND expires_at > $2";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&hash[..], now], read)).await
    }

    /// Sets the password of the invited user, as a PHC string, and ends the invitation. Answers the user, or `None` when the invitation has ended.
    pub async fn accept_invitation(&self, hash: &[u8; 32], password: &str, stamp: Stamp) -> Result<Option<String>> {
        let (hash, password) = (*hash, password.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let sql = "DELETE FROM invitations WHERE hash = $1 AND expires_at > $2 RETURNING user_name, expires_at";
            let Some(invitation) = tx.row(sql, values![&hash[..], stamp.at], read)? else { return Ok(None) };
            let sql = "UPDATE users SET password = $1, revision = revision + 1 WHERE name = $2";
            tx.execute(sql, values![&password, &invitation.user])?;
            changed(tx, "user.joined", None, &json!({ "name": invitation.user }), &stamp)?;
            Ok(Some(invitation.user))
        };
        self.change(Kind::Shrink, work).await
    }
}

fn read(row: &Row<'_>) -> Done<Invitation> {
    Ok(Invitation { user: row.text(0)?, expires: row.time(1)? })
}
