//! The keys of issuers: discovered, kept, fetched again when they rotate, within limits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{AlgorithmFamily, DecodingKey, Header};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex as AsyncMutex;

use crate::clock::between;
use crate::settings::is_secure;
use crate::{Fetch, FetchError};

const DOCUMENT: usize = 128 * 1024;
const KEYS_DOCUMENT: usize = 512 * 1024;
const KEYS: usize = 200;
/// Keys are used so long without asking again …
const FRESH: Duration = Duration::from_secs(3600);
/// … and so long where the issuer does not answer.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// An unknown key makes us ask at most this often; an attacker writes any key id he likes.
const AGAIN: Duration = Duration::from_secs(60);
/// An issuer that failed is not asked for so long.
const PAUSE: Duration = Duration::from_secs(10);
const ISSUERS: usize = 1_000;

/// What an issuer says of itself at `/.well-known/openid-configuration`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Discovery {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    pub(crate) authorization_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) token_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) device_authorization_endpoint: Option<String>,
}

/// Why an issuer's keys are not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IssuerError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("it took longer than ten seconds")]
    Slow,
    #[error("its {0} is not what it should be")]
    Document(&'static str),
    #[error("its address is not https")]
    Insecure,
    #[error("it did not answer a moment ago")]
    Failed,
}

/// The issuers that were asked.
#[derive(Debug, Default)]
pub(crate) struct Issuers(Mutex<HashMap<String, Arc<Issuer>>>);

#[derive(Debug, Default)]
struct Issuer {
    state: Mutex<State>,
    /// One asks, those who want the same wait for it. Whoever finds in the state what he needs never comes here, so a slow issuer delays only
    /// those who would have to ask it.
    turn: AsyncMutex<()>,
}

#[derive(Clone, Debug, Default)]
struct State {
    known: Option<Arc<Known>>,
    failed: Option<Timestamp>,
}

#[derive(Debug)]
struct Known {
    discovery: Discovery,
    keys: Vec<Jwk>,
    at: Timestamp,
}

/// How an issuer is asked.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) fetch: &'a dyn Fetch,
    pub(crate) now: Timestamp,
    pub(crate) allow_plain: bool,
}

impl Issuers {
    /// The key that the header names, if the issuer has it.
    pub(crate) async fn key(
        &self,
        issuer: &str,
        header: &Header,
        asking: Asking<'_>,
    ) -> Result<Option<DecodingKey>, IssuerError> {
        let entry = self.entry(issuer);
        let known = entry.known(issuer, asking, FRESH).await?;
        if let Some(key) = known.find(header) {
            return Ok(Some(key));
        }
        // It may have rotated its keys a moment ago.
        Ok(entry.known(issuer, asking, AGAIN).await.ok().and_then(|known| known.find(header)))
    }

    /// What the issuer says of itself.
    pub(crate) async fn discovery(&self, issuer: &str, asking: Asking<'_>) -> Result<Discovery, IssuerError> {
        Ok(self.entry(issuer).known(issuer, asking, FRESH).await?.discovery.clone())
    }

    fn entry(&self, issuer: &str) -> Arc<Issuer> {
        let mut issuers = self.0.lock().expect("no panic happens under this lock");
        if issuers.len() >= ISSUERS && !issuers.contains_key(issuer) {
            issuers.clear();
        }
        Arc::clone(issuers.entry(issuer.to_owned()).or_default())
    }
}

impl Issuer {
    /// What is known and younger than `fresh`; asks if need be. Old keys go on while the issuer is away.
    async fn known(&self, issuer: &str, asking: Asking<'_>, fresh: Duration) -> Result<Arc<Known>, IssuerError> {
        if let Some(outcome) = self.without_asking(asking.now, fresh) {
            return outcome;
        }
        let _turn = self.turn.lock().await;
        if let Some(outcome) = self.without_asking(asking.now, fresh) {
            return outcome;
        }
        let asked = ask(issuer, asking).await;
        let mut state = self.state.lock().expect("no panic happens under this lock");
        match asked {
            Ok((discovery, keys)) => {
                let known = Arc::new(Known { discovery, keys, at: asking.now });
                *state = State { known: Some(Arc::clone(&known)), failed: None };
                Ok(known)
            }
            Err(error) => {
                state.failed = Some(asking.now);
                let known = state.usable(asking.now).ok_or(error.clone())?;
                tracing::warn!(issuer, %error, "an issuer's keys could not be read again; those known go on");
                Ok(known)
            }
        }
    }

    /// The answer where the issuer need not be asked, or was asked in vain a moment ago.
    fn without_asking(&self, now: Timestamp, fresh: Duration) -> Option<Result<Arc<Known>, IssuerError>> {
        let state = self.state.lock().expect("no panic happens under this lock");
        let known = state.known.as_ref().filter(|known| between(known.at, now) < fresh);
        if let Some(known) = known {
            return Some(Ok(Arc::clone(known)));
        }
        let paused = state.failed.is_some_and(|failed| between(failed, now) < PAUSE);
        paused.then(|| state.usable(now).ok_or(IssuerError::Failed))
    }
}

impl State {
    fn usable(&self, now: Timestamp) -> Option<Arc<Known>> {
        self.known.clone().filter(|known| between(known.at, now) < STALE)
    }
}

impl Known {
    fn find(&self, header: &Header) -> Option<DecodingKey> {
        let mut fitting = self.keys.iter().filter(|key| suits(key, header));
        let key = match &header.kid {
            Some(kid) => fitting.find(|key| key.common.key_id.as_ref() == Some(kid))?,
            // Without an id only an issuer with one key of the kind is clear.
            None => fitting.next().filter(|_| fitting.next().is_none())?,
        };
        DecodingKey::from_jwk(key).ok()
    }
}

/// Whether the key is for signatures of the header's algorithm. It is the key that decides: a public RSA key never becomes the secret of an HMAC.
fn suits(key: &Jwk, header: &Header) -> bool {
    let family = match &key.algorithm {
        AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa,
        AlgorithmParameters::EllipticCurve(_) => AlgorithmFamily::Ec,
        AlgorithmParameters::OctetKeyPair(_) => AlgorithmFamily::Ed,
        _ => return false,
    };
    let signs = key.common.public_key_use.as_ref().is_none_or(|r#use| *r#use == PublicKeyUse::Signature);
    let algorithm = key.common.key_algorithm.as_ref().map(ToString::to_string);
    let same = algorithm.is_none_or(|algorithm| algorithm == format!("{:?}", header.alg));
    signs && same && header.alg.family() == family
}

async fn ask(issuer: &str, asking: Asking<'_>) -> Result<(Discovery, Vec<Jwk>), IssuerError> {
    let Asking { fetch, allow_plain, .. } = asking;
    let work = async {
        if !is_secure(issuer, allow_plain) {
            return Err(IssuerError::Insecure);
        }
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = fetch.get(&url, DOCUMENT).await?;
        let discovery: Discovery =
            serde_json::from_slice(&document).map_err(|_| IssuerError::Document("discovery document"))?;
        if discovery.issuer != issuer {
            return Err(IssuerError::Document("discovery document's issuer"));
        }
        if !is_secure(&discovery.jwks_uri, allow_plain) {
            return Err(IssuerError::Insecure);
        }
        let keys = fetch.get(&discovery.jwks_uri, KEYS_DOCUMENT).await?;
        Ok((discovery, parse_keys(&keys)?))
    };
    tokio::time::timeout(Duration::from_secs(10), work).await.map_err(|_| IssuerError::Slow)?
}

/// Keys of a kind that we do not know are left out, not an error: issuers add new kinds.
fn parse_keys(document: &[u8]) -> Result<Vec<Jwk>, IssuerError> {
    #[derive(Deserialize)]
    struct Keys {
        keys: Vec<Value>,
    }
    let keys: Keys = serde_json::from_slice(document).map_err(|_| IssuerError::Document("set of keys"))?;
    Ok(keys.keys.into_iter().take(KEYS).filter_map(|key| serde_json::from_value(key).ok()).collect())
}
