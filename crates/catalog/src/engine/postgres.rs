//! PostgreSQL: clients that each belong to one thread, transactions that are run again when another process was in their way.
//!
//! Units run READ COMMITTED and lock before they look: first the repository's row, then the rows of `digests` in the order of their digests, shared
//! by what adds (an edge, a lease, a membership), exclusively by what takes away. Each statement sees what was committed before it began, so what is
//! read after the locks holds until the commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use postgres::error::SqlState;
use postgres::types::ToSql;
use postgres::{Client, Config, NoTls, Row, Statement};

use super::migrations::{self, Migration};
use super::queue::{Queue, Taken};
use super::unit::{Kind, Unit};
use super::writer::read_error;
use super::{Done, Engine, Fault, Health, Tx, Value};
use crate::model::Options;
use crate::{Error, Result};

/// How often a unit is run before the waiter hears of it.
const TRIES: u32 = 40;
/// The lock under which migrations run.
const MIGRATING: &str = "SELECT pg_advisory_xact_lock(hashtextextended('larder catalog ' || current_schema(), 0))";

/// One connection with its prepared statements.
pub(crate) struct Session {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

/// Migrates the database at `url` and starts the threads.
pub(crate) fn open(url: &str, options: &Options, known: &'static [Migration]) -> Result<Engine> {
    let mut config: Config =
        url.parse().map_err(|_| Error::Database("this is not the address of a PostgreSQL database".to_owned()))?;
    config.application_name("larder");
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(10));
    }
    let mut session = Session::connect(&config, options)?;
    prepare(&mut session, options, known).map_err(read_error)?;
    let health = Arc::new(Health::new(None));
    let queue = Arc::new(Queue::new());
    let threads = (0..options.connections.max(1)).map(|n| {
        let worker = Worker {
            session: None,
            config: config.clone(),
            options: options.clone(),
            queue: Arc::clone(&queue),
            health: Arc::clone(&health),
        };
        let thread = std::thread::Builder::new().name(format!("catalog-{n}"));
        thread.spawn(|| worker.run()).map_err(|error| Error::Database(format!("a thread cannot be started: {error}")))
    });
    let threads = Mutex::new(threads.collect::<Result<Vec<JoinHandle<()>>>>()?);
    let (writes, reads) = (Arc::clone(&queue), queue);
    Ok(Engine {
        writes,
        reads,
        threads,
        health,
        migration_copy: None,
        is_postgres: true,
        read_only: options.read_only,
        changes: Arc::default(),
        shares: Arc::default(),
    })
}

fn prepare(session: &mut Session, options: &Options, known: &'static [Migration]) -> Done<()> {
    if options.read_only {
        return migrations::require_current(&mut Tx::Postgres(session), known);
    }
    session.batch("BEGIN")?;
    session.batch(MIGRATING)?;
    let mut tx = Tx::Postgres(session);
    let steps = migrations::pending(&mut tx, known)?;
    if !steps.is_empty() {
        migrations::apply(&mut tx, &steps)?;
    }
    session.batch("COMMIT")
}

impl Session {
    fn connect(config: &Config, options: &Options) -> Result<Self> {
        let mut client = config.connect(NoTls).map_err(|error| self::error(&error))?;
        let wait = options.busy_timeout.as_millis();
        client
            .batch_execute(&format!("SET lock_timeout = {wait}; SET client_min_messages = warning"))
            .map_err(|error| self::error(&error))?;
        Ok(Self { client, statements: HashMap::new() })
    }

    pub fn batch(&mut self, sql: &str) -> Done<()> {
        Ok(self.client.batch_execute(sql)?)
    }

    pub fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Done<u64> {
        let statement = self.statement(sql)?;
        Ok(self.client.execute(&statement, &parameters(values))?)
    }

    pub fn query(&mut self, sql: &'static str, values: &[Value<'_>]) -> Done<Vec<Row>> {
        let statement = self.statement(sql)?;
        Ok(self.client.query(&statement, &parameters(values))?)
    }

    fn statement(&mut self, sql: &'static str) -> Done<Statement> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql)?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

fn parameters<'v>(values: &'v [Value<'v>]) -> Vec<&'v (dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// A thread and its connection, which is made when there is work.
struct Worker {
    session: Option<Session>,
    config: Config,
    options: Options,
    queue: Arc<Queue>,
    health: Arc<Health>,
}

impl Worker {
    fn run(mut self) {
        loop {
            match self.queue.take(1, Duration::from_secs(3600)) {
                Taken::Units(units) => {
                    for unit in units.into_iter().filter(|unit| !unit.is_abandoned()) {
                        self.serve(unit);
                    }
                }
                Taken::Idle => {}
                Taken::Closed => return,
            }
        }
    }

    fn serve(&mut self, mut unit: Box<dyn Unit>) {
        let verdict = self.attempts(unit.as_mut());
        if verdict.is_err() {
            self.health.failed(1);
        }
        unit.answer(verdict);
    }

    fn attempts(&mut self, unit: &mut dyn Unit) -> Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            let fault = match self.attempt(unit) {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            if tries >= TRIES || !may_be_repeated(&fault) {
                return Err(read_error(fault));
            }
            self.health.retried();
            std::thread::sleep(pause(tries));
        }
    }

    fn attempt(&mut self, unit: &mut dyn Unit) -> Done<()> {
        let health = Arc::clone(&self.health);
        let session = self.session()?;
        let begin = match unit.kind() {
            Kind::Read => return unit.run(&mut Tx::Postgres(session)),
            Kind::Snapshot => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Kind::Grow | Kind::Shrink => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        session.batch(begin)?;
        if let Err(fault) = unit.run(&mut Tx::Postgres(session)) {
            // A connection that is lost has rolled back by itself.
            if session.client.batch_execute("ROLLBACK").is_err() {
                self.session = None;
            }
            return Err(fault);
        }
        let begun = Instant::now();
        session.batch("COMMIT")?;
        if unit.kind() != Kind::Snapshot {
            health.committed(1, begun.elapsed());
        }
        Ok(())
    }

    /// The connection, made anew when the last one is gone.
    fn session(&mut self) -> Done<&mut Session> {
        if self.session.as_ref().is_some_and(|session| session.client.is_closed()) {
            self.session = None;
        }
        match &mut self.session {
            Some(session) => Ok(session),
            empty => Ok(empty.insert(Session::connect(&self.config, &self.options)?)),
        }
    }
}

/// Spread, so that two that met do not meet again.
fn pause(tries: u32) -> Duration {
    let spread = uuid::Uuid::new_v4().as_u128() % u128::from(tries.min(10) * 2_000);
    Duration::from_micros(u64::try_from(spread).unwrap_or(1_000))
}

fn may_be_repeated(fault: &Fault) -> bool {
    match fault {
        Fault::Conflict(_) => true,
        Fault::Postgres(error) => {
            matches!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED))
        }
        Fault::Error(_) | Fault::Sqlite(_) => false,
    }
}

/// PostgreSQL's answer in this crate's words.
pub(super) fn error(error: &postgres::Error) -> Error {
    match error.as_db_error() {
        Some(answer) if *answer.code() == SqlState::DISK_FULL => Error::Full,
        Some(answer) if *answer.code() == SqlState::READ_ONLY_SQL_TRANSACTION => Error::ReadOnly,
        Some(answer) => Error::Database(format!("{} ({})", answer.message(), answer.code().code())),
        None => Error::Database(error.to_string()),
    }
}
