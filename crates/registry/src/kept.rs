//! Every byte on the disk, and why it is there.
//!
//! The store is walked, file by file, and the catalog asked about each: so the sums are those of the files, whatever happened to either.

use futures::StreamExt;
use larder_blobs::Stored;
use larder_catalog::model::Kept;
use larder_oci::RepositoryName;
use serde::Serialize;

use crate::orphans::Orphan;
use crate::usage::Counted;
use crate::{Actor, Page, PageRequest, Registry, Result};

/// Files looked up at once.
const BATCH: usize = 500;

/// The files below `blobs/` and `uploads/` by the strongest reason that each is kept for. Their sum is `whole`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct UsageByReason {
    /// Named by an image with a tag.
    pub tag: Counted,
    /// Named only by what refers to images: signatures, attestations.
    pub referrer: Counted,
    /// Named only by caches of builds.
    pub cache: Counted,
    /// Named only by images without a tag: what tags pointed to.
    pub history: Counted,
    /// Named only by what was deleted.
    pub trash: Counted,
    /// Named by nothing: leased to a push, or waiting for the sweep.
    pub lease: Counted,
    /// Replaced or condemned.
    pub leaving: Counted,
    /// Of open uploads.
    pub upload: Counted,
    /// Known to nobody: leftovers of crashes, for the sweep.
    pub orphan: Counted,
    /// Not written by Larder.
    pub foreign: Counted,
    /// All of these.
    pub whole: Counted,
    /// Of the blobs that are served, those that one repository holds.
    pub of_one: Counted,
    /// Those that several hold.
    pub of_several: Counted,
    /// Beside all this: set aside because they were wrong.
    pub quarantined: Counted,
}

/// What a repository holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RepositoryUsage {
    /// Its name.
    pub name: RepositoryName,
    /// Blobs that no other repository holds.
    pub own: Counted,
    /// Blobs that others hold too.
    pub shared: Counted,
}

impl Registry {
    /// Walks all files and says why each is kept.
    pub async fn usage_by_reason(
        &self,
        actor: &Actor,
        progress: &(dyn Fn(UsageByReason) + Send + Sync),
    ) -> Result<UsageByReason> {
        self.operator(actor)?;
        let mut found = UsageByReason::default();
        let mut walk = self.inner.store.list().await?.chunks(BATCH);
        while let Some(batch) = walk.next().await {
            let batch: Vec<Stored> = batch.into_iter().collect::<larder_blobs::Result<_>>()?;
            self.account_for(batch, &mut found).await?;
            progress(found);
        }
        Ok(found)
    }

    async fn account_for(&self, batch: Vec<Stored>, found: &mut UsageByReason) -> Result<()> {
        let objects = |stored: &Stored| match stored {
            Stored::Object { key, .. } => Some(key.as_str().to_owned()),
            Stored::Upload { .. } | Stored::Quarantined { .. } | Stored::Foreign { .. } => None,
        };
        let keys: Vec<String> = batch.iter().filter_map(objects).collect();
        let mut kept = self.inner.catalog.kept(&keys).await?.into_iter();
        let mut unknown = Vec::new();
        for stored in batch {
            match &stored {
                Stored::Object { size, .. } => match kept.next().flatten() {
                    Some(object) => found.object(object.why, object.holders, *size),
                    None => unknown.push(stored),
                },
                Stored::Upload { .. } => unknown.push(stored),
                Stored::Quarantined { size, .. } => found.quarantined.add(*size),
                Stored::Foreign { name, size } if name.starts_with("blobs/") || name.starts_with("uploads/") => {
                    found.foreign.add(*size);
                    found.whole.add(*size);
                }
                Stored::Foreign { .. } => {}
            }
        }
        let orphans = self.orphans_among(&unknown).await?;
        for stored in &unknown {
            let (size, is_orphan) = match stored {
                Stored::Object { key, size, .. } => {
                    (*size, orphans.iter().any(|orphan| matches!(orphan, Orphan::Object(other, _) if other == key)))
                }
                Stored::Upload { id, size } => {
                    (*size, orphans.iter().any(|orphan| matches!(orphan, Orphan::Upload(other, _) if other == id)))
                }
                Stored::Quarantined { .. } | Stored::Foreign { .. } => continue,
            };
            if is_orphan {
                found.orphan.add(size)
            } else {
                found.upload.add(size)
            }
            found.whole.add(size);
        }
        Ok(())
    }

    /// What each repository holds, by name.
    pub async fn usage_by_repository(&self, actor: &Actor, page: &PageRequest) -> Result<Page<RepositoryUsage>> {
        self.operator(actor)?;
        let found = self.inner.catalog.held_bytes(page.after.as_deref(), page.limit).await?;
        let usage = found.items.into_iter().map(|held| RepositoryUsage {
            name: held.repository,
            own: held.own.into(),
            shared: held.shared.into(),
        });
        Ok(Page { items: usage.collect(), more: found.more })
    }
}

impl UsageByReason {
    fn object(&mut self, why: Kept, holders: u64, size: u64) {
        let reason = match why {
            Kept::Tag => &mut self.tag,
            Kept::Referrer => &mut self.referrer,
            Kept::Cache => &mut self.cache,
            Kept::History => &mut self.history,
            Kept::Trash => &mut self.trash,
            Kept::Lease => &mut self.lease,
            // A file that is still to be moved aside.
            Kept::Leaving | Kept::Quarantined => &mut self.leaving,
        };
        reason.add(size);
        self.whole.add(size);
        match holders {
            0 => {}
            1 => self.of_one.add(size),
            _ => self.of_several.add(size),
        }
    }
}
