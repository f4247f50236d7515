//! Tokens: made by their owner, shown once, revoked at once.

use std::time::Duration;

use larder_catalog::model::Page;
use larder_catalog::model::access::{NewToken, Token, TokenKind};
use larder_oci::{Actions, RepositoryPattern};

use super::{Answer, Authority, By, PAGE, absent, text};
use crate::access::Access;
use crate::clock::after;
use crate::token::random_id;
use crate::{CallerKind, PlainToken, Problem};

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredential {
    /// Whom it speaks for, as identity; without it the caller.
    pub owner: Option<String>,
    /// What its owner calls it.
    pub name: String,
    /// What it is limited to. It never allows more than its owner may.
    pub actions: Actions,
    /// Where it is limited to; none is no limit.
    pub patterns: Vec<RepositoryPattern>,
    /// How long it holds; without it, until it is revoked. A robot's has to end.
    pub ttl: Option<Duration>,
}

/// A robot's token ends within two years: nobody notices one that is forgotten.
const ROBOTS_LONGEST: Duration = Duration::from_secs(2 * 366 * 24 * 3600);
const PATTERNS: usize = 100;

impl Access {
    /// Makes a token. It is in the answer and nowhere else.
    ///
    /// Users make their own; whoever administers a robot makes the robot's; the data folder's owner makes anybody's. One that is made with a token
    /// is within that token's limits and ends with it.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`], [`Problem::Absent`] for the owner, [`Problem::Invalid`].
    pub async fn create_token(&self, by: &By, new: NewCredential) -> Answer<(Token, PlainToken)> {
        let owner = new.owner.clone().unwrap_or_else(|| by.identity.clone());
        self.must_own(by, &owner).await?;
        text("a token's name", &new.name, 200)?;
        if new.actions.is_empty() || new.patterns.len() > PATTERNS {
            return Err(Problem::Invalid("a token has at least one action and at most 100 patterns".to_owned()));
        }
        let now = self.inner.now();
        let mut expires = new.ttl.map(|ttl| after(now, ttl));
        if owner.starts_with("robot:") {
            let longest = after(now, ROBOTS_LONGEST);
            expires = Some(expires.map_or(longest, |expires| expires.min(longest)));
        }
        if let Authority::Caller { rights, until, .. } = &by.authority {
            if by.is(&owner) && !rights.covers(new.actions, &new.patterns) {
                return Err(Problem::NotAllowed("a token makes no token that may more than itself"));
            }
            if let Some(until) = until.filter(|_| by.is(&owner)) {
                expires = Some(expires.map_or(until, |expires| expires.min(until)));
            }
        }
        let (plain, id) = (PlainToken::generate(), random_id(16));
        let token = NewToken {
            id: id.clone(),
            hash: plain.hash(),
            kind: TokenKind::Access,
            owner,
            name: new.name,
            actions: new.actions,
            patterns: new.patterns,
            parent: None,
            expires,
        };
        if !self.inner.catalog.create_token(token, by.stamp(self)).await? {
            return Err(Problem::Busy);
        }
        let token = self.inner.catalog.token(&id).await?.ok_or_else(|| absent("token", &id))?;
        Ok((token, plain))
    }

    /// Tokens after this id: of an owner, or without one the caller's; administrators see everybody's with `*`.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`].
    pub async fn tokens(&self, by: &By, owner: Option<&str>, after: Option<&str>, limit: usize) -> Answer<Page<Token>> {
        let owner = owner.unwrap_or(&by.identity);
        if owner == "*" {
            by.must_administer_accounts()?;
            return Ok(self.inner.catalog.tokens(None, after, limit.min(PAGE)).await?);
        }
        if !by.is_administrator() {
            self.must_own(by, owner).await?;
        }
        Ok(self.inner.catalog.tokens(Some(owner), after, limit.min(PAGE)).await?)
    }

    /// Ends a token, with everything that was issued for it, within a second. Its owner, or an administrator.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`], also for somebody else's.
    pub async fn revoke_token(&self, by: &By, id: &str) -> Answer<()> {
        let token = self.inner.catalog.token(id).await?.filter(|token| token.kind == TokenKind::Access);
        let token = token.ok_or_else(|| absent("token", id))?;
        if !by.is_administrator() && self.must_own(by, &token.owner).await.is_err() {
            return Err(absent("token", id));
        }
        let found = self.inner.catalog.revoke_token(id, by.stamp(self)).await?;
        if found { Ok(()) } else { Err(absent("token", id)) }
    }

    /// Whether the caller may make tokens that speak for this identity.
    async fn must_own(&self, by: &By, owner: &str) -> Answer<()> {
        match owner.split_once(':') {
            Some(("robot", name)) if by.is(owner) => self.robot(by, name).await.map(drop),
            Some(("robot", name)) => self.own_robot(by, name).await.map(drop),
            Some(("user", name)) if by.is_operator() => self.must_be_known(name).await,
            Some(("user", _)) if by.is(owner) && is_user(by) => Ok(()),
            Some(("user", _)) => Err(Problem::NotAllowed("users make their tokens themselves")),
            _ => Err(Problem::NotAllowed("only users and robots have tokens")),
        }
    }
}

fn is_user(by: &By) -> bool {
    matches!(&by.authority, Authority::Caller { kind: CallerKind::User, .. })
}
