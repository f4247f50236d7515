//! Accounts, and who may do what: for administrators. Each form makes the call that the API and the command line make.

mod audit;
mod entered;
mod explain;
mod grants;
mod groups;
mod robots;
mod sessions;
mod tokens;
mod trusts;
mod users;

use larder_access::{Access, By, Origin, Problem};

use super::trouble::Trouble;
use super::{Result, Visit, frame};
use crate::form::Form;

pub(super) use sessions::Device;
pub(super) use tokens::Shelf;

/// A page about accounts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `/access/users`, and `/access`
    Users,
    /// `/access/users/<name>`
    User(String),
    /// `/access/groups`
    Groups,
    /// `/access/groups/<name>`
    Group(String),
    /// `/access/robots`
    Robots,
    /// `/access/robots/<name>`
    Robot(String),
    /// `/access/grants`
    Grants,
    /// `/access/explain`
    Explain,
    /// `/access/tokens`
    Tokens,
    /// `/access/trusts`
    Trusts,
    /// `/access/trusts/<name>`
    Trust(String),
    /// `/access/sessions`
    Sessions,
    /// `/access/audit`
    Audit,
}

impl Place {
    /// Reads what follows `/access`.
    pub fn parse(segments: &[&str]) -> Option<Self> {
        Some(match segments {
            [] | ["users"] => Self::Users,
            ["users", name] => Self::User((*name).to_owned()),
            ["groups"] => Self::Groups,
            ["groups", name] => Self::Group((*name).to_owned()),
            ["robots"] => Self::Robots,
            ["robots", name] => Self::Robot((*name).to_owned()),
            ["grants"] => Self::Grants,
            ["explain"] => Self::Explain,
            ["tokens"] => Self::Tokens,
            ["trusts"] => Self::Trusts,
            ["trusts", name] => Self::Trust((*name).to_owned()),
            ["sessions"] => Self::Sessions,
            ["audit"] => Self::Audit,
            _ => return None,
        })
    }

    /// Whether forms are sent there.
    pub fn takes_forms(&self) -> bool {
        !matches!(self, Self::Explain | Self::Audit)
    }
}

impl Visit<'_> {
    /// The accounts, and who wants something of them.
    pub(super) fn accounts(&self) -> Result<(&Access, By)> {
        let access = self.app.access.as_ref().ok_or_else(Trouble::nothing)?;
        let request_id = Some(self.request_id.clone());
        let origin = Origin { address: self.visitor.address };
        match &self.visitor.caller {
            Some(caller) => Ok((access, By::of(caller, origin, request_id))),
            None if self.visitor.operator => Ok((access, By::operator(request_id))),
            None => Err(Trouble::nothing()),
        }
    }

    /// The same for administrators; for anybody else there is nothing here.
    fn administered(&self) -> Result<(&Access, By)> {
        let (access, by) = self.accounts()?;
        if by.is_administrator() {
            Ok((access, by))
        } else {
            Err(Problem::NotAllowed("only administrators do this").into())
        }
    }
}

pub(super) async fn show(visit: &Visit<'_>, place: Place) -> Result {
    visit.administered()?;
    let page = match place {
        Place::Users => users::list(visit).await,
        Place::User(name) => users::show(visit, &name).await,
        Place::Groups => groups::list(visit).await,
        Place::Group(name) => groups::show(visit, &name).await,
        Place::Robots => robots::list(visit).await,
        Place::Robot(name) => robots::show(visit, &name).await,
        Place::Grants => grants::list(visit).await,
        Place::Explain => explain::show(visit).await,
        Place::Tokens => Shelf::of_everybody(visit).list(visit).await,
        Place::Trusts => trusts::list(visit).await,
        Place::Trust(name) => trusts::show(visit, &name).await,
        Place::Sessions => sessions::list(visit).await,
        Place::Audit => audit::show(visit).await,
    };
    page.map(frame::unkept)
}

pub(super) async fn change(visit: &Visit<'_>, place: Place, form: &Form) -> Result {
    visit.administered()?;
    let page = match place {
        Place::Users => users::make(visit, form).await,
        Place::User(name) => users::change(visit, &name, form).await,
        Place::Groups => groups::make(visit, form).await,
        Place::Group(name) => groups::change(visit, &name, form).await,
        Place::Robots => robots::make(visit, form).await,
        Place::Robot(name) => robots::change(visit, &name, form).await,
        Place::Grants => grants::change(visit, form).await,
        Place::Tokens => Shelf::of_whom(form.word("owner")).change(visit, form).await,
        Place::Trusts => trusts::make(visit, form).await,
        Place::Trust(name) => trusts::change(visit, &name, form).await,
        Place::Sessions => sessions::end(visit, form).await,
        Place::Explain | Place::Audit => Err(Trouble::read_only()),
    };
    page.map(frame::unkept)
}
