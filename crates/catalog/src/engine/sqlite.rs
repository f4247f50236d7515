//! SQLite: how its connections are opened, and which threads own them.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::ballast::{Ballast, available};
use super::checkpoint::Checkpoint;
use super::migrations::{self, Migration};
use super::queue::{Queue, Taken};
use super::unit::{Kind, Unit};
use super::writer::{Writer, read_error, write_error};
use super::{Done, Engine, Fault, Health, Shares, Tx};
use crate::model::Options;
use crate::{Error, Result};

/// Older ones can lose a commit when the log is begun anew.
const OLDEST: i32 = 3_051_003;
/// The mode of `PRAGMA auto_vacuum` in which free pages are given back when asked for.
const INCREMENTAL: i64 = 2;
/// Statements that a connection keeps compiled.
const STATEMENTS: usize = 256;

/// Opens the catalog at `path`, migrates it, and starts its threads.
pub(crate) fn open(path: &Path, options: &Options, known: &'static [Migration]) -> Result<Engine> {
    if options.read_only {
        return open_read_only(path, options, known);
    }
    create_private(path)?;
    let wal = PathBuf::from(format!("{}-wal", path.display()));
    let health = Arc::new(Health::new(Some(wal)));
    let mut ballast = (options.ballast > 0).then(|| Ballast::beside(path, options.ballast));
    let mut connection = connect_first(path, options, ballast.as_mut(), &health)?;
    let migration_copy = migrate(&mut connection, Some(path), known)?;
    let wal_pages = Arc::new(AtomicU64::new(0));
    let (checkpoint, wake) = sync_channel(1);
    let mover = connect(path, options)?;
    mover.busy_timeout(Duration::from_secs(1)).map_err(failed)?;
    watch_log(&mut connection, &wal_pages).map_err(failed)?;
    let (writes, shares) = (Arc::new(Queue::new()), Arc::<Shares>::default());
    let writer = Writer {
        connection,
        queue: Arc::clone(&writes),
        health: Arc::clone(&health),
        ballast,
        group: options.group,
        wal_pages: Arc::clone(&wal_pages),
        checkpoint: Some(checkpoint),
        gather: Duration::ZERO,
        shares: Arc::clone(&shares),
    };
    let mover = Checkpoint { connection: mover, health: Arc::clone(&health), wal_pages, wake };
    let (reads, mut threads) = start_readers(path, options)?;
    threads.push(start("catalog-writer", move || writer.run())?);
    threads.push(start("catalog-checkpoint", move || mover.run())?);
    Ok(Engine {
        writes,
        reads,
        threads: Mutex::new(threads),
        health,
        migration_copy,
        is_postgres: false,
        read_only: false,
        changes: Arc::default(),
        shares,
    })
}

/// A catalog that lives as long as its threads. One connection serves reads and writes.
pub(crate) fn open_memory(options: &Options, known: &'static [Migration]) -> Result<Engine> {
    let mut connection = Connection::open_in_memory().map_err(failed)?;
    configure(&connection, options).map_err(write_error)?;
    migrate(&mut connection, None, known)?;
    let health = Arc::new(Health::new(None));
    let (queue, shares) = (Arc::new(Queue::new()), Arc::<Shares>::default());
    let writer = Writer {
        connection,
        queue: Arc::clone(&queue),
        health: Arc::clone(&health),
        ballast: None,
        group: options.group,
        wal_pages: Arc::default(),
        checkpoint: None,
        gather: Duration::ZERO,
        shares: Arc::clone(&shares),
    };
    let threads = Mutex::new(vec![start("catalog-writer", move || writer.run())?]);
    let (writes, reads) = (Arc::clone(&queue), queue);
    Ok(Engine {
        writes,
        reads,
        threads,
        health,
        migration_copy: None,
        is_postgres: false,
        read_only: options.read_only,
        changes: Arc::default(),
        shares,
    })
}

fn open_read_only(path: &Path, options: &Options, known: &'static [Migration]) -> Result<Engine> {
    let connection = connect_to_read(path, options)?;
    migrations::require_current(&mut Tx::Sqlite(&connection), known).map_err(read_error)?;
    let (reads, threads) = start_readers(path, options)?;
    let wal = PathBuf::from(format!("{}-wal", path.display()));
    Ok(Engine {
        writes: Arc::clone(&reads),
        reads,
        threads: Mutex::new(threads),
        health: Arc::new(Health::new(Some(wal))),
        migration_copy: None,
        is_postgres: false,
        read_only: true,
        changes: Arc::default(),
        shares: Arc::default(),
    })
}

/// Nobody but the owner reads the catalog; SQLite gives its log the same mode.
fn create_private(path: &Path) -> Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::Database(format!("the catalog's file cannot be made: {error}"))),
    }
}

fn connect(path: &Path, options: &Options) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    configure(&connection, options).map_err(write_error)?;
    Ok(connection)
}

/// The connection that finds or makes the log. On a full disk not even the log's index has room (behaviour §6): the reserve is for that too.
fn connect_first(path: &Path, options: &Options, ballast: Option<&mut Ballast>, health: &Health) -> Result<Connection> {
    let open = || {
        let connection = connect(path, options)?;
        prepare_file(&connection).map_err(write_error)?;
        Ok(connection)
    };
    match (open(), ballast) {
        (Err(Error::Full), Some(ballast)) => {
            ballast.release();
            health.set_reserve_spent(true);
            open()
        }
        (outcome, _) => outcome,
    }
}

fn connect_to_read(path: &Path, options: &Options) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    keep_statements(&connection, options).map_err(read_error)?;
    connection
        .execute_batch("PRAGMA query_only = ON; PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY")
        .map_err(failed)?;
    Ok(connection)
}

fn configure(connection: &Connection, options: &Options) -> Done<()> {
    keep_statements(connection, options)?;
    vacuum_in_steps(connection)?;
    connection.execute_batch(
        "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF",
    )?;
    if rusqlite::version_number() < OLDEST {
        let text = format!("SQLite {} can lose a commit; 3.51.3 is the oldest that may be used", rusqlite::version());
        return Err(Fault::Error(Error::Database(text)));
    }
    expect(connection, "PRAGMA synchronous", 2)?;
    expect(connection, "PRAGMA foreign_keys", 1)
}

/// Has to stand before the first table and before the log. SQLite writes it into the file even where it stands already, so it is looked at first:
/// opening a catalog that is then refused changes nothing.
fn vacuum_in_steps(connection: &Connection) -> Done<()> {
    match connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))? {
        INCREMENTAL => Ok(()),
        _ => Ok(connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?),
    }
}

/// Plans hold whatever is bound: else this build of SQLite (STAT4) compiles each statement again for each value, at four times the cost of running it.
fn keep_statements(connection: &Connection, options: &Options) -> Done<()> {
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    if !connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)? {
        return Err(Fault::Error(Error::Database("SQLite does not keep its plans".to_owned())));
    }
    Ok(())
}

/// What durability hangs on is asked for, and then looked at.
fn prepare_file(connection: &Connection) -> Done<()> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Fault::Error(Error::Database(format!(
            "the catalog's file system does not allow WAL (it says {mode})"
        ))));
    }
    expect(connection, "PRAGMA auto_vacuum", INCREMENTAL)
}

fn expect(connection: &Connection, pragma: &str, wanted: i64) -> Done<()> {
    let found: i64 = connection.query_row(pragma, [], |row| row.get(0))?;
    if found == wanted {
        return Ok(());
    }
    Err(Fault::Error(Error::Database(format!("{pragma} says {found}, but must say {wanted}"))))
}

/// A hook takes the place of automatic checkpoints: it only counts.
fn watch_log(connection: &mut Connection, pages: &Arc<AtomicU64>) -> rusqlite::Result<()> {
    let pages = Arc::clone(pages);
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, count: i32| {
        pages.store(u64::from(count.unsigned_abs()), std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }))
}

/// Brings the schema up to date; an older catalog is copied first, and the copy's path answered.
fn migrate(connection: &mut Connection, path: Option<&Path>, known: &'static [Migration]) -> Result<Option<PathBuf>> {
    let steps = migrations::pending(&mut Tx::Sqlite(connection), known).map_err(write_error)?;
    if steps.is_empty() {
        return Ok(None);
    }
    let copy = match (path, known.last()) {
        (Some(path), Some(newest)) if steps.len() < known.len() => Some(copy_before(connection, path, newest.version)?),
        _ => None,
    };
    let step = || -> Done<()> {
        let transaction = rusqlite::Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
        migrations::apply(&mut Tx::Sqlite(&transaction), &steps)?;
        Ok(transaction.commit()?)
    };
    step().map_err(write_error)?;
    Ok(copy)
}

/// The way back from a migration: the catalog as it was, beside it. Appears under its name only when it is whole.
fn copy_before(connection: &Connection, path: &Path, version: i64) -> Result<PathBuf> {
    let (copy, part) = (path.with_extension(format!("pre-{version}.db")), path.with_extension("pre-migration.part"));
    let io = |error: std::io::Error| Error::Database(format!("the copy before the migration: {error}"));
    let needed = std::fs::metadata(path).map_err(io)?.len();
    if available(path.parent().unwrap_or(Path::new("."))).map_err(io)? < needed + needed / 4 {
        tracing::error!(needed, "no space for a copy of the catalog before its migration");
        return Err(Error::Full);
    }
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => create_private(&part)?,
    }
    let target = part.to_str().ok_or_else(|| Error::Database("the catalog's path is not UTF-8".to_owned()))?;
    connection.execute("VACUUM INTO $1", [target]).map_err(failed)?;
    std::fs::File::open(&part).and_then(|file| file.sync_all()).map_err(io)?;
    std::fs::rename(&part, &copy).map_err(io)?;
    tracing::warn!(copy = %copy.display(), "the catalog is migrated; this copy and the older program are the way back");
    Ok(copy)
}

fn start_readers(path: &Path, options: &Options) -> Result<(Arc<Queue>, Vec<JoinHandle<()>>)> {
    let count = std::thread::available_parallelism().map_or(4, |cores| cores.get() * 2).clamp(4, 16);
    let queue = Arc::new(Queue::new());
    let threads = (0..count).map(|_| {
        let (connection, queue) = (connect_to_read(path, options)?, Arc::clone(&queue));
        start("catalog-reader", move || serve_reads(&connection, &queue))
    });
    let threads = threads.collect::<Result<_>>()?;
    Ok((queue, threads))
}

fn serve_reads(connection: &Connection, queue: &Queue) {
    loop {
        match queue.take(1, Duration::from_secs(3600)) {
            Taken::Units(units) => {
                for mut unit in units.into_iter().filter(|unit| !unit.is_abandoned()) {
                    let verdict = read(connection, unit.as_mut()).map_err(read_error);
                    unit.answer(verdict);
                }
            }
            Taken::Idle => {}
            Taken::Closed => return,
        }
    }
}

fn read(connection: &Connection, unit: &mut dyn Unit) -> Done<()> {
    if unit.kind() != Kind::Snapshot {
        return unit.run(&mut Tx::Sqlite(connection));
    }
    connection.prepare_cached("BEGIN")?.execute([])?;
    let outcome = unit.run(&mut Tx::Sqlite(connection));
    // Nothing was changed; whatever it answered, the transaction ends with the call, or the log could never shrink.
    connection.prepare_cached("ROLLBACK")?.execute([])?;
    outcome
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(run).map_err(|error| Error::Database(format!("a thread of the catalog cannot be started: {error}")))
}

fn failed(error: rusqlite::Error) -> Error {
    write_error(Fault::Sqlite(error))
}
