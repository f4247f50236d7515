//! Documents that the program prints about itself: `cargo xtask docs` writes them, `cargo xtask tidy` compares them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::Message;

use crate::task::{Result, root, say};

/// A file and the command line of `larder` that prints it.
#[derive(Debug)]
struct Document {
    path: &'static str,
    printed_by: &'static [&'static str],
}

const DOCUMENTS: &[Document] = &[
    Document { path: "docs/reference/configuration.md", printed_by: &["config", "reference"] },
    Document { path: "packaging/larder.toml", printed_by: &["config", "reference", "--example"] },
    Document { path: "docs/reference/cli.md", printed_by: &["markdown-help"] },
    Document { path: "docs/reference/openapi.json", printed_by: &["openapi"] },
];

/// Writes every document anew.
pub fn write() -> Result {
    let program = program()?;
    for document in DOCUMENTS {
        let path = root().join(document.path);
        fs::create_dir_all(path.parent().ok_or("a document lies in a folder")?)?;
        fs::write(&path, print(&program, document)?)?;
        say(document.path)?;
    }
    Ok(())
}

/// Documents that are not what the program prints.
pub fn compare() -> Result<Vec<String>> {
    let program = program()?;
    let mut findings = Vec::new();
    for document in DOCUMENTS {
        match print(&program, document) {
            Ok(printed) => findings.extend(difference(root(), document, &printed)),
            Err(error) => findings.push(format!("{}: {error}", document.path)),
        }
    }
    Ok(findings)
}

fn difference(root: &Path, document: &Document, printed: &str) -> Option<String> {
    let remedy = "run `cargo xtask docs`";
    let Ok(written) = fs::read_to_string(root.join(document.path)) else {
        return Some(format!("{}: missing; {remedy}", document.path));
    };
    if written == printed {
        return None;
    }
    let same = written.lines().zip(printed.lines()).take_while(|(a, b)| a == b).count();
    Some(format!("{}:{}: not what the code says; {remedy}", document.path, same + 1))
}

/// The program to ask: the one that `LARDER_BIN` names, which whoever has just built everything sets, else one built now.
fn program() -> Result<PathBuf> {
    std::env::var_os("LARDER_BIN").map_or_else(build, |path| Ok(path.into()))
}

/// Builds the program and gives its path.
fn build() -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(["build", "--quiet", "--workspace", "--bin", "larder"]);
    let output = cargo.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err("larder cannot be built".into());
    }
    let mut program = None;
    for message in Message::parse_stream(output.stdout.as_slice()) {
        if let Message::CompilerArtifact(artifact) = message? {
            program = artifact.executable.filter(|_| artifact.target.name == "larder").or(program);
        }
    }
    Ok(program.ok_or("cargo built no larder")?.into())
}

/// What the program prints, whatever the environment would have it say.
fn print(program: &Path, document: &Document) -> Result<String> {
    let mut command = Command::new(program);
    command.args(document.printed_by).stdin(Stdio::null()).stderr(Stdio::inherit()).env_remove("COLUMNS");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("LARDER_") {
            command.env_remove(name);
        }
    }
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("`larder {}` failed: {}", document.printed_by.join(" "), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: Document = Document { path: "Cargo.toml", printed_by: &[] };

    #[test]
    fn a_document_that_says_what_is_printed_passes() {
        let written = fs::read_to_string(root().join(DOCUMENT.path)).unwrap();
        assert_eq!(difference(root(), &DOCUMENT, &written), None);
    }

    #[test]
    fn a_document_that_differs_fails_with_its_line() {
        let written = fs::read_to_string(root().join(DOCUMENT.path)).unwrap();
        let changed = written.replacen("members", "numbers", 1);
        let finding = difference(root(), &DOCUMENT, &changed).unwrap();
        assert!(finding.starts_with("Cargo.toml:3: "), "{finding}");
        assert!(difference(root(), &DOCUMENT, &format!("{written}more\n")).is_some());
    }

    #[test]
    fn a_missing_document_fails() {
        let missing = Document { path: "docs/reference/nothing.md", printed_by: &[] };
        assert!(difference(root(), &missing, "").is_some_and(|finding| finding.contains("missing")));
    }
}
