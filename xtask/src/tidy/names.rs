//! File names that say nothing about what is inside.

use std::collections::BTreeSet;

use crate::tree::Tree;

const MEANINGLESS: &[&str] = &["util", "utils", "common", "helpers", "types", "misc"];

/// Sources and folders of sources with such a name.
pub fn check(tree: &Tree) -> Vec<String> {
    let mut found = BTreeSet::new();
    for file in tree.sources() {
        let mut path = String::new();
        for part in file.path.split('/') {
            path.push_str(part);
            if MEANINGLESS.contains(&part.trim_end_matches(".rs")) {
                found.insert(format!("{path}: name it for what it holds"));
            }
            path.push('/');
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::File;

    fn findings(paths: &[&str]) -> Vec<String> {
        let files = paths.iter().map(|path| File { path: (*path).into(), text: String::new() }).collect();
        check(&Tree { crates: Vec::new(), files })
    }

    #[test]
    fn names_that_say_something_pass() {
        assert_eq!(
            findings(&["crates/a/src/backoff.rs", "crates/a/src/media_type.rs", "docs/common/a.md"]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn names_that_say_nothing_fail() {
        assert_eq!(findings(&["crates/a/src/util.rs", "xtask/src/types.rs"]).len(), 2);
        let folder = findings(&["crates/a/tests/common/mod.rs", "crates/a/tests/common/server.rs"]);
        assert_eq!(folder, ["crates/a/tests/common: name it for what it holds"]);
    }
}
