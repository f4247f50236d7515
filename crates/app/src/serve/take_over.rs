//! The configured folder holds the tree of `registry:2`: it is taken over in place (behaviour §7). Rows first, while clients wait; then bytes are
//! hashed beside everything else.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use larder_registry::{Actor, Error, ImportOptions, ImportProgress, ImportReport, Registry};
use tokio::task::JoinHandle;

use crate::config::{Configuration, rounded_size};
use crate::opened::chain;
use crate::outcome::{Failure, Result};

/// Progress is logged this often.
const TOLD: Duration = Duration::from_secs(5);

/// The work under way; it ends with this value.
pub struct OldTree(Option<JoinHandle<Result>>);

impl OldTree {
    /// Resolves when the tree could not be taken over: then the server must not go on as if it were empty.
    pub async fn failure(&mut self) -> Failure {
        if let Some(work) = &mut self.0 {
            let outcome = work.await;
            self.0 = None;
            if let Ok(Err(failure)) = outcome {
                return failure;
            }
        }
        std::future::pending().await
    }
}

impl Drop for OldTree {
    fn drop(&mut self) {
        if let Some(work) = &self.0 {
            work.abort();
        }
    }
}

/// Looks for a tree in the data folder, and begins. Where none was taken over yet, clients are answered with 503 from now until its rows are here.
pub async fn begin(configuration: &Configuration, registry: &Registry, folder: &Path) -> Result<OldTree> {
    let waits = registry.has_to_take_over(folder).await.map_err(|error| Failure::failed(chain(&error)))?;
    let read_only = configuration.switch("read_only");
    if waits && read_only {
        tracing::warn!("the data folder holds images of registry:2, which a read-only start does not take over");
    }
    if waits && !read_only {
        registry.close_to_clients();
    }
    let (registry, folder) = (registry.clone(), folder.to_owned());
    Ok(OldTree(Some(tokio::spawn(async move {
        if read_only {
            return Ok(());
        }
        if waits {
            rows(&registry, &folder).await?;
        }
        hash(&registry).await;
        if !waits {
            later(&registry, &folder).await;
        }
        Ok(())
    }))))
}

async fn rows(registry: &Registry, folder: &Path) -> Result {
    tracing::info!("the data folder holds images of registry:2: taking them over, while clients wait");
    let begun = Instant::now();
    let report = import(registry, folder).await.map_err(|error| {
        let failure = Failure::failed(format!("the images of registry:2 could not be taken over: {}", chain(&error)));
        match error {
            Error::NoRoomToCopy { .. } => failure.with_hint(
                "Nothing was copied. Make room, or give Larder a folder on the file system of the old registry; \
                 files that belong to another user can be linked once they belong to this one.",
            ),
            _ => failure.with_hint("Nothing is lost: the old registry's files are untouched, and a restart goes on."),
        }
    })?;
    registry.open_to_clients();
    tell(&report, begun.elapsed());
    Ok(())
}

async fn import(registry: &Registry, folder: &Path) -> larder_registry::Result<ImportReport> {
    let last = Mutex::new(Instant::now());
    let progress = |at: ImportProgress| {
        let mut last = last.lock().expect("no panic happens under this lock");
        if last.elapsed() >= TOLD {
            *last = Instant::now();
            let ImportProgress { phase, repositories, manifests, tags, blobs, broken, .. } = at;
            tracing::info!(phase, repositories, manifests, tags, blobs, broken, "taking over registry:2");
        }
    };
    registry.import_registry2(&Actor::system(), folder, ImportOptions { verify: false }, &progress).await
}

fn tell(report: &ImportReport, took: Duration) {
    tracing::info!(
        repositories = report.repositories,
        manifests = report.manifests,
        tags = report.tags,
        linked = report.linked.count,
        reflinked = report.reflinked.count,
        copied = report.copied.count,
        broken = report.broken.total,
        to_hash = rounded_size(report.unverified.bytes),
        seconds = took.as_secs_f32(),
        report = report.journal,
        "took over the images of registry:2; its own files stay as they are until `larder import registry2 PATH --release`"
    );
    if report.broken.total > 0 {
        tracing::warn!(kinds = ?report.broken_kinds, report = report.journal, "some of what registry:2 held was broken");
    }
    if !report.is_quiet() {
        tracing::error!(
            written = report.written_since.total,
            "registry:2 still writes into this folder: stop it, then restart this one or import again"
        );
    }
}

/// Also what a start before this one left unhashed.
async fn hash(registry: &Registry) {
    match registry.verify_imported().await {
        Ok(hashed) if hashed == larder_registry::Hashed::default() => {}
        Ok(hashed) => tracing::info!(
            right = hashed.right.count,
            bytes = rounded_size(hashed.right.bytes),
            wrong = hashed.wrong,
            unreadable = hashed.unreadable,
            "hashed what was taken over from registry:2"
        ),
        Err(error) => tracing::warn!(error = chain(&error), "what was taken over could not be hashed"),
    }
}

/// The tree was taken over before and is still there: perhaps somebody went back to the old registry for a while.
async fn later(registry: &Registry, folder: &Path) {
    match import(registry, folder).await {
        Ok(report) if report.is_quiet() => {
            tracing::info!(
                "the old registry's files are still there: `larder import registry2 PATH --release` removes them"
            );
        }
        Ok(report) => {
            tracing::warn!(
                written = report.written_since.total,
                report = report.journal,
                "registry:2 wrote into this folder since its images were taken over; what it wrote is taken over now"
            );
            hash(registry).await;
        }
        Err(Error::NoTree | Error::CatalogBehind) => {}
        Err(error) => tracing::warn!(error = chain(&error), "the old registry's files could not be looked at"),
    }
}
