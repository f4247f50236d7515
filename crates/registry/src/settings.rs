//! What the domain can be told; meanings and defaults are those of the behaviour document.

use std::path::PathBuf;
use std::time::Duration;

pub use larder_catalog::model::Sparse;
use larder_oci::RepositoryPattern;

/// The domain's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `lease.ttl`: how long what a push was told exists is kept for its manifest.
    pub lease_ttl: Duration,
    /// `uploads.idle`: how long a session may rest before it is given up.
    pub uploads_idle: Duration,
    /// `push.sparse`: manifests that name what is not there.
    pub sparse: Sparse,
    /// `storage.reserve`: free space that uploads must leave.
    pub reserve: Reserve,
    /// `limits.upload_bytes`: the largest blob that is taken, in bytes; nothing is no limit.
    pub upload_limit: Option<u64>,
    /// Bytes between two checkpoints inside one request.
    pub checkpoint_bytes: u64,
    /// Refuse every write (`serve --read-only`).
    pub read_only: bool,
    /// `repositories.create_on_push`: whether a push makes a repository that is not there.
    pub create_on_push: CreateOnPush,
    /// `events.pulls`: one in so many pulls makes an event; 0 for none.
    pub pull_events: u64,
    /// A folder for the journals of imports; none are written without.
    pub journals: Option<PathBuf>,
    /// `scrub.period`: how long a pass over everything that is stored may take, and when the next begins; zero for none.
    pub scrub_period: Duration,
    /// `scrub.rate`: bytes a second that the scrub reads at most.
    pub scrub_rate: u64,
    /// `trash.window`: how long what was deleted can be brought back; zero for not at all.
    pub trash_window: Duration,
    /// How long what the sweep or the quarantine took is remembered, so that a manifest which names it is refused.
    pub taken_memory: Duration,
    /// `policy.every`: how often lifecycle policies run by themselves; `None` when they do not.
    pub policy_every: Option<Duration>,
    /// `policy.cap`: images that one run of a policy lets go at most.
    pub policy_cap: u64,
}

impl Default for Settings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            lease_ttl: DAY,
            uploads_idle: 7 * DAY,
            sparse: Sparse::Warn,
            reserve: Reserve::default(),
            upload_limit: None,
            checkpoint_bytes: 256 << 20,
            read_only: false,
            create_on_push: CreateOnPush::Always,
            pull_events: 0,
            journals: None,
            scrub_period: 30 * DAY,
            scrub_rate: 64 << 20,
            trash_window: 7 * DAY,
            taken_memory: 7 * DAY,
            policy_every: None,
            policy_cap: 10_000,
        }
    }
}

/// Whether a push makes a repository that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateOnPush {
    /// It does.
    Always,
    /// It does not: repositories are made beforehand.
    Never,
    /// Where one of these matches the name.
    Within(Vec<RepositoryPattern>),
}

/// Free space to keep: the smaller of a share and a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reserve {
    /// A share of the whole disk, from 0 to 1; infinite when only bytes count.
    pub share: f64,
    /// Bytes; `u64::MAX` when only the share counts.
    pub bytes: u64,
}

impl Default for Reserve {
    fn default() -> Self {
        Self { share: 0.02, bytes: 5 << 30 }
    }
}

impl Reserve {
    /// The reserve on a disk of `total` bytes.
    pub fn of(&self, total: u64) -> u64 {
        // Precision beyond 2^53 bytes does not matter for a reserve.
        let share = (total as f64 * self.share).min(u64::MAX as f64) as u64;
        share.min(self.bytes)
    }
}
