//! The keys that sign our tokens: made here, sealed in the catalog, replaced in time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jiff::Timestamp;
use jsonwebtoken::{DecodingKey, EncodingKey};

use crate::SecretKey;
use crate::clock::between;
use crate::token::random_id;

/// A key signs for so long.
pub(crate) const SIGNS: Duration = Duration::from_secs(30 * 24 * 3600);
/// A key that signs no more verifies for so long: an expired token may still end the upload that it began (`uploads.idle`).
pub(crate) const VERIFIES: Duration = Duration::from_secs(8 * 24 * 3600);

/// A signing key as the catalog holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealedKey {
    pub(crate) id: String,
    pub(crate) sealed: Vec<u8>,
    pub(crate) created: Timestamp,
    pub(crate) retired: Option<Timestamp>,
}

/// A key that can sign.
pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) key: EncodingKey,
    created: Timestamp,
}

/// The keys in use.
#[derive(Default)]
pub(crate) struct Keyring(RwLock<Keys>);

#[derive(Default)]
struct Keys {
    signer: Option<Arc<Signer>>,
    verifiers: HashMap<String, Arc<DecodingKey>>,
}

impl Keyring {
    /// Makes a new key, sealed.
    pub(crate) fn make(secret: &SecretKey, now: Timestamp) -> SealedKey {
        let pair = Ed25519KeyPair::generate().expect("an Ed25519 key can be made");
        let private = pair.to_pkcs8().expect("a key that was just made can be written");
        let id = random_id(16);
        let sealed = secret.seal(&context(&id), private.as_ref());
        SealedKey { id, sealed, created: now, retired: None }
    }

    /// Takes these keys and no others. Those that were sealed with another secret key are left out: what they signed is signed anew within
    /// minutes, so that a catalog restored without its key still starts.
    pub(crate) fn load(&self, sealed: &[SealedKey], secret: &SecretKey, now: Timestamp) {
        let mut keys = Keys::default();
        for row in sealed {
            let Some((private, public)) = open(row, secret) else {
                tracing::warn!(key = row.id, "a signing key cannot be opened with this secret.key and is not used");
                continue;
            };
            if row.retired.is_some_and(|retired| between(retired, now) > VERIFIES) {
                continue;
            }
            keys.verifiers.insert(row.id.clone(), Arc::new(public));
            let newer = keys.signer.as_ref().is_none_or(|signer| signer.created < row.created);
            if row.retired.is_none() && newer {
                keys.signer = Some(Arc::new(Signer { id: row.id.clone(), key: private, created: row.created }));
            }
        }
        *self.0.write().expect("no panic happens under this lock") = keys;
    }

    /// The key that signs now.
    pub(crate) fn signer(&self) -> Option<Arc<Signer>> {
        self.0.read().expect("no panic happens under this lock").signer.clone()
    }

    /// The key of this id.
    pub(crate) fn verifier(&self, id: &str) -> Option<Arc<DecodingKey>> {
        self.0.read().expect("no panic happens under this lock").verifiers.get(id).cloned()
    }

    /// Whether it is time for a new key.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.signer().is_none_or(|signer| between(signer.created, now) >= SIGNS)
    }
}

fn open(row: &SealedKey, secret: &SecretKey) -> Option<(EncodingKey, DecodingKey)> {
    let private = secret.open(&context(&row.id), &row.sealed)?;
    let pair = Ed25519KeyPair::from_pkcs8(&private).ok()?;
    Some((EncodingKey::from_ed_der(&private), DecodingKey::from_ed_der(pair.public_key().as_ref())))
}

fn context(id: &str) -> String {
    format!("signing key {id}")
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.0.read().expect("no panic happens under this lock");
        f.debug_struct("Keyring").field("ids", &keys.verifiers.keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::after;

    #[test]
    fn the_newest_key_signs_and_a_retired_one_verifies_for_a_while() {
        let (secret, now) = (SecretKey::generate(), Timestamp::UNIX_EPOCH);
        let mut old = Keyring::make(&secret, now);
        let new = Keyring::make(&secret, after(now, SIGNS));
        let ring = Keyring::default();
        assert!(ring.is_due(now) && ring.signer().is_none());
        ring.load(&[old.clone()], &secret, now);
        assert!(!ring.is_due(now) && ring.is_due(after(now, SIGNS)));
        old.retired = Some(after(now, SIGNS));
        ring.load(&[new.clone(), old.clone()], &secret, after(now, SIGNS));
        assert_eq!(ring.signer().unwrap().id, new.id);
        assert!(ring.verifier(&old.id).is_some());
        ring.load(&[new, old.clone()], &secret, after(now, SIGNS + VERIFIES + Duration::from_secs(1)));
        assert!(ring.verifier(&old.id).is_none());
    }

    #[test]
    fn a_key_under_another_secret_or_another_id_is_not_used() {
        let (secret, now) = (SecretKey::generate(), Timestamp::UNIX_EPOCH);
        let key = Keyring::make(&secret, now);
        let ring = Keyring::default();
        ring.load(std::slice::from_ref(&key), &SecretKey::generate(), now);
        assert!(ring.signer().is_none() && ring.verifier(&key.id).is_none());
        ring.load(&[SealedKey { id: "other".to_owned(), ..key }], &secret, now);
        assert!(ring.signer().is_none());
    }
}
