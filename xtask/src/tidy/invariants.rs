//! Each invariant of `docs/ARCHITECTURE.md` is marked where the code upholds it and named by a test that fails without it.
//!
//! The convention: a doc comment of the product says `**Invariant 6**` (or `**Invariants 2 and 6**`); a test says `Invariant 6` (or
//! `Invariants 2, 6 and 14`) in a comment, or has `invariant_6` in its name.

use std::collections::{BTreeMap, BTreeSet};

use super::test_code::{product_lines, test_lines};
use super::{ARCHITECTURE, test_code};
use crate::tree::{File, Tree};

/// Where each invariant stands: in the product, in tests.
#[derive(Debug, Default)]
struct Places {
    marks: BTreeMap<usize, BTreeSet<String>>,
    tests: BTreeMap<usize, BTreeSet<String>>,
}

/// Invariants without a mark or a test, and marks without an invariant.
pub fn check(tree: &Tree) -> Vec<String> {
    let count = count(tree);
    if count == 0 {
        return vec![format!("{ARCHITECTURE} has no numbered list below a heading \"Invariants\"")];
    }
    let places = places(tree);
    let mut findings = Vec::new();
    for number in 1..=count {
        if !places.marks.contains_key(&number) {
            findings.push(format!("no doc comment of the product marks **Invariant {number}**"));
        }
        if !places.tests.contains_key(&number) {
            findings.push(format!("no test names Invariant {number}"));
        }
    }
    let strange = places.marks.iter().chain(&places.tests).filter(|(number, _)| !(1..=count).contains(*number));
    findings.extend(strange.map(|(number, places)| format!("Invariant {number} does not exist: {}", list(places))));
    findings
}

/// One line per invariant.
pub fn overview(tree: &Tree) -> Vec<String> {
    let places = places(tree);
    let none = BTreeSet::new();
    let line = |number: usize| {
        let marks = places.marks.get(&number).unwrap_or(&none);
        let tests = places.tests.get(&number).unwrap_or(&none);
        format!("{number:>2}  upheld in {}\n    proven by {}", list(marks), list(tests))
    };
    (1..=count(tree)).map(line).collect()
}

fn list(places: &BTreeSet<String>) -> String {
    if places.is_empty() {
        "nothing".to_owned()
    } else {
        places.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// How many invariants the document lists.
fn count(tree: &Tree) -> usize {
    let Some(document) = tree.file(ARCHITECTURE) else { return 0 };
    let after_heading =
        document.text.lines().skip_while(|line| !(line.starts_with('#') && line.contains("Invariants")));
    let section = after_heading.skip(1).take_while(|line| !line.starts_with("## "));
    section.filter_map(|line| line.split_once(". ")?.0.parse::<usize>().ok()).max().unwrap_or(0)
}

fn places(tree: &Tree) -> Places {
    let mut places = Places::default();
    for file in tree.sources().filter(|file| file.path.starts_with("crates/")) {
        for line in product_lines(tree, file).filter(|line| is_doc_comment(line.text)) {
            for number in bold(line.text) {
                places.marks.entry(number).or_default().insert(file.path.clone());
            }
        }
        if !has_tests(file) {
            continue;
        }
        for line in test_lines(tree, file).filter(|line| is_comment(line.text) || line.text.contains("fn ")) {
            for number in named(line.text) {
                places.tests.entry(number).or_default().insert(file.path.clone());
            }
        }
    }
    places
}

/// Whether something in the file is run. Files in `tests/` are taken at their word: suites there make their tests by macros of their own.
fn has_tests(file: &File) -> bool {
    if file.path.split('/').any(|part| part == "tests") {
        return true;
    }
    let runs = ["#[test]", "#[tokio::test", "proptest!"].iter().any(|mark| file.text.contains(mark));
    runs || test_code::SUITES.iter().any(|suite| file.path.starts_with(suite))
}

fn is_doc_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("///") || line.starts_with("//!")
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Numbers of `**Invariant 1**` and `**Invariants 2, 6 and 14**`.
fn bold(line: &str) -> Vec<usize> {
    let spans = line.split("**").skip(1).step_by(2);
    spans.filter(|span| span.starts_with("Invariant")).flat_map(named).collect()
}

/// Numbers of `Invariant 1`, `Invariants 2, 6 and 14` and `invariant_7`.
fn named(text: &str) -> Vec<usize> {
    let mut numbers = Vec::new();
    for (at, word) in text.match_indices("nvariant") {
        let rest = text[at + word.len()..].trim_start_matches('s').trim_start_matches([' ', '_']);
        numbers.extend(number_list(rest));
    }
    numbers
}

/// The numbers that `text` begins with, with `,` or `and` between them.
fn number_list(mut text: &str) -> Vec<usize> {
    let mut numbers = Vec::new();
    loop {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let Ok(number) = text[..end].parse() else { return numbers };
        numbers.push(number);
        let rest = &text[end..];
        let next = rest.strip_prefix(", ").or_else(|| rest.strip_prefix(" and ")).or_else(|| rest.strip_prefix(" to "));
        let Some(next) = next else { return numbers };
        text = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(source: &str) -> Tree {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let document =
            "# x\n\n## 2. Invariants\n\nText.\n\n1. **One.** a\n   more\n2. **Two.** b\n\n## 3. Other\n\n7. no\n";
        Tree { crates: Vec::new(), files: vec![file("crates/a/src/lib.rs", source), file(ARCHITECTURE, document)] }
    }

    const GOOD: &str = "//! Upholds **Invariant 1**.\n/// And (**Invariants 1 and 2**).\nfn a() {}\n#[cfg(test)]\nmod tests {\n    \
                        /// Invariant 1.\n    #[test]\n    fn one() {}\n    #[test]\n    fn invariant_2_holds() {}\n}\n";

    #[test]
    fn invariants_with_mark_and_test_pass() {
        assert_eq!(check(&tree(GOOD)), Vec::<String>::new());
    }

    #[test]
    fn an_invariant_without_a_mark_fails() {
        let without = GOOD.replace("**Invariants 1 and 2**", "**Invariant 1**");
        assert_eq!(check(&tree(&without)), ["no doc comment of the product marks **Invariant 2**"]);
        // A plain comment is not the code's own document, and a test is not the product.
        let plain = GOOD.replace("/// And", "// And");
        assert_eq!(check(&tree(&plain)).len(), 1);
        let inside =
            GOOD.replace("**Invariants 1 and 2**", "x").replace("/// Invariant 1.", "/// **Invariants 1 and 2**");
        assert_eq!(check(&tree(&inside)), ["no doc comment of the product marks **Invariant 2**"]);
    }

    #[test]
    fn an_invariant_without_a_test_fails() {
        let without = GOOD.replace("invariant_2_holds", "two_holds");
        assert_eq!(check(&tree(&without)), ["no test names Invariant 2"]);
        let in_product = format!("// Invariant 2\n{without}");
        assert_eq!(check(&tree(&in_product)), ["no test names Invariant 2"]);
    }

    #[test]
    fn a_file_that_runs_nothing_proves_nothing() {
        let idle = GOOD.replace("#[test]", "#[inline]");
        assert_eq!(check(&tree(&idle)), ["no test names Invariant 1", "no test names Invariant 2"]);
    }

    #[test]
    fn a_mark_of_an_invariant_that_does_not_exist_fails() {
        let strange = GOOD.replace("**Invariant 1**", "**Invariant 16**");
        assert_eq!(check(&tree(&strange)), ["Invariant 16 does not exist: crates/a/src/lib.rs"]);
    }

    #[test]
    fn fifteen_is_not_one() {
        assert_eq!(named("// Invariant 15"), [15]);
        assert_eq!(named("/// Invariants 2, 6 and 14: x"), [2, 6, 14]);
        assert_eq!(named("fn invariant_3_and_more() {}"), [3]);
        assert_eq!(named("// the invariant holds"), Vec::<usize>::new());
    }
}
