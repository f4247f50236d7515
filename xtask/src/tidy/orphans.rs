//! Sources that no `mod` names: cargo passes over them without a word, and their tests with them.

use crate::tree::{File, Tree};

/// Files of a crate that are compiled because of where they lie.
const ROOTS: &[&str] = &["lib.rs", "main.rs", "build.rs"];

/// Sources that nothing declares.
pub fn check(tree: &Tree) -> Vec<String> {
    let orphans = tree.sources().filter(|file| !is_root(&file.path) && !is_declared(tree, file));
    orphans.map(|file| format!("{}: no module declares it, so it is never compiled", file.path)).collect()
}

/// Roots of crates, and single files of `tests/`, `benches/`, `examples/` and `src/bin/`.
fn is_root(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let (name, folder) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    ROOTS.contains(&name)
        || matches!(folder, "benches" | "examples" | "bin")
        || (folder == "tests" && !path.contains("/src/"))
}

fn is_declared(tree: &Tree, file: &File) -> bool {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    // `a/mod.rs` is the module `a` of the folder above.
    let (folder, module) = match name {
        "mod.rs" => folder.rsplit_once('/').unwrap_or(("", folder)),
        name => (folder, name.trim_end_matches(".rs")),
    };
    let parents =
        [format!("{folder}/mod.rs"), format!("{folder}/lib.rs"), format!("{folder}/main.rs"), format!("{folder}.rs")];
    let declaration = format!("mod {module};");
    parents.iter().filter_map(|parent| tree.file(parent)).any(|parent| {
        parent
            .text
            .lines()
            .map(str::trim)
            .any(|line| line.strip_suffix(declaration.as_str()).is_some_and(is_visibility))
    })
}

/// What may stand before `mod`.
fn is_visibility(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text == "pub" || (text.starts_with("pub(") && text.ends_with(')'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
        check(&Tree { crates: Vec::new(), files: files.iter().map(file).collect() })
    }

    #[test]
    fn declared_files_and_roots_pass() {
        let files = [
            ("crates/a/src/lib.rs", "pub mod b;\nmod c;\n#[cfg(test)]\npub(crate) mod t;\n"),
            ("crates/a/src/b.rs", "mod d;"),
            ("crates/a/src/b/d.rs", ""),
            ("crates/a/src/c/mod.rs", "    mod e;"),
            ("crates/a/src/c/e.rs", ""),
            ("crates/a/src/t.rs", ""),
            ("crates/a/tests/one.rs", ""),
            ("crates/a/tests/suite/main.rs", "mod f;"),
            ("crates/a/tests/suite/f.rs", ""),
            ("crates/a/examples/g.rs", ""),
        ];
        assert_eq!(findings(&files), Vec::<String>::new());
    }

    #[test]
    fn a_file_that_nothing_declares_fails() {
        let files =
            [("crates/a/src/lib.rs", "// mod b;\nmod bb;\n"), ("crates/a/src/b.rs", ""), ("crates/a/src/bb.rs", "")];
        assert_eq!(findings(&files), ["crates/a/src/b.rs: no module declares it, so it is never compiled"]);
        let folder = [("crates/a/src/lib.rs", ""), ("crates/a/src/c/mod.rs", "mod e;"), ("crates/a/src/c/e.rs", "")];
        assert_eq!(findings(&folder).len(), 1);
        let tests = [("crates/a/tests/suite/main.rs", ""), ("crates/a/tests/suite/f.rs", "")];
        assert_eq!(findings(&tests).len(), 1);
    }
}
