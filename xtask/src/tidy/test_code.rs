//! Which lines of a source are tests.
//!
//! A whole file is, when it lies in `tests/` or `benches/`, is a test module of its own file (`#[cfg(test)] mod tests;`), or belongs to one
//! of the public suites that back ends run. Inside a file it is every item after `#[cfg(test)]`. Sources are formatted by rustfmt, so an
//! item ends where its closing brace stands in the item's own column.

use crate::tree::{File, Tree, is_test_gate};

/// Suites that live in a crate's sources so that others can run them: tests, although they are compiled into the library.
pub const SUITES: &[&str] = &["crates/blobs/src/suite"];

/// A line of a file.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    /// Without its line end.
    pub text: &'a str,
}

/// Lines of the product.
pub fn product_lines<'a>(tree: &Tree, file: &'a File) -> impl Iterator<Item = Line<'a>> {
    lines(tree, file).filter(|(_, test)| !test).map(|(line, _)| line)
}

/// Lines that only tests compile.
pub fn test_lines<'a>(tree: &Tree, file: &'a File) -> impl Iterator<Item = Line<'a>> {
    lines(tree, file).filter(|(_, test)| *test).map(|(line, _)| line)
}

fn lines<'a>(tree: &Tree, file: &'a File) -> impl Iterator<Item = (Line<'a>, bool)> {
    let whole = is_test_file(tree, &file.path);
    let marks = mark(&file.text);
    let numbered = file.text.lines().enumerate().map(|(index, text)| Line { number: index + 1, text });
    numbered.zip(marks).map(move |(line, test)| (line, whole || test))
}

fn is_test_file(tree: &Tree, path: &str) -> bool {
    let in_folder = path.split('/').any(|part| matches!(part, "tests" | "benches"));
    let suite =
        SUITES.iter().any(|suite| path.strip_prefix(suite).is_some_and(|rest| rest == ".rs" || rest.starts_with('/')));
    let module = || {
        tree.test_modules().iter().any(|module| path == module || (module.ends_with('/') && path.starts_with(module)))
    };
    in_folder || suite || module()
}

fn mark(text: &str) -> Vec<bool> {
    enum State<'a> {
        Product,
        /// After `#[cfg(test)]`, before its item.
        Gate,
        /// In an item that closes with this line.
        Item(&'a str),
    }
    let mut state = State::Product;
    text.lines()
        .map(|line| {
            let indent = &line[..line.len() - line.trim_start().len()];
            match state {
                State::Product if is_test_gate(line) => state = State::Gate,
                State::Product => return false,
                State::Gate if line.trim_start().starts_with("#[") || line.trim_start().starts_with("//") => {}
                State::Gate if line.trim_end().ends_with(';') || line.trim_end().ends_with('}') => {
                    state = State::Product
                }
                State::Gate => state = State::Item(indent),
                State::Item(item) if indent == item && line.trim_start().starts_with(['}', ')']) => {
                    state = State::Product
                }
                State::Item(_) => {}
            }
            true
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(path: &str, text: &str) -> Vec<String> {
        let file = File { path: path.into(), text: text.into() };
        let tree = Tree { crates: Vec::new(), files: vec![file.clone()] };
        product_lines(&tree, &file).map(|line| line.text.to_owned()).collect()
    }

    #[test]
    fn a_test_module_and_what_follows_it_are_told_apart() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn t() {\n    }\n}\nfn b() {}\n#[cfg(test)]\nuse x;\nfn c() {}";
        assert_eq!(product("crates/a/src/lib.rs", text), ["fn a() {}", "fn b() {}", "fn c() {}"]);
    }

    #[test]
    fn a_gated_method_inside_an_impl_ends_with_its_own_brace() {
        let text = "impl A {\n    #[cfg(test)]\n    fn t() {\n        x\n    }\n    fn p() {}\n}";
        assert_eq!(product("crates/a/src/lib.rs", text), ["impl A {", "    fn p() {}", "}"]);
    }

    #[test]
    fn files_of_tests_and_suites_are_tests_as_a_whole() {
        assert!(product("crates/a/tests/b.rs", "fn a() {}").is_empty());
        assert!(product("crates/blobs/src/suite.rs", "fn a() {}").is_empty());
        assert!(product("crates/blobs/src/suite/upload.rs", "fn a() {}").is_empty());
        assert!(!product("crates/blobs/src/suites.rs", "fn a() {}").is_empty());
    }

    #[test]
    fn a_test_module_in_its_own_file_is_a_test() {
        let parent = File { path: "crates/a/src/lib.rs".into(), text: "#[cfg(test)]\nmod proof;\n".into() };
        let child = File { path: "crates/a/src/proof.rs".into(), text: "fn a() {}\n".into() };
        let tree = Tree { crates: Vec::new(), files: vec![parent, child.clone()] };
        assert_eq!(product_lines(&tree, &child).count(), 0);
        assert_eq!(test_lines(&tree, &child).count(), 1);
    }
}
