//! Login for people by OpenID Connect: in the browser by authorization code with PKCE, at a terminal by device code.
//!
//! Nothing is kept here between the steps: what has to be remembered is sealed and travels with the caller.

use std::time::Duration;

use aws_lc_rs::constant_time;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use larder_catalog::model::access::UserSource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::Access;
use crate::clock::after;
use crate::federation::{Claims, Discovery};
use crate::settings::{OidcLogin, is_secure};
use crate::token::{random_id, sha256};
use crate::{AccountName, Caller, FetchError, Refused};

/// A login is finished within this time.
const PATIENCE: Duration = Duration::from_secs(600);
const ANSWER: usize = 256 * 1024;
const GROUPS: usize = 1_000;
const BROWSER: &str = "login in a browser";
const DEVICE: &str = "login by device code";

/// A login in the browser that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginStart {
    /// Where the browser goes.
    pub url: String,
    /// What the browser keeps meanwhile: a cookie, `HttpOnly`, for this site, for ten minutes.
    pub cookie: String,
}

/// A login at a terminal that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceStart {
    /// What the person types …
    pub user_code: String,
    /// … there.
    pub verification_uri: String,
    /// The same address with the code in it, if the provider has one.
    pub verification_uri_complete: Option<String>,
    /// How long that works.
    pub expires_in: Duration,
    /// How long to wait between two calls of [`Access::device_poll`].
    pub interval: Duration,
    /// What those calls name.
    pub handle: String,
}

/// How a login at a terminal stands.
#[derive(Clone, Debug)]
pub enum DevicePoll {
    /// Not done yet.
    Pending,
    /// Not done yet, and asked too often: wait five seconds more from now on.
    SlowDown,
    /// Done.
    Done(Box<Caller>),
}

/// What the browser keeps, sealed.
#[derive(Serialize, Deserialize)]
struct Begun {
    state: String,
    nonce: String,
    verifier: String,
    redirect_uri: String,
    until: i64,
}

#[derive(Serialize, Deserialize)]
struct Device {
    code: String,
    until: i64,
}

impl Access {
    /// Begins a login in the browser. `redirect_uri` is this server's, as the provider knows it.
    ///
    /// # Errors
    ///
    /// [`Refused::Unfit`] where no provider is set; [`Refused::Unavailable`] where it does not answer.
    pub async fn login_start(&self, redirect_uri: &str) -> Result<LoginStart, Refused> {
        let login = self.login_settings()?;
        let discovery = self.provider(login).await?;
        let endpoint = self.endpoint(discovery.authorization_endpoint.as_deref())?;
        let begun = Begun {
            state: random_id(32),
            nonce: random_id(32),
            verifier: format!("{}{}", random_id(32), random_id(32)),
            redirect_uri: redirect_uri.to_owned(),
            until: after(self.inner.now(), PATIENCE).as_second(),
        };
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(sha256(begun.verifier.as_bytes()));
        let scope = scope(login);
        let parameters = [
            ("response_type", "code"),
            ("client_id", login.client_id.as_str()),
            ("redirect_uri", redirect_uri),
            ("scope", scope.as_str()),
            ("state", begun.state.as_str()),
            ("nonce", begun.nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let query: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let mark = if endpoint.contains('?') { '&' } else { '?' };
        Ok(LoginStart { url: format!("{endpoint}{mark}{}", query.join("&")), cookie: self.sealed(BROWSER, &begun) })
    }

    /// Ends a login in the browser: `code` and `state` came with the redirect, `cookie` from [`login_start`](Self::login_start).
    ///
    /// # Errors
    ///
    /// [`Refused::Wrong`] for a state that is not the cookie's, a code that the provider does not take, or a token that is not for this login;
    /// [`Refused::Unfit`] for somebody who has no account and gets none.
    pub async fn login_finish(&self, code: &str, state: &str, cookie: &str) -> Result<Caller, Refused> {
        let login = self.login_settings()?;
        let begun: Begun = self.opened(BROWSER, cookie)?;
        constant_time::verify_slices_are_equal(begun.state.as_bytes(), state.as_bytes()).map_err(|_| Refused::Wrong)?;
        if begun.until <= self.inner.now().as_second() {
            return Err(Refused::Expired);
        }
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", begun.redirect_uri.as_str()),
            ("code_verifier", begun.verifier.as_str()),
        ];
        let answer = self.ask_token(login, &form).await?.map_err(|error| {
            tracing::info!(%error, "the provider does not take a login's code");
            Refused::Wrong
        })?;
        let claims = self.person_of(login, &answer).await?;
        if claims.get("nonce").and_then(Value::as_str) != Some(begun.nonce.as_str()) {
            return Err(Refused::Wrong);
        }
        self.caller_with(login, &claims).await
    }

    /// Begins a login at a terminal (RFC 8628).
    ///
    /// # Errors
    ///
    /// As [`login_start`](Self::login_start); [`Refused::Unfit`] also for a provider without device codes.
    pub async fn device_start(&self) -> Result<DeviceStart, Refused> {
        #[derive(Deserialize)]
        struct Answer {
            device_code: String,
            user_code: String,
            verification_uri: String,
            verification_uri_complete: Option<String>,
            expires_in: u64,
            interval: Option<u64>,
        }
        let login = self.login_settings()?;
        let discovery = self.provider(login).await?;
        let endpoint = self.endpoint(discovery.device_authorization_endpoint.as_deref())?;
        let scope = scope(login);
        let form = [("client_id", login.client_id.as_str()), ("scope", scope.as_str())];
        let answer = self.post(login, &endpoint, &form).await?;
        let bytes = answer.map_err(|_| Refused::Unavailable)?;
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| Refused::Unavailable)?;
        let expires_in = Duration::from_secs(answer.expires_in.clamp(30, 1800));
        let device = Device { code: answer.device_code, until: after(self.inner.now(), expires_in).as_second() };
        Ok(DeviceStart {
            user_code: answer.user_code,
            verification_uri: answer.verification_uri,
            verification_uri_complete: answer.verification_uri_complete,
            expires_in,
            interval: Duration::from_secs(answer.interval.unwrap_or(5).clamp(1, 60)),
            handle: self.sealed(DEVICE, &device),
        })
    }

    /// Asks whether the login at a terminal is done.
    ///
    /// # Errors
    ///
    /// [`Refused::Expired`] when it took too long, [`Refused::Wrong`] when the person said no, and as [`login_finish`](Self::login_finish).
    pub async fn device_poll(&self, handle: &str) -> Result<DevicePoll, Refused> {
        let login = self.login_settings()?;
        let device: Device = self.opened(DEVICE, handle)?;
        if device.until <= self.inner.now().as_second() {
            return Err(Refused::Expired);
        }
        let form =
            [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("device_code", device.code.as_str())];
        match self.ask_token(login, &form).await? {
            Ok(answer) => {
                let claims = self.person_of(login, &answer).await?;
                Ok(DevicePoll::Done(Box::new(self.caller_with(login, &claims).await?)))
            }
            Err(error) => match error.as_str() {
                "authorization_pending" => Ok(DevicePoll::Pending),
                "slow_down" => Ok(DevicePoll::SlowDown),
                "expired_token" => Err(Refused::Expired),
                _ => Err(Refused::Wrong),
            },
        }
    }

    fn login_settings(&self) -> Result<&OidcLogin, Refused> {
        let none = || Refused::Unfit("no identity provider is set".to_owned());
        self.inner.settings.oidc_login.as_ref().ok_or_else(none)
    }

    async fn provider(&self, login: &OidcLogin) -> Result<Discovery, Refused> {
        let found = self.inner.issuers.discovery(&login.issuer, self.inner.asking()).await;
        found.map_err(|error| {
            tracing::error!(issuer = login.issuer, %error, "the identity provider does not answer");
            Refused::Unavailable
        })
    }

    fn endpoint(&self, endpoint: Option<&str>) -> Result<String, Refused> {
        let secure = |url: &&str| is_secure(url, self.inner.settings.plain_http_on_loopback);
        let none = || Refused::Unfit("the identity provider does not offer this kind of login".to_owned());
        endpoint.filter(secure).map(str::to_owned).ok_or_else(none)
    }

    /// The ID token, or the provider's word for why there is none.
    async fn ask_token(&self, login: &OidcLogin, form: &[(&str, &str)]) -> Result<Result<String, String>, Refused> {
        #[derive(Deserialize)]
        struct Answer {
            id_token: String,
        }
        let discovery = self.provider(login).await?;
        let endpoint = self.endpoint(discovery.token_endpoint.as_deref())?;
        let form: Vec<(&str, &str)> = form.iter().copied().chain([("client_id", login.client_id.as_str())]).collect();
        Ok(match self.post(login, &endpoint, &form).await? {
            Ok(bytes) => {
                let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| Refused::Unavailable)?;
                Ok(answer.id_token)
            }
            Err(error) => Err(error),
        })
    }

    async fn post(
        &self,
        login: &OidcLogin,
        url: &str,
        form: &[(&str, &str)],
    ) -> Result<Result<Vec<u8>, String>, Refused> {
        #[derive(Deserialize)]
        struct OAuthError {
            error: String,
        }
        // RFC 6749 §2.3.1: both are form-encoded before they become a Basic credential.
        let secret = login.client_secret.as_deref().map(|secret| (escape(&login.client_id), escape(secret)));
        let basic = secret.as_ref().map(|(id, secret)| (id.as_str(), secret.as_str()));
        let asked =
            tokio::time::timeout(Duration::from_secs(10), self.inner.ports.fetch.post_form(url, form, basic, ANSWER));
        match asked.await.map_err(|_| Refused::Unavailable)? {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(FetchError::Status { status: 400..=499, body }) => {
                let said = serde_json::from_slice::<OAuthError>(&body).map(|said| said.error);
                Ok(Err(said.unwrap_or_else(|_| "refused".to_owned())))
            }
            Err(error) => {
                tracing::error!(%error, "the identity provider does not answer");
                Err(Refused::Unavailable)
            }
        }
    }

    /// The claims of an ID token for this client.
    async fn person_of(&self, login: &OidcLogin, id_token: &str) -> Result<Claims, Refused> {
        let claims = self.verified(id_token, &login.issuer).await?;
        let is_us = |value: &Value| value.as_str() == Some(login.client_id.as_str());
        let for_us = match claims.get("aud") {
            Some(Value::Array(all)) => {
                all.iter().any(is_us) && (all.len() == 1 || claims.get("azp").is_some_and(is_us))
            }
            Some(one) => is_us(one),
            None => false,
        };
        if for_us { Ok(claims) } else { Err(Refused::Wrong) }
    }

    async fn caller_with(&self, login: &OidcLogin, claims: &Claims) -> Result<Caller, Refused> {
        let name = user_name(login, claims)?;
        let row = self.user_row(name.as_str()).await?;
        let is_own = |source| matches!(source, UserSource::Local | UserSource::SignUp);
        if row.is_some_and(|row| row.password.is_some() && is_own(row.source)) {
            // Whoever picks the names at the provider must not pick up accounts that are not the provider's.
            return Err(Refused::Unfit(format!(
                "the account {name} has a password here and is not the identity provider's"
            )));
        }
        let email = claims.get("email").and_then(Value::as_str).map(str::to_owned);
        let groups = login.groups_claim.as_ref().map(|claim| match claims.get(claim) {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).take(GROUPS).map(str::to_owned).collect(),
            Some(Value::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        });
        self.welcome(&name, email, groups.as_deref(), UserSource::Oidc, login.create_users).await?;
        let caller = self.stands(&format!("user:{name}"), "oidc").await?;
        self.inner.note(&caller.identity, None);
        Ok(caller)
    }

    fn sealed<T: Serialize>(&self, purpose: &str, value: &T) -> String {
        let text = serde_json::to_vec(value).expect("texts and numbers are JSON");
        BASE64_URL_SAFE_NO_PAD.encode(self.inner.settings.secret_key.seal(purpose, &text))
    }

    fn opened<T: for<'a> Deserialize<'a>>(&self, purpose: &str, text: &str) -> Result<T, Refused> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| Refused::Wrong)?;
        let plain = self.inner.settings.secret_key.open(purpose, &sealed).ok_or(Refused::Wrong)?;
        serde_json::from_slice(&plain).map_err(|_| Refused::Wrong)
    }
}

/// The user's name from the claim that was chosen. Of a mail address, which has to be verified, it is what stands before the `@`.
fn user_name(login: &OidcLogin, claims: &Claims) -> Result<AccountName, Refused> {
    let unfit = |reason: String| Refused::Unfit(reason);
    let claim = &login.user_claim;
    let value =
        claims.get(claim).and_then(Value::as_str).ok_or_else(|| unfit(format!("the login has no claim {claim}")))?;
    if claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(unfit("the login's mail address is not verified".to_owned()));
    }
    let name = value.split_once('@').map_or(value, |(name, _)| name).to_ascii_lowercase();
    name.parse().map_err(|_| unfit(format!("{name} is no user's name")))
}

fn scope(login: &OidcLogin) -> String {
    std::iter::once("openid").chain(login.scopes.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
}

/// Percent-encodes what RFC 3986 does not leave as it is.
fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
