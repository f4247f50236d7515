//! Trusts: whose assertions are taken for what.

use std::time::Duration;

use serde_json::json;

use super::tokens::patterns_text;
use super::{changed, patterns};
use crate::engine::{Done, Kind, Row, Tx, values};
use crate::model::access::Trust;
use crate::model::{Page, Stamp};
use crate::page::page;
use crate::{Catalog, Result};

/// How many trusts of one issuer count.
const TRUSTS: usize = 1_000;

impl Catalog {
    /// Makes a trust. Answers `false` when there is one of this name.
    pub async fn create_trust(&self, trust: Trust, stamp: Stamp) -> Result<bool> {
        self.change(Kind::Grow, move |tx| create(tx, &trust, &stamp)).await
    }

    /// The trust of this name.
    pub async fn trust(&self, name: &str) -> Result<Option<Trust>> {
        let name = name.to_owned();
        let sql = "SELECT name, issuer, audience, conditions, actions, patterns, single_use, max_age, ttl, disabled, created_at, created_by
                   FROM trusts WHERE name = $1";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&name], read)).await
    }

    /// Trusts after this name, in order.
    pub async fn trusts(&self, after: Option<&str>, limit: usize) -> Result<Page<Trust>> {
        let after = after.unwrap_or_default().to_owned();
        let sql = "SELECT name, issuer, audience, conditions, actions, patterns, single_use, max_age, ttl, disabled, created_at, created_by
                   FROM trusts WHERE name > $1 ORDER BY name LIMIT $2";
        let work = move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![&after, limit + 1], read)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// The trusts of an issuer, in the order of their names; at most a thousand.
    pub async fn trusts_of(&self, issuer: &str) -> Result<Vec<Trust>> {
        let issuer = issuer.to_owned();
        let sql = "SELECT name, issuer, audience, conditions, actions, patterns, single_use, max_age, ttl, disabled, created_at, created_by
                   FROM trusts WHERE issuer = $1 ORDER BY name LIMIT $2";
        self.engine().read(Kind::Read, move |tx| tx.rows(sql, values![&issuer, TRUSTS], read)).await
    }

    /// Puts a trust in the place of the one of its name. Answers `false` when there is none.
    pub async fn set_trust(&self, trust: Trust, stamp: Stamp) -> Result<bool> {
        self.change(Kind::Shrink, move |tx| set(tx, &trust, &stamp)).await
    }

    /// Removes a trust. Answers `false` when there is none.
    pub async fn remove_trust(&self, name: &str, stamp: Stamp) -> Result<bool> {
        let name = name.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            if tx.execute("DELETE FROM trusts WHERE name = $1", values![&name])? == 0 {
                return Ok(false);
            }
            patterns::set_uses(tx, &owner(&name), [])?;
            changed(tx, "trust.removed", None, &json!({ "name": name }), &stamp)?;
            Ok(true)
        };
        self.change(Kind::Shrink, work).await
    }
}

fn owner(name: &str) -> String {
    format!("trust:{name}")
}

fn create(tx: &mut Tx<'_>, trust: &Trust, stamp: &Stamp) -> Done<bool> {
    let sql = "INSERT INTO trusts (name, issuer, audience, conditions, actions, patterns, single_use, max_age, ttl, disabled, created_at, created_by)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (name) DO NOTHING";
    let (conditions, patterns) = (json!(trust.conditions).to_string(), patterns_text(&trust.patterns));
    let actions = trust.actions.to_string();
    let row = values![
        &trust.name,
        &trust.issuer,
        &trust.audience,
        &conditions,
        &actions,
        &patterns,
        trust.single_use,
        trust.max_age.map(milliseconds),
        milliseconds(trust.ttl),
        trust.disabled,
        stamp.at,
        &stamp.identity
    ];
    if tx.execute(sql, row)? == 0 {
        return Ok(false);
    }
    patterns::set_uses(tx, &owner(&trust.name), &trust.patterns)?;
    changed(tx, "trust.created", None, &payload(trust), stamp)?;
    Ok(true)
}

fn set(tx: &mut Tx<'_>, trust: &Trust, stamp: &Stamp) -> Done<bool> {
    let sql =
        "UPDATE trusts SET issuer = $1, audience = $2, conditions = $3, actions = $4, patterns = $5, single_use = $6,
                 max_age = $7, ttl = $8, disabled = $9 WHERE name = $10";
    let (conditions, patterns) = (json!(trust.conditions).to_string(), patterns_text(&trust.patterns));
    let actions = trust.actions.to_string();
    let row = values![
        &trust.issuer,
        &trust.audience,
        &conditions,
        &actions,
        &patterns,
        trust.single_use,
        trust.max_age.map(milliseconds),
        milliseconds(trust.ttl),
        trust.disabled,
        &trust.name
    ];
    if tx.execute(sql, row)? == 0 {
        return Ok(false);
    }
    patterns::set_uses(tx, &owner(&trust.name), &trust.patterns)?;
    changed(tx, "trust.changed", None, &payload(trust), stamp)?;
    Ok(true)
}

fn payload(trust: &Trust) -> serde_json::Value {
    json!({
        "name": trust.name,
        "issuer": trust.issuer,
        "audience": trust.audience,
        "conditions": trust.conditions,
        "actions": trust.actions,
        "patterns": trust.patterns,
        "disabled": trust.disabled,
    })
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn read(row: &Row<'_>) -> Done<Trust> {
    let max_age = row.opt_int(7)?.map(|_| row.size(7)).transpose()?;
    Ok(Trust {
        name: row.text(0)?,
        issuer: row.text(1)?,
        audience: row.text(2)?,
        conditions: row.json(3, "list of conditions")?,
        actions: row.parsed(4, "set of actions")?,
        patterns: row.json(5, "list of patterns")?,
        single_use: row.flag(6)?,
        max_age: max_age.map(Duration::from_millis),
        ttl: Duration::from_millis(row.size(8)?),
        disabled: row.flag(9)?,
        created: row.time(10)?,
        created_by: row.text(11)?,
    })
}
