//! Grants: made by whoever administers everything that their pattern matches.

use larder_catalog::model::Page;
use larder_catalog::model::access::{Effect, Grant, GrantFilter, NewGrant, Subject};
use larder_oci::{Actions, RepositoryPattern};

use super::{Answer, By, absent, seen, text};
use crate::Problem;
use crate::access::Access;

/// A grant to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPermission {
    /// Whom it is about.
    pub subject: Subject,
    /// What.
    pub actions: Actions,
    /// Where.
    pub pattern: RepositoryPattern,
    /// Whether it gives or takes.
    pub effect: Effect,
    /// Why.
    pub note: String,
}

impl Access {
    /// Makes a grant; answers its id. The first grant ends the rights that a password file gives by itself.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`] for a subject that nobody knows; [`Problem::Invalid`] for no action at all.
    pub async fn add_grant(&self, by: &By, new: NewPermission) -> Answer<i64> {
        by.must_administer(&new.pattern)?;
        text("a note", &new.note, 1_000)?;
        if new.actions.is_empty() {
            return Err(Problem::Invalid(
                "a grant names at least one of pull, push, delete, tag-move and admin".to_owned(),
            ));
        }
        self.must_exist(&new.subject).await?;
        let NewPermission { subject, actions, pattern, effect, note } = new;
        let grant = NewGrant { subject, actions, pattern, effect, note };
        Ok(self.inner.catalog.add_grant(grant, by.stamp(self)).await?)
    }

    /// Grants after this id, in order. Administrators see all; others those on patterns that they administer, and those about themselves.
    pub async fn grants(&self, by: &By, filter: &GrantFilter, after: Option<i64>, limit: usize) -> Answer<Page<Grant>> {
        let fetch = |after, limit| self.inner.catalog.grants(filter, after, limit);
        seen(limit, after, |grant: &Grant| grant.id, |grant| may_see(by, grant), fetch).await
    }

    /// One grant.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`], also for one that the caller may not see.
    pub async fn grant(&self, by: &By, id: i64) -> Answer<Grant> {
        let grant = self.inner.catalog.grant(id).await?;
        grant.filter(|grant| may_see(by, grant)).ok_or_else(|| absent("grant", &id.to_string()))
    }

    /// Takes a grant back.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`], also for one on a pattern that the caller does not administer.
    pub async fn remove_grant(&self, by: &By, id: i64) -> Answer<()> {
        let absent = || absent("grant", &id.to_string());
        let grant = self.inner.catalog.grant(id).await?.ok_or_else(absent)?;
        // An administrator whom a deny keeps from this pattern must be able to take it back.
        if !by.administers(&grant.pattern) && !by.is_administrator() {
            return Err(absent());
        }
        let found = self.inner.catalog.remove_grant(id, by.stamp(self)).await?;
        if found { Ok(()) } else { Err(absent()) }
    }

    async fn must_exist(&self, subject: &Subject) -> Answer<()> {
        match subject {
            Subject::User(name) => self.must_be_known(name).await,
            Subject::Robot(name) => {
                self.inner.catalog.robot(name).await?.map(drop).ok_or_else(|| absent("robot", name))
            }
            Subject::Group(name) => {
                self.inner.catalog.group(name).await?.map(drop).ok_or_else(|| absent("group", name))
            }
            Subject::SignedIn | Subject::Anonymous => Ok(()),
        }
    }
}

fn may_see(by: &By, grant: &Grant) -> bool {
    by.is_administrator() || by.administers(&grant.pattern) || by.is(&grant.subject.to_string())
}
