//! What can go wrong with rows.

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a unit of work failed. In every case nothing of it was applied.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The disk of the catalog is full (SQLITE_FULL): rolled back; reads, deletes and a later retry work.
    #[error("the catalog's disk is full")]
    Full,
    /// A write hit SQLITE_IOERR or SQLITE_CORRUPT: the process must end and recover at its next start (behaviour §6).
    #[error("the catalog cannot be written: {0}")]
    Fatal(String),
    /// The catalog was written by a newer Larder.
    #[error(
        "the catalog has schema version {found}, this program knows up to {known}: run the newer larder, or restore the copy made before the migration"
    )]
    Newer {
        /// What the catalog says.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A migration's text is not the one that was applied.
    #[error("migration {version} ({name}) was applied with another text")]
    MigrationChanged {
        /// Its number.
        version: i64,
        /// Its name.
        name: String,
    },
    /// The catalog was opened read-only.
    #[error("the catalog is open for reading only")]
    ReadOnly,
    /// The writer is gone (shutting down).
    #[error("the catalog is closed")]
    Closed,
    /// A stored row does not read back as what it must be.
    #[error("the catalog holds an unreadable {what}: {value}")]
    Unreadable {
        /// Which thing.
        what: &'static str,
        /// What stands there.
        value: String,
    },
    /// Any other answer of the database.
    #[error("the catalog's database: {0}")]
    Database(String),
}
