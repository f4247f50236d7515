//! Sessions: who sees them, and who ends them.

use larder_catalog::model::Page;
use larder_catalog::model::access::Session;

use super::{Answer, By, PAGE, absent};
use crate::access::Access;

impl Access {
    /// Sessions after this id, in the order in which they began: one's own, or for administrators anybody's.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`](crate::Problem::NotAllowed).
    pub async fn sessions(
        &self,
        by: &By,
        owner: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<Page<Session>> {
        let owner = owner.unwrap_or(by.identity());
        if !by.is(owner) {
            by.must_administer_accounts()?;
        }
        Ok(self.inner.catalog.sessions(owner, self.inner.now(), after, limit.min(PAGE)).await?)
    }

    /// Ends a session: one's own, or for administrators anybody's.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`](crate::Problem::Absent), also for one that the caller may not end.
    pub async fn end_session(&self, by: &By, id: &str) -> Answer<()> {
        let session = self.inner.catalog.session_of_id(id).await?.ok_or_else(|| absent("session", id))?;
        if !by.is(&session.identity) && !by.is_administrator() {
            return Err(absent("session", id));
        }
        let ended = self.inner.catalog.remove_session(id, by.stamp(self)).await?;
        if ended { Ok(()) } else { Err(absent("session", id)) }
    }
}
