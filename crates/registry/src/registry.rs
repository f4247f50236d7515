//! The registry as one value: a store, a catalog, and the rules between them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use larder_blobs::{BlobStore, StoreMarker};
use larder_catalog::Catalog;
use larder_catalog::model::Stamp;
use larder_oci::{Action, Actions, Digest, RepositoryName};

use crate::clock::after;
use crate::promotion::NotedPulls;
use crate::rules::Heard;
use crate::session::Sessions;
use crate::webhooks::Sample;
use crate::{Actor, Clock, CreateOnPush, Error, Result, Settings, Verdict};

/// A registry. Cheap to clone; all clones are the same one.
#[derive(Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub store: Arc<dyn BlobStore>,
    pub catalog: Catalog,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    pub sessions: Sessions,
    /// Whether the catalog is older than its store: then nothing may be taken for garbage (**Invariant 14**).
    pub behind: AtomicBool,
    /// Pulls since the last flush; bounded, because a repository's manifests are.
    pub pulls: Mutex<HashMap<(RepositoryName, Digest), Timestamp>>,
    /// Manifests that somebody who may push asked for since the last flush: he may rely on them.
    pub renewals: Mutex<HashMap<(RepositoryName, Digest), Timestamp>>,
    /// Who pulled what, for whoever asks who runs a version.
    pub stage_pulls: NotedPulls,
    /// Of these, the ones that become events.
    pub sample: Sample,
    pub counters: Counters,
    /// What rules said.
    pub heard: Heard,
    /// One evaluation of a policy at a time.
    pub evaluating: tokio::sync::Mutex<()>,
    /// When policies run next by themselves.
    pub next_policies: Mutex<Timestamp>,
    /// Both clocks, when they were last compared.
    pub clocks: Mutex<(Timestamp, Duration)>,
    /// One import at a time.
    pub importing: tokio::sync::Mutex<()>,
    /// Backups under way: until they end no object is removed.
    pub holds: AtomicU64,
    /// Whether clients are to wait until a tree is taken over.
    pub closed_to_clients: AtomicBool,
}

/// What the domain counts about itself.
#[derive(Default)]
pub(crate) struct Counters {
    pub damaged_reads: AtomicU64,
    pub swept_blobs: AtomicU64,
    pub swept_bytes: AtomicU64,
    pub uploads_committed: AtomicU64,
    pub bytes_committed: AtomicU64,
    pub scrubbed_blobs: AtomicU64,
    pub scrubbed_bytes: AtomicU64,
    pub scrub_wrong: AtomicU64,
    pub scrub_halted: AtomicBool,
    pub deliveries_made: AtomicU64,
    pub deliveries_failed: AtomicU64,
}

/// Figures for `/metrics`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Requests that are writing to an upload session now.
    pub open_writers: u64,
    /// Reads that found an object missing or of the wrong length, since the start.
    pub damaged_reads: u64,
    /// Objects that the sweep removed, since the start.
    pub swept_blobs: u64,
    /// Their bytes.
    pub swept_bytes: u64,
    /// Blobs committed, since the start.
    pub uploads_committed: u64,
    /// Their bytes.
    pub bytes_committed: u64,
    /// Objects that the scrub read back, since the start.
    pub scrubbed_blobs: u64,
    /// Their bytes.
    pub scrubbed_bytes: u64,
    /// Objects and manifests that it found missing or wrong, since the start.
    pub scrub_wrong: u64,
    /// Whether it has stopped because too much was wrong.
    pub scrub_halted: bool,
    /// Open upload sessions, and the bytes that are durable in them; `None` when the catalog cannot be read.
    pub open_uploads: Option<(u64, u64)>,
    /// Manifests whose required targets were absent at their push; `None` when the catalog cannot be read.
    pub incomplete_manifests: Option<u64>,
    /// Rules that refused something, since the start.
    pub rules_refused: u64,
    /// Rules that warned, since the start.
    pub rules_warned: u64,
    /// Deliveries to webhooks that were made, since the start.
    pub deliveries_made: u64,
    /// Attempts of deliveries that failed, since the start.
    pub deliveries_failed: u64,
    /// Deliveries that wait, and those that were given up; `None` when the catalog cannot be read.
    pub delivery_backlog: Option<(u64, u64)>,
    /// The catalog's own figures.
    pub catalog: larder_catalog::Statistics,
    /// Free and total space of the store in bytes, where it has such a thing.
    pub space: Option<(u64, u64)>,
}

/// Whether the registry can do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// The catalog takes writes.
    pub catalog: bool,
    /// The store takes writes.
    pub store: bool,
    /// Free space is above the reserve.
    pub space: bool,
    /// No tree of another registry is being taken over.
    pub taken_over: bool,
}

impl Readiness {
    /// Whether pushes can be taken.
    pub fn is_ready(&self) -> bool {
        self.catalog && self.store && self.space && self.taken_over
    }
}

/// Which page of a list (**Invariant 10**).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// At most this many.
    pub limit: usize,
    /// Only what comes after this key.
    pub after: Option<String>,
}

impl Registry {
    /// Puts a store and its catalog together, after checking that they belong to each other (**Invariant 14**). Every lease gets its full
    /// term again, since a push may have waited for this start (**Invariant 6**).
    ///
    /// # Errors
    /// [`Error::StrangeStore`] when the store belongs to another catalog, or is empty where the catalog expects bytes.
    pub async fn open(
        settings: Settings,
        store: Arc<dyn BlobStore>,
        catalog: Catalog,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let behind = introduce(&settings, store.as_ref(), &catalog).await?;
        if behind {
            tracing::error!(
                "the catalog is older than its store: nothing will be collected until `larder verify --adopt`"
            );
        }
        if !settings.read_only {
            catalog.renew_all_leases(after(clock.now(), settings.lease_ttl)).await?;
        }
        let next_policies = after(clock.now(), settings.policy_every.unwrap_or_default());
        let clocks = (clock.now(), clock.since_start());
        let inner = Inner {
            store,
            catalog,
            clock,
            settings,
            sessions: Sessions::default(),
            behind: AtomicBool::new(behind),
            pulls: Mutex::default(),
            renewals: Mutex::default(),
            evaluating: tokio::sync::Mutex::default(),
            next_policies: Mutex::new(next_policies),
            clocks: Mutex::new(clocks),
            stage_pulls: NotedPulls::default(),
            sample: Sample::default(),
            counters: Counters::default(),
            heard: Heard::default(),
            importing: tokio::sync::Mutex::default(),
            holds: AtomicU64::new(0),
            closed_to_clients: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The settings it runs with.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// Counts the catalog's generation up and tells the store; done hourly, so that a restored catalog is recognised.
    pub async fn raise_generation(&self) -> Result<()> {
        if self.inner.settings.read_only || self.is_behind() {
            return Ok(());
        }
        raise(self.inner.store.as_ref(), &self.inner.catalog, 0).await
    }

    /// Declares the catalog to be the truth although its store has seen a newer one (`larder verify --adopt`).
    pub async fn adopt(&self, actor: &Actor) -> Result<()> {
        self.operator(actor)?;
        self.writable()?;
        let seen = self.inner.store.marker().await?.map_or(0, |marker| marker.generation);
        raise(self.inner.store.as_ref(), &self.inner.catalog, seen).await?;
        self.inner.behind.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Whether catalog and disk can be written and space is left. Costs a commit and a small file: ask at most once a second.
    pub async fn readiness(&self) -> Readiness {
        let (catalog, store) = tokio::join!(self.inner.catalog.check_writable(), self.inner.store.check_writable());
        if let Err(error) = &catalog {
            tracing::warn!(%error, "the catalog takes no writes");
        }
        if let Err(error) = &store {
            tracing::warn!(%error, "the store takes no writes");
        }
        Readiness {
            catalog: catalog.is_ok(),
            store: store.is_ok(),
            space: self.has_room().await.unwrap_or(false),
            taken_over: self.serves_clients().is_ok(),
        }
    }

    /// Figures about the registry.
    pub async fn statistics(&self) -> Statistics {
        let counters = &self.inner.counters;
        let space = self.inner.store.space().await.ok().flatten();
        let (rules_refused, rules_warned) = self.inner.heard.counted();
        Statistics {
            rules_refused,
            rules_warned,
            open_writers: self.inner.sessions.open() as u64,
            damaged_reads: counters.damaged_reads.load(Ordering::Relaxed),
            swept_blobs: counters.swept_blobs.load(Ordering::Relaxed),
            swept_bytes: counters.swept_bytes.load(Ordering::Relaxed),
            uploads_committed: counters.uploads_committed.load(Ordering::Relaxed),
            bytes_committed: counters.bytes_committed.load(Ordering::Relaxed),
            scrubbed_blobs: counters.scrubbed_blobs.load(Ordering::Relaxed),
            scrubbed_bytes: counters.scrubbed_bytes.load(Ordering::Relaxed),
            scrub_wrong: counters.scrub_wrong.load(Ordering::Relaxed),
            scrub_halted: counters.scrub_halted.load(Ordering::Relaxed),
            open_uploads: self.inner.catalog.open_uploads().await.ok(),
            incomplete_manifests: self.inner.catalog.incomplete_manifests().await.ok(),
            deliveries_made: counters.deliveries_made.load(Ordering::Relaxed),
            deliveries_failed: counters.deliveries_failed.load(Ordering::Relaxed),
            delivery_backlog: self.inner.catalog.delivery_backlog().await.ok(),
            catalog: self.inner.catalog.statistics(),
            space: space.map(|space| (space.available, space.total)),
        }
    }

    /// Writes down the pulls since the last call, and what pushers asked for. Pull times are kept in memory and may be lost with the process (behaviour §5).
    pub async fn flush_pulls(&self) -> Result<()> {
        let take = |noted: &Mutex<HashMap<(RepositoryName, Digest), Timestamp>>| {
            let noted = std::mem::take(&mut *noted.lock().expect("no panic happens under this lock"));
            noted.into_iter().map(|((repository, digest), at)| (repository, digest, at)).collect::<Vec<_>>()
        };
        let (pulls, renewals) = (take(&self.inner.pulls), take(&self.inner.renewals));
        if self.inner.settings.read_only {
            return Ok(());
        }
        self.flush_sample().await?;
        self.flush_stage_pulls().await?;
        self.flush_heard().await?;
        if !renewals.is_empty() {
            self.inner.catalog.renewed(&renewals).await?;
        }
        if !pulls.is_empty() {
            self.inner.catalog.pulled(&pulls).await?;
        }
        Ok(())
    }

    /// Waits until uploads in progress have written their checkpoints, after their clients were cut off, and closes the catalog.
    pub async fn close(&self) -> Result<()> {
        self.inner.sessions.settle().await;
        self.flush_pulls().await?;
        self.inner.catalog.close().await;
        Ok(())
    }

    /// Whether `actor` may do `action` in `repository`: by his grants, or because anybody may pull what is public. Where he may not, the answer is
    /// the same whether the repository exists or not (**Invariant 13**).
    pub async fn may(&self, actor: &Actor, action: Action, repository: &RepositoryName) -> Result<bool> {
        match actor.verdict(action, repository) {
            Verdict::Allowed => Ok(true),
            Verdict::Denied => Ok(false),
            Verdict::Silent if action != Action::Pull => Ok(false),
            Verdict::Silent => {
                let facts = self.inner.catalog.repository_facts(repository).await?;
                Ok(facts.is_some_and(|facts| facts.public))
            }
        }
    }

    /// Everything that `actor` may do in `repository`: what a token for it can grant.
    pub async fn allowed(&self, actor: &Actor, repository: &RepositoryName) -> Result<Actions> {
        let mut allowed = Actions::EMPTY;
        for action in Action::ALL {
            if self.may(actor, action, repository).await? {
                allowed = allowed.with(action);
            }
        }
        Ok(allowed)
    }

    pub(crate) async fn permit(&self, actor: &Actor, action: Action, repository: &RepositoryName) -> Result<()> {
        self.serves_clients()?;
        if self.may(actor, action, repository).await? { Ok(()) } else { Err(Error::Denied) }
    }

    /// Like [`permit`](Self::permit), for what changes something.
    pub(crate) async fn permit_write(&self, actor: &Actor, action: Action, repository: &RepositoryName) -> Result<()> {
        self.permit(actor, action, repository).await?;
        self.writable()
    }

    /// Whether a push may bring this repository into being, or need not (`repositories.create_on_push`).
    pub(crate) async fn may_begin(&self, repository: &RepositoryName) -> Result<()> {
        let begins = match &self.inner.settings.create_on_push {
            CreateOnPush::Always => true,
            CreateOnPush::Never => false,
            CreateOnPush::Within(patterns) => patterns.iter().any(|pattern| pattern.matches(repository)),
        };
        if begins || self.inner.catalog.repository_exists(repository).await? {
            Ok(())
        } else {
            Err(Error::NotMade(repository.clone()))
        }
    }

    /// Like [`operator`](Self::operator), but accounts do not count: only who is on this machine and owns the data folder.
    pub(crate) fn owner(&self, actor: &Actor) -> Result<()> {
        if actor.owns_the_folder() { Ok(()) } else { Err(Error::Denied) }
    }

    pub(crate) fn operator(&self, actor: &Actor) -> Result<()> {
        if actor.may_operate() { Ok(()) } else { Err(Error::Denied) }
    }

    pub(crate) fn writable(&self) -> Result<()> {
        if self.inner.settings.read_only { Err(Error::ReadOnly) } else { Ok(()) }
    }

    pub(crate) fn is_behind(&self) -> bool {
        self.inner.behind.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn lease_end(&self) -> Timestamp {
        after(self.now(), self.inner.settings.lease_ttl)
    }

    pub(crate) fn stamp(&self, actor: &Actor) -> Stamp {
        Stamp {
            identity: actor.identity().to_owned(),
            at: self.now(),
            request_id: actor.request_id().map(str::to_owned),
            origin: actor.origin().clone(),
        }
    }

    /// Whether the reserve is free, after what open uploads have declared (behaviour §6).
    pub(crate) async fn has_room(&self) -> Result<bool> {
        self.leaves_reserve(self.inner.sessions.declared()).await
    }

    /// Whether `promised` bytes of free space can go and still leave the reserve.
    pub(crate) async fn leaves_reserve(&self, promised: u64) -> Result<bool> {
        let Some(space) = self.inner.store.space().await? else { return Ok(true) };
        Ok(space.available.saturating_sub(promised) >= self.inner.settings.reserve.of(space.total))
    }
}

/// Lets store and catalog recognise each other. Answers whether the catalog is behind.
async fn introduce(settings: &Settings, store: &dyn BlobStore, catalog: &Catalog) -> Result<bool> {
    let identity = catalog.identity().await?;
    match store.marker().await? {
        None if !catalog.blob_rows(0, 1).await?.items.is_empty() => Err(Error::StrangeStore(
            "the catalog knows blobs, but the store was never used with it: is the right disk mounted?".to_owned(),
        )),
        None => {
            if !settings.read_only {
                raise(store, catalog, 0).await?;
            }
            Ok(false)
        }
        Some(marker) if marker.store_id != identity.store_id => Err(Error::StrangeStore(
            "the store belongs to another catalog: give the catalog that was used with it, or an empty store"
                .to_owned(),
        )),
        Some(marker) if marker.generation > identity.generation => Ok(true),
        Some(marker) => {
            if !settings.read_only {
                match raise(store, catalog, marker.generation).await {
                    // Pulls go on (behaviour §6), and the generation is raised each hour.
                    Err(Error::StorageFull) => {
                        tracing::warn!("the storage is full: the catalog's generation stays as it is")
                    }
                    raised => raised?,
                }
            }
            Ok(false)
        }
    }
}

/// The catalog first: a crash in between leaves it ahead of its store, which is the ordinary state.
async fn raise(store: &dyn BlobStore, catalog: &Catalog, at_least: u64) -> Result<()> {
    let generation = catalog.raise_generation(at_least).await?;
    let store_id = catalog.identity().await?.store_id;
    Ok(store.set_marker(&StoreMarker { store_id, generation }).await?)
}
