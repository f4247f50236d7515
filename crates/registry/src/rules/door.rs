//! The rules as the catalog asks them, inside the transaction that changes tags.

use std::sync::Arc;

use larder_catalog::model::rules::{Asked, Door, Judgement, Passed, Standing};
use larder_oci::{Digest, RepositoryName, Tag};

use super::{Change, Content, Effective, Level, alias, judge};
use crate::{Action, Actor, Error, Registry, Result};

/// How tags change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A manifest is pushed.
    Push,
    /// A tag is pointed at what is there.
    Retag,
    /// A tag goes back.
    Rollback,
    /// A tag goes.
    DeleteTag,
    /// A manifest goes with its tags.
    DeleteManifest,
}

/// Rules and what is to happen.
#[derive(Debug)]
pub(super) struct RulesDoor {
    rules: Effective,
    change: Change,
    asked: Asked,
}

impl RulesDoor {
    /// What has to be known about the change is found out here.
    pub fn new(rules: Effective, change: Change) -> Self {
        let mut asked =
            Asked { places: change.tags.clone(), newest: Vec::new(), names: change.act == Act::DeleteManifest };
        let aliases = rules.rules.aliases.as_ref().filter(|rule| rule.level != Level::Off);
        if let Some(rule) = aliases.filter(|_| matches!(change.act, Act::Push | Act::Retag)) {
            alias::asks(rule, &change.tags, &mut asked);
        }
        Self { rules, change, asked }
    }
}

impl Door for RulesDoor {
    fn asks(&self) -> &Asked {
        &self.asked
    }

    fn judge(&self, standing: &Standing) -> Judgement {
        judge(&self.rules, &self.change, &self.asked, standing)
    }
}

impl Registry {
    /// Who decides about a change, if any rules hold here. `content` is asked for only where it matters.
    pub(crate) async fn door(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        act: Act,
        tags: &[Tag],
        content: impl AsyncFnOnce(&Effective) -> Result<Option<Content>>,
    ) -> Result<Option<Arc<dyn Door>>> {
        let rules = self.rules_of(repository).await?;
        if rules.written.is_empty() {
            return Ok(None);
        }
        let content = if rules.rules.need_content() { content(&rules).await? } else { None };
        let moves_tags = self.may(actor, Action::TagMove, repository).await?;
        let change = Change { act, repository: repository.clone(), tags: tags.to_vec(), content, moves_tags };
        Ok(Some(Arc::new(RulesDoor::new(rules, change))))
    }

    /// Asks the rules of the target about a version that a promotion brings from `source`. `moves`: the tag is the stage's own, which nothing but `immutable`
    /// could hold.
    pub(crate) async fn judge_promotion(
        &self,
        actor: &Actor,
        source: &RepositoryName,
        (place, tag): (&RepositoryName, &Tag),
        digest: &Digest,
        moves: bool,
    ) -> Result<()> {
        let tags = [tag.clone()];
        let content = async |rules: &_| self.stored_content(actor, source, digest, &tags, rules).await;
        let Some(door) = self.door(actor, place, Act::Retag, &tags, content).await? else { return Ok(()) };
        let standing = self.inner.catalog.standing(place, door.asks(), Some(*digest)).await?;
        let mut judgement = door.judge(&standing);
        if moves {
            judgement.refused.retain(|told| told.rule != "immutable");
        }
        if !judgement.refused.is_empty() {
            return Err(self.refused(actor, place, judgement.refused));
        }
        self.warned(&judgement);
        Ok(())
    }

    /// What became of a change that rules were asked about; what they said is counted, and told with it.
    pub(crate) fn passed<T>(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        passed: Passed<T>,
    ) -> Result<(T, Vec<String>)> {
        match passed {
            Passed::Refused(told) => Err(self.refused(actor, repository, told)),
            Passed::Done(outcome, judgement) => Ok((outcome, self.warned(&judgement))),
        }
    }

    /// What rules said although they let it pass.
    pub(crate) fn warned(&self, judgement: &Judgement) -> Vec<String> {
        self.inner.heard.count_warned(judgement.warned.len());
        judgement.warned.iter().map(ToString::to_string).collect()
    }
}

/// No content: for what is no new image.
pub(crate) async fn unchanged(_: &Effective) -> Result<Option<Content>, Error> {
    Ok(None)
}
