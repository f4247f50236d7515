//! Trusts: which issuer's tokens are taken for what.

use std::time::Duration;

use larder_catalog::model::Page;
use larder_catalog::model::access::{Condition, Trust};
use larder_oci::{Actions, RepositoryPattern};

use super::{Answer, By, absent, exists, named, seen, text};
use crate::Problem;
use crate::access::Access;
use crate::federation::owner_claims;
use crate::settings::is_secure;

/// A trust to be made, or to be put in the place of the one of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrust {
    /// The name.
    pub name: String,
    /// The issuer, exactly as its tokens write it.
    pub issuer: String,
    /// The audience that tokens must be for.
    pub audience: String,
    /// What claims must be: all of it, each one of its values; `*` in a value is any run of characters.
    pub conditions: Vec<Condition>,
    /// What it gives.
    pub actions: Actions,
    /// Where.
    pub patterns: Vec<RepositoryPattern>,
    /// Whether each token is taken once (`jti`). Jobs that log in twice cannot use such a trust.
    pub single_use: bool,
    /// How old a token may be.
    pub max_age: Option<Duration>,
    /// How long what it is exchanged for holds: a minute to 12 hours.
    pub ttl: Duration,
}

const MANY: usize = 100;

impl Access {
    /// Makes a trust. Whoever administers all of its patterns.
    ///
    /// # Errors
    ///
    /// [`Problem::Exists`]; [`Problem::Invalid`], also for one on an issuer that everybody shares without a condition that fixes the owner by an id.
    pub async fn add_trust(&self, by: &By, new: NewTrust) -> Answer<Trust> {
        let trust = self.checked(by, new)?;
        let name = trust.name.clone();
        if !self.inner.catalog.create_trust(trust, by.stamp(self)).await? {
            return Err(exists("trust", &name));
        }
        self.trust_row(&name).await
    }

    /// Puts a trust in the place of the one of its name. What was issued for tokens of the old one ends unless issuer, audience and conditions stay.
    ///
    /// # Errors
    ///
    /// As [`add_trust`](Self::add_trust), and [`Problem::Absent`].
    pub async fn set_trust(&self, by: &By, new: NewTrust) -> Answer<Trust> {
        let old = self.own_trust(by, &new.name).await?;
        let trust = Trust { disabled: old.disabled, ..self.checked(by, new)? };
        self.put_trust(by, trust).await
    }

    /// Takes a trust out of use, or into use again.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`], also for one that the caller does not administer.
    pub async fn set_trust_disabled(&self, by: &By, name: &str, disabled: bool) -> Answer<Trust> {
        let old = self.own_trust(by, name).await?;
        self.put_trust(by, Trust { disabled, ..old }).await
    }

    /// Trusts after this name, in order: those that the caller administers.
    pub async fn trusts(&self, by: &By, after: Option<&str>, limit: usize) -> Answer<Page<Trust>> {
        let fetch =
            |after: Option<String>, limit| async move { self.inner.catalog.trusts(after.as_deref(), limit).await };
        let key = |trust: &Trust| trust.name.clone();
        seen(limit, after.map(str::to_owned), key, |trust| administers(by, trust), fetch).await
    }

    /// One trust.
    ///
    /// # Errors
    ///
    /// As [`set_trust_disabled`](Self::set_trust_disabled).
    pub async fn trust(&self, by: &By, name: &str) -> Answer<Trust> {
        self.own_trust(by, name).await
    }

    /// Removes a trust; what was issued for its tokens ends.
    ///
    /// # Errors
    ///
    /// As [`set_trust_disabled`](Self::set_trust_disabled).
    pub async fn remove_trust(&self, by: &By, name: &str) -> Answer<()> {
        self.own_trust(by, name).await?;
        let found = self.inner.catalog.remove_trust(name, by.stamp(self)).await?;
        if found { Ok(()) } else { Err(absent("trust", name)) }
    }

    async fn own_trust(&self, by: &By, name: &str) -> Answer<Trust> {
        let trust = self.trust_row(name).await?;
        if administers(by, &trust) { Ok(trust) } else { Err(absent("trust", name)) }
    }

    async fn trust_row(&self, name: &str) -> Answer<Trust> {
        self.inner.catalog.trust(name).await?.ok_or_else(|| absent("trust", name))
    }

    async fn put_trust(&self, by: &By, trust: Trust) -> Answer<Trust> {
        let name = trust.name.clone();
        if !self.inner.catalog.set_trust(trust, by.stamp(self)).await? {
            return Err(absent("trust", &name));
        }
        self.trust_row(&name).await
    }

    fn checked(&self, by: &By, new: NewTrust) -> Answer<Trust> {
        let wrong = |reason: &str| Problem::Invalid(reason.to_owned());
        for pattern in &new.patterns {
            by.must_administer(pattern)?;
        }
        named(&new.name)?;
        if !is_secure(&new.issuer, self.inner.settings.plain_http_on_loopback) || new.issuer.len() > 512 {
            return Err(wrong("an issuer is an https:// address"));
        }
        text("an audience", &new.audience, 512)?;
        if new.audience.is_empty() {
            return Err(wrong("a trust names the audience that tokens must be for"));
        }
        if new.actions.is_empty() || new.patterns.is_empty() || new.patterns.len() > MANY {
            return Err(wrong("a trust gives at least one action, on 1 to 100 patterns"));
        }
        if !(60..=12 * 3600).contains(&new.ttl.as_secs()) {
            return Err(wrong("what a token is exchanged for holds a minute to 12 hours"));
        }
        check_conditions(&new.issuer, &new.conditions)?;
        Ok(Trust {
            name: new.name,
            issuer: new.issuer,
            audience: new.audience,
            conditions: new.conditions,
            actions: new.actions,
            patterns: new.patterns,
            single_use: new.single_use,
            max_age: new.max_age,
            ttl: new.ttl,
            disabled: false,
            created: self.inner.now(),
            created_by: by.identity.clone(),
        })
    }
}

fn administers(by: &By, trust: &Trust) -> bool {
    by.is_administrator() || trust.patterns.iter().all(|pattern| by.administers(pattern))
}

fn check_conditions(issuer: &str, conditions: &[Condition]) -> Answer<()> {
    let wrong = |reason: String| Err(Problem::Invalid(reason));
    if conditions.is_empty() || conditions.len() > MANY {
        return wrong("a trust has 1 to 100 conditions: without one it takes every token of its issuer".to_owned());
    }
    for condition in conditions {
        text("a claim's name", &condition.claim, 256)?;
        if condition.claim.is_empty() || condition.values.is_empty() || condition.values.len() > MANY {
            return wrong("a condition names a claim and 1 to 100 values".to_owned());
        }
        for value in &condition.values {
            text("a claim's value", value, 1_024)?;
        }
    }
    let Some(owners) = owner_claims(issuer) else { return Ok(()) };
    let fixes = |condition: &Condition| {
        let exact = |value: &String| !value.is_empty() && !value.contains('*');
        owners.contains(&condition.claim.as_str()) && condition.values.iter().all(exact)
    };
    if conditions.iter().any(fixes) {
        return Ok(());
    }
    wrong(format!("everybody can get tokens of {issuer}: add a condition, without *, on one of {}", owners.join(", ")))
}
