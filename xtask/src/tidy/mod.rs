//! The rules of the house, each a function from the [`Tree`] to what is wrong with it.
//!
//! `cargo xtask tidy` runs them all; `cargo test` runs those that need no built program, so that no one has to remember them.

mod arrows;
mod bans;
mod changelog;
mod fences;
mod hosts;
mod invariants;
mod links;
mod manifests;
mod names;
mod orphans;
mod sizes;
mod table;
mod test_code;

use crate::documents;
use crate::task::{Result, root, say};
use crate::tree::Tree;

/// The document that the tables are printed in.
pub const ARCHITECTURE: &str = "docs/ARCHITECTURE.md";

type Check = fn(&Tree) -> Vec<String>;

/// Rules about the files and manifests, by the name they are reported under.
const CHECKS: &[(&str, Check)] = &[
    ("arrows", arrows::check),
    ("fences", fences::check),
    ("manifests", manifests::check),
    ("sizes", sizes::check),
    ("names", names::check),
    ("orphans", orphans::check),
    ("invariants", invariants::check),
    ("hosts", hosts::check),
    ("changelog", changelog::check),
    ("links", links::check),
];

/// Checks everything and prints what is wrong.
///
/// # Errors
/// When anything is.
pub fn run() -> Result {
    let tree = Tree::read(root())?;
    let mut wrong = 0;
    for (name, check) in CHECKS {
        wrong += report(name, &check(&tree))?;
    }
    wrong += report("bans", &bans::check(root())?)?;
    wrong += report("documents", &documents::compare()?)?;
    for note in sizes::notes(&tree) {
        say(&format!("note       {note}"))?;
    }
    match wrong {
        0 => say("tidy: the house is in order"),
        wrong => Err(format!("tidy: {wrong} findings").into()),
    }
}

/// Prints which sources uphold an invariant and which tests name it.
pub fn print_invariants() -> Result {
    for line in invariants::overview(&Tree::read(root())?) {
        say(&line)?;
    }
    Ok(())
}

fn report(name: &str, findings: &[String]) -> Result<usize> {
    for finding in findings {
        say(&format!("{name:<10} {finding}"))?;
    }
    Ok(findings.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(name: &str) {
        let tree = Tree::read(root()).expect("the workspace can be read");
        let (_, check) = CHECKS.iter().find(|(known, _)| *known == name).expect("a check of this name");
        let findings = check(&tree);
        assert!(findings.is_empty(), "{name}:\n{}", findings.join("\n"));
    }

    #[test]
    fn nobody_imports_against_the_arrows() {
        holds("arrows");
    }

    #[test]
    fn heavy_crates_stay_behind_their_fences() {
        holds("fences");
    }

    #[test]
    fn manifests_inherit_from_the_workspace() {
        holds("manifests");
    }

    #[test]
    fn no_file_outgrows_its_reader() {
        holds("sizes");
    }

    #[test]
    fn every_file_is_named_for_what_it_holds() {
        holds("names");
    }

    #[test]
    fn every_file_is_compiled() {
        holds("orphans");
    }

    #[test]
    fn every_invariant_is_marked_and_proven() {
        holds("invariants");
    }

    #[test]
    fn no_document_names_a_package_registry() {
        holds("hosts");
    }

    #[test]
    fn the_changelog_has_room_for_the_next_change() {
        holds("changelog");
    }

    #[test]
    fn documents_link_to_what_is_there() {
        holds("links");
    }

    #[test]
    fn banned_crates_are_not_in_the_graph() {
        let findings = bans::check(root()).expect("cargo can resolve the workspace offline");
        assert!(findings.is_empty(), "{}", findings.join("\n"));
    }
}
