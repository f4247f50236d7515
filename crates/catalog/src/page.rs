//! Keyset pages (**Invariant 10**): a list asks for one row more than its limit, and goes on after the last row it gave.

use crate::model::Page;

/// At most `limit` of these rows, of which one more was asked for.
pub(crate) fn page<T>(mut rows: Vec<T>, limit: usize) -> Page<T> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    Page { items: rows, more }
}
