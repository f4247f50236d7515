//! Jobs that another issuer vouches for: an identity token is exchanged for a caller, and no secret is stored anywhere.

mod conditions;
mod issuers;

pub(crate) use conditions::owner_claims;
pub(crate) use issuers::{Asking, Discovery, Issuers};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use larder_catalog::model::access::{AuditEntry, Outcome, Trust};
use larder_catalog::model::{Origin as StampOrigin, Stamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::access::{Access, Inner, unavailable};
use crate::clock::after;
use crate::denials::Denial;
use crate::token::{random_id, sha256};
use crate::{Caller, Origin, Presented, Refused};

/// What an issuer may sign with. No secret that it would share with us, and never nothing.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// An issuer's clock may differ by as much.
const LEEWAY: i64 = 30;
const MAX_SUBJECT: usize = 256;

/// The claims of a token whose signature was checked.
pub(crate) type Claims = Map<String, Value>;

impl Access {
    /// Who comes with this identity token. `trust` names the trust that it is to be taken under; without it, the first by name that fits.
    ///
    /// The caller's identity is the trust and the token's subject, so a second exchange continues what the first began. It ends after the trust's
    /// `ttl`; get a token of ours with [`issue`](Self::issue) or [`issue_login`](Self::issue_login).
    ///
    /// # Errors
    ///
    /// [`Refused::Wrong`] for a token that no trusted issuer signed; [`Refused::Unfit`] says what did not fit in one that was.
    pub async fn exchange(&self, id_token: &str, trust: Option<&str>, origin: Origin) -> Result<Caller, Refused> {
        match self.exchanged(id_token, trust).await {
            Ok((caller, claims)) => {
                self.note_exchange(&caller, &claims, origin).await?;
                Ok(caller)
            }
            Err(refused) => {
                if refused != Refused::Unavailable {
                    self.denied(denial(trust, origin));
                }
                Err(refused)
            }
        }
    }

    /// The same for a token in the place of a password, where a trust's name may be that of the user.
    pub(crate) async fn exchange_as(&self, user: &str, id_token: &str) -> Result<Caller, Refused> {
        let named = self.inner.catalog.trust(user).await.map_err(unavailable)?.is_some();
        let (caller, _) = self.exchanged(id_token, named.then_some(user)).await?;
        Ok(caller)
    }

    async fn exchanged(&self, id_token: &str, trust: Option<&str>) -> Result<(Caller, Claims), Refused> {
        let issuer = issuer(id_token).ok_or(Refused::Wrong)?;
        let mut trusts = self.inner.catalog.trusts_of(&issuer).await.map_err(unavailable)?;
        trusts.retain(|candidate| !candidate.disabled && trust.is_none_or(|name| name == candidate.name));
        if trusts.is_empty() {
            return Err(Refused::Wrong);
        }
        let claims = self.verified(id_token, &issuer).await?;
        let now = self.inner.now();
        let verdicts: Vec<_> = trusts.iter().map(|trust| fits(trust, &claims, now)).collect();
        let Some(place) = verdicts.iter().position(Result::is_ok) else {
            let reason = verdicts.into_iter().find_map(Result::err).unwrap_or_default();
            return Err(Refused::Unfit(reason));
        };
        let caller = self.caller_of(&trusts[place], &claims, now).await?;
        Ok((caller, claims))
    }

    /// The claims of a token that this issuer signed and that has not ended.
    pub(crate) async fn verified(&self, id_token: &str, issuer: &str) -> Result<Claims, Refused> {
        let header = jsonwebtoken::decode_header(id_token).map_err(|_| Refused::Wrong)?;
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return Err(Refused::Wrong);
        }
        let key = self.issuer_key(issuer, &header).await?.ok_or(Refused::Wrong)?;
        let mut validation = Validation::new(header.alg);
        // Times are compared below with the clock that tests can turn, audiences with each trust's.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let claims = jsonwebtoken::decode::<Claims>(id_token, &key, &validation).map_err(|_| Refused::Wrong)?.claims;
        let now = self.inner.now().as_second();
        let time = |name: &str| claims.get(name).map(|value| whole_seconds(value).ok_or(Refused::Wrong)).transpose();
        let (exp, nbf, iat) = (time("exp")?, time("nbf")?, time("iat")?);
        if claims.get("iss").and_then(Value::as_str) != Some(issuer) || exp.is_none() {
            return Err(Refused::Wrong);
        }
        if exp.is_some_and(|exp| exp.saturating_add(LEEWAY) <= now) {
            return Err(Refused::Expired);
        }
        if [nbf, iat].into_iter().flatten().any(|at| at > now.saturating_add(LEEWAY)) {
            return Err(Refused::Unfit("the token is not valid yet".to_owned()));
        }
        Ok(claims)
    }

    /// The issuer's key that this header names. The key says what it is for; the header only picks among what that allows.
    async fn issuer_key(&self, issuer: &str, header: &Header) -> Result<Option<DecodingKey>, Refused> {
        let found = self.inner.issuers.key(issuer, header, self.inner.asking()).await;
        found.map_err(|error| {
            tracing::warn!(issuer, %error, "the keys of an issuer cannot be read");
            Refused::Unavailable
        })
    }

    async fn caller_of(&self, trust: &Trust, claims: &Claims, now: Timestamp) -> Result<Caller, Refused> {
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        let jti = claims.get("jti").and_then(Value::as_str);
        if trust.single_use {
            let jti =
                jti.ok_or_else(|| Refused::Unfit("the token has no jti, which a token for one use needs".to_owned()))?;
            let end = claims.get("exp").and_then(whole_seconds).unwrap_or_default().saturating_add(LEEWAY);
            let end = Timestamp::from_second(end).unwrap_or(Timestamp::MAX);
            if !self.inner.catalog.use_assertion(&trust.issuer, jti, end).await.map_err(unavailable)? {
                return Err(Refused::Unfit("the token was used before".to_owned()));
            }
        }
        let id = match jti {
            Some(jti) => sha256(jti.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect(),
            None => random_id(16),
        };
        let mut caller = self.stands(&format!("trust:{}#{subject}", trust.name), &format!("exchange:{id}")).await?;
        caller.until = Some(after(now, trust.ttl));
        Ok(caller)
    }

    async fn note_exchange(&self, caller: &Caller, claims: &Claims, origin: Origin) -> Result<(), Refused> {
        let stamp = Stamp {
            identity: caller.identity.clone(),
            at: self.inner.now(),
            request_id: None,
            origin: StampOrigin {
                credential: Some(caller.credential.clone()),
                address: origin.address.map(|address| address.to_string()),
            },
        };
        let told = ["iss", "repository", "ref", "workflow", "run_id", "project_path", "job_id"];
        let detail: Map<String, Value> =
            told.iter().filter_map(|name| Some(((*name).to_owned(), claims.get(*name)?.clone()))).collect();
        let entry = AuditEntry::new(&stamp, "oidc.exchange", Outcome::Allowed);
        let entry = AuditEntry { detail: Some(json!(detail).to_string()), ..entry };
        self.inner.catalog.record_audit(entry).await.map_err(unavailable)
    }
}

impl Inner {
    pub(crate) fn asking(&self) -> Asking<'_> {
        let allow_plain = self.settings.plain_http_on_loopback;
        Asking { fetch: self.ports.fetch.as_ref(), now: self.now(), allow_plain }
    }
}

/// Whether a token with these claims is taken under this trust, or what does not fit. Told to whoever holds the token.
fn fits(trust: &Trust, claims: &Claims, now: Timestamp) -> Result<(), String> {
    let is_audience = |value: &Value| value.as_str() == Some(trust.audience.as_str());
    let audience = match claims.get("aud") {
        Some(Value::Array(values)) => values.iter().any(is_audience),
        Some(value) => is_audience(value),
        None => false,
    };
    if !audience {
        return Err(format!("the token's audience is not {}", trust.audience));
    }
    let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
    let printable = subject.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if subject.is_empty() || subject.len() > MAX_SUBJECT || !printable {
        return Err("the token's subject is absent, too long or not printable".to_owned());
    }
    if let Some(max_age) = trust.max_age {
        let issued = claims
            .get("iat")
            .and_then(whole_seconds)
            .ok_or("the token has no iat, which a trust with an age limit needs")?;
        if now.as_second().saturating_sub(issued) > i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX) {
            return Err("the token is older than its trust allows".to_owned());
        }
    }
    conditions::hold(trust, claims)
}

fn whole_seconds(value: &Value) -> Option<i64> {
    value.as_i64().filter(|seconds| *seconds >= 0)
}

/// What the token says of its issuer; nothing is checked.
fn issuer(id_token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    if id_token.len() > Presented::MAX_SECRET {
        return None;
    }
    jsonwebtoken::dangerous::insecure_decode_claims::<Issuer>(id_token).ok().map(|claims| claims.iss)
}

fn denial(trust: Option<&str>, origin: Origin) -> Denial {
    let name = trust.filter(|name| name.parse::<crate::AccountName>().is_ok());
    Denial {
        identity: "anonymous".to_owned(),
        credential: None,
        address: origin.address,
        action: "oidc.exchange".to_owned(),
        repository: None,
        object: name.map(|name| format!("trust:{name}")),
        request_id: None,
    }
}
