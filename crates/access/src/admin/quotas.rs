//! Quotas: how much the repositories of a pattern may hold.

use larder_catalog::model::{NewQuota, Page, Quota};

use super::{Answer, By, absent, seen};
use crate::Problem;
use crate::access::Access;

impl Access {
    /// Sets the quota of a pattern, or changes it. For administrators.
    ///
    /// # Errors
    ///
    /// [`Problem::Invalid`] where it limits nothing, and for one quota too many.
    pub async fn set_quota(&self, by: &By, quota: NewQuota) -> Answer<Quota> {
        by.must_administer_accounts()?;
        if quota.bytes.is_none() && quota.manifests.is_none() {
            return Err(Problem::Invalid("a quota limits bytes, manifests, or both".to_owned()));
        }
        let too_many = || Problem::Invalid("there are too many quotas".to_owned());
        self.inner.catalog.set_quota(quota, by.stamp(self)).await?.ok_or_else(too_many)
    }

    /// Quotas after this id, in order: of what the caller administers.
    ///
    /// # Errors
    ///
    /// [`Problem::Catalog`].
    pub async fn quotas(&self, by: &By, after: Option<i64>, limit: usize) -> Answer<Page<Quota>> {
        let fetch = |after, limit| self.inner.catalog.quotas(after, limit);
        seen(limit, after, |quota: &Quota| quota.id, |quota| by.administers(&quota.pattern), fetch).await
    }

    /// One quota, for whoever administers what its pattern matches.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`], also for one that the caller may not see.
    pub async fn quota(&self, by: &By, id: i64) -> Answer<Quota> {
        let quota = self.inner.catalog.quota(id).await?.filter(|quota| by.administers(&quota.pattern));
        quota.ok_or_else(|| absent("quota", &id.to_string()))
    }

    /// Removes a quota. For administrators.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`].
    pub async fn remove_quota(&self, by: &By, id: i64) -> Answer<()> {
        by.must_administer_accounts()?;
        let there = self.inner.catalog.remove_quota(id, by.stamp(self)).await?;
        if there { Ok(()) } else { Err(absent("quota", &id.to_string())) }
    }
}
