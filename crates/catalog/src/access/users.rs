//! Users.

use jiff::Timestamp;
use larder_oci::RepositoryName;
use serde_json::json;

use super::{changed, grants, tokens};
use crate::engine::{Done, Kind, Row, Tx, unreadable, values};
use crate::model::access::{Changed, CreateUser, NewUser, Subject, User, UserChange, UserSource};
use crate::model::{Page, Stamp};
use crate::page::page;
use crate::{Catalog, Result};

/// What the makers of repositories under the name of a user that is gone are called from then on.
const FORMER: &str = "former user";

impl Catalog {
    /// Makes a user. The first of all is an administrator and takes its name whatever lies there, for it may see all of it anyway; a later one is
    /// refused a name at which, or under which, others made repositories (case 11).
    pub async fn create_user(&self, user: NewUser, stamp: Stamp) -> Result<CreateUser> {
        self.change(Kind::Grow, move |tx| create(tx, &user, &stamp)).await
    }

    /// The user of this name.
    pub async fn user(&self, name: &str) -> Result<Option<User>> {
        let name = name.to_owned();
        self.engine().read(Kind::Read, move |tx| find(tx, &name)).await
    }

    /// Users after this name, in order.
    pub async fn users(&self, after: Option<&str>, limit: usize) -> Result<Page<User>> {
        let after = after.unwrap_or_default().to_owned();
        let sql =
            "SELECT name, administrator, disabled, email, password, revision, created_at, last_seen, source FROM users
                   WHERE name > $1 ORDER BY name LIMIT $2";
        let work = move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![&after, limit + 1], read)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// Changes a user; never so that no enabled administrator is left.
    pub async fn set_user(&self, name: &str, change: UserChange, stamp: Stamp) -> Result<Changed> {
        let name = name.to_owned();
        self.change(Kind::Shrink, move |tx| set(tx, &name, &change, &stamp)).await
    }

    /// Removes a user with its grants, memberships, tokens, invitations and sessions; never the last enabled administrator. Repositories stay, and
    /// those under its name are nobody's: a later user of the name is refused while they lie there.
    pub async fn remove_user(&self, name: &str, stamp: Stamp) -> Result<Changed> {
        let name = name.to_owned();
        self.change(Kind::Shrink, move |tx| remove(tx, &name, &stamp)).await
    }

    /// Notes when identities (`user:NAME`, `robot:NAME`) last proved who they are. No change of rights: nothing is audited.
    pub async fn seen(&self, seen: &[(String, Timestamp)]) -> Result<()> {
        let mut seen = seen.to_vec();
        // In one order: two that note the same identities do not wait for each other in a circle.
        seen.sort();
        let work = move |tx: &mut Tx<'_>| {
            for (identity, at) in &seen {
                let (sql, name) = match identity.parse() {
                    Ok(Subject::User(name)) => (
                        "UPDATE users SET last_seen = $1 WHERE name = $2 AND (last_seen IS NULL OR last_seen < $1)",
                        name,
                    ),
                    Ok(Subject::Robot(name)) => (
                        "UPDATE robots SET last_seen = $1 WHERE name = $2 AND (last_seen IS NULL OR last_seen < $1)",
                        name,
                    ),
                    _ => continue,
                };
                tx.execute(sql, values![*at, &name])?;
            }
            Ok(())
        };
        self.engine().write(Kind::Shrink, work).await
    }
}

fn find(tx: &mut Tx<'_>, name: &str) -> Done<Option<User>> {
    let sql =
        "SELECT name, administrator, disabled, email, password, revision, created_at, last_seen, source FROM users
               WHERE name = $1";
    tx.row(sql, values![name], read)
}

fn read(row: &Row<'_>) -> Done<User> {
    Ok(User {
        name: row.text(0)?,
        administrator: row.flag(1)?,
        disabled: row.flag(2)?,
        email: row.opt_text(3)?,
        password: row.opt_text(4)?,
        revision: row.int(5)?,
        created: row.time(6)?,
        last_seen: row.opt_time(7)?,
        source: source(row.int(8)?)?,
    })
}

fn source(number: i64) -> Done<UserSource> {
    match number {
        0 => Ok(UserSource::Local),
        1 => Ok(UserSource::Oidc),
        2 => Ok(UserSource::Ldap),
        3 => Ok(UserSource::SignUp),
        _ => Err(unreadable("source of a user", number)),
    }
}

fn source_number(source: UserSource) -> i64 {
    match source {
        UserSource::Local => 0,
        UserSource::Oidc => 1,
        UserSource::Ldap => 2,
        UserSource::SignUp => 3,
    }
}

pub(super) fn create(tx: &mut Tx<'_>, user: &NewUser, stamp: &Stamp) -> Done<CreateUser> {
    if find(tx, &user.name)?.is_some() {
        return Ok(CreateUser::Exists);
    }
    let first = !tx.any("SELECT 1 FROM users LIMIT 1", values![])?;
    if !first && let Some(other) = others_repository(tx, &user.name)? {
        return Ok(CreateUser::NameTaken(other));
    }
    let administrator = user.administrator || first;
    let sql = "INSERT INTO users (name, administrator, disabled, email, password, revision, source, created_at)
               VALUES ($1, $2, 0, $3, $4, 1, $5, $6)";
    let (email, password) = (user.email.as_deref(), user.password.as_deref());
    tx.execute(sql, values![&user.name, administrator, email, password, source_number(user.source), stamp.at])?;
    let payload = json!({ "name": user.name, "administrator": administrator, "first": first });
    changed(tx, "user.created", None, &payload, stamp)?;
    Ok(CreateUser::Created { administrator })
}

/// A repository at the name or under it that somebody else made, or that is older than such notes.
fn others_repository(tx: &mut Tx<'_>, name: &str) -> Done<Option<RepositoryName>> {
    let (start, end, identity) = (format!("{name}/"), format!("{name}0"), format!("user:{name}"));
    let sql = "SELECT name FROM repositories WHERE name = $1 AND (created_by IS NULL OR created_by <> $2)";
    if let Some(found) = tx.row(sql, values![name, &identity], |row| row.repository(0))? {
        return Ok(Some(found));
    }
    let sql = "SELECT name FROM repositories WHERE name > $1 AND name < $2 AND (created_by IS NULL OR created_by <> $3)
               ORDER BY name LIMIT 1";
    tx.row(sql, values![&start, &end, &identity], |row| row.repository(0))
}

/// Whether nobody else is an administrator whose credentials count.
fn is_last_administrator(tx: &mut Tx<'_>, user: &User) -> Done<bool> {
    let sql = "SELECT 1 FROM users WHERE administrator = 1 AND disabled = 0 AND name <> $1 LIMIT 1";
    Ok(user.administrator && !user.disabled && !tx.any(sql, values![&user.name])?)
}

fn set(tx: &mut Tx<'_>, name: &str, change: &UserChange, stamp: &Stamp) -> Done<Changed> {
    let Some(user) = find(tx, name)? else { return Ok(Changed::Absent) };
    let administrator = change.administrator.unwrap_or(user.administrator);
    let disabled = change.disabled.unwrap_or(user.disabled);
    if (!administrator || disabled) && is_last_administrator(tx, &user)? {
        return Ok(Changed::LastAdministrator);
    }
    let ends = change.password.is_some() || (disabled && !user.disabled);
    let email = change.email.as_ref().unwrap_or(&user.email).as_deref();
    let password = change.password.as_ref().unwrap_or(&user.password).as_deref();
    let sql = "UPDATE users SET administrator = $1, disabled = $2, email = $3, password = $4, revision = revision + $5 WHERE name = $6";
    tx.execute(sql, values![administrator, disabled, email, password, ends, name])?;
    if ends {
        forget_logins(tx, name)?;
    }
    let payload = json!({
        "name": name,
        "administrator": change.administrator,
        "disabled": change.disabled,
        "email": change.email.is_some(),
        "password": change.password.is_some(),
    });
    changed(tx, "user.changed", None, &payload, stamp)?;
    Ok(Changed::Done)
}

/// Ends logins to the pages, refresh tokens and invitations: what came from a password goes with it.
fn forget_logins(tx: &mut Tx<'_>, name: &str) -> Done<()> {
    let identity = format!("user:{name}");
    tx.execute("DELETE FROM sessions WHERE identity = $1", values![&identity])?;
    tx.execute("DELETE FROM invitations WHERE user_name = $1", values![name])?;
    tx.execute("DELETE FROM tokens WHERE owner = $1 AND kind = 1", values![&identity])?;
    Ok(())
}

fn remove(tx: &mut Tx<'_>, name: &str, stamp: &Stamp) -> Done<Changed> {
    let Some(user) = find(tx, name)? else { return Ok(Changed::Absent) };
    if is_last_administrator(tx, &user)? {
        return Ok(Changed::LastAdministrator);
    }
    forget_logins(tx, name)?;
    tokens::remove_all(tx, &format!("user:{name}"))?;
    grants::remove_all(tx, &Subject::User(name.to_owned()))?;
    tx.execute("DELETE FROM group_members WHERE user_name = $1", values![name])?;
    disown(tx, name)?;
    tx.execute("DELETE FROM users WHERE name = $1", values![name])?;
    changed(tx, "user.removed", None, &json!({ "name": name }), stamp)?;
    Ok(Changed::Done)
}

/// The repositories at the name and under it are not those of the next user of the name.
fn disown(tx: &mut Tx<'_>, name: &str) -> Done<()> {
    let (start, end, identity) = (format!("{name}/"), format!("{name}0"), format!("user:{name}"));
    let sql = "UPDATE repositories SET created_by = $1 WHERE name = $2 AND created_by = $3";
    tx.execute(sql, values![FORMER, name, &identity])?;
    let sql = "UPDATE repositories SET created_by = $1 WHERE name > $2 AND name < $3 AND created_by = $4";
    tx.execute(sql, values![FORMER, &start, &end, &identity])?;
    Ok(())
}
