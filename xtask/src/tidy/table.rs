//! Tables in Markdown, read by the names of their columns.

use std::collections::BTreeMap;

/// One row: the text of each cell by its column's heading in lower case.
pub type Row = BTreeMap<String, String>;

/// The first table whose headings include all of `headings`.
pub fn find(markdown: &str, headings: &[&str]) -> Option<Vec<Row>> {
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        let columns: Vec<String> = cells(line).iter().map(|cell| cell.to_lowercase()).collect();
        let is_table = lines.peek().is_some_and(|next| is_rule(next));
        if !is_table || !headings.iter().all(|heading| columns.iter().any(|column| column == heading)) {
            continue;
        }
        lines.next();
        let body = std::iter::from_fn(|| lines.next_if(|line| line.trim_start().starts_with('|')));
        return Some(body.map(|line| columns.iter().cloned().zip(cells(line)).collect()).collect());
    }
    None
}

/// The words that stand between backticks.
pub fn code_words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let Some(inner) = line.strip_prefix('|') else { return Vec::new() };
    inner.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn is_rule(line: &str) -> bool {
    let cells = cells(line);
    !cells.is_empty()
        && cells.iter().all(|cell| cell.contains("--") && cell.chars().all(|c| matches!(c, '-' | ':' | ' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_headings() {
        let text = "x\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n| Crate | may |\n|:--|--|\n| `oci` | – |\n| `a` | `b`, `c` |\nend\n";
        let rows = find(text, &["crate", "may"]).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1]["crate"], "`a`");
        assert_eq!(code_words(&rows[1]["may"]), ["b", "c"]);
        assert_eq!(find(text, &["crate", "nothing"]), None);
    }
}
