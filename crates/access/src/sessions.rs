//! Sessions: logins that a browser keeps, and the tokens of its forms.
//!
//! A session speaks for its account with everything that the account may. It ends by itself, by hand, and with whatever ends the credential that it was
//! begun with.

use std::sync::Arc;

use jiff::Timestamp;
use larder_catalog::model::access::Session;
use larder_catalog::model::{Origin as StampOrigin, Stamp};

use crate::access::{Access, unavailable};
use crate::clock::after;
use crate::form_key::FormKey;
use crate::token::random_id;
use crate::{Caller, CallerKind, Origin, PlainToken, Refused};

/// What is kept of the name that a browser gives itself.
const AGENT: usize = 200;

/// A session that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// What the browser keeps: a cookie.
    pub secret: PlainToken,
    /// When it ends.
    pub until: Timestamp,
}

impl Access {
    /// Begins a session for somebody who has just shown who he is. `agent` is the browser's name for itself.
    ///
    /// # Errors
    ///
    /// [`Refused::Unfit`] for robots and workloads, and for a token in the place of a password: it may have limits that a session has not.
    pub async fn begin_session(&self, caller: &Caller, origin: Origin, agent: &str) -> Result<Begun, Refused> {
        let whole = caller.scope.is_none() && !caller.expired && caller.credential == caller.root;
        let fit = matches!(caller.root.as_str(), "password" | "htpasswd" | "ldap" | "oidc");
        if caller.kind != CallerKind::User || !whole || !fit {
            return Err(Refused::Unfit("people sign in here, with a password and not with a token".to_owned()));
        }
        let (secret, now) = (PlainToken::generate(), self.inner.now());
        let until = after(now, self.inner.settings.session_ttl);
        let address = origin.address.map(|address| address.to_string());
        let session = Session {
            // In the order of time, so that the oldest can make room.
            id: format!("{:012x}{}", now.as_millisecond().max(0), random_id(8)),
            identity: caller.identity.clone(),
            credential: caller.root.clone(),
            revision: caller.revision,
            address: address.clone(),
            agent: agent.chars().filter(|c| !c.is_control()).take(AGENT).collect(),
            created: now,
            expires: until,
        };
        let origin = StampOrigin { credential: Some(caller.root.clone()), address };
        let stamp = Stamp { identity: caller.identity.clone(), at: now, request_id: None, origin };
        self.inner.catalog.create_session(&secret.hash(), session, stamp).await.map_err(unavailable)?;
        Ok(Begun { secret, until })
    }

    pub(crate) async fn by_session(&self, secret: &str) -> Result<Caller, Refused> {
        let secret = PlainToken::parse(secret).ok_or(Refused::Wrong)?;
        let session = self.session_row(&secret).await?.ok_or(Refused::Wrong)?;
        if session.expires <= self.inner.now() {
            return Err(Refused::Expired);
        }
        let standing = self.standing(&session.identity, &session.credential).await?;
        if standing.revision != session.revision {
            return Err(Refused::Wrong);
        }
        if standing.is_disabled {
            return Err(Refused::Disabled);
        }
        let caller = Caller::standing(&session.identity, &session.credential, &standing);
        Ok(Caller { credential: format!("session:{}", session.id), ..caller })
    }

    async fn session_row(&self, secret: &PlainToken) -> Result<Option<Arc<Session>>, Refused> {
        let (hash, epoch) = (secret.hash(), self.inner.epoch().await?);
        if let Some(session) = self.inner.sessions.get(&hash, &epoch) {
            return Ok(Some(session));
        }
        let row = self.inner.catalog.session(&hash, self.inner.now()).await.map_err(unavailable)?.map(Arc::new);
        // The beginning of one is no change of rights, so only what is there is kept.
        if let Some(session) = &row {
            self.inner.sessions.put(hash, epoch, Arc::clone(session));
        }
        Ok(row)
    }

    /// What a form of ours carries, so that no other site can send it: it follows from what the browser keeps in a cookie that other sites cannot read.
    pub fn form_token(&self, kept: &str) -> String {
        self.form_key().sign(kept)
    }

    /// Whether a form's token is that of what the browser keeps.
    pub fn is_form_token(&self, kept: &str, token: &str) -> bool {
        self.form_key().verify(kept, token)
    }

    fn form_key(&self) -> FormKey {
        FormKey::of(&self.inner.settings.secret_key.derive("larder forms 1"))
    }
}
