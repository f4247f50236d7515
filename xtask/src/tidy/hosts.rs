//! No file names the host of a package registry: which one is used is a matter of each machine's configuration.

use crate::tree::{File, Tree};

/// Each in two parts, so that this file passes its own check.
const HOSTS: &[(&str, &str)] = &[
    ("crates", ".io"),
    ("pypi", ".org"),
    ("pythonhosted", ".org"),
    ("registry.npmjs", ".org"),
    ("npmjs", ".com"),
    ("rubygems", ".org"),
    ("proxy.golang", ".org"),
    ("repo.maven", ".apache.org"),
    ("repo1.maven", ".org"),
    ("nuget", ".org"),
    ("packagist", ".org"),
];

/// The lock file says where packages came from.
const EXEMPT: &[&str] = &["Cargo.lock"];

/// Lines that name such a host.
pub fn check(tree: &Tree) -> Vec<String> {
    tree.files.iter().filter(|file| !is_exempt(&file.path)).flat_map(about).collect()
}

fn is_exempt(path: &str) -> bool {
    EXEMPT.iter().any(|name| path.rsplit('/').next() == Some(name))
}

fn about(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let line = line.to_ascii_lowercase();
        for (first, second) in HOSTS {
            if line.contains(&format!("{first}{second}")) {
                findings.push(format!("{}:{}: names the package registry {first}{second}", file.path, index + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        check(&Tree { crates: Vec::new(), files: vec![File { path: path.into(), text: text.into() }] })
    }

    #[test]
    fn container_registries_are_our_own_field() {
        assert_eq!(findings("README.md", "docker.io ghcr.io crates and pypi"), Vec::<String>::new());
    }

    #[test]
    fn the_host_of_a_package_registry_fails() {
        let line = format!("x\nsee https://Crates{}/crates/x\n", ".io");
        assert_eq!(findings("docs/a.md", &line).len(), 1);
        assert_eq!(findings("Cargo.lock", &line), Vec::<String>::new());
    }
}
