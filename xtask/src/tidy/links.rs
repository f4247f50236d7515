//! Links between documents lead somewhere. Links to other sites are not followed.

use std::collections::BTreeSet;

use crate::task::root;
use crate::tree::{File, Tree};

/// Relative links of Markdown files whose target is missing.
pub fn check(tree: &Tree) -> Vec<String> {
    let exists = |path: &str| root().join(path).exists();
    documents(tree).flat_map(|file| broken(file, &exists)).collect()
}

/// Markdown of ours; test data may say what it likes.
fn documents(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.path.ends_with(".md") && !file.path.contains("/testdata/"))
}

fn broken(file: &File, exists: &dyn Fn(&str) -> bool) -> Vec<String> {
    let targets: BTreeSet<&str> = prose(&file.text).flat_map(targets).collect();
    let mut findings = Vec::new();
    for target in targets {
        match resolve(&file.path, target) {
            Some(path) if exists(&path) => {}
            Some(_) => findings.push(format!("{}: links to {target}, which is not there", file.path)),
            None => findings.push(format!("{}: links to {target}, outside the workspace", file.path)),
        }
    }
    findings
}

/// Lines outside fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Targets of `[text](target)` that lie in the workspace, without their anchors.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ', '#']).next()?;
        let elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
        (!elsewhere).then_some(target)
    })
}

fn resolve(from: &str, target: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let file = File { path: "docs/adr/0001.md".into(), text: text.into() };
        broken(&file, &|path| matches!(path, "docs/A.md" | "README.md" | "docs/adr/0002.md"))
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text = "[a](../A.md#x) [b](0002.md) [c](../../README.md) [d](https://example.com/x) [e](#here)\n```\n[x](no.md)\n```\n";
        assert_eq!(findings(text), Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_fail() {
        assert_eq!(findings("[a](A.md)"), ["docs/adr/0001.md: links to A.md, which is not there"]);
        assert_eq!(findings("[a](../../../x.md)"), ["docs/adr/0001.md: links to ../../../x.md, outside the workspace"]);
    }
}
