//! The token service's half: signed tokens for a while, and refresh tokens to get them with.

use std::time::Duration;

use larder_catalog::model::access::{NewToken, TokenKind};
use larder_catalog::model::{Origin as StampOrigin, Stamp};
use larder_oci::{Actions, Scopes};

use crate::access::{Access, unavailable};
use crate::bearer::Subject;
use crate::clock::{after, between};
use crate::token::random_id;
use crate::{Caller, CallerKind, Issued, Origin, PlainToken, Refused};

const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);
/// A signed token without a scope, as a job in CI gets it.
const LONGEST_LOGIN: Duration = Duration::from_secs(12 * 3600);
const REFRESH: Duration = Duration::from_secs(30 * 24 * 3600);

impl Access {
    /// Signs a token for what was granted: the caller decides that from [`Caller::rights`] and from what is public. `ttl` is kept within a minute
    /// and an hour, and ends with the credential.
    ///
    /// # Errors
    ///
    /// [`Refused::Unfit`] for another service than this, and for a caller who comes with a token of limited scope himself.
    pub async fn issue(
        &self,
        caller: &Caller,
        service: &str,
        granted: Scopes,
        ttl: Option<Duration>,
    ) -> Result<Issued, Refused> {
        if service != self.inner.settings.service {
            return Err(Refused::Unfit(format!("this registry is {}, not {service}", self.inner.settings.service)));
        }
        let lifetime = ttl.unwrap_or(self.inner.settings.token_ttl).clamp(SHORTEST, LONGEST);
        self.sign(caller, Some(granted), lifetime)
    }

    /// Signs a token that stands for the credential itself: a bearer of any scope that its rights allow, and a password for clients that want one.
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue).
    pub async fn issue_login(&self, caller: &Caller, ttl: Option<Duration>) -> Result<Issued, Refused> {
        if !caller.is_known() {
            return Err(Refused::Wrong);
        }
        self.sign(caller, None, ttl.unwrap_or(LONGEST).clamp(SHORTEST, LONGEST_LOGIN))
    }

    fn sign(&self, caller: &Caller, scope: Option<Scopes>, lifetime: Duration) -> Result<Issued, Refused> {
        let now = self.inner.now();
        if caller.expired {
            return Err(Refused::Expired);
        }
        if caller.scope.is_some() {
            return Err(Refused::Unfit("a token of limited scope gets no other".to_owned()));
        }
        let left = caller.until.map_or(Duration::MAX, |until| between(now, until));
        let lifetime = Duration::from_secs(lifetime.min(left).as_secs());
        if lifetime.is_zero() {
            return Err(Refused::Expired);
        }
        let subject = Subject {
            identity: caller.identity.clone(),
            credential: caller.root.clone(),
            revision: caller.revision,
            scope,
        };
        self.inner.bearers.issue(subject, now, lifetime).ok_or(Refused::Unavailable)
    }

    /// Makes a refresh token (`offline_token`): opaque, good for a month, gone with the password or the token that it was made with.
    ///
    /// # Errors
    ///
    /// [`Refused::Unfit`] for those who can have none: nobody known, jobs that an issuer vouches for, people of a directory (who is gone there is
    /// not to stay here), and whoever comes with a signed token.
    pub async fn issue_refresh(&self, caller: &Caller, client: &str) -> Result<PlainToken, Refused> {
        let none = || Refused::Unfit("this login has no refresh token".to_owned());
        let of_account = matches!(caller.kind, CallerKind::User | CallerKind::Robot);
        if !of_account || caller.scope.is_some() || caller.credential != caller.root {
            return Err(none());
        }
        let parent = match (caller.root.strip_prefix("token:"), caller.root.as_str()) {
            (Some(id), _) => id.to_owned(),
            (None, "password" | "oidc") => caller.root.clone(),
            (None, "htpasswd") => format!("htpasswd.{}", caller.revision),
            _ => return Err(none()),
        };
        let (now, plain) = (self.inner.now(), PlainToken::generate());
        let longest = after(now, REFRESH);
        let token = NewToken {
            id: random_id(16),
            hash: plain.hash(),
            kind: TokenKind::Refresh,
            owner: caller.identity.clone(),
            name: client.chars().filter(|c| !c.is_control()).take(64).collect(),
            actions: Actions::ALL,
            patterns: Vec::new(),
            parent: Some(parent),
            expires: Some(caller.until.map_or(longest, |until| until.min(longest))),
        };
        let origin = StampOrigin { credential: Some(caller.credential.clone()), address: None };
        let stamp = Stamp { identity: caller.identity.clone(), at: now, request_id: None, origin };
        let made = self.inner.catalog.create_token(token, stamp).await.map_err(unavailable)?;
        if made { Ok(plain) } else { Err(Refused::Unavailable) }
    }

    /// Who comes with a refresh token. What it was made with must still hold.
    ///
    /// # Errors
    ///
    /// [`Refused`], as for [`identify`](Self::identify).
    pub async fn refresh(&self, refresh_token: &str, _origin: Origin) -> Result<Caller, Refused> {
        let plain = PlainToken::parse(refresh_token).ok_or(Refused::Wrong)?;
        let row = self.inner.catalog.token_by_hash(&plain.hash()).await.map_err(unavailable)?.ok_or(Refused::Wrong)?;
        let parent =
            row.parent.filter(|_| row.kind == TokenKind::Refresh && row.revoked.is_none()).ok_or(Refused::Wrong)?;
        if row.expires.is_some_and(|until| until <= self.inner.now()) {
            return Err(Refused::Expired);
        }
        let (credential, revision) = match parent.split_once('.') {
            Some(("htpasswd", revision)) => ("htpasswd".to_owned(), revision.parse::<i64>().ok()),
            _ if matches!(parent.as_str(), "password" | "oidc") => (parent, None),
            _ => (format!("token:{parent}"), None),
        };
        let mut caller = self.stands(&row.owner, &credential).await?;
        if revision.is_some_and(|revision| revision != caller.revision) {
            return Err(Refused::Wrong);
        }
        if caller.until.is_some_and(|until| until <= self.inner.now()) {
            return Err(Refused::Expired);
        }
        self.inner.note(&caller.identity, credential.strip_prefix("token:"));
        caller.credential = format!("refresh:{}", row.id);
        Ok(caller)
    }
}
