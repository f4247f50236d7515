//! Trying rules: what they would say, without a change.

use larder_catalog::model::rules::Door;
use larder_oci::{Action, Digest, Reference, RepositoryName, RepositoryPattern, Tag};

use super::door::RulesDoor;
use super::{Act, Change, Effective, Judgement};
use crate::{Actor, Registry, Result};

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The tag that would be pushed.
    pub tag: Tag,
    /// The image that it would be pushed to; nothing stands for one that is not here yet.
    pub reference: Option<Reference>,
    /// Rules to try in the place of the repository's own.
    pub text: Option<String>,
}

/// What rules would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The image that was looked at, if it is here; what a new one is made of nobody knows yet.
    pub digest: Option<Digest>,
    /// What they would say, and move.
    pub judgement: Judgement,
}

impl Registry {
    /// What rules would say to a push.
    pub async fn try_rules(&self, actor: &Actor, repository: &RepositoryName, trial: &Trial) -> Result<Tried> {
        self.permit(actor, Action::Pull, repository).await?;
        let rules = match &trial.text {
            None => self.rules_of(repository).await?,
            Some(text) => {
                let own = RepositoryPattern::from(repository);
                let texts = self.rules_texts(repository).await?;
                let others = texts.iter().filter(|set| set.pattern != own);
                let others = others.map(|set| (&set.pattern, set.text.as_str()));
                Effective::of(std::iter::once((&own, text.as_str())).chain(others))?
            }
        };
        let row = match &trial.reference {
            Some(reference) => self.inner.catalog.manifest(repository, reference, false).await?,
            None => None,
        };
        let digest = row.map(|row| row.digest);
        let tags = vec![trial.tag.clone()];
        let content = match &digest {
            Some(digest) => self.stored_content(actor, repository, digest, &tags, &rules).await?,
            None => None,
        };
        let moves_tags = self.may(actor, Action::TagMove, repository).await?;
        let change = Change { act: Act::Push, repository: repository.clone(), tags, content, moves_tags };
        let door = RulesDoor::new(rules, change);
        let standing = self.inner.catalog.standing(repository, door.asks(), digest).await?;
        Ok(Tried { digest, judgement: door.judge(&standing) })
    }
}
