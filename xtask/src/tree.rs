//! The workspace as values: crates with what they import, and files with their text. Checks are functions of it, so that a test can hand
//! them a bad one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

use crate::task::Result;

/// Folders that hold nothing of ours.
const SKIPPED: &[&str] = &[".git", "target", "dist", "larder-data", "node_modules", "corpus", "artifacts"];
/// Files that are text to a check.
const TEXT: &[&str] =
    &["rs", "md", "toml", "json", "yaml", "yml", "sql", "sh", "py", "txt", "service", "conf", "html", "js", "css"];
/// A file beyond this is data.
const LARGEST_TEXT: u64 = 4 << 20;

/// The workspace.
#[derive(Debug, Default)]
pub struct Tree {
    /// Its members.
    pub crates: Vec<Crate>,
    /// Its text files, ordered by path.
    pub files: Vec<File>,
}

/// A member of the workspace.
#[derive(Clone, Debug)]
pub struct Crate {
    /// The name of its folder, which is what the documents call it.
    pub room: String,
    /// The name of its package.
    pub package: String,
    /// Its folder, relative to the workspace.
    pub folder: String,
    /// What its manifest says.
    pub manifest: toml::Table,
    /// What it imports.
    pub imports: Vec<Import>,
}

/// One dependency of a member.
#[derive(Clone, Debug)]
pub struct Import {
    /// The package's own name, also where it is imported under another one.
    pub package: String,
    /// Whether only tests, examples and benchmarks see it.
    pub for_tests: bool,
}

/// A text file.
#[derive(Clone, Debug)]
pub struct File {
    /// Relative to the workspace, with `/` between folders.
    pub path: String,
    /// What it says.
    pub text: String,
}

impl Tree {
    /// Reads the workspace at `root`.
    pub fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        walk(root, root, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { crates: crates(root)?, files })
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Rust sources of the product and of the tasks.
    pub fn sources(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| {
            file.path.ends_with(".rs") && (file.path.starts_with("crates/") || file.path.starts_with("xtask/"))
        })
    }

    /// The member whose room is `room`.
    pub fn room(&self, room: &str) -> Option<&Crate> {
        self.crates.iter().find(|member| member.room == room)
    }

    /// The room of a package, when it is one of ours.
    pub fn room_of(&self, package: &str) -> Option<&str> {
        self.crates.iter().find(|member| member.package == package).map(|member| member.room.as_str())
    }

    /// Files that the module tree compiles for tests only, by `#[cfg(test)] mod name;`.
    pub fn test_modules(&self) -> BTreeSet<String> {
        self.sources().flat_map(out_of_line_test_modules).collect()
    }
}

fn crates(root: &Path) -> Result<Vec<Crate>> {
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let mut crates = Vec::new();
    for package in metadata.workspace_packages() {
        let folder = package.manifest_path.parent().ok_or("a manifest lies in a folder")?;
        let relative = folder.strip_prefix(&metadata.workspace_root)?.as_str().to_owned();
        crates.push(Crate {
            room: folder.file_name().ok_or("a member has a folder of its own")?.to_owned(),
            package: package.name.to_string(),
            folder: relative,
            manifest: fs::read_to_string(&package.manifest_path)?.parse()?,
            imports: package
                .dependencies
                .iter()
                .map(|dependency| Import {
                    package: dependency.name.clone(),
                    for_tests: dependency.kind == DependencyKind::Development,
                })
                .collect(),
        });
    }
    Ok(crates)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_dir() && !SKIPPED.contains(&name.as_ref()) {
            walk(root, &path, files)?;
        } else if kind.is_file() && is_text(&path) && entry.metadata()?.len() <= LARGEST_TEXT {
            // A file that is no UTF-8 is a test's data, whatever its name says.
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let path = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            files.push(File { path, text });
        }
    }
    Ok(())
}

/// By its ending, or because it has none (`justfile`, `.ci/run`, `Dockerfile`, `LICENSE`).
fn is_text(path: &Path) -> bool {
    path.extension().is_none_or(|extension| TEXT.iter().any(|text| extension == *text))
}

fn out_of_line_test_modules(file: &File) -> Vec<String> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
    // `lib.rs`, `main.rs` and `mod.rs` own their folder, `name.rs` owns `name/`.
    let owned = match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        other => format!("{folder}/{}", other.trim_end_matches(".rs")),
    };
    let mut found = Vec::new();
    let mut awaiting = false;
    for line in file.text.lines().map(str::trim) {
        if is_test_gate(line) {
            awaiting = true;
        } else if awaiting && !line.starts_with("#[") {
            awaiting = false;
            let declared = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").strip_prefix("mod ");
            if let Some(module) = declared.and_then(|rest| rest.strip_suffix(';')) {
                found.push(format!("{owned}/{module}.rs"));
                found.push(format!("{owned}/{module}/"));
            }
        }
    }
    found
}

/// Whether the line is an attribute that leaves the next item to tests.
pub fn is_test_gate(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_found() {
        let file = File { path: "crates/a/src/b.rs".into(), text: "#[cfg(test)]\nmod tests;\nmod other;\n".into() };
        assert_eq!(out_of_line_test_modules(&file), ["crates/a/src/b/tests.rs", "crates/a/src/b/tests/"]);
        let file =
            File { path: "crates/a/src/lib.rs".into(), text: "#[cfg(test)]\n#[x]\npub(crate) mod proof;".into() };
        assert_eq!(out_of_line_test_modules(&file), ["crates/a/src/proof.rs", "crates/a/src/proof/"]);
    }

    #[test]
    fn files_without_an_ending_are_text() {
        assert!(is_text(Path::new("justfile")) && is_text(Path::new(".ci/run")) && is_text(Path::new("a.rs")));
        assert!(!is_text(Path::new("a.png")));
    }
}
