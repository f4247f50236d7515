//! The changelog is written with the change: there is always a section for what is not released yet.

use crate::tree::Tree;

const CHANGELOG: &str = "CHANGELOG.md";
/// The headings of Keep a Changelog 1.1.
const KINDS: &[&str] = &["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];

/// A missing section, or a heading that the format does not know.
pub fn check(tree: &Tree) -> Vec<String> {
    let Some(file) = tree.file(CHANGELOG) else { return vec![format!("{CHANGELOG} is missing")] };
    let mut findings = Vec::new();
    let first = file.text.lines().find(|line| line.starts_with("## "));
    if first.is_none_or(|line| line.trim() != "## [Unreleased]") {
        findings.push(format!("{CHANGELOG}: the first section has to be ## [Unreleased]"));
    }
    for heading in file.text.lines().filter_map(|line| line.strip_prefix("### ")) {
        if !KINDS.contains(&heading.trim()) {
            findings.push(format!("{CHANGELOG}: \"{heading}\" is none of {}", KINDS.join(", ")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::File;

    fn findings(text: &str) -> Vec<String> {
        check(&Tree { crates: Vec::new(), files: vec![File { path: CHANGELOG.into(), text: text.into() }] })
    }

    #[test]
    fn an_unreleased_section_first_passes() {
        assert_eq!(
            findings("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- x\n\n## [0.1.0]\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_missing_section_fails() {
        assert_eq!(findings("# Changelog\n\n## [0.1.0]\n").len(), 1);
        assert_eq!(check(&Tree::default()).len(), 1);
    }

    #[test]
    fn a_heading_of_its_own_fails() {
        assert_eq!(findings("## [Unreleased]\n\n### Improved\n").len(), 1);
    }
}
