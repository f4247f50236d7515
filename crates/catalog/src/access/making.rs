//! What the making and the removing of a repository means for rights and lists.

use larder_oci::{Action, Actions, RepositoryName, RepositoryPattern};
use serde_json::json;

use super::{Turn, accounts_exist, changed, grants, patterns, take_turn};
use crate::engine::{Done, Tx, values};
use crate::model::Stamp;
use crate::model::access::{Effect, NewGrant, Subject};

/// Notes which patterns match a repository that this unit made, and grants it to who made it. Called at the unit's end: it waits for changes of
/// rights, and nobody shall wait for a blob's row meanwhile.
pub(crate) fn repository_made(tx: &mut Tx<'_>, id: i64, name: &RepositoryName, stamp: &Stamp) -> Done<()> {
    take_turn(tx, Turn::Repository)?;
    patterns::add_repository(tx, id, name)?;
    let Some(subject) = creator(name, &stamp.identity) else { return Ok(()) };
    // Users of a password file alone live without grants, and the first grant would end that.
    if !accounts_exist(tx)? {
        return Ok(());
    }
    let actions = Actions::of(&[Action::Admin]);
    let note = "made it".to_owned();
    let grant = NewGrant { subject, actions, pattern: RepositoryPattern::from(name), effect: Effect::Allow, note };
    let id = grants::insert(tx, &grant, true, stamp)?;
    changed(tx, "grant.added", Some(name), &grants::payload(id, &grant), stamp)
}

/// Who gets `admin` on what he made: users outside their own names, and robots.
fn creator(name: &RepositoryName, identity: &str) -> Option<Subject> {
    match identity.parse().ok()? {
        Subject::User(user) => {
            let own = name.as_str().strip_prefix(user.as_str()).is_some_and(|rest| rest.starts_with('/'));
            (!own).then_some(Subject::User(user))
        }
        Subject::Robot(robot) => Some(Subject::Robot(robot)),
        Subject::Group(_) | Subject::SignedIn | Subject::Anonymous => None,
    }
}

/// A repository is to be removed by this unit. Called before its row is held: changes of rights need rows of repositories too, and have their turn
/// then already.
pub(crate) fn repository_going(tx: &mut Tx<'_>) -> Done<()> {
    take_turn(tx, Turn::Repository)
}

/// Takes back what [`repository_made`] wrote: a later repository of the name is not the earlier maker's.
pub(crate) fn repository_removed(tx: &mut Tx<'_>, id: i64, name: &RepositoryName, stamp: &Stamp) -> Done<()> {
    patterns::remove_repository(tx, id)?;
    let removed = tx.execute("DELETE FROM grants WHERE pattern = $1 AND creator = 1", values![name])?;
    if removed > 0 {
        changed(tx, "grant.removed", Some(name), &json!({ "creator": true }), stamp)?;
    }
    Ok(())
}
