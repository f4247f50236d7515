//! Robots: accounts for machines.

use serde_json::json;

use super::{changed, grants, patterns, tokens};
use crate::engine::{Done, Kind, Row, Tx, values};
use crate::model::access::{NewRobot, Robot, RobotChange, Subject};
use crate::model::{Page, Stamp};
use crate::page::page;
use crate::{Catalog, Result};

impl Catalog {
    /// Makes a robot. Answers `false` when there is one of this name.
    pub async fn create_robot(&self, robot: NewRobot, stamp: Stamp) -> Result<bool> {
        self.change(Kind::Grow, move |tx| create(tx, &robot, &stamp)).await
    }

    /// The robot of this name.
    pub async fn robot(&self, name: &str) -> Result<Option<Robot>> {
        let name = name.to_owned();
        self.engine().read(Kind::Read, move |tx| find(tx, &name)).await
    }

    /// Robots after this name, in order.
    pub async fn robots(&self, after: Option<&str>, limit: usize) -> Result<Page<Robot>> {
        let after = after.unwrap_or_default().to_owned();
        let sql = "SELECT name, pattern, description, disabled, created_at, created_by, last_seen FROM robots
                   WHERE name > $1 ORDER BY name LIMIT $2";
        let work = move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![&after, limit + 1], read)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// Changes a robot. Answers `false` when there is none.
    pub async fn set_robot(&self, name: &str, change: RobotChange, stamp: Stamp) -> Result<bool> {
        let name = name.to_owned();
        self.change(Kind::Shrink, move |tx| set(tx, &name, &change, &stamp)).await
    }

    /// Removes a robot with its grants and tokens. Answers `false` when there is none.
    pub async fn remove_robot(&self, name: &str, stamp: Stamp) -> Result<bool> {
        let name = name.to_owned();
        self.change(Kind::Shrink, move |tx| remove(tx, &name, &stamp)).await
    }
}

fn find(tx: &mut Tx<'_>, name: &str) -> Done<Option<Robot>> {
    let sql =
        "SELECT name, pattern, description, disabled, created_at, created_by, last_seen FROM robots WHERE name = $1";
    tx.row(sql, values![name], read)
}

fn read(row: &Row<'_>) -> Done<Robot> {
    Ok(Robot {
        name: row.text(0)?,
        pattern: row.parsed(1, "repository pattern")?,
        description: row.text(2)?,
        disabled: row.flag(3)?,
        created: row.time(4)?,
        created_by: row.text(5)?,
        last_seen: row.opt_time(6)?,
    })
}

fn create(tx: &mut Tx<'_>, robot: &NewRobot, stamp: &Stamp) -> Done<bool> {
    let sql = "INSERT INTO robots (name, pattern, description, disabled, created_at, created_by) VALUES ($1, $2, $3, 0, $4, $5)
               ON CONFLICT (name) DO NOTHING";
    let row = values![&robot.name, &robot.pattern, &robot.description, stamp.at, &stamp.identity];
    if tx.execute(sql, row)? == 0 {
        return Ok(false);
    }
    patterns::set_uses(tx, &format!("robot:{}", robot.name), [&robot.pattern])?;
    let payload = json!({ "name": robot.name, "pattern": robot.pattern });
    changed(tx, "robot.created", None, &payload, stamp)?;
    Ok(true)
}

fn set(tx: &mut Tx<'_>, name: &str, change: &RobotChange, stamp: &Stamp) -> Done<bool> {
    let Some(robot) = find(tx, name)? else { return Ok(false) };
    let pattern = change.pattern.as_ref().unwrap_or(&robot.pattern);
    let description = change.description.as_ref().unwrap_or(&robot.description);
    let disabled = change.disabled.unwrap_or(robot.disabled);
    let sql = "UPDATE robots SET pattern = $1, description = $2, disabled = $3 WHERE name = $4";
    tx.execute(sql, values![pattern, description, disabled, name])?;
    patterns::set_uses(tx, &format!("robot:{name}"), [pattern])?;
    let payload = json!({ "name": name, "pattern": change.pattern, "disabled": change.disabled });
    changed(tx, "robot.changed", None, &payload, stamp)?;
    Ok(true)
}

fn remove(tx: &mut Tx<'_>, name: &str, stamp: &Stamp) -> Done<bool> {
    if tx.execute("DELETE FROM robots WHERE name = $1", values![name])? == 0 {
        return Ok(false);
    }
    let identity = format!("robot:{name}");
    patterns::set_uses(tx, &identity, [])?;
    tokens::remove_all(tx, &identity)?;
    grants::remove_all(tx, &Subject::Robot(name.to_owned()))?;
    changed(tx, "robot.removed", None, &json!({ "name": name }), stamp)?;
    Ok(true)
}
