//! Dates as tags: `2026.11.21`, `2026.11`, `2026-11-21`, `20261121`, each with a time of day or a counter behind it or not.

use super::Version;
use super::is_number;
use super::suffix::Suffix;

/// Years that are taken for such; any other number of four digits is a number.
const YEARS: std::ops::RangeInclusive<u64> = 1970..=2199;

/// Reads a date as a version of year, month and day, with what follows as its post-release.
pub(super) fn read(text: &str) -> Option<Version> {
    let bare = text.strip_prefix('v').unwrap_or(text);
    let (day, rest) = dotted(bare).or_else(|| dashed(bare)).or_else(|| compact(bare))?;
    let post = if rest.is_empty() { None } else { Some(counter(rest)?) };
    let [year, month, date] = day;
    let is_date = YEARS.contains(&year) && (1..=12).contains(&month) && date <= days(year, month);
    let parts = if date == 0 { 2 } else { 3 };
    is_date.then(|| Version::new(text, day, parts, &Suffix { post, ..Suffix::default() }))
}

/// Whether a bound of a range means a year.
pub(super) fn is_year(number: u64) -> bool {
    YEARS.contains(&number)
}

/// `2026.11.21`, `2026.1.5`; `2026.11` is the whole month, written as day 0.
fn dotted(text: &str) -> Option<([u64; 3], &str)> {
    let (year, rest) = digits(text, 4..=4)?;
    let (month, rest) = digits(rest.strip_prefix('.')?, 1..=2)?;
    match rest.strip_prefix('.').and_then(|rest| digits(rest, 1..=2)) {
        Some((0, _)) => None,
        Some((day, rest)) => Some(([year, month, day], rest)),
        None => rest.is_empty().then_some(([year, month, 0], rest)),
    }
}

fn dashed(text: &str) -> Option<([u64; 3], &str)> {
    let (year, rest) = digits(text, 4..=4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2..=2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2..=2)?;
    (day > 0).then_some(([year, month, day], rest))
}

fn compact(text: &str) -> Option<([u64; 3], &str)> {
    let (year, rest) = (text.get(..4)?, text.get(4..)?);
    let (month, rest) = (rest.get(..2)?, rest.get(2..)?);
    let (day, rest) = (rest.get(..2)?, rest.get(2..)?);
    let all = [year, month, day];
    let parsed = [year.parse().ok()?, month.parse().ok()?, day.parse().ok()?];
    (all.into_iter().all(is_number) && parsed[2] > 0).then_some((parsed, rest))
}

/// A time of day (`-1530`, `T153000`, `T15-30-00`, `153000`) or a counter (`.2`, `-2`), as one number.
fn counter(text: &str) -> Option<u64> {
    let bare = text.strip_prefix(['.', '-', '_', 'T']);
    let joined: String = bare.unwrap_or(text).split(['-', '.']).collect();
    let joined = joined.strip_suffix('Z').unwrap_or(&joined);
    // Without a mark in between only a whole time of day: other digits would be a longer number.
    let fits = if bare.is_some() { joined.len() <= 6 } else { matches!(joined.len(), 4 | 6) };
    if fits && is_number(joined) { joined.parse().ok() } else { None }
}

/// A number with as many digits as may be, and what follows.
fn digits(text: &str, how_many: std::ops::RangeInclusive<usize>) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    how_many.contains(&end).then(|| digits.parse().ok().map(|number| (number, rest)))?
}

fn days(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
