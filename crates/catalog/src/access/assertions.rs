//! Assertions that may be taken once, and everything else that ends by itself.

use jiff::Timestamp;

use crate::engine::{Done, Kind, Tx, values};
use crate::outbox::PRUNED;
use crate::{Catalog, Result};

impl Catalog {
    /// Notes that an assertion was taken; it is kept until it could not be taken any more anyway. Answers `false` when it was taken before.
    pub async fn use_assertion(&self, issuer: &str, jti: &str, until: Timestamp) -> Result<bool> {
        let (issuer, jti) = (issuer.to_owned(), jti.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let sql = "INSERT INTO used_assertions (issuer, jti, until) VALUES ($1, $2, $3) ON CONFLICT (issuer, jti) DO NOTHING";
            Ok(tx.execute(sql, values![&issuer, &jti, until])? > 0)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// Removes what ended before this time: assertions, refresh tokens, invitations, sign-ups, sessions. Answers how many.
    pub async fn prune_ended(&self, before: Timestamp) -> Result<u64> {
        let mut total = self.prune(move |tx| prune_assertions(tx, before)).await?;
        let sql = "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE kind = 1 AND expires_at < $1 ORDER BY expires_at LIMIT $2)";
        total += self.prune(move |tx| tx.execute(sql, values![before, PRUNED])).await?;
        let sql = "DELETE FROM invitations WHERE hash IN (SELECT hash FROM invitations WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
        total += self.prune(move |tx| tx.execute(sql, values![before, PRUNED])).await?;
        let sql = "DELETE FROM sign_ups WHERE hash IN (SELECT hash FROM sign_ups WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
        total += self.prune(move |tx| tx.execute(sql, values![before, PRUNED])).await?;
        let sql = "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)";
        total += self.prune(move |tx| tx.execute(sql, values![before, PRUNED])).await?;
        Ok(total)
    }
}

fn prune_assertions(tx: &mut Tx<'_>, before: Timestamp) -> Done<u64> {
    let sql = "DELETE FROM used_assertions WHERE (issuer, jti) IN
               (SELECT issuer, jti FROM used_assertions WHERE until < $1 ORDER BY until LIMIT $2)";
    tx.execute(sql, values![before, PRUNED])
}
