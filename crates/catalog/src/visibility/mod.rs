//! Which repositories somebody sees, in the order of their names, for what the page costs (**Invariant 10**).
//!
//! A filter becomes streams of names, each in order and each from an index: the ranges that names and subtrees are; the public repositories; and for
//! each other pattern its rows of `visible`. The streams are merged a step at a time. Names and subtrees that are denied are cut out of every stream,
//! so that a walk never passes through them; what else is denied is dropped on the way.

#[cfg(test)]
mod cost;
mod range;

use std::collections::BTreeSet;

use larder_oci::{RepositoryName, RepositoryPattern};

use self::range::{Range, cut, merged};
use crate::access::find_pattern;
use crate::engine::{Done, Tx, unreadable, values};
use crate::model::RepositoryFilter;

/// Rows that a step reads of a stream whose names are looked at before they are shown.
const STEP: usize = 500;
/// Ranges that PostgreSQL is asked for at once: at first few, for each may fill the page; and more while they turn out to hold little.
const RANGES: (usize, usize) = (16, 1_024);

/// Two bounds of names, the first of which belongs to them, between which everything lies that a pattern matches.
pub(crate) fn span(pattern: &RepositoryPattern) -> (String, String) {
    let range = Range::exactly(pattern).unwrap_or_else(|| Range::beginning(pattern.literal_prefix()));
    (range.start, range.end)
}

/// One more than `limit` names of repositories after `after`, in order.
pub(crate) fn names(
    tx: &mut Tx<'_>,
    filter: &RepositoryFilter,
    after: Option<&str>,
    limit: usize,
) -> Done<Vec<String>> {
    let wanted = limit.saturating_add(1);
    let streams = streams(tx, filter)?;
    // PostgreSQL's texts know no NUL; nor do names, and whatever follows one is in their order just after what precedes it.
    let after = after.map(|after| after.split('\0').next().unwrap_or_default());
    let mut from = after.map_or_else(String::new, |after| format!("{after}!"));
    let mut shown: Vec<String> = Vec::new();
    while shown.len() < wanted {
        let (mut found, mut horizon) = (BTreeSet::new(), None::<String>);
        for stream in &streams {
            let batch = stream.after(tx, &from, wanted - shown.len())?;
            found.extend(batch.names);
            horizon = match (horizon, batch.until) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        // Behind the horizon a stream may have names that it has not told yet.
        let told = found.into_iter().filter(|name| horizon.as_ref().is_none_or(|horizon| name <= horizon));
        shown.extend(told.take(wanted - shown.len()));
        match horizon {
            Some(horizon) => from = format!("{horizon}!"),
            None => break,
        }
    }
    Ok(shown)
}

/// Names in order: those of a source within some ranges.
#[derive(Debug)]
struct Stream<'f> {
    source: Source,
    /// In order and apart from each other.
    ranges: Vec<Range>,
    /// What names have to match, where the source has others too.
    matching: Option<&'f RepositoryPattern>,
    /// What they must not match.
    denied: Vec<&'f RepositoryPattern>,
}

/// Where names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// All repositories.
    All,
    /// The public ones.
    Public,
    /// Those that have a row for this pattern.
    Rows(i64),
}

/// Names that a stream told.
#[derive(Debug, Default)]
struct Batch {
    names: Vec<String>,
    /// Up to where it told all of them; `None`: to its end.
    until: Option<String>,
}

fn streams<'f>(tx: &mut Tx<'_>, filter: &'f RepositoryFilter) -> Done<Vec<Stream<'f>>> {
    let all = |ranges| Stream { source: Source::All, ranges, matching: None, denied: Vec::new() };
    let RepositoryFilter::Visible { allow, deny, public } = filter else {
        return Ok(vec![all(vec![Range::everything()])]);
    };
    let holes = merged(deny.iter().filter_map(Range::exactly));
    let denied: Vec<_> = deny.iter().filter(|pattern| Range::exactly(pattern).is_none()).collect();
    let ranges = merged(allow.iter().filter_map(Range::exactly));
    let is_everything = ranges.first() == Some(&Range::everything());
    let mut streams = vec![all(cut(&ranges, &holes))];
    if *public && !is_everything {
        streams.push(Stream { source: Source::Public, ..all(cut(&[Range::everything()], &holes)) });
    }
    let others: BTreeSet<_> = allow.iter().filter(|pattern| Range::exactly(pattern).is_none()).collect();
    for pattern in others.into_iter().filter(|_| !is_everything) {
        let ranges = cut(&[Range::beginning(pattern.stem())], &holes);
        streams.push(match find_pattern(tx, pattern)? {
            Some(id) => Stream { source: Source::Rows(id), ..all(ranges) },
            // Nobody's grant: its names are looked for.
            None => Stream { matching: Some(pattern), ..all(ranges) },
        });
    }
    for stream in &mut streams {
        stream.denied.clone_from(&denied);
    }
    Ok(streams)
}

impl Stream<'_> {
    fn after(&self, tx: &mut Tx<'_>, from: &str, wanted: usize) -> Done<Batch> {
        let first = self.ranges.partition_point(|range| range.end.as_str() <= from);
        let ranges: Vec<(&str, &str)> =
            self.ranges[first..].iter().map(|range| (range.start.as_str().max(from), range.end.as_str())).collect();
        let is_exact = self.matching.is_none() && self.denied.is_empty();
        let rows = if is_exact { wanted } else { wanted.max(STEP) };
        let mut names = self.source.names(tx, &ranges, rows)?;
        let until = names.get(rows.saturating_sub(1)).cloned();
        if !is_exact {
            let mut kept = Vec::with_capacity(names.len());
            for name in names {
                let parsed = name.parse().map_err(|_| unreadable("repository name", &name))?;
                if self.tells(&parsed) {
                    kept.push(name);
                }
            }
            names = kept;
        }
        Ok(Batch { names, until })
    }

    fn tells(&self, name: &RepositoryName) -> bool {
        self.matching.is_none_or(|pattern| pattern.matches(name))
            && !self.denied.iter().any(|pattern| pattern.matches(name))
    }
}

impl Source {
    /// The first `limit` names within the ranges, which are in order.
    fn names(self, tx: &mut Tx<'_>, ranges: &[(&str, &str)], limit: usize) -> Done<Vec<String>> {
        let (mut names, mut rest) = (Vec::new(), ranges);
        let mut step = match tx {
            Tx::Sqlite(_) => 1,
            Tx::Postgres(_) => RANGES.0,
        };
        while names.len() < limit && !rest.is_empty() {
            let (asked, later) = rest.split_at(step.min(rest.len()));
            let left = limit - names.len();
            match (&mut *tx, asked) {
                (Tx::Sqlite(_), &[range]) => names.extend(self.within(tx, range, left)?),
                _ => {
                    names.extend(self.within_each(tx, asked, left)?);
                    step = (step * 4).min(RANGES.1);
                }
            }
            rest = later;
        }
        Ok(names)
    }

    fn within(self, tx: &mut Tx<'_>, (start, end): (&str, &str), limit: usize) -> Done<Vec<String>> {
        match self {
            Self::All => {
                let sql = "SELECT name FROM repositories WHERE name >= $1 AND name < $2 ORDER BY name LIMIT $3";
                tx.rows(sql, values![start, end, limit], |row| row.text(0))
            }
            Self::Public => {
                let sql = "SELECT name FROM repositories INDEXED BY repositories_public
                           WHERE public = 1 AND name >= $1 AND name < $2 ORDER BY name LIMIT $3";
                tx.rows(sql, values![start, end, limit], |row| row.text(0))
            }
            Self::Rows(pattern) => {
                let sql = "SELECT name FROM visible WHERE pattern_id = $1 AND name >= $2 AND name < $3 ORDER BY name LIMIT $4";
                tx.rows(sql, values![pattern, start, end, limit], |row| row.text(0))
            }
        }
    }

    /// The same for several ranges at once: each question costs a way to the server and back.
    fn within_each(self, tx: &mut Tx<'_>, ranges: &[(&str, &str)], limit: usize) -> Done<Vec<String>> {
        let (starts, ends): (Vec<&str>, Vec<&str>) = ranges.iter().copied().unzip();
        let (starts, ends) = (starts.as_slice(), ends.as_slice());
        match self {
            Self::All => {
                let sql = "SELECT r.name FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS i (lowest, end_of, n)
                           CROSS JOIN LATERAL (SELECT name FROM repositories WHERE name >= i.lowest AND name < i.end_of
                                               ORDER BY name LIMIT $3) AS r ORDER BY i.n, r.name LIMIT $3";
                tx.rows(sql, values![starts, ends, limit], |row| row.text(0))
            }
            Self::Public => {
                let sql = "SELECT r.name FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS i (lowest, end_of, n)
                           CROSS JOIN LATERAL (SELECT name FROM repositories
                                               WHERE public = 1 AND name >= i.lowest AND name < i.end_of
                                               ORDER BY name LIMIT $3) AS r ORDER BY i.n, r.name LIMIT $3";
                tx.rows(sql, values![starts, ends, limit], |row| row.text(0))
            }
            Self::Rows(pattern) => {
                let sql = "SELECT r.name FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS i (lowest, end_of, n)
                           CROSS JOIN LATERAL (SELECT name FROM visible
                                               WHERE pattern_id = $3 AND name >= i.lowest AND name < i.end_of
                                               ORDER BY name LIMIT $4) AS r ORDER BY i.n, r.name LIMIT $4";
                tx.rows(sql, values![starts, ends, pattern, limit], |row| row.text(0))
            }
        }
    }
}
