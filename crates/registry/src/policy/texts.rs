//! Policies as they are set, for one repository or for a pattern of names, and which one decides.

use jiff::Timestamp;
use larder_catalog::model::policy::PolicyRow;
use larder_oci::{Action, RepositoryName, RepositoryPattern};
use sha2::{Digest as _, Sha256};

use super::{Policy, TagPattern};
use crate::{Actor, Error, Page, PageRequest, Registry, Result};

/// A policy as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyText {
    /// The repositories that it is for: one name, or a pattern.
    pub pattern: RepositoryPattern,
    /// Its text, as it was given.
    pub text: String,
    /// The keys of Larder's own that it uses: with none, Amazon ECR takes it too.
    pub own_keys: Vec<String>,
    /// When it was set.
    pub set: Timestamp,
    /// Who set it.
    pub set_by: String,
}

/// Which policies are about a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyView {
    /// The one whose rules decide: the repository's own if it has rules, else that of the most specific pattern.
    pub effective: Option<PolicyText>,
    /// The others, the most specific first. Their rules do not count; what they protect is protected.
    pub others: Vec<PolicyText>,
    /// Tags that are protected, by pattern of tags and the policy that says so.
    pub protected: Vec<ProtectedBy>,
    /// Why policies are paused here, if they are.
    pub paused: Option<String>,
}

/// A pattern of tags that a policy protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectedBy {
    /// Tags that keep their images.
    pub tags: String,
    /// The policy's repositories.
    pub pattern: RepositoryPattern,
}

/// The policies about a repository, read.
pub(super) struct Standing {
    /// The one that decides, then the others, the most specific first; each reads, for only such are set.
    pub policies: Vec<(PolicyText, Policy)>,
}

impl Standing {
    /// What protects tags besides the policy that decides.
    pub fn inherited(&self) -> Vec<TagPattern> {
        self.policies.iter().skip(1).flat_map(|(_, policy)| policy.protected.iter().cloned()).collect()
    }

    /// What protects tags.
    pub fn protected(&self) -> Vec<TagPattern> {
        self.policies.iter().flat_map(|(_, policy)| policy.protected.iter().cloned()).collect()
    }

    /// With another policy in the place of the one that decides.
    pub fn tried(self, repository: &RepositoryName, text: &str, at: Timestamp, by: &str) -> Result<Self> {
        let pattern = RepositoryPattern::from(repository);
        let mut policies = self.policies;
        policies.retain(|(set, _)| set.pattern != pattern);
        let row = PolicyRow { pattern, text: text.to_owned(), set: at, set_by: by.to_owned() };
        policies.insert(0, read(row)?);
        Ok(Self::of(policies))
    }

    /// Of policies in order: the first with rules decides.
    fn of(mut policies: Vec<(PolicyText, Policy)>) -> Self {
        if let Some(place) = policies.iter().position(|(_, policy)| !policy.rules.is_empty()) {
            policies[..=place].rotate_right(1);
        }
        Self { policies }
    }
}

impl Registry {
    /// Which policies are about a repository.
    pub async fn policy(&self, actor: &Actor, repository: &RepositoryName) -> Result<PolicyView> {
        self.permit(actor, Action::Pull, repository).await?;
        self.policy_view(repository).await
    }

    /// Sets a repository's own policy.
    ///
    /// # Errors
    /// [`Error::PolicyInvalid`] with everything that is wrong with it.
    pub async fn set_policy(&self, actor: &Actor, repository: &RepositoryName, text: &str) -> Result<PolicyView> {
        self.permit_write(actor, Action::Admin, repository).await?;
        self.known(repository).await?;
        self.store_policy(actor, &RepositoryPattern::from(repository), text).await?;
        self.policy_view(repository).await
    }

    /// Removes a repository's own policy; one of a pattern may then decide.
    pub async fn remove_policy(&self, actor: &Actor, repository: &RepositoryName) -> Result<()> {
        self.permit_write(actor, Action::Admin, repository).await?;
        self.forget_policy(actor, &RepositoryPattern::from(repository)).await
    }

    /// Every policy there is.
    pub async fn policies(&self, actor: &Actor, page: &PageRequest) -> Result<Page<PolicyText>> {
        self.operator(actor)?;
        let found = self.inner.catalog.policies(page.after.as_deref(), page.limit).await?;
        let items = found.items.into_iter().map(|row| Ok(read(row)?.0)).collect::<Result<_>>()?;
        Ok(Page { items, more: found.more })
    }

    /// Sets the policy of all repositories that a pattern matches and that have none of their own.
    pub async fn set_pattern_policy(&self, actor: &Actor, pattern: &RepositoryPattern, text: &str) -> Result<()> {
        self.operator(actor)?;
        self.writable()?;
        self.store_policy(actor, pattern, text).await
    }

    /// Removes the policy of a pattern.
    pub async fn remove_pattern_policy(&self, actor: &Actor, pattern: &RepositoryPattern) -> Result<()> {
        self.operator(actor)?;
        self.writable()?;
        self.forget_policy(actor, pattern).await
    }

    async fn store_policy(&self, actor: &Actor, pattern: &RepositoryPattern, text: &str) -> Result<()> {
        Policy::read(text).map_err(Error::PolicyInvalid)?;
        match self.inner.catalog.set_policy(pattern, text, self.stamp(actor)).await? {
            true => Ok(()),
            false => Err(Error::TooManyPolicies(larder_catalog::WILDCARD_POLICIES)),
        }
    }

    async fn forget_policy(&self, actor: &Actor, pattern: &RepositoryPattern) -> Result<()> {
        let removed = self.inner.catalog.remove_policy(pattern, self.stamp(actor)).await?;
        if removed { Ok(()) } else { Err(Error::PolicyUnknown(pattern.clone())) }
    }

    pub(super) async fn known(&self, repository: &RepositoryName) -> Result<()> {
        match self.inner.catalog.repository_exists(repository).await? {
            true => Ok(()),
            false => Err(Error::RepositoryUnknown(repository.clone())),
        }
    }

    pub(super) async fn standing(&self, repository: &RepositoryName) -> Result<Standing> {
        let mut rows = self.inner.catalog.policies_for(repository).await?;
        rows.sort_by_key(|row| std::cmp::Reverse(specificity(&row.pattern)));
        Ok(Standing::of(rows.into_iter().map(read).collect::<Result<_>>()?))
    }

    async fn policy_view(&self, repository: &RepositoryName) -> Result<PolicyView> {
        let standing = self.standing(repository).await?;
        let here = self.inner.catalog.policy_state(repository).await?.paused.map(|(why, _)| why);
        let paused = self.inner.catalog.policies_paused().await?.or(here);
        let protected = standing.policies.iter().flat_map(|(set, policy)| {
            let of = |tags: &TagPattern| ProtectedBy { tags: tags.to_string(), pattern: set.pattern.clone() };
            policy.protected.iter().map(of)
        });
        let protected = protected.collect();
        let mut texts = standing.policies.into_iter().map(|(set, _)| set);
        Ok(PolicyView { effective: texts.next(), others: texts.collect(), protected, paused })
    }
}

/// A name before patterns, then by what stands before the first wildcard, then by length; the last decides between two like ones.
pub(crate) fn specificity(pattern: &RepositoryPattern) -> (bool, usize, usize, String) {
    let text = pattern.as_str();
    (pattern.is_literal(), pattern.stem().len(), text.len(), text.to_owned())
}

fn read(row: PolicyRow) -> Result<(PolicyText, Policy)> {
    let policy = Policy::read(&row.text).map_err(Error::PolicyInvalid)?;
    let own_keys = policy.own_keys.iter().map(|key| (*key).to_owned()).collect();
    let PolicyRow { pattern, text, set, set_by } = row;
    Ok((PolicyText { pattern, text, own_keys, set, set_by }, policy))
}

/// The hash by which a policy is known again.
pub(super) fn hash(text: &str) -> String {
    use std::fmt::Write as _;
    Sha256::digest(text).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
