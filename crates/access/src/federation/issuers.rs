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
pub(crate) struct Issuers(Mutex<HashMap<String, Arc<AsyncMutex<Issuer>>>>);

#[derive(Debug, Default)]
struct Issuer {
    known: Option<Known>,
    failed: Option<Timestamp>,
}

#[derive(Debug)]
struct Known {
    discovery: Discovery,
    keys: Vec<Jwk>,
    at: Timestamp,
}

impl Issuers {
    /// The key that the header names, if the issuer has it.
    pub(crate) async fn key(
        &self,
        issuer: &str,
        header: &Header,
        fetch: &dyn Fetch,
        now: Timestamp,
        allow_plain: bool,
    ) -> Result<Option<DecodingKey>, IssuerError> {
        let entry = self.entry(issuer);
        let mut entry = entry.lock().await;
        entry.refresh(issuer, fetch, now, allow_plain, FRESH).await?;
        if entry.find(header).is_none() {
            // It may have rotated its keys a moment ago.
            entry.refresh(issuer, fetch, now, allow_plain, AGAIN).await.ok();
        }
        Ok(entry.find(header))
    }

    /// What the issuer says of itself.
    pub(crate) async fn discovery(
        &self,
        issuer: &str,
        fetch: &dyn Fetch,
        now: Timestamp,
        allow_plain: bool,
    ) -> Result<Discovery, IssuerError> {
        let entry = self.entry(issuer);
        let mut entry = entry.lock().await;
        entry.refresh(issuer, fetch, now, allow_plain, FRESH).await?;
        entry.known.as_ref().map(|known| known.discovery.clone()).ok_or(IssuerError::Failed)
    }

    fn entry(&self, issuer: &str) -> Arc<AsyncMutex<Issuer>> {
        let mut issuers = self.0.lock().expect("no panic happens under this lock");
        if issuers.len() >= ISSUERS && !issuers.contains_key(issuer) {
            issuers.clear();
        }
        Arc::clone(issuers.entry(issuer.to_owned()).or_default())
    }
}

impl Issuer {
    /// Asks if what is known is older than `fresh` and the last question is not too recent. Old keys go on while the issuer is away.
    async fn refresh(
        &mut self,
        issuer: &str,
        fetch: &dyn Fetch,
        now: Timestamp,
        allow_plain: bool,
        fresh: Duration,
    ) -> Result<(), IssuerError> {
        let age = self.known.as_ref().map(|known| between(known.at, now));
        if age.is_some_and(|age| age < fresh) {
            return Ok(());
        }
        let usable = age.is_some_and(|age| age < STALE);
        if self.failed.is_some_and(|failed| between(failed, now) < PAUSE) {
            return if usable { Ok(()) } else { Err(IssuerError::Failed) };
        }
        match ask(issuer, fetch, allow_plain).await {
            Ok((discovery, keys)) => {
                (self.known, self.failed) = (Some(Known { discovery, keys, at: now }), None);
                Ok(())
            }
            Err(error) => {
                self.failed = Some(now);
                if !usable {
                    return Err(error);
                }
                tracing::warn!(issuer, %error, "an issuer's keys could not be read again; those known go on");
                Ok(())
            }
        }
    }

    fn find(&self, header: &Header) -> Option<DecodingKey> {
        let keys = &self.known.as_ref()?.keys;
        let mut fitting = keys.iter().filter(|key| suits(key, header));
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

async fn ask(issuer: &str, fetch: &dyn Fetch, allow_plain: bool) -> Result<(Discovery, Vec<Jwk>), IssuerError> {
    let work = async {
        if !is_secure(issuer, allow_plain) {
            return Err(IssuerError::Insecure);
        }
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = fetch.get(&url, DOCUMENT).await?;
        let discovery: Discovery = serde_json::from_slice(&document).map_err(|_| IssuerError::Document("discovery document"))?;
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
