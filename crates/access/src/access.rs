//! Access control as a value: what it is made of, how it starts, and what it does by and by.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use larder_catalog::Catalog;
use larder_catalog::model::access::{Session, SigningKey, Token, User};
use larder_catalog::model::{Origin as StampOrigin, Stamp};
use tokio::sync::Mutex as AsyncMutex;

use crate::bearer::Bearers;
use crate::denials::Denials;
use crate::federation::Issuers;
use crate::htpasswd::Htpasswd;
use crate::keyring::{Keyring, SealedKey, VERIFIES};
use crate::password::Passwords;
use crate::recent::Kept;
use crate::sign_up::SignUps;
use crate::standing::Standing;
use crate::throttle::Throttle;
use crate::{OpenError, Ports, Refused, Settings};

/// A change by another process is noticed within this time (behaviour §4: within a second).
const POLL: Duration = Duration::from_millis(500);
const NOTE: Duration = Duration::from_secs(60);
const PRUNE: Duration = Duration::from_secs(3600);
/// Audit rows are kept for a year, and as many as a GiB holds.
const AUDIT_KEPT: Duration = Duration::from_secs(365 * 24 * 3600);
const AUDIT_ROWS: u64 = 2_000_000;

/// Who are you, may you. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) catalog: Catalog,
    pub(crate) settings: Settings,
    pub(crate) ports: Ports,
    pub(crate) bearers: Bearers,
    pub(crate) passwords: Passwords,
    pub(crate) throttle: Throttle,
    pub(crate) htpasswd: Option<Htpasswd>,
    pub(crate) denials: Denials,
    pub(crate) issuers: Issuers,
    pub(crate) sign_ups: SignUps,
    pub(crate) standings: Kept<Epoch, String, Arc<Standing>>,
    pub(crate) users: Kept<Epoch, String, Option<Arc<User>>>,
    pub(crate) tokens: Kept<Epoch, [u8; 32], Option<Arc<Token>>>,
    pub(crate) sessions: Kept<Epoch, [u8; 32], Arc<Session>>,
    pub(crate) accounts: Mutex<Option<(Epoch, bool)>>,
    noted: Mutex<Noted>,
    version: AtomicI64,
    polled: Mutex<Option<Instant>>,
    keys_read_at: AtomicU64,
    rotation: AsyncMutex<Rounds>,
}

/// The state that a cached answer came from: (changes of this process, version in the catalog, readings of the password file). It is read before
/// what is cached.
pub(crate) type Epoch = (u64, i64, u64);

/// Who and what was used, to be written now and then.
#[derive(Default)]
struct Noted {
    seen: HashMap<String, Timestamp>,
    tokens: HashMap<String, Timestamp>,
}

#[derive(Default)]
struct Rounds {
    noted: Option<Instant>,
    pruned: Option<Instant>,
}

impl Access {
    /// Whether there is a password file beside the accounts.
    pub fn has_password_file(&self) -> bool {
        self.inner.htpasswd.is_some()
    }

    /// Starts: reads the password file and the signing keys, and makes the first key.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: a setting that does not do, a password file that cannot be read, or the catalog's.
    pub async fn open(catalog: Catalog, settings: Settings, ports: Ports) -> Result<Self, OpenError> {
        settings.check().map_err(OpenError::Setting)?;
        let htpasswd = settings.htpasswd.as_deref().map(Htpasswd::open).transpose()?;
        let inner = Inner {
            bearers: Bearers::new(&settings.service),
            passwords: Passwords::new(),
            throttle: Throttle::new(),
            htpasswd,
            denials: Denials::default(),
            issuers: Issuers::default(),
            sign_ups: SignUps::new(),
            standings: Kept::holding(20_000),
            users: Kept::holding(20_000),
            tokens: Kept::holding(20_000),
            sessions: Kept::holding(20_000),
            accounts: Mutex::new(None),
            noted: Mutex::default(),
            version: AtomicI64::new(0),
            polled: Mutex::new(None),
            keys_read_at: AtomicU64::new(0),
            rotation: AsyncMutex::default(),
            catalog,
            settings,
            ports,
        };
        let access = Self { inner: Arc::new(inner) };
        match access.rotate().await {
            // With a key that still signs, a disk without space stops nobody (behaviour §6).
            Err(error) if access.inner.bearers.keys.signer().is_some() => {
                tracing::warn!(%error, "the signing key could not be replaced");
            }
            rotated => rotated?,
        }
        Ok(access)
    }

    /// What was set.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Whether any user, robot or grant exists. While none does, everyone in a password file may pull and push.
    ///
    /// # Errors
    ///
    /// [`Refused::Unavailable`] if the catalog does not answer.
    pub async fn accounts_exist(&self) -> Result<bool, Refused> {
        let epoch = self.inner.epoch().await?;
        let known = *self.inner.accounts.lock().expect("no panic happens under this lock");
        if let Some((_, exist)) = known.filter(|(at, _)| *at == epoch) {
            return Ok(exist);
        }
        let exist = self.inner.catalog.accounts_exist().await.map_err(unavailable)?;
        *self.inner.accounts.lock().expect("no panic happens under this lock") = Some((epoch, exist));
        Ok(exist)
    }

    /// Whether nothing says who may log in: no account, no password file, no directory, no identity provider (behaviour §4, open state).
    ///
    /// # Errors
    ///
    /// As [`accounts_exist`](Self::accounts_exist).
    pub async fn is_open(&self) -> Result<bool, Refused> {
        let settings = &self.inner.settings;
        let elsewhere = settings.htpasswd.is_some() || settings.ldap.is_some() || settings.oidc_login.is_some();
        Ok(!elsewhere && !self.accounts_exist().await?)
    }

    /// What is due: called each second or so. Writes folded denials, who was seen and which tokens were used, makes a new signing key in time, and
    /// prunes. Errors are logged and come up again at the next call.
    pub async fn tick(&self) {
        let mut rounds = self.inner.rotation.lock().await;
        self.inner.flush_denials().await;
        let due = |last: Option<Instant>, every: Duration| last.is_none_or(|last| last.elapsed() >= every);
        if due(rounds.noted, NOTE) {
            self.inner.flush_noted().await;
            rounds.noted = Some(Instant::now());
        }
        let read_at = self.inner.keys_read_at.load(Ordering::Acquire);
        let changed = read_at != self.inner.catalog.access_version_hint();
        if (changed || self.inner.bearers.keys.is_due(self.inner.now()))
            && let Err(error) = self.rotate().await
        {
            tracing::error!(%error, "the signing keys could not be read or replaced");
        }
        if due(rounds.pruned, PRUNE) {
            self.inner.prune().await;
            rounds.pruned = Some(Instant::now());
        }
    }

    /// Writes what is still in memory.
    pub async fn close(&self) {
        let _rounds = self.inner.rotation.lock().await;
        self.inner.flush_denials().await;
        self.inner.flush_noted().await;
    }

    /// Reads the signing keys; makes one if none signs or it is time, and retires what it replaces.
    async fn rotate(&self) -> Result<(), larder_catalog::Error> {
        let inner = &self.inner;
        let (now, secret) = (inner.now(), &inner.settings.secret_key);
        inner.load_keys(now).await?;
        if inner.bearers.keys.is_due(now) {
            let old = inner.bearers.keys.signer().map(|signer| signer.id.clone());
            let new = Keyring::make(secret, now);
            if inner.catalog.add_signing_key(&new.id, &new.sealed, false, inner.own_stamp(now)).await? {
                tracing::info!(key = new.id, "a new signing key was made");
            }
            if let Some(old) = old {
                inner.catalog.retire_signing_key(&old, inner.own_stamp(now)).await?;
            }
            inner.load_keys(now).await?;
        }
        Ok(())
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// The stamp of what the server does by itself.
    pub(crate) fn own_stamp(&self, at: Timestamp) -> Stamp {
        Stamp { identity: "larder".to_owned(), at, request_id: None, origin: StampOrigin::default() }
    }

    /// The state of the rows now. An atomic load, and a query at most each [`POLL`] for what other processes change.
    pub(crate) async fn epoch(&self) -> Result<Epoch, Refused> {
        let due = {
            let mut polled = self.polled.lock().expect("no panic happens under this lock");
            let due = polled.is_none_or(|at| at.elapsed() >= POLL);
            if due {
                *polled = Some(Instant::now());
            }
            due
        };
        if due {
            match self.catalog.access_version().await {
                Ok(version) => self.version.store(version, Ordering::Release),
                Err(error) => {
                    *self.polled.lock().expect("no panic happens under this lock") = None;
                    return Err(unavailable(error));
                }
            }
        }
        let readings = self.htpasswd.as_ref().map_or(0, Htpasswd::readings);
        Ok((self.catalog.access_version_hint(), self.version.load(Ordering::Acquire), readings))
    }

    /// Notes that an identity has proved who it is, and with which token.
    pub(crate) fn note(&self, identity: &str, token: Option<&str>) {
        let now = self.now();
        let mut noted = self.noted.lock().expect("no panic happens under this lock");
        noted.seen.insert(identity.to_owned(), now);
        if let Some(token) = token {
            noted.tokens.insert(token.to_owned(), now);
        }
    }

    async fn flush_noted(&self) {
        let Noted { seen, tokens } = std::mem::take(&mut *self.noted.lock().expect("no panic happens under this lock"));
        let (seen, tokens): (Vec<_>, Vec<_>) = (seen.into_iter().collect(), tokens.into_iter().collect());
        let mut outcome = Ok(());
        if !seen.is_empty() {
            outcome = self.catalog.seen(&seen).await;
        }
        if !tokens.is_empty() {
            outcome = outcome.and(self.catalog.tokens_used(&tokens).await);
        }
        if let Err(error) = outcome {
            tracing::warn!(%error, "who was seen last could not be noted");
        }
    }

    async fn flush_denials(&self) {
        for (entry, fold) in self.denials.take() {
            if let Err(error) = self.catalog.audit_denied(entry, &fold).await {
                tracing::error!(%error, "a denial could not be written to the audit");
            }
        }
    }

    async fn load_keys(&self, now: Timestamp) -> Result<(), larder_catalog::Error> {
        let read_at = self.catalog.access_version_hint();
        let sealed: Vec<SealedKey> = self.catalog.signing_keys().await?.into_iter().map(sealed).collect();
        self.bearers.keys.load(&sealed, &self.settings.secret_key, now);
        self.keys_read_at.store(read_at, Ordering::Release);
        Ok(())
    }

    async fn prune(&self) {
        let now = self.now();
        let before = now.checked_sub(AUDIT_KEPT).unwrap_or(Timestamp::MIN);
        let mut outcome = self.catalog.prune_audit(before, AUDIT_ROWS).await;
        outcome = outcome.and(self.catalog.prune_ended(now).await);
        if let Err(error) = outcome {
            tracing::warn!(%error, "ended rows could not be pruned");
        }
        if let Ok(keys) = self.catalog.signing_keys().await {
            let gone = |key: &SigningKey| key.retired.is_some_and(|at| crate::clock::between(at, now) > VERIFIES);
            for key in keys.into_iter().filter(gone) {
                if let Err(error) = self.catalog.remove_signing_key(&key.id, self.own_stamp(now)).await {
                    tracing::warn!(%error, "an old signing key could not be removed");
                }
            }
        }
    }
}

fn sealed(key: SigningKey) -> SealedKey {
    SealedKey { id: key.id, sealed: key.sealed, created: key.created, retired: key.retired }
}

/// The catalog does not answer: logged here, once, because the caller only hears that it is so.
pub(crate) fn unavailable(error: larder_catalog::Error) -> Refused {
    tracing::error!(%error, "access cannot be decided");
    Refused::Unavailable
}
