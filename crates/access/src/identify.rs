//! From what a request presents to who it is from.

use std::sync::Arc;
use std::time::Duration;

use larder_catalog::model::access::{Token, TokenKind, User};

use crate::access::{Access, unavailable};
use crate::bearer::BearerError;
use crate::denials::Denial;
use crate::password::{Busy, Stored};
use crate::standing::Standing;
use crate::{Caller, CallerKind, Origin, PlainToken, Presented, Refused};

impl Access {
    /// Who this is, and what he may right now. Rights, revocation and disabling are read at each call; what is kept is dropped by the next change.
    ///
    /// # Errors
    ///
    /// [`Refused`]. Nothing presented is nobody, and no error.
    pub async fn identify(&self, presented: &Presented, origin: Origin) -> Result<Caller, Refused> {
        let caller = match presented {
            Presented::Nothing => return self.anonymous().await,
            Presented::Basic { user, password } => self.by_basic(user, password, origin).await,
            Presented::Bearer(token) if PlainToken::is_claimed(token) => self.by_token(token).await,
            Presented::Bearer(token) => self.by_bearer(token).await,
            Presented::Certificate(name) => self.by_certificate(name).await,
            Presented::Session(secret) => self.by_session(secret).await,
        };
        match &caller {
            Ok(caller) if caller.is_known() => {
                self.inner.note(&caller.identity, caller.credential.strip_prefix("token:"));
            }
            // A session that was ended is a browser's that has not heard of it.
            Err(_) if matches!(presented, Presented::Session(_)) => {}
            Err(Refused::Wrong | Refused::Disabled | Refused::Unfit(_)) => {
                let account = match presented {
                    Presented::Basic { user, password } if !is_token(password) => self.existing(user).await,
                    _ => None,
                };
                self.note_refusal(account, origin);
            }
            // An expired one is a client's reason to get another; who is told to wait was noted before.
            Ok(_) | Err(Refused::Expired | Refused::Throttled { .. } | Refused::Unavailable) => {}
        }
        caller
    }

    /// Nobody known.
    ///
    /// # Errors
    ///
    /// [`Refused::Unavailable`] if the catalog does not answer.
    pub async fn anonymous(&self) -> Result<Caller, Refused> {
        let standing = self.standing("anonymous", "none").await?;
        Ok(Caller::standing("anonymous", "none", &standing))
    }

    /// Notes that something was refused.
    pub fn denied(&self, denial: Denial) {
        self.inner.denials.add(denial, self.inner.now());
    }

    async fn by_basic(&self, user: &str, password: &str, origin: Origin) -> Result<Caller, Refused> {
        if password.len() > Presented::MAX_SECRET || user.len() > 256 {
            return Err(Refused::Wrong);
        }
        if PlainToken::is_claimed(password) {
            return self.by_token(password).await;
        }
        if is_token(password) {
            if self.inner.bearers.is_claimed(password) {
                return self.by_bearer(password).await;
            }
            return self.exchange_as(user, password).await;
        }
        self.by_password(user, password, origin).await
    }

    /// A token of ours, as it is.
    async fn by_token(&self, text: &str) -> Result<Caller, Refused> {
        let token = PlainToken::parse(text).ok_or(Refused::Wrong)?;
        let token = self.token_row(&token).await?.ok_or(Refused::Wrong)?;
        if token.kind != TokenKind::Access || token.revoked.is_some() {
            return Err(Refused::Wrong);
        }
        if token.expires.is_some_and(|until| until <= self.inner.now()) {
            return Err(Refused::Expired);
        }
        self.stands(&token.owner, &format!("token:{}", token.id)).await
    }

    /// A token that we signed.
    async fn by_bearer(&self, text: &str) -> Result<Caller, Refused> {
        let verified = self.inner.bearers.verify(text, self.inner.now()).map_err(|error| match error {
            BearerError::Wrong => Refused::Wrong,
            BearerError::Expired => Refused::Expired,
        })?;
        let claims = verified.claims;
        let standing = self.standing(&claims.sub, &claims.cred).await?;
        if standing.revision != claims.rev {
            return Err(Refused::Wrong);
        }
        if standing.is_disabled {
            return Err(Refused::Disabled);
        }
        let mut caller = Caller::standing(&claims.sub, &claims.cred, &standing);
        caller.until = jiff::Timestamp::from_second(claims.exp).ok();
        (caller.scope, caller.expired) = (claims.scope(), verified.expired);
        if caller.kind != CallerKind::Anonymous && !claims.cred.starts_with("token:") {
            caller.credential = format!("jwt:{}", claims.jti);
        }
        Ok(caller)
    }

    /// The name in a client certificate that the listener has verified: a user's, or `robot:NAME`.
    async fn by_certificate(&self, name: &str) -> Result<Caller, Refused> {
        let identity = if name.starts_with("robot:") { name.to_owned() } else { format!("user:{name}") };
        self.stands(&identity, "certificate").await
    }

    /// The identity with this credential, unless it is gone or disabled.
    pub(crate) async fn stands(&self, identity: &str, credential: &str) -> Result<Caller, Refused> {
        let standing = self.standing(identity, credential).await?;
        if standing.is_disabled {
            return Err(Refused::Disabled);
        }
        Ok(Caller::standing(identity, credential, &standing))
    }

    async fn by_password(&self, user: &str, password: &str, origin: Origin) -> Result<Caller, Refused> {
        let row = if user.is_empty() { None } else { self.user_row(user).await? };
        let accounts_exist = self.accounts_exist().await?;
        let (stored, credential) = self.stored(user, row.as_deref(), accounts_exist);
        let now = self.inner.now();
        let right = async || self.stands(&format!("user:{user}"), credential.unwrap_or_default()).await;
        let known =
            || credential.is_some() && self.inner.passwords.remembered(user, &stored, password, now) == Some(true);
        // What was right a moment ago is let in before anything is throttled: somebody else's guesses from the same address must not lock it out.
        if known() {
            return right().await;
        }
        // A client that opens ten connections at once shows the same password ten times: one of them is an attempt, and the others hear of it.
        let _alone = self.inner.passwords.alone(user, &stored, password).await;
        if known() {
            return right().await;
        }
        let address = origin.address;
        self.inner.throttle.attempt(user, address, now).map_err(|retry_after| Refused::Throttled { retry_after })?;
        let verdict = match credential {
            Some("ldap") => self.ask_directory(user, password).await,
            _ => self.inner.passwords.verify(user, &stored, password, now).await.map_err(busy),
        };
        match verdict {
            Err(refused) => {
                self.inner.throttle.withdraw(user, address);
                Err(refused)
            }
            Ok(true) if credential.is_some() => {
                self.inner.throttle.forgive(user, address);
                right().await
            }
            Ok(_) => Err(Refused::Wrong),
        }
    }

    /// What a password has to match, and the credential's id then. Without an account it is something that nothing matches, at the same cost.
    fn stored(&self, user: &str, row: Option<&User>, accounts_exist: bool) -> (Stored, Option<&'static str>) {
        if let Some(password) = row.and_then(|row| row.password.as_deref()) {
            return (Stored::Argon2(password.to_owned()), Some("password"));
        }
        let file = self.inner.htpasswd.as_ref().map(|file| file.users());
        if let Some(hash) = file.as_ref().and_then(|users| users.hash(user)) {
            return (Stored::Bcrypt(hash.to_owned()), Some("htpasswd"));
        }
        if self.inner.settings.ldap.is_some() {
            return (Stored::of_nobody(None), Some("ldap"));
        }
        // With accounts here and in a file, nobody costs what one of either does; which, depends on the name alone.
        let cost = file.map(|users| users.cost()).filter(|_| !accounts_exist || self.inner.is_odd(user));
        (Stored::of_nobody(cost), None)
    }

    /// The name, if an account has it: into the field for a name, people type passwords, and those are not written down.
    async fn existing(&self, user: &str) -> Option<String> {
        let file = self.inner.htpasswd.as_ref().map(|file| file.users());
        let in_file = file.is_some_and(|users| users.hash(user).is_some());
        let known = in_file || matches!(self.user_row(user).await, Ok(Some(_)));
        known.then(|| format!("user:{user}"))
    }

    fn note_refusal(&self, account: Option<String>, origin: Origin) {
        self.denied(Denial {
            identity: "anonymous".to_owned(),
            credential: None,
            address: origin.address,
            action: "login".to_owned(),
            repository: None,
            object: account,
            request_id: None,
        });
    }

    async fn token_row(&self, token: &PlainToken) -> Result<Option<Arc<Token>>, Refused> {
        let (hash, epoch) = (token.hash(), self.inner.epoch().await?);
        if let Some(token) = self.inner.tokens.get(&hash, &epoch) {
            return Ok(token);
        }
        let row = self.inner.catalog.token_by_hash(&hash).await.map_err(unavailable)?.map(Arc::new);
        // The end of a refresh token is no change of rights: none is kept.
        if row.as_ref().is_none_or(|row| row.kind == TokenKind::Access) {
            self.inner.tokens.put(hash, epoch, row.clone());
        }
        Ok(row)
    }
}

impl Caller {
    pub(crate) fn standing(identity: &str, credential: &str, standing: &Standing) -> Self {
        Self {
            identity: identity.to_owned(),
            kind: standing.kind,
            credential: credential.to_owned(),
            rights: Arc::clone(&standing.rights),
            scope: None,
            expired: false,
            until: standing.until,
            revision: standing.revision,
            root: credential.to_owned(),
        }
    }
}

/// Whether the text is a signed token of whomever, rather than a password.
fn is_token(password: &str) -> bool {
    jsonwebtoken::decode_header(password).is_ok()
}

fn busy(_: Busy) -> Refused {
    Refused::Throttled { retry_after: Duration::from_secs(2) }
}
