//! Challenge, token, header: how requests to one registry prove who sends them (distribution specification of tokens, `docs` §3.2).
//!
//! **Invariant 13**, on this side of the wire: credentials leave only to the host that they are for, and to the token service that this
//! host itself named in a challenge; errors carry neither.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use larder_oci::name::RepositoryName;

use super::certificate;
use super::origin;
use super::reply;
use crate::challenge::Challenge;
use crate::credentials::{Credential, Credentials};
use crate::error::{Error, Result};

/// How long a token service may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The token specification's lifetime of a token that names none.
const DEFAULT_LIFETIME: u64 = 60;
/// More than any token service sends.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// What a request needs to be allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scopes {
    /// Whose credentials are meant where repositories have their own.
    repository: Option<RepositoryName>,
    items: BTreeSet<String>,
}

impl Scopes {
    /// No right at all: the ping.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// `actions` (`pull`, `pull,push`, `delete`) on a repository.
    pub(crate) fn repository(name: &RepositoryName, actions: &str) -> Self {
        Self { repository: Some(name.clone()), items: BTreeSet::from([format!("repository:{name}:{actions}")]) }
    }

    /// The list of all repositories.
    pub(crate) fn catalog() -> Self {
        Self { repository: None, items: BTreeSet::from(["registry:catalog:*".to_owned()]) }
    }

    /// Also `actions` on another repository: a mount.
    pub(crate) fn and(mut self, name: &RepositoryName, actions: &str) -> Self {
        self.items.insert(format!("repository:{name}:{actions}"));
        self
    }

    /// Also what a challenge asks for.
    fn and_asked(&self, challenge: &Challenge) -> Self {
        let mut all = self.clone();
        all.items.extend(challenge.parameter("scope").unwrap_or_default().split_ascii_whitespace().map(str::to_owned));
        all
    }

    fn key(&self) -> String {
        self.items.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    fn owner(&self) -> &str {
        self.repository.as_ref().map_or("", RepositoryName::as_str)
    }
}

/// Who we are at one registry.
pub(crate) struct Authenticator {
    host: String,
    base: Url,
    credentials: Arc<dyn Credentials>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    scheme: Option<Scheme>,
    /// By repository name; asked once, because a helper is a process and may ask its user.
    known: HashMap<String, Option<Credential>>,
    tokens: HashMap<String, Token>,
    /// Why there are no credentials although there should be; told when the registry refuses.
    problem: Option<String>,
}

#[derive(Clone)]
enum Scheme {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

struct Token {
    header: HeaderValue,
    until: Instant,
}

impl Authenticator {
    pub(crate) fn new(host: &str, base: Url, credentials: Arc<dyn Credentials>) -> Self {
        Self { host: host.to_owned(), base, credentials, state: Mutex::new(State::default()) }
    }

    /// The header for a request; `None` as long as the registry has not asked for one.
    pub(crate) async fn header(&self, http: &reqwest::Client, scopes: &Scopes) -> Result<Option<HeaderValue>> {
        let mut state = self.state.lock().await;
        if state.scheme.is_none() {
            return Ok(None);
        }
        self.header_for(&mut state, http, scopes).await
    }

    /// After a 401: learns from its challenges and returns another header to try. `None` when there is nothing better than `refused`.
    pub(crate) async fn answer(
        &self,
        http: &reqwest::Client,
        scopes: &Scopes,
        challenges: &[Challenge],
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>> {
        let mut state = self.state.lock().await;
        let bearer = challenges.iter().find(|c| c.scheme == "bearer" && c.parameter("realm").is_some());
        let asked = match bearer {
            Some(challenge) => {
                state.scheme = Some(self.bearer(challenge)?);
                scopes.and_asked(challenge)
            }
            None if challenges.iter().any(|c| c.scheme == "basic") => {
                state.scheme = Some(Scheme::Basic);
                scopes.clone()
            }
            None => return Ok(None),
        };
        // Several requests run into the same expired token; the first of them has renewed it by now.
        if state.tokens.get(&asked.key()).is_some_and(|token| Some(&token.header) == refused) {
            state.tokens.remove(&asked.key());
        }
        let header = self.header_for(&mut state, http, &asked).await?;
        if asked != *scopes && bearer.is_some() {
            // What was asked for is more than we thought: the next request of this kind begins with it.
            if let Some(token) = state.tokens.get(&asked.key()) {
                let copy = Token { header: token.header.clone(), until: token.until };
                state.tokens.insert(scopes.key(), copy);
            }
        }
        Ok(header.filter(|header| Some(header) != refused))
    }

    /// What to add to a refusal: nobody was logged in, or the credentials could not be read.
    pub(crate) async fn hint(&self, scopes: &Scopes) -> Option<String> {
        let state = self.state.lock().await;
        if let Some(problem) = &state.problem {
            return Some(problem.clone());
        }
        let anonymous = !matches!(state.known.get(scopes.owner()), Some(Some(_)));
        anonymous.then(|| format!("nobody is logged in at {0}; log in with `docker login {0}`", self.host))
    }

    fn bearer(&self, challenge: &Challenge) -> Result<Scheme> {
        let realm = challenge.parameter("realm").unwrap_or_default();
        let realm = self.base.join(realm).map_err(|error| Error::Unsafe {
            host: self.host.clone(),
            why: format!("its token service has no valid address: {error}"),
        })?;
        origin::check_realm(&self.base, &realm)?;
        Ok(Scheme::Bearer { realm, service: challenge.parameter("service").map(str::to_owned) })
    }

    async fn header_for(
        &self,
        state: &mut State,
        http: &reqwest::Client,
        scopes: &Scopes,
    ) -> Result<Option<HeaderValue>> {
        let Some(scheme) = state.scheme.clone() else { return Ok(None) };
        let credential = self.credential(state, scopes).await;
        match scheme {
            Scheme::Basic => match credential {
                Some(Credential::Password { user, password }) => basic(&user, password.expose()).map(Some),
                Some(Credential::RegistryToken(token)) => sensitive(format!("Bearer {}", token.expose())).map(Some),
                Some(Credential::IdentityToken(_)) | None => Ok(None),
            },
            Scheme::Bearer { realm, service } => {
                if let Some(Credential::RegistryToken(token)) = &credential {
                    return sensitive(format!("Bearer {}", token.expose())).map(Some);
                }
                if let Some(token) = state.tokens.get(&scopes.key()).filter(|token| token.until > Instant::now()) {
                    return Ok(Some(token.header.clone()));
                }
                let exchange = Exchange {
                    http,
                    realm: &realm,
                    service: service.as_deref(),
                    scopes,
                    credential: credential.as_ref(),
                };
                let token = exchange.token().await?;
                let header = token.header.clone();
                state.tokens.insert(scopes.key(), token);
                Ok(Some(header))
            }
        }
    }

    async fn credential(&self, state: &mut State, scopes: &Scopes) -> Option<Credential> {
        if let Some(known) = state.known.get(scopes.owner()) {
            return known.clone();
        }
        let repository = Some(scopes.owner()).filter(|owner| !owner.is_empty());
        let found = self.credentials.find(&self.host, repository).await.unwrap_or_else(|error| {
            tracing::warn!(host = %self.host, %error, "credentials could not be read; going on without");
            state.problem = Some(error.to_string());
            None
        });
        state.known.insert(scopes.owner().to_owned(), found.clone());
        found
    }
}

/// One exchange with a token service.
struct Exchange<'a> {
    http: &'a reqwest::Client,
    realm: &'a Url,
    service: Option<&'a str>,
    scopes: &'a Scopes,
    credential: Option<&'a Credential>,
}

/// What a token service answers; the two names mean the same.
#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Exchange<'_> {
    async fn token(&self) -> Result<Token> {
        let asked = Instant::now();
        let request = match self.credential {
            Some(Credential::IdentityToken(token)) => {
                self.post(&[("grant_type", "refresh_token"), ("refresh_token", token.expose())])
            }
            _ => self.get()?,
        };
        let response = match self.send(request).await? {
            // A token service that only takes forms.
            answer if matches!(answer.status().as_u16(), 404 | 405) => match self.credential {
                Some(Credential::Password { user, password }) => {
                    self.send(self.post(&[
                        ("grant_type", "password"),
                        ("username", user),
                        ("password", password.expose()),
                    ]))
                    .await?
                }
                _ => answer,
            },
            answer => answer,
        };
        if !response.status().is_success() {
            return Err(reply::into_error(response, &self.subject()).await);
        }
        let bytes = reply::body(response, ANSWER_LIMIT, &self.subject(), PATIENCE).await?;
        self.read(&bytes, asked)
    }

    fn subject(&self) -> String {
        format!("token service {}", origin::host_of(self.realm))
    }

    fn get(&self) -> Result<RequestBuilder> {
        let mut url = self.realm.clone();
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = self.service {
                query.append_pair("service", service);
            }
            for scope in &self.scopes.items {
                query.append_pair("scope", scope);
            }
            query.append_pair("client_id", "larder");
            if let Some(Credential::Password { user, .. }) = self.credential {
                query.append_pair("account", user);
            }
        }
        let request = self.http.get(url);
        Ok(match self.credential {
            Some(Credential::Password { user, password }) => {
                request.header(http::header::AUTHORIZATION, basic(user, password.expose())?)
            }
            _ => request,
        })
    }

    fn post(&self, grant: &[(&str, &str)]) -> RequestBuilder {
        let scope = self.scopes.key();
        let mut form =
            vec![("service", self.service.unwrap_or_default()), ("client_id", "larder"), ("scope", scope.as_str())];
        form.extend_from_slice(grant);
        self.http.post(self.realm.clone()).form(&form)
    }

    /// Redirects are not followed here: a token service that moves has to say so in the challenge.
    async fn send(&self, request: RequestBuilder) -> Result<reqwest::Response> {
        request.timeout(PATIENCE).send().await.map_err(|error| certificate::failure(&self.subject(), error))
    }

    fn read(&self, bytes: &[u8], asked: Instant) -> Result<Token> {
        let protocol = |why: &str| Error::Protocol { subject: self.subject(), why: why.to_owned() };
        let granted: Granted = serde_json::from_slice(bytes).map_err(|_| protocol("the answer is no token"))?;
        let text = granted.token.filter(|t| !t.is_empty()).or(granted.access_token).filter(|t| !t.is_empty());
        let text = text.ok_or_else(|| protocol("the answer has no token"))?;
        let lifetime = granted.expires_in.unwrap_or(DEFAULT_LIFETIME).clamp(10, 86_400);
        let margin = (lifetime / 10).clamp(2, 30);
        Ok(Token {
            header: sensitive(format!("Bearer {text}"))?,
            until: asked + Duration::from_secs(lifetime - margin),
        })
    }
}

fn basic(user: &str, password: &str) -> Result<HeaderValue> {
    sensitive(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

fn sensitive(text: String) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| Error::Setup("a credential holds characters that no header can".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
