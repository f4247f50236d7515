//! A stage goes back to what stood there before.

use larder_catalog::model::promotion::{Promotion, PromotionOutcome, StageQuestion};
use larder_catalog::model::{RollbackOutcome, RollbackTo};
use larder_oci::{Action, RepositoryName, Tag};

use super::{Refusal, Shown};
use crate::history::keeps_tags;
use crate::{Actor, Error, Registry, Result, RolledBack};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct StageRollback {
    /// The stage.
    pub stage: Tag,
    /// To what.
    pub to: RollbackTo,
    /// Why.
    pub reason: Option<String>,
    /// Only say what would happen.
    pub dry_run: bool,
}

impl Registry {
    /// Points a stage at what stood there before; what was deleted meanwhile comes back with it. Gates are not asked: it met them once, or was let in.
    pub async fn rollback_stage(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        asked: &StageRollback,
    ) -> Result<RolledBack> {
        self.permit(actor, Action::Pull, repository).await?;
        let layout = self.layout(repository).await?;
        let (stage, _) = layout.find(&asked.stage)?;
        if layout.stages.shown == Shown::Repository {
            return Err(Refusal::IsRepository(stage.name.clone()).into());
        }
        let (base, tag, stamp) = (layout.base.clone(), stage.name.clone(), self.stamp(actor));
        self.permit_move(actor, &base).await?;
        if keeps_tags(actor, &base) {
            return Err(Error::TagKept(tag));
        }
        let outcome = self.inner.catalog.rollback_tag(&base, &tag, asked.to, false, stamp.clone()).await?;
        let (from, to) = match outcome {
            RollbackOutcome::Moved { from, to } => (from, to),
            RollbackOutcome::Same(digest) => return Ok(RolledBack { from: Some(digest), to: digest }),
            RollbackOutcome::Unknown => return Err(Error::NoEarlier(format!("{base}:{tag}"))),
            RollbackOutcome::Gone(digest) => return Err(Error::GoneForGood(digest)),
        };
        if asked.dry_run {
            return Ok(RolledBack { from, to });
        }
        let target = (base.clone(), tag.clone());
        let question = StageQuestion {
            base: base.clone(),
            stage: tag.clone(),
            source: base.clone(),
            digest: to,
            target: target.clone(),
            before: None,
            group: None,
        };
        let version = self.inner.catalog.stage_facts(question).await?.version;
        let promotion = Promotion {
            source: base.clone(),
            base,
            stage: tag.clone(),
            digest: to,
            target,
            expected: from,
            version,
            approved_by: Vec::new(),
            how: "rollback",
            reference: to.to_string(),
            reason: asked.reason.clone(),
            key: None,
            stamp,
        };
        match self.inner.catalog.promote(promotion).await? {
            PromotionOutcome::Moved => Ok(RolledBack { from, to }),
            PromotionOutcome::Gone => Err(Error::GoneForGood(to)),
            PromotionOutcome::Elsewhere(current) => {
                Err(Refusal::Elsewhere { stage: format!("{}:{tag}", layout.base), current }.into())
            }
            PromotionOutcome::OverQuota(over) => Err(Error::OverQuota(Box::new(over))),
            PromotionOutcome::Changed | PromotionOutcome::Repeated(..) => Err(Refusal::Changed.into()),
        }
    }
}
