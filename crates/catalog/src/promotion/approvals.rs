//! Who approved that a manifest enters a stage.

use larder_oci::{Digest, RepositoryName, Tag};
use serde_json::json;

use crate::engine::{Done, Kind, Tx, values};
use crate::keys;
use crate::model::Stamp;
use crate::model::promotion::{ApprovalRow, StageQuestion};
use crate::outbox;
use crate::{Catalog, Result};

/// Approvals of one manifest that are looked at.
const APPROVALS: usize = 1_000;

impl Catalog {
    /// Writes an approval down. Answers `false` when it stood already.
    pub async fn approve(
        &self,
        repository: &RepositoryName,
        stage: &Tag,
        digest: &Digest,
        reason: Option<&str>,
        stamp: Stamp,
    ) -> Result<bool> {
        let (name, stage, digest, reason) = (repository.clone(), stage.clone(), *digest, reason.map(str::to_owned));
        let work = move |tx: &mut Tx<'_>| {
            let sql = "INSERT INTO approvals (repository, stage, digest, identity, at, reason) VALUES ($1, $2, $3, $4, $5, $6)
                       ON CONFLICT (repository, stage, digest, identity) DO NOTHING";
            let key = keys::encode(&digest);
            let row = values![&name, &stage, &key, &stamp.identity, stamp.at, reason.as_deref()];
            let is_new = tx.execute(sql, row)? > 0;
            if is_new {
                let payload = json!({ "stage": stage.as_str(), "digest": digest.to_string(), "reason": reason });
                outbox::record(tx, outbox::APPROVED, Some(&name), &payload, &stamp)?;
            }
            Ok(is_new)
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// Takes an approval back. Answers `false` when there is none of this identity.
    pub async fn withdraw_approval(
        &self,
        repository: &RepositoryName,
        stage: &Tag,
        digest: &Digest,
        stamp: Stamp,
    ) -> Result<bool> {
        let (name, stage, digest) = (repository.clone(), stage.clone(), *digest);
        let work = move |tx: &mut Tx<'_>| {
            let sql = "DELETE FROM approvals WHERE repository = $1 AND stage = $2 AND digest = $3 AND identity = $4";
            let found = tx.execute(sql, values![&name, &stage, &keys::encode(&digest), &stamp.identity])? > 0;
            if found {
                let payload = json!({ "stage": stage.as_str(), "digest": digest.to_string() });
                outbox::record(tx, outbox::APPROVAL_WITHDRAWN, Some(&name), &payload, &stamp)?;
            }
            Ok(found)
        };
        self.engine().write(Kind::Shrink, work).await
    }

    /// Whether an identity is a user of a group.
    pub async fn is_in_group(&self, identity: &str, group: &str) -> Result<bool> {
        let (identity, group) = (identity.to_owned(), group.to_owned());
        self.engine().read(Kind::Read, move |tx| is_in(tx, &identity, &group)).await
    }
}

/// The approvals of the manifest that is asked about.
pub(super) fn of(tx: &mut Tx<'_>, asked: &StageQuestion) -> Done<Vec<ApprovalRow>> {
    let sql = "SELECT identity, at, reason FROM approvals WHERE repository = $1 AND stage = $2 AND digest = $3
               ORDER BY identity LIMIT $4";
    let digest = keys::encode(&asked.digest);
    let row = values![&asked.base, &asked.stage, &digest, APPROVALS];
    let mut rows = tx.rows(sql, row, |row| {
        Ok(ApprovalRow { identity: row.text(0)?, at: row.time(1)?, reason: row.opt_text(2)?, in_group: true })
    })?;
    if let Some(group) = &asked.group {
        for row in &mut rows {
            row.in_group = is_in(tx, &row.identity, group)?;
        }
    }
    Ok(rows)
}

/// Whether all of these still approve.
pub(super) fn stand(
    tx: &mut Tx<'_>,
    repository: &RepositoryName,
    stage: &Tag,
    digest: &Digest,
    by: &[String],
) -> Done<bool> {
    let sql = "SELECT 1 FROM approvals WHERE repository = $1 AND stage = $2 AND digest = $3 AND identity = $4";
    for identity in by {
        if !tx.any(sql, values![repository, stage, &keys::encode(digest), identity])? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_in(tx: &mut Tx<'_>, identity: &str, group: &str) -> Done<bool> {
    let Some(user) = identity.strip_prefix("user:") else { return Ok(false) };
    let sql = "SELECT 1 FROM group_members WHERE group_name = $1 AND user_name = $2";
    tx.any(sql, values![group, user])
}
