//! People approve that a version enters a stage.

use larder_oci::{Action, Digest, Reference, RepositoryName, Tag};

use super::promote::named;
use super::{Refusal, Shown};
use crate::{Actor, Error, Registry, Result};

/// What is approved.
#[derive(Clone, Debug)]
pub struct Approving {
    /// A tag or a digest; the approval is of the digest.
    pub reference: Reference,
    /// The stage.
    pub to: Tag,
    /// What there is to say about it.
    pub reason: Option<String>,
    /// Take the approval back.
    pub withdraw: bool,
}

/// An approval that was given or taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// What: `ml-model:1.4.2`.
    pub source: String,
    /// Its digest.
    pub digest: Digest,
    /// The stage.
    pub stage: String,
    /// Who.
    pub by: String,
    /// Whether anything changed.
    pub changed: bool,
    /// How many approvals count now.
    pub count: usize,
    /// How many the stage asks for.
    pub asked: u32,
}

impl Registry {
    /// Approves that a version enters a stage, or takes that back. Members of the stage's group may who may pull; where no group is named, whoever may
    /// push. A credential that is cut to pulls says nothing in its owner's name.
    pub async fn approve(&self, actor: &Actor, repository: &RepositoryName, asked: &Approving) -> Result<Approved> {
        self.permit_write(actor, Action::Pull, repository).await?;
        if !actor.speaks_for_its_owner(repository) {
            return Err(Error::Denied);
        }
        let layout = self.layout(repository).await?;
        let (stage, before) = layout.find(&asked.to)?;
        let Some(approvals) = stage.gates.approvals.clone() else {
            return Err(Refusal::NothingToApprove(stage.name.clone()).into());
        };
        if actor.is_anonymous() {
            return Err(Refusal::Nobody.into());
        }
        match &approvals.group {
            Some(group) if !self.inner.catalog.is_in_group(actor.identity(), group).await? => {
                return Err(Refusal::NotInGroup { stage: stage.name.clone(), group: group.clone() }.into());
            }
            Some(_) => {}
            None => self.permit_move(actor, &layout.base).await?,
        }
        let before = before.map(|before| before.name.clone());
        let (source, digest) = self.version(actor, repository, &layout, before.as_ref(), &asked.reference).await?;
        let (catalog, stamp) = (&self.inner.catalog, self.stamp(actor));
        let changed = match asked.withdraw {
            false => catalog.approve(&layout.base, &stage.name, &digest, asked.reason.as_deref(), stamp).await?,
            true => catalog.withdraw_approval(&layout.base, &stage.name, &digest, stamp).await?,
        };
        let target = match layout.stages.shown {
            Shown::Tag => (layout.base.clone(), stage.name.clone()),
            Shown::Repository => (layout.repository(&stage.name)?, stage.name.clone()),
        };
        let question = larder_catalog::model::promotion::StageQuestion {
            base: layout.base.clone(),
            stage: stage.name.clone(),
            source: source.clone(),
            digest,
            target,
            before: None,
            group: approvals.group.clone(),
        };
        let given = catalog.stage_facts(question).await?.approvals;
        Ok(Approved {
            source: named(&source, &asked.reference),
            digest,
            stage: stage.name.to_string(),
            by: actor.identity().to_owned(),
            changed,
            count: given.iter().filter(|approval| approval.in_group).count(),
            asked: approvals.count,
        })
    }
}
