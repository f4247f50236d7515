//! Who a request is from, decided in one place for every route, before anything about the request's subject is looked at.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use larder_access::{self as access, Access, Caller, CallerKind, Denial, Origin, Presented};
use larder_oci::{Action, RepositoryName};
use larder_registry::{Actor, Judge, Rights, Verdict, Visible};

use crate::ClientCertificate;
use crate::challenge::{self, Flaw, Need};
use crate::cookies;
use crate::limits::TooMuch;
use crate::open_state::{self, Refused};
use crate::service::{App, Knock};
use crate::site::Site;

/// The token of a session, beside a change that is made with it.
const X_CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

/// Somebody who was let in, with what he may.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// Acts within the scope of his token.
    pub actor: Actor,
    /// Acts with everything that his credential may: for the source of a mount, and to tell whether another token would help.
    pub live: Actor,
    /// Whether he owns the data folder.
    pub operator: bool,
    /// Who he is, once accounts exist.
    pub caller: Option<Arc<Caller>>,
    /// The address that he used.
    pub site: Site,
    /// Where he comes from.
    pub address: Option<IpAddr>,
}

/// Why nobody was let in.
#[derive(Clone, Debug)]
pub(crate) enum Unadmitted {
    /// The request itself is out of order, or no account exists and it comes from elsewhere.
    Closed(Refused),
    /// A credential is wanted, or another one. The challenge says which.
    Unauthorized(Box<Unauthorized>),
    /// Too many wrong attempts.
    Throttled(Duration),
    /// More than somebody may.
    TooMuch(TooMuch),
    /// The credential cannot be checked now.
    Unavailable,
}

/// A request without a credential that would do.
#[derive(Clone, Debug)]
pub(crate) struct Unauthorized {
    /// The challenge.
    pub challenge: HeaderValue,
    /// The sentence for people.
    pub message: String,
}

impl From<Refused> for Unadmitted {
    fn from(refused: Refused) -> Self {
        Self::Closed(refused)
    }
}

impl From<TooMuch> for Unadmitted {
    fn from(too_much: TooMuch) -> Self {
        Self::TooMuch(too_much)
    }
}

impl App {
    /// Lets a request in that needs this much, or says why not. A token that has merely expired is let in too: see [`Visitor::is_expired`].
    pub async fn admit(&self, asked: Knock<'_>, need: &Need) -> Result<Visitor, Unadmitted> {
        self.admit_with(asked, need, presented(asked)).await
    }

    /// The same where a browser's session counts too: never under `/v2/`, where a page could have bytes pushed and pulled with it.
    pub async fn admit_browser(&self, asked: Knock<'_>, need: &Need) -> Result<Visitor, Unadmitted> {
        let presented = match (presented(asked), &self.access) {
            (Presented::Nothing, Some(access)) if !asked.peer.is_operator() => {
                let site = Site::of(asked.head, &asked.peer, &self.config)?;
                self.session_of(asked, access, &site)?.map_or(Presented::Nothing, Presented::Session)
            }
            (presented, _) => presented,
        };
        self.admit_with(asked, need, presented).await
    }

    /// What the browser keeps of its session. A change has to carry the session's token beside it.
    fn session_of(&self, asked: Knock<'_>, access: &Access, site: &Site) -> Result<Option<String>, Refused> {
        let Some(kept) = cookies::read(&asked.head.headers, cookies::SESSION.of(site)) else { return Ok(None) };
        let token = asked.head.headers.get(X_CSRF_TOKEN).and_then(|token| token.to_str().ok()).unwrap_or_default();
        let reads = matches!(asked.head.method, Method::GET | Method::HEAD);
        if reads || access.is_form_token(&kept, token) { Ok(Some(kept)) } else { Err(Refused::NoFormToken) }
    }

    async fn admit_with(&self, asked: Knock<'_>, need: &Need, presented: Presented) -> Result<Visitor, Unadmitted> {
        if asked.peer.is_operator() {
            let site = Site::of(asked.head, &asked.peer, &self.config).unwrap_or_default();
            let visitor = Visitor { operator: true, ..Visitor::of(Actor::operator(), site, None) };
            return Ok(visitor.in_request(asked.request_id));
        }
        let site = Site::of(asked.head, &asked.peer, &self.config)?;
        open_state::refuse_other_sites(asked.head, &site)?;
        let address = asked.peer.client(&asked.head.headers, &self.config.proxy_trusted);
        self.limiter.request_from(address)?;
        let visitor = match self.guard().await? {
            Some(guard) => {
                if presented == Presented::Nothing {
                    return Err(guard.challenge(&site, need, None));
                }
                let caller = guard.identify(&presented, address, &site, need).await?;
                Visitor::known(caller, site, address)
            }
            None => Visitor::of(self.config.admission.admit(&asked.peer, asked.head)?, site, address),
        };
        self.limiter.request_of(visitor.caller.as_deref())?;
        Ok(visitor.in_request(asked.request_id))
    }

    /// Lets anybody in to what is for everybody, without any right; only the rules of the open state hold.
    pub async fn receive(&self, asked: Knock<'_>) -> Result<Visitor, Unadmitted> {
        if asked.peer.is_operator() || self.guard().await?.is_none() {
            return self.admit(asked, &Need::Nothing).await;
        }
        let site = Site::of(asked.head, &asked.peer, &self.config)?;
        open_state::refuse_other_sites(asked.head, &site)?;
        let address = asked.peer.client(&asked.head.headers, &self.config.proxy_trusted);
        self.limiter.request_from(address)?;
        Ok(Visitor::of(Actor::anonymous(Rights::Nothing), site, address).in_request(asked.request_id))
    }

    /// Lets somebody in who looks at pages: who shows nothing is a stranger, who sees what strangers may. Links from other sites lead here too.
    /// A session counts without its token beside it: a form carries that, and is looked at before anything is done.
    pub async fn visit(&self, asked: Knock<'_>) -> Result<Visitor, Unadmitted> {
        if asked.peer.is_operator() {
            return self.admit(asked, &Need::Nothing).await;
        }
        let site = Site::of(asked.head, &asked.peer, &self.config)?;
        if !open_state::follows_a_link(asked.head) {
            open_state::refuse_other_sites(asked.head, &site)?;
        }
        let address = asked.peer.client(&asked.head.headers, &self.config.proxy_trusted);
        self.limiter.request_from(address)?;
        let visitor = match self.guard().await? {
            Some(guard) => {
                let session = match presented(asked) {
                    Presented::Nothing => cookies::read(&asked.head.headers, cookies::SESSION.of(&site)),
                    _ => None,
                };
                let presented = session.map_or_else(|| presented(asked), Presented::Session);
                let caller = match guard.identify(&presented, address, &site, &Need::Nothing).await {
                    // A session that is over makes a stranger, who may sign in again.
                    Err(Unadmitted::Unauthorized(_)) if matches!(presented, Presented::Session(_)) => {
                        guard.identify(&Presented::Nothing, address, &site, &Need::Nothing).await?
                    }
                    identified => identified?,
                };
                if caller.expired {
                    return Err(guard.challenge(&site, &Need::Nothing, Some(Flaw::InvalidToken)));
                }
                Visitor::known(caller, site, address)
            }
            None => Visitor::of(self.config.admission.admit(&asked.peer, asked.head)?, site, address),
        };
        if asked.head.method == Method::POST {
            self.limiter.request_of(visitor.caller.as_deref())?;
        }
        Ok(visitor.in_request(asked.request_id))
    }

    /// Who stands at the door, once there is somebody to know; until then the open state holds.
    pub async fn guard(&self) -> Result<Option<Guard<'_>>, Unadmitted> {
        let Some(access) = &self.access else { return Ok(None) };
        if access.is_open().await? {
            return Ok(None);
        }
        let in_place_of_registry2 = access.settings().htpasswd.is_some() && !access.accounts_exist().await?;
        Ok(Some(Guard { access, realm: in_place_of_registry2.then_some(self.config.realm.as_str()) }))
    }
}

/// Tells people apart.
pub(crate) struct Guard<'a> {
    pub access: &'a Access,
    /// The realm of a password file while it is all there is: then this registry behaves as `registry:2` (case 9).
    realm: Option<&'a str>,
}

impl Guard<'_> {
    async fn identify(
        &self,
        presented: &Presented,
        address: Option<IpAddr>,
        site: &Site,
        need: &Need,
    ) -> Result<Caller, Unadmitted> {
        self.access.identify(presented, Origin { address }).await.map_err(|refused| match refused {
            access::Refused::Throttled { .. } | access::Refused::Unavailable => refused.into(),
            access::Refused::Wrong
            | access::Refused::Expired
            | access::Refused::Disabled
            | access::Refused::Unfit(_) => self.challenge(site, need, Some(Flaw::InvalidToken)),
        })
    }

    /// A refusal that tells which credential would help.
    pub fn challenge(&self, site: &Site, need: &Need, flaw: Option<Flaw>) -> Unadmitted {
        let challenge = match self.realm {
            Some(realm) => challenge::basic(realm),
            None => challenge::bearer(site, &self.access.settings().service, need, flaw),
        };
        let message = match flaw {
            None => "authentication required".to_owned(),
            Some(Flaw::InvalidToken) => "the credential is wrong, has expired or was revoked".to_owned(),
            Some(Flaw::InsufficientScope) => challenge::log_in(site),
        };
        Unadmitted::Unauthorized(Box::new(Unauthorized { challenge, message }))
    }

    /// Whether deletes are switched off, as `registry:2` has them unless its configuration says otherwise.
    pub fn forbids_deletes(&self) -> bool {
        self.realm.is_some() && !self.access.settings().htpasswd_rights.delete
    }

    /// Notes a refusal in the audit. A challenge without a credential is none.
    pub fn note(&self, visitor: &Visitor, action: &str, need: &Need, request_id: &str) {
        let Some(caller) = &visitor.caller else { return };
        self.access.denied(Denial {
            identity: caller.identity.clone(),
            credential: caller.is_known().then(|| caller.credential.clone()),
            address: visitor.address,
            action: action.to_owned(),
            repository: need.repository().cloned(),
            object: None,
            request_id: Some(request_id.to_owned()),
        });
    }
}

impl From<access::Refused> for Unadmitted {
    /// What has nothing to do with the credential itself.
    fn from(refused: access::Refused) -> Self {
        match refused {
            access::Refused::Throttled { retry_after } => Self::Throttled(retry_after),
            _ => Self::Unavailable,
        }
    }
}

impl Visitor {
    /// Somebody without an account, or the owner of the data folder.
    fn of(actor: Actor, site: Site, address: Option<IpAddr>) -> Self {
        Self { live: actor.clone(), actor, operator: false, caller: None, site, address }
    }

    /// Somebody who showed who he is, or a stranger with a token that says so.
    pub fn known(caller: Caller, site: Site, address: Option<IpAddr>) -> Self {
        let caller = Arc::new(caller);
        let judgement = |scoped| Arc::new(Judgement { caller: Arc::clone(&caller), scoped });
        Self {
            actor: Actor::granted(caller.identity.clone(), judgement(true)),
            live: Actor::granted(caller.identity.clone(), judgement(false)),
            operator: false,
            caller: Some(caller),
            site,
            address,
        }
    }

    /// The same visitor in this request. History and audit note it, with the credential's id and the address.
    fn in_request(mut self, request_id: &str) -> Self {
        let credential =
            self.caller.as_ref().filter(|caller| caller.is_known()).map(|caller| caller.credential.clone());
        let address = self.address.map(|address| address.to_string());
        self.actor = self.actor.in_request(request_id).coming(credential.clone(), address.clone());
        self.live = self.live.in_request(request_id).coming(credential, address);
        self
    }

    /// Whether what he showed has merely expired. Only an upload session that he opened may go on with it (behaviour §4).
    pub fn is_expired(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.expired)
    }

    /// Whether he is nobody known although accounts exist.
    pub fn is_stranger(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| caller.kind == CallerKind::Anonymous)
    }

    /// Whether the scope of his token, if he came with one, covers this.
    pub fn covers(&self, need: &Need) -> bool {
        let Some(caller) = &self.caller else { return true };
        match need {
            Need::Nothing => true,
            Need::Catalog => caller.scope_allows_catalog(),
            Need::Repository(name, action) => caller.scope_allows(*action, name),
            Need::Mount(to, from) => caller.scope_allows(Action::Push, to) && caller.scope_allows(Action::Pull, from),
        }
    }
}

/// A caller's grants as the domain asks for them.
#[derive(Debug)]
struct Judgement {
    caller: Arc<Caller>,
    /// Whether the scope of the token that he came with limits them.
    scoped: bool,
}

impl Judge for Judgement {
    fn verdict(&self, action: Action, repository: &RepositoryName) -> Verdict {
        // Beyond the scope not even what is public may be read: the client has to ask for another token, and gets one.
        if self.scoped && !self.caller.scope_allows(action, repository) {
            return Verdict::Denied;
        }
        match self.caller.rights.verdict(action, repository) {
            access::Verdict::Allowed => Verdict::Allowed,
            access::Verdict::Denied => Verdict::Denied,
            access::Verdict::Silent => Verdict::Silent,
        }
    }

    fn visible(&self) -> Visible {
        if self.scoped && !self.caller.scope_allows_catalog() {
            return Visible::default();
        }
        let access::Visible { allow, deny } = self.caller.rights.visible();
        Visible { allow, deny, public: true }
    }

    fn leaves(&self, action: Action, repository: &RepositoryName) -> bool {
        let in_scope = !self.scoped || self.caller.scope_allows(action, repository);
        in_scope && self.caller.rights.leaves(action, repository)
    }

    fn administrator(&self) -> bool {
        self.caller.rights.administrator() && !(self.scoped && self.caller.scope.is_some())
    }
}

/// What a request presents: the one `Authorization` header, else the certificate of its connection.
pub(crate) fn presented(asked: Knock<'_>) -> Presented {
    match authorization(&asked.head.headers) {
        Presented::Nothing => match asked.head.extensions.get::<ClientCertificate>() {
            Some(certificate) => Presented::Certificate(certificate.0.to_string()),
            None => Presented::Nothing,
        },
        presented => presented,
    }
}

/// What cannot be read, and what stands there twice, is a wrong credential and not none.
fn authorization(headers: &HeaderMap) -> Presented {
    let wrong = Presented::Bearer(String::new());
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let Some(line) = lines.next() else { return Presented::Nothing };
    if lines.next().is_some() {
        return wrong;
    }
    let Ok(text) = std::str::from_utf8(line.as_bytes()) else { return wrong };
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    if scheme.eq_ignore_ascii_case("bearer") {
        return Presented::Bearer(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return wrong;
    }
    let decoded = BASE64.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
        // Some clients say "nobody" this way.
        Some(("", "")) => Presented::Nothing,
        Some((user, password)) => Presented::Basic { user: user.to_owned(), password: password.to_owned() },
        None => wrong,
    }
}

/// Some clients leave the padding away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Presented {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(AUTHORIZATION, HeaderValue::try_from(*line).expect("it is a value"));
        }
        authorization(&headers)
    }

    #[test]
    fn credentials_are_read_as_clients_write_them() {
        let basic =
            |user: &str, password: &str| Presented::Basic { user: user.to_owned(), password: password.to_owned() };
        assert_eq!(read(&[]), Presented::Nothing);
        assert_eq!(read(&["Basic YWxpY2U6c2VjcmV0"]), basic("alice", "secret"));
        assert_eq!(read(&["basic YWxpY2U6cDp3"]), basic("alice", "p:w"));
        assert_eq!(read(&["Basic b3JnK3JvYm90OnB3"]), basic("org+robot", "pw"));
        assert_eq!(read(&["Basic YTpi"]), read(&["Basic YTpi"]));
        assert_eq!(read(&["Basic Og=="]), Presented::Nothing);
        assert_eq!(read(&["BEARER x.y.z"]), Presented::Bearer("x.y.z".to_owned()));
        let wrong = Presented::Bearer(String::new());
        for line in ["Basic", "Basic !!", "Basic YWxpY2U=", "Digest x", "Negotiate", "", "Basic /w=="] {
            assert_eq!(read(&[line]), wrong, "{line}");
        }
        assert_eq!(read(&["Basic YWxpY2U6c2VjcmV0", "Bearer x"]), wrong);
    }
}
