//! Taking over the tree of another registry in place (behaviour §7, "Import in place").
//!
//! Rows first: blobs of each repository, then manifests, indexes after their children, then tags. Bytes come by a second name, by shared blocks or by a
//! copy, and are unverified until they were hashed: in the same run, in the background, or by the first who reads them whole. The tree itself is
//! opened for reading only. What is broken in it is reported and stops nothing.
//!
//! Every step may be done twice, so a pass that was killed is simply begun again (**Invariant 2**: its session stands for what it took over until it
//! ends). A second pass follows at once and takes over what was written meanwhile: if there is any, somebody still runs the old registry.

mod checked;
mod hashing;
mod read;
mod release;
mod report;
mod repository;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt as _};
use jiff::{SignedDuration, Timestamp};
use larder_blobs::{Adoption, Foreign};
use larder_oci::{Digest, UploadId};
use tokio::sync::{OnceCell, mpsc};

pub(crate) use self::checked::checked;
pub use self::hashing::Hashed;
pub use self::release::{OldTree, Released};
use self::report::Collector;
pub use self::report::{Broken, BrokenKind, ImportProgress, ImportReport, KeptTag, Told, Written};
use self::tree::{Data, Found, Since, Tree};
use crate::{Actor, Error, Registry, Result};

/// Repositories at once: their small transactions share commits.
const AT_ONCE: usize = 16;
/// Entries of a tree that go through together.
const BATCH: usize = 500;
/// Batches that may wait.
const WAITING: usize = 2;
/// Progress is told this often.
const TELL: Duration = Duration::from_millis(250);
/// What was written so shortly before a pass began may have been overlooked by it: clocks of file systems tick slowly.
const MARGIN: SignedDuration = SignedDuration::from_millis(100);

/// How to take a tree over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Hash every byte in the same run, and count what belongs to no repository. Otherwise that is left to [`Registry::verify_imported`] and to a later
    /// pass: clients are waiting.
    pub verify: bool,
}

/// Who hears how far it is.
type Tell<'a> = &'a (dyn Fn(ImportProgress) + Send + Sync);

impl Registry {
    /// Takes over the tree of `registry:2` in the folder `source`: that registry's root directory, or the tree itself. For whoever owns the data folder.
    ///
    /// # Errors
    /// [`Error::NoTree`] when there is none; [`Error::NoRoomToCopy`] before a byte is copied that would not fit.
    pub async fn import_registry2(
        &self,
        actor: &Actor,
        source: &Path,
        options: ImportOptions,
        progress: Tell<'_>,
    ) -> Result<ImportReport> {
        self.owner(actor)?;
        self.writable()?;
        if self.is_behind() {
            return Err(Error::CatalogBehind);
        }
        let (tree, at) = (find(source).await?, self.now());
        // Two passes over one tree would give up each other's sessions.
        let _alone = self.inner.importing.lock().await;
        let session = UploadId::from_bytes(*uuid::Uuid::new_v4().as_bytes());
        let name = tree.path().display().to_string();
        let since = self.inner.catalog.begin_import(&name, session, at).await?;
        let since = since.map(|since| since.saturating_sub(MARGIN).unwrap_or(since));
        let collector = Collector::new(tree.path(), since, self.inner.settings.journals.as_deref(), at)
            .map_err(|error| Error::Internal(format!("the journal of an import cannot be written: {error}")))?;
        let run = Arc::new(Run {
            registry: self.clone(),
            actor: actor.clone(),
            tree,
            session,
            collector,
            may_copy: AtomicBool::new(false),
            room: OnceCell::new(),
        });
        let report = told(run.work(since, at, options), &run.collector, progress).await?;
        let text = serde_json::to_string(&report).unwrap_or_default();
        self.inner.catalog.finish_import(&name, &text, self.now()).await?;
        Ok(report)
    }

    /// Whether the folder holds a tree that no import has come to the end of.
    pub async fn has_to_take_over(&self, source: &Path) -> Result<bool> {
        let Ok(tree) = find(source).await else { return Ok(false) };
        let name = tree.path().display().to_string();
        let rows = self.inner.catalog.imports().await?;
        Ok(!rows.iter().any(|row| row.source == name && row.complete_since.is_some()))
    }

    /// Answers every client with 503 until [`open_to_clients`](Self::open_to_clients): half of a tree would look like a whole one.
    pub fn close_to_clients(&self) {
        self.inner.closed_to_clients.store(true, Ordering::SeqCst);
    }

    /// Serves.
    pub fn open_to_clients(&self) {
        self.inner.closed_to_clients.store(false, Ordering::SeqCst);
    }

    pub(crate) fn serves_clients(&self) -> Result<()> {
        if self.inner.closed_to_clients.load(Ordering::SeqCst) { Err(Error::TakingOver) } else { Ok(()) }
    }
}

/// The tree in a folder, by its absolute path: that is what it is remembered by.
async fn find(source: &Path) -> Result<Tree> {
    let source: PathBuf = source.to_owned();
    let found = blocking(move || {
        let folder = source.canonicalize().unwrap_or_else(|_| source.clone());
        Tree::find(&folder).ok_or(Error::NoTree)
    });
    found.await?
}

/// Does the work, and tells how far it is beside it.
async fn told<T>(work: impl Future<Output = Result<T>>, collector: &Collector, progress: Tell<'_>) -> Result<T> {
    let mut work = std::pin::pin!(work);
    let mut clock = tokio::time::interval(TELL);
    loop {
        tokio::select! {
            outcome = &mut work => {
                progress(collector.progress());
                return outcome;
            }
            _ = clock.tick() => progress(collector.progress()),
        }
    }
}

/// Runs what waits for a disk off the runtime.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(error.to_string()))
}

/// One import under way.
struct Run {
    registry: Registry,
    actor: Actor,
    tree: Tree,
    session: UploadId,
    collector: Collector,
    may_copy: AtomicBool,
    /// Asked once, before the first copy: is there room for all?
    room: OnceCell<()>,
}

impl Run {
    async fn work(self: &Arc<Self>, since: Since, begun: Timestamp, options: ImportOptions) -> Result<ImportReport> {
        self.pass(since).await?;
        self.collector.begin_second_pass();
        self.pass(Some(begun)).await?;
        if options.verify {
            self.count_unlinked().await?;
            self.hash_all().await?;
        }
        let (count, bytes) = self.registry.inner.catalog.unverified_totals().await?;
        self.collector.count(|report| report.unverified = (count, bytes).into());
        Ok(self.collector.finish())
    }

    /// Rows for everything that was written since, repository by repository.
    async fn pass(self: &Arc<Self>, since: Since) -> Result<()> {
        let tree = self.tree.clone();
        let batches = walk(move |visit| tree.repositories(visit));
        let found = batches.flat_map(|batch| {
            stream::iter(match batch {
                Ok(batch) => batch.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            })
        });
        let mut repositories = found
            .map(|found| async move {
                match found? {
                    Ok(repository) => self.repository(repository, since).await,
                    Err(flaw) => {
                        self.collector.broken(None, flaw, Vec::new());
                        Ok(())
                    }
                }
            })
            .buffer_unordered(AT_ONCE);
        while let Some(done) = repositories.next().await {
            done?;
        }
        Ok(())
    }

    /// Takes files over. One answer for each.
    async fn adopt(&self, files: Vec<Foreign>) -> Result<Vec<Adoption>> {
        let store = &self.registry.inner.store;
        let mut adoptions = store.adopt(files.clone(), self.may_copy.load(Ordering::Relaxed)).await?;
        let Some(why) = adoptions.iter().find_map(|adoption| match adoption {
            Adoption::NeedsCopy { why, .. } => Some(why.clone()),
            _ => None,
        }) else {
            return Ok(adoptions);
        };
        self.room.get_or_try_init(|| self.find_room(why)).await?;
        self.may_copy.store(true, Ordering::Relaxed);
        let waiting: Vec<usize> =
            (0..files.len()).filter(|at| matches!(adoptions[*at], Adoption::NeedsCopy { .. })).collect();
        let copied = store.adopt(waiting.iter().map(|at| files[*at].clone()).collect(), true).await?;
        for (at, adoption) in waiting.into_iter().zip(copied) {
            adoptions[at] = adoption;
        }
        Ok(adoptions)
    }

    /// **Nothing is copied unless everything fits**: half of a tree on a full disk helps nobody.
    async fn find_room(&self, why: String) -> Result<()> {
        let inner = &self.registry.inner;
        let Some(space) = inner.store.space().await? else { return Ok(()) };
        let needed = self.bytes_not_held().await?.1;
        let available = space.available.saturating_sub(inner.settings.reserve.of(space.total));
        tracing::warn!(why, needed, available, "the old registry's files cannot be linked, so they are copied");
        if needed > available { Err(Error::NoRoomToCopy { needed, available, why }) } else { Ok(()) }
    }

    async fn count_unlinked(&self) -> Result<()> {
        let unlinked = self.bytes_not_held().await?;
        self.collector.count(|report| report.unlinked = unlinked.into());
        Ok(())
    }

    /// Number and bytes of what lies in the tree and the catalog does not know.
    async fn bytes_not_held(&self) -> Result<(u64, u64)> {
        let tree = self.tree.clone();
        let mut batches = walk(move |visit| tree.all_data(visit));
        let mut total = (0, 0);
        while let Some(batch) = batches.next().await {
            let data: Vec<Data> = batch?.into_iter().filter_map(Result::ok).collect();
            let digests: Vec<Digest> = data.iter().map(|data| data.digest).collect();
            let held = self.registry.inner.catalog.digests_held(&digests).await?;
            for (data, _) in data.iter().zip(held).filter(|(_, held)| !held) {
                total = (total.0 + 1, total.1 + data.size);
            }
        }
        Ok(total)
    }
}

/// What a walk over the tree finds, in batches, read ahead by at most [`WAITING`]. The walk ends when nobody wants more of it; an error of its is the
/// last item.
fn walk<T: Send + 'static>(
    work: impl FnOnce(&mut dyn FnMut(Found<T>) -> bool) -> std::io::Result<()> + Send + 'static,
) -> BoxStream<'static, Result<Vec<Found<T>>>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut batch = Vec::new();
        let walked = work(&mut |found| {
            batch.push(found);
            batch.len() < BATCH || sender.blocking_send(Ok(std::mem::take(&mut batch))).is_ok()
        });
        if !batch.is_empty() && sender.blocking_send(Ok(batch)).is_err() {
            return;
        }
        if let Err(error) = walked {
            // Of a folder that cannot be listed nobody knows what is in it: that is no broken entry, but an import that is not whole.
            let _ = sender.blocking_send(Err(Error::TreeUnreadable(error)));
        }
    });
    Box::pin(stream::unfold(
        receiver,
        |mut receiver| async move { receiver.recv().await.map(|batch| (batch, receiver)) },
    ))
}
