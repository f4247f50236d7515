//! Names and digests to integer keys, and the locks that PostgreSQL needs on the way (SQLite has one writer and needs none).
//!
//! Every unit locks in the same order: repositories, then digests in the order of their bytes.

use std::collections::BTreeMap;

use larder_oci::{Digest, RepositoryName};

use crate::engine::{Done, Fault, Tx, Value, dialect, values};
use crate::keys::{self, DigestKey};
use crate::model::Stamp;
use crate::outbox;

/// How firmly a row is held until the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Not at all: for reads.
    Look,
    /// Against those who take away.
    Share,
    /// Against those and all who take turns: one after the other decides by what stands there.
    Turn,
    /// Against everybody: for those who take away.
    Own,
}

/// The repository's id.
pub(crate) fn repository(tx: &mut Tx<'_>, name: &RepositoryName, hold: Hold) -> Done<Option<i64>> {
    let sql = match hold {
        Hold::Look => "SELECT id FROM repositories WHERE name = $1",
        Hold::Share => dialect!(tx, "SELECT id FROM repositories WHERE name = $1", " FOR KEY SHARE"),
        Hold::Turn => dialect!(tx, "SELECT id FROM repositories WHERE name = $1", " FOR NO KEY UPDATE"),
        Hold::Own => dialect!(tx, "SELECT id FROM repositories WHERE name = $1", " FOR UPDATE"),
    };
    tx.row(sql, values![name], |row| row.int(0))
}

/// The repository's id; it is made if absent. Answers whether it was: then the unit ends with
/// [`repository_made`](crate::access::repository_made).
pub(crate) fn ensure_repository(tx: &mut Tx<'_>, name: &RepositoryName, stamp: &Stamp) -> Done<(i64, bool)> {
    if let Some(id) = repository(tx, name, Hold::Share)? {
        return Ok((id, false));
    }
    let sql = "INSERT INTO repositories (name, created_at, created_by) VALUES ($1, $2, $3)
               ON CONFLICT (name) DO NOTHING RETURNING id";
    if let Some(id) = tx.row(sql, values![name, stamp.at, &stamp.identity], |row| row.int(0))? {
        outbox::record(tx, outbox::REPOSITORY_CREATED, Some(name), &serde_json::json!({}), stamp)?;
        return Ok((id, true));
    }
    // Another process made it meanwhile.
    match repository(tx, name, Hold::Share)? {
        Some(id) => Ok((id, false)),
        None => Err(Fault::Conflict("the repository came and went")),
    }
}

/// The digest's id, if anything ever named it.
pub(crate) fn digest(tx: &mut Tx<'_>, digest: &Digest, hold: Hold) -> Done<Option<i64>> {
    let sql = match hold {
        Hold::Look => "SELECT id FROM digests WHERE digest = $1",
        Hold::Share | Hold::Turn => dialect!(tx, "SELECT id FROM digests WHERE digest = $1", " FOR KEY SHARE"),
        Hold::Own => dialect!(tx, "SELECT id FROM digests WHERE digest = $1", " FOR UPDATE"),
    };
    tx.row(sql, values![&keys::encode(digest)], |row| row.int(0))
}

/// The digest's id; its row is made if absent.
pub(crate) fn ensure_digest(tx: &mut Tx<'_>, wanted: &Digest, hold: Hold) -> Done<i64> {
    if let Some(id) = digest(tx, wanted, hold)? {
        return Ok(id);
    }
    let key = keys::encode(wanted);
    let sql = "INSERT INTO digests (digest) VALUES ($1) ON CONFLICT (digest) DO NOTHING RETURNING id";
    if let Some(id) = tx.row(sql, values![&key], |row| row.int(0))? {
        return Ok(id);
    }
    digest(tx, wanted, hold)?.ok_or(Fault::Conflict("the digest came and went"))
}

/// Locks the rows of these digests in the order of their bytes. Digests without a row have nothing that could change.
pub(crate) fn hold_digests<'d>(tx: &mut Tx<'_>, digests: impl IntoIterator<Item = &'d Digest>, hold: Hold) -> Done<()> {
    let Tx::Postgres(session) = tx else { return Ok(()) };
    let keys: Vec<DigestKey> = digests.into_iter().map(keys::encode).collect();
    let keys: Vec<&[u8]> = keys.iter().map(DigestKey::as_slice).collect();
    let sql = match hold {
        Hold::Look => return Ok(()),
        Hold::Share | Hold::Turn => "SELECT id FROM digests WHERE digest = ANY($1) ORDER BY digest FOR KEY SHARE",
        Hold::Own => "SELECT id FROM digests WHERE digest = ANY($1) ORDER BY digest FOR UPDATE",
    };
    session.query(sql, &[Value::from(keys.as_slice())])?;
    Ok(())
}

/// The ids of all these digests; rows are made where absent, in the order of the digests.
pub(crate) fn ensure_digests(tx: &mut Tx<'_>, known: &mut BTreeMap<Digest, Option<i64>>) -> Done<()> {
    if known.values().all(Option::is_some) {
        return Ok(());
    }
    match tx {
        Tx::Sqlite(_) => {
            for (digest, id) in known.iter_mut().filter(|(_, id)| id.is_none()) {
                let sql = "INSERT INTO digests (digest) VALUES ($1) RETURNING id";
                *id = tx.row(sql, values![&keys::encode(digest)], |row| row.int(0))?;
            }
        }
        Tx::Postgres(session) => {
            let keys: Vec<DigestKey> =
                known.iter().filter(|(_, id)| id.is_none()).map(|(digest, _)| keys::encode(digest)).collect();
            let slices: Vec<&[u8]> = keys.iter().map(DigestKey::as_slice).collect();
            let sql = "INSERT INTO digests (digest) SELECT d FROM unnest($1::bytea[]) AS d ORDER BY d ON CONFLICT (digest) DO NOTHING RETURNING id, digest";
            let mut rows = session.query(sql, &[Value::from(slices.as_slice())])?;
            if rows.len() < keys.len() {
                // Others made some of them meanwhile; theirs are held like those that were found.
                let sql = "SELECT id, digest FROM digests WHERE digest = ANY($1) ORDER BY digest FOR KEY SHARE";
                rows = session.query(sql, &[Value::from(slices.as_slice())])?;
            }
            for row in rows {
                let digest = keys::decode(row.try_get(1)?).ok_or(Fault::Conflict("a digest does not read back"))?;
                known.insert(digest, Some(row.try_get(0)?));
            }
            if known.values().any(Option::is_none) {
                return Err(Fault::Conflict("a digest came and went"));
            }
        }
    }
    Ok(())
}
