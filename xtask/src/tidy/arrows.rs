//! Who may import whom: `cargo metadata` against the table printed in `docs/ARCHITECTURE.md`.
//!
//! A row gives what a room may import, and what its tests may import beyond that. A name like `scan::report` allows one module: then the
//! sources are searched for other paths into that crate.

use std::collections::BTreeMap;

use super::{ARCHITECTURE, table, test_code};
use crate::tree::{Crate, Tree};

const COLUMNS: &[&str] = &["crate", "may import", "its tests also", "must never see"];

/// What the table says about one room.
#[derive(Debug)]
struct Rule {
    to_come: bool,
    may: Allowed,
    tests: Allowed,
    never: Vec<String>,
}

/// Rooms, with the one module that may be seen where only that is allowed.
#[derive(Debug)]
enum Allowed {
    All,
    Only(BTreeMap<String, Option<String>>),
}

impl Allowed {
    fn parse(cell: &str) -> Self {
        if cell.split_whitespace().next().is_some_and(|word| word.trim_end_matches(',') == "all") {
            return Self::All;
        }
        let split = |word: &str| match word.split_once("::") {
            Some((room, module)) => (room.to_owned(), Some(module.to_owned())),
            None => (word.to_owned(), None),
        };
        Self::Only(table::code_words(cell).into_iter().map(split).collect())
    }

    fn contains(&self, room: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(rooms) => rooms.contains_key(room),
        }
    }
}

/// Everything that crosses an arrow.
pub fn check(tree: &Tree) -> Vec<String> {
    let Some(document) = tree.file(ARCHITECTURE) else { return vec![format!("{ARCHITECTURE} is missing")] };
    let Some(rules) = parse(&document.text) else {
        return vec![format!("{ARCHITECTURE} has no table with the columns {}", COLUMNS.join(", "))];
    };
    let mut findings = Vec::new();
    for (room, rule) in &rules {
        findings.extend(about_row(tree, &rules, room, rule));
    }
    for member in &tree.crates {
        match rules.get(&member.room) {
            None => findings.push(format!("`{}` has no row in the import table of {ARCHITECTURE}", member.room)),
            Some(rule) => {
                findings.extend(imports(tree, member, rule));
                findings.extend(modules(tree, member, rule));
            }
        }
    }
    findings
}

fn parse(markdown: &str) -> Option<BTreeMap<String, Rule>> {
    let rows = table::find(markdown, COLUMNS)?;
    let cell = |row: &table::Row, name: &str| row.get(name).cloned().unwrap_or_default();
    let rules = rows.iter().filter_map(|row| {
        let name = cell(row, "crate");
        let room = (*table::code_words(&name).first()?).to_owned();
        let rule = Rule {
            to_come: name.contains("to come"),
            may: Allowed::parse(&cell(row, "may import")),
            tests: Allowed::parse(&cell(row, "its tests also")),
            never: table::code_words(&cell(row, "must never see")).into_iter().map(str::to_owned).collect(),
        };
        Some((room, rule))
    });
    Some(rules.collect())
}

/// A row that contradicts the workspace or itself.
fn about_row(tree: &Tree, rules: &BTreeMap<String, Rule>, room: &str, rule: &Rule) -> Vec<String> {
    let mut findings = Vec::new();
    match (tree.room(room), rule.to_come) {
        (None, false) => {
            findings.push(format!("the import table names `{room}`, which is not built: mark it as to come"))
        }
        (Some(_), true) => findings.push(format!("the import table calls `{room}` to come, but it is built")),
        _ => {}
    }
    for never in &rule.never {
        if rules.contains_key(never) && (rule.may.contains(never) || rule.tests.contains(never)) {
            findings.push(format!("the import table lets `{room}` import `{never}` and forbids it"));
        }
    }
    for allowed in [&rule.may, &rule.tests] {
        let Allowed::Only(rooms) = allowed else { continue };
        let unknown = rooms.keys().filter(|name| !rules.contains_key(*name));
        findings
            .extend(unknown.map(|name| format!("the import table lets `{room}` import `{name}`, which has no row")));
    }
    findings
}

/// What the manifest imports and the row does not give.
fn imports(tree: &Tree, member: &Crate, rule: &Rule) -> Vec<String> {
    let mut findings = Vec::new();
    for import in &member.imports {
        let Some(room) = tree.room_of(&import.package) else { continue };
        let itself = import.for_tests && room == member.room;
        let allowed = itself || rule.may.contains(room) || (import.for_tests && rule.tests.contains(room));
        if !allowed {
            let who = if import.for_tests { "its tests import" } else { "imports" };
            findings.push(format!("{}: {who} `{room}`, which {ARCHITECTURE} does not allow", member.folder));
        }
    }
    findings
}

/// Paths into a crate of which only one module is allowed.
fn modules(tree: &Tree, member: &Crate, rule: &Rule) -> Vec<String> {
    let Allowed::Only(rooms) = &rule.may else { return Vec::new() };
    let mut findings = Vec::new();
    for (room, module) in rooms.iter().filter_map(|(room, module)| Some((room, module.as_ref()?))) {
        let prefix = format!("larder_{room}");
        let sources = tree.sources().filter(|file| file.path.starts_with(&format!("{}/src/", member.folder)));
        for (file, line) in sources.flat_map(|file| test_code::product_lines(tree, file).map(move |line| (file, line)))
        {
            for (at, _) in line.text.match_indices(&prefix) {
                let rest = line.text[at + prefix.len()..].strip_prefix("::").unwrap_or_default();
                let next: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if next != *module {
                    findings.push(format!("{}:{}: of `{room}` only `{module}` may be seen", file.path, line.number));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{File, Import};

    const TABLE: &str = "\
| crate | may import | its tests also | must never see | because |
|---|---|---|---|---|
| `oci` | – | – | tokio | x |
| `blobs` | `oci` | – | SQL | x |
| `server` | `oci`, `scan::report` | `blobs` | `app` | x |
| `scan` | `oci` | – | – | x |
| `app` | all | – | – | x |
";

    fn member(room: &str, imports: &[(&str, bool)]) -> Crate {
        let import =
            |(room, for_tests): &(&str, bool)| Import { package: format!("larder-{room}"), for_tests: *for_tests };
        Crate {
            room: room.into(),
            package: format!("larder-{room}"),
            folder: format!("crates/{room}"),
            manifest: toml::Table::new(),
            imports: imports.iter().map(import).collect(),
        }
    }

    fn tree(table: &str, server: &[(&str, bool)], source: &str) -> Tree {
        let rooms = [
            member("oci", &[]),
            member("blobs", &[("oci", false)]),
            member("scan", &[]),
            member("app", &[("blobs", false)]),
        ];
        let crates = rooms.into_iter().chain([member("server", server)]).collect();
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        Tree { crates, files: vec![file("crates/server/src/lib.rs", source), file(ARCHITECTURE, table)] }
    }

    #[test]
    fn imports_within_the_table_pass() {
        let tree = tree(TABLE, &[("oci", false), ("blobs", true)], "use larder_scan::report::Report;\n");
        assert_eq!(check(&tree), Vec::<String>::new());
    }

    #[test]
    fn an_import_that_the_row_does_not_give_fails() {
        let findings = check(&tree(TABLE, &[("blobs", false)], ""));
        assert_eq!(findings, ["crates/server: imports `blobs`, which docs/ARCHITECTURE.md does not allow"]);
    }

    #[test]
    fn tests_may_not_go_further_than_the_row_says() {
        let findings = check(&tree(TABLE, &[("app", true)], ""));
        assert_eq!(findings, ["crates/server: its tests import `app`, which docs/ARCHITECTURE.md does not allow"]);
    }

    #[test]
    fn a_crate_without_a_row_fails() {
        let without =
            TABLE.replace("| `blobs` | `oci` | – | SQL | x |\n", "").replace("| `blobs` | `app`", "| – | `app`");
        assert_eq!(check(&tree(&without, &[], "")), ["`blobs` has no row in the import table of docs/ARCHITECTURE.md"]);
    }

    #[test]
    fn a_row_without_a_crate_has_to_say_that_it_is_to_come() {
        let more = format!("{TABLE}| `mirror` | `oci` | – | – | x |\n");
        assert_eq!(check(&tree(&more, &[], "")).len(), 1);
        let more = format!("{TABLE}| `mirror` (to come) | `oci` | – | – | x |\n");
        assert_eq!(check(&tree(&more, &[], "")), Vec::<String>::new());
        let more = TABLE.replace("| `scan` |", "| `scan` (to come) |");
        assert_eq!(check(&tree(&more, &[], "")), ["the import table calls `scan` to come, but it is built"]);
    }

    #[test]
    fn a_row_that_allows_what_it_forbids_fails() {
        let both = TABLE.replace("| `oci` | – | SQL |", "| `oci` | – | `oci` |");
        assert_eq!(check(&tree(&both, &[], "")), ["the import table lets `blobs` import `oci` and forbids it"]);
    }

    #[test]
    fn a_misspelt_room_fails() {
        let wrong = TABLE.replace("| `blobs` | `oci` |", "| `blobs` | `oci`, `occi` |");
        assert_eq!(check(&tree(&wrong, &[], "")), ["the import table lets `blobs` import `occi`, which has no row"]);
    }

    #[test]
    fn a_path_into_another_module_fails() {
        let findings = check(&tree(TABLE, &[], "fn f() {}\nuse larder_scan::matching::Match;\n"));
        assert_eq!(findings, ["crates/server/src/lib.rs:2: of `scan` only `report` may be seen"]);
        assert_eq!(check(&tree(TABLE, &[], "use larder_scan as s;\n")).len(), 1);
    }

    #[test]
    fn a_missing_table_fails() {
        assert_eq!(check(&tree("nothing", &[], "")).len(), 1);
    }
}
