//! Images that somebody takes out by hand: by their tags, or all that are untagged or old. First shown, with the bytes that come free, then removed as a
//! client's delete would, and brought back while they lie in the trash.
//!
//! What is chosen is worked out as a policy is, so that an image goes with its signatures and an index with what only it holds. What many images share
//! a property of, not a name, is left alone where a push in flight may rely on it or a policy protects it.

use std::sync::Arc;

use jiff::Timestamp;
use larder_catalog::model::rules::Passed;
use larder_catalog::model::{DeleteOutcome, UndeleteOutcome};
use larder_oci::{Action, Digest, RepositoryName, RepositoryPattern, Tag};
use regex::Regex;

use super::facts::Facts;
use super::load::Loaded;
use super::preview::freed;
use super::rule::{Act, Count, Rule, StorageClass, TagMatch, TagStatus};
use super::texts::hash;
use super::told::{Schedule, Shown};
use super::{Evaluation, Policy, PolicyPreview, TagPattern, evaluate, preview};
use crate::delete::untold;
use crate::rules::{self, unchanged};
use crate::{Actor, Error, PageRequest, Registry, Result};

/// Images that one call removes; the others are left to the next.
const MOST: usize = 1_000;
/// Images that a preview names.
const TOLD: usize = 100;
/// Rows of the trash that are read at a time.
const PAGE: usize = 500;

/// Which images somebody means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Those of whose tags none is left, without these; of others these tags alone.
    Tags(Vec<Tag>),
    /// Those without tags.
    Untagged,
    /// Those pushed longer ago than so many days.
    OlderThan(u64),
}

/// What a selection comes to.
#[derive(Clone, Debug)]
pub struct Selected {
    /// What goes and what comes free, and near it what stays and why.
    pub preview: PolicyPreview,
    /// Tags that go without their images: those have other tags, an index names them, or they say something about another image.
    pub loose: Vec<Tag>,
    /// Stands for exactly this.
    pub mark: String,
}

/// What was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// When: what is brought back together has this time.
    pub at: Timestamp,
    /// Images that went.
    pub images: u64,
    /// Bytes that come free with them, each counted once.
    pub bytes: u64,
    /// Tags that went without their images.
    pub loose: Vec<Tag>,
    /// Images that were to go and that something new relies on.
    pub skipped: u64,
    /// Images that are left to a next time.
    pub left: u64,
}

/// How a removal ended.
#[derive(Clone, Debug)]
pub enum ByHand {
    /// It is done.
    Done(Removed),
    /// Nothing was removed: it would not be what was shown.
    Changed(Box<Selected>),
}

/// What came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// Images.
    pub images: u64,
    /// Tags that came back without an image.
    pub tags: u64,
    /// Of both, how many could not: a name is in use, or bytes are gone.
    pub missed: u64,
}

/// A selection with what it is made of.
struct Chosen {
    facts: Facts,
    evaluation: Evaluation,
    selected: Selected,
}

impl Registry {
    /// What would go, and what would come free.
    pub async fn select_images(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        selection: Selection,
    ) -> Result<Selected> {
        self.permit(actor, Action::Delete, repository).await?;
        self.known(repository).await?;
        let _one = self.inner.evaluating.lock().await;
        Ok(self.choose(repository, selection).await?.selected)
    }

    /// Removes what was shown under this mark, as a delete of each would.
    pub async fn remove_selected(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        selection: Selection,
        mark: &str,
    ) -> Result<ByHand> {
        self.permit_write(actor, Action::Delete, repository).await?;
        self.known(repository).await?;
        let _one = self.inner.evaluating.lock().await;
        let chosen = self.choose(repository, selection).await?;
        if chosen.selected.mark != mark {
            return Ok(ByHand::Changed(Box::new(chosen.selected)));
        }
        Ok(ByHand::Done(self.remove(actor, repository, chosen).await?))
    }

    /// Brings back what one removal took: its images, and these tags that went alone.
    pub async fn undo_removal(
        &self,
        actor: &Actor,
        repository: &RepositoryName,
        at: Timestamp,
        loose: &[Tag],
    ) -> Result<Undone> {
        self.permit_write(actor, Action::Delete, repository).await?;
        let (catalog, stamp, mut undone) = (&self.inner.catalog, self.stamp(actor), Undone::default());
        for digest in self.removed_at(actor, repository, at).await? {
            match catalog.undelete_manifest(repository, &digest, stamp.clone()).await? {
                // What an index names came back with it.
                UndeleteOutcome::Restored { .. } | UndeleteOutcome::Unknown => undone.images += 1,
                UndeleteOutcome::InUse | UndeleteOutcome::Gone(_) => undone.missed += 1,
            }
        }
        for tag in loose {
            match catalog.undelete_tag(repository, tag, None, stamp.clone()).await? {
                UndeleteOutcome::Restored { .. } => undone.tags += 1,
                UndeleteOutcome::Unknown | UndeleteOutcome::InUse | UndeleteOutcome::Gone(_) => undone.missed += 1,
            }
        }
        Ok(undone)
    }

    /// What lies in the trash of what this actor removed at a time.
    async fn removed_at(&self, actor: &Actor, repository: &RepositoryName, at: Timestamp) -> Result<Vec<Digest>> {
        let (mut found, mut page) = (Vec::new(), PageRequest { limit: PAGE, after: None });
        loop {
            let rows = self.trash(actor, repository, &page).await?;
            page.after = rows.items.last().map(|row| row.id.to_string());
            let at = at.as_millisecond();
            let his = rows.items.into_iter().filter(|row| row.deleted.as_millisecond() == at && !row.whole);
            found.extend(his.filter(|row| row.deleted_by == actor.identity()).map(|row| row.digest));
            if !rows.more {
                return Ok(found);
            }
        }
    }

    async fn choose(&self, repository: &RepositoryName, selection: Selection) -> Result<Chosen> {
        let Loaded { mut facts, .. } = self.policy_facts(repository).await?;
        let standing = self.standing(repository).await?;
        self.mark_staged(repository, &standing, &mut facts).await?;
        let (at, pattern) = (self.now(), RepositoryPattern::from(repository));
        let work = move || {
            let protected = match &selection {
                // Who names a tag means it.
                Selection::Tags(_) => {
                    facts.images.iter_mut().for_each(|image| image.leased_until = None);
                    Vec::new()
                }
                Selection::Untagged | Selection::OlderThan(_) => standing.protected(),
            };
            let policy = selection.as_policy(&facts)?;
            Ok(choose(&selection, &policy, &pattern, &protected, facts, at))
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.to_string()))?
    }

    async fn remove(&self, actor: &Actor, repository: &RepositoryName, chosen: Chosen) -> Result<Removed> {
        let Chosen { facts, evaluation, selected } = chosen;
        let (lease, trash, stamp) = (self.lease_end(), self.trash_end(), self.stamp(actor));
        let mut gone = vec![false; facts.images.len()];
        let mut removed = Removed { at: stamp.at, images: 0, bytes: 0, loose: Vec::new(), skipped: 0, left: 0 };
        let catalog = &self.inner.catalog;
        let door = self.door(actor, repository, rules::Act::DeleteManifest, &[], unchanged).await?;
        for &image in evaluation.order.iter().take(MOST) {
            let digest = &facts.images[image as usize].digest;
            let outcome = match &door {
                None => untold(catalog.delete_manifest(repository, digest, lease, trash, stamp.clone()).await?),
                Some(door) => {
                    let through = catalog.through(Arc::clone(door));
                    through.delete_manifest(repository, digest, lease, trash, stamp.clone()).await?
                }
            };
            if matches!(outcome, Passed::Done(DeleteOutcome::Deleted, _)) {
                gone[image as usize] = true;
                removed.images += 1;
            } else {
                removed.skipped += 1;
            }
        }
        for tag in selected.loose {
            let tags = std::slice::from_ref(&tag);
            let outcome = match self.door(actor, repository, rules::Act::DeleteTag, tags, unchanged).await? {
                None => untold(catalog.delete_tag(repository, &tag, stamp.clone()).await?),
                Some(door) => catalog.through(door).delete_tag(repository, &tag, stamp.clone()).await?,
            };
            match outcome {
                Passed::Done(DeleteOutcome::Deleted, _) => removed.loose.push(tag),
                Passed::Done(..) => {}
                Passed::Refused(_) => removed.skipped += 1,
            }
        }
        removed.left = evaluation.order.len().saturating_sub(MOST) as u64;
        removed.bytes = freed(&facts, &|image| gone[image as usize]);
        Ok(removed)
    }
}

impl Selection {
    /// The policy that would take what is meant.
    fn as_policy(&self, facts: &Facts) -> Result<Policy> {
        let (tags, count) = match self {
            Self::Untagged => (TagStatus::Untagged, Count::MoreThan(0)),
            Self::OlderThan(days) => (TagStatus::Any, Count::PushedBefore(*days)),
            Self::Tags(tags) => {
                let whole = facts.images.iter().filter(|image| image.tags.iter().all(|tag| tags.contains(tag)));
                let names: Vec<String> =
                    whole.flat_map(|image| &image.tags).map(|tag| regex::escape(tag.as_str())).collect();
                if names.is_empty() {
                    return Ok(Policy::default());
                }
                let any = Regex::new(&format!("^(?:{})$", names.join("|")));
                let any = any.map_err(|error| Error::Internal(error.to_string()))?;
                (TagStatus::Tagged(vec![TagMatch::Expression(any)]), Count::MoreThan(0))
            }
        };
        let rule =
            Rule { priority: 1, description: None, tags, class: StorageClass::Standard, count, act: Act::Expire };
        Ok(Policy { rules: vec![rule], ..Policy::default() })
    }
}

fn choose(
    selection: &Selection,
    policy: &Policy,
    pattern: &RepositoryPattern,
    protected: &[TagPattern],
    facts: Facts,
    at: Timestamp,
) -> Chosen {
    let now = at.as_millisecond();
    let evaluation = evaluate(policy, protected, &facts, now);
    let worked = preview(policy, &facts, &evaluation, now);
    let schedule = Schedule { next: None, cap: u64::MAX, grace: std::time::Duration::ZERO };
    let shown = Shown { pattern, policy, facts: &facts, preview: &worked, at, schedule };
    let mut preview = shown.tell(None, TOLD);
    preview.near.retain(|near| matches!(near.reason, "leased" | "protected" | "held"));
    let loose = loose(selection, &facts, &evaluation);
    let going = evaluation.order.iter().map(|image| facts.images[*image as usize].digest.to_string());
    let parts: Vec<String> = going.chain(loose.iter().map(Tag::to_string)).collect();
    let mark = hash(&parts.join("\n"));
    Chosen { facts, evaluation, selected: Selected { preview, loose, mark } }
}

fn loose(selection: &Selection, facts: &Facts, evaluation: &Evaluation) -> Vec<Tag> {
    let Selection::Tags(tags) = selection else { return Vec::new() };
    let stays = facts.images.iter().zip(&evaluation.decisions).filter(|(_, decision)| !decision.goes());
    let mut loose: Vec<Tag> =
        stays.flat_map(|(image, _)| &image.tags).filter(|tag| tags.contains(tag)).cloned().collect();
    loose.sort();
    loose
}
