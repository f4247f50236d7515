//! Rules as they are set, for one repository or for a pattern of names, and which of them hold in a repository.

use std::collections::BTreeMap;

use jiff::Timestamp;
use larder_catalog::model::rules::RulesRow;
use larder_oci::{Action, RepositoryName, RepositoryPattern};
use serde_json::{Map, Value};

use super::read::parsed;
use super::{Rules, read};
use crate::policy::specificity;
use crate::{Actor, Error, Page, PageRequest, Registry, Result};

/// Rules as they were set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesText {
    /// The repositories that they are for: one name, or a pattern.
    pub pattern: RepositoryPattern,
    /// Their text, as it was given.
    pub text: String,
    /// When they were set.
    pub set: Timestamp,
    /// Who set them.
    pub set_by: String,
}

/// Which rules hold in a repository: of each, the one that was set for the most specific pattern.
#[derive(Clone, Debug, Default)]
pub struct Effective {
    /// The rules.
    pub rules: Rules,
    /// Each as it was written, by its name.
    pub written: Map<String, Value>,
    /// For which repositories each was set.
    pub set_for: BTreeMap<String, RepositoryPattern>,
}

/// The rules of a repository, and where they come from.
#[derive(Clone, Debug)]
pub struct RulesView {
    /// Those that hold.
    pub effective: Effective,
    /// All texts that match, the most specific first.
    pub texts: Vec<RulesText>,
}

impl Effective {
    /// Of texts, the most specific first.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn of<'t>(texts: impl IntoIterator<Item = (&'t RepositoryPattern, &'t str)>) -> Result<Self> {
        let mut effective = Self::default();
        for (pattern, text) in texts {
            for (name, value) in read(text).map_err(Error::RulesInvalid)? {
                effective.set_for.entry(name.clone()).or_insert_with(|| pattern.clone());
                effective.written.entry(name).or_insert(value);
            }
        }
        effective.rules = parsed(&effective.written).map_err(Error::RulesInvalid)?;
        Ok(effective)
    }

    /// For which repositories a rule was set.
    pub fn pattern_of(&self, rule: &str) -> Option<RepositoryPattern> {
        self.set_for.get(rule).cloned()
    }
}

impl Registry {
    /// Which rules hold in a repository.
    pub async fn rules(&self, actor: &Actor, repository: &RepositoryName) -> Result<RulesView> {
        self.permit(actor, Action::Pull, repository).await?;
        self.rules_view(repository).await
    }

    /// Sets a repository's own rules. The repository need not exist yet: what is pushed first is judged by them.
    ///
    /// # Errors
    /// [`Error::RulesInvalid`] with everything that is wrong with them.
    pub async fn set_rules(&self, actor: &Actor, repository: &RepositoryName, text: &str) -> Result<RulesView> {
        self.permit_write(actor, Action::Admin, repository).await?;
        self.store_rules(actor, &RepositoryPattern::from(repository), text).await?;
        self.rules_view(repository).await
    }

    /// Removes a repository's own rules; those of patterns hold on.
    pub async fn remove_rules(&self, actor: &Actor, repository: &RepositoryName) -> Result<()> {
        self.permit_write(actor, Action::Admin, repository).await?;
        self.forget_rules(actor, &RepositoryPattern::from(repository)).await
    }

    /// All rules that are set.
    pub async fn all_rules(&self, actor: &Actor, page: &PageRequest) -> Result<Page<RulesText>> {
        self.operator(actor)?;
        let found = self.inner.catalog.rules(page.after.as_deref(), page.limit).await?;
        Ok(Page { items: found.items.into_iter().map(Into::into).collect(), more: found.more })
    }

    /// Sets the rules of all repositories that a pattern matches.
    pub async fn set_pattern_rules(&self, actor: &Actor, pattern: &RepositoryPattern, text: &str) -> Result<()> {
        self.operator(actor)?;
        self.writable()?;
        self.store_rules(actor, pattern, text).await
    }

    /// Removes the rules of a pattern.
    pub async fn remove_pattern_rules(&self, actor: &Actor, pattern: &RepositoryPattern) -> Result<()> {
        self.operator(actor)?;
        self.writable()?;
        self.forget_rules(actor, pattern).await
    }

    async fn store_rules(&self, actor: &Actor, pattern: &RepositoryPattern, text: &str) -> Result<()> {
        read(text).map_err(Error::RulesInvalid)?;
        match self.inner.catalog.set_rules(pattern, text, self.stamp(actor)).await? {
            true => Ok(()),
            false => Err(Error::TooManyRules(larder_catalog::WILDCARD_RULES)),
        }
    }

    async fn forget_rules(&self, actor: &Actor, pattern: &RepositoryPattern) -> Result<()> {
        let removed = self.inner.catalog.remove_rules(pattern, self.stamp(actor)).await?;
        if removed { Ok(()) } else { Err(Error::RulesUnknown(pattern.clone())) }
    }

    async fn rules_view(&self, repository: &RepositoryName) -> Result<RulesView> {
        let texts = self.rules_texts(repository).await?;
        let effective = Effective::of(texts.iter().map(|set| (&set.pattern, set.text.as_str())))?;
        Ok(RulesView { effective, texts })
    }

    /// The rules that hold in a repository.
    pub(super) async fn rules_of(&self, repository: &RepositoryName) -> Result<Effective> {
        Ok(self.rules_view(repository).await?.effective)
    }

    pub(super) async fn rules_texts(&self, repository: &RepositoryName) -> Result<Vec<RulesText>> {
        let mut rows = self.inner.catalog.rules_for(repository).await?;
        rows.sort_by_key(|row| std::cmp::Reverse(specificity(&row.pattern)));
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

impl From<RulesRow> for RulesText {
    fn from(row: RulesRow) -> Self {
        let RulesRow { pattern, text, set, set_by } = row;
        Self { pattern, text, set, set_by }
    }
}
