//! Lifecycle policies as rows: their texts, the facts that they are evaluated on, and what became of them.

use jiff::Timestamp;
use larder_oci::{Digest, RepositoryName, RepositoryPattern};
use serde_json::json;

use crate::engine::{Done, Fault, Kind, Row, Tx, unseen, values};
use crate::lookup::{self, Hold};
use crate::manifests::{self, Removal};
use crate::model::policy::{ExpiringImage, HeldBlob, ImagePart, ImageRow, ImageTag, PolicyRow, PolicyRun, PolicyState};
use crate::model::{DeleteOutcome, Page, Stamp};
use crate::outbox::{self, PRUNED};
use crate::page::page;
use crate::{Catalog, Result, keys};

/// Policies with wildcards that there may be: each is compared with a repository's name.
pub const WILDCARD_POLICIES: usize = 1_000;
const PAUSED: &str = "policies_paused";

impl Catalog {
    /// Sets the policy of a repository or a pattern. Answers `false` when there are too many patterns.
    pub async fn set_policy(&self, pattern: &RepositoryPattern, text: &str, stamp: Stamp) -> Result<bool> {
        let (pattern, text) = (pattern.clone(), text.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let wildcard = !pattern.is_literal();
            let known = tx.any("SELECT 1 FROM policies WHERE pattern = $1", values![&pattern])?;
            if wildcard && !known && with_wildcards(tx)?.len() >= WILDCARD_POLICIES {
                return Ok(false);
            }
            let sql = "INSERT INTO policies (pattern, wildcard, text, set_at, set_by) VALUES ($1, $2, $3, $4, $5)
                       ON CONFLICT (pattern) DO UPDATE SET text = excluded.text, set_at = excluded.set_at, set_by = excluded.set_by";
            tx.execute(sql, values![&pattern, wildcard, &text, stamp.at, &stamp.identity])?;
            note(tx, outbox::POLICY_SET, &pattern, &stamp)?;
            Ok(true)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// Removes the policy of a repository or a pattern. Answers `false` when there is none.
    pub async fn remove_policy(&self, pattern: &RepositoryPattern, stamp: Stamp) -> Result<bool> {
        let pattern = pattern.clone();
        let work = move |tx: &mut Tx<'_>| {
            let found = tx.execute("DELETE FROM policies WHERE pattern = $1", values![&pattern])? > 0;
            if found {
                note(tx, outbox::POLICY_REMOVED, &pattern, &stamp)?;
            }
            Ok(found)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Policies after `after`, in the order of their patterns' bytes.
    pub async fn policies(&self, after: Option<&str>, limit: usize) -> Result<Page<PolicyRow>> {
        let after = after.unwrap_or_default().to_owned();
        let sql = "SELECT pattern, text, set_at, set_by FROM policies WHERE pattern > $1 ORDER BY pattern LIMIT $2";
        let work = move |tx: &mut Tx<'_>| Ok(page(tx.rows(sql, values![&after, limit + 1], policy)?, limit));
        self.engine().read(Kind::Read, work).await
    }

    /// Every policy whose pattern matches the repository, in the order of their patterns' bytes.
    pub async fn policies_for(&self, repository: &RepositoryName) -> Result<Vec<PolicyRow>> {
        let name = repository.clone();
        let work = move |tx: &mut Tx<'_>| {
            let mut found = with_wildcards(tx)?;
            found.retain(|row| row.pattern.matches(&name));
            let sql = "SELECT pattern, text, set_at, set_by FROM policies WHERE pattern = $1";
            found.extend(tx.row(sql, values![&name], policy)?);
            Ok(found)
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// A repository's images after this number.
    pub async fn image_rows(&self, repository: &RepositoryName, after: i64, limit: usize) -> Result<Vec<ImageRow>> {
        let name = repository.clone();
        let work = move |tx: &mut Tx<'_>| {
            let Some(repository) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(Vec::new()) };
            let sql = "SELECT m.digest_id, d.digest, m.pushed_at, m.renewed_at, m.pulled_at, m.size, m.subject_id,
                         CASE WHEN EXISTS (SELECT 1 FROM manifests o WHERE o.digest_id = m.digest_id AND o.repository_id <> $1) THEN 1 ELSE 0 END
                       FROM manifests m JOIN digests d ON d.id = m.digest_id
                       WHERE m.repository_id = $1 AND m.digest_id > $2 ORDER BY m.digest_id LIMIT $3";
            tx.rows(sql, values![repository, after, limit], |row| {
                let (pushed, renewed, pulled) = (row.time(2)?, row.opt_time(3)?, row.opt_time(4)?);
                let (id, digest, size) = (row.int(0)?, row.digest(1)?, row.size(5)?);
                let (subject, elsewhere) = (row.opt_int(6)?, row.flag(7)?);
                Ok(ImageRow { id, digest, pushed, renewed, pulled, size, subject, elsewhere })
            })
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// A repository's tags after this one, with the number of what they point to.
    pub async fn image_tags(&self, repository: &RepositoryName, after: &str, limit: usize) -> Result<Vec<ImageTag>> {
        let (name, after) = (repository.clone(), after.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let Some(repository) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(Vec::new()) };
            let sql = "SELECT name, digest_id FROM tags WHERE repository_id = $1 AND name > $2 ORDER BY name LIMIT $3";
            tx.rows(sql, values![repository, &after, limit], |row| {
                Ok(ImageTag { name: row.tag(0)?, image: row.int(1)? })
            })
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// What a repository's images name, after this image and part.
    pub async fn image_parts(
        &self,
        repository: &RepositoryName,
        after: ImagePart,
        limit: usize,
    ) -> Result<Vec<ImagePart>> {
        let name = repository.clone();
        let work = move |tx: &mut Tx<'_>| {
            let Some(repository) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(Vec::new()) };
            let mut parts = rest_of_image(tx, repository, after, limit)?;
            let left = limit - parts.len();
            if left > 0 {
                let sql = "SELECT m.digest_id, e.child_id FROM manifests m JOIN edges e ON e.manifest_id = m.id
                           WHERE m.repository_id = $1 AND m.digest_id > $2 ORDER BY m.digest_id, e.child_id LIMIT $3";
                parts.extend(tx.rows(sql, values![repository, after.image, left], part)?);
            }
            Ok(parts)
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// The blobs that a repository holds after this number.
    pub async fn held_blobs(&self, repository: &RepositoryName, after: i64, limit: usize) -> Result<Vec<HeldBlob>> {
        let name = repository.clone();
        let work = move |tx: &mut Tx<'_>| {
            let Some(repository) = lookup::repository(tx, &name, Hold::Look)? else { return Ok(Vec::new()) };
            let sql = "SELECT h.digest_id, b.size,
                         CASE WHEN EXISTS (SELECT 1 FROM memberships o WHERE o.digest_id = h.digest_id AND o.repository_id <> $1) THEN 1 ELSE 0 END
                       FROM memberships h JOIN blobs b ON b.digest_id = h.digest_id AND b.state = 0
                       WHERE h.repository_id = $1 AND h.digest_id > $2 ORDER BY h.digest_id LIMIT $3";
            tx.rows(sql, values![repository, after, limit], |row| {
                Ok(HeldBlob { id: row.int(0)?, size: row.size(1)?, elsewhere: row.flag(2)? })
            })
        };
        self.engine().read(Kind::Snapshot, work).await
    }

    /// Somebody who may push counts on these manifests.
    pub async fn renewed(&self, renewals: &[(RepositoryName, Digest, Timestamp)]) -> Result<()> {
        for some in renewals.chunks(PRUNED) {
            let some = some.to_vec();
            let work = move |tx: &mut Tx<'_>| {
                unseen();
                for (repository, digest, at) in &some {
                    let sql = "UPDATE manifests SET renewed_at = $1
                               WHERE repository_id = (SELECT id FROM repositories WHERE name = $2)
                               AND digest_id = (SELECT id FROM digests WHERE digest = $3)";
                    tx.execute(sql, values![*at, repository, &keys::encode(digest)])?;
                }
                Ok(())
            };
            self.engine().write(Kind::Shrink, work).await?;
        }
        Ok(())
    }

    /// Removes images that a policy lets go, like a client's delete by digest, into the trash until `trash_until`, unless anything about one changed since the policy saw it. Answers of
    /// each whether it is gone. One transaction.
    pub async fn expire_images(
        &self,
        repository: &RepositoryName,
        images: Vec<ExpiringImage>,
        lease_until: Timestamp,
        trash_until: Option<Timestamp>,
        stamp: Stamp,
    ) -> Result<Vec<bool>> {
        let name = repository.clone();
        let work = move |tx: &mut Tx<'_>| {
            let mut gone: Vec<bool> = Vec::with_capacity(images.len());
            for image in &images {
                let stays =
                    |subject: &Digest| images.iter().zip(&gone).any(|(other, gone)| other.digest == *subject && !gone);
                let waits = image.follows.as_ref().is_some_and(stays);
                let (event, hides) = (outbox::MANIFEST_DELETED, trash_until.is_some());
                let removal = Removal { how: "policy", event, lease_until, trash_until, hides, stamp: &stamp };
                gone.push(!waits && is_as_seen(tx, &name, image)? && expire(tx, &name, image, &removal)?);
            }
            Ok(gone)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// What is known of a repository's policy beside its text.
    pub async fn policy_state(&self, repository: &RepositoryName) -> Result<PolicyState> {
        let name = repository.clone();
        let sql = "SELECT s.previewed, s.previewed_count, s.paused, s.paused_at FROM policy_states s
                   JOIN repositories r ON r.id = s.repository_id WHERE r.name = $1";
        let work = move |tx: &mut Tx<'_>| {
            let state = tx.row(sql, values![&name], |row| {
                let previewed = row.opt_text(0)?.map(|policy| Ok::<_, Fault>((policy, row.size(1)?)));
                let paused = row.opt_text(2)?.map(|why| Ok::<_, Fault>((why, row.time(3)?)));
                Ok(PolicyState { previewed: previewed.transpose()?, paused: paused.transpose()? })
            })?;
            Ok(state.unwrap_or_default())
        };
        self.engine().read(Kind::Read, work).await
    }

    /// Notes what somebody was shown of a repository's policy.
    pub async fn policy_previewed(
        &self,
        repository: &RepositoryName,
        policy: &str,
        count: u64,
        at: Timestamp,
    ) -> Result<()> {
        let (name, policy) = (repository.clone(), policy.to_owned());
        let sql = "INSERT INTO policy_states (repository_id, previewed, previewed_count, previewed_at)
                   SELECT id, CAST($1 AS TEXT), CAST($2 AS BIGINT), CAST($3 AS BIGINT) FROM repositories WHERE name = $4
                   ON CONFLICT (repository_id) DO UPDATE SET previewed = excluded.previewed,
                     previewed_count = excluded.previewed_count, previewed_at = excluded.previewed_at";
        let work = move |tx: &mut Tx<'_>| tx.execute(sql, values![&policy, count, at, &name]).map(drop);
        self.engine().write(Kind::Shrink, work).await
    }

    /// Pauses a repository's policy for this reason, or with `None` lets it go on.
    pub async fn pause_policy(&self, repository: &RepositoryName, why: Option<&str>, stamp: Stamp) -> Result<()> {
        let (name, why) = (repository.clone(), why.map(str::to_owned));
        let work = move |tx: &mut Tx<'_>| {
            let sql = "INSERT INTO policy_states (repository_id, paused, paused_at)
                       SELECT id, CAST($1 AS TEXT), CAST($2 AS BIGINT) FROM repositories WHERE name = $3
                       ON CONFLICT (repository_id) DO UPDATE SET paused = excluded.paused, paused_at = excluded.paused_at";
            tx.execute(sql, values![why.as_deref(), stamp.at, &name])?;
            let kind = if why.is_some() { outbox::POLICY_PAUSED } else { outbox::POLICY_RESUMED };
            outbox::record(tx, kind, Some(&name), &json!({ "reason": why }), &stamp)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Why all policies are paused, if they are.
    pub async fn policies_paused(&self) -> Result<Option<String>> {
        let sql = "SELECT value FROM meta WHERE key = $1";
        self.engine().read(Kind::Read, move |tx| tx.row(sql, values![PAUSED], |row| row.text(0))).await
    }

    /// Pauses all policies for this reason, or with `None` lets them go on.
    pub async fn pause_policies(&self, why: Option<&str>, stamp: Stamp) -> Result<()> {
        let why = why.map(str::to_owned);
        let work = move |tx: &mut Tx<'_>| {
            match &why {
                Some(why) => {
                    let sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
                    tx.execute(sql, values![PAUSED, why])?;
                }
                None => drop(tx.execute("DELETE FROM meta WHERE key = $1", values![PAUSED])?),
            }
            let kind = if why.is_some() { outbox::POLICY_PAUSED } else { outbox::POLICY_RESUMED };
            outbox::record(tx, kind, None, &json!({ "reason": why }), &stamp)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Keeps the report of a run that is over, with its event.
    pub async fn record_policy_run(
        &self,
        repository: &RepositoryName,
        started: Timestamp,
        report: &str,
        stamp: Stamp,
    ) -> Result<i64> {
        let (name, report) = (repository.clone(), report.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let sql = "INSERT INTO policy_runs (repository, identity, started_at, finished_at, report)
                       VALUES ($1, $2, $3, $4, $5) RETURNING id";
            let row = values![&name, &stamp.identity, started, stamp.at, &report];
            let id = tx.row(sql, row, |row| row.int(0))?.unwrap_or_default();
            let payload = serde_json::from_str(&report).unwrap_or_default();
            outbox::record(tx, outbox::POLICY_APPLIED, Some(&name), &payload, &stamp)?;
            Ok(id)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// A repository's runs before this one, the newest first.
    pub async fn policy_runs(
        &self,
        repository: &RepositoryName,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<PolicyRun>> {
        let (name, before) = (repository.clone(), before.unwrap_or(i64::MAX));
        let sql = "SELECT id, identity, started_at, finished_at, report FROM policy_runs
                   WHERE repository = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
        let work = move |tx: &mut Tx<'_>| {
            let rows = tx.rows(sql, values![&name, before, limit + 1], |row| {
                let (id, identity, report) = (row.int(0)?, row.text(1)?, row.text(4)?);
                Ok(PolicyRun { id, identity, started: row.time(2)?, finished: row.time(3)?, report })
            })?;
            Ok(page(rows, limit))
        };
        self.engine().read(Kind::Read, work).await
    }

    /// Removes runs from before this time; answers how many.
    pub async fn prune_policy_runs(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM policy_runs WHERE id IN
                   (SELECT id FROM policy_runs WHERE finished_at < $1 ORDER BY finished_at LIMIT $2)";
        self.prune(move |tx| tx.execute(sql, values![before, PRUNED])).await
    }
}

/// A repository is removed: what was said about it goes with it.
pub(crate) fn repository_removed(tx: &mut Tx<'_>, id: i64, name: &RepositoryName) -> Done<()> {
    tx.execute("DELETE FROM policy_states WHERE repository_id = $1", values![id])?;
    tx.execute("DELETE FROM policies WHERE pattern = $1", values![name])?;
    Ok(())
}

fn with_wildcards(tx: &mut Tx<'_>) -> Done<Vec<PolicyRow>> {
    let sql = "SELECT pattern, text, set_at, set_by FROM policies WHERE wildcard = 1 ORDER BY pattern LIMIT $1";
    tx.rows(sql, values![WILDCARD_POLICIES], policy)
}

fn note(tx: &mut Tx<'_>, kind: &'static str, pattern: &RepositoryPattern, stamp: &Stamp) -> Done<()> {
    let repository = pattern.as_str().parse().ok().filter(|_| pattern.is_literal());
    outbox::record(tx, kind, repository.as_ref(), &json!({ "name": pattern.as_str() }), stamp)
}

/// The parts of one image that are left.
fn rest_of_image(tx: &mut Tx<'_>, repository: i64, after: ImagePart, limit: usize) -> Done<Vec<ImagePart>> {
    let sql = "SELECT m.digest_id, e.child_id FROM manifests m JOIN edges e ON e.manifest_id = m.id
               WHERE m.repository_id = $1 AND m.digest_id = $2 AND e.child_id > $3 ORDER BY e.child_id LIMIT $4";
    tx.rows(sql, values![repository, after.image, after.child, limit], part)
}

fn part(row: &Row<'_>) -> Done<ImagePart> {
    Ok(ImagePart { image: row.int(0)?, child: row.int(1)? })
}

fn policy(row: &Row<'_>) -> Done<PolicyRow> {
    let (pattern, text) = (row.parsed(0, "pattern")?, row.text(1)?);
    Ok(PolicyRow { pattern, text, set: row.time(2)?, set_by: row.text(3)? })
}

/// Whether nobody tagged, pushed or pulled an image since a policy saw it. On PostgreSQL its digest is locked first, as a push locks it.
fn is_as_seen(tx: &mut Tx<'_>, name: &RepositoryName, seen: &ExpiringImage) -> Done<bool> {
    let Some(repository) = lookup::repository(tx, name, Hold::Share)? else { return Ok(false) };
    let Some(digest) = lookup::digest(tx, &seen.digest, Hold::Own)? else { return Ok(false) };
    let sql = "SELECT renewed_at, pulled_at FROM manifests WHERE repository_id = $1 AND digest_id = $2";
    let times = tx.row(sql, values![repository, digest], |row| Ok((row.opt_time(0)?, row.opt_time(1)?)))?;
    if times != Some((seen.renewed, seen.pulled)) {
        return Ok(false);
    }
    let sql = "SELECT name FROM tags WHERE repository_id = $1 AND digest_id = $2 ORDER BY name LIMIT $3";
    let tags = tx.rows(sql, values![repository, digest, seen.tags.len() + 1], |row| row.tag(0))?;
    Ok(tags == seen.tags)
}

fn expire(tx: &mut Tx<'_>, name: &RepositoryName, image: &ExpiringImage, removal: &Removal<'_>) -> Done<bool> {
    match manifests::delete(tx, name, &image.digest, removal)? {
        DeleteOutcome::Deleted => Ok(true),
        DeleteOutcome::Absent | DeleteOutcome::InUse { .. } => Ok(false),
    }
}
