//! The wheel: `pip install` puts the program into the environment's `bin`. It holds no Python.

use sha2::{Digest, Sha256};

use crate::dist::program::Program;
use crate::dist::zip::Zip;
use crate::task::{Result, root};

/// The name of the distribution.
const NAME: &str = "larder_registry";

/// The wheel's file name: a static program runs beside any C library.
pub fn file_name(program: &Program, version: &str) -> String {
    format!("{NAME}-{version}-py3-none-{}.whl", tags(program).join("."))
}

/// Packs a program.
pub fn wheel(program: &Program, version: &str) -> Result<Vec<u8>> {
    let folder = format!("{NAME}-{version}.dist-info");
    let mut files: Vec<(String, u32, Vec<u8>)> = Vec::new();
    files.push((format!("{NAME}-{version}.data/scripts/larder"), 0o755, std::fs::read(&program.path)?));
    files.push((format!("{folder}/METADATA"), 0o644, metadata(version)?.into_bytes()));
    files.push((format!("{folder}/WHEEL"), 0o644, description(program).into_bytes()));
    let record_path = format!("{folder}/RECORD");
    let mut record: String =
        files.iter().map(|(path, _, bytes)| format!("{path},sha256={},{}\n", hash(bytes), bytes.len())).collect();
    record.push_str(&format!("{record_path},,\n"));
    files.push((record_path, 0o644, record.into_bytes()));
    let mut zip = Zip::default();
    for (path, mode, bytes) in &files {
        zip.file(path, *mode, bytes)?;
    }
    zip.finish()
}

fn tags(program: &Program) -> [String; 3] {
    let machine = program.platform.machine();
    ["manylinux_2_17", "manylinux2014", "musllinux_1_1"].map(|platform| format!("{platform}_{machine}"))
}

fn description(program: &Program) -> String {
    let tags: String = tags(program).iter().map(|tag| format!("Tag: py3-none-{tag}\n")).collect();
    format!("Wheel-Version: 1.0\nGenerator: cargo xtask dist\nRoot-Is-Purelib: false\n{tags}")
}

fn metadata(version: &str) -> Result<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).map_err(|error| format!("README.md: {error}"))?;
    Ok(format!(
        "Metadata-Version: 2.1\nName: larder-registry\nVersion: {version}\nSummary: A container registry for machine-learning teams\n\
         License: Apache-2.0\nRequires-Python: >=3.7\nDescription-Content-Type: text/markdown\n\n{readme}"
    ))
}

/// SHA-256 in base64 for URLs, without padding (PEP 376, PEP 427).
fn hash(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let digest = Sha256::digest(bytes);
    let mut text = String::new();
    for three in digest.chunks(3) {
        let group = three.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for position in 0..=three.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * position) & 63) as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_written_as_pip_compares_them() {
        assert_eq!(hash(b""), "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
    }
}
