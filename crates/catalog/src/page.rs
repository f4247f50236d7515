//! Keyset pages (**Invariant 10**): a list asks for one row more than its limit, and goes on after the last row it gave.

use crate::engine::{Done, Tx, values};
use crate::model::{Page, RepositoryFilter};

/// At most `limit` of these rows, of which one more was asked for.
pub(crate) fn page<T>(mut rows: Vec<T>, limit: usize) -> Page<T> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    Page { items: rows, more }
}

/// A part of the repositories' order.
#[derive(Debug, PartialEq, Eq)]
enum Span<'f> {
    All,
    One(&'f str),
    /// Everything that begins with this; it ends with a slash.
    Under(&'f str),
}

/// One more than `limit` names of repositories after `after`, in order. Each part of the filter is one range of the index.
pub(crate) fn names(
    tx: &mut Tx<'_>,
    filter: &RepositoryFilter,
    after: Option<&str>,
    limit: usize,
) -> Done<Vec<String>> {
    let after = after.unwrap_or("");
    let mut names = Vec::new();
    for span in spans(filter) {
        let wanted = (limit + 1).saturating_sub(names.len());
        if wanted == 0 {
            break;
        }
        let found = match span {
            Span::All => {
                let sql = "SELECT name FROM repositories WHERE name > $1 ORDER BY name LIMIT $2";
                tx.rows(sql, values![after, wanted], |row| row.text(0))?
            }
            Span::One(name) if name <= after => continue,
            Span::One(name) => {
                tx.rows("SELECT name FROM repositories WHERE name = $1", values![name], |row| row.text(0))?
            }
            Span::Under(prefix) => {
                let end = end_of(prefix);
                if end.as_str() <= after {
                    continue;
                }
                let sql = "SELECT name FROM repositories WHERE name > $1 AND name < $2 ORDER BY name LIMIT $3";
                tx.rows(sql, values![prefix.max(after), end.as_str(), wanted], |row| row.text(0))?
            }
        };
        names.extend(found);
    }
    Ok(names)
}

/// The filter's parts in order, without overlap.
fn spans(filter: &RepositoryFilter) -> Vec<Span<'_>> {
    let RepositoryFilter::Prefixes(prefixes) = filter else { return vec![Span::All] };
    let mut sorted: Vec<&str> = prefixes.iter().map(String::as_str).filter(|prefix| !prefix.is_empty()).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut spans: Vec<Span<'_>> = Vec::with_capacity(sorted.len());
    let mut under: Option<&str> = None;
    for prefix in sorted {
        if under.is_some_and(|outer| prefix.starts_with(outer)) {
            continue;
        }
        if prefix.ends_with('/') {
            under = Some(prefix);
            spans.push(Span::Under(prefix));
        } else {
            spans.push(Span::One(prefix));
        }
    }
    spans
}

/// The first name after all that begin with this prefix: `0` follows the slash.
fn end_of(prefix: &str) -> String {
    format!("{}0", prefix.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_becomes_ranges_in_order_without_overlap() {
        let filter =
            RepositoryFilter::Prefixes(["b/", "a", "b/c/", "b/x", "a", "b", "a-b"].map(str::to_owned).to_vec());
        let expected = [Span::One("a"), Span::One("a-b"), Span::One("b"), Span::Under("b/")];
        assert_eq!(spans(&filter), expected);
        assert_eq!(spans(&RepositoryFilter::All), [Span::All]);
        assert_eq!(end_of("team/"), "team0");
    }
}
