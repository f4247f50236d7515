//! `[bans] deny` of `deny.toml` against the resolved graph, so that the fences hold where cargo-deny is not installed.
//!
//! A denied crate must not be in the graph; one with `wrappers` may be imported by these alone. A wrapper that does not import it any
//! more is a hole and has to go. Advisories, licences and sources remain cargo-deny's work.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use cargo_metadata::semver::{Version, VersionReq};

use crate::task::Result;

/// One entry of the list.
#[derive(Debug)]
struct Ban {
    name: String,
    versions: Option<VersionReq>,
    wrappers: BTreeSet<String>,
    reason: String,
}

/// A package of the graph with those that import it directly.
#[derive(Debug)]
struct Node {
    name: String,
    version: Version,
    importers: BTreeSet<String>,
}

/// Crates in the graph that `deny.toml` bans.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let file: toml::Table = std::fs::read_to_string(root.join("deny.toml"))?.parse()?;
    let bans = parse(&file)?;
    Ok(against(&bans, &graph(root)?))
}

fn parse(file: &toml::Table) -> Result<Vec<Ban>> {
    let deny = file.get("bans").and_then(|bans| bans.get("deny")).and_then(toml::Value::as_array);
    deny.ok_or("deny.toml has no list [bans] deny")?.iter().map(ban).collect()
}

fn ban(entry: &toml::Value) -> Result<Ban> {
    let text = |name: &str| entry.get(name).and_then(toml::Value::as_str);
    let spec = text("crate").or(entry.as_str()).ok_or("an entry of [bans] deny names no crate")?;
    let (name, versions) = match spec.split_once([':', '@']) {
        Some((name, versions)) => (name, Some(VersionReq::parse(versions)?)),
        None => (spec, None),
    };
    let wrappers = entry.get("wrappers").and_then(toml::Value::as_array).into_iter().flatten();
    Ok(Ban {
        name: name.to_owned(),
        versions,
        wrappers: wrappers.filter_map(|wrapper| wrapper.as_str().map(str::to_owned)).collect(),
        reason: text("reason").ok_or_else(|| format!("deny.toml gives no reason against {name}"))?.to_owned(),
    })
}

/// The graph as cargo builds it for this platform, from what is already downloaded. (`cargo metadata` would also list what only features
/// of nobody's choice bring in.)
fn graph(root: &Path) -> Result<Vec<Node>> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["tree", "--offline", "--workspace", "--edges", "normal,build,dev"]);
    let output = cargo.args(["--prefix", "depth", "--format", " {p}"]).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("cargo tree failed: {}", output.status).into());
    }
    nodes(&String::from_utf8(output.stdout)?)
}

/// Reads lines like `2 hyper v1.12.0 (*)`: the depth, the package, and whether its own imports stand elsewhere.
fn nodes(tree: &str) -> Result<Vec<Node>> {
    let mut found: BTreeMap<(String, Version), BTreeSet<String>> = BTreeMap::new();
    let mut path: Vec<String> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let mut word = || words.next().ok_or_else(|| format!("cargo tree printed {line:?}"));
        let (depth, name, version) = (word()?.parse::<usize>()?, word()?.to_owned(), word()?);
        let version = Version::parse(version.trim_start_matches('v'))?;
        path.truncate(depth);
        found.entry((name.clone(), version)).or_default().extend(path.last().cloned());
        path.push(name);
    }
    Ok(found.into_iter().map(|((name, version), importers)| Node { name, version, importers }).collect())
}

fn against(bans: &[Ban], graph: &[Node]) -> Vec<String> {
    let mut findings = Vec::new();
    for ban in bans {
        let banned = |node: &&Node| {
            node.name == ban.name && ban.versions.as_ref().is_none_or(|versions| versions.matches(&node.version))
        };
        let mut importers = BTreeSet::new();
        for node in graph.iter().filter(banned) {
            importers.extend(node.importers.iter().cloned());
            if ban.wrappers.is_empty() {
                let by = node.importers.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
                findings
                    .push(format!("{} {} is banned ({}) and imported by {by}", node.name, node.version, ban.reason));
            }
        }
        if !ban.wrappers.is_empty() {
            let strangers = importers.difference(&ban.wrappers);
            findings.extend(strangers.map(|name| format!("{name} imports {}: {}", ban.name, ban.reason)));
            let idle = ban.wrappers.difference(&importers);
            findings.extend(
                idle.map(|name| format!("deny.toml lets {name} import {}, which it does not: take it out", ban.name)),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(deny: &str) -> Vec<String> {
        let file: toml::Table = format!("[bans]\ndeny = [{deny}]").parse().unwrap();
        let importers = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let node = |name: &str, by: &[&str]| Node {
            name: name.into(),
            version: Version::new(1, 2, 3),
            importers: importers(by),
        };
        against(&parse(&file).unwrap(), &[node("hyper", &["axum", "reqwest"]), node("openssl", &["x"])])
    }

    #[test]
    fn a_banned_crate_that_is_not_there_passes() {
        assert_eq!(findings("{ crate = 'tokio-tar', reason = 'r' }"), Vec::<String>::new());
        assert_eq!(findings("{ crate = 'openssl@<1.2.0', reason = 'r' }"), Vec::<String>::new());
        assert_eq!(findings("{ crate = 'hyper', wrappers = ['axum', 'reqwest'], reason = 'r' }"), Vec::<String>::new());
    }

    #[test]
    fn a_banned_crate_fails() {
        assert_eq!(findings("{ crate = 'openssl', reason = 'r' }"), ["openssl 1.2.3 is banned (r) and imported by x"]);
        assert_eq!(findings("{ crate = 'openssl@<1.3.0', reason = 'r' }").len(), 1);
    }

    #[test]
    fn an_import_past_the_wrappers_fails() {
        assert_eq!(findings("{ crate = 'hyper', wrappers = ['axum'], reason = 'r' }"), ["reqwest imports hyper: r"]);
    }

    #[test]
    fn a_wrapper_without_need_fails() {
        assert_eq!(findings("{ crate = 'hyper', wrappers = ['axum', 'reqwest', 'z'], reason = 'r' }").len(), 1);
    }

    #[test]
    fn a_tree_is_read_with_who_imports_whom() {
        let nodes =
            nodes("0 larder v0.1.0 (/x)\n1 axum v0.8.9\n2 hyper v1.2.3\n1 hyper v1.2.3 (*)\n\n0 xtask v0.1.0 (/x)\n")
                .unwrap();
        let hyper = nodes.iter().find(|node| node.name == "hyper").unwrap();
        assert_eq!(hyper.importers.iter().collect::<Vec<_>>(), ["axum", "larder"]);
        assert_eq!(hyper.version, Version::new(1, 2, 3));
        assert!(nodes.iter().any(|node| node.name == "xtask" && node.importers.is_empty()));
    }

    #[test]
    fn a_ban_without_a_reason_fails() {
        let file: toml::Table = "[bans]\ndeny = ['x']".parse().unwrap();
        assert!(parse(&file).is_err());
    }
}
