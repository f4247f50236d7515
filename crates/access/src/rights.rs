//! What somebody may do: compiled once from rules, then asked without a query. Pure values.

use std::collections::HashMap;
use std::fmt;

use larder_oci::{Action, Actions, RepositoryName, RepositoryPattern};

use crate::overlap::overlap;

/// What the rules say of one action in one repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A rule allows it.
    Allowed,
    /// A rule denies it, which wins over every other.
    Denied,
    /// No rule says anything: a public repository may still be pulled, and nothing else.
    Silent,
}

impl Verdict {
    /// The decision, once it is known whether the repository is public.
    pub fn permits(self, action: Action, public: bool) -> bool {
        match self {
            Self::Allowed => true,
            Self::Denied => false,
            Self::Silent => public && action == Action::Pull,
        }
    }
}

/// One rule that concerns somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whether it denies.
    pub deny: bool,
    /// What it is about. `admin` allows every action; denying `admin` denies only administration.
    pub actions: Actions,
    /// Where.
    pub pattern: RepositoryPattern,
    /// Why it holds, for people: `grant 12 to group ml`, `own namespace`.
    pub source: String,
}

/// What a credential is cut down to, whatever its owner may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// These actions only.
    pub actions: Actions,
    /// In these repositories only.
    pub patterns: Vec<RepositoryPattern>,
    /// Whose limit it is, for people: `token ci`, `robot builder`.
    pub source: String,
    /// Whether it is the credential's; else it is the account's and holds for each of its credentials.
    pub of_token: bool,
}

impl Limit {
    fn allows(&self, action: Action, repository: &RepositoryName) -> bool {
        self.actions.implies(action) && self.patterns.iter().any(|pattern| pattern.matches(repository))
    }
}

/// Everything that a decision depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether the identity administers the server.
    pub administrator: bool,
    /// The rules that concern it: its own, its groups', those of everyone signed in and of everybody.
    pub rules: Vec<Rule>,
    /// What its credential is cut down to; each of them holds.
    pub limits: Vec<Limit>,
}

/// Which repositories a list may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visible {
    /// Those that match one of these …
    pub allow: Vec<RepositoryPattern>,
    /// … and none of these.
    pub deny: Vec<RepositoryPattern>,
}

/// A line of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// What it does.
    pub effect: ReasonEffect,
    /// Where it comes from.
    pub source: String,
    /// Its pattern, or its patterns.
    pub patterns: Vec<RepositoryPattern>,
    /// Its actions.
    pub actions: Actions,
}

/// What a [`Reason`] does to the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasonEffect {
    /// It allows.
    Allows,
    /// It denies, and wins.
    Denies,
    /// It is a limit that the action falls outside of.
    Limits,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.effect {
            ReasonEffect::Allows => "allowed by",
            ReasonEffect::Denies => "denied by",
            ReasonEffect::Limits => "beyond the limits of",
        };
        write!(f, "{word} {} ({} on ", self.source, self.actions)?;
        for (place, pattern) in self.patterns.iter().enumerate() {
            write!(f, "{}{pattern}", if place > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}

/// What somebody may: [`Facts`], made quick to ask.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    facts: Facts,
    /// (allowed, denied) by name: creators get a rule for each repository that they make, so there may be thousands.
    literal: HashMap<String, (Actions, Actions)>,
    /// Places of the rules with wildcards.
    wild: Vec<usize>,
}

impl Rights {
    /// Compiles the facts.
    pub fn compile(facts: Facts) -> Self {
        let (mut literal, mut wild) = (HashMap::<String, (Actions, Actions)>::new(), Vec::new());
        for (place, rule) in facts.rules.iter().enumerate() {
            if rule.pattern.is_literal() {
                let (allowed, denied) = literal.entry(rule.pattern.to_string()).or_default();
                let side = if rule.deny { denied } else { allowed };
                *side = side.union(rule.actions);
            } else {
                wild.push(place);
            }
        }
        Self { facts, literal, wild }
    }

    /// What it was compiled from.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What the rules say, within the limits. Beyond a limit they say nothing: what everybody may is open to a limited token too.
    pub fn verdict(&self, action: Action, repository: &RepositoryName) -> Verdict {
        let (mut allowed, mut denied) = self.literal.get(repository.as_str()).copied().unwrap_or_default();
        for rule in self.wild.iter().map(|place| &self.facts.rules[*place]) {
            if rule.pattern.matches(repository) {
                let side = if rule.deny { &mut denied } else { &mut allowed };
                *side = side.union(rule.actions);
            }
        }
        if denied.contains(action) {
            return Verdict::Denied;
        }
        let allowed = self.facts.administrator || allowed.implies(action);
        if allowed && self.leaves(action, repository) { Verdict::Allowed } else { Verdict::Silent }
    }

    /// Whether the credential's limits leave an action to its owner, whatever the rules say of him.
    pub fn leaves(&self, action: Action, repository: &RepositoryName) -> bool {
        self.facts.limits.iter().all(|limit| limit.allows(action, repository))
    }

    /// The actions that are [allowed](Verdict::Allowed) there.
    pub fn allowed(&self, repository: &RepositoryName) -> Actions {
        Action::ALL.into_iter().filter(|action| self.verdict(*action, repository) == Verdict::Allowed).collect()
    }

    /// Whether users, groups, trusts and settings may be changed: an administrator, with a credential that is not cut down.
    pub fn administrator(&self) -> bool {
        let whole = |limit: &Limit| {
            limit.actions.contains(Action::Admin) && limit.patterns.contains(&RepositoryPattern::everything())
        };
        self.facts.administrator && self.facts.limits.iter().all(whole)
    }

    /// Whether everything that the pattern matches may be administered: grants there may be given, and robots made.
    pub fn administers(&self, pattern: &RepositoryPattern) -> bool {
        let within = |limit: &Limit| {
            limit.actions.contains(Action::Admin) && limit.patterns.iter().any(|wider| wider.contains(pattern))
        };
        let (mut allowed, mut denied) = (self.facts.administrator, false);
        for rule in self.facts.rules.iter().filter(|rule| rule.actions.contains(Action::Admin)) {
            if rule.deny {
                denied |= may_meet(&rule.pattern, pattern);
            } else {
                allowed |= rule.pattern.contains(pattern);
            }
        }
        allowed && !denied && self.facts.limits.iter().all(within)
    }

    /// Whether another credential of the account, of these limits, could do nothing that this one cannot.
    pub fn covers(&self, actions: Actions, patterns: &[RepositoryPattern]) -> bool {
        let everywhere = [RepositoryPattern::everything()];
        let patterns = if patterns.is_empty() { &everywhere } else { patterns };
        let within = |limit: &Limit| {
            actions.iter().all(|action| limit.actions.implies(action))
                && patterns.iter().all(|pattern| limit.patterns.iter().any(|wider| wider.contains(pattern)))
        };
        self.facts.limits.iter().filter(|limit| limit.of_token).all(within)
    }

    /// Which repositories may be pulled because of rules, for lists; public ones come beside it.
    pub fn visible(&self) -> Visible {
        let about_pull = |rule: &&Rule| {
            if rule.deny { rule.actions.contains(Action::Pull) } else { rule.actions.implies(Action::Pull) }
        };
        let (mut allow, mut deny) = (Vec::new(), Vec::new());
        if self.facts.administrator {
            allow.push(RepositoryPattern::everything());
        }
        for rule in self.facts.rules.iter().filter(about_pull) {
            if rule.deny { &mut deny } else { &mut allow }.push(rule.pattern.clone());
        }
        for limit in &self.facts.limits {
            let patterns: &[_] = if limit.actions.implies(Action::Pull) { &limit.patterns } else { &[] };
            allow = allow.iter().flat_map(|one| patterns.iter().flat_map(move |other| overlap(one, other))).collect();
        }
        Visible { allow: widest(allow), deny: widest(deny) }
    }

    /// Whether any rule allows anything at all.
    pub fn is_empty(&self) -> bool {
        !self.facts.administrator && self.facts.rules.iter().all(|rule| rule.deny)
    }

    /// Every rule and limit that bears on the decision, the winning ones first.
    pub fn explain(&self, action: Action, repository: &RepositoryName) -> Vec<Reason> {
        let here = |rule: &&Rule| rule.pattern.matches(repository);
        let reason = |effect, rule: &Rule| Reason {
            effect,
            source: rule.source.clone(),
            patterns: vec![rule.pattern.clone()],
            actions: rule.actions,
        };
        let rules = || self.facts.rules.iter().filter(here);
        let denies = rules().filter(|rule| rule.deny && rule.actions.contains(action));
        let mut reasons: Vec<Reason> = denies.map(|rule| reason(ReasonEffect::Denies, rule)).collect();
        for limit in self.facts.limits.iter().filter(|limit| !limit.allows(action, repository)) {
            reasons.push(Reason {
                effect: ReasonEffect::Limits,
                source: limit.source.clone(),
                patterns: limit.patterns.clone(),
                actions: limit.actions,
            });
        }
        if self.facts.administrator {
            let (source, patterns) = ("being an administrator".to_owned(), vec![RepositoryPattern::everything()]);
            reasons.push(Reason { effect: ReasonEffect::Allows, source, patterns, actions: Actions::ALL });
        }
        let allows = rules().filter(|rule| !rule.deny && rule.actions.implies(action));
        reasons.extend(allows.map(|rule| reason(ReasonEffect::Allows, rule)));
        reasons
    }
}

/// Whether some name could match both. Said too often rather than too seldom.
fn may_meet(one: &RepositoryPattern, other: &RepositoryPattern) -> bool {
    if one.is_literal() || other.is_literal() {
        return one.contains(other) || other.contains(one);
    }
    one.stem().starts_with(other.stem()) || other.stem().starts_with(one.stem())
}

/// Without those that another contains.
fn widest(mut patterns: Vec<RepositoryPattern>) -> Vec<RepositoryPattern> {
    patterns.sort_unstable();
    patterns.dedup();
    let wild: Vec<RepositoryPattern> = patterns.iter().filter(|pattern| !pattern.is_literal()).cloned().collect();
    patterns.retain(|pattern| !wild.iter().any(|wider| wider != pattern && wider.contains(pattern)));
    patterns
}
