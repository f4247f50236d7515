//! Heavy crates and the rooms that may import them directly, from the second table of `docs/ARCHITECTURE.md`.

use std::collections::BTreeSet;

use super::{ARCHITECTURE, table};
use crate::tree::Tree;

const COLUMNS: &[&str] = &["fence", "external crates", "only in", "in tests also"];

/// Imports of fenced crates from elsewhere.
pub fn check(tree: &Tree) -> Vec<String> {
    let Some(document) = tree.file(ARCHITECTURE) else { return vec![format!("{ARCHITECTURE} is missing")] };
    let Some(rows) = table::find(&document.text, COLUMNS) else {
        return vec![format!("{ARCHITECTURE} has no table with the columns {}", COLUMNS.join(", "))];
    };
    let mut findings = Vec::new();
    for row in &rows {
        let words = |column: &str| -> BTreeSet<&str> {
            row.get(column).map(|c| table::code_words(c)).unwrap_or_default().into_iter().collect()
        };
        let (fenced, rooms, tests) = (words("external crates"), words("only in"), words("in tests also"));
        for member in &tree.crates {
            for import in member.imports.iter().filter(|import| fenced.contains(import.package.as_str())) {
                let room = member.room.as_str();
                let allowed = rooms.contains(room) || (import.for_tests && tests.contains(room));
                if !allowed {
                    findings.push(format!(
                        "{}: imports `{}` ({}), which belongs to {}",
                        member.folder, import.package, row["fence"], row["only in"]
                    ));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{Crate, File, Import};

    fn tree(room: &str, package: &str, for_tests: bool) -> Tree {
        let text = "\
| fence | external crates | only in | in tests also |
|---|---|---|---|
| SQL | `rusqlite`, `postgres` | `catalog` | – |
| HTTP client | `reqwest` | `client` | `app` |
";
        let member = Crate {
            room: room.into(),
            package: format!("larder-{room}"),
            folder: format!("crates/{room}"),
            manifest: toml::Table::new(),
            imports: vec![Import { package: package.into(), for_tests }],
        };
        Tree { crates: vec![member], files: vec![File { path: ARCHITECTURE.into(), text: text.into() }] }
    }

    #[test]
    fn a_fenced_crate_in_its_own_room_passes() {
        assert_eq!(check(&tree("catalog", "rusqlite", false)), Vec::<String>::new());
        assert_eq!(check(&tree("app", "reqwest", true)), Vec::<String>::new());
        assert_eq!(check(&tree("app", "bytes", false)), Vec::<String>::new());
    }

    #[test]
    fn a_fenced_crate_elsewhere_fails() {
        assert_eq!(
            check(&tree("registry", "postgres", false)),
            ["crates/registry: imports `postgres` (SQL), which belongs to `catalog`"]
        );
        assert_eq!(check(&tree("registry", "rusqlite", true)).len(), 1);
        assert_eq!(check(&tree("app", "reqwest", false)).len(), 1);
    }

    #[test]
    fn a_missing_table_fails() {
        let mut tree = tree("app", "bytes", false);
        tree.files[0].text.clear();
        assert_eq!(check(&tree).len(), 1);
    }
}
