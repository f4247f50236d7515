//! How long a file may grow before it has to be two. Tests do not count: a long table of cases reads well.

use super::test_code::product_lines;
use crate::tree::Tree;

/// Beyond this a file is a question.
const QUESTION: usize = 500;
/// Beyond this it is an error, unless it is listed below.
const LIMIT: usize = 700;

/// Files that are longer, and why that reads better.
const LONG: &[(&str, &str)] = &[];

/// Files that are too long, and entries of the list that are not needed any more.
pub fn check(tree: &Tree) -> Vec<String> {
    against(tree, LONG)
}

/// Files that are long enough to ask whether they hold two things.
pub fn notes(tree: &Tree) -> Vec<String> {
    let lengths = lengths(tree).filter(|(_, lines)| (QUESTION + 1..=LIMIT).contains(lines));
    lengths.map(|(path, lines)| format!("{path}: {lines} lines outside tests: does it hold two things?")).collect()
}

fn against(tree: &Tree, long: &[(&str, &str)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (path, lines) in lengths(tree) {
        let listed = long.iter().any(|(listed, _)| *listed == path);
        match (lines > LIMIT, listed) {
            (true, false) => findings.push(format!("{path}: {lines} lines outside tests; {LIMIT} is the limit")),
            (false, true) => findings.push(format!("{path}: listed as long, but has only {lines} lines outside tests")),
            _ => {}
        }
    }
    let gone = long.iter().filter(|(listed, _)| tree.file(listed).is_none());
    findings.extend(gone.map(|(listed, _)| format!("{listed}: listed as long, but not there")));
    findings
}

fn lengths(tree: &Tree) -> impl Iterator<Item = (&str, usize)> {
    tree.sources().map(|file| (file.path.as_str(), product_lines(tree, file).count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::File;

    fn tree(lines: usize, tests: usize) -> Tree {
        let text = format!(
            "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
            "fn a() {}\n".repeat(lines),
            "    fn t() {}\n".repeat(tests)
        );
        Tree { crates: Vec::new(), files: vec![File { path: "crates/a/src/b.rs".into(), text }] }
    }

    #[test]
    fn tests_do_not_count() {
        assert_eq!(against(&tree(700, 900), &[]), Vec::<String>::new());
    }

    #[test]
    fn a_long_file_fails_unless_it_is_listed() {
        assert_eq!(against(&tree(701, 0), &[]), ["crates/a/src/b.rs: 701 lines outside tests; 700 is the limit"]);
        assert_eq!(against(&tree(701, 0), &[("crates/a/src/b.rs", "why")]), Vec::<String>::new());
    }

    #[test]
    fn a_list_that_is_out_of_date_fails() {
        assert_eq!(against(&tree(10, 0), &[("crates/a/src/b.rs", "why")]).len(), 1);
        assert_eq!(against(&tree(10, 0), &[("crates/a/src/c.rs", "why")]).len(), 1);
    }

    #[test]
    fn a_file_between_the_two_limits_is_noted() {
        assert_eq!(notes(&tree(501, 0)).len(), 1);
        assert_eq!(notes(&tree(500, 0)).len(), 0);
        assert_eq!(notes(&tree(701, 0)).len(), 0);
    }
}
