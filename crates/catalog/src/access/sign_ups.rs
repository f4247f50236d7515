//! Sign-ups: mail addresses whose owners asked for an account, and the link that each has to open.

use jiff::Timestamp;
use serde_json::json;

use super::users;
use crate::engine::{Done, Kind, Row, Tx, values};
use crate::model::Stamp;
use crate::model::access::{ConfirmSignUp, CreateUser, NewUser, SignUp, UserSource};
use crate::outbox;
use crate::{Catalog, Result};

impl Catalog {
    /// Stores a sign-up under the hash of its link's secret, in the place of an earlier one of the same address.
    pub async fn add_sign_up(&self, hash: &[u8; 32], sign_up: SignUp, stamp: Stamp) -> Result<()> {
        let hash = *hash;
        let work = move |tx: &mut Tx<'_>| {
            tx.execute("DELETE FROM sign_ups WHERE email = $1", values![&sign_up.email])?;
            let sql = "INSERT INTO sign_ups (hash, email, name, expires_at) VALUES ($1, $2, $3, $4)";
            tx.execute(sql, values![&hash[..], &sign_up.email, &sign_up.name, sign_up.expires])?;
            // No decision that is kept depends on it, and strangers do not count the version up.
            outbox::record(tx, "signup.asked", None, &json!({ "name": sign_up.name }), &stamp)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// The sign-up under this hash that has not ended.
    pub async fn sign_up(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<SignUp>> {
        let hash = *hash;
        let sql = "SELECT email, name, expires_at FROM sign_ups WHERE hash = $1 AND expires_at > $2";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&hash[..], now], read)).await
    }

    /// Makes the user of a sign-up, with this password as a PHC string, and ends it. It never makes the first user, who would be an administrator.
    pub async fn confirm_sign_up(&self, hash: &[u8; 32], password: &str, stamp: Stamp) -> Result<ConfirmSignUp> {
        let (hash, password) = (*hash, password.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            if !tx.any("SELECT 1 FROM users LIMIT 1", values![])? {
                return Ok(ConfirmSignUp::Ended);
            }
            let sql = "DELETE FROM sign_ups WHERE hash = $1 AND expires_at > $2 RETURNING email, name, expires_at";
            let Some(sign_up) = tx.row(sql, values![&hash[..], stamp.at], read)? else {
                return Ok(ConfirmSignUp::Ended);
            };
            let user = NewUser {
                name: sign_up.name.clone(),
                password: Some(password.clone()),
                email: Some(sign_up.email),
                source: UserSource::SignUp,
                ..NewUser::default()
            };
            Ok(match users::create(tx, &user, &stamp)? {
                CreateUser::Created { .. } => ConfirmSignUp::Created(sign_up.name),
                CreateUser::Exists | CreateUser::NameTaken(_) => ConfirmSignUp::NameTaken(sign_up.name),
            })
        };
        self.change(Kind::Grow, work).await
    }
}

fn read(row: &Row<'_>) -> Done<SignUp> {
    Ok(SignUp { email: row.text(0)?, name: row.text(1)?, expires: row.time(2)? })
}
