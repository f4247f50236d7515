//! One thin layer over both databases, so that a unit of work writes its SQL once.
//!
//! Placeholders are `$1`, `$2`, … and first occur in this order (SQLite numbers named parameters by first occurrence). Values are integers, texts and
//! bytes; columns read back as the same. Where the dialects part, callers match on [`Tx`] or use [`dialect!`].

use std::error::Error as StdError;

use bytes::BytesMut;
use jiff::Timestamp;
use larder_oci::{Digest, RepositoryName, RepositoryPattern, Tag};
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use rusqlite::types::ToSqlOutput;

use super::Fault;
use super::postgres::Session;
use super::shares;
use crate::Error;
use crate::keys;

/// An open transaction, or a connection for reading.
pub(crate) enum Tx<'t> {
    /// Inside a savepoint of the writer's group, or a read transaction.
    Sqlite(&'t rusqlite::Connection),
    /// Inside `BEGIN`, or plain for single reads.
    Postgres(&'t mut Session),
}

/// The same text for both databases, with an addition for PostgreSQL.
macro_rules! dialect {
    ($tx:expr, $text:expr, $postgres:expr) => {
        match $tx {
            $crate::engine::Tx::Sqlite(_) => $text,
            $crate::engine::Tx::Postgres(_) => concat!($text, $postgres),
        }
    };
}
pub(crate) use dialect;

/// Values for the placeholders of a statement.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::engine::Value::from($value)),*] };
}
pub(crate) use values;

impl Tx<'_> {
    /// Runs a statement; answers how many rows it changed.
    pub fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, Fault> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = prepare(connection, sql)?;
                Ok(statement.execute(rusqlite::params_from_iter(values))? as u64)
            }
            Self::Postgres(session) => session.execute(sql, values),
        }
    }

    /// The first row, if there is one.
    pub fn row<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = prepare(connection, sql)?;
                let mut rows = statement.query(rusqlite::params_from_iter(values))?;
                let first = rows.next()?.map(|row| read(&Row::Sqlite(row))).transpose()?;
                // A statement with RETURNING has to come to its end.
                if first.is_some() {
                    while rows.next()?.is_some() {}
                }
                Ok(first)
            }
            Self::Postgres(session) => {
                session.query(sql, values)?.first().map(|row| read(&Row::Postgres(row))).transpose()
            }
        }
    }

    /// All rows. Statements that could answer many carry a LIMIT (**Invariant 9**).
    pub fn rows<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = prepare(connection, sql)?;
                let mut rows = statement.query(rusqlite::params_from_iter(values))?;
                let mut all = Vec::new();
                while let Some(row) = rows.next()? {
                    all.push(read(&Row::Sqlite(row))?);
                }
                #[cfg(test)]
                super::plans::count(all.len());
                Ok(all)
            }
            Self::Postgres(session) => {
                let rows = session.query(sql, values)?;
                #[cfg(test)]
                super::plans::count(rows.len());
                rows.iter().map(|row| read(&Row::Postgres(row))).collect()
            }
        }
    }

    /// Whether there is a row.
    pub fn any(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<bool, Fault> {
        Ok(self.row(sql, values, |_| Ok(()))?.is_some())
    }
}

fn prepare<'c>(
    connection: &'c rusqlite::Connection,
    sql: &'static str,
) -> Result<rusqlite::CachedStatement<'c>, Fault> {
    let statement = connection.prepare_cached(sql)?;
    shares::note(sql);
    #[cfg(test)]
    super::plans::record(sql);
    debug_assert!(
        (1..=statement.parameter_count()).all(|n| statement.parameter_name(n) == Some(format!("${n}").as_str())),
        "placeholders of `{sql}` do not first occur in order"
    );
    Ok(statement)
}

/// A value for a placeholder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'v> {
    /// NULL of whichever type.
    Null,
    /// BIGINT.
    Int(i64),
    /// TEXT.
    Text(&'v str),
    /// BLOB, BYTEA.
    Bytes(&'v [u8]),
    /// BIGINT[], on PostgreSQL only.
    Ints(&'v [i64]),
    /// BYTEA[], on PostgreSQL only.
    ManyBytes(&'v [&'v [u8]]),
    /// TEXT[], on PostgreSQL only.
    Texts(&'v [&'v str]),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

/// Sizes are below 2^63 by the grammar of descriptors; a larger number is stored as the largest.
impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Int(value.as_millisecond())
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(value: &'v str) -> Self {
        Self::Text(value)
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(value: &'v String) -> Self {
        Self::Text(value)
    }
}

impl<'v> From<&'v RepositoryName> for Value<'v> {
    fn from(value: &'v RepositoryName) -> Self {
        Self::Text(value.as_str())
    }
}

impl<'v> From<&'v Tag> for Value<'v> {
    fn from(value: &'v Tag) -> Self {
        Self::Text(value.as_str())
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(value: &'v [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'v> From<&'v keys::DigestKey> for Value<'v> {
    fn from(value: &'v keys::DigestKey) -> Self {
        Self::Bytes(value.as_slice())
    }
}

impl<'v> From<&'v [i64]> for Value<'v> {
    fn from(value: &'v [i64]) -> Self {
        Self::Ints(value)
    }
}

impl<'v> From<&'v [&'v [u8]]> for Value<'v> {
    fn from(value: &'v [&'v [u8]]) -> Self {
        Self::ManyBytes(value)
    }
}

impl<'v> From<&'v [&'v str]> for Value<'v> {
    fn from(value: &'v [&'v str]) -> Self {
        Self::Texts(value)
    }
}

impl<'v> From<&'v RepositoryPattern> for Value<'v> {
    fn from(value: &'v RepositoryPattern) -> Self {
        Self::Text(value.as_str())
    }
}

impl<'v, T: Into<Value<'v>>> From<Option<T>> for Value<'v> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        use rusqlite::types::ValueRef;
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Bytes(value) => ValueRef::Blob(value),
            Self::Ints(_) | Self::ManyBytes(_) | Self::Texts(_) => {
                return Err(rusqlite::Error::ToSqlConversionFailure("SQLite has no arrays".into()));
            }
        }))
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match (self, ty) {
            (Self::Null, _) => Ok(IsNull::Yes),
            (Self::Int(value), &Type::INT8) => value.to_sql(ty, out),
            (Self::Text(value), &Type::TEXT) => value.to_sql(ty, out),
            (Self::Bytes(value), &Type::BYTEA) => value.to_sql(ty, out),
            (Self::Ints(value), &Type::INT8_ARRAY) => value.to_sql(ty, out),
            (Self::ManyBytes(value), &Type::BYTEA_ARRAY) => value.to_sql(ty, out),
            (Self::Texts(value), &Type::TEXT_ARRAY) => value.to_sql(ty, out),
            (value, ty) => Err(format!("{value:?} is not a {ty}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A row that a statement answered.
pub(crate) enum Row<'r> {
    /// SQLite's.
    Sqlite(&'r rusqlite::Row<'r>),
    /// PostgreSQL's.
    Postgres(&'r postgres::Row),
}

impl Row<'_> {
    pub fn int(&self, column: usize) -> Result<i64, Fault> {
        self.opt_int(column)?.ok_or_else(|| unreadable("number", "NULL"))
    }

    pub fn opt_int(&self, column: usize) -> Result<Option<i64>, Fault> {
        Ok(match self {
            Self::Sqlite(row) => row.get(column)?,
            Self::Postgres(row) => match *row.columns()[column].type_() {
                Type::INT4 => row.try_get::<_, Option<i32>>(column)?.map(i64::from),
                _ => row.try_get(column)?,
            },
        })
    }

    pub fn size(&self, column: usize) -> Result<u64, Fault> {
        let value = self.int(column)?;
        u64::try_from(value).map_err(|_| unreadable("size", value))
    }

    pub fn flag(&self, column: usize) -> Result<bool, Fault> {
        Ok(self.int(column)? != 0)
    }

    pub fn text(&self, column: usize) -> Result<String, Fault> {
        Ok(match self {
            Self::Sqlite(row) => row.get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub fn opt_text(&self, column: usize) -> Result<Option<String>, Fault> {
        Ok(match self {
            Self::Sqlite(row) => row.get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub fn bytes(&self, column: usize) -> Result<Vec<u8>, Fault> {
        Ok(match self {
            Self::Sqlite(row) => row.get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub fn opt_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, Fault> {
        Ok(match self {
            Self::Sqlite(row) => row.get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub fn time(&self, column: usize) -> Result<Timestamp, Fault> {
        let value = self.int(column)?;
        Timestamp::from_millisecond(value).map_err(|_| unreadable("time", value))
    }

    pub fn opt_time(&self, column: usize) -> Result<Option<Timestamp>, Fault> {
        match self.opt_int(column)? {
            None => Ok(None),
            Some(_) => self.time(column).map(Some),
        }
    }

    pub fn digest(&self, column: usize) -> Result<Digest, Fault> {
        self.opt_digest(column)?.ok_or_else(|| unreadable("digest", "NULL"))
    }

    pub fn opt_digest(&self, column: usize) -> Result<Option<Digest>, Fault> {
        let decode = |bytes: &[u8]| keys::decode(bytes).ok_or_else(|| unreadable("digest", format!("{bytes:02x?}")));
        match self {
            Self::Sqlite(row) => match row.get_ref(column)?.as_blob_or_null() {
                Ok(bytes) => bytes.map(decode).transpose(),
                Err(_) => Err(unreadable("digest", "no bytes")),
            },
            Self::Postgres(row) => row.try_get::<_, Option<&[u8]>>(column)?.map(decode).transpose(),
        }
    }

    pub fn repository(&self, column: usize) -> Result<RepositoryName, Fault> {
        let text = self.text(column)?;
        text.parse().map_err(|_| unreadable("repository name", text))
    }

    /// A value that reads from its text.
    pub fn parsed<T: std::str::FromStr>(&self, column: usize, what: &'static str) -> Result<T, Fault> {
        let text = self.text(column)?;
        text.parse().map_err(|_| unreadable(what, text))
    }

    /// A value that reads from JSON.
    pub fn json<T: serde::de::DeserializeOwned>(&self, column: usize, what: &'static str) -> Result<T, Fault> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|_| unreadable(what, text))
    }

    pub fn tag(&self, column: usize) -> Result<Tag, Fault> {
        let text = self.text(column)?;
        text.parse().map_err(|_| unreadable("tag", text))
    }
}

/// A stored value that does not read back.
pub(crate) fn unreadable(what: &'static str, value: impl ToString) -> Fault {
    Fault::Error(Error::Unreadable { what, value: value.to_string() })
}
