//! What each member's manifest has to say.

use crate::tree::{Crate, Tree};

/// Fields that come from the workspace.
const INHERITED: &[&str] = &["version", "edition", "rust-version", "license", "publish"];

/// Members that do not inherit lints, fields or versions, or whose name is not that of their folder.
pub fn check(tree: &Tree) -> Vec<String> {
    tree.crates.iter().flat_map(about).collect()
}

fn about(member: &Crate) -> Vec<String> {
    let mut findings = Vec::new();
    let mut wrong = |what: String| findings.push(format!("{}/Cargo.toml: {what}", member.folder));
    let inherits = |section: &str, field: &str| {
        member.manifest.get(section).and_then(|table| table.get(field)).and_then(|field| field.get("workspace"))
            == Some(&toml::Value::Boolean(true))
    };
    if member.manifest.get("lints").and_then(|lints| lints.get("workspace")) != Some(&toml::Value::Boolean(true)) {
        wrong("[lints] workspace = true is missing".to_owned());
    }
    for field in INHERITED.iter().filter(|field| !inherits("package", field)) {
        wrong(format!("{field}.workspace = true is missing"));
    }
    let expected = match member.room.as_str() {
        "app" => "larder".to_owned(),
        "xtask" => "xtask".to_owned(),
        room => format!("larder-{room}"),
    };
    if member.package != expected {
        wrong(format!("the package is called {}, not {expected}", member.package));
    }
    for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let Some(table) = member.manifest.get(section).and_then(toml::Value::as_table) else { continue };
        for name in table.keys().filter(|name| !inherits(section, name)) {
            wrong(format!("{section}.{name} has a version of its own: take it from the workspace"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = 'larder-a'\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                        license.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n[dependencies]\nbytes.workspace = true\n\
                        tokio = { workspace = true, features = ['fs'] }\n";

    fn findings(manifest: &str, package: &str) -> Vec<String> {
        let member = Crate {
            room: "a".into(),
            package: package.into(),
            folder: "crates/a".into(),
            manifest: manifest.parse().unwrap(),
            imports: Vec::new(),
        };
        check(&Tree { crates: vec![member], files: Vec::new() })
    }

    #[test]
    fn a_manifest_that_inherits_everything_passes() {
        assert_eq!(findings(GOOD, "larder-a"), Vec::<String>::new());
    }

    #[test]
    fn lints_of_its_own_fail() {
        let without = GOOD.replace("[lints]\nworkspace = true\n", "");
        assert_eq!(findings(&without, "larder-a"), ["crates/a/Cargo.toml: [lints] workspace = true is missing"]);
    }

    #[test]
    fn a_version_of_its_own_fails() {
        assert_eq!(findings(&GOOD.replace("bytes.workspace = true", "bytes = '1'"), "larder-a").len(), 1);
        assert_eq!(findings(&GOOD.replace("edition.workspace = true", "edition = '2021'"), "larder-a").len(), 1);
    }

    #[test]
    fn a_name_that_is_not_its_folders_fails() {
        assert_eq!(findings(GOOD, "larder-b").len(), 1);
    }
}
