//! Tokens: only their hashes and what they are limited to.

use jiff::Timestamp;
use larder_oci::RepositoryPattern;
use serde_json::json;

use super::changed;
use crate::engine::{Done, Kind, Row, Tx, unreadable, values};
use crate::model::access::{NewToken, Token, TokenKind};
use crate::model::{Page, Stamp};
use crate::page::page;
use crate::{Catalog, Result};

impl Catalog {
    /// Stores a token. Answers `false` when its id or its hash is there already. A refresh token is no change of rights and stands in no audit.
    pub async fn create_token(&self, token: NewToken, stamp: Stamp) -> Result<bool> {
        if token.kind == TokenKind::Refresh {
            return self.engine().write(Kind::Grow, move |tx| insert(tx, &token, &stamp)).await;
        }
        let work = move |tx: &mut Tx<'_>| {
            let made = insert(tx, &token, &stamp)?;
            if made {
                let payload = json!({
                    "id": token.id,
                    "owner": token.owner,
                    "name": token.name,
                    "actions": token.actions,
                    "patterns": token.patterns,
                    "expires": token.expires.map(|at| at.to_string()),
                });
                changed(tx, "token.created", None, &payload, &stamp)?;
            }
            Ok(made)
        };
        self.change(Kind::Grow, work).await
    }

    /// The token with this hash, whether it still holds or not.
    pub async fn token_by_hash(&self, hash: &[u8; 32]) -> Result<Option<Token>> {
        let hash = *hash;
        let sql =
            "SELECT id, kind, owner, name, actions, patterns, parent, created_at, expires_at, last_used, revoked_at
                   FROM tokens WHERE hash = $1";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&hash[..]], read)).await
    }

    /// The token of this id.
    pub async fn token(&self, id: &str) -> Result<Option<Token>> {
        let id = id.to_owned();
        let sql =
            "SELECT id, kind, owner, name, actions, patterns, parent, created_at, expires_at, last_used, revoked_at
                   FROM tokens WHERE id = $1";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&id], read)).await
    }

    /// Access tokens of one owner, or of all, after this id, in the order of their ids.
    pub async fn tokens(&self, owner: Option<&str>, after: Option<&str>, limit: usize) -> Result<Page<Token>> {
        let (owner, after) = (owner.map(str::to_owned), after.unwrap_or_default().to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let found = match &owner {
                Some(owner) => {
                    let sql = "SELECT id, kind, owner, name, actions, patterns, parent, created_at, expires_at, last_used, revoked_at
                               FROM tokens WHERE owner = $1 AND kind = 0 AND id > $2 ORDER BY id LIMIT $3";
                    tx.rows(sql, values![owner, &after, limit + 1], read)?
                }
                None => {
                    let sql = "SELECT id, kind, owner, name, actions, patterns, parent, created_at, expires_at, last_used, revoked_at
                               FROM tokens WHERE kind = 0 AND id > $1 ORDER BY id LIMIT $2";
                    tx.rows(sql, values![&after, limit + 1], read)?
                }
            };
            Ok(page(found, limit))
        };
        self.engine().read(Kind::Read, work).await
    }

    /// Ends a token, and the refresh tokens that were made with it. Answers `false` when there is none of this id that still held.
    pub async fn revoke_token(&self, id: &str, stamp: Stamp) -> Result<bool> {
        let id = id.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            let sql = "UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL RETURNING owner, name";
            let Some((owner, name)) = tx.row(sql, values![stamp.at, &id], |row| Ok((row.text(0)?, row.text(1)?)))?
            else {
                return Ok(false);
            };
            tx.execute("DELETE FROM tokens WHERE owner = $1 AND kind = 1 AND parent = $2", values![&owner, &id])?;
            changed(tx, "token.revoked", None, &json!({ "id": id, "owner": owner, "name": name }), &stamp)?;
            Ok(true)
        };
        self.change(Kind::Shrink, work).await
    }

    /// Notes when tokens were last used. No change of rights: nothing is audited.
    pub async fn tokens_used(&self, used: &[(String, Timestamp)]) -> Result<()> {
        let mut used = used.to_vec();
        used.sort();
        let work = move |tx: &mut Tx<'_>| {
            for (id, at) in &used {
                let sql = "UPDATE tokens SET last_used = $1 WHERE id = $2 AND (last_used IS NULL OR last_used < $1)";
                tx.execute(sql, values![*at, id])?;
            }
            Ok(())
        };
        self.engine().write(Kind::Shrink, work).await
    }
}

fn insert(tx: &mut Tx<'_>, token: &NewToken, stamp: &Stamp) -> Done<bool> {
    let sql = "INSERT INTO tokens (id, hash, kind, owner, name, actions, patterns, parent, created_at, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";
    let (actions, patterns) = (token.actions.to_string(), patterns_text(&token.patterns));
    let kind = match token.kind {
        TokenKind::Access => 0_i64,
        TokenKind::Refresh => 1,
    };
    let row = values![
        &token.id,
        &token.hash[..],
        kind,
        &token.owner,
        &token.name,
        &actions,
        &patterns,
        token.parent.as_deref(),
        stamp.at,
        token.expires
    ];
    Ok(tx.execute(sql, row)? > 0)
}

/// Patterns as a column holds them.
pub(super) fn patterns_text(patterns: &[RepositoryPattern]) -> String {
    json!(patterns).to_string()
}

/// Removes every token of an owner that goes. The caller says that something changed.
pub(super) fn remove_all(tx: &mut Tx<'_>, owner: &str) -> Done<()> {
    tx.execute("DELETE FROM tokens WHERE owner = $1", values![owner])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Done<Token> {
    Ok(Token {
        id: row.text(0)?,
        kind: match row.int(1)? {
            0 => TokenKind::Access,
            1 => TokenKind::Refresh,
            number => return Err(unreadable("kind of a token", number)),
        },
        owner: row.text(2)?,
        name: row.text(3)?,
        actions: row.parsed(4, "set of actions")?,
        patterns: row.json(5, "list of patterns")?,
        parent: row.opt_text(6)?,
        created: row.time(7)?,
        expires: row.opt_time(8)?,
        last_used: row.opt_time(9)?,
        revoked: row.opt_time(10)?,
    })
}
