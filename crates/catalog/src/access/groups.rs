//! Groups and who is in them.

use std::collections::BTreeSet;

use serde_json::json;

use super::{changed, grants};
use crate::engine::{Done, Kind, Row, Tx, values};
use crate::model::access::{Group, Subject};
use crate::model::{Page, Stamp};
use crate::page::page;
use crate::{Catalog, Result};

/// How many groups of one user count.
const GROUPS: usize = 1_000;

impl Catalog {
    /// Makes a group. Answers `false` when there is one of this name.
    pub async fn create_group(&self, group: Group, stamp: Stamp) -> Result<bool> {
        let work = move |tx: &mut Tx<'_>| {
            let sql = "INSERT INTO user_groups (name, description) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
            let made = tx.execute(sql, values![&group.name, &group.description])? > 0;
            if made {
                changed(tx, "group.created", None, &json!({ "name": group.name }), &stamp)?;
            }
            Ok(made)
        };
        self.change(Kind::Grow, work).await
    }

    /// The group of this name.
    pub async fn group(&self, name: &str) -> Result<Option<Group>> {
        let name = name.to_owned();
        let sql = "SELECT name, description FROM user_groups WHERE name = $1";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![&name], read)).await
    }

    /// Groups after this name, in order.
    pub async fn groups(&self, after: Option<&str>, limit: usize) -> Result<Page<Group>> {
        let after = after.unwrap_or_default().to_owned();
        let sql = "SELECT name, description FROM user_groups WHERE name > $1 ORDER BY name LIMIT $2";
        let work = move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![&after, limit + 1], read)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// Describes a group anew. Answers `false` when there is none.
    pub async fn set_group(&self, name: &str, description: &str, stamp: Stamp) -> Result<bool> {
        let (name, description) = (name.to_owned(), description.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let sql = "UPDATE user_groups SET description = $1 WHERE name = $2";
            let found = tx.execute(sql, values![&description, &name])? > 0;
            if found {
                changed(tx, "group.changed", None, &json!({ "name": name }), &stamp)?;
            }
            Ok(found)
        };
        self.change(Kind::Shrink, work).await
    }

    /// Removes a group with its memberships and grants. Answers `false` when there is none.
    pub async fn remove_group(&self, name: &str, stamp: Stamp) -> Result<bool> {
        let name = name.to_owned();
        let work = move |tx: &mut Tx<'_>| {
            tx.execute("DELETE FROM group_members WHERE group_name = $1", values![&name])?;
            if tx.execute("DELETE FROM user_groups WHERE name = $1", values![&name])? == 0 {
                return Ok(false);
            }
            grants::remove_all(tx, &Subject::Group(name.clone()))?;
            changed(tx, "group.removed", None, &json!({ "name": name }), &stamp)?;
            Ok(true)
        };
        self.change(Kind::Shrink, work).await
    }

    /// Puts a user into a group; users of a password file or a directory need no row of their own. Answers `false` when there is no such group.
    pub async fn add_member(&self, group: &str, user: &str, stamp: Stamp) -> Result<bool> {
        let (group, user) = (group.to_owned(), user.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            if !exists(tx, &group)? {
                return Ok(false);
            }
            let sql = "INSERT INTO group_members (group_name, user_name, external) VALUES ($1, $2, 0)
                       ON CONFLICT (group_name, user_name) DO UPDATE SET external = 0";
            tx.execute(sql, values![&group, &user])?;
            changed(tx, "group.member-added", None, &json!({ "name": group, "user": user }), &stamp)?;
            Ok(true)
        };
        self.change(Kind::Grow, work).await
    }

    /// Takes a user out of a group. Answers whether it was in it.
    pub async fn remove_member(&self, group: &str, user: &str, stamp: Stamp) -> Result<bool> {
        let (group, user) = (group.to_owned(), user.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let sql = "DELETE FROM group_members WHERE group_name = $1 AND user_name = $2";
            let found = tx.execute(sql, values![&group, &user])? > 0;
            if found {
                changed(tx, "group.member-removed", None, &json!({ "name": group, "user": user }), &stamp)?;
            }
            Ok(found)
        };
        self.change(Kind::Shrink, work).await
    }

    /// The names of a group's members after this one, in order. `None`: there is no such group.
    pub async fn members(&self, group: &str, after: Option<&str>, limit: usize) -> Result<Option<Page<String>>> {
        let (group, after) = (group.to_owned(), after.unwrap_or_default().to_owned());
        let work = move |tx: &mut Tx<'_>| {
            if !exists(tx, &group)? {
                return Ok(None);
            }
            let sql = "SELECT user_name FROM group_members WHERE group_name = $1 AND user_name > $2 ORDER BY user_name LIMIT $3";
            Ok(Some(page(tx.rows(sql, values![&group, &after, limit + 1], |row| row.text(0))?, limit)))
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// The groups that a user is in; at most a thousand.
    pub async fn groups_of(&self, user: &str) -> Result<Vec<String>> {
        let user = user.to_owned();
        let sql = "SELECT group_name FROM group_members WHERE user_name = $1 ORDER BY group_name LIMIT $2";
        self.engine().read(Kind::Read, move |tx| tx.rows(sql, values![&user, GROUPS], |row| row.text(0))).await
    }

    /// Makes the user's memberships that a directory or an identity provider states exactly these, where there are such groups: what is not stated
    /// any more ends. Those that were made here stay. Answers whether anything changed.
    pub async fn set_external_groups(&self, user: &str, groups: &[String], stamp: Stamp) -> Result<bool> {
        let (user, groups) = (user.to_owned(), groups.iter().cloned().collect());
        self.change(Kind::Grow, move |tx| set_external(tx, &user, &groups, &stamp)).await
    }
}

fn read(row: &Row<'_>) -> Done<Group> {
    Ok(Group { name: row.text(0)?, description: row.text(1)? })
}

fn exists(tx: &mut Tx<'_>, group: &str) -> Done<bool> {
    tx.any("SELECT 1 FROM user_groups WHERE name = $1", values![group])
}

fn set_external(tx: &mut Tx<'_>, user: &str, groups: &BTreeSet<String>, stamp: &Stamp) -> Done<bool> {
    let sql = "SELECT group_name, external FROM group_members WHERE user_name = $1";
    let before = tx.rows(sql, values![user], |row| Ok((row.text(0)?, row.flag(1)?)))?;
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for (group, _) in before.iter().filter(|(group, external)| *external && !groups.contains(group)) {
        tx.execute("DELETE FROM group_members WHERE group_name = $1 AND user_name = $2", values![group, user])?;
        removed.push(group);
    }
    for group in groups.iter().filter(|group| before.iter().all(|(known, _)| known != *group)).take(GROUPS) {
        if exists(tx, group)? {
            let sql = "INSERT INTO group_members (group_name, user_name, external) VALUES ($1, $2, 1)";
            tx.execute(sql, values![group, user])?;
            added.push(group);
        }
    }
    if added.is_empty() && removed.is_empty() {
        return Ok(false);
    }
    let payload = json!({ "user": user, "added": added, "removed": removed });
    changed(tx, "group.members-stated", None, &payload, stamp)?;
    Ok(true)
}
