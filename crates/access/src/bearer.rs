//! Bearer tokens: short, signed, for this registry only, with the granted scope only.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header, Validation};
use larder_oci::{ResourceScope, Scopes};
use serde::{Deserialize, Serialize};

use crate::Presented;
use crate::keyring::Keyring;
use crate::recent::Recent;
use crate::token::{random_id, sha256};

/// The clock may have been set back by as much between signing and verifying.
const LEEWAY: i64 = 60;
/// So long after its end a token still tells whose upload it belongs to.
const LINGERS: i64 = 7 * 24 * 3600;

/// A token that was signed.
#[derive(Clone)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// How long it lives.
    pub expires_in: Duration,
    /// When it was signed.
    pub issued_at: Timestamp,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// What a token says. A field that comes twice makes it unreadable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    /// The identity.
    pub(crate) sub: String,
    pub(crate) exp: i64,
    nbf: i64,
    iat: i64,
    pub(crate) jti: String,
    /// The scope, as Docker's token specification writes it. Absent in a token that stands for the credential itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access: Option<Vec<Entry>>,
    /// The credential that it was issued for.
    pub(crate) cred: String,
    /// The state of the account then.
    pub(crate) rev: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    r#type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    name: String,
    actions: BTreeSet<String>,
}

/// Whom and what a token is to be for.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) identity: String,
    pub(crate) credential: String,
    pub(crate) revision: i64,
    pub(crate) scope: Option<Scopes>,
}

/// Why a token is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BearerError {
    /// Not signed by us, for another service, unreadable, or not valid yet.
    Wrong,
    /// Ended too long ago to matter to an upload either.
    Expired,
}

/// A verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) claims: Arc<Claims>,
    pub(crate) expired: bool,
}

/// Signs and verifies.
#[derive(Debug)]
pub(crate) struct Bearers {
    service: String,
    pub(crate) keys: Keyring,
    /// By the SHA-256 of the token: the signature of what was verified once is not computed again.
    verified: Mutex<Recent<[u8; 32], Arc<Claims>>>,
}

impl Bearers {
    pub(crate) fn new(service: &str) -> Self {
        Self { service: service.to_owned(), keys: Keyring::default(), verified: Mutex::new(Recent::holding(20_000)) }
    }

    /// Signs; nothing if there is no key.
    pub(crate) fn issue(&self, subject: Subject, now: Timestamp, lifetime: Duration) -> Option<Issued> {
        let signer = self.keys.signer()?;
        let (iat, seconds) = (now.as_second(), i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
        let entry = |scope: ResourceScope| Entry {
            r#type: scope.kind,
            class: scope.class,
            name: scope.name,
            actions: scope.actions,
        };
        let claims = Claims {
            iss: self.service.clone(),
            aud: self.service.clone(),
            sub: subject.identity,
            exp: iat.saturating_add(seconds),
            nbf: iat,
            iat,
            jti: random_id(22),
            access: subject.scope.map(|scopes| scopes.into_iter().map(entry).collect()),
            cred: subject.credential,
            rev: subject.revision,
        };
        let header = Header { kid: Some(signer.id.clone()), ..Header::new(Algorithm::EdDSA) };
        let token = jsonwebtoken::encode(&header, &claims, &signer.key).ok()?;
        Some(Issued { token, expires_in: lifetime, issued_at: now })
    }

    /// Checks everything that does not need the catalog.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, BearerError> {
        if token.len() > Presented::MAX_SECRET {
            return Err(BearerError::Wrong);
        }
        let hash = sha256(token.as_bytes());
        let known = self.verified.lock().expect("no panic happens under this lock").get(&hash).cloned();
        let claims = match known {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.read(token).ok_or(BearerError::Wrong)?);
                self.verified.lock().expect("no panic happens under this lock").insert(hash, Arc::clone(&claims));
                claims
            }
        };
        let now = now.as_second();
        if claims.nbf > now.saturating_add(LEEWAY) {
            return Err(BearerError::Wrong);
        }
        if claims.exp.saturating_add(LINGERS) <= now {
            return Err(BearerError::Expired);
        }
        Ok(Verified { expired: claims.exp <= now, claims })
    }

    /// Whether the token says of itself that it is ours; nothing is checked.
    pub(crate) fn is_claimed(&self, token: &str) -> bool {
        #[derive(Deserialize)]
        struct Issuer {
            iss: String,
        }
        jsonwebtoken::dangerous::insecure_decode_claims::<Issuer>(token).is_ok_and(|claims| claims.iss == self.service)
    }

    fn read(&self, token: &str) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        let foreign = header.jwk.is_some()
            || header.jku.is_some()
            || header.x5u.is_some()
            || header.x5c.is_some()
            || header.crit.is_some();
        if foreign || header.alg != Algorithm::EdDSA {
            return None;
        }
        let key = self.keys.verifier(&header.kid?)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        // Times are compared here, with the clock that tests can turn; the rest below, where a wrong type is an error too.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &validation).ok()?.claims;
        let ours = claims.iss == self.service && claims.aud == self.service && claims.iat <= claims.exp;
        ours.then_some(claims)
    }
}

impl Claims {
    /// The scope; nothing in a token that stands for the credential itself.
    pub(crate) fn scope(&self) -> Option<Scopes> {
        let scope = |entry: &Entry| ResourceScope {
            kind: entry.r#type.clone(),
            class: entry.class.clone(),
            name: entry.name.clone(),
            actions: entry.actions.clone(),
        };
        self.access.as_ref().map(|entries| entries.iter().map(scope).collect())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use jsonwebtoken::EncodingKey;
    use serde_json::{Value, json};

    use super::*;
    use crate::SecretKey;
    use crate::clock::after;

    const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

    fn bearers(service: &str) -> Bearers {
        let (bearers, secret) = (Bearers::new(service), SecretKey::generate());
        bearers.keys.load(&[Keyring::make(&secret, NOW)], &secret, NOW);
        bearers
    }

    fn subject(scope: Option<&str>) -> Subject {
        let scope = scope.map(|scope| scope.parse().unwrap());
        Subject { identity: "user:alice".to_owned(), credential: "token:7".to_owned(), revision: 3, scope }
    }

    fn issue(bearers: &Bearers) -> String {
        bearers.issue(subject(Some("repository:a/b:pull")), NOW, Duration::from_secs(60)).unwrap().token
    }

    fn parts(token: &str) -> (Value, Value) {
        let mut parts = token.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap_or_default());
        let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
        (json(), json())
    }

    /// Signs what no honest server would.
    fn sign(bearers: &Bearers, header: &Value, claims: &str) -> String {
        let encode = |text: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.as_bytes()));
        let signer = bearers.keys.signer().unwrap();
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &signer.key, Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    }

    #[test]
    fn a_token_says_whom_and_what_it_is_for() {
        let bearers = bearers("larder");
        let token = issue(&bearers);
        let (header, claims) = parts(&token);
        assert_eq!((header["alg"].as_str(), header["typ"].as_str()), (Some("EdDSA"), Some("JWT")));
        assert!(header["kid"].is_string());
        assert_eq!(claims["access"], json!([{"type": "repository", "name": "a/b", "actions": ["pull"]}]));
        assert_eq!(
            (claims["iss"].as_str(), claims["aud"].as_str(), claims["sub"].as_str()),
            (Some("larder"), Some("larder"), Some("user:alice"))
        );
        let verified = bearers.verify(&token, NOW).unwrap();
        assert!(!verified.expired);
        assert_eq!(verified.claims.scope().unwrap().to_string(), "repository:a/b:pull");
        assert_eq!(bearers.verify(&token, NOW).unwrap(), verified, "from memory");
    }

    #[test]
    fn without_a_scope_it_stands_for_the_credential() {
        let bearers = bearers("larder");
        let whole = bearers.issue(subject(None), NOW, Duration::from_secs(60)).unwrap().token;
        let empty = bearers.issue(subject(Some("")), NOW, Duration::from_secs(60)).unwrap().token;
        assert_eq!(bearers.verify(&whole, NOW).unwrap().claims.scope(), None);
        assert_eq!(bearers.verify(&empty, NOW).unwrap().claims.scope(), Some(Scopes::default()));
    }

    #[test]
    fn it_ends_and_then_only_tells_whose_it_was() {
        let bearers = bearers("larder");
        let token = issue(&bearers);
        let at = |seconds| bearers.verify(&token, after(NOW, Duration::from_secs(seconds)));
        assert!(!at(59).unwrap().expired);
        assert!(at(60).unwrap().expired);
        assert_eq!(at(60 + 7 * 24 * 3600), Err(BearerError::Expired));
        let early = NOW.checked_sub(Duration::from_secs(61)).unwrap();
        assert_eq!(bearers.verify(&token, early), Err(BearerError::Wrong), "not valid yet");
    }

    // CVE-2025-24976 and the family J1-J5: a key or an algorithm of the attacker's.
    #[test]
    fn cve_2025_24976_no_other_key_or_algorithm_counts() {
        let bearers = bearers("larder");
        let (good, claims) = parts(&issue(&bearers));
        let kid = good["kid"].as_str().unwrap();
        let claims = claims.to_string();
        assert!(bearers.verify(&sign(&bearers, &good, &claims), NOW).is_ok(), "the forger's tools work");
        let encode = |text: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(text);
        for none in ["none", "None", "NONE", "nOnE"] {
            let header = json!({"alg": none, "typ": "JWT", "kid": kid}).to_string();
            for signature in ["", "AAAA"] {
                let token = format!("{}.{}.{signature}", encode(header.as_bytes()), encode(claims.as_bytes()));
                assert_eq!(bearers.verify(&token, NOW), Err(BearerError::Wrong), "{none}");
            }
        }
        let public = bearers.keys.verifier(kid).unwrap();
        let hmac = EncodingKey::from_secret(public.try_get_as_bytes().unwrap());
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::HS256) };
        let confused = jsonwebtoken::encode(&header, &parts(&issue(&bearers)).1, &hmac).unwrap();
        assert_eq!(bearers.verify(&confused, NOW), Err(BearerError::Wrong), "our public key as an HMAC secret");
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&[7; 32])});
        let headers = [
            json!({"alg": "EdDSA", "typ": "JWT", "kid": "unknown"}),
            json!({"alg": "EdDSA", "typ": "JWT"}),
            json!({"alg": "EdDSA", "typ": "JWT", "kid": kid, "jwk": jwk}),
            json!({"alg": "EdDSA", "typ": "JWT", "kid": kid, "jku": "https://evil.example/keys"}),
            json!({"alg": "EdDSA", "typ": "JWT", "kid": kid, "x5u": "https://evil.example/cert"}),
            json!({"alg": "EdDSA", "typ": "JWT", "kid": kid, "crit": ["exp"]}),
        ];
        for header in headers {
            assert_eq!(bearers.verify(&sign(&bearers, &header, &claims), NOW), Err(BearerError::Wrong), "{header}");
        }
        let theirs = issue(&super::tests::bearers("larder"));
        assert_eq!(bearers.verify(&theirs, NOW), Err(BearerError::Wrong), "another registry's key");
    }

    #[test]
    fn a_token_for_another_service_or_with_odd_claims_is_refused() {
        let bearers = bearers("larder");
        let (header, good) = parts(&issue(&bearers));
        let odd = |field: &str, value: Value| {
            let mut claims = good.clone();
            claims[field] = value;
            claims.to_string()
        };
        let without = |field: &str| {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove(field);
            claims.to_string()
        };
        let mut cases = vec![
            odd("aud", json!("other")),
            odd("aud", json!(["larder", "other"])),
            odd("iss", json!("other")),
            odd("exp", json!("1790000060")),
            odd("exp", Value::Null),
            odd("exp", json!(1e300)),
            odd("exp", json!(NOW.as_second() - 1)),
            odd("nbf", json!(NOW.as_second() + 3600)),
            odd("sub", json!(1)),
            odd("access", json!("all")),
            good.to_string().replacen('{', "{\"sub\":\"user:root\",", 1),
        ];
        cases.extend(["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "cred", "rev"].map(without));
        for claims in cases {
            assert_eq!(bearers.verify(&sign(&bearers, &header, &claims), NOW), Err(BearerError::Wrong), "{claims}");
        }
    }

    #[test]
    fn nothing_that_is_thrown_at_it_makes_it_fall() {
        let bearers = bearers("larder");
        let token = issue(&bearers);
        for at in 0..token.len() {
            assert_eq!(bearers.verify(&token[..at], NOW), Err(BearerError::Wrong));
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            // The last character of a signature carries bits that say nothing; a decoder may let them differ.
            let verdict = bearers.verify(&String::from_utf8(changed).unwrap(), NOW);
            assert!(verdict == Err(BearerError::Wrong) || at + 1 == token.len(), "changed at {at}");
        }
        let long = format!("{token}{}", "A".repeat(64 * 1024));
        for text in ["", ".", "..", "a.b.c", "eyJ.eyJ.x", "ä.ö.ü", long.as_str()] {
            assert_eq!(bearers.verify(text, NOW), Err(BearerError::Wrong));
        }
    }
}
