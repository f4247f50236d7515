//! Columns for people, page by page.

use std::io::{self, Write};

/// Writes rows under a header, each column as wide as it has to be on this page. Numbers stand to the right where `right` says so.
pub fn write_table(out: &mut dyn Write, header: &[&str], right: &[bool], rows: &[Vec<String>]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(header[column].len())
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let titles: Vec<String> = header.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let padded = if right[column] { format!("{cell:>width$}") } else { format!("{cell:width$}") };
            line.push_str(&padded);
            line.push_str("  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A time for people: `2026-11-21 14:05`.
pub fn short_time(rfc3339: &str) -> String {
    let text = rfc3339.get(..16).unwrap_or(rfc3339);
    text.replace('T', " ")
}

/// A digest for people: `sha256:` and twelve digits.
pub fn short_digest(digest: &str) -> String {
    match digest.split_once(':') {
        Some((algorithm, hex)) => format!("{algorithm}:{}", hex.get(..12).unwrap_or(hex)),
        None => digest.to_owned(),
    }
}
