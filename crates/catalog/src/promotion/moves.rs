//! A manifest enters a stage: references, tag, history, event and audit in one transaction (**Invariant 3**).

use serde_json::json;

use super::{approvals, copies, facts, version};
use crate::access;
use crate::engine::{Done, Fault, Kind, Tx, values};
use crate::lookup::{self, Hold};
use crate::model::promotion::{Promotion, PromotionOutcome, RequestKey};
use crate::quotas::Quotas;
use crate::tags::{self, Place, Told};
use crate::trash;
use crate::{Catalog, Result};

/// How a tag moves by a promotion, for its history.
pub(super) const PROMOTION: &str = "promotion";

impl Catalog {
    /// Lets a manifest enter a stage, if nothing that the decision rests on has changed since.
    pub async fn promote(&self, promotion: Promotion) -> Result<PromotionOutcome> {
        // Within a repository it is a row or two: tags move on a full disk too (behaviour §6).
        let kind = if promotion.source == promotion.target.0 { Kind::Shrink } else { Kind::Grow };
        self.engine().write(kind, move |tx| promote(tx, &promotion)).await
    }

    /// What a request with this key of this identity was, and what was answered.
    pub async fn kept_answer(&self, identity: &str, key: &str) -> Result<Option<(RequestKey, String)>> {
        let (identity, key) = (identity.to_owned(), key.to_owned());
        self.engine().read(Kind::Read, move |tx| kept(tx, &identity, &key)).await
    }
}

fn promote(tx: &mut Tx<'_>, asked: &Promotion) -> Done<PromotionOutcome> {
    if let Some(repeated) = repeated(tx, asked)? {
        return Ok(repeated);
    }
    match enter(tx, asked)? {
        // On PostgreSQL the same request may have moved the stage while this one looked.
        moved @ (PromotionOutcome::Elsewhere(_) | PromotionOutcome::Changed) => {
            Ok(repeated(tx, asked)?.unwrap_or(moved))
        }
        outcome => Ok(outcome),
    }
}

fn repeated(tx: &mut Tx<'_>, asked: &Promotion) -> Done<Option<PromotionOutcome>> {
    let Some((key, _)) = &asked.key else { return Ok(None) };
    let kept = kept(tx, &asked.stamp.identity, &key.key)?;
    Ok(kept.map(|(request, answer)| PromotionOutcome::Repeated(request, answer)))
}

fn enter(tx: &mut Tx<'_>, asked: &Promotion) -> Done<PromotionOutcome> {
    let (target, tag) = &asked.target;
    let quotas = Quotas::over(tx, target)?;
    let Some(source) = lookup::repository(tx, &asked.source, Hold::Share)? else { return Ok(PromotionOutcome::Gone) };
    if version(tx)? != asked.version
        || !approvals::stand(tx, &asked.base, &asked.stage, &asked.digest, &asked.approved_by)?
    {
        return Ok(PromotionOutcome::Changed);
    }
    let standing = facts::standing(tx, target, tag)?;
    if standing != asked.expected {
        return Ok(PromotionOutcome::Elsewhere(standing));
    }
    let from = Place { id: source, name: &asked.source };
    let Some(manifest) = ready(tx, from, asked)? else { return Ok(PromotionOutcome::Gone) };
    let copy = if *target == asked.source { None } else { copies::look(tx, from, &asked.digest)? };
    if let Some(copy) = &copy {
        let known = lookup::repository(tx, target, Hold::Share)?;
        if let Some(over) = copy.refuse(tx, known, &quotas)? {
            return Ok(PromotionOutcome::OverQuota(over));
        }
    }
    let (id, made) = match copy {
        None => (source, false),
        Some(_) => lookup::ensure_repository(tx, target, &asked.stamp)?,
    };
    let to = Place { id, name: target };
    if let Some(copy) = copy {
        copy.write(tx, (from, to), &quotas, &asked.stamp)?;
    }
    let details = json!({ "stage": asked.stage.as_str(), "reference": asked.reference, "reason": asked.reason, "approvedBy": asked.approved_by });
    let told = Told { how: asked.how, reason: asked.reason.as_deref(), details };
    let moved = tags::point_told(tx, to, tag, (manifest, &asked.digest), &told, &asked.stamp)?;
    if moved.is_some_and(|before| before != asked.expected) {
        return Err(Fault::Conflict("the stage moved while it was looked at"));
    }
    keep(tx, asked)?;
    if made {
        access::repository_made(tx, id, target, &asked.stamp)?;
    }
    Ok(PromotionOutcome::Moved)
}

/// The digest's id of a manifest that may enter: live and complete. A rollback brings it back from the trash.
fn ready(tx: &mut Tx<'_>, place: Place<'_>, asked: &Promotion) -> Done<Option<i64>> {
    if asked.how != PROMOTION {
        return trash::live_again(tx, place, &asked.digest, &asked.stamp);
    }
    let Some(digest) = tags::live_manifest(tx, place, &asked.digest)? else { return Ok(None) };
    let sql = "SELECT 1 FROM manifests WHERE repository_id = $1 AND digest_id = $2 AND incomplete = 0";
    Ok(tx.any(sql, values![place.id, digest])?.then_some(digest))
}

fn kept(tx: &mut Tx<'_>, identity: &str, key: &str) -> Done<Option<(RequestKey, String)>> {
    let sql = "SELECT request, answer FROM kept_answers WHERE identity = $1 AND key = $2";
    tx.row(sql, values![identity, key], |row| {
        Ok((RequestKey { key: key.to_owned(), request: row.text(0)? }, row.text(1)?))
    })
}

fn keep(tx: &mut Tx<'_>, asked: &Promotion) -> Done<()> {
    let Some((RequestKey { key, request }, answer)) = &asked.key else { return Ok(()) };
    let sql = "INSERT INTO kept_answers (identity, key, request, answer, at) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (identity, key) DO NOTHING";
    let stamp = &asked.stamp;
    match tx.execute(sql, values![&stamp.identity, key, request, answer, stamp.at])? {
        0 => Err(Fault::Conflict("another request used the key meanwhile")),
        _ => Ok(()),
    }
}
