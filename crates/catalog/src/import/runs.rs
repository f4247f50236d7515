//! Passes over a tree: one under way at most for each, and what the last one found.

use jiff::Timestamp;
use larder_oci::UploadId;

use crate::engine::{Done, Kind, Row, Tx, unreadable, values};
use crate::{Catalog, Result};

/// Trees that are remembered; more are not listed.
const LISTED: usize = 1_000;

/// A tree that was taken over, or is being.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportRow {
    /// The tree's absolute path.
    pub source: String,
    /// The session of a pass that has not come to its end.
    pub session: Option<UploadId>,
    /// When the last pass began.
    pub started: Timestamp,
    /// When the last pass that came to its end began: what was written before is known.
    pub complete_since: Option<Timestamp>,
    /// When it came to its end.
    pub finished: Option<Timestamp>,
    /// When the tree was removed.
    pub released: Option<Timestamp>,
    /// What was found, as JSON.
    pub report: Option<String>,
}

impl Catalog {
    /// Registers a pass over a tree. Its session stands for every object that it takes over until the pass ends (**Invariant 2**): orphan removal asks
    /// for it first. A pass before that did not end gives its session up; what that one took over and nobody noted is garbage.
    ///
    /// Answers since when writes to the tree are unknown: the begin of the last pass that came to its end.
    pub async fn begin_import(&self, source: &str, session: UploadId, at: Timestamp) -> Result<Option<Timestamp>> {
        let source = source.to_owned();
        let sql = "INSERT INTO imports (source, session, started_at) VALUES ($1, $2, $3)
                   ON CONFLICT (source) DO UPDATE SET session = excluded.session, started_at = excluded.started_at, released_at = NULL
                   RETURNING complete_since";
        let work = move |tx: &mut Tx<'_>| {
            let row = values![&source, &session.as_bytes()[..], at];
            Ok(tx.row(sql, row, |row| row.opt_time(0))?.flatten())
        };
        self.engine().write(Kind::Grow, work).await
    }

    /// The pass came to its end: what was written before it began is known from now on.
    pub async fn finish_import(&self, source: &str, report: &str, at: Timestamp) -> Result<()> {
        let (source, report) = (source.to_owned(), report.to_owned());
        let sql = "UPDATE imports SET session = NULL, complete_since = started_at, finished_at = $1, report = $2 WHERE source = $3";
        let work = move |tx: &mut Tx<'_>| tx.execute(sql, values![at, &report, &source]).map(drop);
        self.engine().write(Kind::Shrink, work).await
    }

    /// The tree is gone.
    pub async fn release_import(&self, source: &str, at: Timestamp) -> Result<()> {
        let source = source.to_owned();
        let sql = "UPDATE imports SET released_at = $1 WHERE source = $2";
        self.engine().write(Kind::Shrink, move |tx| tx.execute(sql, values![at, &source]).map(drop)).await
    }

    /// All trees, by path.
    pub async fn imports(&self) -> Result<Vec<ImportRow>> {
        let sql = "SELECT source, session, started_at, complete_since, finished_at, released_at, report
                   FROM imports ORDER BY source LIMIT $1";
        self.engine().read(Kind::Read, move |tx| tx.rows(sql, values![LISTED], read)).await
    }
}

/// Whether a pass under way has this session.
pub(crate) fn has_session(tx: &mut Tx<'_>, id: &UploadId) -> Done<bool> {
    tx.any("SELECT 1 FROM imports WHERE session = $1 AND session IS NOT NULL", values![&id.as_bytes()[..]])
}

fn read(row: &Row<'_>) -> Done<ImportRow> {
    let session = row.opt_bytes(1)?.map(|id| {
        let bytes = <[u8; 16]>::try_from(id.as_slice());
        bytes.map(UploadId::from_bytes).map_err(|_| unreadable("session of an import", format!("{id:02x?}")))
    });
    Ok(ImportRow {
        source: row.text(0)?,
        session: session.transpose()?,
        started: row.time(2)?,
        complete_since: row.opt_time(3)?,
        finished: row.opt_time(4)?,
        released: row.opt_time(5)?,
        report: row.opt_text(6)?,
    })
}
