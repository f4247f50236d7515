//! A data folder, opened: lock, store, catalog and the registry over them. Both the server and commands that work alone begin here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_blobs::fs::FsStore;
use larder_catalog::Catalog;
use larder_catalog::model::{Options, Sparse};
use larder_registry::{CreateOnPush, Registry, Reserve, Settings, SystemClock};

use crate::config::{Configuration, local_path};
use crate::outcome::{Failure, Result};
use crate::serve::data_folder::{DataFolder, refuse_network_filesystem};

/// An open registry and what it stands on.
pub struct Opened {
    /// The registry.
    pub registry: Registry,
    /// Its catalog, for what only the program does: watching it fail, pruning.
    pub catalog: Catalog,
    /// The folder, with its lock.
    pub folder: DataFolder,
}

/// Where the catalog of a data folder is.
pub fn catalog_path(configuration: &Configuration, root: &Path) -> PathBuf {
    configuration.text("catalog.url").and_then(local_path).unwrap_or_else(|| root.join("catalog.db"))
}

/// Where the blobs of a data folder are.
pub fn blobs_path(configuration: &Configuration, root: &Path) -> PathBuf {
    configuration.text("blobs.url").and_then(local_path).unwrap_or_else(|| root.join("blobs"))
}

/// Opens what lies in a folder that this process holds.
pub async fn open(configuration: &Configuration, folder: DataFolder) -> Result<Opened> {
    let path = catalog_path(configuration, folder.root());
    if !configuration.switch("catalog.network_filesystem") {
        refuse_network_filesystem(path.parent().unwrap_or(folder.root()))?;
    }
    let blobs = blobs_path(configuration, folder.root());
    let options = Options { read_only: configuration.switch("read_only"), ..Options::default() };
    let store = tokio::task::spawn_blocking({
        let blobs = blobs.clone();
        move || FsStore::open(&blobs)
    });
    let (store, catalog) = tokio::join!(store, Catalog::open_sqlite(&path, &options));
    let store = store.map_err(|error| Failure::failed(error.to_string()))?;
    let store =
        store.map_err(|error| Failure::failed(chain(&error)).about(format_args!("the store {}", blobs.display())))?;
    let catalog = catalog
        .map_err(|error| Failure::failed(chain(&error)).about(format_args!("the catalog {}", path.display())))?;
    if let Some(copy) = catalog.migration_copy() {
        tracing::warn!(copy = %copy.display(), "the catalog was migrated; the copy made before and the older larder are the way back");
    }
    let registry =
        Registry::open(settings(configuration, folder.root()), Arc::new(store), catalog.clone(), Arc::new(SystemClock))
            .await;
    let registry = registry.map_err(|error| Failure::failed(chain(&error)))?;
    Ok(Opened { registry, catalog, folder })
}

/// The domain's settings.
fn settings(configuration: &Configuration, folder: &Path) -> Settings {
    let reserve = configuration.reserve("storage.reserve");
    Settings {
        lease_ttl: configuration.duration("lease.ttl"),
        policy_every: configuration.switch("policy.background").then(|| configuration.duration("policy.every")),
        policy_cap: configuration.number("policy.cap"),
        uploads_idle: configuration.duration("uploads.idle"),
        sparse: match configuration.text("push.sparse") {
            Some("accept") => Sparse::Accept,
            Some("refuse") => Sparse::Refuse,
            _ => Sparse::Warn,
        },
        reserve: Reserve {
            share: reserve.percent.map_or(f64::INFINITY, |percent| percent / 100.0),
            bytes: reserve.bytes.unwrap_or(u64::MAX),
        },
        upload_limit: Some(configuration.number("limits.upload_bytes")).filter(|limit| *limit > 0),
        read_only: configuration.switch("read_only"),
        scrub_period: configuration.duration("scrub.period"),
        scrub_rate: configuration.number("scrub.rate"),
        trash_window: configuration.duration("trash.window"),
        pull_events: configuration.number("events.pulls"),
        journals: Some(folder.join("imports")),
        create_on_push: match configuration.list("repositories.create_on_push") {
            [] => CreateOnPush::Never,
            patterns if patterns.iter().any(|pattern| pattern == "**") => CreateOnPush::Always,
            // The table of keys has read them.
            patterns => CreateOnPush::Within(patterns.iter().filter_map(|pattern| pattern.parse().ok()).collect()),
        },
        ..Settings::default()
    }
}

/// An error with its causes, for whoever owns the machine.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
