//! Policies at work: shown, applied, and run in the background.
//!
//! Facts are evaluated outside of any transaction (**Invariant 4**); what goes is looked at again in the transaction that removes it, and a change that
//! came in between keeps it. One evaluation runs at a time, so that memory is that of one repository.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use larder_catalog::model::policy::ExpiringImage;
use larder_oci::{Action, Digest, RepositoryName};
use serde::{Deserialize, Serialize};

use super::load::Loaded;
use super::preview::freed;
use super::texts::{Standing, hash};
use super::told::{PolicyPreview, Schedule, Shown, is_over_half};
use super::{Evaluation, Policy, Preview, evaluate, preview};
use crate::{Actor, Error, Page, PageRequest, Registry, Result};

/// Images that one transaction removes, but for a group that is larger: few enough that a push hardly waits.
const BATCH: usize = 50;
/// A clock that moved by more is not believed.
const JUMP: SignedDuration = SignedDuration::from_hours(24);
/// Repositories that a background run looks at before it asks for more.
const PAGE: usize = 500;

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// The policy, by its repositories.
    pub pattern: String,
    /// Images that were there.
    pub images: u64,
    /// Images that the policy let go.
    pub expired: u64,
    /// Of these, how many by which rule.
    pub by_rule: BTreeMap<i64, u64>,
    /// Bytes that come free with them, each counted once.
    pub bytes: u64,
    /// Images that were to go and changed meanwhile.
    pub skipped: u64,
    /// Images that were to go and are left to a later run.
    pub left: u64,
}

/// A run that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRunView {
    /// Counts up.
    pub id: i64,
    /// Who ran it.
    pub by: String,
    /// When it began.
    pub started: Timestamp,
    /// When it was over.
    pub finished: Timestamp,
    /// What it did.
    pub report: PolicyReport,
}

/// What a background run did in all repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRound {
    /// Repositories with a policy.
    pub repositories: u64,
    /// Images that went.
    pub expired: u64,
    /// Repositories whose policy is paused.
    pub paused: u64,
}

/// A policy with what it comes to.
struct Worked {
    standing: Standing,
    loaded: Loaded,
    evaluation: Evaluation,
    preview: Preview,
    at: Timestamp,
}

impl Worked {
    fn policy(&self) -> &Policy {
        &self.standing.policies[0].1
    }

    fn text(&self) -> &str {
        &self.standing.policies[0].0.text
    }

    fn expiring(&self) -> u64 {
        self.evaluation.order.len() as u64
    }
}

impl Registry {
    /// What the policy of a repository would do now; or what this one would, if it were set.
    pub async fn preview_policy(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        tried: Option<&str>,
        page: &PageRequest,
    ) -> Result<PolicyPreview> {
        self.permit(actor, Action::Admin, repository).await?;
        self.known(repository).await?;
        let after: Option<Digest> = page.after.as_deref().and_then(|after| after.parse().ok());
        let _one = self.inner.evaluating.lock().await;
        let mut standing = self.standing(repository).await?;
        if let Some(text) = tried {
            standing = standing.tried(repository, text, self.now(), actor.identity())?;
        }
        let worked = self.work_out(repository, standing).await?;
        if tried.is_none() && !self.inner.settings.read_only {
            let (hash, count) = (hash(worked.text()), worked.expiring());
            self.inner.catalog.policy_previewed(repository, &hash, count, worked.at).await?;
        }
        let shown = Shown {
            pattern: &worked.standing.policies[0].0.pattern,
            policy: worked.policy(),
            facts: &worked.loaded.facts,
            preview: &worked.preview,
            at: worked.at,
            schedule: self.schedule(),
        };
        Ok(shown.tell(after.as_ref(), page.limit))
    }

    /// Applies the policy of a repository now, and lets it go on if it was paused.
    ///
    /// # Errors
    /// [`Error::PolicyPaused`] when it would take over half of the images and somebody has not been shown so, or while a clock is doubted.
    pub async fn apply_policy(&self, actor: &Actor, repository: &RepositoryName) -> Result<PolicyReport> {
        self.permit_write(actor, Action::Admin, repository).await?;
        self.known(repository).await?;
        self.clock_is_sound().await?;
        let report = self.run_policy(actor, repository, true).await?;
        report.ok_or_else(|| Error::NoPolicy(repository.clone()))
    }

    /// The runs of a repository's policies, the newest first; `after` is the id of the last one of the page before.
    pub async fn policy_runs(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        page: &PageRequest,
    ) -> Result<Page<PolicyRunView>> {
        self.permit(actor, Action::Pull, repository).await?;
        let before = page.after.as_deref().and_then(|after| after.parse().ok());
        let found = self.inner.catalog.policy_runs(repository, before, page.limit).await?;
        let view = |run: larder_catalog::model::policy::PolicyRun| PolicyRunView {
            id: run.id,
            by: run.identity,
            started: run.started,
            finished: run.finished,
            report: serde_json::from_str(&run.report).unwrap_or_default(),
        };
        Ok(Page { items: found.items.into_iter().map(view).collect(), more: found.more })
    }

    /// Lets policies go on everywhere after a clock was doubted.
    pub async fn resume_policies(&self, actor: &Actor) -> Result<()> {
        self.operator(actor)?;
        self.writable()?;
        Ok(self.inner.catalog.pause_policies(None, self.stamp(actor)).await?)
    }

    /// Runs the policies of all repositories: the background's part.
    pub async fn run_policies(&self) -> Result<PolicyRound> {
        self.writable()?;
        if let Some(every) = self.inner.settings.policy_every {
            *self.inner.next_policies.lock().expect("no panic happens under this lock") =
                crate::clock::after(self.now(), every);
        }
        let mut round = PolicyRound::default();
        match self.clock_is_sound().await {
            Err(Error::PolicyPaused(_)) => return Ok(round),
            sound => sound?,
        }
        let (filter, mut after) = (larder_catalog::model::RepositoryFilter::All, None);
        loop {
            let page = self.inner.catalog.repositories(&filter, after.as_deref(), PAGE).await?;
            for repository in &page.items {
                self.run_in_round(repository, &mut round).await?;
            }
            after = page.items.last().map(ToString::to_string);
            if !page.more {
                return Ok(round);
            }
        }
    }

    async fn run_in_round(&self, repository: &RepositoryName, round: &mut PolicyRound) -> Result<()> {
        if self.inner.catalog.policy_state(repository).await?.paused.is_some() {
            round.paused += 1;
            return Ok(());
        }
        match self.run_policy(&Actor::system(), repository, false).await {
            Ok(Some(report)) => {
                round.repositories += 1;
                round.expired += report.expired;
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(Error::PolicyPaused(why)) => {
                tracing::warn!(%repository, why, "a lifecycle policy was paused: look at `larder policy preview`");
                round.paused += 1;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// One run. `None`: no policy is about this repository.
    async fn run_policy(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        asked: bool,
    ) -> Result<Option<PolicyReport>> {
        let _one = self.inner.evaluating.lock().await;
        // What holds now that its turn has come.
        let standing = self.standing(repository).await?;
        if standing.policies.first().is_none_or(|(_, policy)| policy.rules.is_empty()) {
            return Ok(None);
        }
        let started = self.now();
        let worked = self.work_out(repository, standing).await?;
        self.is_expected(actor, repository, &worked).await?;
        if asked && self.inner.catalog.policy_state(repository).await?.paused.is_some() {
            self.inner.catalog.pause_policy(repository, None, self.stamp(actor)).await?;
        }
        let report = self.remove_images(actor, repository, &worked).await?;
        if asked || worked.expiring() > 0 {
            let text = serde_json::to_string(&report).map_err(|error| Error::Internal(error.to_string()))?;
            self.inner.catalog.record_policy_run(repository, started, &text, self.stamp(actor)).await?;
        }
        Ok(Some(report))
    }

    async fn work_out(&self, repository: &RepositoryName, standing: Standing) -> Result<Worked> {
        if standing.policies.is_empty() {
            return Err(Error::NoPolicy(repository.clone()));
        }
        let mut loaded = self.policy_facts(repository).await?;
        self.mark_staged(repository, &standing, &mut loaded.facts).await?;
        let at = self.now();
        let work = move || {
            let now = at.as_millisecond();
            let policy = &standing.policies[0].1;
            let evaluation = evaluate(policy, &standing.inherited(), &loaded.facts, now);
            let preview = preview(policy, &loaded.facts, &evaluation, now);
            Worked { standing, loaded, evaluation, preview, at }
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.to_string()))
    }

    /// A run that would take over half of the images pauses, unless somebody was shown that this policy takes as many (behaviour §5).
    async fn is_expected(&self, actor: &Actor, repository: &RepositoryName, worked: &Worked) -> Result<()> {
        let (expiring, images) = (worked.expiring(), worked.preview.images);
        if !is_over_half(expiring, images) {
            return Ok(());
        }
        let state = self.inner.catalog.policy_state(repository).await?;
        let hash = hash(worked.text());
        if state.previewed.is_some_and(|(policy, count)| policy == hash && expiring <= count) {
            return Ok(());
        }
        let why = format!("{expiring} of {images} images would go, and nobody was shown that yet");
        if state.paused.is_none_or(|(known, _)| known != why) {
            self.inner.catalog.pause_policy(repository, Some(&why), self.stamp(actor)).await?;
        }
        Err(Error::PolicyPaused(why))
    }

    /// Removes what goes, group by group, up to the cap.
    async fn remove_images(&self, actor: &Actor, repository: &RepositoryName, worked: &Worked) -> Result<PolicyReport> {
        let mut report = PolicyReport {
            pattern: worked.standing.policies[0].0.pattern.to_string(),
            images: worked.preview.images,
            ..PolicyReport::default()
        };
        let mut gone = vec![false; worked.loaded.facts.images.len()];
        let mut done = 0;
        for batch in batches(&worked.evaluation) {
            if done as u64 >= self.inner.settings.policy_cap {
                break;
            }
            let images = &worked.evaluation.order[done..done + batch];
            let expiring: Vec<ExpiringImage> = images
                .iter()
                .map(|image| worked.loaded.expiring(*image, worked.evaluation.follows[*image as usize]))
                .collect();
            let (lease, trash, stamp) = (self.lease_end(), self.trash_end(), self.stamp(actor));
            let removed = self.inner.catalog.expire_images(repository, expiring, lease, trash, stamp).await?;
            for (place, (image, removed)) in images.iter().zip(removed).enumerate() {
                gone[*image as usize] = removed;
                if removed {
                    let rule = worked.preview.going[done + place].rule;
                    *report.by_rule.entry(worked.policy().rules[usize::from(rule)].priority).or_default() += 1;
                    report.expired += 1;
                } else {
                    report.skipped += 1;
                }
            }
            done += batch;
        }
        report.left = (worked.evaluation.order.len() - done) as u64;
        report.bytes = freed(&worked.loaded.facts, &|image| gone[image as usize]);
        Ok(report)
    }

    fn schedule(&self) -> Schedule {
        let settings = &self.inner.settings;
        let next = *self.inner.next_policies.lock().expect("no panic happens under this lock");
        Schedule {
            next: settings.policy_every.map(|every| (next, every)),
            cap: settings.policy_cap,
            grace: settings.lease_ttl.max(settings.trash_window),
        }
    }

    /// Pauses all policies when the wall clock and the monotonic one no longer agree: ages would be wrong (behaviour §5).
    async fn clock_is_sound(&self) -> Result<()> {
        let moved = {
            let mut seen = self.inner.clocks.lock().expect("no panic happens under this lock");
            let now = (self.now(), self.inner.clock.since_start());
            let wall = now.0.duration_since(seen.0);
            let steady = SignedDuration::try_from(now.1.saturating_sub(seen.1)).unwrap_or(SignedDuration::MAX);
            *seen = now;
            wall.saturating_sub(steady)
        };
        if moved.abs() > JUMP {
            let why = format!(
                "the clock moved by {} hours: see that it is right, then `larder policy resume`",
                moved.as_hours()
            );
            tracing::error!(why, "lifecycle policies are paused");
            self.inner.catalog.pause_policies(Some(&why), self.stamp(&Actor::system())).await?;
        }
        match self.inner.catalog.policies_paused().await? {
            Some(why) => Err(Error::PolicyPaused(why)),
            None => Ok(()),
        }
    }
}

/// How many images go in each transaction: whole groups.
fn batches(evaluation: &Evaluation) -> Vec<usize> {
    let mut batches = Vec::new();
    let ends = evaluation.groups.iter().skip(1).map(|start| *start as usize).chain([evaluation.order.len()]);
    let mut begun = 0;
    for end in ends {
        if end - begun >= BATCH || end == evaluation.order.len() {
            batches.push(end - begun);
            begun = end;
        }
    }
    batches.retain(|batch| *batch > 0);
    batches
}
