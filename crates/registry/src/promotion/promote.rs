//! A version enters a stage.

use std::time::Duration;

use larder_catalog::model::promotion::{
    Promotion, PromotionOutcome, RequestKey, StageEntry, StageFacts, StageQuestion,
};
use larder_oci::{Action, Digest, Reference, RepositoryName, Tag};
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::{Check, Facts, Gate, Refusal, Shown, Stage, Stay, Verified, check};
use crate::history::keeps_tags;
use crate::{Actor, Error, Registry, Result};

/// How often a decision is made anew when others change what it rests on.
const TRIES: usize = 5;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Promote {
    /// What is to enter: a tag or a digest.
    pub reference: Reference,
    /// The stage.
    pub to: Tag,
    /// What must stand there now, if anything must: `Some(None)` for nothing.
    pub expected: Option<Option<Digest>>,
    /// Why.
    pub reason: Option<String>,
    /// Only say what would happen.
    pub dry_run: bool,
    /// By what a repetition of the request is known.
    pub key: Option<String>,
}

/// What happened, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// The stage.
    pub stage: String,
    /// What enters: `ml-model:1.4.2`.
    pub source: String,
    /// Where it stands from now on: `ml-model:prod`.
    pub target: String,
    /// What stood there.
    pub from: Option<Digest>,
    /// What stands there.
    pub to: Digest,
    /// Layers and configurations that what stood there did not have.
    pub new: Vec<Layer>,
    /// What the stage asks, and how that stands.
    pub checks: Vec<Check>,
    /// Whether the stage moved. Not in a dry run, and not where it stood there already.
    pub moved: bool,
}

/// A layer or a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl Promoted {
    /// Whether all that is asked is met.
    pub fn is_allowed(&self) -> bool {
        self.checks.iter().all(|check| check.met)
    }
}

/// A version on its way into a stage.
struct Way {
    layout: Layout,
    stage: Stage,
    question: StageQuestion,
}

/// What is kept of an answer, for a repetition.
#[derive(Serialize, Deserialize)]
struct Kept {
    source: String,
    target: String,
    from: Option<Digest>,
    to: Digest,
    new: Vec<Layer>,
    checks: Vec<(String, String)>,
    moved: bool,
}

impl Registry {
    /// Lets a version enter a stage, if it meets what the stage asks. A request with a key that was answered gets the same answer again.
    ///
    /// # Errors
    /// [`Refusal::Unmet`] with all that is asked and how it stands.
    pub async fn promote(&self, actor: &Actor, repository: &RepositoryName, asked: &Promote) -> Result<Promoted> {
        if let Some(answer) = self.answered(actor, repository, asked).await? {
            return Ok(answer);
        }
        let way = self.way(actor, repository, asked).await?;
        for _ in 0..TRIES {
            let facts = self.inner.catalog.stage_facts(way.question.clone()).await?;
            let promoted = self.look(&way, &facts, self.signature(actor, &way).await?, asked)?;
            if asked.dry_run {
                if promoted.is_allowed() {
                    self.may_enter(actor, &way, &facts).await?;
                }
                return Ok(promoted);
            }
            if let Some(expected) = asked.expected.filter(|expected| *expected != facts.standing) {
                let current = facts.standing;
                tracing::debug!(?expected, ?current, "a stage moved before a promotion");
                return Err(Refusal::Elsewhere { stage: promoted.target, current }.into());
            }
            if !promoted.is_allowed() {
                let (reference, stage) = (promoted.source, way.stage.name.clone());
                return Err(Refusal::Unmet { reference, stage, checks: promoted.checks }.into());
            }
            self.may_enter(actor, &way, &facts).await?;
            match self.inner.catalog.promote(self.promotion(actor, repository, &way, &facts, &promoted, asked)).await? {
                PromotionOutcome::Moved => return Ok(promoted),
                PromotionOutcome::Repeated(request, answer) => return again(&request, &answer, repository, asked),
                PromotionOutcome::OverQuota(over) => return Err(Error::OverQuota(Box::new(over))),
                PromotionOutcome::Elsewhere(current) if asked.expected.is_some() => {
                    return Err(Refusal::Elsewhere { stage: promoted.target, current }.into());
                }
                PromotionOutcome::Elsewhere(_) | PromotionOutcome::Changed | PromotionOutcome::Gone => {}
            }
        }
        Err(Refusal::Changed.into())
    }

    async fn answered(&self, actor: &Actor, repository: &RepositoryName, asked: &Promote) -> Result<Option<Promoted>> {
        let Some(key) = asked.key.as_ref().filter(|_| !asked.dry_run) else { return Ok(None) };
        self.permit(actor, Action::Pull, repository).await?;
        match self.inner.catalog.kept_answer(actor.identity(), key).await? {
            Some((request, answer)) => again(&request, &answer, repository, asked).map(Some),
            None => Ok(None),
        }
    }

    /// Finds the version and the stage, and whether the actor may bring one into the other.
    async fn way(&self, actor: &Actor, repository: &RepositoryName, asked: &Promote) -> Result<Way> {
        self.permit(actor, Action::Pull, repository).await?;
        let layout = self.layout(repository).await?;
        let (stage, before) = layout.find(&asked.to)?;
        let (stage, before) = (stage.clone(), before.map(|before| before.name.clone()));
        let (source, digest) = self.version(actor, repository, &layout, before.as_ref(), &asked.reference).await?;
        let target = match layout.stages.shown {
            Shown::Tag => (layout.base.clone(), stage.name.clone()),
            Shown::Repository => {
                (layout.repository(&stage.name)?, self.tag_of(&source, &asked.reference, &digest).await?)
            }
        };
        match layout.stages.shown {
            Shown::Tag => self.permit_move(actor, &target.0).await?,
            Shown::Repository => self.permit_write(actor, Action::Push, &target.0).await?,
        }
        if target.0 != source {
            self.may_begin(&target.0).await?;
        }
        let before = before.map(|before| layout.stage_place(&before)).transpose()?;
        let group = stage.gates.approvals.as_ref().and_then(|approvals| approvals.group.clone());
        let question = StageQuestion {
            base: layout.base.clone(),
            stage: stage.name.clone(),
            source,
            digest,
            target,
            before,
            group,
        };
        Ok(Way { layout, stage, question })
    }

    /// Where the version is: in the repository that was named or, where stages are repositories, in the stage before.
    pub(super) async fn version(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        layout: &Layout,
        before: Option<&Tag>,
        reference: &Reference,
    ) -> Result<(RepositoryName, Digest)> {
        if let Some(found) = self.inner.catalog.manifest(repository, reference, false).await? {
            return Ok((repository.clone(), found.digest));
        }
        if let (Shown::Repository, Some(before)) = (layout.stages.shown, before) {
            let staged = layout.repository(before)?;
            if self.may(actor, Action::Pull, &staged).await?
                && let Some(found) = self.inner.catalog.manifest(&staged, reference, false).await?
            {
                return Ok((staged, found.digest));
            }
        }
        Err(Error::ManifestUnknown { repository: repository.clone(), reference: reference.to_string() })
    }

    /// The tag under which a version stands in a repository that is a stage.
    async fn tag_of(&self, source: &RepositoryName, reference: &Reference, digest: &Digest) -> Result<Tag> {
        if let Reference::Tag(tag) = reference {
            return Ok(tag.clone());
        }
        let tags = self.inner.catalog.tags_of(source, digest, 100).await?.items;
        let version = tags.iter().find(|tag| larder_oci::TagForm::of(tag).version().is_some());
        let tag = version.or(tags.first()).cloned();
        tag.ok_or_else(|| Error::ManifestUnknown {
            repository: source.clone(),
            reference: format!("a tag of {digest}"),
        })
    }

    /// Whether a credential and the rules at the door of the target let the version in. The stage's own tag moves by promotion, also where a rule calls
    /// tags immutable.
    async fn may_enter(&self, actor: &Actor, way: &Way, facts: &StageFacts) -> Result<()> {
        let StageQuestion { source, digest, target: (place, tag), .. } = &way.question;
        if facts.standing.is_some_and(|now| now != *digest) && keeps_tags(actor, place) {
            return Err(Error::TagKept(tag.clone()));
        }
        let moves = way.layout.stages.shown == Shown::Tag;
        self.judge_promotion(actor, source, (place, tag), digest, moves).await
    }

    /// What signatures say of the version, where the stage asks.
    async fn signature(&self, actor: &Actor, way: &Way) -> Result<Option<Verified>> {
        if !way.stage.gates.signature {
            return Ok(None);
        }
        let signed = self.verified(actor, &way.question.source, &way.question.digest).await?;
        Ok(signed.map(|signed| match signed {
            true => Verified::Signed("a key of the rule `signature`".to_owned()),
            false => Verified::Unsigned("no signature by a key of the rule `signature` is here".to_owned()),
        }))
    }

    /// What would happen, and how all that is asked stands.
    fn look(&self, way: &Way, facts: &StageFacts, signature: Option<Verified>, asked: &Promote) -> Result<Promoted> {
        let question = &way.question;
        let Some(complete) = facts.complete else {
            let reference = asked.reference.to_string();
            return Err(Error::ManifestUnknown { repository: question.source.clone(), reference });
        };
        let before =
            way.layout.find(&way.stage.name)?.1.map(|stage| (stage.name.clone(), facts.before.as_ref().map(stay)));
        let approved_by = facts.approvals.iter().filter(|approval| approval.in_group);
        let known = Facts {
            now: self.now(),
            complete,
            before,
            tags: facts.tags.clone(),
            signature,
            approved_by: approved_by.map(|approval| approval.identity.clone()).collect(),
        };
        let (place, tag) = &question.target;
        Ok(Promoted {
            stage: way.stage.name.to_string(),
            source: named(&question.source, &asked.reference),
            target: format!("{place}:{tag}"),
            from: facts.standing,
            to: question.digest,
            new: facts.new.iter().map(|(digest, size)| Layer { digest: *digest, size: *size }).collect(),
            checks: check(&way.stage, &known),
            moved: !asked.dry_run && facts.standing != Some(question.digest),
        })
    }

    fn promotion(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        way: &Way,
        facts: &StageFacts,
        promoted: &Promoted,
        asked: &Promote,
    ) -> Promotion {
        let approved_by = facts.approvals.iter().filter(|approval| approval.in_group);
        let asks = way.stage.gates.approvals.is_some();
        let question = way.question.clone();
        Promotion {
            base: question.base,
            stage: question.stage,
            source: question.source,
            digest: question.digest,
            target: question.target,
            expected: facts.standing,
            version: facts.version,
            approved_by: approved_by.filter(|_| asks).map(|approval| approval.identity.clone()).collect(),
            how: "promotion",
            reference: asked.reference.to_string(),
            reason: asked.reason.clone(),
            key: asked.key.as_ref().map(|key| (request_key(key, repository, asked), kept(promoted))),
            stamp: self.stamp(actor),
        }
    }
}

/// A stay, as gates look at it.
fn stay(entry: &StageEntry) -> Stay {
    Stay { entered: entry.entered, left: entry.left, stood: Duration::from_millis(entry.stood) }
}

/// `ml-model:1.4.2`, `ml-model@sha256:…`.
pub(super) fn named(repository: &RepositoryName, reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => format!("{repository}:{tag}"),
        Reference::Digest(digest) => format!("{repository}@{digest}"),
    }
}

fn request_key(key: &str, repository: &RepositoryName, asked: &Promote) -> RequestKey {
    let Promote { reference, to, expected, reason, .. } = asked;
    let request = serde_json::json!({
        "source": named(repository, reference),
        "to": to.as_str(),
        "expected": expected.map(|digest| digest.map(|digest| digest.to_string())),
        "reason": reason,
    });
    RequestKey { key: key.to_owned(), request: request.to_string() }
}

fn kept(promoted: &Promoted) -> String {
    let checks = promoted.checks.iter().map(|check| (check.gate.as_str().to_owned(), check.said.clone()));
    let kept = Kept {
        source: promoted.source.clone(),
        target: promoted.target.clone(),
        from: promoted.from,
        to: promoted.to,
        new: promoted.new.clone(),
        checks: checks.collect(),
        moved: promoted.moved,
    };
    serde_json::to_string(&kept).expect("it is JSON")
}

/// The answer that a request got the first time.
fn again(request: &RequestKey, answer: &str, repository: &RepositoryName, asked: &Promote) -> Result<Promoted> {
    if *request != request_key(&request.key, repository, asked) {
        return Err(Refusal::KeyUsed.into());
    }
    let kept: Kept = serde_json::from_str(answer).map_err(|error| Error::Internal(error.to_string()))?;
    let Kept { source, target, from, to, new, checks, moved } = kept;
    let gate = |name: &str| Gate::ALL.into_iter().find(|gate| gate.as_str() == name);
    let checks = checks.into_iter().filter_map(|(name, said)| Some(Check { gate: gate(&name)?, met: true, said }));
    Ok(Promoted { stage: asked.to.to_string(), source, target, from, to, new, checks: checks.collect(), moved })
}
