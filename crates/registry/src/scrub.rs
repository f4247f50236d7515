//! The scrub: everything is read back in the background at a set rate, and what is wrong is set aside (behaviour §6, **Invariant 12**).
//!
//! A pass goes over all objects in the order of their rows, then over all manifests, and begins again a period after it began. How far it came stands
//! in the catalog, so a restart goes on there.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use larder_catalog::model::{BlobRow, BlobState};
use larder_oci::Digest;
use serde::{Deserialize, Serialize};

use crate::clock::after;
use crate::push::digest_of;
use crate::read_back::Pace;
use crate::verify::is_too_much;
use crate::{Actor, FindingKind, Registry, Result};

/// Where the pass stands, and what somebody wished meanwhile: the step that runs writes the one and reads the other.
const STATE: &str = "scrub";
const WISH: &str = "scrub.wish";
const BEGIN: &str = "begin";
const FORCE: &str = "force";

/// Rows and manifests of one step, and how long a step goes on before it is written down.
const ROWS: usize = 64;
const MANIFESTS: usize = 16;
const WRITTEN_EVERY: Duration = Duration::from_secs(30);
/// Slower than this is not worth it: a small store is read within the day.
const SLOWEST: u64 = 1 << 20;
/// A wish is heard within this time.
const NAP: Duration = Duration::from_secs(60);

/// A pass, and how it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scrub {
    /// When the pass began.
    #[serde(with = "milliseconds")]
    pub began_at: Option<Timestamp>,
    /// When it ended; `None` while it is under way.
    #[serde(with = "milliseconds")]
    pub ended_at: Option<Timestamp>,
    /// When a pass last came to its end.
    #[serde(with = "milliseconds")]
    pub last_ended_at: Option<Timestamp>,
    /// Objects read in this pass.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that the pass had before it when it began.
    pub bytes_in_all: u64,
    /// Manifests read in this pass.
    pub manifests: u64,
    /// Objects and manifests that were missing or wrong, and were set aside.
    pub wrong: u64,
    /// Objects that could not be read: no verdict, they stay.
    pub unreadable: u64,
    /// So much was wrong that the pass stopped: that is a wrong disk, not a wrong object.
    pub halted: bool,
    /// Somebody said that it is to go on however much is wrong.
    pub forced: bool,
    /// Somebody asked for the pass: it is as fast as `scrub.rate` allows.
    pub asked: bool,
    /// The row of the last object read.
    after: i64,
    /// The last manifest read, when the objects are done.
    after_manifest: Option<String>,
    blobs_done: bool,
}

impl Scrub {
    /// Whether a pass is under way.
    pub fn is_under_way(&self) -> bool {
        self.began_at.is_some() && self.ended_at.is_none()
    }

    fn begun(now: Timestamp, bytes_in_all: u64, before: &Self) -> Self {
        Self { began_at: Some(now), bytes_in_all, last_ended_at: before.last_ended_at, ..Self::default() }
    }
}

impl Registry {
    /// How the scrub stands.
    pub async fn scrub(&self, actor: &Actor) -> Result<Scrub> {
        self.operator(actor)?;
        self.scrub_state().await
    }

    /// Asks for a pass now, unless one is under way; with `force` one that was halted goes on, and none is. Heard within a minute by the server that
    /// runs on this catalog.
    pub async fn request_scrub(&self, actor: &Actor, force: bool) -> Result<Scrub> {
        self.operator(actor)?;
        self.writable()?;
        self.inner.catalog.keep_note(WISH, Some(if force { FORCE } else { BEGIN })).await?;
        self.scrub_state().await
    }

    /// Goes on with the pass under way, or begins one that is due or wished for. Answers how long there is nothing to do.
    pub async fn scrub_step(&self) -> Result<Duration> {
        if self.inner.settings.read_only || self.is_behind() {
            return Ok(NAP);
        }
        let mut scrub = self.scrub_state().await?;
        let wish = self.inner.catalog.note(WISH).await?;
        if let Some(wish) = wish.as_deref() {
            if !scrub.is_under_way() {
                scrub = self.begin_scrub(&scrub).await?;
            }
            scrub.asked = true;
            if wish == FORCE {
                (scrub.forced, scrub.halted) = (true, false);
            }
            self.keep_scrub(&scrub).await?;
            self.inner.catalog.keep_note(WISH, None).await?;
        } else if !scrub.is_under_way() {
            let period = self.inner.settings.scrub_period;
            if period.is_zero() || scrub.began_at.is_some_and(|began| self.now() < after(began, period)) {
                return Ok(NAP);
            }
            scrub = self.begin_scrub(&scrub).await?;
        }
        if scrub.halted {
            return Ok(NAP);
        }
        let outcome = self.go_on_scrubbing(&mut scrub).await;
        // What was set aside before an error is counted all the same.
        self.keep_scrub(&scrub).await?;
        outcome?;
        Ok(if scrub.is_under_way() && !scrub.halted { Duration::ZERO } else { NAP })
    }

    async fn begin_scrub(&self, before: &Scrub) -> Result<Scrub> {
        let usage = self.inner.catalog.usage(self.now()).await?;
        Ok(Scrub::begun(self.now(), usage.live.1, before))
    }

    async fn go_on_scrubbing(&self, scrub: &mut Scrub) -> Result<()> {
        if scrub.blobs_done { self.scrub_manifests(scrub).await } else { self.scrub_blobs(scrub).await }
    }

    async fn scrub_blobs(&self, scrub: &mut Scrub) -> Result<()> {
        let page = self.inner.catalog.blob_rows(scrub.after, ROWS).await?;
        let (mut pace, begun) = (Pace::of(self.scrub_rate(scrub)), tokio::time::Instant::now());
        for row in &page.items {
            if matches!(row.state, BlobState::Live | BlobState::Superseded) {
                self.scrub_blob(scrub, row, &mut pace).await?;
            }
            if scrub.halted {
                // This row has still to be dealt with.
                return Ok(());
            }
            scrub.after = row.id;
            if begun.elapsed() > WRITTEN_EVERY {
                return Ok(());
            }
        }
        scrub.blobs_done = !page.more;
        Ok(())
    }

    async fn scrub_blob(&self, scrub: &mut Scrub, row: &BlobRow, pace: &mut Pace) -> Result<()> {
        let found = self.read_back(row, pace).await?;
        scrub.blobs += 1;
        scrub.bytes += row.blob.size;
        self.inner.counters.scrubbed_blobs.fetch_add(1, Ordering::Relaxed);
        self.inner.counters.scrubbed_bytes.fetch_add(row.blob.size, Ordering::Relaxed);
        match found {
            None => Ok(()),
            Some(FindingKind::Unreadable) => {
                scrub.unreadable += 1;
                Ok(())
            }
            Some(kind) => {
                if self.is_one_too_many(scrub) {
                    return Ok(());
                }
                let affects = self.affected(&row.blob.digest).await?;
                tracing::error!(digest = %row.blob.digest, ?kind, ?affects, "the scrub found a damaged object: push it again to heal it");
                self.set_aside(&Actor::system(), &row.blob.key, kind).await?;
                Ok(())
            }
        }
    }

    async fn scrub_manifests(&self, scrub: &mut Scrub) -> Result<()> {
        let from = scrub.after_manifest.as_deref().and_then(|text| text.parse::<Digest>().ok());
        let page = self.inner.catalog.manifest_bytes(from.as_ref(), MANIFESTS).await?;
        for (digest, bytes) in &page.items {
            scrub.manifests += 1;
            if digest_of(digest.algorithm(), bytes) != *digest {
                if self.is_one_too_many(scrub) {
                    return Ok(());
                }
                let affects = self.affected(digest).await?;
                tracing::error!(%digest, ?affects, "the scrub found a damaged manifest: push it again to heal it");
                self.inner.catalog.quarantine_manifest(digest, self.stamp(&Actor::system())).await?;
            }
            scrub.after_manifest = Some(digest.to_string());
        }
        if !page.more {
            let now = self.now();
            (scrub.ended_at, scrub.last_ended_at) = (Some(now), Some(now));
            let Scrub { blobs, bytes, manifests, wrong, unreadable, .. } = *scrub;
            tracing::info!(blobs, bytes, manifests, wrong, unreadable, "the scrub has read everything back");
        }
        Ok(())
    }

    /// Counts a wrong object. When it is one too many nothing is done about it: the pass stops and raises an alarm.
    fn is_one_too_many(&self, scrub: &mut Scrub) -> bool {
        if !scrub.forced && is_too_much(scrub.wrong + 1, scrub.blobs + scrub.manifests) {
            scrub.halted = true;
            tracing::error!(
                wrong = scrub.wrong,
                "the scrub has stopped: so many wrong objects are a wrong disk. `larder scrub --force` goes on"
            );
            return true;
        }
        scrub.wrong += 1;
        self.inner.counters.scrub_wrong.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// Bytes a second: what fits the pass into its period, within the limit. A pass that somebody asked for takes the limit.
    fn scrub_rate(&self, scrub: &Scrub) -> u64 {
        let settings = &self.inner.settings;
        let fitting = match settings.scrub_period.as_secs() {
            _ if scrub.asked => u64::MAX,
            0 => u64::MAX,
            seconds => (scrub.bytes_in_all / seconds).max(SLOWEST),
        };
        fitting.min(settings.scrub_rate)
    }

    async fn scrub_state(&self) -> Result<Scrub> {
        let text = self.inner.catalog.note(STATE).await?;
        // A state of another version is no reason to read nothing back: the pass begins anew.
        let scrub: Scrub = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        self.inner.counters.scrub_halted.store(scrub.halted, Ordering::Relaxed);
        Ok(scrub)
    }

    async fn keep_scrub(&self, scrub: &Scrub) -> Result<()> {
        let text = serde_json::json!(scrub).to_string();
        self.inner.counters.scrub_halted.store(scrub.halted, Ordering::Relaxed);
        Ok(self.inner.catalog.keep_note(STATE, Some(&text)).await?)
    }
}

/// A time as milliseconds since 1970, as everywhere in the catalog.
mod milliseconds {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::as_millisecond).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        let at = Option::<i64>::deserialize(from)?;
        at.map(|at| Timestamp::from_millisecond(at).map_err(serde::de::Error::custom)).transpose()
    }
}
