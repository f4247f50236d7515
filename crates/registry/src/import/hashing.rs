//! Hashing what was taken over: the end of the one exception to invariant 12.

use std::sync::Mutex;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use larder_blobs::hash::Hasher;
use larder_blobs::{BlobKey, BlobObject};
use larder_catalog::model::{BlobRow, BlobState};
use serde::Serialize;
use tokio::sync::mpsc;

use super::report::BrokenKind;
use super::tree::Flaw;
use super::{Run, blocking};
use crate::usage::Counted;
use crate::verify::FindingKind;
use crate::{Actor, Error, Registry, Result};

/// Rows that are looked at together; what of them is right is written down in one transaction.
const PAGE: usize = 64;
/// Pieces that are read ahead of the hash.
const AHEAD: usize = 4;

/// What became of hashing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Hashed {
    /// Objects that are right.
    pub right: Counted,
    /// Objects that are wrong, and were set aside.
    pub wrong: u64,
    /// Objects that could not be read: no verdict.
    pub unreadable: u64,
}

/// What is wrong with one object, and the tags that need it.
struct Wrong {
    flaw: Flaw,
    affects: Vec<String>,
}

/// A verdict about one object.
enum Verdict {
    Right,
    Wrong(FindingKind, String),
    /// No verdict: the medium, the operating system.
    Unreadable(String),
}

/// Hears of each object: what is wrong with it and which images that affects, or nothing.
type Tell<'t> = &'t (dyn Fn(&BlobRow, Option<Wrong>) + Send + Sync);

impl Registry {
    /// Hashes everything that was taken over and nobody has hashed yet. What is wrong is set aside, so that it is never served again; a push of its
    /// digest heals. `tell` hears of every object with the wrong ones' tags.
    pub async fn verify_imported(&self) -> Result<Hashed> {
        let hashed = Mutex::new(Hashed::default());
        self.hash_unverified(&|row, verdict| {
            let mut hashed = hashed.lock().expect("no panic happens under this lock");
            match verdict {
                None => {
                    hashed.right.count += 1;
                    hashed.right.bytes += row.blob.size;
                }
                Some(Wrong { flaw, affects }) => {
                    let unreadable = flaw.kind == BrokenKind::Unreadable;
                    hashed.unreadable += u64::from(unreadable);
                    hashed.wrong += u64::from(!unreadable);
                    tracing::error!(
                        object = flaw.object,
                        why = flaw.why,
                        affects = affects.join(", "),
                        "bytes that were taken over are wrong"
                    );
                }
            }
        })
        .await?;
        Ok(hashed.into_inner().expect("no panic happens under this lock"))
    }

    async fn hash_unverified(&self, tell: Tell<'_>) -> Result<()> {
        let at_once = std::thread::available_parallelism().map_or(2, usize::from);
        let mut after = 0;
        loop {
            let page = self.inner.catalog.unverified_blobs(after, PAGE).await?;
            let Some(last) = page.items.last() else { return Ok(()) };
            after = last.id;
            let rows =
                page.items.into_iter().filter(|row| matches!(row.state, BlobState::Live | BlobState::Superseded));
            let judged = stream::iter(rows).map(|row| async move {
                let verdict = self.judge_bytes(&row).await;
                (row, verdict)
            });
            let mut judged = judged.buffer_unordered(at_once);
            let mut right = Vec::new();
            while let Some((row, verdict)) = judged.next().await {
                match verdict {
                    Verdict::Right => {
                        right.push(row.blob.key.clone());
                        tell(&row, None);
                    }
                    Verdict::Wrong(kind, why) => {
                        let affects = self.affected(&row.blob.digest).await?;
                        self.set_aside(&Actor::system(), &row.blob.key, kind).await?;
                        let flaw = Flaw::new(BrokenKind::WrongHash, row.blob.digest.to_string(), why);
                        tell(&row, Some(Wrong { flaw, affects }));
                    }
                    Verdict::Unreadable(why) => {
                        let flaw = Flaw::new(BrokenKind::Unreadable, row.blob.digest.to_string(), why);
                        tell(&row, Some(Wrong { flaw, affects: self.affected(&row.blob.digest).await? }));
                    }
                }
            }
            if !right.is_empty() {
                self.inner.catalog.mark_verified(&right).await?;
            }
        }
    }

    /// Somebody read this object whole and it was not what its digest says: look at it again, and set it aside if that is so.
    pub(crate) async fn suspect(&self, row: &BlobRow) {
        let Verdict::Wrong(kind, why) = self.judge_bytes(row).await else { return };
        tracing::error!(digest = %row.blob.digest, why, "bytes that were taken over are wrong");
        if let Err(error) = self.set_aside(&Actor::system(), &row.blob.key, kind).await {
            tracing::error!(digest = %row.blob.digest, %error, "and could not be set aside");
        }
    }

    /// Wrong bytes are read twice before they are called wrong: memory and cables err too.
    async fn judge_bytes(&self, row: &BlobRow) -> Verdict {
        match self.hash_once(row).await {
            Verdict::Wrong(FindingKind::WrongDigest, _) => self.hash_once(row).await,
            verdict => verdict,
        }
    }

    async fn hash_once(&self, row: &BlobRow) -> Verdict {
        let key = BlobKey::from_stored(row.blob.key.clone());
        let object = match self.inner.store.open(&key, row.blob.size).await {
            Ok(object) => object,
            Err(larder_blobs::Error::Absent(_)) => {
                return Verdict::Wrong(FindingKind::Missing, "its bytes are gone".to_owned());
            }
            Err(error @ larder_blobs::Error::WrongLength { .. }) => {
                return Verdict::Wrong(FindingKind::WrongLength, error.to_string());
            }
            Err(error) => return Verdict::Unreadable(crate::error::with_causes(&error)),
        };
        match hash(object.as_ref(), row).await {
            Ok(found) if found == row.blob.digest => Verdict::Right,
            Ok(found) => {
                Verdict::Wrong(FindingKind::WrongDigest, format!("its {} bytes hash to {found}", row.blob.size))
            }
            Err(error) => Verdict::Unreadable(error.to_string()),
        }
    }
}

impl Run {
    /// The same for `import registry2`, which tells all in its report.
    pub(super) async fn hash_all(&self) -> Result<()> {
        self.collector.begin_bytes();
        let total = self.registry.inner.catalog.unverified_totals().await?;
        self.collector.count(|report| report.unverified = total.into());
        let tell = |row: &BlobRow, flaw: Option<Wrong>| match flaw {
            None => self.collector.count(|report| {
                let verified = &mut report.verified;
                *verified = Counted { count: verified.count + 1, bytes: verified.bytes + row.blob.size };
                report.unverified.bytes = report.unverified.bytes.saturating_sub(row.blob.size);
            }),
            Some(Wrong { flaw, affects }) => self.collector.broken(None, flaw, affects),
        };
        self.registry.hash_unverified(&tell).await
    }
}

/// Reads past the page cache and hashes on a thread of its own: both at once.
async fn hash(object: &dyn BlobObject, row: &BlobRow) -> std::io::Result<larder_oci::Digest> {
    let (sender, mut pieces) = mpsc::channel::<Bytes>(AHEAD);
    let mut hasher = Hasher::new(row.blob.digest.algorithm());
    let hashing = tokio::spawn(blocking(move || {
        while let Some(piece) = pieces.blocking_recv() {
            hasher.update(&piece);
        }
        hasher.finish()
    }));
    let mut stream = object.read_medium();
    let mut outcome = Ok(());
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => {
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    drop(sender);
    let found = hashing.await.map_err(std::io::Error::other)?.map_err(|error: Error| std::io::Error::other(error));
    outcome.and(found)
}
