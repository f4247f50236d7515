//! The catalog as a value: how it is opened, closed, and how it is.

use std::path::Path;
use std::sync::Arc;

use crate::engine::{Engine, Kind, Tx, postgres, sqlite, values};
use crate::engine::{MIGRATIONS_POSTGRES, MIGRATIONS_SQLITE};
use crate::model::{CatalogIdentity, Options};
use crate::quotas;
use crate::recent::Recent;
use crate::{Error, Result, Statistics};

/// Everything that changes, in one database: SQLite or PostgreSQL. Cheap to clone.
///
/// Each method is one unit of work and one transaction (**Invariant 3**). Dropping a method's future leaves its unit whole or not begun.
#[derive(Clone, Debug)]
pub struct Catalog {
    engine: Arc<Engine>,
    quotas: Arc<quotas::Known>,
    recent: Arc<Recent>,
}

impl Catalog {
    /// Opens the SQLite catalog at `path`, makes it if absent, and brings its schema up to date after a copy beside it
    /// ([`migration_copy`](Self::migration_copy)).
    ///
    /// # Errors
    ///
    /// [`Error::Newer`] and [`Error::MigrationChanged`] for the catalog of another program; [`Error::Full`] when there is no space for the copy.
    pub async fn open_sqlite(path: &Path, options: &Options) -> Result<Self> {
        let (path, options) = (path.to_owned(), options.clone());
        let read_only = options.read_only;
        Self::open(move || sqlite::open(&path, &options, MIGRATIONS_SQLITE), read_only).await
    }

    /// A catalog in memory, gone with its last clone. It is SQLite too, and passes the same suite.
    pub async fn open_memory() -> Result<Self> {
        Self::open(|| sqlite::open_memory(&Options::default(), MIGRATIONS_SQLITE), false).await
    }

    /// Opens the catalog in the PostgreSQL database at `url` (`postgres://…`, in the connection's first schema), and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// As for [`open_sqlite`](Self::open_sqlite); no message names the address, which may hold a password (**Invariant 13**).
    pub async fn open_postgres(url: &str, options: &Options) -> Result<Self> {
        let (url, options) = (url.to_owned(), options.clone());
        let read_only = options.read_only;
        Self::open(move || postgres::open(&url, &options, MIGRATIONS_POSTGRES), read_only).await
    }

    async fn open(open: impl FnOnce() -> Result<Engine> + Send + 'static, read_only: bool) -> Result<Self> {
        let engine = tokio::task::spawn_blocking(open).await.map_err(|error| Error::Database(error.to_string()))??;
        let catalog = Self { engine: Arc::new(engine), quotas: Arc::default(), recent: Arc::default() };
        if !read_only {
            catalog.renew_tag_keys().await?;
        }
        Ok(catalog)
    }

    /// Finishes what was begun, moves the log into the database and ends the threads. Every later call answers [`Error::Closed`].
    pub async fn close(&self) {
        self.engine.close().await;
    }

    /// Resolves, with the reason, once the catalog cannot be written any more: the process must end (behaviour §6).
    pub async fn fatal(&self) -> String {
        self.engine.health.until_fatal().await
    }

    /// Figures about the catalog's work.
    pub fn statistics(&self) -> Statistics {
        self.engine.health.statistics()
    }

    /// The copy that was made before this opening migrated the catalog, if it did.
    pub fn migration_copy(&self) -> Option<&Path> {
        self.engine.migration_copy.as_deref()
    }

    /// The id that this catalog shares with its store, and how often it was counted up (**Invariant 14**).
    pub async fn identity(&self) -> Result<CatalogIdentity> {
        let work = |tx: &mut Tx<'_>| {
            let store_id = meta(tx, "store_id")?;
            let generation = meta(tx, "generation")?;
            let number = generation.parse().map_err(|_| Error::Unreadable { what: "generation", value: generation })?;
            Ok(CatalogIdentity { store_id, generation: number })
        };
        self.engine.read(Kind::Snapshot, work).await
    }

    /// Counts the generation up, beyond `at_least` too; answers the new one.
    pub async fn raise_generation(&self, at_least: u64) -> Result<u64> {
        let sql = "UPDATE meta SET value = CAST(CASE WHEN CAST(value AS BIGINT) > $1 THEN CAST(value AS BIGINT) ELSE $1 END + 1 AS TEXT)
                   WHERE key = 'generation' RETURNING CAST(value AS BIGINT)";
        let work = move |tx: &mut Tx<'_>| {
            let raised = tx.row(sql, values![at_least], |row| row.size(0))?;
            Ok(raised.ok_or(Error::Unreadable { what: "generation", value: "nothing".to_owned() })?)
        };
        self.engine.write(Kind::Shrink, work).await
    }

    /// A short text of the domain's own, kept under this name.
    pub async fn note(&self, name: &'static str) -> Result<Option<String>> {
        let sql = "SELECT value FROM meta WHERE key = $1";
        let key = note_key(name);
        self.engine.read(Kind::Read, move |tx| tx.row(sql, values![&key], |row| row.text(0))).await
    }

    /// Keeps such a text in place of the one before, or none. Done on a full disk too.
    pub async fn keep_note(&self, name: &'static str, text: Option<&str>) -> Result<()> {
        let (key, text) = (note_key(name), text.map(str::to_owned));
        let work = move |tx: &mut Tx<'_>| match &text {
            Some(text) => {
                let sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
                tx.execute(sql, values![&key, text]).map(drop)
            }
            None => tx.execute("DELETE FROM meta WHERE key = $1", values![&key]).map(drop),
        };
        self.engine.write(Kind::Shrink, work).await
    }

    /// Proves with a real commit that the catalog takes writes.
    pub async fn check_writable(&self) -> Result<()> {
        let sql = "INSERT INTO meta (key, value) VALUES ('heartbeat', '1')
                   ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT)";
        self.engine.write(Kind::Grow, move |tx| tx.execute(sql, values![]).map(drop)).await
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    pub(crate) fn known_quotas(&self) -> &quotas::Known {
        &self.quotas
    }

    #[cfg(test)]
    pub(crate) fn over(engine: Engine) -> Self {
        Self { engine: Arc::new(engine), quotas: Arc::default(), recent: Arc::default() }
    }
}

/// Apart from the catalog's own keys.
fn note_key(name: &str) -> String {
    format!("note.{name}")
}

fn meta(tx: &mut Tx<'_>, key: &str) -> crate::engine::Done<String> {
    let value = tx.row("SELECT value FROM meta WHERE key = $1", values![key], |row| row.text(0))?;
    Ok(value.ok_or(Error::Unreadable { what: "identity", value: "nothing".to_owned() })?)
}
