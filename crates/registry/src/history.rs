//! Tags in time: where one pointed, and the way back.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use larder_catalog::model::{RollbackOutcome, RollbackTo, TagThen};
use larder_oci::{Digest, RepositoryName, Tag};

use crate::delete::untold;
use crate::rules::{Act, unchanged};
use crate::{Action, Actor, Error, Registry, Result, Verdict};

/// What a rollback did, or would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolledBack {
    /// Where the tag pointed.
    pub from: Option<Digest>,
    /// Where it points.
    pub to: Digest,
}

impl Registry {
    /// The manifest that a tag pointed to at a time.
    pub async fn tag_then(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        tag: &Tag,
        at: Timestamp,
    ) -> Result<Digest> {
        self.permit(actor, Action::Pull, repository).await?;
        match self.inner.catalog.tag_then(repository, tag, at).await? {
            TagThen::At(digest) => Ok(digest),
            TagThen::Absent => Err(Error::NotThen { reference: format!("{repository}:{tag}"), since: None }),
            TagThen::Forgotten { since } => {
                Err(Error::NotThen { reference: format!("{repository}:{tag}"), since: Some(since) })
            }
        }
    }

    /// Points a tag at what it pointed to before; with `dry_run` only says what that is. A manifest that was deleted meanwhile comes back with it.
    pub async fn rollback_tag(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        tag: &Tag,
        to: RollbackTo,
        dry_run: bool,
    ) -> Result<RolledBack> {
        self.permit_move(actor, repository).await?;
        if keeps_tags(actor, repository) {
            return Err(Error::TagKept(tag.clone()));
        }
        let tags = [tag.clone()];
        let door = self.door(actor, repository, Act::Rollback, &tags, unchanged).await?;
        let (catalog, stamp) = (&self.inner.catalog, self.stamp(actor));
        let passed = match door {
            None => untold(catalog.rollback_tag(repository, tag, to, !dry_run, stamp).await?),
            Some(door) => catalog.through(door).rollback_tag(repository, tag, to, !dry_run, stamp).await?,
        };
        match self.passed(actor, repository, passed)?.0 {
            RollbackOutcome::Moved { from, to } => Ok(RolledBack { from, to }),
            RollbackOutcome::Same(digest) => Ok(RolledBack { from: Some(digest), to: digest }),
            RollbackOutcome::Unknown => Err(Error::NoEarlier(format!("{repository}:{tag}"))),
            RollbackOutcome::Gone(digest) => Err(Error::GoneForGood(digest)),
        }
    }

    /// Whoever may push may move tags, and whoever may only do that.
    pub(crate) async fn permit_move(&self, actor: &Actor, repository: &RepositoryName) -> Result<()> {
        if !self.may(actor, Action::TagMove, repository).await? {
            self.permit(actor, Action::Push, repository).await?;
        }
        self.serves_clients()?;
        self.writable()
    }
}

/// Whether a rule denies moving tags: then a push makes new ones and leaves those that are there (CVE-2026-31801). Of grants that say nothing about
/// it, a push moves tags too, as clients expect.
pub(crate) fn keeps_tags(actor: &Actor, repository: &RepositoryName) -> bool {
    actor.verdict(Action::TagMove, repository) == Verdict::Denied
}

/// A point in time as people write it: RFC 3339, or a date, which means its first moment in UTC.
pub fn point_in_time(text: &str) -> Option<Timestamp> {
    let date = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    if text.contains(['T', 't', ':']) { text.parse().ok() } else { date() }
}

/// To what a tag is to go back, as people write it: how many changes, a digest, or a point in time.
pub fn rollback_to(text: &str) -> Option<RollbackTo> {
    let changes = || text.parse().ok().filter(|changes| *changes > 0).map(RollbackTo::Changes);
    let digest = || text.parse().ok().map(RollbackTo::Digest);
    changes().or_else(digest).or_else(|| point_in_time(text).map(RollbackTo::Time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_first_moment_and_a_number_counts_changes() {
        let midnight: Timestamp = "2026-11-01T00:00:00Z".parse().expect("a time");
        assert_eq!(point_in_time("2026-11-01"), Some(midnight));
        assert_eq!(point_in_time("2026-11-01T01:00:00+01:00"), Some(midnight));
        for text in ["", "yesterday", "2026-13-01", "2026-11-01T00:00:00", "2026"] {
            assert_eq!(point_in_time(text), None, "{text}");
        }
        assert_eq!(rollback_to("2"), Some(RollbackTo::Changes(2)));
        assert_eq!(rollback_to("2026-11-01"), Some(RollbackTo::Time(midnight)));
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(rollback_to(&digest), Some(RollbackTo::Digest(digest.parse().expect("a digest"))));
        assert_eq!((rollback_to("0"), rollback_to("-1"), rollback_to("prod")), (None, None, None));
    }
}
